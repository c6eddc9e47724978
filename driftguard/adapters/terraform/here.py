"""An engine that runs here: nothing of its applies is made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from driftguard.ports import ApplyEngine, AttemptNotes


class AppliesHere(ApplyEngine):
    """What of an engine is about runs elsewhere, for one that has none."""

    def recording(self, notes: AttemptNotes, held: Mapping[str, str] | None) -> ApplyEngine:
        """The engine itself: there is nothing to note."""
        return self

    def withdraw(self) -> None:
        """Nothing waits."""

    def settle(self, left: Mapping[str, str]) -> bool:
        """Nothing was left."""
        return False
