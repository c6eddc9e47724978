"""Documentation is held to the code: `make docs` rewrites what is generated."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from driftguard.cli.reference import commands, error_kinds, next_step, reasons
from driftguard.demo.cloud import PACKAGED_PROVIDER
from driftguard.model import ErrorKind, Label, Verdict
from driftguard.model.products import PRODUCTS, Product
from driftguard.model.reasons import ReasonName

ROOT = Path(__file__).resolve().parents[2]


def needed() -> str:
    """What pyproject.toml and the code ask for, as a table."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    git = re.search(r"git (\d+\.\d+) or newer", (ROOT / "driftguard/adapters/git/commands.py").read_text())
    assert git is not None
    rows = {
        "Python": f"`{project['requires-python']}`",
        "git": f"`>={git[1]}`",
        "Terraform or OpenTofu": "1.1 or newer; tried versions below",
        "Python packages": ", ".join(f"`{need}`" for need in project["dependencies"]),
        **{
            f"extra `{name}`": ", ".join(f"`{need.partition(';')[0]}`" for need in needs)
            for name, needs in project["optional-dependencies"].items()
            if name != "dev"
        },
        "provider of the demo": f"AWS `{PACKAGED_PROVIDER}`",
    }
    return "\n".join(["| part | versions |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in rows.items()), ""])


def products() -> str:
    """In what the two products differ, as the code has it."""
    rows: list[tuple[str, Callable[[Product], str]]] = [
        ("", lambda product: product.title),
        ("---", lambda _: "---"),
        ("registry of addresses without a host", lambda product: f"`{product.registry}`"),
        ("`init -json`", lambda product: since(product.json_init_since)),
        (
            "ephemeral variables; an apply of a plan file takes variables",
            lambda product: since(product.ephemeral_since),
        ),
        ("variables in module sources, given to `init`", lambda product: since(product.variable_sources_since)),
    ]
    return "".join(f"| {name} | {' | '.join(map(of, PRODUCTS.values()))} |\n" for name, of in rows)


def since(version: tuple[int, ...]) -> str:
    """The first version that has something."""
    return f"{'.'.join(map(str, version))} and newer"


# Parts of hand-written pages that are generated, by page and name.
GENERATED: dict[tuple[str, str], Callable[[], str]] = {
    ("reference/compatibility.md", "needed"): needed,
    ("reference/engines.md", "products"): products,
    ("how-to/troubleshooting.md", "error kinds"): error_kinds,
    ("how-to/troubleshooting.md", "reasons that hold or inform"): partial(reasons, silent=False, passes=False),
    ("how-to/troubleshooting.md", "reasons that end by themselves"): partial(reasons, silent=False, passes=True),
    ("how-to/troubleshooting.md", "permissions"): partial(reasons, silent=True, passes=False),
}


def test_the_committed_command_reference_is_what_the_code_writes() -> None:
    file = ROOT / "docs" / "reference" / "commands.md"
    if os.environ.get("DRIFTGUARD_WRITE_DOCS"):
        file.write_text(commands())
    assert file.read_text() == commands()


@pytest.mark.parametrize(("page", "name"), GENERATED)
def test_the_committed_parts_of_pages_are_what_the_code_writes(page: str, name: str) -> None:
    file, text = ROOT / "docs" / page, GENERATED[page, name]()
    begin, end = f"<!-- generated: {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = file.read_text().partition(begin)
    part, found, after = rest.partition(end)
    assert found, f"{page} has no part {name}"
    if os.environ.get("DRIFTGUARD_WRITE_DOCS"):
        file.write_text(f"{before}{begin}{text}{end}{after}")
        return
    assert part == text


def test_troubleshooting_has_every_reason_and_error_kind_once() -> None:
    page = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()
    for names in (ErrorKind, ReasonName):
        for name in names:
            # `locked` is both an error kind and a reason.
            assert page.count(f"\n| `{name}` |") == (name in {*ErrorKind}) + (name in {*ReasonName}), name


def test_every_error_and_every_reason_that_holds_names_the_next_step() -> None:
    informs = {"in_sync", "policy_apply", "policy_revert", "adopt_refused", "applied", "interrupted_attempt"}
    without = {name for name in (*ErrorKind, *ReasonName) if not next_step(name.text)[1]}
    assert without - informs == {name for name in ReasonName if name.silent}


def test_every_command_of_the_readme_exists() -> None:
    known = set(re.findall(r"^## `driftguard ([a-z ]+)`$", commands(), re.MULTILINE))
    written = re.findall(r"`driftguard ([^`]+)`|^    driftguard (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    used = {(quoted or block).split("[")[0].strip() for quoted, block in written}
    assert used
    used = {text for text in used if not text.startswith("--")}
    assert not [text for text in used if not any(re.match(rf"{command}\b", text) for command in known)]


def test_links_between_documents_lead_somewhere() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            assert target.startswith("https://") or (document.parent / target).exists(), f"{document}: {target}"


def test_the_glossary_has_every_word_of_the_contract() -> None:
    glossary = (ROOT / "docs" / "reference" / "glossary.md").read_text()
    for word in [*Label, *Verdict]:
        assert f"`{word}`" in glossary


def test_the_index_links_every_document() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#]+)\)", index.read_text())}
    assert {file for file in index.parent.rglob("*.md") if file != index} - linked == set()


def test_the_readme_names_every_label_and_verdict() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [word.value for word in (*Label, *Verdict) if f"`{word}`" not in readme] == []


def test_every_path_of_the_architecture_exists() -> None:
    """A name in code quotes with a slash or an extension is a file or folder of the repository, or ends like one."""
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    named = {name for name in re.findall(r"`([\w./-]+)`", text) if re.search(r"/|\.py$", name)}
    listed = [*(ROOT / "driftguard").rglob("*"), *(ROOT / "lab").rglob("*")]
    there = {f"/{path.relative_to(ROOT).as_posix()}" for path in listed if "__pycache__" not in path.parts}
    missing = {name for name in named if not any(path.endswith(f"/{name.strip('/')}") for path in there)}
    in_the_users_home = {"defects/", *(name for name in named if name.startswith("XDG_"))}
    assert missing - in_the_users_home == set()
    assert len(named) > 20
