"""The log of a defect in DriftGuard."""

from __future__ import annotations

from typing import Protocol


class DefectLog(Protocol):
    """Writes what a report of a defect needs."""

    def write(self, error: BaseException, doing: str) -> str:
        """Write versions, the redacted command line and the traceback; a sentence for people that names the file.

        Args:
            doing: what was done when it happened, such as `scan of prod-eu`.

        It never raises: if the file cannot be written, the sentence has the reason.
        """
        ...
