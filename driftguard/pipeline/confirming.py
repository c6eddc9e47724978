"""Looks that confirm the last report of an environment: they leave a row, not an entry of the journal.

Only a probe confirms: each plan has an entry of its own, as the proof of when it was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from driftguard.model import Entry, EntryKind, EnvironmentResult, Verdict
from driftguard.model.findings import PROBE
from driftguard.model.looks import Look, WatchDay
from driftguard.model.report import ProbeCounts
from driftguard.pipeline.context import EnvironmentTask, RunContext
from driftguard.pipeline.history import read_scan
from driftguard.ports import JournalReader, LookKeeper, RunLedger
from driftguard.report import timestamp

# What two reports of one thing do not have in common: the moments and the costs of their looks.
_OF_THE_LOOK: Final = frozenset({"checked_by", "planned_at", "cpu_seconds", "seconds", "looked_before", "inputs"})


def confirms(journal: JournalReader, result: EnvironmentResult, entry: Entry) -> int | None:
    """The number of the last report's entry, if a probe found all of it again; None where the look needs its own.

    Args:
        entry: the one that the look would write.
    """
    if result.checked_by != PROBE:
        return None
    last = journal.entries(environment=result.name, kinds=[EntryKind.SCANNED], limit=1)
    return last[0].sequence if last and _facts(last[0].data) == _facts(entry.data) else None


def _facts(data: Mapping[str, Any]) -> Mapping[str, Any]:
    plain = msgspec.json.decode(msgspec.json.encode({k: v for k, v in data.items() if k not in _OF_THE_LOOK}))
    inputs = {name: value for name, value in (data.get("inputs") or {}).items() if name != "now"}
    return {**plain, "inputs": msgspec.json.decode(msgspec.json.encode(inputs))}


def keep_confirmations(keeper: LookKeeper, results: Sequence[EnvironmentResult], now: datetime) -> None:
    """Keep the looks of a run that confirmed a report."""
    keeper.keep_looks(
        [Look(each.name, each.confirms, now, 1, each.cpu_seconds) for each in results if each.confirms is not None]
    )


def longest_waiting_first(context: RunContext, tasks: Sequence[EnvironmentTask]) -> list[EnvironmentTask]:
    """The tasks by their last looks, the oldest first: a run that never ends does not starve the same environments."""
    scans = context.ledger.latest(EntryKind.SCANNED)

    def waits_since(task: EnvironmentTask) -> tuple[datetime, str]:
        name = task.settings.name
        moments = [last.at for last in (scans.get(name), context.looks.get(name)) if last is not None]
        return max(moments, default=datetime.min.replace(tzinfo=UTC)), name

    return sorted(tasks, key=waits_since)


class Watching:
    """The rounds of a watch between runs, and what the ledger does not have of them yet.

    A round that finds a difference is kept at once; others as often as the ledger takes them.
    """

    def __init__(self) -> None:
        self._looks: dict[str, Look] = {}
        self._days: dict[str, WatchDay] = {}
        self._kept_at: datetime | None = None

    def keep(self, ledger: RunLedger, standing: Mapping[str, datetime], counts: ProbeCounts, now: datetime) -> None:
        """Keep one round.

        Args:
            standing: when the plans were made that were found to stand still, by environment.
        """
        for name, entry in ledger.latest(EntryKind.SCANNED).items():
            if name in standing and _rests_on(entry, standing[name]):
                before = self._looks.get(name)
                times = 1 + (before.times if before is not None and before.sequence == entry.sequence else 0)
                self._looks[name] = Look(name, entry.sequence or 0, now, times)
        day = now.astimezone(UTC).date().isoformat()
        self._days[day] = _added(self._days.get(day, WatchDay(day, 0, 0, 0, 0, 0.0)), counts)
        if counts.differed or self._kept_at is None or abs(now - self._kept_at) >= ledger.looks_interval:
            ledger.keep_looks(list(self._looks.values()), list(self._days.values()))
            self._looks, self._days, self._kept_at = {}, {}, now


def _rests_on(entry: Entry, planned_at: datetime) -> bool:
    """Whether a report is that of the plan: another run may have found something else since."""
    report = read_scan(entry)
    return report.verdict != Verdict.UNKNOWN and report.planned_at == timestamp(planned_at)


def _added(day: WatchDay, counts: ProbeCounts) -> WatchDay:
    return WatchDay(
        day=day.day,
        rounds=day.rounds + 1,
        looked=day.looked + counts.looked,
        answered=day.answered + counts.answered,
        differed=day.differed + counts.differed,
        cpu_seconds=day.cpu_seconds + counts.cpu_seconds,
    )
