"""From departures to edited files: finds each value's place, changes it there, and proves every file. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from driftguard.hcledit.bodies import change_attribute
from driftguard.hcledit.documents import document, same
from driftguard.hcledit.edits import Edit, Row, cut_block, without
from driftguard.hcledit.expressions import reason
from driftguard.hcledit.modules import Declared, Module, ModuleTree, SourceFile
from driftguard.hcledit.proof import proven
from driftguard.hcledit.source import EditRefused, EnvironmentSource
from driftguard.hcledit.syntax import Expression
from driftguard.hcledit.values import References, Writer
from driftguard.model import Adoption, Departure, Refusal
from driftguard.sealed import Sealed, reveal

# What a provider computes from another attribute, by that attribute.
_MIRRORS: Final = {
    "tags_all": "tags",
    "labels_all": "labels",
    "effective_labels": "labels",
    "terraform_labels": "labels",
}


def adopt(departures: Sequence[Departure], source: EnvironmentSource) -> Adoption:
    """The environment's files after an edit that makes them match reality.

    Every byte outside of the changed values stays. A file that was formatted has that property
    afterwards too; for that the formatter may change white space beside an edit (the alignment of `=` and of comments).

    Returns:
        The edited files; or, if any part of any departure cannot be adopted with proof, all refusals in the
        order of addresses and attributes.
    """
    return _Adopting(source).adopt(sorted(departures, key=lambda departure: departure.address))


@dataclass
class _Edited:
    file: SourceFile
    address: str
    edits: list[Edit] = field(default_factory=list)


class _Adopting:
    def __init__(self, source: EnvironmentSource) -> None:
        self._source = source
        self._estate = ModuleTree(source)
        self._edited: dict[str, _Edited] = {}
        self._address = ""
        self._removed: list[tuple[Departure, Module, Declared]] = []

    def adopt(self, departures: Sequence[Departure]) -> Adoption:
        refusals: list[Refusal] = []
        for departure in departures:
            self._address = departure.address
            for attribute in sorted(departure.attributes) if departure.reality is not None else [""]:
                try:
                    self._adopt(departure, attribute)
                except EditRefused as refused:
                    refusals.append(_refusal(departure.address, attribute, refused))
        for departure, module, declared in self._removed:
            try:
                self._nothing_refers_to(module, declared)
            except EditRefused as refused:
                refusals.append(_refusal(departure.address, "", refused))
        files: dict[str, bytes] = {}
        for path, edited in sorted(self._edited.items()) if not refusals else ():
            if not edited.edits:
                continue
            try:
                text = self._proven(edited)
            except EditRefused as refused:
                refused.path = refused.path or path
                refusals.append(_refusal(edited.address, "", refused))
                continue
            if text != edited.file.text:
                files[path] = f"{edited.file.bom}{text}".encode()
        return Adoption(refusals=tuple(refusals)) if refusals else Adoption(files=files)

    def _proven(self, edited: _Edited) -> str:
        file = edited.file
        formatted = None if file.json else lambda text: self._source.formatter.formatted(text.encode()).decode()
        return proven(file.text, edited.edits, lambda text: self._estate.tokens(file.path, text), formatted)

    # --- one departure ------------------------------------------------------------------------------------

    def _adopt(self, departure: Departure, attribute: str) -> None:
        if departure.desired is None:
            raise EditRefused("the configuration does not declare it")
        module, labels = self._estate.module_of(departure.address)
        declared = self._estate.declared(module.directory, ("resource", *labels))
        try:
            self._must_be_one(declared, departure.address)
            if departure.reality is None:
                self._take_away(departure, module, declared)
                return
            mirrored = _MIRRORS.get(attribute)
            if mirrored is not None and declared.value(attribute) is None:
                if mirrored in departure.attributes:
                    return
                raise EditRefused(f"it is computed, and {mirrored} did not change", declared.line)
            old, new = departure.desired.get(attribute), departure.reality.get(attribute)
            if attribute in departure.sensitive:
                raise EditRefused("it is sensitive, and is never adopted", declared.line)
            if _new_secret(old, new, _revealed(attribute, new)):
                raise EditRefused("it looks like a secret, and is never adopted", declared.line)
            self._change(module, declared, attribute, old, new)
        except EditRefused as refused:
            refused.path = refused.path or declared.file.path
            raise

    def _must_be_one(self, declared: Declared, address: str) -> None:
        many = declared.repeated()
        if many is None and not address.endswith("]"):
            return
        line = many.line if many is not None else declared.line
        count = len(many.entries) or len(many.items) if many is not None else 0
        if many is not None and many.kind == "number":
            count = int(many.value)
        others = f"{count - 1} other instance{'s' if count != 2 else ''}" if count > 1 else "all other instances"
        raise EditRefused(f"count or for_each makes it from one block: {others} could change too", line)

    def _change(self, module: Module, declared: Declared, attribute: str, old: Any, new: Any) -> None:
        value = declared.value(attribute)
        if value is None or value.kind != "reference":
            self._estate.must_be_alone(module, declared.file, value.line if value is not None else declared.line)
        writer = self._writer(module, declared.file)
        if declared.block is not None:
            if new is None and value is not None and value.kind == "reference":
                raise EditRefused(reason(value), value.line)
            change_attribute(writer, declared.block, attribute, old, new)
        elif declared.body is not None:
            writer.change(declared.body, {attribute: old}, {attribute: new}, partial=True)

    def _writer(self, module: Module, file: SourceFile) -> Writer:
        templates = file.path.endswith((".tf.json", ".tf"))
        return Writer(
            text=file.text,
            newline=file.newline,
            parser=self._source.parser,
            references=_Variables(self, module, file),
            json_style=file.json,
            templates=templates,
            comments=file.comments,
            edits=self._edits(file),
        )

    def _edits(self, file: SourceFile) -> list[Edit]:
        return self._edited.setdefault(file.path, _Edited(file, self._address)).edits

    # --- variables -------------------------------------------------------------------------------------------

    def follow(self, module: Module, file: SourceFile, at: Expression, old: Any, new: Any) -> None:
        """Change the value that a reference names: a variable's, where nothing else uses it."""
        kind, _, name = at.name.partition(".")
        if kind != "var" or not name or "." in name:
            raise EditRefused(reason(at), at.line, file.path)
        variable = self._estate.declared(module.directory, ("variable", name))
        own = [(file.path, at.start, at.end), (variable.file.path, variable.start, variable.end)]
        pattern = re.compile(rf"(?<![\w.-])var\s*\.\s*{re.escape(name)}(?![\w-])")
        for path, line in self._estate.uses(module.directory, pattern, own):
            raise EditRefused(f"var.{name} is used in {path}:{line} too, which would also change", at.line, file.path)
        sensitive = variable.value("sensitive")
        hides = sensitive is not None and not (sensitive.kind == "bool" and sensitive.value is False)
        if hides or _new_secret(old, new, _revealed(name, new)):
            raise EditRefused(f"var.{name} is sensitive, and is never adopted", at.line, file.path)
        home, given, value = self._given(module, name, variable)
        if value is None:
            raise EditRefused(f"no file of this environment gives var.{name} a value", at.line, file.path)
        try:
            if value.kind != "reference":
                self._estate.must_be_alone(home, given, value.line)
            writer = self._writer(home, given)
            writer.change(value, old, new)
        except EditRefused as refused:
            refused.path = refused.path or given.path
            raise

    def _given(self, module: Module, name: str, variable: Declared) -> tuple[Module, SourceFile, Expression | None]:
        """What gives a variable its value: the module and file that it stands in, and where."""
        if module.call is not None and module.parent is not None:
            argument = module.call.value(name)
            if argument is not None:
                return module.parent, module.call.file, argument
            return module, variable.file, variable.value("default")
        if name in self._source.variables:
            raise EditRefused(f"var.{name} is given from outside of the repository", variable.line, variable.file.path)
        for path in reversed(self._estate.var_files()):
            file = self._estate.parsed(path)
            if file.problem:
                raise EditRefused(f"the file could not be parsed at {file.problem}", None, path)
            found = [each.expression for each in _given_in(file) if each.name == name]
            if len(found) > 1:
                raise EditRefused(f"it gives {name} more than once", found[1].line, path)
            if found:
                return module, file, found[0]
        return module, variable.file, variable.value("default")

    # --- what is gone -------------------------------------------------------------------------------------------

    def _take_away(self, departure: Departure, module: Module, declared: Declared) -> None:
        self._estate.must_be_alone(module, declared.file, declared.line)
        file = declared.file
        if declared.block is not None:
            edits = [cut_block(file.text, declared.start, declared.end, file.comments)]
        else:
            edits = _cut_entry(file, declared)
        self._removed.append((departure, module, declared))
        self._edits(file).extend(edits)

    def _nothing_refers_to(self, module: Module, declared: Declared) -> None:
        """Raises EditRefused where anything that stays names a resource that goes."""
        gone = [(each.file.path, each.start, each.end) for _, _, each in self._removed]
        address = ".".join(map(re.escape, declared.labels[1:]))
        around: Module | None = module
        while around is not None:
            pattern = re.compile(rf"(?<![\w.-]){address}(?![\w-])")
            for path, line in self._estate.uses(around.directory, pattern, gone):
                raise EditRefused(f"{path}:{line} still refers to it", declared.line, declared.file.path)
            if around.call is not None:
                address = rf"module\.{re.escape(around.call.labels[1])}(?:\[[^\]]*\])?\.{address}"
            around = around.parent


@dataclass(frozen=True)
class _Variables(References):
    """The references of one file of one module."""

    adopting: _Adopting
    module: Module
    file: SourceFile

    def change(self, at: Expression, old: Any, new: Any) -> None:
        self.adopting.follow(self.module, self.file, at, old, new)


def _refusal(address: str, attribute: str, refused: EditRefused) -> Refusal:
    return Refusal(address, attribute, refused.why, refused.path, refused.line)


@dataclass(frozen=True, slots=True)
class _Given:
    name: str
    expression: Expression


def _given_in(file: SourceFile) -> Iterable[_Given]:
    if file.hcl is not None:
        return [_Given(each.name, each.expression) for each in file.hcl.attributes]
    entries = file.document.root.entries if file.document is not None else ()
    return [_Given(entry.key, entry.expression) for entry in entries if entry.key is not None]


def _cut_entry(file: SourceFile, declared: Declared) -> list[Edit]:
    """Take a JSON declaration away, with the objects that it was all of."""
    start = declared.start
    for holder in reversed(declared.around):
        index = next(i for i, entry in enumerate(holder.entries) if entry.start <= start < entry.end)
        if len(holder.entries) > 1 or holder is declared.around[0]:
            return without(file.text, Row.of(holder, json_style=True), {index}, ())
        start = holder.start
    raise EditRefused("the file would be empty", declared.line)


def _revealed(name: str, value: Any) -> Any:
    return reveal(Sealed(value), name)


def _new_secret(old: Any, new: Any, shown: Any) -> bool:
    """Whether something that reports hide stands in the new value and not in the old one."""
    if same(old, new) or shown == new:
        return False
    if isinstance(new, Mapping) and isinstance(shown, Mapping):
        before = old if isinstance(old, Mapping) else {}
        return any(_new_secret(before.get(key), value, shown.get(key)) for key, value in new.items())
    if isinstance(new, list) and isinstance(shown, list) and len(new) == len(shown):
        return _new_secret_in_list(old, new, shown)
    inside, outside = document(new), document(shown)
    if inside is not None and outside is not None:
        return _new_secret(document(old), inside, outside)
    return True


def _new_secret_in_list(old: Any, new: list[Any], shown: list[Any]) -> bool:
    known = old if isinstance(old, list) else []
    fresh = [(value, hidden) for value, hidden in zip(new, shown, strict=True) if value not in known]
    return any(_new_secret(None, value, hidden) for value, hidden in fresh)
