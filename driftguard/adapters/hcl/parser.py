"""Both notations of Terraform source, read into the syntax classes of `hcledit`; python-hcl2 loads at its first use."""

from __future__ import annotations

from driftguard.adapters.hcl.json_places import document_of
from driftguard.adapters.hcl.places import file_of
from driftguard.hcledit.source import Parser
from driftguard.hcledit.syntax import JsonDocument, NativeFile


class SourceParser(Parser):
    """Finds the positions of everything in a text."""

    def hcl(self, text: str) -> NativeFile:
        """A text in native syntax.

        Raises:
            ValueError: it cannot be parsed; the message holds nothing of the text.
        """
        return file_of(text)

    def json(self, text: str, *, templates: bool) -> JsonDocument:
        """A JSON text.

        Args:
            templates: `${` and `%{` in its strings begin an expression, as in `.tf.json`.

        Raises:
            ValueError: it cannot be parsed, or an object has a key twice; the message holds nothing of the text.
        """
        return document_of(text, templates=templates)
