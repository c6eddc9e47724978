"""One pass: every environment scanned, decided, acted upon and recorded; the only place that knows the order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

from driftguard.config import AlertSettings, EnvironmentSettings
from driftguard.errors import DriftGuardError, EnvironmentFault
from driftguard.model import (
    Action,
    Alert,
    Attempt,
    Baseline,
    Closure,
    Decision,
    EnvironmentResult,
    ErrorKind,
    Fault,
    Notice,
    Seconds,
    Verdict,
)
from driftguard.pipeline.alert.lifecycle import follow
from driftguard.pipeline.apply.apply import Outcome
from driftguard.pipeline.apply.recovery import (
    Authority,
    apply_decided,
    close_dead_attempts,
    leased,
    new_attempt,
)
from driftguard.pipeline.approve.commits import Approvals
from driftguard.pipeline.approve.plans import PlanApproval
from driftguard.pipeline.decide.decision import decide
from driftguard.pipeline.decide.facts import Facts
from driftguard.pipeline.decide.history import MEMORY, next_retry, nothing_exists, past, state_replaced
from driftguard.pipeline.pool import run_all
from driftguard.pipeline.propose.context import ProposalContext
from driftguard.pipeline.propose.environment import Candidate, concerned, plan_approval, proposed
from driftguard.pipeline.propose.journal import ProposalJournal
from driftguard.pipeline.record import in_sync_baseline, scan_entry
from driftguard.pipeline.scan import Findings, Folders, Scene, closure_hash, ready_directory, scan
from driftguard.ports import Alerts, Clock, Engine, Ledger, WorkingDirectory
from driftguard.report import environment_report
from driftguard.sealed import mask

__all__ = ["Authority", "Folders", "Pass", "Place", "Scene", "recorded", "run_pass"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """One environment with all that is needed to judge it.

    Attributes:
        occupy: holds the environment's data folder against other runs and makes its private folder, which is gone
            when the context ends.
        fence: ends whatever Terraform runs for this environment.
    """

    settings: EnvironmentSettings
    closure: Closure
    engine: Engine
    occupy: Callable[[], AbstractContextManager[Folders]]
    fence: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over a repository.

    Attributes:
        given_baselines: baselines by environment name that the caller knows better than the ledger.
        alerts: where alerts are kept; None for a pass that tells nobody.
        proposing: what pull requests are opened with; None where no forge is configured, or it is away.
        journal: the proposals that the ledger holds.
        stopping: whether a stop was requested.
    """

    run_id: str
    scene: Scene
    ledger: Ledger
    alerts: Alerts | None
    alert_settings: AlertSettings
    authority: Authority
    proposing: ProposalContext | None
    journal: ProposalJournal
    clock: Clock
    given_baselines: Mapping[str, Baseline]
    stopping: Callable[[], bool]


def run_pass(
    one_pass: Pass,
    places: Sequence[Place],
    *,
    at_a_time: int,
    on_done: Callable[[EnvironmentResult], None],
) -> tuple[EnvironmentResult, ...]:
    """Judge every environment; the reports come in the order of `places`. One failure never stops the others."""
    reports = run_all(
        places,
        lambda place: _judge(one_pass, place),
        at_a_time=at_a_time,
        on_done=lambda _, report: on_done(report),
    )
    return tuple(reports)


def _judge(one_pass: Pass, place: Place) -> EnvironmentResult:
    """The boundary of one environment: whatever goes wrong in here becomes its own `unknown`."""
    started = time.monotonic()
    baseline: Baseline | None = None
    try:
        if one_pass.stopping():
            raise EnvironmentFault(ErrorKind.INTERRUPTED, "The run was stopped before this environment's turn.")
        name = place.settings.name
        baseline = one_pass.given_baselines.get(name) or one_pass.ledger.baseline(name)
        with place.occupy() as folders:
            report = _Judging(one_pass, place, folders, started).report(baseline)
    except EnvironmentFault as fault:
        report = _unknown(place, baseline, Fault(fault.kind, mask(fault.message)), started)
    except DriftGuardError as error:
        report = _unknown(place, baseline, Fault(ErrorKind.INTERNAL, mask(str(error))), started)
    except Exception as error:  # the one boundary: a defect in one environment must not cost the others
        log.debug("defect while judging %s", place.settings.name, exc_info=True)
        report = _unknown(place, baseline, Fault(ErrorKind.INTERNAL, _defect(error)), started)
    return recorded(one_pass, report)


class _Judging:
    """The stages for one environment, in order."""

    def __init__(self, one_pass: Pass, place: Place, folders: Folders, started: float) -> None:
        self._pass, self._place, self._folders, self._started = one_pass, place, folders, started
        self._settings, self._authority, self._clock = place.settings, one_pass.authority, one_pass.clock
        self._approval = PlanApproval()
        self._attempt: Attempt | None = None

    def report(self, baseline: Baseline | None) -> EnvironmentResult:
        """Scan, decide, and act if that is decided; what is reported is what is true at the end."""
        notes = self._close_dead_attempts()
        with ExitStack() as stack:
            findings = self._scan(baseline, stack)
            decision, approvals = self._decide(findings, baseline)
            if decision.action is not Action.APPLY or not self._authority.acts:
                moved = self._move_if_in_sync(baseline, findings)
                return self._proposed(findings, self._reported(findings, moved or baseline, decision, notes))
            outcome = self._apply(findings, approvals)
            if outcome is not None and outcome.reason == "applied":
                baseline = self._applied_baseline(findings)
        if outcome is None:
            return self._reported(findings, baseline, Decision(Action.HOLD, ("acting_elsewhere",)), notes)
        return self._after(outcome, findings, baseline, decision, notes)

    def _proposed(self, findings: Findings, report: EnvironmentResult) -> EnvironmentResult:
        """Bring the environment's proposal in line with the report, and say so in it."""
        proposing = self._pass.proposing
        if not self._authority.acts or proposing is None:
            return report
        if not concerned(proposing, report.name, report.decision):
            return report
        with leased(self._authority, self._settings, self._clock, self._place.fence) as still_ours:
            if still_ours is None:
                return report  # whoever acts there takes care of it, or the next pass does
            candidate = Candidate(
                scene=self._pass.scene,
                settings=self._settings,
                closure=self._place.closure,
                engine=self._place.engine,
                folders=self._folders,
                findings=findings,
                result=report,
                approval=self._approval,
                attempt=self._attempt,
            )
            return proposed(proposing, candidate)

    def _close_dead_attempts(self) -> tuple[str, ...]:
        if not self._authority.acts:
            return ()
        with ExitStack() as stack:

            def ready() -> WorkingDirectory:
                work = ready_directory(
                    self._pass.scene, self._settings, self._place.closure, self._place.engine, self._folders, stack
                )
                return replace(work, environment=self._authority.apply_environment_of(self._settings))

            return close_dead_attempts(
                self._authority,
                self._settings,
                self._clock,
                self._pass.run_id,
                ready,
                self._place.engine,
                self._place.fence,
            )

    def _scan(self, baseline: Baseline | None, stack: ExitStack) -> Findings:
        return scan(
            self._pass.scene,
            self._settings,
            self._place.closure,
            self._place.engine,
            self._folders,
            baseline,
            stack,
        )

    def _decide(self, findings: Findings, baseline: Baseline | None) -> tuple[Decision, Approvals]:
        now = self._clock.now()
        classification = findings.classification
        policy = self._settings.policy
        attempts = self._authority.attempts.recent(self._settings.name, now - MEMORY)
        history = past(
            attempts,
            commit=self._pass.scene.head,
            drift_fingerprint=classification.drift_fingerprint,
            retried_at=self._authority.retried_at.get(self._settings.name),
            policy=policy,
            now=now,
        )
        approvals = Approvals(True, ())
        if classification.verdict is not Verdict.IN_SYNC:
            self._approval = plan_approval(
                self._pass.scene,
                self._settings,
                findings,
                self._authority.attempts,
                self._pass.journal.standing(self._settings.name),
                now,
            )
            approvals = self._authority.approvals_of(self._settings, self._place.closure, baseline, self._approval.path)
        facts = Facts(
            verdict=classification.verdict,
            classification=classification,
            fault=None,
            policy=policy,
            approvals=approvals,
            now=now,
            nothing_exists=nothing_exists(findings),
            first_apply_unfinished=baseline is None and any(a.data.get("first_apply") for a in attempts),
            state_replaced=state_replaced(findings, baseline),
            local_state=findings.plan.work.state_file is not None,
            failures=history.failures,
            backoff_until=history.backoff_until,
            reverts=history.reverts,
            plan_approval=self._approval,
            can_propose=self._pass.proposing is not None,
        )
        return decide(facts), approvals

    def _apply(self, findings: Findings, approvals: Approvals) -> Outcome | None:
        """Make the attempt; None when another reconciler holds the environment."""
        with leased(self._authority, self._settings, self._clock, self._place.fence) as still_ours:
            if still_ours is None or self._authority.attempts.unfinished(self._settings.name):
                return None
            now, head = self._clock.now(), self._pass.scene.head
            attempts = self._authority.attempts.recent(self._settings.name, now - MEMORY)
            attempt = new_attempt(
                self._authority,
                self._settings,
                findings.classification,
                commit=head,
                run_id=self._pass.run_id,
                retry=next_retry(attempts, head, findings.classification.plan_fingerprint or ""),
                now=now,
                approvals=approvals,
                approval=self._approval.id,
                first_apply=nothing_exists(findings) or any(a.data.get("first_apply") for a in attempts),
            )
            return apply_decided(
                self._authority,
                self._settings,
                self._place.engine,
                findings.plan,
                attempt=attempt,
                closure_key=self._place.closure.init_key,
                key=self._pass.scene.key,
                clock=self._clock,
                still_ours=still_ours,
                earlier=attempts,
            )

    def _after(
        self,
        outcome: Outcome,
        findings: Findings,
        baseline: Baseline | None,
        decision: Decision,
        notes: tuple[str, ...],
    ) -> EnvironmentResult:
        """Look again after an attempt: prove that it took, or say what is left."""
        self._attempt = outcome.attempt
        reason = f"{outcome.reason}: {outcome.fault.message}" if outcome.fault else outcome.reason
        if outcome.reason == "applied":
            decided = Decision(Action.APPLY, (*decision.reasons, reason))
        elif outcome.reason == "apply_failed":
            decided = Decision(Action.HOLD, (reason,))
        else:
            return self._reported(findings, baseline, Decision(Action.HOLD, (reason,)), notes)
        with ExitStack() as stack:
            verified = self._scan(baseline, stack)
            return self._proposed(verified, self._reported(verified, baseline, decided, notes))

    def _applied_baseline(self, findings: Findings) -> Baseline:
        """Move the baseline to what was just applied."""
        now = self._clock.now()
        state = self._place.engine.state_identity(findings.plan.work)
        baseline = Baseline(
            commit=self._pass.scene.head,
            origin="apply",
            closure_hash=findings.closure_hash,
            lineage=state.lineage,
            serial=state.serial,
            tool=str(self._place.engine.version()),
            providers=dict(findings.providers),
            at=now,
        )
        self._pass.ledger.move_baseline(self._settings.name, baseline, self._pass.run_id, now)
        return baseline

    def _move_if_in_sync(self, baseline: Baseline | None, findings: Findings) -> Baseline | None:
        now = self._clock.now()
        moved = in_sync_baseline(
            findings.classification.verdict,
            baseline,
            commit=self._pass.scene.head,
            closure_hash=findings.closure_hash,
            state=findings.state,
            tool=str(self._place.engine.version()),
            providers=findings.providers,
            at=now,
        )
        if moved is not None:
            self._pass.ledger.move_baseline(self._settings.name, moved, self._pass.run_id, now)
        return moved

    def _reported(
        self, findings: Findings, baseline: Baseline | None, decision: Decision, notes: tuple[str, ...]
    ) -> EnvironmentResult:
        return EnvironmentResult(
            name=self._settings.name,
            path=self._settings.path,
            workspace=self._settings.workspace,
            verdict=findings.classification.verdict,
            closure_hash=findings.closure_hash,
            baseline=baseline,
            decision=decision,
            classification=findings.classification,
            commits=findings.commits,
            seconds=_total(findings.seconds, self._started),
            warnings=(*notes, *findings.warnings),
            drifted=findings.drifted,
        )


def _unknown(place: Place, baseline: Baseline | None, fault: Fault, started: float) -> EnvironmentResult:
    settings = place.settings
    return EnvironmentResult(
        name=settings.name,
        path=settings.path,
        workspace=settings.workspace,
        verdict=Verdict.UNKNOWN,
        closure_hash=closure_hash(place.closure, settings, place.engine.version()),
        baseline=baseline,
        decision=Decision(Action.ALERT, (f"unknown: {fault.kind.value}",)),
        fault=fault,
        seconds=_total(Seconds(), started),
        warnings=place.closure.warnings,
    )


def recorded(one_pass: Pass, report: EnvironmentResult, *, journal: bool = True) -> EnvironmentResult:
    """Journal a report, and what it means for alerts, at once; one that cannot be recorded counts as unknown.

    Args:
        journal: False for what no look at the environment said.
    """
    try:
        _record(one_pass, report, journal)
    except DriftGuardError as error:
        message = f"The verdict could not be recorded: {mask(str(error))}"
    except Exception as error:  # still the boundary of one environment
        log.debug("defect while recording %s", report.name, exc_info=True)
        message = _defect(error)
    else:
        return report
    fault = Fault(ErrorKind.INTERNAL, message)
    decision = Decision(Action.ALERT, (f"unknown: {fault.kind.value}",))
    return replace(report, verdict=Verdict.UNKNOWN, decision=decision, fault=fault)


def _defect(error: Exception) -> str:
    return f"A defect in DriftGuard ({type(error).__name__}); run with -v and report what it prints."


def _record(one_pass: Pass, report: EnvironmentResult, journal: bool) -> None:
    now, head = one_pass.clock.now(), one_pass.scene.head
    environment = environment_report(report)
    entries = [scan_entry(one_pass.run_id, head, now, environment)] if journal else []

    def followed(before: Sequence[Alert]) -> tuple[Sequence[Alert], Sequence[Notice]]:
        told = follow(environment, before, commit=head, run_id=one_pass.run_id, now=now, rules=one_pass.alert_settings)
        return told.alerts, told.notices

    if one_pass.alerts is None:
        one_pass.ledger.append(*entries)
    else:
        one_pass.alerts.record(report.name, entries, followed)


def _total(seconds: Seconds, started: float) -> Seconds:
    return Seconds(seconds.init, seconds.plan, seconds.show, time.monotonic() - started)
