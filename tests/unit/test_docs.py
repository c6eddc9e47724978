"""Documentation is held to the code: `make docs` rewrites what is generated."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from driftguard.cli.reference import commands, reasons
from driftguard.model import Label, Verdict

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("path", "generate"), [("commands.md", commands), ("reasons.md", reasons)])
def test_the_committed_reference_is_what_the_code_says(path: str, generate: Callable[[], str]) -> None:
    file = ROOT / "docs" / "reference" / path
    if os.environ.get("DRIFTGUARD_WRITE_DOCS"):
        file.write_text(generate())
    assert file.read_text() == generate()


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
