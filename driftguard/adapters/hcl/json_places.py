"""Where values stand in a JSON text: Terraform source in JSON, or a document inside of it."""

from __future__ import annotations

import bisect
import json
import re
from typing import Final

from driftguard.hcledit.syntax import Expression, JsonDocument, ObjectEntry, Token

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_WORD: Final = re.compile(r"true|false|null")
_TEMPLATE: Final = re.compile(r"(?<!\$)\$\{|(?<!%)%\{|\${3}\{|%{3}\{")
_DEEPEST: Final = 100


def document_of(text: str, *, templates: bool) -> JsonDocument:
    """Where everything stands in a JSON text.

    Args:
        templates: `${` and `%{` in its strings begin an expression, and are doubled where they do not.

    Raises:
        ValueError: it is no JSON, or an object has a key twice; the message holds nothing of the text.
    """
    reader = _JsonReader(text, templates)
    root = reader.value(())
    reader.end()
    return JsonDocument(root, tuple(reader.tokens))


class _JsonReader:
    """Reads a text once, from its beginning."""

    def __init__(self, text: str, templates: bool) -> None:
        self._text, self._templates, self._at = text, templates, 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.tokens: list[Token] = []

    def end(self) -> None:
        self._skip()
        if self._at != len(self._text):
            raise self._wrong()

    def value(self, rules: tuple[str, ...]) -> Expression:
        self._skip()
        if len(rules) > _DEEPEST:
            raise self._wrong()
        start = self._at
        match self._text[start : start + 1]:
            case "{":
                return self._object((*rules, "object"))
            case "[":
                return self._list((*rules, "list"))
            case '"':
                text = self._string(rules)
                kind, value = ("string", text) if text is not None else ("a text with an interpolation", None)
                return Expression(kind, start, self._at, self._line(start), value)
        for pattern in (_WORD, _NUMBER):
            if match := pattern.match(self._text, start):
                self._take(match[0], rules)
                value = json.loads(match[0])
                kind = "null" if value is None else "bool" if isinstance(value, bool) else "number"
                return Expression(kind, start, self._at, self._line(start), value)
        raise self._wrong()

    def _object(self, rules: tuple[str, ...]) -> Expression:
        start = self._at
        self._take("{", rules)
        entries: list[ObjectEntry] = []
        commas: list[int] = []
        while not self._closes("}", bool(entries) and commas[-1] < 0, rules):
            self._skip()
            at = self._at
            key = self._string((*rules, "key"))
            self._skip()
            self._take(":", rules)
            value = self.value(rules)
            entries.append(ObjectEntry(key, at, self._at, self._line(at), value))
            commas.append(self._comma(rules))
        if commas and commas[-1] >= 0:
            raise self._wrong()
        keys = [entry.key for entry in entries if entry.key is not None]
        if len(keys) != len(set(keys)):
            raise ValueError(f"line {self._line(start)}")
        line = self._line(start)
        return Expression("object", start, self._at, line, entries=tuple(entries), commas=tuple(commas))

    def _list(self, rules: tuple[str, ...]) -> Expression:
        start = self._at
        self._take("[", rules)
        items: list[Expression] = []
        commas: list[int] = []
        while not self._closes("]", bool(items) and commas[-1] < 0, rules):
            items.append(self.value(rules))
            commas.append(self._comma(rules))
        if commas and commas[-1] >= 0:
            raise self._wrong()
        return Expression("list", start, self._at, self._line(start), items=tuple(items), commas=tuple(commas))

    def _closes(self, bracket: str, needed: bool, rules: tuple[str, ...]) -> bool:
        self._skip()
        if needed or self._text[self._at : self._at + 1] == bracket:
            self._take(bracket, rules)
            return True
        return False

    def _comma(self, rules: tuple[str, ...]) -> int:
        self._skip()
        if self._text[self._at : self._at + 1] != ",":
            return -1
        self._take(",", rules)
        return self._at - 1

    def _string(self, rules: tuple[str, ...]) -> str | None:
        """The next string; None where it is a template."""
        match = _STRING.match(self._text, self._at)
        if match is None:
            raise self._wrong()
        self._take(match[0], (*rules, "string"))
        text = str(json.loads(match[0]))
        if not self._templates:
            return text
        return None if _TEMPLATE.search(text) else text.replace("$${", "${").replace("%%{", "%{")

    def _take(self, word: str, rules: tuple[str, ...]) -> None:
        if not self._text.startswith(word, self._at):
            raise self._wrong()
        self.tokens.append(Token(self._at, self._at + len(word), word, rules))
        self._at += len(word)

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _line(self, position: int) -> int:
        return bisect.bisect_right(self._line_starts, position)

    def _wrong(self) -> ValueError:
        return ValueError(f"line {self._line(self._at)}")
