"""What limits the proposals of one run: how many pull requests are open, and a forge that does not answer."""

from __future__ import annotations

import threading
from typing import Final

from driftguard.errors import DriftGuardError, ForgeFault
from driftguard.ports import RequestReader
from driftguard.sealed import mask

PREFIX: Final = "driftguard/"
_MAX_FAULTS: Final = 2


class OpenLimit:
    """The number of open pull requests: read once a run, as all environments count together. Thread-safe.

    Args:
        most: the limit.
    """

    def __init__(self, forge: RequestReader, most: int) -> None:
        self._forge, self._most = forge, most
        self._open: int | None = None
        self._lock = threading.Lock()

    def take(self) -> str | None:
        """Reserve one more pull request; where the limit is reached, a phrase with the count.

        A reservation counts until the run ends, also where opening the pull request fails.

        Raises:
            ForgeFault: the open pull requests could not be listed.
        """
        with self._lock:
            if self._open is None:
                self._open = len(self._forge.open_requests(PREFIX))
            if self._open >= self._most:
                return f"{self._open} are open"
            self._open += 1
            return None


class ForgeFaults:
    """Faults of the forge as a whole in one run: after two in a row, it is not asked for the remaining environments.

    A fault of one request, such as a protected branch, is its environment's own and counts for no other.
    """

    def __init__(self) -> None:
        self._faults: list[str] = []

    def add(self, fault: DriftGuardError) -> None:
        """Count a fault, where every other request fails for the same reason."""
        if isinstance(fault, ForgeFault) and fault.whole_forge:
            self._faults.append(reason_text(fault))

    def clear(self) -> None:
        """Count anew: the forge did what was asked for an environment, so it is there for the others."""
        self._faults.clear()

    def given_up(self) -> str | None:
        """The first fault, where the forge is not to be asked any more in this run; None otherwise."""
        return self._faults[0] if len(self._faults) >= _MAX_FAULTS else None


def reason_text(fault: DriftGuardError) -> str:
    """A fault as the detail of a reason: masked, without the full stop."""
    return mask(str(fault)).rstrip(".")
