"""The outline of Terraform files in one fast walk over their text; for questions about thousands of them.

No expression is parsed. What cannot be read gives an outline without blocks, never an error: `closures` name it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from driftguard.adapters.hcl.definitions import MAX_PARSED
from driftguard.model.outlines import Outline

_SKIP: Final = re.compile(r"(?:[ \t\r]+|#[^\n]*|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_HEREDOC: Final = re.compile(r"<<-?[ \t]*([\w-]+)[^\n]*\n(?:.*?\n)??[ \t]*\1[ \t]*(?=\r?\n|$)", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z_][\w-]*")
_PLAIN: Final = re.compile(r'[^"\\$%\n]+')
_OPEN, _CLOSE = "{[(", "}])"
_MAX_DEPTH: Final = 40


class _Unreadable(Exception):
    """The text is not HCL."""


class _Walk:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def body(self, depth: int = 0) -> tuple[dict[str, str], tuple[Outline, ...]]:
        """Attributes and blocks up to the closing brace or the end."""
        if depth > _MAX_DEPTH:
            raise _Unreadable
        attributes: dict[str, str] = {}
        blocks: list[Outline] = []
        while (character := self._next(lines=True)) and character != "}":
            word = _WORD.match(self._text, self._at)
            if word is None:
                raise _Unreadable
            self._at = word.end()
            labels: list[str] = []
            while (character := self._next()) not in ("{", "="):
                labels.append(self._label())
            self._at += 1
            if character == "=":
                attributes[word[0]] = self._expression()
                continue
            inner, nested = self.body(depth + 1)
            if self._next(lines=True) != "}":
                raise _Unreadable
            self._at += 1
            blocks.append(Outline(word[0], tuple(labels), inner, nested))
        return attributes, tuple(blocks)

    def _next(self, *, lines: bool = False) -> str:
        """The next character that counts; empty at the end."""
        while True:
            if skipped := _SKIP.match(self._text, self._at):
                self._at = skipped.end()
            character = self._text[self._at : self._at + 1]
            if not (lines and character == "\n"):
                return character
            self._at += 1

    def _label(self) -> str:
        if self._text.startswith('"', self._at):
            start = self._at
            self._string()
            return self._text[start + 1 : self._at - 1]
        word = _WORD.match(self._text, self._at)
        if word is None:
            raise _Unreadable
        self._at = word.end()
        return word[0]

    def _expression(self) -> str:
        start, depth, end = self._at, 0, self._at
        while character := self._next():
            if depth == 0 and character in "\n}":
                break
            if character == '"':
                self._string()
            elif character == "<" and (heredoc := _HEREDOC.match(self._text, self._at)):
                self._at = heredoc.end()
            else:
                depth += (character in _OPEN) - (character in _CLOSE)
                self._at += 1
            end = self._at
        return self._text[start:end].strip()

    def _string(self) -> None:
        """Over a quoted string, with the templates in it."""
        self._at += 1
        while not self._text.startswith('"', self._at):
            if plain := _PLAIN.match(self._text, self._at):
                self._at = plain.end()
            elif self._text.startswith(("$${", "%%{"), self._at):
                self._at += 3
            elif self._text.startswith(("${", "%{"), self._at):
                self._at += 2
                self._template()
            elif self._at >= len(self._text) or self._text[self._at] == "\n":
                raise _Unreadable
            else:
                self._at += 2 if self._text[self._at] == "\\" else 1
        self._at += 1

    def _template(self) -> None:
        depth = 1
        while depth:
            character = self._next(lines=True)
            if not character:
                raise _Unreadable
            if character == '"':
                self._string()
                continue
            depth += (character == "{") - (character == "}")
            self._at += 1


def outline(path: str, source: bytes) -> Outline:
    """The outline of one file; empty where it cannot be read, or is larger than what is parsed."""
    if len(source) > MAX_PARSED:
        return Outline()
    try:
        text = source.decode("utf-8-sig")
        if path.endswith(".json"):
            return _of_json(json.loads(text))
        attributes, blocks = _Walk(text).body()
    except (_Unreadable, ValueError, RecursionError):
        return Outline()
    return Outline(attributes=attributes, blocks=blocks)


_NESTED: Final = {"terraform": ("backend", "cloud", "required_providers"), "cloud": ("workspaces",)}
_LABELS: Final = {"provider": 1, "module": 1, "variable": 1, "backend": 1, "resource": 2, "data": 2, "output": 1}


def _of_json(document: Any) -> Outline:
    if not isinstance(document, dict):
        return Outline()
    return Outline(blocks=tuple(block for kind, value in document.items() for block in _json_blocks(str(kind), value)))


def _json_blocks(kind: str, value: Any, labels: tuple[str, ...] = ()) -> list[Outline]:
    if isinstance(value, list):
        return [block for item in value for block in _json_blocks(kind, item, labels)]
    if not isinstance(value, dict):
        return []
    if len(labels) < _LABELS.get(kind, 0):
        return [b for name, inner in value.items() for b in _json_blocks(kind, inner, (*labels, str(name)))]
    nested = [b for name in _NESTED.get(kind, ()) for b in _json_blocks(name, value.get(name))]
    attributes = {str(name): json.dumps(inner) for name, inner in value.items()}
    return [Outline(kind, labels, attributes, tuple(nested))]
