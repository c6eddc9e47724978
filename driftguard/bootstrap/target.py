"""The repository of a command, as the command line names it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from driftguard.errors import UsageError


class Target(NamedTuple):
    """The repository of a command: path or URL, tracked branch, the operator's configuration."""

    repo: str = "."
    ref: str | None = None
    config: Path | None = None

    def operator_text(self) -> bytes | None:
        """The operator's configuration; None where there is none.

        Raises:
            UsageError: it cannot be read.
        """
        if self.config is None:
            return None
        try:
            return self.config.read_bytes()
        except OSError as error:
            raise UsageError(f"--config {self.config} cannot be read: {error.strerror}.") from None
