"""The repository of a command, as the command line names it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from driftguard import config
from driftguard.config import Settings
from driftguard.errors import UsageError

if TYPE_CHECKING:
    from driftguard.adapters.git.locations import HostToken


class Target(NamedTuple):
    """The repository of a command: path or URL, tracked branch, the operator's configuration.

    Attributes:
        memo: whether plans may get a provider's answers from memory, where the settings allow it.
    """

    repo: str = "."
    ref: str | None = None
    config: Path | None = None
    memo: bool = True

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

    def load(self, content: bytes | None) -> Settings:
        """The settings of a tracked commit's file, and of the operator's, which wins. UsageError where one is wrong."""
        settings = config.load(
            content,
            source=config.CONFIG_FILE,
            operator_text=self.operator_text(),
            operator_source=str(self.config) if self.config else None,
        )
        return settings if self.memo else settings.without_memo()

    def git_token(self) -> HostToken | None:
        """The token with which the repository is read: that of the `forge` in the operator's file, which wins."""
        forge = self.load(None).forge if self.config else None
        if forge is None:
            return None
        from driftguard.adapters.forges.opening import ReadingToken, git_token

        return git_token(forge, ReadingToken(forge, config.surroundings()))
