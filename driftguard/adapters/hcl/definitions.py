"""What one Terraform file defines, in either syntax, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, Final

import msgspec

from driftguard.adapters.hcl.expressions import SERVED, ExpressionReader, FileDefinitions, from_text, parse_errors
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
        source = arguments.get("source", ["?"])
        file.calls[name] = Call(str(source[1]) if source[0] == "v" else "", arguments, arguments.get("for_each"))
    for kind, content in value.items():
        if kind in SERVED:
            _json_served(file, kind, content)
        elif kind not in ("variable", "locals", "module"):
            _json_deep(file.reader, content)
    return file.result()


def _json_served(file: FileDefinitions, kind: str, content: Any) -> None:
    """Blocks whose arguments a provider reads; a provider's own block has one label."""
    for first, inner in _labelled(content):
        named = [([first, name], body) for name, body in _labelled(inner)] if kind != "provider" else [([first], inner)]
        for names, body in named:
            arguments = _json_block(file.reader, body, file.argument_of(kind, names))
            if first == "archive_file":
                file.archive(names[-1], arguments)


Taking = Callable[[str, Node, int], None]


def _json_block(reader: ExpressionReader, body: dict[str, Any], take: Taking | None = None) -> dict[str, Node]:
    """The arguments of a block in JSON syntax, which `for_each` may repeat."""
    each = body.get("for_each")
    with reader.loop(("each",), _json_node(reader, each), "each") if each is not None else nullcontext():
        arguments = {name: _json_node(reader, item) for name, item in body.items()}
        if take is not None:
            for name, node in arguments.items():
                for text in _texts(node):
                    take(name, text, 0)
        return arguments


def _texts(node: Node) -> Iterator[Node]:
    """Every text in the value of an argument in JSON syntax, in which a block looks like an object."""
    if node[0] == "o":
        for _, value in node[1]:
            yield from _texts(value)
    elif node[0] == "l":
        for item in node[1]:
            yield from _texts(item)
    else:
        yield node


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
