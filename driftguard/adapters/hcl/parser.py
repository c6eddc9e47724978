"""One object for both notations of Terraform source; it loads python-hcl2 at its first use."""

from __future__ import annotations

from driftguard.adapters.hcl.facts import blocks
from driftguard.adapters.hcl.json_places import Document, document_of
from driftguard.adapters.hcl.places import File, file_of
from driftguard.hcledit.source import Parser
from driftguard.model import Block
from driftguard.ports import BlockReader


class SourceParser(Parser, BlockReader):
    """Says where everything stands in a text. Positions count characters, lines start at 1."""

    def hcl(self, text: str) -> File:
        """Native syntax.

        Raises:
            ValueError: it cannot be parsed; the message holds nothing of the text.
        """
        return file_of(text)

    def json(self, text: str, *, templates: bool) -> Document:
        """JSON.

        Args:
            templates: `${` and `%{` in its strings begin an expression, as in `.tf.json`.

        Raises:
            ValueError: it cannot be parsed, or an object has a key twice; the message holds nothing of the text.
        """
        return document_of(text, templates=templates)

    def blocks(self, path: str, source: bytes) -> tuple[Block, ...]:
        """The `resource`, `data` and `module` blocks of a file; empty for one that cannot be parsed, or is JSON."""
        return blocks(path, source)
