"""Which files an expression names: evaluates what can be evaluated, and names what cannot.

Takes the definitions of modules (locals, variables, calls) and gives texts in which `HOLE` stands for what is not
known. Everything is over-approximated: where a value may be one of several, each of them counts. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from posixpath import join, normpath
from typing import Any, Final, Protocol

from driftguard.model.expressions import Call, FileReference, Loop, Node
from driftguard.pipeline.hclfunctions import FUNCTIONS, HOLE, as_text

CHECKOUT: Final = "/.checkout.of.driftguard"
"""The absolute path of the repository's root; where the checkout really lies is not the evaluation's business."""
_MAX_VALUES: Final = 256
_DEEPEST: Final = 40


class FileListing(Protocol):
    """The files of one commit."""

    def below(self, directory: str) -> Sequence[str]:
        """The files below a directory (`` is the root), relative to it."""
        ...


class ScopeFunctions(Protocol):
    """Functions besides Terraform's own."""

    def named(self, function: str) -> Callable[..., Any] | None:
        """A function by its name; None where there is none of that name."""
        ...


@dataclass(slots=True)
class Scope:
    """One call of a module, in which its expressions are evaluated.

    Attributes:
        directory: the module's, from the repository's root; root: the root module's.
        workspace: the value of `terraform.workspace`.
        locals: by name.
        defaults: of variables, by name; None for one without.
        given: values of variables by name, as the root module gets them; of another module's call: `call`.
        call: the `module` block that calls it, and the scope in which that stands; None for the root module.
        tree: the files of the commit, for `fileset`.
        archives: of each `archive_file`, where it is written.
        functions: those that only this scope has.
    """

    directory: str
    root: str
    workspace: str
    tree: FileListing
    locals: Mapping[str, Node] = field(default_factory=dict)
    defaults: Mapping[str, Node | None] = field(default_factory=dict)
    given: Mapping[str, Node] = field(default_factory=dict)
    call: tuple[Call, Scope] | None = None
    archives: Mapping[str, Node] = field(default_factory=dict)
    functions: ScopeFunctions | None = None


Names = Mapping[str, Any]


def paths_of(reference: FileReference, scope: Scope) -> list[str]:
    """Every text that the first argument of a file function may be, `HOLE` where it is not known."""
    if not reference.arguments:
        return [HOLE]
    found: dict[str, None] = {}
    for names in _bound(reference.loops, scope):
        for value in _Evaluation(scope).values(reference.arguments[0], names, 0):
            found[as_text(value)] = None
            if len(found) > _MAX_VALUES:
                return [HOLE]
    return list(found)


def _bound(loops: Sequence[Loop], scope: Scope) -> Iterator[Names]:
    """The names that loops bind, for each of their rounds."""
    if not loops:
        yield {}
        return
    *outer, inner = loops
    for names in _bound(outer, scope):
        for key, value in _items(_Evaluation(scope).values(inner.over, names, 0)):
            if inner.kind == "each":
                yield {**names, inner.names[0]: {"key": key, "value": value}}
            else:
                yield {**names, **dict(zip(inner.names, (key, value) if inner.names[1:] else (value,), strict=True))}


def _items(collections: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Keys and values of what is looped over; one unknown pair where that is not known."""
    found: list[tuple[Any, Any]] = []
    for collection in collections:
        if isinstance(collection, dict):
            found += collection.items()
        elif isinstance(collection, list):
            found += [(item if isinstance(item, str) else HOLE, item) for item in collection]
        else:
            found.append((HOLE, HOLE))
    return found


class _Evaluation:
    """Evaluates nodes in a scope. Each method gives every value that a node may have, never none."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def values(self, node: Node, names: Names, depth: int) -> list[Any]:
        """All values of a node; `[HOLE]` where it is not known, or could be too many."""
        if depth > _DEEPEST:
            return [HOLE]
        handler = _NODES.get(node[0])
        found = handler(self, node, names, depth + 1) if handler is not None else [HOLE]
        unique: list[Any] = []
        for value in found:
            if value not in unique:
                unique.append(value)
            if len(unique) > _MAX_VALUES:
                return [HOLE]
        return unique or [HOLE]

    def _together(self, nodes: Sequence[Node], names: Names, depth: int) -> list[tuple[Any, ...]]:
        """Each combination of the values of several nodes; one of which nothing is known where they are too many."""
        found = list(islice(product(*(self.values(node, names, depth) for node in nodes)), _MAX_VALUES + 1))
        return found if len(found) <= _MAX_VALUES else [(HOLE,) * len(nodes)]

    def literal(self, node: Node, names: Names, depth: int) -> list[Any]:
        return [node[1]]

    def template(self, node: Node, names: Names, depth: int) -> list[Any]:
        return ["".join(map(as_text, parts)) for parts in self._together(node[1], names, depth)]

    def name(self, node: Node, names: Names, depth: int) -> list[Any]:
        return [names[node[1]]] if node[1] in names else [HOLE]

    def attribute(self, node: Node, names: Names, depth: int) -> list[Any]:
        target, attribute = node[1], node[2]
        if target[0] == "n" and target[1] not in names:
            return self._global(str(target[1]), attribute, depth)
        if attribute == "output_path" and (archive := _archive_name(target)) in self._scope.archives:
            return self.values(self._scope.archives[archive], names, depth)
        return [_item(value, attribute) for value in self.values(target, names, depth)]

    def index(self, node: Node, names: Names, depth: int) -> list[Any]:
        found: list[Any] = []
        for value, key in self._together([node[1], node[2]], names, depth):
            if key == HOLE and isinstance(value, (dict, list)):
                found += value.values() if isinstance(value, dict) else value
            else:
                found.append(_item(value, key))
        return found

    def splat(self, node: Node, names: Names, depth: int) -> list[Any]:
        found = []
        for value in self.values(node[1], names, depth):
            items = value if isinstance(value, list) else [value]
            for attribute in node[2]:
                items = [_item(item, attribute) for item in items]
            found.append(items if value != HOLE else HOLE)
        return found

    def call(self, node: Node, names: Names, depth: int) -> list[Any]:
        _, function, arguments, spread = node
        if function == "fileset":
            return [self._fileset(path, pattern) for path, pattern in self._together(arguments[:2], names, depth)]
        if function in ("try", "coalesce"):  # whichever of them it is
            return [value for argument in arguments for value in self.values(argument, names, depth)]
        found = []
        for given in self._together(arguments, names, depth):
            if spread and given:
                if not isinstance(given[-1], list):
                    return [HOLE]
                given = (*given[:-1], *given[-1])
            found.append(self._called(function, given))
        return found

    def _called(self, function: str, given: tuple[Any, ...]) -> Any:
        if function == "abspath" and given:
            return _absolute(self._scope.root, as_text(given[0]))
        own = self._scope.functions.named(function) if self._scope.functions is not None else None
        known = own or FUNCTIONS.get(function)
        try:
            return known(*given) if known is not None else HOLE
        except (TypeError, ValueError, AttributeError, KeyError, IndexError):
            return HOLE  # Terraform would refuse it, or it is not followed

    def _fileset(self, path: Any, pattern: Any) -> Any:
        if HOLE in as_text(path) or HOLE in as_text(pattern):
            return HOLE
        parts = as_text(pattern).split("/")
        literal = next((n for n, part in enumerate(parts[:-1]) if re.search(r"[*?{\[\\]", part)), len(parts) - 1)
        base, wanted = "/".join(parts[:literal]), re.compile(_glob("/".join(parts[literal:])), re.DOTALL)
        where = in_repository(self._scope.root, join(as_text(path), base))
        if where is None:
            return HOLE
        return [join(base, name) for name in self._scope.tree.below(where) if wanted.fullmatch(name)]

    def tuple_(self, node: Node, names: Names, depth: int) -> list[Any]:
        return [list(items) for items in self._together(node[1], names, depth)]

    def object_(self, node: Node, names: Names, depth: int) -> list[Any]:
        flat = [part for pair in node[1] for part in pair]
        return [dict(zip(map(as_text, v[::2]), v[1::2], strict=True)) for v in self._together(flat, names, depth)]

    def conditional(self, node: Node, names: Names, depth: int) -> list[Any]:
        return [*self.values(node[2], names, depth), *self.values(node[3], names, depth)]

    def loop(self, node: Node, names: Names, depth: int) -> list[Any]:
        _, bound, over, key, value = node
        rounds = _items(self.values(over, names, depth))
        made: list[tuple[str, Any]] = []
        for item_key, item in rounds:
            inner = {**names, **dict(zip(bound, (item_key, item) if bound[1:] else (item,), strict=False))}
            keys = [HOLE] if key is None else self.values(key, inner, depth)
            made += [(as_text(k), v) for k in keys for v in self.values(value, inner, depth)]
        if any(item_key == HOLE for item_key, _ in rounds) and key is not None:
            return [HOLE]
        return [[v for _, v in made] if key is None else dict(made)]

    def _global(self, kind: str, name: str, depth: int) -> list[Any]:
        scope = self._scope
        if kind == "local" and name in scope.locals:
            return self.values(scope.locals[name], {}, depth)
        if kind == "var":
            return self._variable(name, depth)
        if kind == "path":
            return [
                {"module": _relative(scope.directory, scope.root), "root": "."}.get(name, _absolute(scope.root, "."))
            ]
        if (kind, name) == ("terraform", "workspace"):
            return [scope.workspace]
        return [HOLE]

    def _variable(self, name: str, depth: int) -> list[Any]:
        scope = self._scope
        if scope.call is not None:
            call, outer = scope.call
            if name in call.arguments:
                loops = [Loop("each", ("each",), call.for_each)] if call.for_each is not None else []
                evaluation = _Evaluation(outer)
                return [
                    v for names in _bound(loops, outer) for v in evaluation.values(call.arguments[name], names, depth)
                ]
        elif name in scope.given:
            return self.values(scope.given[name], {}, depth)
        default = scope.defaults.get(name)
        return [HOLE] if default is None else self.values(default, {}, depth)


_NODES: Final[dict[str, Callable[[_Evaluation, Node, Names, int], list[Any]]]] = {
    "v": _Evaluation.literal,
    "t": _Evaluation.template,
    "n": _Evaluation.name,
    "a": _Evaluation.attribute,
    "i": _Evaluation.index,
    "s": _Evaluation.splat,
    "f": _Evaluation.call,
    "l": _Evaluation.tuple_,
    "o": _Evaluation.object_,
    "c": _Evaluation.conditional,
    "for": _Evaluation.loop,
}


def _archive_name(node: Node) -> str:
    """The name of the `archive_file` that a node refers to, instance keys aside; empty for anything else."""
    inner = node[1] if node[0] == "i" else node
    is_archive = inner[0] == "a" and inner[1][0] == "a" and inner[1][2] == "archive_file"
    return str(inner[2]) if is_archive else ""


def _item(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        return value.get(as_text(key), HOLE)
    if isinstance(value, list) and str(key).isdigit() and int(key) < len(value):
        return value[int(key)]
    return HOLE


# --- paths ---------------------------------------------------------------------------------------


def _relative(directory: str, root: str) -> str:
    here, there = [p for p in directory.split("/") if p], [p for p in root.split("/") if p]
    common = 0
    while common < min(len(here), len(there)) and here[common] == there[common]:
        common += 1
    return "/".join([".."] * (len(there) - common) + here[common:]) or "."


def _absolute(root: str, path: str) -> str:
    """`abspath` of a path that is relative to the root module's directory; what is not known ends it."""
    before, hole, _ = path.partition(HOLE)
    if hole:
        before = before.rpartition("/")[0] or ("/" if before.startswith("/") else ".")
    return normpath(join(CHECKOUT, root, before)) + (f"/{HOLE}" if hole else "")


def in_repository(root: str, path: str) -> str | None:
    """Where a path of the root module leads, from the repository's root (`` is the root); None for outside of it."""
    whole = normpath(join(CHECKOUT, root, path))
    if whole == CHECKOUT:
        return ""
    return whole[len(CHECKOUT) + 1 :] if whole.startswith(f"{CHECKOUT}/") else None


def _glob(pattern: str) -> str:
    """A pattern of `fileset` as a regular expression; alternatives hold patterns themselves."""
    text, position = "", 0
    while position < len(pattern):
        part = _PARTS.match(pattern, position)
        if pattern[position] == "{" and (end := _closing(pattern, position)):
            text += "(?:" + "|".join(map(_glob, _alternatives(pattern[position + 1 : end]))) + ")"
            position = end + 1
        elif part is None:
            text += re.escape(pattern[position])
            position += 1
        else:
            text += _WILD.get(part[0]) or _characters(part[0])
            position = part.end()
    return text


_PARTS: Final = re.compile(r"\*\*/|\*\*|\*|\?|\\.|\[[^\]]+\]")
_WILD: Final = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _characters(part: str) -> str:
    """A set of characters, or one that is escaped."""
    if part.startswith("["):
        inner = part[1:-1].replace("\\", r"\\").replace("[", r"\[")
        return f"[^{inner[1:]}]" if inner[0] in "!^" and inner[1:] else f"[{inner}]"
    return re.escape(part[1:])


def _closing(pattern: str, start: int) -> int:
    """Where the brace that opens at a position is closed; 0 for nowhere."""
    depth = 0
    for position in range(start, len(pattern)):
        depth += (pattern[position] == "{") - (pattern[position] == "}")
        if depth == 0:
            return position
    return 0


def _alternatives(text: str) -> list[str]:
    """What stands between the commas of a pair of braces, those of inner braces aside."""
    found, depth = [""], 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            found.append("")
        else:
            found[-1] += character
    return found
