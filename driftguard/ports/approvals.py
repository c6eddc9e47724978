"""What approvals of commits rest on: the tracked branch, signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from driftguard.model import SignedBy


class Signatures(Protocol):
    """Verifies the signatures of commits."""

    def verify(self, commits: Sequence[str], signers: Path) -> Mapping[str, SignedBy]:
        """The signature of each commit, by its id.

        Args:
            signers: the file or folder of the keys that count.

        Raises:
            OperatorError: the signers cannot be read, or git cannot verify at all.
        """
        ...
