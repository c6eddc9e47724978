"""Which environments depend on which, so that applies follow the graph and none rests on what is not settled.

Terragrunt's units name what they depend on; other environments depend on none.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence

from driftguard.config import EnvironmentSettings
from driftguard.model import EntryKind, EnvironmentResult, Verdict
from driftguard.model.units import UnitFacts
from driftguard.pipeline.history import read_scan
from driftguard.pipeline.states import Postponed
from driftguard.ports import JournalReader


class Dependencies:
    """The environments that others depend on, and how far each is settled. Safe to share between threads.

    Args:
        after: the names of those that each environment of the run depends on.
        known: the verdicts of the last scans, by name: for environments that this run does not look at.
    """

    def __init__(self, after: Mapping[str, Collection[str]], known: Mapping[str, str]) -> None:
        self._after, self._known = after, known
        self._awaited = frozenset(after)
        self._found: dict[str, Verdict] = {}
        self._guard = threading.Lock()

    def done(self, result: EnvironmentResult) -> None:
        """Take an environment's result at its end."""
        with self._guard:
            self._found[result.name] = result.verdict

    def give_up(self) -> None:
        """Await nothing any more: what has no result is not settled."""
        with self._guard:
            self._awaited = frozenset()

    def not_settled(self, environment: str) -> tuple[str, ...]:
        """Those that an environment depends on and that are not in sync, sorted.

        Raises:
            Postponed: one of them is still to be looked at in this run.
        """
        names = sorted(self._after.get(environment, ()))
        with self._guard:
            if any(name in self._awaited and name not in self._found for name in names):
                raise Postponed
            verdicts = {name: self._found.get(name, self._known.get(name, "")) for name in names}
        return tuple(name for name, verdict in verdicts.items() if verdict != Verdict.IN_SYNC)

    def generations(self, environments: Sequence[str]) -> Iterator[list[str]]:
        """The environments in batches, each after those that it depends on; those of a circle come last."""
        left = dict.fromkeys(environments)
        while left:
            ready = [name for name in left if not left.keys() & set(self._after.get(name, ()))]
            batch = ready or list(left)
            yield batch
            for name in batch:
                del left[name]


def dependencies_of(
    units: Mapping[str, UnitFacts | None],
    present: Sequence[EnvironmentSettings],
    left_out: Collection[str],
    journal: JournalReader,
) -> Dependencies:
    """What the environments of a run depend on; a unit that is no environment counts as settled.

    Args:
        units: of each environment of the run; None for one that is no unit.
        present: every environment at head.
        left_out: the names of those that are not planned.
    """
    names: dict[str, list[str]] = {}
    for settings in (each for each in present if each.name not in left_out):
        names.setdefault(settings.path, []).append(settings.name)
    after = {
        name: frozenset(other for path in (unit.after if unit else ()) for other in names.get(path, ()))
        for name, unit in units.items()
    }
    scans = journal.latest(EntryKind.SCANNED) if any(after.values()) else {}
    return Dependencies(after, {name: read_scan(entry).verdict for name, entry in scans.items()})
