"""What another policy would have decided: every recorded decision of a time, decided again from its own facts.

Takes the journal and an `OtherPolicy`; gives a `Backtest`. Each decision stands alone: what another decision would have
changed afterwards is not simulated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from driftguard.config import Policy
from driftguard.model import Decision, Entry, EntryKind
from driftguard.pipeline.decide.replay import NotReplayed, Replay, recorded, replay
from driftguard.ports import JournalReader


@dataclass(frozen=True, slots=True)
class OtherPolicy:
    """The policy that is tried.

    Attributes:
        name: what results call it.
        of: by environment.
        otherwise: of environments that are not in `of`; None where those have no policy.
    """

    name: str
    of: Mapping[str, Policy] = field(default_factory=dict)
    otherwise: Policy | None = None

    def policy(self, environment: str) -> Policy | None:
        """The policy of an environment; None where there is none."""
        return self.of.get(environment, self.otherwise)


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """Decisions in a row about one environment that the other policy would have made differently, alike.

    Attributes:
        first_at, last_at: when the first and the last of them were recorded.
        times: how many they are.
        decided, replayed: the last of them, then and under the other policy.
    """

    environment: str
    first_at: datetime
    last_at: datetime
    times: int
    decided: Decision
    replayed: Decision


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Decisions that could not be replayed, for one reason, and the environments that they are about, sorted."""

    why: NotReplayed
    count: int
    environments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Backtest:
    """The decisions of a time under another policy.

    Attributes:
        policy: its name.
        since: None for all that is recorded.
        replayed: how many decisions could be replayed; `decided` and `would` count their actions.
        differences: by environment, oldest first.
        left_out: those that could not be replayed, by reason.
    """

    policy: str
    since: datetime | None
    until: datetime
    replayed: int
    decided: Mapping[str, int]
    would: Mapping[str, int]
    differences: tuple[DecisionChange, ...]
    left_out: tuple[LeftOut, ...]


def backtest(journal: JournalReader, other: OtherPolicy, since: datetime | None, until: datetime) -> Backtest:
    """Replay the decisions that were recorded in a time; one environment's entries are held at a time."""
    tally = _Tally()
    differences: list[DecisionChange] = []
    for name in sorted(journal.latest(EntryKind.SCANNED, until)):
        entries = journal.entries(environment=name, kinds=[EntryKind.SCANNED], since=since, until=until)
        differences += _differences(name, tally.counted(name, entries, other.policy(name)))
    return Backtest(
        policy=other.name,
        since=since,
        until=until,
        replayed=tally.decided.total(),
        decided=dict(sorted(tally.decided.items())),
        would=dict(sorted(tally.would.items())),
        differences=tuple(differences),
        left_out=tuple(
            LeftOut(why, names.total(), tuple(sorted(names))) for why, names in sorted(tally.left_out.items())
        ),
    )


@dataclass(slots=True)
class _Tally:
    decided: Counter[str] = field(default_factory=Counter)
    would: Counter[str] = field(default_factory=Counter)
    left_out: dict[NotReplayed, Counter[str]] = field(default_factory=dict)

    def counted(
        self, name: str, entries: Iterable[Entry], policy: Policy | None
    ) -> Iterator[tuple[datetime, Replay, Decision]]:
        """The decisions of one environment that could be replayed."""
        for entry in entries:
            found = recorded(entry)
            if isinstance(found, NotReplayed):
                self._left_out(found, name)
                continue
            if policy is None:
                self._left_out(NotReplayed.NO_POLICY, name)
                continue
            again = replay(found, policy)
            if again.replayed is None:
                self._left_out(again.why_not or NotReplayed.NOT_READABLE, name)
                continue
            self.decided[again.decided.action.value] += 1
            self.would[again.replayed.action.value] += 1
            yield entry.at, again, again.replayed

    def _left_out(self, why: NotReplayed, name: str) -> None:
        self.left_out.setdefault(why, Counter())[name] += 1


def _differences(name: str, replays: Iterable[tuple[datetime, Replay, Decision]]) -> Iterator[DecisionChange]:
    """The decisions that differ, those in a row that are alike as one."""
    for _, group in groupby(replays, key=lambda each: _kind(each[1], each[2])):
        first, *others = group
        last = others[-1] if others else first
        if first[1].differs:
            yield DecisionChange(name, first[0], last[0], 1 + len(others), last[1].decided, last[2])


def _kind(found: Replay, again: Decision) -> tuple[object, ...]:
    """What alike decisions have in common: actions and the names of their reasons."""
    names = [tuple(str(reason.name) for reason in decision.reasons) for decision in (found.decided, again)]
    return (found.decided.action, again.action, *names)
