"""The ledger's facts for a decision: failures and backoff, the flapping limit, crashed attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from driftguard.config import Policy
from driftguard.model import (
    Attempt,
    AttemptState,
    Baseline,
    Classification,
    Invocation,
    Label,
    Verdict,
    rows,
)
from driftguard.pipeline.scan import Findings

# Attempts older than this have no influence on a decision.
MEMORY = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier attempts mean for the next.

    Attributes:
        failures: failed applies in a row at this commit since it was last asked to retry.
        backoff_until: when the next may start; None at once.
        reverts: applies that reverted this very drift within the time of the flapping limit.
        failed_at: when the last of the failures ended; None without one.
        reverted_at: when this very drift was reverted, as far back as attempts are remembered.
    """

    failures: int
    backoff_until: datetime | None
    reverts: int
    failed_at: datetime | None = None
    reverted_at: tuple[datetime, ...] = ()

    @staticmethod
    def under(
        policy: Policy, failures: int, failed_at: datetime | None, reverted_at: Sequence[datetime], now: datetime
    ) -> Past:
        """What failures and reverts mean under a policy."""
        until = None
        if failed_at is not None:
            until = failed_at + min(policy.backoff.first * 2 ** min(failures - 1, 20), policy.backoff.most)
        since = now - policy.flapping.within
        return Past(failures, until, sum(at >= since for at in reverted_at), failed_at, tuple(reverted_at))


def past(
    attempts: Sequence[Attempt],
    *,
    commit: str,
    drift_fingerprint: str | None,
    retried: int | None,
    policy: Policy,
    now: datetime,
) -> Past:
    """Read earlier attempts, oldest first.

    Args:
        retried: the journal's sequence number of the last `driftguard retry`; attempts before it do not count. Their
            order in the journal counts, not their moments: one of them may have run under a wrong clock.
    """
    counted = [a for a in attempts if retried is None or (a.sequence or 0) > retried]
    failures, last = _failures(counted, commit)
    last = None if last is None else min(last, now)  # a moment after now is that of a wrong clock
    reverts = [a for a in counted if a.state is AttemptState.SUCCEEDED and drift_fingerprint is not None]
    same = [min(a.opened_at, now) for a in reverts if a.drift_fingerprint == drift_fingerprint]
    return Past.under(policy, failures, last, same, now)


def _failures(attempts: Sequence[Attempt], commit: str) -> tuple[int, datetime | None]:
    """The failed applies in a row at a commit, and the end of the last one."""
    failures = 0
    last: datetime | None = None
    for attempt in attempts:
        if attempt.state is AttemptState.SUCCEEDED:
            failures, last = 0, None
        elif attempt.state is AttemptState.FAILED and attempt.commit == commit and attempt.data.get("reason") != "died":
            failures, last = failures + 1, attempt.finished_at or attempt.opened_at
    return failures, last


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What applies that did not end well leave open, until the state settles it or an operator asks for a retry.

    Attributes:
        state_not_written: where the state that could not be stored is kept, and the command; empty without one.
        creations: addresses whose creation has no known end.
        not_run: actions that an apply was to invoke and that have no known good end.
    """

    state_not_written: str = ""
    creations: frozenset[str] = frozenset()
    not_run: tuple[Invocation, ...] = ()


def unsettled(attempts: Sequence[Attempt], retried: int | None, state: tuple[str | None, int | None]) -> Unsettled:
    """Read the attempts after the last one that succeeded, oldest first.

    Args:
        retried: the journal's sequence number of the last `driftguard retry`; attempts before it do not count.
        state: lineage and serial of the one that is there; one that could not be stored is settled once it, or a
            later one, is there.
    """
    lineage, serial = state
    not_written, creations, not_run = "", set[str](), dict[str, Invocation]()
    for attempt in attempts:
        if retried is not None and (attempt.sequence or 0) <= retried:
            continue
        record = msgspec.convert(attempt.data, rows.UnsettledRow, strict=False)
        kept = record.state_not_written
        if kept is not None:
            pushed = lineage == kept.lineage and (serial or 0) >= (kept.serial or 0)
            not_written = "" if pushed else kept.text
        _note_creations(record, creations)
        if attempt.state is AttemptState.FAILED:
            _note_actions(record, not_run)
    return Unsettled(not_written, frozenset(creations), tuple(not_run.values()))


def _note_creations(record: rows.UnsettledRow, creations: set[str]) -> None:
    for address, word in record.resources.items():
        unknown = word == "started" or (word == "done" and record.cut_off)
        if unknown and "create" in record.planned.get(address, ()):
            creations.add(address)
        else:
            creations.discard(address)


def _note_actions(record: rows.UnsettledRow, not_run: dict[str, Invocation]) -> None:
    for address, trigger in record.invocations:
        invocation = Invocation(address, trigger, Label.PENDING, not_run=True)
        if record.resources.get(invocation.key) == "done":
            not_run.pop(invocation.key, None)
        else:
            not_run[invocation.key] = invocation


def with_actions_not_run(classification: Classification, not_run: Sequence[Invocation]) -> Classification:
    """The classification with the actions that an apply left out and that the plan at hand does not invoke again.

    An environment with one of them is not in sync.
    """
    planned = {invocation.key for invocation in classification.invocations}
    missed = tuple(invocation for invocation in not_run if invocation.key not in planned)
    if not missed:
        return classification
    verdict = Verdict.PENDING if classification.verdict is Verdict.IN_SYNC else classification.verdict
    return replace(classification, verdict=verdict, invocations=(*classification.invocations, *missed))


def next_retry(attempts: Sequence[Attempt], commit: str, plan_fingerprint: str) -> int:
    """The number of the next attempt at one plan: how often exactly it was attempted before and ended."""
    same = [a for a in attempts if (a.commit, a.plan_fingerprint) == (commit, plan_fingerprint)]
    return sum(attempt.state is not AttemptState.VOID for attempt in same)


def nothing_exists(findings: Findings, baseline: Baseline | None) -> bool:
    """Whether nothing was ever made: an empty state, nothing real in the plan, no baseline that held anything.

    An interrupted plan leaves an empty state behind; a state that was lost looks the same.
    """
    held = baseline is not None and baseline.held_something
    return findings.state.empty and findings.classification.resource_count == 0 and not held


def state_replaced(findings: Findings, baseline: Baseline | None) -> str:
    """How the state is another one than the baseline's: it was lost, replaced or rolled back; empty if it is not."""
    if baseline is None or baseline.lineage is None:
        return ""
    state = findings.state
    if state.empty and findings.classification.resource_count == 0:
        return "the state is empty, and it was not when it was applied to last" if baseline.held_something else ""
    if state.lineage != baseline.lineage:
        return "the state is not the one that was applied to last"
    if state.serial is not None and baseline.serial is not None and state.serial < baseline.serial:
        return f"the state was rolled back, from serial {baseline.serial} to {state.serial}"
    return ""
