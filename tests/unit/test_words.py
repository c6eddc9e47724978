"""The words of user texts, docstrings, comments, identifiers and documentation: the table in CONTRIBUTING.md, held."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "driftguard"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
MAX_PROSE_WIDTH = 100

# Each expression, and the field's words for it.
FORBIDDEN = {
    r"\b(told|tells?|telling)\b": "alert, notify, send, report, distinguish",
    r"\b(said|says?|saying)\b": "print, report, log, name, state",
    r"\b(somebody|someone|whoever|nobody|anybody|everybody)\b": "reviewer, author, operator, nothing",
    r"\bfor a person\b|\ba person (has to|must|decides)\b|\bas a person would\b": "manual action required",
    r"\b(an?|the|one|each|every|this|that|next|last|later|earlier|first|per|same|another|new|two) pass(es)?\b": "run",
    r"\b(all|both|three|four|five|many|more|between|over|later|failed|of|for|in|run|two) passes\b": "runs",
    r"\b(changed?|changes|made|added|deleted) outside\b(?! (of )?(Terraform|DriftGuard|the|a|it)\b)": "… Terraform",
    r"\b(put|puts|putting|goes|going|go) back\b": "revert reality, roll back a commit",
    r"\b(written|writes? it|write it|writing it) down\b|\blets? it be\b": "adopt",
    r"\bevery so often\b|\bagain and again\b|\blater and later\b": "interval, repeatedly, backoff",
    r"\bfuses?\b|\bblown\b": "limit, circuit breaker",
    r"\bforg(ive|iven|ives|ave)\b": "reset",
    r"\btoo slowly\b|\btook too long\b": "rate limit exceeded, timed out",
    r"\b(scenes?|nursery|bells?|hearts?)\b": "run context, wake event, heartbeat",
    r"\benvironments at a time\b|\bat_a_time\b": "parallelism",
    r"\bmend(s|ed)?\b": "fix, correct",
}
FORBIDDEN_NAMES = {
    r"^_?(MOST|LONGEST|SHORTEST|FEWEST)_|_(MOST|LONGEST)_": "MAX_, MIN_, INITIAL_",
    r"^_?(Place|Scene|Surroundings|Means|Turn|Bell)s?$": "run context, alert context, apply context, wake event",
}
# Expressions that the contract, a library or an old ledger fixes.
ALLOWED = {
    "driftguard/adapters/sql/schema.py": r"^told$",  # the name of a table
    "driftguard/adapters/sql/migrations/versions/v0001_journal.py": r"^told$",  # the name of a table
}


class Found(NamedTuple):
    """A text of a file, with its line."""

    file: str
    line: int
    text: str


def texts(file: Path) -> Iterator[Found]:
    """String literals, docstrings and comments of a Python file."""
    name, source = file.relative_to(ROOT).as_posix(), file.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Found(name, node.lineno, node.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Found(name, token.start[0], token.string)


def names(file: Path) -> Iterator[Found]:
    """Identifiers that a Python file defines."""
    name = file.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield Found(name, node.lineno, node.name)
        elif isinstance(node, ast.arg):
            yield Found(name, node.lineno, node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield Found(name, node.lineno, node.id)


def complaints(found: Found, table: dict[str, str]) -> Iterator[str]:
    """Each forbidden expression of a text, with its place and the words to use."""
    text = " ".join(found.text.split())
    allowed = ALLOWED.get(found.file)
    if allowed is not None:
        text = re.sub(allowed, "", text)
    for expression, instead in table.items():
        for match in re.finditer(expression, text, re.IGNORECASE if table is FORBIDDEN else 0):
            around = text[max(0, match.start() - 30) : match.end() + 30]
            yield f"{found.file}:{found.line}: {match[0]!r} in {around!r}; use: {instead}"


def paragraphs(document: Path) -> Iterator[Found]:
    """The paragraphs of a document, with their first line, as an expression may be broken over two lines."""
    name, number = document.relative_to(ROOT).as_posix(), 1
    for paragraph in document.read_text().split("\n\n"):
        if name != "CONTRIBUTING.md" or not paragraph.startswith("|"):  # which holds this very table
            yield Found(name, number, paragraph)
        number += paragraph.count("\n") + 2


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_texts_of_the_package_use_the_words_of_the_field() -> None:
    found = [c for file in source_files() for text in texts(file) for c in complaints(text, FORBIDDEN)]
    assert found == [], "\n".join(found)


def test_identifiers_of_the_package_use_the_words_of_the_field() -> None:
    in_words = (
        f._replace(text=f.text.replace("_", " ").lower().removesuffix(" outside"))
        for file in source_files()
        for f in names(file)
    )
    found = [c for name in in_words for c in complaints(name, FORBIDDEN)]
    found += [c for file in source_files() for name in names(file) for c in complaints(name, FORBIDDEN_NAMES)]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documentation_uses_the_words_of_the_field(document: Path) -> None:
    found = [complaint for text in paragraphs(document) for complaint in complaints(text, FORBIDDEN)]
    assert found == [], "\n".join(found)


def test_deployment_files_use_the_words_of_the_field() -> None:
    files = [ROOT / "Makefile", *(file for file in sorted((ROOT / "deploy").rglob("*")) if file.is_file())]
    lines = [
        Found(file.relative_to(ROOT).as_posix(), number, line)
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
    ]
    found = [complaint for line in lines for complaint in complaints(line, FORBIDDEN)]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_prose_is_wrapped_at_100_characters(document: Path) -> None:
    fenced, long = False, []
    for number, line in enumerate(document.read_text().splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        code = fenced or line.startswith("    ")
        if len(line) > MAX_PROSE_WIDTH and not code and not line.startswith(("|", "[", "![", "#")):
            long.append(f"{document.name}:{number}: {len(line)} characters")
    assert long == []


@pytest.mark.parametrize(
    ("text", "is_forbidden"),
    [
        ("whoever merges it is told", True),
        ("One pass over all environments", True),
        ("three passes in a row", True),
        ("the value passes through the mask", False),
        ("aws_s3_bucket.assets changed outside", True),
        ("aws_s3_bucket.assets was changed outside Terraform", False),
        ("a heartbeat renews the lease", False),
        ("drift is put back", True),
    ],
)
def test_the_table_finds_what_it_forbids(text: str, is_forbidden: bool) -> None:
    assert bool(list(complaints(Found("x.py", 1, text), FORBIDDEN))) is is_forbidden


def test_names_of_tests_use_the_words_of_the_field() -> None:
    dialect = re.compile(
        r"_(told|tells?|telling|says?|said|saying|somebody|someone|whoever|nobody|anybody|mend(s|ed)?)(_|$)"
        r"|_(a|the|each|every|this|that|next|last|later|first|one|two|no)_pass(es)?(_|$)"
    )
    found = [
        f"{path.name}: {name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for name in re.findall(r"^ *def (test_\w+)", path.read_text(), re.MULTILINE)
        if dialect.search(name)
    ]
    assert found == []
