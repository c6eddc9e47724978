"""Reads native syntax with python-hcl2 into the syntax classes of `hcledit`."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from driftguard.hcledit.syntax import Attribute, Block, Expression, NativeFile, ObjectEntry, Token

# What ends a literal part, and what a template begins with.
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|\$\$\{|%%\{", re.DOTALL)
_SHORT: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
# Three signs in a row may be read in two ways, so they count as a template too.
_THREE_SIGNS: Final = re.compile(r"\${3}\{|%{3}\{")
_TEMPLATE: Final = re.compile(rf"(?<!\$)\$\{{|(?<!%)%\{{|{_THREE_SIGNS.pattern}")
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_HEREDOC: Final = re.compile(r"<<(-?)([A-Za-z][\w.-]*)\r?\n")


def file_of(text: str) -> NativeFile:
    """Where everything stands in a text.

    Raises:
        ValueError: it cannot be parsed; the message holds nothing of the text.
    """
    import hcl2
    from lark.exceptions import LarkError

    try:
        tree = hcl2.parses_to_tree(text)
        tokens = tuple(token for token in _tokens(tree, ()) if token.start < len(text))
        attributes, blocks = _TreeReader(text).body(tree.children[0])
    except LarkError as error:  # its message quotes the text
        line = getattr(error, "line", None)
        raise ValueError(f"line {line}" if isinstance(line, int) and line > 0 else "its end") from None
    except RecursionError:
        raise ValueError("a place that is nested too deep") from None
    comments = tuple((t.start, t.end) for t in tokens if t.rules[-1] == "comment")
    return NativeFile(attributes, blocks, comments, tokens)


def _tokens(tree: Any, rules: tuple[str, ...]) -> Iterator[Token]:
    inside = (*rules, str(tree.data))
    for child in tree.children:
        if hasattr(child, "children"):
            yield from _tokens(child, inside)
        elif child is not None and child.type == "NL_OR_COMMENT":
            text = child.strip()
            if text:
                yield Token(child.start_pos, child.start_pos + len(text), text, (*inside, "comment"))
        elif child is not None:
            yield Token(child.start_pos, child.end_pos, child.strip(), inside)


class _TreeReader:
    """Turns python-hcl2's tree into places."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def _line(self, position: int) -> int:
        return bisect.bisect_right(self._line_starts, position)

    def body(self, tree: Any) -> tuple[tuple[Attribute, ...], tuple[Block, ...]]:
        attributes, blocks = [], []
        for child in tree.children:
            if _rule(child) == "attribute":
                name, _, value = child.children
                expression = self.expression(value)
                start = child.meta.start_pos
                attributes.append(Attribute(_word(name), start, expression.end, self._line(start), expression))
            elif _rule(child) == "block":
                blocks.append(self._block(child))
        return tuple(attributes), tuple(blocks)

    def _block(self, tree: Any) -> Block:
        names = [child for child in tree.children if _rule(child) in _NAMES]
        labels = tuple(self._label(name) for name in names[1:])
        (body,) = (child for child in tree.children if _rule(child) == "body")
        opening, closing = (child for child in tree.children if getattr(child, "type", "") in ("LBRACE", "RBRACE"))
        start, end = tree.meta.start_pos, closing.end_pos
        attributes, blocks = self.body(body)
        return Block(
            kind=_word(names[0]),
            labels=labels,
            start=start,
            end=end,
            line=self._line(start),
            last_line=self._line(closing.start_pos),
            inner_start=opening.end_pos,
            inner_end=closing.start_pos,
            attributes=attributes,
            blocks=blocks,
        )

    def _label(self, tree: Any) -> str:
        if _rule(tree) == "string":
            return unescaped(self._text[tree.meta.start_pos + 1 : tree.meta.end_pos - 1])
        return _word(tree)

    def expression(self, tree: Any) -> Expression:
        """One value; of what is neither written out nor a reference nor a call, only its kind in words."""
        start, end = tree.meta.start_pos, _end(tree) or tree.meta.end_pos
        line = self._line(start)
        if _is_negative_number(tree):
            return Expression("number", start, end, line, _number(self._text[start:end]))
        if _rule(tree) != "expr_term" or len(tree.children) != 1:
            return Expression(_WORDS.get(_rule(tree), "an expression"), start, end, line)
        only = tree.children[0]
        read = self._READERS.get(_rule(only))
        found = read(self, only, start, end, line) if read is not None else None
        return found or Expression(_WORDS.get(_rule(only), "an expression"), start, end, line)

    def _literal(self, tree: Any, start: int, end: int, line: int) -> Expression:
        word = _word(tree)
        if word == "null":
            return Expression("null", start, end, line)
        return Expression("bool", start, end, line, word == "true")

    def _numeral(self, _tree: Any, start: int, end: int, line: int) -> Expression:
        return Expression("number", start, end, line, _number(self._text[start:end]))

    def _string(self, tree: Any, start: int, end: int, line: int) -> Expression:
        if not _is_plain(tree) or _THREE_SIGNS.search(self._text, start, end):
            return Expression("a text with an interpolation", start, end, line)
        return Expression("string", start, end, line, unescaped(self._text[start + 1 : end - 1]))

    def _reference(self, tree: Any, start: int, end: int, line: int) -> Expression | None:
        name = _dotted(tree)
        return Expression("reference", start, end, line, name=name) if name else None

    def _heredoc(self, _tree: Any, start: int, end: int, line: int) -> Expression:
        text = self._text[start:end].rstrip("\r\n")
        end = start + len(text)
        opening = _HEREDOC.match(text)
        last = text.rfind("\n")
        if opening is None or last < opening.end() - 1:
            return Expression("a heredoc that cannot be read", start, end, line)
        body = text[opening.end() : last + 1]
        if _TEMPLATE.search(body):
            return Expression("a text with an interpolation", start, end, line)
        lines = _LINE.findall(body)
        if opening[1]:
            spaces = [len(each) - len(each.lstrip()) for each in lines if each.strip()]
            lines = [each[min(spaces) :] if each.strip() else each for each in lines]
        value = "".join(lines).replace("$${", "${").replace("%%{", "%{")
        return Expression("heredoc", start, end, line, value, name=opening[2])

    def _collection(self, tree: Any, start: int, end: int, line: int) -> Expression:
        items: list[Expression] = []
        entries: list[ObjectEntry] = []
        commas: list[int] = []
        for child in tree.children:
            rule = _rule(child)
            if rule == "object_elem":
                key, _, value = child.children
                expression = self.expression(value)
                at = child.meta.start_pos
                entries.append(ObjectEntry(self._key(key), at, expression.end, self._line(at), expression))
                commas.append(-1)
            elif rule not in ("new_line_or_comment", ""):
                items.append(self.expression(child))
                commas.append(-1)
            elif getattr(child, "type", "") == "COMMA":
                commas[-1] = child.start_pos
        kind = "list" if _rule(tree) == "tuple" else "object"
        return Expression(kind, start, end, line, None, "", tuple(items), tuple(entries), tuple(commas))

    def _key(self, tree: Any) -> str | None:
        (key,) = tree.children
        if _rule(key) == "keyword":
            return _word(key)
        expression = self.expression(key)
        if expression.kind == "reference":
            return expression.name if "." not in expression.name else None
        if expression.kind in ("number", "bool", "null"):
            return self._text[expression.start : expression.end]
        return expression.value if expression.kind == "string" else None

    def _call(self, tree: Any, start: int, end: int, line: int) -> Expression:
        names = [child for child in tree.children if _rule(child) == "identifier"]
        arguments = [child for child in tree.children if _rule(child) == "arguments"]
        items = tuple(
            self.expression(child)
            for group in arguments
            for child in group.children
            if _rule(child) not in ("", "new_line_or_comment")
        )
        name = "::".join(_word(name) for name in names)
        return Expression("call", start, end, line, None, name, items)

    _READERS: ClassVar = {
        "int_lit": _numeral,
        "float_lit": _numeral,
        "literal_value": _literal,
        "string": _string,
        "heredoc_template": _heredoc,
        "heredoc_template_trim": _heredoc,
        "tuple": _collection,
        "object": _collection,
        "function_call": _call,
        "identifier": _reference,
        "get_attr_expr_term": _reference,
    }


_NAMES: Final = ("identifier", "keyword", "literal_value", "string")
_WORDS: Final = {
    "conditional": "a condition",
    "for_tuple_expr": "a for expression",
    "for_object_expr": "a for expression",
    "binary_op": "a calculation",
    "unary_op": "a calculation",
    "index_expr_term": "a reference",
    "get_attr_expr_term": "a reference",
    "attr_splat_expr_term": "a reference",
    "full_splat_expr_term": "a reference",
}


def _is_negative_number(tree: Any) -> bool:
    if _rule(tree) != "unary_op" or tree.children[0] != "-":
        return False
    return _rule(tree.children[1].children[0]) in ("int_lit", "float_lit")


def _is_plain(string: Any) -> bool:
    parts = (child for child in string.children if _rule(child) == "string_part")
    return not any(hasattr(token, "children") for part in parts for token in part.children)


def _rule(tree: Any) -> str:
    return str(tree.data) if hasattr(tree, "children") else ""


def _end(tree: Any) -> int:
    """Where the last word ends: the grammar counts the line's end, and comments, as part of a calculation."""
    for child in reversed(tree.children):
        if hasattr(child, "children"):
            end = _end(child)
        else:
            end = 0 if child is None or child.type == "NL_OR_COMMENT" else child.end_pos
        if end:
            return end
    return 0


def _word(tree: Any) -> str:
    return "".join(str(token) for token in tree.scan_values(lambda _: True))


def _dotted(tree: Any) -> str:
    """`a.b.c` of plain names; nothing for anything else."""
    if _rule(tree) == "identifier":
        return _word(tree)
    if _rule(tree) == "expr_term" and len(tree.children) == 1:
        return _dotted(tree.children[0])
    if _rule(tree) == "get_attr_expr_term":
        first, last = _dotted(tree.children[0]), _word(tree.children[1])
        return first + last if first else ""
    return ""


def _number(text: str) -> int | float:
    text = text.replace(" ", "")
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def unescaped(text: str) -> str:
    """The value of a quoted text, without its quotes."""

    def meant(match: re.Match[str]) -> str:
        if match[0] in ("$${", "%%{"):
            return match[0][1:]
        if match[1] or match[2]:
            return chr(int(match[1] or match[2], 16))
        return _SHORT.get(match[3], match[0])

    return _ESCAPE.sub(meant, text)
