"""The estate now or at a moment, environment by environment: what needs action, what runs, what is in sync.

Takes summaries and the journal; gives rows for the overview, filtered and sorted. Only `overview` reads the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any, Final, Protocol

import msgspec

from driftguard.model import Entry, EntryKind
from driftguard.model.estate import Summary
from driftguard.model.findings import PROBE
from driftguard.model.looks import Look
from driftguard.model.reasons import Reason, ReasonName
from driftguard.model.report import AckReport
from driftguard.model.rows import RunStartedRow
from driftguard.model.words import Action, Verdict
from driftguard.pipeline.history import acked
from driftguard.ports import JournalReader

# A run that is older and has no end was killed.
_MAX_RUN: Final = timedelta(hours=6)
_RUNS_READ: Final = 8
_OPEN: Final = frozenset({"opening", "open", "merged", "closing"})


class Group(StrEnum):
    """Where an environment stands in the overview; in the order of the page."""

    NEEDS_ACTION = "needs action"
    UNKNOWN = "unknown"
    RUNNING = "running now"
    PENDING = "pending"
    IN_SYNC = "in sync"


class ProposalReader(JournalReader, Protocol):
    """The journal, and the newest proposals by their state."""

    def proposals(self, states: Collection[str], *, until: datetime | None = None) -> Mapping[str, Entry]:
        """The newest `proposal` entry of each environment, as far as it has one of these states."""
        ...


class ProposalFacts(msgspec.Struct, frozen=True):
    """What a list needs of a `proposal` row; moments are RFC 3339."""

    id: str = ""
    state: str = ""
    number: int | None = None
    url: str | None = None
    commit: str = ""
    proposed_at: str | None = None
    expires_at: str | None = None
    ended_at: str | None = None
    by: str | None = None
    reason: str | None = None

    @property
    def open(self) -> bool:
        """Whether it waits: for a reviewer, or for its outcome."""
        return self.state in _OPEN

    @property
    def name(self) -> str:
        """What a reader calls it by."""
        return f"#{self.number}" if self.number is not None else self.id[:8]


class OverviewRow(msgspec.Struct, frozen=True):
    """One environment of the overview.

    Attributes:
        request: the newest open one.
        acked: the operator's word that holds, if any.
        running: a run has begun that has not come to it yet.
        next_at: when the next look is due, by the interval of its last runs; None where that is not known.
    """

    summary: Summary
    group: Group
    request: ProposalFacts | None = None
    acked: AckReport | None = None
    running: bool = False
    next_at: datetime | None = None

    @property
    def reason(self) -> Reason | None:
        """The first reason of the decision."""
        return Reason.parse(self.summary.reason) if self.summary.reason else None

    @property
    def hold(self) -> str:
        """What keeps every apply waiting: a suspension or a closed window; empty without one."""
        policy = self.summary.policy
        if policy is not None and policy.suspended is not None:
            until = f" until {policy.suspended.until}" if policy.suspended.until else ""
            return f"suspended{until}: {policy.suspended.reason}"
        reason = self.reason
        if reason is not None and reason.name == ReasonName.WINDOW_CLOSED:
            return f"window closed{f': {reason.detail}' if reason.detail else ''}"
        return ""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rows are wanted: kinds combine by AND, the values of one kind by OR; an empty kind is no filter.

    Attributes:
        path: globs, or the beginnings of paths.
        automatic: `yes`, `no`, or the group of labels that is applied automatically.
        age: the least age of what is not in sync.
        request: `yes` or `no`.
        text: words that name, path, owner or reason hold, in any case.
    """

    verdict: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    automatic: tuple[str, ...] = ()
    age: timedelta | None = None
    request: tuple[str, ...] = ()
    text: str = ""

    def among(self, rows: Sequence[OverviewRow], now: datetime) -> list[OverviewRow]:
        """The rows that every filter takes."""
        if self == Filters():
            return list(rows)
        return [row for row in rows if self._by_words(row.summary) and self._by_state(row, now)]

    def _by_words(self, summary: Summary) -> bool:
        text = f"{summary.name} {summary.path} {summary.owner or ''} {summary.reason}".lower()
        return (
            (not self.verdict or summary.verdict in self.verdict)
            and (not self.label or not set(self.label).isdisjoint(summary.labels))
            and (not self.owner or (summary.owner or "") in self.owner)
            and (not self.path or any(_below(summary.path, path) for path in self.path))
            and all(word in text for word in self.text.lower().split())
        )

    def _by_state(self, row: OverviewRow, now: datetime) -> bool:
        automatic = {"yes", *row.summary.automatic} if row.summary.automatic else {"no"}
        since = row.summary.since
        return (
            (not self.automatic or not automatic.isdisjoint(self.automatic))
            and (self.age is None or (since is not None and now - since >= self.age))
            and (not self.request or ("yes" if row.request else "no") in self.request)
        )


def overview(
    journal: ProposalReader, summaries: Sequence[Summary], now: datetime, until: datetime | None
) -> list[OverviewRow]:
    """The rows of the overview, in its own order.

    Args:
        now: the moment that ages refer to; `until` where the page shows the past.
    """
    proposals = open_proposals(journal, until)
    words = acked(journal, now, until)
    under_way, interval = _under_way(journal, [each.name for each in summaries], now, until)
    looks, rows = journal.looks(until), []
    for each in (looked(summary, looks.get(summary.name)) for summary in summaries):
        started = under_way.get(each.name)
        running = started is not None and each.at < started
        word = words.get(each.name)
        rows.append(
            OverviewRow(
                summary=each,
                group=group_of(each, running=running),
                request=proposals.get(each.name),
                acked=None if word is None else word[1],
                running=running,
                next_at=None if interval is None else each.at + interval,
            )
        )
    return in_order(rows)


def looked(summary: Summary, look: Look | None) -> Summary:
    """A summary with the newest look that confirmed its report."""
    if look is None or look.sequence != summary.sequence:
        return summary
    return msgspec.structs.replace(summary, at=look.at, checked_by=PROBE)


def group_of(summary: Summary, *, running: bool) -> Group:
    """The group of an environment."""
    if summary.verdict == Verdict.UNKNOWN:
        return Group.UNKNOWN
    acts = summary.action == Action.APPLY
    if summary.verdict != Verdict.IN_SYNC and not acts and not _passes(summary):
        return Group.NEEDS_ACTION
    if running:
        return Group.RUNNING
    return Group.IN_SYNC if summary.verdict == Verdict.IN_SYNC else Group.PENDING


def _passes(summary: Summary) -> bool:
    """Whether its decision holds it only for a reason that ends by itself."""
    return summary.action == Action.HOLD and bool(summary.reason) and Reason.parse(summary.reason).passes


def in_order(rows: Iterable[OverviewRow]) -> list[OverviewRow]:
    """Rows by group; in each the oldest first, then by name."""
    places = {group: place for place, group in enumerate(Group)}

    def key(row: OverviewRow) -> tuple[int, float, str]:
        since = row.summary.since
        return places[row.group], since.timestamp() if since else float("inf"), row.summary.name

    return sorted(rows, key=key)


_COLUMNS: Final[Mapping[str, Callable[[OverviewRow], Any]]] = {
    "name": lambda row: row.summary.name,
    "verdict": lambda row: row.summary.verdict,
    "changes": lambda row: -sum(row.summary.labels.values()),
    "age": lambda row: row.summary.since.timestamp() if row.summary.since else float("inf"),
    "owner": lambda row: row.summary.owner or "\uffff",
    "commits": lambda row: -row.summary.commits,
    "decision": lambda row: (row.summary.action, row.summary.reason),
    "looked": lambda row: row.summary.at,
}


def sorted_rows(rows: Sequence[OverviewRow], sort: str) -> list[OverviewRow]:
    """Rows by a column, `-` before it for the reverse order; as they are for any other text."""
    key = _COLUMNS.get(sort.removeprefix("-"))
    return list(rows) if key is None else sorted(rows, key=key, reverse=sort.startswith("-"))


def open_proposals(ledger: ProposalReader, until: datetime | None) -> dict[str, ProposalFacts]:
    """The open proposal of each environment that has one."""
    return {name: proposal_facts(entry) for name, entry in ledger.proposals(_OPEN, until=until).items()}


def proposal_facts(entry: Entry) -> ProposalFacts:
    """A `proposal` row of any version; empty where its known fields have another type."""
    try:
        return msgspec.convert(entry.data, ProposalFacts)
    except msgspec.ValidationError:
        return ProposalFacts()


def _under_way(
    journal: JournalReader, names: Sequence[str], now: datetime, until: datetime | None
) -> tuple[dict[str, datetime], timedelta | None]:
    """When the run began that each environment waits for, and the usual interval between runs."""
    started = journal.entries(kinds=[EntryKind.RUN_STARTED], until=until, limit=_RUNS_READ)
    finished = {e.run_id for e in journal.entries(kinds=[EntryKind.RUN_FINISHED], until=until, limit=2 * _RUNS_READ)}
    newest: dict[str, datetime | None] = {}  # the newest run that covers it, where that is under way
    for entry in reversed(started):
        under_way = entry.run_id not in finished and now - entry.at < _MAX_RUN
        covered = _named(entry, names)
        for name in covered:
            newest.setdefault(name, entry.at if under_way else None)
        if covered is names:
            break
    waiting = {name: at for name, at in newest.items() if at is not None}
    gaps = sorted(after.at - before.at for before, after in pairwise(started))
    return waiting, gaps[len(gaps) // 2] if gaps else None


def _named(entry: Entry, names: Sequence[str]) -> Sequence[str]:
    """The environments that a run covers; of one over all of them, those that are known."""
    try:
        row = msgspec.convert(entry.data, RunStartedRow)
        return names if row.whole else row.environments
    except msgspec.ValidationError:
        return ()


def _below(path: str, wanted: str) -> bool:
    return fnmatchcase(path, wanted) or path == wanted or path.startswith(f"{wanted.rstrip('/')}/")
