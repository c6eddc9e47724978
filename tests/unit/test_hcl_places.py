"""Where everything stands in a text, in native syntax and in JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.adapters.hcl.parser import SourceParser
from driftguard.hcledit.syntax import Expression

PARSER = SourceParser()


def value(text: str) -> Expression:
    (attribute,) = PARSER.hcl(f"# c\na = {text}\n").attributes
    return attribute.expression


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("1", "number", 1),
        ("-1.5", "number", -1.5),
        ("true", "bool", True),
        ("null", "null", None),
        ('"a\\"\\u00e4\\n$${b}%%{c}"', "string", 'a"ä\n${b}%{c}'),
        ('"a${b}"', "a text with an interpolation", None),
        ('"$$${b}"', "a text with an interpolation", None),
        ("<<E\n  a\nE", "heredoc", "  a\n"),
        ("<<-E\n    a\n\n      b\n  E", "heredoc", "a\n\n  b\n"),
        ("<<E\n${a}\nE", "a text with an interpolation", None),
        ("(1)", "an expression", None),
        ("1 + 1", "a calculation", None),
        ("a ? 1 : 2", "a condition", None),
    ],
)
def test_a_value_is_read_with_its_kind(text: str, kind: str, said: Any) -> None:
    found = value(text)
    assert (found.kind, found.value, found.line) == (kind, said, 2)
    assert f"# c\na = {text}\n"[found.start : found.end] == text


def test_names_and_calls_are_distinguished() -> None:
    assert (value("var.a.b").kind, value("var.a.b").name) == ("reference", "var.a.b")
    assert value("var.a[0]").kind == "a reference"
    call = value("f(1, 2)")
    assert (call.kind, call.name, [item.value for item in call.items]) == ("call", "f", [1, 2])


def test_blocks_stand_between_their_braces() -> None:
    text = 'a "b" "c" {\n  d { e = 1 }\n}\n'
    (block,) = PARSER.hcl(text).blocks
    assert (block.kind, block.labels, text[block.start : block.end]) == ("a", ("b", "c"), text.strip())
    assert text[block.blocks[0].inner_start : block.blocks[0].inner_end] == " e = 1 "


def test_commas_and_comments_have_places() -> None:
    text = "a = [1, # one\n 2]\n"
    file = PARSER.hcl(text)
    assert [text[start:end] for start, end in file.comments] == ["# one"]
    assert file.attributes[0].expression.commas == (6, -1)


@pytest.mark.parametrize("text", ["a = {", "a = /* b */ 1\n", "a {{"])
def test_a_text_that_cannot_be_parsed_is_an_error_without_the_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(line \d+|its end)$"):
        PARSER.hcl(text)


def test_values_that_are_nested_too_deep_are_an_error_too() -> None:
    with pytest.raises(ValueError, match=r"^a place that is nested too deep$"):
        PARSER.hcl(f"a = {'[' * 3000}{']' * 3000}")


@pytest.mark.parametrize("text", ["", "{", "[1,]", '{"a": 1,}', "[1 2]", '{"a": 1, "a": 2}', "1 1", "'a'", "[" * 200])
def test_json_that_is_none_is_an_error_without_the_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"^line \d+$"):
        PARSER.json(text, templates=False)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.sampled_from([None, 2]))
def test_json_is_read_as_it_is_written(original: Any, indent: int | None) -> None:
    text = json.dumps(original, indent=indent, ensure_ascii=False)
    document = PARSER.json(text, templates=False)
    assert read(text, document.root) == original
    assert "".join(token.text for token in document.tokens) == "".join(
        text[token.start : token.end] for token in document.tokens
    )


def read(text: str, at: Expression) -> Any:
    """A value from its parts, each of which stands where it is said to stand."""
    if at.kind == "list":
        return [read(text, item) for item in at.items]
    if at.kind == "object":
        return {entry.key: read(text, entry.expression) for entry in at.entries}
    assert json.loads(text[at.start : at.end]) == at.value
    return at.value


def test_templates_in_json_are_distinguished() -> None:
    root = PARSER.json('["${a}", "$${a}", "$a"]', templates=True).root
    assert [(item.kind, item.value) for item in root.items] == [
        ("a text with an interpolation", None),
        ("string", "${a}"),
        ("string", "$a"),
    ]
