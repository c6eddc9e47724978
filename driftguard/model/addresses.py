"""The addresses by which Terraform names a resource instance."""

from __future__ import annotations

import re
from typing import Final

# A key may hold dots and brackets of its own.
_PART: Final = re.compile(r'([^.\["]+)(?:\[(?:[0-9]+|"(?:[^"\\]|\\.)*")\])?(?:\.|$)')


def address_parts(address: str) -> list[str]:
    """An address without its keys: `module.a["x"].aws_b.c[0]` is module, a, aws_b, c; empty where it cannot be read."""
    parts, position = [], 0
    while match := _PART.match(address, position):
        parts.append(match[1])
        position = match.end()
        if position == len(address):
            return parts
    return []
