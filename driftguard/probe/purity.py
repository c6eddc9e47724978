"""Finds what a configuration can look at without asking a provider: no probe would notice a change there.

The text is searched, not the grammar: a token that stands in a comment or a string counts as well, because a heredoc's
line may begin with `#`. Too much keeps an environment from being probed; too little would make a probe wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# Between the parts of an expression there may be spaces and comments.
_GAP: Final = r"(?:\s|/\*.*?\*/|(?:\#|//)[^\n]*\n)*"
_CLOCK: Final = r"\b(?:timestamp|plantimestamp|uuid|bcrypt|abspath|pathexpand)\b"
_LITERAL: Final = r"\"\$\{path\.(?:module|root)\}/(?![^\"]*\.\.)[^\"$%\\]*\"" + _GAP + r"[,)]"
_FILES: Final = r"\b(?:file\w*|templatefile)\b" + _GAP + r"\((?!" + _GAP + _LITERAL + r")"
_IMPURE: Final = re.compile(rf"{_CLOCK}{_GAP}\(|terraform_remote_state|\bpath\b{_GAP}\.{_GAP}cwd\b|{_FILES}", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})")


def impure(text: str) -> Iterator[tuple[int, str]]:
    """The lines, from 1, with what a probe cannot see, and what that is; each line once."""
    plain = _ESCAPE.sub(lambda found: _character(found[1] or found[2]), text)
    seen = set()
    for found in _IMPURE.finditer(plain):
        line = plain.count("\n", 0, found.start()) + 1
        if line not in seen:
            seen.add(line)
            yield line, " ".join(found[0].split()).removesuffix("(")


def _character(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if number < 0x110000 else ""
