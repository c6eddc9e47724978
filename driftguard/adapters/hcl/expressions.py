"""Expressions of one Terraform file, as data: what its files are named by, and what those names are made of."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from driftguard.model.expressions import FILE_ARGUMENTS, FILE_FUNCTIONS, Call, Definitions, FileReference, Loop, Node

_UNKNOWN: Final[Node] = ["?", []]
SERVED: Final = frozenset({"resource", "data", "ephemeral", "provider", "action", "list"})
"""Blocks whose arguments a provider reads."""


def _parse(text: str) -> Any:
    import hcl2  # slow to import, and needed only for files never seen before

    return hcl2.parses_to_tree(text if text.endswith("\n") else f"{text}\n")


def parse_errors() -> Any:
    """The errors that python-hcl2 raises for a text that it cannot parse; imported only where one is raised."""
    from lark.exceptions import LarkError

    return LarkError


def _kind(tree: Any) -> str:
    return str(getattr(tree, "data", ""))


def _children(tree: Any) -> list[Any]:
    """The subtrees, without the tokens between them."""
    return [child for child in tree.children if hasattr(child, "children") and _kind(child) != "new_line_or_comment"]


def _name(tree: Any) -> str:
    text = "".join(str(token) for token in tree.scan_values(lambda _: True))
    return _unquoted(text) if _kind(tree) == "string" else text.strip()


def _unquoted(text: str) -> str:
    with contextlib.suppress(msgspec.DecodeError):
        return str(msgspec.json.decode(text.encode()))
    return text.strip('"')


class ExpressionReader:
    """Turns trees into nodes, and collects the file references on its way."""

    def __init__(self) -> None:
        self.references: list[FileReference] = []
        self._loops: list[Loop] = []

    @contextlib.contextmanager
    def loop(self, names: tuple[str, ...], over: Node, kind: str = "for") -> Iterator[None]:
        """While the context is open, what is read stands in a loop."""
        self._loops.append(Loop(kind, names, over))
        try:
            yield
        finally:
            self._loops.pop()

    def refer(self, function: str, argument: Node, line: int = 0) -> None:
        """Take note of what an argument names as a file, in the loops that stand around it."""
        self.references.append(FileReference(function, [argument], tuple(self._loops), line))

    def node(self, tree: Any) -> Node:
        """One expression."""
        handler = getattr(self, f"_{_kind(tree)}", None)
        return handler(tree) if handler is not None else self._anything(tree)

    def _anything(self, tree: Any) -> Node:
        """An expression whose value is not followed, such as a calculation; what stands in it is read all the same."""
        return ["?", [self.node(child) for child in _children(tree)]]

    def _expr_term(self, tree: Any) -> Node:
        inner = _children(tree)
        return self.node(inner[0]) if len(inner) == 1 else self._anything(tree)

    def _identifier(self, tree: Any) -> Node:
        return ["n", _name(tree)]

    def _literal_value(self, tree: Any) -> Node:
        return ["v", {"true": True, "false": False}.get(_name(tree))]

    def _int_lit(self, tree: Any) -> Node:
        return ["v", _name(tree)]

    _float_lit = _int_lit

    def _string(self, tree: Any) -> Node:
        parts: list[Node] = []
        for part in _children(tree):
            for child in part.children:
                if not hasattr(child, "children"):
                    text = str(child)
                    plain = text.replace("$${", "${").replace("%%{", "%{")
                    parts.append(["v", _unquoted(f'"{plain}"')])
                elif _kind(child) == "interpolation":
                    parts.append(self.node(_children(child)[0]))
                else:
                    parts.append(self._anything(child))
        return parts[0] if len(parts) == 1 and parts[0][0] == "v" else ["t", parts]

    def _heredoc_template(self, tree: Any) -> Node:
        first, *lines = str(tree.children[0]).split("\n")
        last = next((n for n in reversed(range(len(lines))) if lines[n].strip()), 0)
        text = "\n".join((*lines[:last], ""))
        return self.template(textwrap.dedent(text) if first.startswith("<<-") else text, _line(tree))

    def template(self, text: str, line: int = 0) -> Node:
        """The text of a template outside of HCL's own quotes: of a heredoc, or of a string in JSON syntax."""
        if "${" not in text and "%{" not in text:
            return ["v", text]
        try:
            return self.node(_only_value(_parse(f"x = {_quoted(text)}")))
        except (parse_errors(), ValueError):
            if any(f"{function}(" in text for function in FILE_FUNCTIONS):
                self.references.append(FileReference("file", [_UNKNOWN], tuple(self._loops), line))
            return _UNKNOWN

    _heredoc_template_trim = _heredoc_template

    def _get_attr_expr_term(self, tree: Any) -> Node:
        target, attribute = _children(tree)
        return ["a", self.node(target), _name(attribute).lstrip(".").strip()]

    def _index_expr_term(self, tree: Any) -> Node:
        target, index = _children(tree)
        inner = _children(index)
        return ["i", self.node(target), self.node(inner[0]) if inner else ["v", _name(index).lstrip(".")]]

    def _full_splat_expr_term(self, tree: Any) -> Node:
        target, splat = _children(tree)
        attributes = [_name(part).lstrip(".").strip() for part in _children(splat)]
        return ["s", self.node(target), attributes]

    _attr_splat_expr_term = _full_splat_expr_term

    def _conditional(self, tree: Any) -> Node:
        condition, yes, no = (self.node(child) for child in _children(tree))
        return ["c", condition, yes, no]

    def _tuple(self, tree: Any) -> Node:
        return ["l", [self.node(child) for child in _children(tree)]]

    def _object(self, tree: Any) -> Node:
        pairs = []
        for element in _children(tree):
            key, value = _children(element)
            named = self.node(_children(key)[0])
            pairs.append([["v", named[1]] if named[0] == "n" else named, self.node(value)])
        return ["o", pairs]

    def _for_tuple_expr(self, tree: Any) -> Node:
        names, over, rest = self._for(tree)
        with self.loop(names, over):
            values = [self.node(child) for child in rest]
        return ["for", list(names), over, None, values[0]]

    def _for_object_expr(self, tree: Any) -> Node:
        names, over, rest = self._for(tree)
        with self.loop(names, over):
            values = [self.node(child) for child in rest]
        return ["for", list(names), over, values[0], values[1]]

    def _for(self, tree: Any) -> tuple[tuple[str, ...], Node, list[Any]]:
        intro, *rest = _children(tree)
        *names, over = _children(intro)
        return tuple(_name(name) for name in names), self.node(over), rest

    def _function_call(self, tree: Any) -> Node:
        *names, last = _children(tree)
        has_arguments = _kind(last) == "arguments"
        name = "::".join(_name(part) for part in (names if has_arguments else [*names, last]))
        arguments = [self.node(child) for child in _children(last)] if has_arguments else []
        spread = has_arguments and any(str(token) == "..." for token in last.children if not hasattr(token, "data"))
        if name.removeprefix("core::") in FILE_FUNCTIONS:
            self.references.append(
                FileReference(name.removeprefix("core::"), arguments, tuple(self._loops), _line(tree))
            )
        return ["f", name.removeprefix("core::"), arguments, spread]


def _line(tree: Any) -> int:
    return int(getattr(tree.meta, "line", 0))


def _only_value(tree: Any) -> Any:
    (body,) = _children(tree)
    return _children(_children(body)[0])[-1]


def _interpolations(text: str) -> Iterator[str]:
    """What stands in `${…}` and `%{…}` of a template; brackets in it are counted, quoted ones are not."""
    position = 0
    while (
        start := min((i for i in (text.find("${", position), text.find("%{", position)) if i >= 0), default=-1)
    ) >= 0:
        end, depth, quoted = start + 2, 1, False
        while end < len(text) and depth:
            character = text[end]
            if character == '"' and text[end - 1] != "\\":
                quoted = not quoted
            elif not quoted:
                depth += (character == "{") - (character == "}")
            end += 1
        yield text[start + 2 : end - 1].strip(" ~")
        position = end


class FileDefinitions:
    """Collects the definitions of one file."""

    def __init__(self) -> None:
        self.reader = ExpressionReader()
        self.locals: dict[str, Node] = {}
        self.variables: dict[str, Node | None] = {}
        self.values: dict[str, Node] = {}
        self.calls: dict[str, Call] = {}
        self.archives: dict[str, Node] = {}
        self._names_files: Callable[[str, Node, int], None] | None = None

    def result(self) -> Definitions:
        """Everything collected."""
        return Definitions(
            locals=self.locals,
            variables=self.variables,
            values=self.values,
            calls=self.calls,
            references=tuple(self.reader.references),
            archives=self.archives,
        )

    def block(self, block: Any) -> None:
        """One top-level block."""
        *labels, body = _children(block)
        kind, *names = [_name(label) for label in labels]
        if kind == "variable" and names:
            self.variables[names[0]] = self._attributes(body).get("default")
        elif kind == "locals":
            self.locals |= self._attributes(body)
        elif kind == "module" and names:
            arguments = self._repeated(body)
            source = arguments.get("source")
            text = str(source[1]) if source and source[0] == "v" else ""
            self.calls[names[0]] = Call(text, arguments, arguments.get("for_each"))
        elif names[:1] == ["archive_file"]:
            self.archive(names[-1], self._repeated(body))
        elif kind in SERVED:
            self._names_files = self.argument_of(kind, names)
            self._repeated(body)
            self._names_files = None
        else:
            self._repeated(body)

    def argument_of(self, kind: str, names: list[str]) -> Callable[[str, Node, int], None]:
        """What takes note of the arguments of a block that a provider reads: any of them may name a file."""
        certain = FILE_ARGUMENTS.get((kind, names[0] if names else ""), frozenset())
        address = ".".join((*(() if kind == "resource" else (kind,)), *names))

        def argument(name: str, node: Node, line: int) -> None:
            known = f"{address}.{name}" if name in certain else ""
            for item in node[1] if node[0] == "l" else [node]:
                if known or item[0] != "o":
                    self.reader.refer(known, item, line)

        return argument

    def archive(self, name: str, attributes: dict[str, Node]) -> None:
        """An `archive_file`: what it packs is read, what it writes is not."""
        self.archives[name] = attributes.get("output_path", _UNKNOWN)
        for read in ("source_dir", "source_file"):
            if read in attributes:
                self.reader.refer(f"archive_file.{name}.{read}", attributes[read])

    def _repeated(self, body: Any) -> dict[str, Node]:
        """The attributes of a block that `for_each` may repeat; what it binds holds in all of them."""
        each = next(
            (a for a in _children(body) if _kind(a) == "attribute" and _name(_children(a)[0]) == "for_each"), None
        )
        if each is None:
            return self._attributes(body)
        with self.reader.loop(("each",), self.reader.node(_children(each)[1]), "each"):
            return self._attributes(body)

    def _attributes(self, body: Any) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for child in _children(body):
            if _kind(child) == "attribute":
                name, value = _children(child)
                node = found[_name(name)] = self.reader.node(value)
                if self._names_files is not None:
                    self._names_files(_name(name), node, _line(child))
            elif _kind(child) == "block":
                self._inner(child)
        return found

    def _inner(self, block: Any) -> None:
        *labels, body = _children(block)
        kind, *names = [_name(label) for label in labels]
        if kind != "dynamic" or not names:
            self._attributes(body)
            return
        attributes = {_name(_children(a)[0]): _children(a)[1] for a in _children(body) if _kind(a) == "attribute"}
        over = self.reader.node(attributes["for_each"]) if "for_each" in attributes else _UNKNOWN
        name = _name(attributes["iterator"]) if "iterator" in attributes else names[0]
        with self.reader.loop((name,), over, "each"):
            self._attributes(body)


def from_text(path: str, text: str) -> Definitions:
    """The definitions of a file in HCL's own syntax.

    Raises:
        LarkError, ValueError, RecursionError: it cannot be parsed.
    """
    file = FileDefinitions()
    for body in _children(_parse(text)):
        for child in _children(body):
            if _kind(child) == "block":
                file.block(child)
            elif _kind(child) == "attribute":
                name, value = _children(child)
                node = file.reader.node(value)
                if path.endswith(".tfvars"):
                    file.values[_name(name)] = node
    return file.result()


def _quoted(value: str) -> str:
    """A template in HCL's quotes, inside of whose `${…}` nothing is escaped."""
    text, position = "", 0
    for inside in _interpolations(value):
        start = value.index(inside, position) if inside else position
        text += msgspec.json.encode(value[position:start]).decode()[1:-1] + inside
        position = start + len(inside)
    return f'"{text}{msgspec.json.encode(value[position:]).decode()[1:-1]}"'
