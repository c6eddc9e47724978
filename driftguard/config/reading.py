"""Reads configuration text: YAML with line numbers, validated; every error names its line."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from driftguard.config.models import Document
from driftguard.errors import UsageError
from driftguard.printable import printable
from driftguard.sealed import mask

Path = tuple[str | int, ...]

_MAX_BYTES: Final = 1 << 20
_MAX_VALUES: Final = 200_000
_MAX_ERRORS: Final = 20
_TAG: Final = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Plain scalars are text, but for null, true, false and whole numbers: no surprises from `no`, 010 or 12:30."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own way


_Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"^-?(?:0|[1-9][0-9]{0,15})$"), list("-0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}merge", re.compile(r"^<<$"), ["<"])

RESOLVERS: Final = _Loader.yaml_implicit_resolvers
"""What plain scalars stand for."""


class ConfigurationText:
    """One configuration text, read: its values, and the line of every key.

    Args:
        text: the file's bytes.
        name: what messages call the file.

    Raises:
        UsageError: it is not readable as one YAML mapping without duplicate keys.
    """

    def __init__(self, text: bytes, name: str) -> None:
        self.name = name
        self._lines: dict[Path, int] = {}
        self._faults: list[tuple[int, str]] = []
        self._values = 0
        value = self._value(node, ()) if (node := self._compose(text)) is not None else {}
        if self._faults:
            raise self._error(self._faults)
        if not isinstance(value, dict):
            raise self._error([(1, f"the file is {describe(value)}, expected a mapping of keys such as version: 1")])
        self.value: dict[str, Any] = value

    def line(self, path: Path) -> int:
        """The line of a key, or of the nearest key above it that was written."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def document(self, folder: str | None) -> Document:
        """The checked document. `folder` is what relative `signers` stand against, if they may be relative.

        Raises:
            UsageError: one line for every wrong key or value, in the file's order.
        """
        try:
            return Document.model_validate(self.value, context={"folder": folder})
        except ValidationError as error:
            errors = sorted(error.errors(include_url=False), key=lambda item: self.line(item["loc"]))
            faults = dict.fromkeys(self._fault(item) for item in errors[:_MAX_ERRORS])
            raise self._error(list(faults), len(errors)) from None

    def _error(self, faults: list[tuple[int, str]], count: int = 0) -> UsageError:
        shown = [f"{self.name}:{line}: {sentence}" for line, sentence in faults[:_MAX_ERRORS]]
        if (more := max(count, len(faults)) - _MAX_ERRORS) > 0:
            shown.append(f"{self.name}: and {more} more error{'s' if more > 1 else ''}")
        return UsageError("\n".join(shown))

    # --- YAML ------------------------------------------------------------------------------------

    def _compose(self, text: bytes) -> yaml.Node | None:
        if len(text) > _MAX_BYTES:
            raise self._error([(1, f"the file has {len(text)} bytes; a configuration may have {_MAX_BYTES}")])
        try:
            decoded = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = text.count(b"\n", 0, error.start) + 1
            raise self._error([(line, "a byte that is not UTF-8, expected YAML in UTF-8")]) from None
        try:
            loader = _Loader(decoded)
            try:
                node: yaml.Node | None = loader.get_single_node()
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f" (column {mark.column + 1})" if mark else ""
            problem = mask(printable(error.problem or "cannot be read"))
            if "alias" in f"{error.context} {problem}":
                problem += "; put a value that begins with * into quotes"
            raise self._error([(mark.line + 1 if mark else 1, f"not YAML: {problem}{place}")]) from None
        except yaml.reader.ReaderError as error:
            line = decoded.count("\n", 0, error.position) + 1
            raise self._error([(line, "not YAML: a control character")]) from None
        except RecursionError:
            raise self._error([(1, "not a configuration: nested too deeply")]) from None
        except (yaml.YAMLError, ValueError, OverflowError):  # PyYAML lets some through, from "\UFFFFFFFF" for one
            raise self._error([(1, "not YAML: an escape or a directive that cannot be read")]) from None
        return node

    def _value(self, node: yaml.Node, path: Path, within: tuple[yaml.Node, ...] = ()) -> Any:
        line = node.start_mark.line + 1
        self._lines.setdefault(path, line)
        self._values += 1
        if self._values > _MAX_VALUES or len(within) > 50:
            raise self._error([(line, "not a configuration: too many values, or nested too deeply")])
        if any(node is outer for outer in within):
            raise self._error([(line, "an alias that contains itself")])
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path, (*within, node))
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self._value(item, (*path, i), (*within, node)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self._faults.append((line, f"the tag {printable(node.tag)} is not supported; remove it"))
        return None

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool" if text.lower() in ("true", "false"):
                return text.lower() == "true"
            case "int" if re.fullmatch(r"-?[0-9]{1,16}", text):
                return int(text)
            case "str" | "merge":
                return text
        self._faults.append((node.start_mark.line + 1, f"the tag {printable(node.tag)} does not fit here; remove it"))
        return None

    def _mapping(self, node: yaml.MappingNode, path: Path, within: tuple[yaml.Node, ...]) -> dict[str, Any]:
        written: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == f"{_TAG}merge":
                merged = {**self._merged(value_node, path, within), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{_TAG}null":
                self._faults.append((line, f"{_place(path)}a key that is not text, expected a name"))
                continue
            key: str = key_node.value
            if key in first:
                shown = f"`{dotted((*path, key))}` is repeated; first in line {first[key]}; keep one"
                self._faults.append((line, shown))
                continue
            first[key] = line
            self._lines[(*path, key)] = line
            written[key] = self._value(value_node, (*path, key), within)
        return {**merged, **written}

    def _merged(self, node: yaml.Node, path: Path, within: tuple[yaml.Node, ...]) -> dict[str, Any]:
        values = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for item in values:
            value = self._value(item, path, within)
            if isinstance(value, dict):
                merged = {**value, **merged}
            else:
                self._faults.append((node.start_mark.line + 1, f"{_place(path)}<< expects a mapping"))
        return merged

    # --- wrong keys and values -------------------------------------------------------------------

    def _fault(self, error: ErrorDetails) -> tuple[int, str]:
        path = error["loc"]
        place, context = f"`{dotted(path)}`", error.get("ctx", {})
        if error["type"] == "extra_forbidden":
            return self.line(path), f"unknown key {place}; {_known_instead(path)}"
        if error["type"] == "missing":
            return self.line(path[:-1]), f"{_place(path[:-1])}the key `{path[-1]}` is missing"
        if error["type"] == "refused":
            return self.line(path), f"{place} {context['sentence']}"
        wanted = _EXPECTED.get(error["type"], error["msg"]).format_map(_Placeholders(context))
        return self.line(path), f"{place} is {describe(error['input'])}, expected {wanted}"


class _Placeholders(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "…"


_EXPECTED: Final = {
    "expected": "{words}",
    "string_type": "text (in quotes, if it looks like a number)",
    "string_too_short": "text that is not empty",
    "int_type": "a whole number",
    "greater_than_equal": "a whole number of at least {ge}",
    "too_long": "at most {max_length} entries",
    "literal_error": "{expected}",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping of keys",
}


def describe(value: Any) -> str:
    """What was found, in a few words and without credentials."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            text = mask(printable(value))
            return f'"{text[:57]}..."' if len(text) > 60 else f'"{text}"'
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return f"a {type(value).__name__}"


def dotted(path: Path) -> str:
    """A key's path as messages write it: `environments[1].policy.limits`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{printable(part)}" for part in path)
    return mask(text.removeprefix(".")[:200])


def _place(path: Path) -> str:
    return f"in `{dotted(path)}`: " if path else ""


# --- known keys ----------------------------------------------------------------------------------


def sections(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Every section of a model, depth first, by its path of keys; list entries share their list's path."""
    yield path, model
    for key, field in keys(model).items():
        for inner in _models_in(field.annotation):
            yield from sections(inner, (*path, key))


def keys(model: type[BaseModel]) -> Mapping[str, Any]:
    """A section's fields by the keys that a user writes."""
    return {str(field.validation_alias or name): field for name, field in model.model_fields.items()}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def _known_instead(path: Path) -> str:
    wrong = str(path[-1])
    section = tuple(part for part in path[:-1] if isinstance(part, str))
    everywhere = dict(sections(Document))
    known = list(keys(everywhere[section])) if section in everywhere else []
    for elsewhere in sorted(everywhere, key=len):
        if wrong in keys(everywhere[elsewhere]):
            return f"it belongs to `{'.'.join(elsewhere)}`" if elsewhere else "it belongs to the top level"
    if near := difflib.get_close_matches(wrong, known, n=1):
        return f"did you mean `{near[0]}`?"
    return f"expected one of {', '.join(known)}"


def read(text: bytes, name: str, folder: str | None) -> tuple[Document, ConfigurationText]:
    """A checked document with its source; `folder` as in `ConfigurationText.document`. Raises UsageError."""
    source = ConfigurationText(text, name)
    return source.document(folder), source


def folder_of(file: str) -> str:
    """The absolute folder that a file of the operator stands in."""
    return os.path.dirname(os.path.abspath(file))
