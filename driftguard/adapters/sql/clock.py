"""The clock that a ledger goes by: the database server's, where there is one, so that all machines share it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from driftguard.ports import Clock


class LedgerClock(Clock):
    """This machine's clock, set right by what it was ahead or behind when the ledger was opened.

    Args:
        behind: how far this machine's clock is behind the server's.
    """

    def __init__(self, behind: timedelta) -> None:
        self._behind = behind

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return datetime.now(UTC) + self._behind
