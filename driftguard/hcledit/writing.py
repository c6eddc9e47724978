"""Values as Terraform source: rendered anew, or in the style of the literal that they replace. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from driftguard.hcledit.source import EditRefused
from driftguard.hcledit.syntax import Expression

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEYWORDS: Final = frozenset(("for", "in", "if", "else", "endif", "endfor", "null", "true", "false", "for_each"))
_PLAIN_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?")
# Two or more signs before a brace are read in two ways, so they are never written.
_DOUBTFUL: Final = re.compile(r"\$\$\{|%%\{")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CONTROL: Final = re.compile(r'[\\"\x00-\x1f\x7f\u2028\u2029]')
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")


def rendered(
    value: Any,
    indent: str,
    newline: str,
    *,
    json_style: bool = False,
    templates: bool = True,
    one_line: bool = False,
) -> str:
    """A JSON value as source; lines after the first are indented by `indent` and more."""
    if json_style:
        return _rendered_json(value, indent, newline, templates, one_line)
    if one_line:
        return _in_one_line(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        lines = aligned([(key(k), rendered(v, indent + "  ", newline)) for k, v in value.items()], indent + "  ")
        return newline.join(["{", *lines, f"{indent}}}"])
    if isinstance(value, list):
        if any(isinstance(item, Mapping | list) for item in value):
            lines = [f"{indent}  {rendered(item, indent + '  ', newline)}," for item in value]
            return newline.join(["[", *lines, f"{indent}]"])
        return "[" + ", ".join(rendered(item, indent, newline) for item in value) + "]"
    return scalar(value)


def aligned(pairs: Sequence[tuple[str, str]], indent: str) -> list[str]:
    """Names and their values as lines, with the values below each other as the formatter has them."""
    lines: list[str] = []
    run: list[tuple[str, str]] = []
    for pair in [*pairs, ("", "\n")]:
        if "\n" not in pair[1]:
            run.append(pair)
            continue
        width = max((len(name) for name, _ in run), default=0)
        lines += [f"{indent}{name:{width}} = {value}" for name, value in run]
        run = []
        if pair[0]:
            lines.append(f"{indent}{pair[0]} = {pair[1]}")
    return lines


def _in_one_line(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        return "{ " + ", ".join(f"{key(k)} = {_in_one_line(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_in_one_line, value)) + "]"
    return rendered(value, "", "\n")


def _rendered_json(value: Any, indent: str, newline: str, templates: bool, one_line: bool) -> str:
    text_value = _doubled(value) if templates else value
    text = json.dumps(text_value, ensure_ascii=False, indent=None if one_line else 2)
    return str(text).replace("\n", newline + indent)


def _doubled(value: Any) -> Any:
    """A value with every `${` and `%{` in its strings doubled, as a template needs them."""
    if isinstance(value, str):
        return templated(value)
    if isinstance(value, Mapping):
        return {templated(k): _doubled(v) for k, v in value.items()}
    return [_doubled(item) for item in value] if isinstance(value, list) else value


def templated(text: str) -> str:
    """A text as it stands in a template.

    Raises:
        EditRefused: it cannot be written there for certain.
    """
    if _DOUBTFUL.search(text):
        raise EditRefused("the new value has two signs before a brace, which templates read in more than one way")
    return text.replace("${", "$${").replace("%{", "%%{")


def quoted(text: str) -> str:
    """A text in quotes, in native syntax."""
    escaped = _CONTROL.sub(lambda m: _ESCAPES.get(m[0], f"\\u{ord(m[0]):04x}"), text)
    return f'"{templated(escaped)}"'


def json_quoted(text: str, *, templates: bool) -> str:
    """A text in quotes, in JSON."""
    return json.dumps(templated(text) if templates else text, ensure_ascii=False)


def scalar(value: Any) -> str:
    """A number, a truth value or nothing; both notations write them alike."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int | float):
        return json.dumps(value)
    raise EditRefused("a list or a map cannot stand where one value is written")


def key(name: str) -> str:
    """The key of an object's entry."""
    return name if _NAME.fullmatch(name) and name not in _KEYWORDS else quoted(name)


def in_the_style_of(expression: Expression, written: str, value: Any, newline: str, *, typed: bool) -> str:
    """A value that takes a literal's place, in native syntax.

    Args:
        written: the literal as it is written.
        typed: a number and its text are different things here, as in `jsonencode`.
    """
    if isinstance(value, str):
        if expression.kind == "heredoc":
            return heredoc(written, value, newline)
        bare = not typed and expression.kind in ("number", "bool")
        if bare and (_PLAIN_NUMBER.fullmatch(value) if expression.kind == "number" else value in ("true", "false")):
            return value
        return quoted(value)
    if expression.kind == "string" and value is not None and not typed:
        return f'"{scalar(value)}"'
    return scalar(value)


def heredoc(written: str, text: str, newline: str) -> str:
    """A text in the heredoc that it replaces; in quotes if a heredoc cannot hold it."""
    opening = written[: written.index("\n") + 1]
    lines = _LINE.findall(templated(text))
    closing = written[written.rfind("\n") + 1 :]
    marker = closing.strip()
    ends_lines = newline if opening.endswith("\r\n") else "\n"
    if not text.endswith("\n") or any(line.strip() == marker for line in lines) or _CONTROL_IN_HEREDOC.search(text):
        return quoted(text)
    if ends_lines == "\r\n" and not all(line.endswith("\r\n") for line in lines):
        return quoted(text)
    if opening.lstrip("<").startswith("-"):
        indent = _indent(_LINE.findall(written[len(opening) : len(written) - len(closing)]), closing)
        if min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0):
            # Whatever all lines begin with would be taken away, so only an unindented text can be indented.
            return quoted(text)
        lines = [indent + line if line.strip() else line for line in lines]
    return opening + "".join(lines) + closing


_CONTROL_IN_HEREDOC: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]|\r(?!\n)")


def _indent(lines: Iterable[str], closing: str) -> str:
    spaces = [line[: len(line) - len(line.lstrip())] for line in lines if line.strip()]
    return min(spaces, key=len) if spaces else closing[: len(closing) - len(closing.lstrip())]
