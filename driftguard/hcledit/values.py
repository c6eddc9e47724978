"""Replaces one literal value by another, wherever it is a literal. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, assert_never

from driftguard.hcledit import writing
from driftguard.hcledit.differences import (
    EntryAdded,
    EntryChanged,
    EntryRemoved,
    entry_changes,
    nonempty_element,
    ordered,
    unordered,
)
from driftguard.hcledit.documents import document, kept_form, same
from driftguard.hcledit.edits import Edit, Row, appended, applied, indent_at, put_before, without
from driftguard.hcledit.expressions import SCALARS, all_of, reason, states, unwritten
from driftguard.hcledit.matching import assignment, canonical
from driftguard.hcledit.source import EditRefused, Parser
from driftguard.hcledit.syntax import Expression, ObjectEntry


class References(Protocol):
    """Follows references to what gives them their value."""

    def change(self, at: Expression, old: Any, new: Any) -> None:
        """Change the value that a reference names.

        Raises:
            EditRefused: that cannot be done.
        """
        ...


class NoReferences(References):
    """Refuses every reference: a JSON document inside a text has none."""

    def change(self, at: Expression, old: Any, new: Any) -> None:
        """Refuse it."""
        raise EditRefused(reason(at), at.line)


@dataclass
class Writer:
    """The edits of one text.

    Attributes:
        json_style: the text is JSON; otherwise it is native syntax.
        templates: `${` in its strings begins an expression.
    """

    text: str
    newline: str
    parser: Parser
    references: References
    json_style: bool = False
    templates: bool = True
    comments: Sequence[tuple[int, int]] = ()
    edits: list[Edit] = field(default_factory=list)

    def change(self, at: Expression, old: Any, new: Any, *, typed: bool = False, partial: bool = False) -> None:
        """Replace the literal `old` by `new`.

        Args:
            typed: a number and its text are different things here, as in `jsonencode`.
            partial: an object holds only some of its attributes, as a block does.

        Raises:
            EditRefused: it is no literal, it is ambiguous, or its value is not `old`.
        """
        if canonical(old) == canonical(new) or (not typed and same(old, new)):
            return
        try:
            self._change(at, old, new, typed, partial)
        except EditRefused as refused:
            refused.line = refused.line or at.line
            raise

    def _change(self, at: Expression, old: Any, new: Any, typed: bool, partial: bool) -> None:
        if at.kind == "reference":
            self.references.change(at, old, new)
        elif at.kind in SCALARS:
            self._scalar(at, old, new, typed)
        elif at.kind == "list":
            self._list(at, old, new, typed, partial)
        elif at.kind == "object":
            self._object(at, old, new, typed, partial)
        elif at.kind == "call" and at.name == "jsonencode" and len(at.items) == 1:
            before, after = document(old), document(new)
            if before is None or after is None:
                raise EditRefused("the value is made by jsonencode, and reality is no JSON document", at.line)
            self.change(at.items[0], before, kept_form(before, after), typed=True)
        else:
            raise EditRefused(reason(at), at.line)

    # --- single values -------------------------------------------------------------------------------

    def _scalar(self, at: Expression, old: Any, new: Any, typed: bool) -> None:
        if self.states(at, old, typed=typed) is not True:
            raise EditRefused("what is written here is not what Terraform wants here", at.line)
        if isinstance(new, Mapping | list):
            if not typed and at.kind != "null":
                raise EditRefused("one value is written here, and reality has a list or a map", at.line)
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
        """A JSON text of the value `new`, with every other byte unchanged; rewritten if that is not possible."""
        newline = "\r\n" if "\r\n" in text else "\n"
        try:
            root = self.parser.json(text, templates=False).root
            inner = Writer(text, newline, self.parser, NoReferences(), json_style=True, templates=False)
            inner.change(root, old, new, typed=True)
            changed = applied(text, inner.edits)
            if canonical(document(changed)) == canonical(new):
                return changed
        except (ValueError, EditRefused):
            pass
        end = text[len(text.rstrip()) :]
        return writing.rendered(new, "", newline, json_style=True, templates=False) + end

    def rendered(self, value: Any, position: int, *, one_line: bool = False) -> str:
        """A value as it would stand at a position."""
        style = {"json_style": self.json_style, "templates": self.templates, "one_line": one_line}
        return writing.rendered(value, indent_at(self.text, position), self.newline, **style)

    # --- what a value states --------------------------------------------------------------------------

    def states(self, at: Expression, value: Any, *, typed: bool = False, partial: bool = False) -> bool | None:
        """Whether a literal equals a value of the plan; None if that is not certain."""
        if at.kind in SCALARS:
            return states(at, self.text[at.start : at.end], value, typed=typed)
        if at.kind == "list":
            if not isinstance(value, list) or len(at.items) != len(value):
                return False
            return all_of(self.states(i, v, typed=typed, partial=partial) for i, v in zip(at.items, value, strict=True))
        if at.kind == "object":
            if partial and isinstance(value, list) and len(value) == 1:
                (value,) = value
            return self._object_states(at, value, typed, partial)
        if at.kind == "call" and at.name == "jsonencode" and len(at.items) == 1:
            content = document(value)
            return None if content is None else self.states(at.items[0], content, typed=True)
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
        stated = all_of(self.states(e, value[key], typed=typed, partial=partial) for key, e in known.items())
        return None if stated and (unknown or partial) else stated

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
            raise EditRefused("the list written here has not as many elements as Terraform wants", at.line)
        self._elements(at, old, new, typed, partial)

    def _elements(self, at: Expression, old: list[Any], new: list[Any], typed: bool, partial: bool) -> None:
        states = [[self.states(item, value, typed=typed, partial=partial) for value in old] for item in at.items]
        straight = all(states[index][index] is not False for index in range(len(old)))
        script = ordered(old, new) if straight else unordered(old, new)
        touched = {index for index, _ in script.changed} | script.removed
        try:
            written = assignment(states, touched)
        except EditRefused as refused:
            raise EditRefused(refused.why, at.line) from None
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
            values = [nonempty_element(value) if partial else value for value in values]
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
            raise EditRefused("a comment stands where another element would", at.line)
        self._replace(at, self.rendered(value, at.start, one_line=self.json_style))

    def _other_shape(self, at: Expression, old: Any, new: Any, typed: bool) -> None:
        """A list where an object was, or one value where a list was: only in a document."""
        if not typed or self.states(at, old, typed=True) is not True:
            raise EditRefused("reality has another kind of value than what is written here", at.line)
        if any(at.start <= start < at.end for start, _ in self.comments):
            raise EditRefused("a comment stands in what would be written anew", at.line)
        self._replace(at, self.rendered(new, at.start, one_line="\n" not in self.text[at.start : at.end]))

    def _must_be_written_out(self, gone: Sequence[Expression]) -> None:
        for expression in gone:
            part = unwritten(expression)
            if part is not None:
                raise EditRefused(reason(part), part.line)

    # --- objects ---------------------------------------------------------------------------------------

    def _object(self, at: Expression, old: Any, new: Any, typed: bool, partial: bool) -> None:
        if partial and isinstance(old, list) and isinstance(new, list) and len(old) == len(new) == 1:
            (old,), (new,) = old, new
        if not isinstance(old, Mapping) or not isinstance(new, Mapping):
            self._other_shape(at, old, new, typed)
            return
        gone: dict[int, Expression] = {}
        added: dict[str, Any] = {}
        for change in entry_changes(at, old, new, partial=partial):
            match change:
                case EntryChanged(entry, before, after):
                    self.change(entry.expression, before, after, typed=typed, partial=partial)
                case EntryRemoved(index, entry):
                    gone[index] = entry.expression
                case EntryAdded(name, value):
                    added[name] = value
                case _:
                    assert_never(change)
        self._must_be_written_out(list(gone.values()))
        self._put_entries(at, gone, added)

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

    def _separator(self, entries: Sequence[ObjectEntry]) -> str:
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
