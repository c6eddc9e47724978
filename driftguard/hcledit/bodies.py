"""Changes what stands between a block's braces: its attributes and its nested blocks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from driftguard.hcledit import writing
from driftguard.hcledit.differences import EMPTY
from driftguard.hcledit.documents import same
from driftguard.hcledit.edits import Edit, begins_line, cut_block, ends_line, indent_at, line_end, own_lines
from driftguard.hcledit.expressions import all_of, reason, unwritten
from driftguard.hcledit.matching import assignment, canonical
from driftguard.hcledit.source import EditRefused
from driftguard.hcledit.syntax import Attribute, Block, Expression
from driftguard.hcledit.values import Writer

# Terraform's own, which no provider knows.
_META: Final = frozenset(("count", "for_each", "provider", "depends_on"))
# Attributes that these blocks must hold even if they are 0.
_ALWAYS: Final = {"ingress": ("from_port", "to_port", "protocol"), "egress": ("from_port", "to_port", "protocol")}


def change_attribute(writer: Writer, body: Block, name: str, old: Any, new: Any) -> None:
    """Make one attribute, or all nested blocks of one name, match reality.

    Raises:
        EditRefused: the required text is not certain.
    """
    if same(old, new):
        return
    attribute = next((each for each in body.attributes if each.name == name), None)
    blocks = [each for each in body.blocks if each.kind == name]
    dynamic = next((each for each in body.blocks if each.kind == "dynamic" and each.labels == (name,)), None)
    if dynamic is not None:
        raise EditRefused("these blocks are made by a dynamic block", dynamic.line)
    if attribute is not None:
        if new is None:
            _take_away(writer, attribute, old)
        else:
            writer.change(attribute.expression, old, new)
    elif blocks:
        _change_blocks(writer, body, blocks, _elements(old), _elements(new))
    else:
        _add(writer, body, name, old, new)


def _add(writer: Writer, body: Block, name: str, old: Any, new: Any) -> None:
    """Write down an attribute or nested blocks of a name that is not written in a body."""
    if new is None or (new in ([], {}) and old not in EMPTY):
        raise EditRefused("it is not written here, so it cannot be taken away", body.line)
    if _are_blocks(new):
        if _elements(old):
            raise EditRefused("what Terraform wants here is not written here", body.line)
        _add_blocks(writer, body, name, [], _elements(new))
        return
    text = f"{name} = {writer.rendered(new, body.start).replace(writer.newline, writer.newline + '  ')}"
    _insert(writer, body, text)


def _are_blocks(value: Any) -> bool:
    """Whether a value is one of nested blocks: a list of objects, at least one."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _elements(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        return [value]
    return [item for item in value or () if isinstance(item, Mapping)] if isinstance(value, list) else []


# --- attributes ------------------------------------------------------------------------------------------


def _take_away(writer: Writer, attribute: Attribute, old: Any) -> None:
    part = unwritten(attribute.expression)
    if part is not None:
        raise EditRefused(reason(part), part.line)
    if writer.states(attribute.expression, old) is False:
        raise EditRefused("what is written here is not what Terraform wants here", attribute.line)
    lines = own_lines(writer.text, attribute.start, attribute.end, writer.comments)
    if lines:
        writer.edits.append(Edit(*lines, ""))
        return
    start, end = attribute.start, attribute.end
    while writer.text[start - 1] in " \t" and writer.text[end : end + 1] in (" ", "\t"):
        start -= 1
    writer.edits.append(Edit(start, end, ""))


def _insert(writer: Writer, body: Block, text: str) -> None:
    """Put an attribute behind the last one of a block."""
    plain = [each for each in body.attributes if each.name not in _META] or list(body.attributes)
    newline = writer.newline
    if "\n" not in writer.text[body.inner_start : body.inner_end]:
        _insert_in_one_line(writer, body, text)
        return
    if plain:
        last = plain[-1]
        if not begins_line(writer.text, last.start) or not ends_line(writer.text, last.end, writer.comments):
            raise EditRefused("its layout leaves no place for another attribute", last.line)
        at, indent = line_end(writer.text, last.end), indent_at(writer.text, last.start)
    else:
        if not ends_line(writer.text, body.inner_start, writer.comments):
            raise EditRefused("its layout leaves no place for another attribute", body.line)
        at, indent = line_end(writer.text, body.inner_start), _inner_indent(writer, body)
    writer.edits.append(Edit(at, at, f"{indent}{text}{newline}"))


def _insert_in_one_line(writer: Writer, body: Block, text: str) -> None:
    indent = indent_at(writer.text, body.start)
    inner = writer.text[body.inner_start : body.inner_end].strip()
    if any(body.inner_start <= start < body.inner_end for start, _ in writer.comments):
        raise EditRefused("its layout leaves no place for another attribute", body.line)
    again = [edit for edit in writer.edits if edit.start == body.inner_start and edit.end == body.inner_end]
    if any(body.inner_start <= edit.start and edit.end <= body.inner_end for edit in writer.edits if edit not in again):
        raise EditRefused("its layout leaves no place for another attribute", body.line)
    if again:
        (edit,) = again
        writer.edits.remove(edit)
        changed = f"{edit.text.removesuffix(indent)}{indent}  {text}{writer.newline}{indent}"
    else:
        lines = [each for each in (inner, text) if each]
        changed = writer.newline + "".join(f"{indent}  {line}{writer.newline}" for line in lines) + indent
    writer.edits.append(Edit(body.inner_start, body.inner_end, changed))


def _inner_indent(writer: Writer, body: Block) -> str:
    inside: list[Attribute | Block] = [*body.attributes, *body.blocks]
    for each in sorted(inside, key=lambda place: place.start):
        if begins_line(writer.text, each.start):
            return indent_at(writer.text, each.start)
    return indent_at(writer.text, body.start) + "  "


# --- nested blocks -----------------------------------------------------------------------------------------


def _change_blocks(
    writer: Writer,
    body: Block,
    blocks: Sequence[Block],
    old: Sequence[Mapping[str, Any]],
    new: Sequence[Mapping[str, Any]],
) -> None:
    line = blocks[0].line
    if len(blocks) != len(old):
        raise EditRefused("there are not as many blocks here as Terraform wants", line)
    removed, added = _difference(old, new)
    states = [[_block_states(writer, block, element) for element in old] for block in blocks]
    try:
        written = assignment(states, set(removed))
    except EditRefused as refused:
        raise EditRefused(refused.why, line) from None
    for index, element in _pairs(old, new, removed, added):
        _change_block(writer, blocks[written[index]], old[index], new[element])
        removed.remove(index)
        added.remove(element)
    for index in removed:
        block = blocks[written[index]]
        part = next(_unwritten_in(block), None)
        if part is not None:
            raise EditRefused(reason(part), part.line)
        writer.edits.append(cut_block(writer.text, block.start, block.end, writer.comments))
    _add_blocks(writer, body, blocks[0].kind, blocks, [new[index] for index in added])


def _difference(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    """The indexes of what is only in the one, and only in the other."""
    left = list(map(canonical, new))
    removed = []
    for index, element in enumerate(map(canonical, old)):
        if element in left:
            left[left.index(element)] = b""
        else:
            removed.append(index)
    return removed, [index for index, element in enumerate(left) if element]


def _pairs(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], removed: list[int], added: list[int]
) -> list[tuple[int, int]]:
    """Pairs of elements before and after: those with the most in common, and more than half of either."""
    close = []
    for index in removed:
        for element in added:
            one, other = old[index], new[element]
            names = [name for name in {**one, **other} if one.get(name) not in EMPTY or other.get(name) not in EMPTY]
            alike = sum(same(one.get(name), other.get(name)) for name in names)
            if 2 * alike > len(names) or len(removed) == len(added) == 1:
                close.append((alike, -index, -element))
    pairs: list[tuple[int, int]] = []
    for _, index, element in sorted(close, reverse=True):
        if -index not in [pair[0] for pair in pairs] and -element not in [pair[1] for pair in pairs]:
            pairs.append((-index, -element))
    return sorted(pairs)


def _change_block(writer: Writer, block: Block, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    written = {each.name for each in block.attributes} | {each.kind for each in block.blocks}
    for name in sorted({**old, **new}):
        before, after = old.get(name), new.get(name)
        if same(before, after) or (name not in written and before in EMPTY and after in EMPTY):
            continue
        change_attribute(writer, block, name, before, after)


def _block_states(writer: Writer, block: Block, element: Mapping[str, Any]) -> bool | None:
    """Whether a block is an element of the plan; None if that is not certain."""
    results: list[bool | None] = []
    for attribute in block.attributes:
        if attribute.name not in element:
            return False
        results.append(writer.states(attribute.expression, element[attribute.name]))
    for kind in dict.fromkeys(each.kind for each in block.blocks):
        if kind == "dynamic":
            results.append(None)
            continue
        inner = [each for each in block.blocks if each.kind == kind]
        elements = _elements(element.get(kind))
        if len(inner) != len(elements):
            return False
        states = [[_block_states(writer, each, item) for item in elements] for each in inner]
        try:
            assignment(states, set())
        except EditRefused:
            return False
        results.append(True if all(states[i][i] for i in range(len(inner))) else None)
    return all_of(results)


def _unwritten_in(body: Block) -> Iterator[Expression]:
    for attribute in body.attributes:
        part = unwritten(attribute.expression)
        if part is not None:
            yield part
    for block in body.blocks:
        yield from _unwritten_in(block)


def _add_blocks(
    writer: Writer, body: Block, kind: str, siblings: Sequence[Block], elements: Sequence[Mapping[str, Any]]
) -> None:
    if not elements:
        return
    newline = writer.newline
    if "\n" not in writer.text[body.inner_start : body.inner_end]:
        indent = indent_at(writer.text, body.start) + "  "
        for element in elements:
            _insert_in_one_line(writer, body, newline.join(_block_text(kind, element, siblings, indent, newline)))
        return
    if siblings:
        last = siblings[-1]
        if not begins_line(writer.text, last.start) or not ends_line(writer.text, last.end, writer.comments):
            raise EditRefused("its layout leaves no place for another block", last.line)
        at, indent = line_end(writer.text, last.end), indent_at(writer.text, last.start)
        apart = "\n" in writer.text[last.start : last.end]
    else:
        if not begins_line(writer.text, body.inner_end):
            raise EditRefused("its layout leaves no place for another block", body.line)
        at, indent = writer.text.rfind("\n", 0, body.inner_end) + 1, _inner_indent(writer, body)
        apart = bool(body.attributes or body.blocks)
    for element in elements:
        text = newline.join(_block_text(kind, element, siblings, indent, newline))
        writer.edits.append(Edit(at, at, f"{newline if apart else ''}{indent}{text}{newline}"))
        apart = apart or not siblings


def _block_text(
    kind: str, element: Mapping[str, Any], siblings: Sequence[Block], indent: str, newline: str
) -> list[str]:
    """The lines of a new block."""
    plain: list[tuple[str, str]] = []
    nested: list[str] = []
    for name in _names_to_write(kind, element, siblings):
        value = element[name]
        if _are_blocks(value):
            inner = [block for sibling in siblings for block in sibling.blocks if block.kind == name]
            texts = [_block_text(name, item, inner, indent + "  ", newline) for item in value]
            nested += [f"{indent}  {newline.join(lines)}" for lines in texts]
        else:
            plain.append((name, writing.rendered(value, indent + "  ", newline)))
    if not plain and not nested:
        return [f"{kind} {{}}"]
    between = [""] if plain and nested else []
    return [f"{kind} {{", *writing.aligned(plain, indent + "  "), *between, *nested, f"{indent}}}"]


def _names_to_write(kind: str, element: Mapping[str, Any], siblings: Sequence[Block]) -> list[str]:
    """The names that siblings or the kind always state, then those with a value, in order."""
    always = [attribute.name for sibling in siblings for attribute in sibling.attributes]
    always += _ALWAYS.get(kind, ())
    names = [name for name in dict.fromkeys([*always, *sorted(element)]) if element.get(name) is not None]
    return [name for name in names if name in always or element[name] not in EMPTY]
