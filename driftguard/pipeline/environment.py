"""The stages of one environment, in order: scan, decide, then apply or propose what was decided.

Takes a `RunContext` and an `EnvironmentTask`; gives an `EnvironmentResult`. Raises what `run` turns into an `unknown`:
an `EnvironmentFault` where the verdict is not certain.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, assert_never

from driftguard.errors import EnvironmentFault, TransientFault
from driftguard.model import (
    Action,
    Attempt,
    AttemptState,
    Baseline,
    Decision,
    EnvironmentResult,
    ErrorKind,
    Seconds,
)
from driftguard.model.findings import PROBE
from driftguard.model.reasons import Reason, ReasonName
from driftguard.model.units import UpstreamRow
from driftguard.pipeline.apply.apply import ApplyContext, DecidedPlan, Outcome, apply
from driftguard.pipeline.apply.elsewhere import discard, taken_up
from driftguard.pipeline.apply.recovery import APPLYING_ELSEWHERE, close_dead_attempts, lock_ids_of_ended
from driftguard.pipeline.approve.plans import PlanApproval
from driftguard.pipeline.baseline import Reference
from driftguard.pipeline.checkout import EnvironmentRun, checked_out
from driftguard.pipeline.context import EnvironmentTask, RunContext
from driftguard.pipeline.decide.history import MEMORY, next_retry, unsettled, with_actions_not_run
from driftguard.pipeline.decide.inputs import found_before
from driftguard.pipeline.judging import Judge, Judgement
from driftguard.pipeline.keeping import AppliedBaseline, BaselineKeeper
from driftguard.pipeline.probing import Recording, disagrees
from driftguard.pipeline.propose.environment import Candidate, concerned, proposed
from driftguard.pipeline.record import AttemptBasis, new_attempt
from driftguard.pipeline.recorded import RecordedEngine
from driftguard.pipeline.scan import Findings, scan
from driftguard.ports import (
    ApplyEngine,
)
from driftguard.report import environment_report


def run_environment(context: RunContext, task: EnvironmentTask) -> EnvironmentResult:
    """Scan, decide, and do what is decided; the result is what is true at the end.

    Raises:
        DriftGuardError: the verdict is not certain.
        Postponed: it would act, and is to be run again once the others were scanned.
    """
    if context.stop.requested:
        raise EnvironmentFault(ErrorKind.INTERRUPTED, "The run was stopped before this environment's turn.")
    if task.throttled:
        raise TransientFault(
            ErrorKind.THROTTLED,
            "A rate limit was exceeded while environments with the same credentials were probed, so this one was not "
            "looked at. The next run looks again.",
        )
    started = time.monotonic()
    with context.folders.occupy(task.settings.name) as folders:
        run = EnvironmentRun(task.settings, task.closure, task.engine, folders)
        if task.recorded is not None:
            repeats = RecordedEngine(task.engine.version(), task.recorded)
            result = _Stages(context, task, replace(run, repeats=repeats), started).repeated()
            if result is not None:
                return replace(result, checked_by=PROBE, planned_at=task.planned_at)
        return _Stages(context, task, run, started).result()


# Other reconcilers of one environment apply one after another; more than so many in a row are not waited for.
_MAX_SCANS: Final = 3


class _Stages:
    def __init__(self, context: RunContext, task: EnvironmentTask, run: EnvironmentRun, started: float) -> None:
        self._context, self._task, self._run, self._started = context, task, run, started
        self._name, self._head = task.settings.name, context.scan.head
        self._notes: tuple[str, ...] = ()
        self._keeper = BaselineKeeper(
            context.ledger, task.engine, context.clock, self._name, context.run_id, self._head
        )
        self._judge = Judge(context, task)
        self._inputs: Mapping[str, Any] | None = None
        self._upstream: tuple[UpstreamRow, ...] = ()
        self._disagrees = False
        self._planned_at: datetime | None = None

    def result(self) -> EnvironmentResult:
        """The stages in order."""
        context, applier = self._context.apply, self._task.applier
        if context is not None and applier is not None:
            ledger, scan_context = self._context.ledger, self._context.scan
            self._notes = close_dead_attempts(context, ledger, scan_context, self._run, applier, self._task.stop)
        with ExitStack() as stack:
            findings, baseline = self._scanned_in_order(stack)
            judged = self._judge.judge(findings, baseline)
            self._inputs, self._upstream = judged.inputs, judged.upstream
            match judged.decision.action:
                case Action.NONE | Action.ALERT | Action.PROPOSE | Action.HOLD:
                    self._discard_what_waits(findings)
                    baseline = self._keeper.in_sync(baseline, findings, self._context.scan.key)
                    result = self._result(findings, baseline, judged.decision)
                    return self._with_proposal(findings, result, judged.plan, None)
                case Action.APPLY:
                    if context is None or applier is None:
                        return self._result(findings, baseline, judged.decision)
                    self._context.states.refuse_to_act_before(self._name)
                    sharing = self._context.states.sharing(self._name)  # another scan of this run may have found it
                    if sharing:
                        held = Decision(Action.HOLD, (Reason(ReasonName.STATE_SHARED, ", ".join(sharing)),))
                        return self._result(findings, baseline, held)
                    stack.close()  # the apply takes the work tree anew, and clean
                    outcome, applied = self._apply(context, applier, findings, judged)
                    baseline = applied or baseline
                case _:
                    assert_never(judged.decision.action)
        if outcome is None:
            return self._result(findings, baseline, Decision(Action.HOLD, (Reason(ReasonName.ACTING_ELSEWHERE),)))
        return self._after(outcome, findings, baseline, judged)

    def _discard_what_waits(self, findings: Findings) -> None:
        """Nothing is applied, so no run of an earlier attempt is confirmed any more."""
        context, applier = self._context.apply, self._task.applier
        if context is not None and applier is not None and findings.plan.run.url is not None:
            discard(context.attempts.recent(self._name, context.clock.now() - MEMORY), applier)

    def repeated(self) -> EnvironmentResult | None:
        """The result of a plan that still stands; None where something follows from it that needs a plan made now."""
        with ExitStack() as stack:
            findings, baseline = self._scanned(stack)
            judged = self._judge.judge(findings, baseline)
            self._inputs, self._upstream = judged.inputs, judged.upstream
            proposing, decision = self._context.proposing, judged.decision
            if decision.action not in (Action.NONE, Action.ALERT):
                return None
            if proposing is not None and concerned(proposing, self._name, decision):
                return None
            baseline = self._keeper.in_sync(baseline, findings, self._context.scan.key)
            return self._result(findings, baseline, decision)

    def _scanned_in_order(self, stack: ExitStack) -> tuple[Findings, Baseline | None]:
        """A scan; one that lacks outputs of an environment that this run is still to apply is made again after that."""
        try:
            return self._scanned(stack)
        except EnvironmentFault as fault:
            if fault.kind is ErrorKind.DEPENDENCY and self._context.dependencies is not None:
                self._context.dependencies.not_settled(self._name)
            raise

    def _scanned(self, stack: ExitStack) -> tuple[Findings, Baseline | None]:
        """A scan during which no other reconciler applied or moved the baseline, and the baseline that it rests on.

        Labels of a state that is newer than its baseline would not be certain.
        """
        given = self._context.given_baselines.get(self._name)
        for _ in range(_MAX_SCANS):
            before = self._standing()
            compared = given or before[0]
            stack.close()
            findings = self._recorded_scan(self._keeper.reference(compared), stack)
            now = self._standing()
            if self._context.apply is not None and any(state is AttemptState.APPLYING for _, state in now[1]):
                raise TransientFault(ErrorKind.LOCKED, APPLYING_ELSEWHERE)
            if now == before:
                self._refuse_an_old_head(compared)
                return self._with_unfinished_actions(findings), compared
        raise TransientFault(
            ErrorKind.STATE_MOVED, "Other reconcilers applied here during each scan. The next run looks again."
        )

    def _refuse_an_old_head(self, baseline: Baseline | None) -> None:
        """End here where a newer commit was applied during this run: compared with it, no label would be certain."""
        context, history = self._context.apply, self._context.approvals.history
        if context is None or baseline is None or history.is_ancestor(baseline.commit, self._head):
            return
        if context.moved(self._head) is not None:
            raise TransientFault(
                ErrorKind.STATE_MOVED, "Another commit was applied here during the run. The next run looks again."
            )

    def _recorded_scan(self, reference: Reference, stack: ExitStack) -> Findings:
        """A scan whose plan is recorded for the next probe, and held against the probe where this one audits it."""
        context, listening = self._context.scan, self._task.listening
        self._planned_at = self._context.clock.now()
        records = self._context.probing.probe if self._context.probing else None
        if records is None or self._run.repeats is not None:
            return scan(context, self._run, reference, stack)
        if listening is None:
            findings = scan(context, self._run, reference, stack)
            self._disagrees = disagrees(self._task, findings.plan)
            return findings
        run = replace(self._run, engine=listening)
        recording = Recording.begin(records, context, run)
        findings = scan(context, run, reference, stack)
        recording.keep(context, run, findings.plan, self._planned_at)
        return findings

    def _with_unfinished_actions(self, findings: Findings) -> Findings:
        context = self._context
        state = (findings.state.lineage, findings.state.serial)
        left = unsettled(context.attempts.unsettled(self._name), context.retried.get(self._name), state)
        return replace(findings, classification=with_actions_not_run(findings.classification, left.not_run))

    def _standing(self) -> tuple[Baseline | None, frozenset[tuple[str, AttemptState]]]:
        """The baseline in force, and the attempts that changed something or may be about to."""
        attempts = self._context.attempts.recent(self._name, self._context.clock.now() - MEMORY)
        changed = ((a.id, a.state) for a in attempts if a.state not in (AttemptState.OPEN, AttemptState.VOID))
        return self._keeper.in_force(), frozenset(changed)

    # --- apply -----------------------------------------------------------------------------------

    def _apply(
        self, context: ApplyContext, applier: ApplyEngine, findings: Findings, judged: Judgement
    ) -> tuple[Outcome | None, Baseline | None]:
        """Make the attempt, and move the baseline to what was applied; no outcome while another one holds it."""
        with context.leased(self._task.settings, self._task.stop) as lease, ExitStack() as stack:
            if lease is None or context.attempts.unfinished(self._name):
                return None, None
            now, classification = context.clock.now(), findings.classification
            attempts = context.attempts.recent(self._name, now - MEMORY)
            basis = AttemptBasis(
                machine=context.machine.identity(),
                approved=tuple(map(str, judged.commits.reasons)),
                approved_by=judged.commits.by,
                approval=judged.plan.id,
                first_apply=judged.facts.nothing_exists or any(a.data.get("first_apply") for a in attempts),
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
            moving = AppliedBaseline(self._keeper, findings)
            decided = DecidedPlan(
                settings=self._task.settings,
                engine=applier,
                work=checked_out(self._context.scan, self._run, stack, purpose="apply"),
                closure_key=self._task.closure.init_key,
                attempt=attempt,
                baseline=moving,
                labelled=(*classification.resources, *classification.outputs),
                held=taken_up(attempts, attempt, applier),
            )
            stack.callback(applier.forget_secrets, decided.work)
            outcome = apply(context, decided, lease, lock_ids_of_ended(attempts))
            return outcome, moving.moved

    def _after(
        self, outcome: Outcome, findings: Findings, baseline: Baseline | None, judged: Judgement
    ) -> EnvironmentResult:
        """Scan again after an attempt: prove that it took effect, or report what is left."""
        reason = Reason(outcome.reason, outcome.fault.message if outcome.fault else "")
        match outcome.reason:
            case ReasonName.APPLIED:
                decision = Decision(Action.APPLY, (*judged.decision.reasons, reason))
            case ReasonName.APPLY_FAILED | ReasonName.STATE_NOT_WRITTEN:
                decision = Decision(Action.HOLD, (reason,))
            case _:
                return self._result(findings, baseline, Decision(Action.HOLD, (reason,)))
        found = self._result(findings, baseline, judged.decision)
        with ExitStack() as stack:
            applied = outcome.reason is ReasonName.APPLIED
            self._planned_at = self._context.clock.now()
            verified = scan(
                self._context.scan, self._run, self._keeper.reference(baseline, just_applied=applied), stack
            )
            if applied:
                self._keeper.verified(baseline, verified)
            else:
                verified = self._with_unfinished_actions(verified)
            if self._inputs is not None:
                self._inputs = {**self._inputs, "found": found_before(environment_report(found))}
            result = self._result(verified, baseline, decision)
            if applied and findings.classification.drift_fingerprint is not None:
                result = replace(result, reverted=found, drifted=findings.drifted)
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
        engines = (self._task.engine, self._task.listening)
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
            approved=self._judge.approved,
            closure_open=self._task.closure.open,
            closure_files=tuple(sorted({*self._task.closure.files, *self._task.closure.given})),
            drifted=findings.drifted,
            inputs=self._inputs,
            planned_at=self._planned_at,
            cpu_seconds=self._task.probe_seconds + sum(e.cpu_seconds() for e in engines if e is not None),
            probe_disagrees=self._disagrees,
            plan_url=findings.plan.run.url,
            tool=self._task.engine.version().title,
            upstream=self._upstream,
        )
