"""For any edit of a literal: only its bytes change, python-hcl2 reads the new value, and Terraform takes the file."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftguard.hcledit.adopting import adopt
from driftguard.hcledit.writing import rendered
from driftguard.model import Departure
from tests.support.adopt_source import PARSER, source_of, terraform_formatted

PATH = "env/main.tf"
# What templates read in two ways is refused, which the table of shapes shows; secrets have tests of their own.
LETTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff") | st.sampled_from('\n\t"\\${}')
TEXTS = st.text(LETTERS, max_size=20).filter(lambda text: "$${" not in text and "%%{" not in text)
NUMBERS = st.integers(-(10**12), 10**12) | st.floats(-1e6, 1e6, width=32).map(lambda number: round(number, 3))
SCALARS = TEXTS | NUMBERS | st.booleans()
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
VALUES = SCALARS | st.lists(TEXTS, max_size=4) | st.dictionaries(NAMES, TEXTS, max_size=4)
BEFORE = st.sampled_from(
    ["", "  a = 1 # x\n", '  a = "${local.x}"\n', "  b {\n  }\n", "  # c = 1\n", "  a = <<E\nx\nE\n"]
)
AFTER = st.sampled_from(["", "  z = 1\n", "  # end\n", "  y {\n    c = 1\n  }\n"])


def edited(before: str, old: Any, new: Any, **source: Any) -> str:
    departure = Departure("aws_x.r", "aws_x", {"c": old}, {"c": new}, frozenset({"c"}))
    adoption = adopt([departure], source_of({PATH: before.encode()}, **source))
    assert adoption.refusals == ()
    return adoption.files.get(PATH, before.encode()).decode()


def value_in(text: str) -> Any:
    (block,) = PARSER.hcl(text).blocks
    (attribute,) = (each for each in block.attributes if each.name == "c")
    return said(attribute.expression)


def said(expression: Any) -> Any:
    if expression.kind == "list":
        return [said(item) for item in expression.items]
    if expression.kind == "object":
        return {entry.key: said(entry.expression) for entry in expression.entries}
    return expression.value


def same_kind(old: Any) -> st.SearchStrategy[Any]:
    if isinstance(old, bool):
        return st.booleans()
    if isinstance(old, str):
        return TEXTS
    if isinstance(old, int | float):
        return NUMBERS
    return st.lists(TEXTS, max_size=4) if isinstance(old, list) else st.dictionaries(NAMES, TEXTS, max_size=4)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str, str, Any, Any]:
    old = draw(VALUES)
    new = draw(same_kind(old))
    start = 'resource "aws_x" "r" {\n' + draw(BEFORE) + "  c = "
    return start, rendered(old, "  ", "\n"), " # here\n" + draw(AFTER) + "}\n", old, new


@given(changes())
@settings(max_examples=150)
def test_only_the_bytes_of_the_value_change(change: tuple[str, str, str, Any, Any]) -> None:
    start, literal, end, old, new = change
    after = edited(start + literal + end, old, new)
    assert after.startswith(start)
    assert after.endswith(end)
    assert value_in(after) == new


@given(TEXTS, TEXTS)
@settings(max_examples=100)
def test_a_heredoc_states_any_text(old: str, new: str) -> None:
    before = f'resource "aws_x" "r" {{\n  c = {rendered("x", "", "")}\n}}\n'
    before = before.replace('"x"', "<<-EOT\n    a\n      b\n  EOT")
    after = edited(before, "a\n  b\n", new + old)
    assert value_in(after) == new + old


@given(st.dictionaries(NAMES, TEXTS, max_size=5), st.dictionaries(NAMES, TEXTS, max_size=5), st.booleans())
@settings(max_examples=100)
def test_a_document_states_any_document(old: dict[str, str], new: dict[str, str], encoded: bool) -> None:
    text = f"jsonencode({rendered(old, '  ', chr(10))})" if encoded else rendered(json.dumps(old), "", "\n")
    after = edited(f'resource "aws_x" "r" {{\n  c = {text}\n}}\n', json.dumps(old), json.dumps(new))
    (block,) = PARSER.hcl(after).blocks
    expression = block.attributes[0].expression
    found = said(expression.items[0]) if encoded else json.loads(expression.value)
    assert found == new


@pytest.mark.terraform
@given(changes())
@settings(max_examples=12, database=None)
def test_terraform_takes_the_file_and_its_formatter_finds_nothing(change: tuple[str, str, str, Any, Any]) -> None:
    start, literal, end, old, new = change
    before = terraform_formatted((start + literal + end).encode()).decode()
    after = edited(before, old, new, formatted=terraform_formatted)
    assert terraform_formatted(after.encode()).decode() == after
    assert value_in(after) == new


@pytest.mark.terraform
@given(st.lists(TEXTS.filter(lambda text: "\r" not in text), min_size=20, max_size=40))
@settings(max_examples=2, database=None)
def test_terraform_reads_what_was_written(texts: list[str]) -> None:
    program = f"base64encode(jsonencode({rendered(texts, '', ' ')}))\n"
    with tempfile.TemporaryDirectory() as empty:
        command = ["terraform", "console"]
        done = subprocess.run(command, input=program, capture_output=True, text=True, timeout=60, cwd=empty)
    assert done.returncode == 0, done.stderr
    shown = json.loads(base64.b64decode(done.stdout.strip().strip('"')))
    # Terraform composes letters and their accents.
    assert shown == [unicodedata.normalize("NFC", text) for text in texts]
