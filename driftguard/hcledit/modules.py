"""What an environment's modules declare, where, and what else would change with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import basename, dirname, join, normpath
from typing import Final

from driftguard.hcledit.source import EditRefused, EnvironmentSource
from driftguard.hcledit.syntax import Block, Expression, JsonDocument, NativeFile, Token
from driftguard.model.addresses import address_parts

_BOM: Final = "\ufeff"
_DEEPEST: Final = 30
_LABELS: Final = {"resource": 2, "data": 2, "module": 1, "variable": 1}


@dataclass(frozen=True)
class SourceFile:
    """One file; `problem` names where it could not be parsed, and then nothing else is known of it."""

    path: str
    bom: str
    text: str = field(repr=False)
    json: bool
    hcl: NativeFile | None = field(default=None, repr=False)
    document: JsonDocument | None = field(default=None, repr=False)
    problem: str | None = None

    @property
    def newline(self) -> str:
        """How its lines end."""
        return "\r\n" if "\r\n" in self.text else "\n"

    @property
    def comments(self) -> tuple[tuple[int, int], ...]:
        """Start and end of each comment; JSON has none."""
        return tuple(self.hcl.comments) if self.hcl else ()

    @property
    def overrides(self) -> bool:
        """Whether it is an override file, which changes what other files declare."""
        stem = basename(self.path).split(".")[0]
        return stem == "override" or stem.endswith("_override")


@dataclass(frozen=True)
class Declared:
    """One resource, module call or variable: a block, or an entry of a JSON file with the objects around it."""

    file: SourceFile
    labels: tuple[str, ...]
    start: int
    end: int
    line: int
    block: Block | None
    body: Expression | None = None
    around: tuple[Expression, ...] = ()

    def value(self, name: str) -> Expression | None:
        """The value of one of its attributes, where that is written."""
        if self.block is not None:
            return next((a.expression for a in self.block.attributes if a.name == name), None)
        entries = self.body.entries if self.body is not None else ()
        return next((entry.expression for entry in entries if entry.key == name), None)

    def repeated(self) -> Expression | None:
        """What makes several instances of it, where anything does."""
        return self.value("count") or self.value("for_each")


@dataclass(frozen=True)
class Module:
    """One module as it is called; the environment's root has no call."""

    directory: str
    parent: Module | None = None
    call: Declared | None = None

    def chain(self) -> Iterator[Module]:
        """This one and those around it, without the root."""
        module: Module | None = self
        while module is not None and module.call is not None:
            yield module
            module = module.parent


class ModuleTree:
    """All files of one environment, read and parsed once."""

    def __init__(self, source: EnvironmentSource) -> None:
        self._source = source
        self._directories: dict[str, Mapping[str, bytes]] = {}
        self._parsed: dict[str, SourceFile] = {}
        self.root = Module(normpath(source.root))
        self._modules: list[Module] | None = None

    # --- files -----------------------------------------------------------------------------------------

    def files(self, directory: str) -> list[SourceFile]:
        """The Terraform files directly in a directory, by path."""
        return [self.parsed(p) for p in sorted(self._listed(directory)) if p.endswith((".tf", ".tf.json"))]

    def _listed(self, directory: str) -> Mapping[str, bytes]:
        if directory not in self._directories:
            self._directories[directory] = self._source.tree.files(directory)
        return self._directories[directory]

    def parsed(self, path: str) -> SourceFile:
        """One file, by its path from the repository's root."""
        if path not in self._parsed:
            self._parsed[path] = self._parse(path, self._listed(dirname(path) or ".")[path])
        return self._parsed[path]

    def _parse(self, path: str, content: bytes) -> SourceFile:
        is_json = path.endswith(".json")
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            return SourceFile(path, "", content.decode("latin-1"), is_json, problem="a place that is not UTF-8")
        bom, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
        try:
            if is_json:
                templates = path.endswith(".tf.json")
                return SourceFile(path, bom, text, True, document=self._source.parser.json(text, templates=templates))
            return SourceFile(path, bom, text, False, hcl=self._source.parser.hcl(text))
        except ValueError as error:
            return SourceFile(path, bom, text, is_json, problem=str(error))

    def tokens(self, path: str, text: str) -> tuple[Token, ...]:
        """Every word of a text in a file's notation; ValueError where it cannot be parsed."""
        if path.endswith(".json"):
            return tuple(self._source.parser.json(text, templates=path.endswith(".tf.json")).tokens)
        return tuple(self._source.parser.hcl(text).tokens)

    def var_files(self) -> list[str]:
        """The files that give variables of the root module; the last one that gives a variable wins."""
        root = self.root.directory
        here = self._listed(root)
        own = [join(root, name) for name in ("terraform.tfvars", "terraform.tfvars.json")]
        automatic = [
            path for path in sorted(here, key=basename) if path.endswith((".auto.tfvars", ".auto.tfvars.json"))
        ]
        given = [normpath(join(root, name)) for name in self._source.var_files]
        known = [path for path in map(normpath, [*own, *automatic]) if path in here]
        return known + [path for path in given if path in self._listed(dirname(path) or ".")]

    # --- declarations ------------------------------------------------------------------------------------

    def declared(self, directory: str, labels: tuple[str, ...]) -> Declared:
        """What declares it.

        Raises:
            EditRefused: nothing does; or more than one thing, such as an override file; or a file cannot be read.
        """
        files = self.files(directory)
        found = [each for file in files for each in _declared_in(file) if each.labels == labels]
        for file in files:
            if file.problem and (not found or all(label in file.text for label in labels[1:])):
                raise EditRefused(f"the file could not be parsed at {file.problem}", _line_of(file), file.path)
        if not found:
            raise EditRefused(f"nothing in {directory} declares it")
        overriding = next((each for each in found if each.file.overrides), None)
        if overriding is not None:
            raise EditRefused("an override file sets it", overriding.line, overriding.file.path)
        if len(found) > 1:
            raise EditRefused("it is declared more than once", found[1].line, found[1].file.path)
        return found[0]

    def module_of(self, address: str) -> tuple[Module, tuple[str, ...]]:
        """The module that an address is in, and the rest of the address without keys.

        Raises:
            EditRefused: the module is not in this repository, or there are several instances of it.
        """
        parts = address_parts(address)
        module = self.root
        while parts[:1] == ["module"] and len(parts) > 2:
            call = self.declared(module.directory, ("module", parts[1]))
            inner = self._called(module, call)
            if inner is None:
                raise EditRefused("the module's source is not in this repository", call.line, call.file.path)
            module, parts = inner, parts[2:]
        if len(parts) != 2:
            raise EditRefused("its address cannot be read")
        return module, tuple(parts)

    def _called(self, module: Module, call: Declared) -> Module | None:
        source = call.value("source")
        if source is None or source.kind != "string" or not str(source.value).startswith(("./", "../")):
            return None
        return Module(normpath(join(module.directory, str(source.value))), module, call)

    def _all_modules(self) -> list[Module]:
        if self._modules is None:
            self._modules = list(self._below(self.root, 0))
        return self._modules

    def _below(self, module: Module, depth: int) -> Iterator[Module]:
        yield module
        if depth > _DEEPEST:
            return
        for file in self.files(module.directory):
            for call in _declared_in(file):
                inner = self._called(module, call) if call.labels[0] == "module" else None
                if inner is not None:
                    yield from self._below(inner, depth + 1)

    # --- who else would change ----------------------------------------------------------------------------

    def must_be_alone(self, module: Module, file: SourceFile, line: int) -> None:
        """Raises EditRefused where a change of a module's file would change anything beside this module."""
        if file.overrides:
            raise EditRefused("an override file sets it", line, file.path)
        others = self._source.tree.shared_with(file.path)
        if others:
            names = ", ".join(sorted(others))
            raise EditRefused(
                f"the file belongs to other environments too: it would also change {names}", line, file.path
            )
        for each in module.chain():
            assert each.call is not None
            if each.call.repeated() is not None:
                where = f"{each.call.file.path}:{each.call.line}"
                why = f"the module is called with count or for_each ({where}): all its instances would change"
                raise EditRefused(why, line, file.path)
        self._must_be_called_once(module, file, line)

    def _must_be_called_once(self, module: Module, file: SourceFile, line: int) -> None:
        calls = [m.call for m in self._all_modules() if m.directory == module.directory and m.call is not None]
        other = [
            call for call in calls if module.call is None or call.start != module.call.start or call != module.call
        ]
        if len(calls) > 1:
            places = ", ".join(f"module.{c.labels[1]} ({c.file.path}:{c.line})" for c in other or calls)
            raise EditRefused(f"the module is called more than once: it would also change {places}", line, file.path)

    def uses(
        self, directory: str, pattern: re.Pattern[str], besides: Iterable[tuple[str, int, int]]
    ) -> Iterator[tuple[str, int]]:
        """Where a pattern stands in a directory's files, outside of comments and of certain stretches."""
        besides = list(besides)
        for file in self.files(directory):
            for match in pattern.finditer(file.text):
                at = match.start()
                out = any(path == file.path and start <= at < end for path, start, end in besides)
                if not out and not any(start <= at < end for start, end in file.comments):
                    yield file.path, file.text.count("\n", 0, at) + 1


def _line_of(file: SourceFile) -> int | None:
    match = re.search(r"\d+", file.problem or "")
    return int(match[0]) if match else None


def _declared_in(file: SourceFile) -> Iterator[Declared]:
    for block in file.hcl.blocks if file.hcl else ():
        if _LABELS.get(block.kind) == len(block.labels):
            yield Declared(file, (block.kind, *block.labels), block.start, block.end, block.line, block)
    if file.document is None:
        return
    for kind in _entries([file.document.root]):
        if kind[0] in _LABELS:
            for labels, line, start, end, around in _labelled(kind[1], _LABELS[kind[0]], (file.document.root,)):
                for body in _objects(around[-1]):
                    yield Declared(file, (kind[0], *labels), start, end, line, None, body, around[:-1])


def _labelled(
    value: Expression, depth: int, around: tuple[Expression, ...]
) -> Iterator[tuple[tuple[str, ...], int, int, int, tuple[Expression, ...]]]:
    for holder in _objects(value):
        for entry in holder.entries:
            if entry.key is None:
                continue
            inside = (*around, holder)
            if depth == 1:
                yield (entry.key,), entry.line, entry.start, entry.end, (*inside, entry.expression)
                continue
            for labels, line, start, end, more in _labelled(entry.expression, depth - 1, inside):
                yield (entry.key, *labels), line, start, end, more


def _entries(values: Iterable[Expression]) -> Iterator[tuple[str, Expression]]:
    for value in values:
        for holder in _objects(value):
            yield from ((entry.key, entry.expression) for entry in holder.entries if entry.key is not None)


def _objects(value: Expression) -> Iterator[Expression]:
    if value.kind == "object":
        yield value
    elif value.kind == "list":
        for item in value.items:
            yield from _objects(item)
