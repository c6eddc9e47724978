"""Changes one written value, wherever it is written out, so that it says something else. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Final

from driftguard.hcledit import writing
from driftguard.hcledit.documents import document, kept_form, same
from driftguard.hcledit.edits import Edit, Row, appended, applied, indent_at, put_before, without
from driftguard.hcledit.matching import assignment, canonical
from driftguard.hcledit.source import Entry, Expression, Parser, Refused

_SCALARS: Final = ("string", "number", "bool", "null", "heredoc")
_EMPTY: Final[tuple[Any, ...]] = (None, "", [], {}, 0, False)


@dataclass
class Writer:
    """The edits of one text.

    Attributes:
        json_style: the text is JSON; otherwise it is native syntax.
        templates: `${` in its strings begins an expression.
        follow: what changes the value that a reference names; it raises Refused where that cannot be done.
    """

    text: str
    newline: str
    parser: Parser
    follow: Callable[[Expression, Any, Any], None]
    json_style: bool = False
    templates: bool = True
    comments: Sequence[tuple[int, int]] = ()
    edits: list[Edit] = field(default_factory=list)

    def change(self, at: Expression, old: Any, new: Any, *, typed: bool = False, partial: bool = False) -> None:
        """Let what says `old` say `new`.

        Args:
            typed: a number and its text are different things here, as in `jsonencode`.
            partial: an object says only some of what it stands for, as a block does.

        Raises:
            Refused: it is not written out, or it cannot be told apart, or it does not say `old`.
        """
        if canonical(old) == canonical(new) or (not typed and same(old, new)):
            return
        try:
            self._change(at, old, new, typed, partial)
        except Refused as refused:
            refused.line = refused.line or at.line
            raise

    def _change(self, at: Expression, old: Any, new: Any, typed: bool, partial: bool) -> None:
        if at.kind == "reference":
            self.follow(at, old, new)
        elif at.kind in _SCALARS:
            self._scalar(at, old, new, typed)
        elif at.kind == "list":
            self._list(at, old, new, typed, partial)
        elif at.kind == "object":
            self._object(at, old, new, typed, partial)
        elif at.kind == "call" and at.name == "jsonencode" and len(at.items) == 1:
            before, after = document(old), document(new)
            if before is None or after is None:
                raise Refused("the value is made by jsonencode, and reality is no JSON document", at.line)
            self.change(at.items[0], before, kept_form(before, after), typed=True)
        else:
            raise Refused(reason(at), at.line)

    # --- single values -------------------------------------------------------------------------------

    def _scalar(self, at: Expression, old: Any, new: Any, typed: bool) -> None:
        if self.states(at, old, typed=typed) is not True:
            raise Refused("what is written here is not what Terraform wants here", at.line)
        if isinstance(new, Mapping | list):
            if not typed and at.kind != "null":
                raise Refused("one value is written here, and reality has a list or a map", at.line)
            self._replace(at, self.rendered(new, at.start, one_line=typed))
            return
        before, after = document(old), document(new)
        if before is not None and after is not None and at.kind in ("string", "heredoc"):
            new = self._document(str(at.value), before, kept_form(before, after))
        written = self.text[at.start : at.end]
        if not self.json_style:
            self._replace(at, writing.in_the_style_of(at, written, new, self.newline, typed=typed))
        elif isinstance(new, str) or (at.kind == "string" and new is not None and not typed):
            text = new if isinstance(new, str) else writing.scalar(new)
            self._replace(at, writing.json_quoted(text, templates=self.templates))
        else:
            self._replace(at, writing.scalar(new))

    def _replace(self, at: Expression, text: str) -> None:
        self.edits.append(Edit(at.start, at.end, text))

    def _document(self, text: str, old: Any, new: Any) -> str:
        """A JSON text that says `new`, with every other byte as it was; written anew where that cannot be done."""
        newline = "\r\n" if "\r\n" in text else "\n"
        try:
            root = self.parser.json(text, templates=False).root
            inner = Writer(text, newline, self.parser, _nowhere, json_style=True, templates=False)
            inner.change(root, old, new, typed=True)
            changed = applied(text, inner.edits)
            if canonical(document(changed)) == canonical(new):
                return changed
        except (ValueError, Refused):
            pass
        end = text[len(text.rstrip()) :]
        return writing.rendered(new, "", newline, json_style=True, templates=False) + end

    def rendered(self, value: Any, position: int, *, one_line: bool = False) -> str:
        """A value as it would stand at a position."""
        style = {"json_style": self.json_style, "templates": self.templates, "one_line": one_line}
        return writing.rendered(value, indent_at(self.text, position), self.newline, **style)

    # --- what a value states --------------------------------------------------------------------------

    def states(self, at: Expression, value: Any, *, typed: bool = False, partial: bool = False) -> bool | None:
        """Whether what is written means a value of the plan; None where that cannot be told."""
        if at.kind in _SCALARS:
            return _means(at, self.text[at.start : at.end], value, typed)
        if at.kind == "list":
            if not isinstance(value, list) or len(at.items) != len(value):
                return False
            return _all(self.states(i, v, typed=typed, partial=partial) for i, v in zip(at.items, value, strict=True))
        if at.kind == "object":
            if partial and isinstance(value, list) and len(value) == 1:
                (value,) = value
            return self._object_states(at, value, typed, partial)
        if at.kind == "call" and at.name == "jsonencode" and len(at.items) == 1:
            said = document(value)
            return None if said is None else self.states(at.items[0], said, typed=True)
        return None

    def _object_states(self, at: Expression, value: Any, typed: bool, partial: bool) -> bool | None:
        if not isinstance(value, Mapping):
            return False
        known = {entry.key: entry.expression for entry in at.entries if entry.key is not None}
        unknown = len(known) < len(at.entries)
        if not partial and not unknown and set(known) != set(value):
            return False
        if not known.keys() <= value.keys():
            return False
        told = _all(self.states(e, value[key], typed=typed, partial=partial) for key, e in known.items())
        return None if told and (unknown or partial) else told

    # --- lists -----------------------------------------------------------------------------------------

    def _list(self, at: Expression, old: Any, new: Any, typed: bool, partial: bool) -> None:
        if new is None and self.states(at, old, typed=typed, partial=partial):
            self._replace(at, "null")
            return
        if partial and isinstance(old, Mapping):
            old, new = [old], [new] if isinstance(new, Mapping) else new
        if not isinstance(old, list) or not isinstance(new, list):
            self._other_shape(at, old, new, typed)
            return
        if len(at.items) != len(old):
            raise Refused("the list written here has not as many elements as Terraform wants", at.line)
        states = [[self.states(item, value, typed=typed, partial=partial) for value in old] for item in at.items]
        straight = all(states[index][index] is not False for index in range(len(old)))
        script = _ordered(old, new) if straight else _unordered(old, new)
        touched = {index for index, _ in script.changed} | script.removed
        try:
            written = assignment(states, touched)
        except Refused as refused:
            raise Refused(refused.why, at.line) from None
        for index, value in script.changed:
            self.change(at.items[written[index]], old[index], value, typed=typed, partial=partial)
        gone = {written[index] for index in script.removed}
        self._must_be_written_out([at.items[index] for index in sorted(gone)])
        row = Row.of(at, json_style=self.json_style)
        if gone:
            self.edits += without(self.text, row, gone, self.comments)
        self._add_items(at, row, script.added, len(old), partial)

    def _add_items(
        self, at: Expression, row: Row, added: Mapping[int, Sequence[Any]], size: int, partial: bool
    ) -> None:
        for position, values in added.items():
            values = [_element(value) if partial else value for value in values]
            if not size:
                self._fill(at, values)
                return
            beside = at.items[min(position, size - 1)]
            like = beside if beside.kind in ("list", "object") else at
            one_line = "\n" not in self.text[like.start : like.end]
            texts = [self.rendered(value, beside.start, one_line=one_line) for value in values]
            if position == size:
                self.edits += appended(self.text, row, texts, self.newline, self.comments)
            else:
                self.edits += put_before(self.text, row, position, texts, self.newline, self.comments)

    def _fill(self, at: Expression, value: Any) -> None:
        """Write out what was empty."""
        if self.text[at.start + 1 : at.end - 1].strip():
            raise Refused("a comment stands where another element would", at.line)
        self._replace(at, self.rendered(value, at.start, one_line=self.json_style))

    def _other_shape(self, at: Expression, old: Any, new: Any, typed: bool) -> None:
        """A list where an object was, or one value where a list was: only in a document."""
        if not typed or self.states(at, old, typed=True) is not True:
            raise Refused("reality has another kind of value than what is written here", at.line)
        if any(at.start <= start < at.end for start, _ in self.comments):
            raise Refused("a comment stands in what would be written anew", at.line)
        self._replace(at, self.rendered(new, at.start, one_line="\n" not in self.text[at.start : at.end]))

    def _must_be_written_out(self, gone: Sequence[Expression]) -> None:
        for expression in gone:
            part = unwritten(expression)
            if part is not None:
                raise Refused(reason(part), part.line)

    # --- objects ---------------------------------------------------------------------------------------

    def _object(self, at: Expression, old: Any, new: Any, typed: bool, partial: bool) -> None:
        if partial and isinstance(old, list) and isinstance(new, list) and len(old) == len(new) == 1:
            (old,), (new,) = old, new
        if not isinstance(old, Mapping) or not isinstance(new, Mapping):
            self._other_shape(at, old, new, typed)
            return
        known = {entry.key: (index, entry) for index, entry in enumerate(at.entries) if entry.key is not None}
        if len({entry.key for entry in at.entries if entry.key is not None}) + _unknown(at.entries) < len(at.entries):
            raise Refused("a key stands here twice", at.line)
        gone: dict[int, Expression] = {}
        added: dict[str, Any] = {}
        for name in [*old, *(name for name in new if name not in old)]:
            if canonical(old.get(name)) == canonical(new.get(name)) and (name in old) == (name in new):
                continue
            if name in known:
                index, entry = known[name]
                if name in new and not (partial and new[name] is None):
                    self.change(entry.expression, old.get(name), new[name], typed=typed, partial=partial)
                else:
                    gone[index] = entry.expression
            elif partial and new.get(name) in _EMPTY and old.get(name) in _EMPTY:
                continue
            elif partial and new.get(name) is None:
                raise self._not_here(at)
            elif name in new and (partial or name not in old or old[name] is None):
                added[name] = _said(new[name]) if partial else new[name]
            else:
                raise self._not_here(at)
        self._must_be_written_out(list(gone.values()))
        self._put_entries(at, gone, added)

    def _not_here(self, at: Expression) -> Refused:
        line = next((entry.line for entry in at.entries if entry.key is None), at.line)
        return Refused("what changed is not written here by its name", line)

    def _put_entries(self, at: Expression, gone: dict[int, Expression], added: dict[str, Any]) -> None:
        row = Row.of(at, json_style=self.json_style)
        separator = self._separator(at.entries)
        one_line = "\n" not in self.text[at.start : at.end]
        # An entry that goes makes place for one that comes, so that no comma has to move twice.
        pairs = list(zip(sorted(gone), list(added), strict=False))
        for index, name in pairs:
            entry = at.entries[index]
            text = self._entry(name, added.pop(name), separator, entry.start, one_line)
            self.edits.append(Edit(entry.start, entry.end, text))
            gone.pop(index)
        if gone:
            self.edits += without(self.text, row, set(gone), self.comments)
        if added and not at.entries:
            self._fill(at, added)
        elif added:
            position = at.entries[-1].start
            texts = [self._entry(name, value, separator, position, one_line) for name, value in added.items()]
            self.edits += appended(self.text, row, texts, self.newline, self.comments)

    def _entry(self, name: str, value: Any, separator: str, position: int, one_line: bool) -> str:
        key = writing.json_quoted(name, templates=self.templates) if self.json_style else writing.key(name)
        return f"{key}{separator}{self.rendered(value, position, one_line=one_line)}"

    def _separator(self, entries: Sequence[Entry]) -> str:
        """What stands between key and value in the last entry, without padding."""
        if not entries:
            return ": " if self.json_style else " = "
        last = entries[-1]
        between = self.text[last.start : last.expression.start]
        spaced = between[-1:].isspace()
        if self.json_style:
            return ": " if spaced else ":"
        if between.rstrip().endswith(":"):
            before = " " if between.rstrip()[:-1][-1:].isspace() else ""
            return f"{before}:{' ' if spaced else ''}"
        return " = " if spaced else "="


@dataclass(frozen=True, slots=True)
class _Script:
    """What happens to the wanted elements, by index; `added` is by the index that it comes before."""

    changed: tuple[tuple[int, Any], ...]
    removed: set[int]
    added: dict[int, list[Any]]


def _ordered(old: Sequence[Any], new: Sequence[Any]) -> _Script:
    changed: list[tuple[int, Any]] = []
    removed: set[int] = set()
    added: dict[int, list[Any]] = {}
    matcher = SequenceMatcher(None, list(map(canonical, old)), list(map(canonical, new)), autojunk=False)
    for operation, start, end, new_start, new_end in matcher.get_opcodes():
        if operation == "equal":
            continue
        both = min(end - start, new_end - new_start)
        changed += [(start + offset, new[new_start + offset]) for offset in range(both)]
        removed |= set(range(start + both, end))
        if new_end > new_start + both:
            added[end] = list(new[new_start + both : new_end])
    return _Script(tuple(changed), removed, added)


def _unordered(old: Sequence[Any], new: Sequence[Any]) -> _Script:
    left = list(map(canonical, new))
    gone = []
    for index, value in enumerate(old):
        if canonical(value) in left:
            left.remove(canonical(value))
        else:
            gone.append(index)
    come = []
    for value in new:
        if canonical(value) in left:
            left.remove(canonical(value))
            come.append(value)
    changed = tuple(zip(gone, come, strict=False))
    rest = come[len(changed) :]
    return _Script(changed, set(gone[len(changed) :]), {len(old): rest} if rest else {})


def reason(at: Expression) -> str:
    """Why an expression cannot be changed: what it is, in words."""
    if at.kind == "call":
        return f"the value comes from the function {at.name}"
    if at.kind == "reference":
        first = at.name.split(".", 1)[0]
        what = {"local": "the local", "var": "the variable", "data": "the data source"}.get(first, "the reference")
        return f"the value comes from {what} {at.name}"
    return f"the value comes from {at.kind}"


def unwritten(at: Expression) -> Expression | None:
    """The first part of a value that is not written out; None where all of it is."""
    if at.kind in _SCALARS:
        return None
    if at.kind == "list":
        return next((part for part in map(unwritten, at.items) if part), None)
    if at.kind == "object" and not _unknown(at.entries):
        return next((part for part in (unwritten(entry.expression) for entry in at.entries) if part), None)
    if at.kind == "call" and at.name == "jsonencode" and len(at.items) == 1:
        return unwritten(at.items[0])
    return at


def _unknown(entries: Sequence[Entry]) -> int:
    return sum(entry.key is None for entry in entries)


def _said(value: Any) -> Any:
    """What has to be written of an attribute in a body: of each element in a list, nothing that is empty."""
    return [_element(item) for item in value] if isinstance(value, list) else value


def _element(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _said(item) for name, item in value.items() if item not in _EMPTY}


def _means(at: Expression, written: str, value: Any, typed: bool) -> bool:
    said = at.value
    if at.kind == "null" or value is None:
        return at.kind == "null" and value is None
    if at.kind == "bool" or isinstance(value, bool):
        return (isinstance(value, bool) and said is value) or (not typed and _text(said) == _text(value))
    if at.kind == "number":
        if isinstance(value, str):
            return not typed and written.replace(" ", "") == value
        return isinstance(value, int | float) and bool(said == value)
    if isinstance(value, str):
        return same(said, value)
    if isinstance(value, int | float) and not typed:
        return str(said) == writing.scalar(value)
    return False


def _text(value: Any) -> Any:
    return ("true" if value else "false") if isinstance(value, bool) else value


def _all(told: Any) -> bool | None:
    """True where all are, False where one is; None otherwise."""
    results = list(told)
    if False in results:
        return False
    return None if None in results else True


def _nowhere(at: Expression, _old: Any, _new: Any) -> None:
    raise Refused(reason(at), at.line)
