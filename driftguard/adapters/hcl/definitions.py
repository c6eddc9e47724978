"""What one Terraform file defines, in either syntax, as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from driftguard.adapters.hcl.expressions import ExpressionReader, FileDefinitions, from_text, parse_errors
from driftguard.model.expressions import Call, Definitions, Node

# Bytes of a file: the parser of HCL reads about 15 kB a second, so this many bound its time, too.
MAX_PARSED: Final = 400_000


def definitions(path: str, source: bytes) -> Definitions:
    """Locals, variables' defaults, module calls, file references of a file; for a file of variables, their values.

    A file that cannot be parsed, or is longer than people write, gives `problem`.
    """
    if len(source) > MAX_PARSED:
        return Definitions(problem=f"{path} is larger than {MAX_PARSED // 1000} kB and was not read.")
    try:
        if path.endswith(".json"):
            return _from_json(path, msgspec.json.decode(source))
        return from_text(path, source.decode("utf-8-sig"))
    except (parse_errors(), msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return Definitions(problem=f"{path} could not be parsed.")


def _from_json(path: str, value: Any) -> Definitions:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    file = FileDefinitions()
    if path.endswith(".tfvars.json"):
        file.values = {name: _literal(item) for name, item in value.items()}
        return file.result()
    for name, body in _labelled(value.get("variable")):
        file.variables[name] = _json_node(file.reader, body["default"]) if "default" in body else None
    for block in _listed(value.get("locals")):
        file.locals |= {name: _json_node(file.reader, item) for name, item in block.items()}
    for name, body in _labelled(value.get("module")):
        arguments = _json_block(file.reader, body)
        file.calls[name] = Call(str(body.get("source", "")), arguments, arguments.get("for_each"))
    for kind, content in value.items():
        if kind not in ("variable", "locals", "module"):
            _json_deep(file.reader, content)
    return file.result()


def _json_block(reader: ExpressionReader, body: dict[str, Any]) -> dict[str, Node]:
    if "for_each" not in body:
        return {name: _json_node(reader, item) for name, item in body.items()}
    with reader.loop(("each",), _json_node(reader, body["for_each"]), "each"):
        return {name: _json_node(reader, item) for name, item in body.items()}


def _json_deep(reader: ExpressionReader, value: Any) -> None:
    """Blocks of JSON syntax at any depth: `for_each` of one holds for what is below it."""
    if isinstance(value, dict):
        if "for_each" in value:
            _json_block(reader, value)
        else:
            for item in value.values():
                _json_deep(reader, item)
    elif isinstance(value, list):
        for item in value:
            _json_deep(reader, item)
    else:
        _json_node(reader, value)


def _json_node(reader: ExpressionReader, value: Any) -> Node:
    if isinstance(value, str):
        return reader.template(value)
    if isinstance(value, dict):
        return ["o", [[["v", name], _json_node(reader, item)] for name, item in value.items()]]
    if isinstance(value, list):
        return ["l", [_json_node(reader, item) for item in value]]
    return ["v", value]


def _literal(value: Any) -> Node:
    if isinstance(value, dict):
        return ["o", [[["v", name], _literal(item)] for name, item in value.items()]]
    if isinstance(value, list):
        return ["l", [_literal(item) for item in value]]
    return ["v", value]


def _listed(value: Any) -> list[dict[str, Any]]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def _labelled(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in _listed(value):
        for name, bodies in block.items():
            for body in _listed(bodies):
                yield name, body
