"""What was recorded? Every journal entry of a run, and the baselines and attempts that it leaves, are made here.

Takes reports and facts of a run; gives entries, baselines and attempts for the ledger. Pure but for random ids. What is
written has gone through the JSON report, so it is redacted.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from driftguard.model import (
    Acknowledgement,
    Attempt,
    AttemptState,
    AttemptStep,
    Baseline,
    Classification,
    Delivery,
    Entry,
    EntryKind,
    Notice,
    Outage,
    Proposal,
    RecordedNotice,
    RunResult,
    Verdict,
)
from driftguard.model.findings import PROBE
from driftguard.model.looks import Look
from driftguard.model.report import EnvironmentReport
from driftguard.ports import StateIdentity

_MAX_FILES: Final = 1000


def run_started_entry(
    run_id: str,
    at: datetime,
    *,
    commit: str,
    ref: str,
    repository: str,
    environments: Sequence[str],
    whole: bool = False,
) -> Entry:
    """The start of a run over environments; `whole` where they are all at head, whose names it then leaves out."""
    facts = {
        "commit": commit,
        "ref": ref,
        "repository": repository,
        "environments": [] if whole else list(environments),
        "count": len(environments),
        "whole": whole,
    }
    return Entry(EntryKind.RUN_STARTED, at, run_id, None, facts)


def run_finished_entry(result: RunResult) -> Entry:
    """The end of a run: how many environments have each verdict, how they were looked at, and what that cost."""
    environments = result.environments
    data = {
        "summary": {verdict.value: count for verdict, count in result.summary.items()},
        "planned": sum(each.checked_by != PROBE for each in environments),
        "probed": sum(each.checked_by == PROBE for each in environments),
        "cpu_seconds": round(sum(each.cpu_seconds for each in environments), 3),
        "errors": dict(Counter(each.fault.kind.value for each in environments if each.fault is not None)),
    }
    return Entry(EntryKind.RUN_FINISHED, result.finished_at, result.run_id, None, data)


def scan_entry(
    run_id: str,
    commit: str,
    at: datetime,
    environment: EnvironmentReport,
    inputs: Mapping[str, Any] | None = None,
    before: Look | None = None,
    closure_files: Sequence[str] = (),
) -> Entry:
    """One environment's report as an entry of the journal, with the commit that was planned.

    Args:
        inputs: the facts behind the decision; see `decision_inputs`.
        before: the last look that confirmed the report before this one.
        closure_files: the paths of its closure, sorted; the first of them are kept, an open closure may hold them all.
    """
    data = {**msgspec.to_builtins(environment), "commit": commit, "closure_files": list(closure_files[:_MAX_FILES])}
    if len(closure_files) > _MAX_FILES:
        data["closure_files_omitted"] = len(closure_files) - _MAX_FILES
    if inputs is not None:
        data["inputs"] = inputs
    if before is not None:
        data["looked_before"] = before.at.astimezone(UTC).isoformat()
    return Entry(EntryKind.SCANNED, at, run_id, environment.name, data)


def request_entry(kind: EntryKind, at: datetime, environment: str, by: str) -> Entry:
    """What an operator asked for on the command line: a retry, or to forget a removed environment."""
    return Entry(kind, at, "by-hand", environment, {"by": by})


def approved_entry(run_id: str, at: datetime, environment: str, commit: str, basis: Mapping[str, object]) -> Entry:
    """The move of an environment's approved point: every commit of its closure up to this one is approved.

    Args:
        basis: where the range began (`since`), on what its approval rests (`reasons`) and who approved (`by`).
    """
    data = {"commit": commit, **basis}
    return Entry(EntryKind.APPROVED, at, run_id, environment, data)


def baseline_given_entry(at: datetime, environment: str, by: str, commit: str, reason: str) -> Entry:
    """An operator's word that the configuration of a commit was fully applied; the move of the baseline follows it."""
    return Entry(EntryKind.BASELINE_GIVEN, at, "by-hand", environment, {"by": by, "commit": commit, "reason": reason})


def proposal_entry(run_id: str, at: datetime, environment: str, proposal: Proposal) -> Entry:
    """One proposal's state as an entry of the journal."""
    return Entry(EntryKind.PROPOSAL, at, run_id, environment, msgspec.to_builtins(proposal))


def alert_entry(notice: Notice) -> Entry:
    """One step of an alert as an entry of the journal."""
    alert = notice.alert
    data = {
        "alert": alert.id,
        "about": alert.kind.value,
        "event": notice.event.value,
        "severity": alert.severity.value,
        "fingerprint": alert.fingerprint,
        "line": notice.line,
        "acked": alert.acked is not None,
    }
    return Entry(EntryKind.ALERT, notice.at, notice.run_id, alert.environment, data)


def word_entry(kind: EntryKind, environment: str, word: Acknowledgement) -> Entry:
    """An operator's word that an environment's alerts are known (`ACKNOWLEDGED`) or not to be sent (`SILENCED`)."""
    until = None if word.until is None else word.until.isoformat()
    data = {"by": word.by, "until": until, "reason": word.reason, "severity": word.severity.value}
    return Entry(kind, word.at, "by-hand", environment, data)


def recorded_notices(notices: Iterable[Notice]) -> tuple[RecordedNotice, ...]:
    """Notices with their entries."""
    return tuple(RecordedNotice(notice, alert_entry(notice)) for notice in notices)


def delivered_entry(run_id: str, at: datetime, delivery: Delivery) -> Entry:
    """A delivery that arrived, with the reference that its sink gave."""
    data = {
        "delivery": delivery.id,
        "kind": delivery.kind.value,
        "sink": delivery.sink,
        "channel": delivery.channel,
        "alerts": list(delivery.alerts),
        "reference": delivery.reference,
    }
    return Entry(EntryKind.ALERT_DELIVERED, at, run_id, None, data)


def sink_failed_entry(run_id: str, outage: Outage) -> Entry:
    """The beginning of an outage."""
    return Entry(
        EntryKind.SINK_FAILED, outage.since, run_id, None, {"target": outage.target, "problem": outage.problem}
    )


def sink_works_entry(run_id: str, at: datetime, target: str) -> Entry:
    """The end of a target's outage."""
    return Entry(EntryKind.SINK_WORKS, at, run_id, None, {"target": target})


def baseline_moved_entry(run_id: str, at: datetime, environment: str, baseline: Baseline) -> Entry:
    """The move of a baseline; `data` holds its fields, the time in UTC with microseconds."""
    set_at = baseline.at.astimezone(UTC).isoformat(timespec="microseconds")
    return Entry(EntryKind.BASELINE_MOVED, at, run_id, environment, {**msgspec.to_builtins(baseline), "at": set_at})


def in_sync_baseline(
    verdict: Verdict,
    before: Baseline | None,
    *,
    commit: str,
    closure_hash: str,
    state: StateIdentity,
    tool: str,
    providers: Mapping[str, str],
    at: datetime,
) -> Baseline | None:
    """The baseline to move to after a scan; None where it stays as it is.

    An environment seen in sync is known to be good at this commit and with this state.
    """
    if verdict is not Verdict.IN_SYNC:
        return None
    facts = (commit, closure_hash, state.lineage, state.serial, state.empty, tool, dict(providers))
    if before is not None and facts == (
        before.commit,
        before.closure_hash,
        before.lineage,
        before.serial,
        before.empty,
        before.tool,
        dict(before.providers),
    ):
        return None
    return Baseline(
        commit, "in_sync", closure_hash, state.lineage, state.serial, tool, dict(providers), at, state.empty
    )


@dataclass(frozen=True, slots=True)
class AttemptBasis:
    """What an attempt is recorded with, besides its plan.

    Attributes:
        machine: facts by which a later run finds out whether it still runs.
        approved, approved_by: on what the approval of its commits rests, and who approved.
        approval: the id of the merged approval file for exactly this plan, which the apply uses up.
        first_apply: the environment had nothing before this attempt or before an earlier one that did not end well.
    """

    machine: Mapping[str, str]
    approved: Sequence[str]
    approved_by: Sequence[Mapping[str, str]]
    approval: str | None
    first_apply: bool


def new_attempt(
    environment: str,
    classification: Classification,
    basis: AttemptBasis,
    *,
    commit: str,
    run_id: str,
    retry: int,
    now: datetime,
) -> Attempt:
    """An attempt to apply one classified plan, with an id for the state lock and the proof of its approval."""
    assert classification.plan_fingerprint is not None  # nothing planned is never decided to be applied
    data = {
        "lock_id": str(uuid.uuid4()),
        **basis.machine,
        "first_apply": basis.first_apply,
        "approval": basis.approval,
        "approved": list(basis.approved),
        "approved_by": [dict(who) for who in basis.approved_by],
        "invocations": [[i.address, i.trigger] for i in classification.invocations if not i.not_run],
        "planned": {r.address: list(r.actions) for r in classification.resources if r.actions not in ((), ("no-op",))},
    }
    return Attempt(
        id=uuid.uuid4().hex,
        environment=environment,
        commit=commit,
        plan_fingerprint=classification.plan_fingerprint,
        drift_fingerprint=classification.drift_fingerprint,
        run_id=run_id,
        state=AttemptState.OPEN,
        opened_at=now,
        data=data,
        retry=retry,
    )


def attempt_opened_entry(attempt: Attempt) -> Entry:
    """The opening of an attempt, with all that it is recorded with."""
    return _attempt_entry(EntryKind.ATTEMPT_OPENED, attempt, AttemptState.OPEN, attempt.opened_at, attempt.data)


def attempt_step(attempt: Attempt, state: AttemptState, at: datetime, data: Mapping[str, Any]) -> AttemptStep:
    """The step of an attempt into a state, which may be the one that it is in; recorded by the attempt's `run_id`.

    Args:
        data: what is new; the ledger merges it into what is stored.
    """
    under_way = state in (AttemptState.OPEN, AttemptState.APPLYING)
    kind = EntryKind.ATTEMPT_PROGRESS if under_way else EntryKind.ATTEMPT_FINISHED
    return AttemptStep(state, data, _attempt_entry(kind, attempt, state, at, data))


def _attempt_entry(
    kind: EntryKind, attempt: Attempt, state: AttemptState, at: datetime, data: Mapping[str, Any]
) -> Entry:
    facts = {
        "attempt": attempt.id,
        "state": state.value,
        "commit": attempt.commit,
        "plan_fingerprint": attempt.plan_fingerprint,
        "drift_fingerprint": attempt.drift_fingerprint,
        "retry": attempt.retry,
        "data": dict(data),
    }
    return Entry(kind, at, attempt.run_id, attempt.environment, facts)
