"""The proposal of one environment: what to propose, whether it may, and what became of it as reasons of its result."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from driftguard.errors import ForgeFault, OperatorError
from driftguard.model import (
    Action,
    AlertKind,
    Attempt,
    AttemptState,
    Decision,
    EnvironmentResult,
    Invocation,
    ResourceChange,
    Verdict,
)
from driftguard.model.reasons import Reason, ReasonName
from driftguard.pipeline.approve.approval_file import folder_of
from driftguard.pipeline.approve.gather import approval_files
from driftguard.pipeline.approve.plans import PlanApproval
from driftguard.pipeline.checkout import EnvironmentRun, ScanContext
from driftguard.pipeline.propose.adoption import Adopting
from driftguard.pipeline.propose.context import ProposalContext
from driftguard.pipeline.propose.draft import Draft
from driftguard.pipeline.propose.journal import ENDED
from driftguard.pipeline.propose.lifecycle import EnvironmentOutcome, settle
from driftguard.pipeline.propose.limits import reason_text
from driftguard.pipeline.scan import Findings
from driftguard.report import environment_report
from driftguard.sealed import mask


def actions_of(resources: Sequence[ResourceChange], invocations: Sequence[Invocation] = ()) -> tuple[str, ...]:
    """What an apply would do, such as `update aws_sqs_queue.jobs`, sorted, and then what it would invoke."""
    acting = [r for r in resources if r.actions not in ((), ("no-op",), ("read",))]
    words: dict[tuple[str, ...], str] = {("delete", "create"): "replace", ("create", "delete"): "replace"}
    # A key of `for_each` may look like a credential; the file that lists these is public to the team.
    changes = sorted(mask(f"{words.get(r.actions, '-'.join(r.actions))} {r.address}") for r in acting)
    return (*changes, *sorted(mask(f"invoke {invocation.address}") for invocation in invocations))


@dataclass(frozen=True, slots=True)
class Candidate:
    """One environment that may need a proposal: how it was scanned, and with what result.

    Attributes:
        approval: the approval files at head, judged for the plan at hand.
        attempt: the apply of this run; None without one.
    """

    scan: ScanContext
    run: EnvironmentRun
    findings: Findings
    result: EnvironmentResult
    approval: PlanApproval
    attempt: Attempt | None


def concerned(context: ProposalContext, environment: str, decision: Decision) -> bool:
    """Whether there is anything to propose, or a proposal that has not ended."""
    if decision.action is Action.PROPOSE:
        return True
    newest = context.journal.newest(environment)
    return newest is not None and newest.state not in ENDED


def proposed(context: ProposalContext, candidate: Candidate) -> EnvironmentResult:
    """The environment's result, with what became of its proposal among its reasons."""
    result = candidate.result
    given_up = context.faults.given_up()
    if given_up is not None:
        return _with_reasons(result, (Reason(ReasonName.PROPOSAL_FAILED, given_up),))
    try:
        reasons = settle(context, result.name, _draft(context, candidate), _outcome(context, candidate))
        context.faults.clear()
    except (ForgeFault, OperatorError) as fault:
        context.faults.add(fault)
        reasons = (Reason(ReasonName.PROPOSAL_FAILED, reason_text(fault)),)
    return _with_reasons(result, reasons)


def close_left_behind(context: ProposalContext, present: AbstractSet[str]) -> tuple[str, ...]:
    """Close the proposals of environments that are not at head; a sentence for each that cannot be closed now.

    Args:
        present: names of the environments at head.
    """
    failures = []
    for name in sorted(context.journal.unfinished().keys() - present):
        why = f"{name} is no longer an environment at {context.history.head[:10]}."
        try:
            settle(context, name, None, EnvironmentOutcome(undecided=False, in_sync=False, text=why))
        except (ForgeFault, OperatorError) as fault:
            failures.append(f"The proposal of {name}, which was removed, could not be closed: {mask(str(fault))}")
    return tuple(failures)


def _with_reasons(result: EnvironmentResult, reasons: Sequence[Reason]) -> EnvironmentResult:
    return replace(result, decision=Decision(result.decision.action, (*result.decision.reasons, *reasons)))


def _outcome(context: ProposalContext, candidate: Candidate) -> EnvironmentOutcome:
    result, attempt, classification = candidate.result, candidate.attempt, candidate.result.classification
    void = candidate.approval.void or {}
    newest = context.journal.newest(result.name)
    file = f"{folder_of(result.name)}{newest.plan_fingerprint}.yaml" if newest is not None else ""
    return EnvironmentOutcome(
        undecided=result.verdict is Verdict.UNKNOWN,
        in_sync=result.verdict is Verdict.IN_SYNC,
        held=result.decision.action is Action.HOLD,
        text=_outcome_text(candidate),
        drift_fingerprint=classification.drift_fingerprint if classification else None,
        attempted=str(attempt.data.get("approval") or "") or None if attempt else None,
        applied=attempt is not None and attempt.state is AttemptState.SUCCEEDED,
        attempt_id=attempt.id if attempt else None,
        approved=candidate.approval.id,
        void=void,
        unreadable=void.get(file),
    )


def _outcome_text(candidate: Candidate) -> str:
    result, attempt = candidate.result, candidate.attempt
    verdict = f"{result.name} is {result.verdict.value.replace('_', ' ')} at {candidate.scan.head[:10]}."
    if attempt is not None and attempt.state is AttemptState.SUCCEEDED:
        return f"Applied: {verdict}"
    if attempt is not None:
        return f"The apply failed ({result.decision.reasons[0]}); it is retried while the approval is valid."
    if result.verdict is Verdict.IN_SYNC:
        return verdict
    return f"{verdict} {'; '.join(map(str, result.decision.reasons))}"


def _draft(context: ProposalContext, candidate: Candidate) -> Draft | None:
    result, classification, scan = candidate.result, candidate.result.classification, candidate.scan
    if result.decision.action is not Action.PROPOSE or classification is None:
        return None
    assert classification.plan_fingerprint is not None  # nothing planned is never proposed
    settings = candidate.run.settings
    drift = (each for each in context.alerts.standing() if each.environment == settings.name)
    return Draft(
        environment=settings.name,
        drift_fingerprint=classification.drift_fingerprint,
        plan_fingerprint=classification.plan_fingerprint,
        closure_hash=result.closure_hash,
        commit=scan.head,
        prefer=settings.policy.prefer,
        expires_after=context.expires_after,
        choice_maker=Adopting(context=context, scan=scan, run=candidate.run, findings=candidate.findings),
        old_files=approval_files(scan.repository.tree(scan.head), settings.name),
        report=environment_report(result),
        traces=next((each.traces for each in drift if each.kind is AlertKind.DRIFT), {}),
        actions=actions_of(classification.resources, classification.invocations),
    )
