"""The stages of one environment, in order: scan, decide, then apply or propose what was decided.

Takes a `RunContext` and an `EnvironmentTask`; gives an `EnvironmentResult`. Raises what `run` turns into an `unknown`:
an `EnvironmentFault` where the verdict is not certain.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

from driftguard.config import AlertSettings, EnvironmentSettings, Policy
from driftguard.errors import EnvironmentFault
from driftguard.model import (
    Action,
    Attempt,
    AttemptState,
    Baseline,
    Closure,
    Decision,
    EnvironmentResult,
    ErrorKind,
    Seconds,
    Verdict,
)
from driftguard.pipeline.apply.apply import APPLIED, ApplyContext, DecidedPlan, Outcome, apply
from driftguard.pipeline.apply.recovery import close_dead_attempts, lock_ids_of_dead
from driftguard.pipeline.approve.commits import Approvals, Range
from driftguard.pipeline.approve.gather import (
    ApprovalSources,
    PlanAtHand,
    Since,
    gather_approvals,
    gather_plan_approval,
    gather_range,
)
from driftguard.pipeline.approve.plans import NO_APPROVAL, PlanApproval
from driftguard.pipeline.checkout import EnvironmentRun, ScanContext
from driftguard.pipeline.decide.decision import decide_by_all
from driftguard.pipeline.decide.facts import Facts
from driftguard.pipeline.decide.history import MEMORY, next_retry, nothing_exists, past, state_replaced
from driftguard.pipeline.keeping import BaselineKeeper
from driftguard.pipeline.propose.context import ProposalContext
from driftguard.pipeline.propose.environment import Candidate, concerned, proposed
from driftguard.pipeline.propose.journal import ProposalJournal
from driftguard.pipeline.record import AttemptBasis, approved_entry, new_attempt
from driftguard.pipeline.scan import Findings, scan
from driftguard.ports import (
    Alerts,
    ApplyEngine,
    AttemptHistory,
    Clock,
    DefectLog,
    EnvironmentFolders,
    PlanEngine,
    RunLedger,
    StopSignal,
)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What all environments of one run share.

    Attributes:
        retried_at: when `driftguard retry` was last asked for, by environment.
        approved_points: the commit up to which everything was approved, by environment.
        given_baselines: baselines by environment that the caller knows better than the ledger.
        alerts: where alerts are kept; None for a scan.
        can_propose: whether a forge is configured and answers.
        proposing: what pull requests are opened with; None for a scan, and where there is no forge.
        apply: what applies are made with; None for a scan.
    """

    run_id: str
    scan: ScanContext
    ledger: RunLedger
    attempts: AttemptHistory
    approvals: ApprovalSources
    proposals: ProposalJournal
    folders: EnvironmentFolders
    clock: Clock
    stop: StopSignal
    defects: DefectLog
    alert_settings: AlertSettings
    retried_at: Mapping[str, datetime]
    approved_points: Mapping[str, str]
    given_baselines: Mapping[str, Baseline]
    can_propose: bool
    alerts: Alerts | None = None
    proposing: ProposalContext | None = None
    apply: ApplyContext | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentTask:
    """One environment that is to be run.

    Attributes:
        closure: at the head of the tracked branch.
        applier: None for a scan.
        stop: ends what runs for this environment.
    """

    settings: EnvironmentSettings
    closure: Closure
    engine: PlanEngine
    applier: ApplyEngine | None
    stop: StopSignal


def run_environment(context: RunContext, task: EnvironmentTask, baseline: Baseline | None) -> EnvironmentResult:
    """Scan, decide, and do what is decided; the result is what is true at the end.

    Raises:
        DriftGuardError: the verdict is not certain.
    """
    if context.stop.requested:
        raise EnvironmentFault(ErrorKind.INTERRUPTED, "The run was stopped before this environment's turn.")
    started = time.monotonic()
    with context.folders.occupy(task.settings.name) as folders:
        run = EnvironmentRun(task.settings, task.closure, task.engine, folders)
        return _Stages(context, task, run, started).result(baseline)


@dataclass(frozen=True, slots=True)
class _Judgement:
    """A decision, and the approvals that it rests on; `nothing_exists` as in `Facts`."""

    decision: Decision
    commits: Approvals
    plan: PlanApproval
    nothing_exists: bool


@dataclass(frozen=True, slots=True)
class _Standards:
    """What an apply is held against.

    Attributes:
        policies: the policy at head, and before it the one at the approved point where that still counts too.
        commits: whether the range is approved, by the rule of each policy; empty where that was not asked.
        range: the commits whose approval is needed.
        plan: what merged approval files mean for exactly this plan.
    """

    policies: tuple[Policy, ...]
    commits: tuple[Approvals, ...]
    range: Range
    plan: PlanApproval

    @property
    def approved(self) -> Approvals:
        """The approvals that count: all rules agree, or the first that does not."""
        refused = next((each for each in self.commits if not each.approved), None)
        return refused or (self.commits[-1] if self.commits else Approvals(True, ()))


class _Stages:
    def __init__(self, context: RunContext, task: EnvironmentTask, run: EnvironmentRun, started: float) -> None:
        self._context, self._task, self._run, self._started = context, task, run, started
        self._name, self._head = task.settings.name, context.scan.head
        self._notes: tuple[str, ...] = ()
        self._keeper = BaselineKeeper(
            context.ledger, task.engine, context.clock, self._name, context.run_id, self._head
        )
        self._approved = self._approved_point()

    def result(self, baseline: Baseline | None) -> EnvironmentResult:
        """The stages in order."""
        context, applier = self._context.apply, self._task.applier
        if context is not None and applier is not None:
            self._notes = close_dead_attempts(context, self._context.scan, self._run, applier, self._task.stop)
        with ExitStack() as stack:
            findings = scan(self._context.scan, self._run, self._keeper.reference(baseline), stack)
            judged = self._decide(findings, baseline)
            match judged.decision.action:
                case Action.NONE | Action.ALERT | Action.PROPOSE | Action.HOLD:
                    baseline = self._keeper.in_sync(baseline, findings, self._context.scan.key)
                    result = self._result(findings, baseline, judged.decision)
                    return self._with_proposal(findings, result, judged.plan, None)
                case Action.APPLY:
                    if context is None or applier is None:
                        return self._result(findings, baseline, judged.decision)
                    outcome = self._apply(context, applier, findings, judged)
                    if outcome is not None and outcome.reason == APPLIED:
                        baseline = self._keeper.applied(findings)
                case _:
                    assert_never(judged.decision.action)
        if outcome is None:
            return self._result(findings, baseline, Decision(Action.HOLD, ("acting_elsewhere",)))
        return self._after(outcome, findings, baseline, judged)

    # --- decide ----------------------------------------------------------------------------------

    def _decide(self, findings: Findings, baseline: Baseline | None) -> _Judgement:
        now, settings, context = self._context.clock.now(), self._task.settings, self._context
        classification = findings.classification
        attempts = context.attempts.recent(self._name, now - MEMORY)
        history = past(
            attempts,
            commit=self._head,
            drift_fingerprint=classification.drift_fingerprint,
            retried_at=context.retried_at.get(self._name),
            policy=settings.policy,
            now=now,
        )
        standards = self._standards(findings, baseline)
        facts = Facts(
            verdict=classification.verdict,
            classification=classification,
            fault=None,
            policy=settings.policy,
            approvals=standards.approved,
            now=now,
            nothing_exists=nothing_exists(findings, baseline),
            first_apply_unfinished=baseline is None and any(a.data.get("first_apply") for a in attempts),
            state_replaced=state_replaced(findings, baseline),
            local_state=findings.plan.work.state_file is not None,
            failures=history.failures,
            backoff_until=history.backoff_until,
            reverts=history.reverts,
            plan_approval=standards.plan,
            can_propose=context.can_propose,
        )
        self._move_approved_point(standards, now)
        decision = decide_by_all(facts, standards.policies)
        return _Judgement(decision, standards.approved, standards.plan, facts.nothing_exists)

    def _standards(self, findings: Findings, baseline: Baseline | None) -> _Standards:
        """What is approved: the commits since the approved point, and exactly this plan."""
        context, settings = self._context, self._task.settings
        classification, now = findings.classification, context.clock.now()
        in_sync = classification.verdict is Verdict.IN_SYNC
        plan = NO_APPROVAL
        if not in_sync:
            at_hand = PlanAtHand(
                environment=self._name,
                plan_fingerprint=classification.plan_fingerprint,
                drift_fingerprint=classification.drift_fingerprint,
                closure_hash=findings.closure_hash,
                proposals=context.proposals.standing(self._name),
                now=now,
            )
            plan = gather_plan_approval(
                context.scan.repository, context.attempts, at_hand, commit=self._head, key=context.scan.key
            )
        policies = self._policies()
        closures = context.scan.closures
        since = Since(
            point=self._approved,
            known_good=baseline.commit if baseline else None,
            settings=settings,
            closure=self._task.closure,
            closure_then=closures.at(settings, self._approved) if self._approved else None,
        )
        commits = gather_range(context.approvals, since, plan.path)
        if in_sync and commits.touching and any(policy.approval.require == "reviewed" for policy in policies):
            # Nothing is to be applied, so the forge is not asked in each run.
            return _Standards(policies, (), commits, plan)
        rules = dict.fromkeys(policy.approval for policy in policies)
        judged = tuple(gather_approvals(context.approvals, rule, commits) for rule in rules)
        return _Standards(policies, judged, commits, plan)

    def _approved_point(self) -> str | None:
        """The commit up to which everything was approved; in a ledger without one, the last that was applied."""
        if self._name in self._context.approved_points:
            return self._context.approved_points[self._name]
        applied = self._context.attempts.recent(self._name, datetime.min.replace(tzinfo=UTC))
        return next((a.commit for a in reversed(applied) if a.state is AttemptState.SUCCEEDED), None)

    def _policies(self) -> tuple[Policy, ...]:
        """The policies that count: a commit that loosens one counts only once it is approved by the rule before it."""
        now, point = self._task.settings.policy, self._approved
        if point is None or point == self._head:
            return (now,)
        then = self._context.scan.closures.settings.at(self._task.settings, point)
        if then is None or then.policy == now or then.policy.approval.require == "merged":
            return (now,)
        return (then.policy, now)

    def _move_approved_point(self, standards: _Standards, now: datetime) -> None:
        """Record that everything up to head is approved, where this run may act and there was anything to approve."""
        asked, needed = bool(standards.commits), standards.range
        if self._context.apply is None or not asked or not standards.approved.approved:
            return
        if needed.touching or needed.returned:
            approved = standards.approved
            by = [dict(who) for who in approved.by]
            basis = {"since": self._approved, "reasons": list(approved.reasons), "by": by}
            entry = approved_entry(self._context.run_id, now, self._name, self._head, basis)
            self._context.ledger.append(entry)
            self._approved = self._head

    # --- apply -----------------------------------------------------------------------------------

    def _apply(
        self, context: ApplyContext, applier: ApplyEngine, findings: Findings, judged: _Judgement
    ) -> Outcome | None:
        """Make the attempt; None when another reconciler holds the environment."""
        with context.leased(self._task.settings, self._task.stop) as lease:
            if lease is None or context.attempts.unfinished(self._name):
                return None
            now, classification = context.clock.now(), findings.classification
            attempts = context.attempts.recent(self._name, now - MEMORY)
            basis = AttemptBasis(
                machine=context.machine.identity(),
                approved=judged.commits.reasons,
                approved_by=judged.commits.by,
                approval=judged.plan.id,
                first_apply=judged.nothing_exists or any(a.data.get("first_apply") for a in attempts),
            )
            attempt = new_attempt(
                self._name,
                classification,
                basis,
                commit=self._head,
                run_id=context.run_id,
                retry=next_retry(attempts, self._head, classification.plan_fingerprint or ""),
                now=now,
            )
            decided = DecidedPlan(
                settings=self._task.settings,
                engine=applier,
                plan=findings.plan,
                closure_key=self._task.closure.init_key,
                attempt=attempt,
                labelled=classification.resources,
            )
            return apply(context, decided, lease, lock_ids_of_dead(attempts))

    def _after(
        self, outcome: Outcome, findings: Findings, baseline: Baseline | None, judged: _Judgement
    ) -> EnvironmentResult:
        """Scan again after an attempt: prove that it took effect, or report what is left."""
        reason = f"{outcome.reason}: {outcome.fault.message}" if outcome.fault else outcome.reason
        match outcome.reason:
            case "applied":
                decision = Decision(Action.APPLY, (*judged.decision.reasons, reason))
            case "apply_failed":
                decision = Decision(Action.HOLD, (reason,))
            case _:
                return self._result(findings, baseline, Decision(Action.HOLD, (reason,)))
        with ExitStack() as stack:
            applied = outcome.reason == APPLIED
            verified = scan(
                self._context.scan, self._run, self._keeper.reference(baseline, just_applied=applied), stack
            )
            if applied:
                self._keeper.verified(baseline, verified)
            result = self._result(verified, baseline, decision)
            return self._with_proposal(verified, result, judged.plan, outcome.attempt)

    # --- propose ---------------------------------------------------------------------------------

    def _with_proposal(
        self, findings: Findings, result: EnvironmentResult, approval: PlanApproval, attempt: Attempt | None
    ) -> EnvironmentResult:
        """Bring the environment's proposal in line with the result, which gets its reasons."""
        proposing, context = self._context.proposing, self._context.apply
        if proposing is None or context is None or not concerned(proposing, result.name, result.decision):
            return result
        with context.leased(self._task.settings, self._task.stop) as lease:
            if lease is None:
                return result  # the other reconciler takes care of it, or the next run does
            candidate = Candidate(
                scan=self._context.scan,
                run=self._run,
                findings=findings,
                result=result,
                approval=approval,
                attempt=attempt,
            )
            return proposed(proposing, candidate)

    # --- record ----------------------------------------------------------------------------------

    def _result(self, findings: Findings, baseline: Baseline | None, decision: Decision) -> EnvironmentResult:
        settings, seconds = self._task.settings, findings.seconds
        return EnvironmentResult(
            name=settings.name,
            path=settings.path,
            workspace=settings.workspace,
            verdict=findings.classification.verdict,
            closure_hash=findings.closure_hash,
            baseline=baseline,
            decision=decision,
            classification=findings.classification,
            commits=findings.commits,
            seconds=Seconds(seconds.init, seconds.plan, seconds.show, time.monotonic() - self._started),
            warnings=(*self._notes, *findings.warnings),
            approved=self._approved,
            closure_open=self._task.closure.open,
            drifted=findings.drifted,
        )
