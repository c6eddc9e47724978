"""One pass: every environment scanned, decided and recorded; the only place that knows the order of the stages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from driftguard.config import EnvironmentSettings
from driftguard.errors import DriftGuardError, EnvironmentFault
from driftguard.model import (
    Action,
    Baseline,
    Closure,
    Decision,
    EnvironmentReport,
    ErrorKind,
    Fault,
    Seconds,
    Verdict,
)
from driftguard.pipeline.reconcile.pool import run_all
from driftguard.pipeline.reconcile.scan import Findings, Folders, Scene, closure_hash, scan
from driftguard.pipeline.record import in_sync_baseline, record_scan
from driftguard.ports import Clock, Engine, Ledger
from driftguard.report import environment_json
from driftguard.sealed import mask

__all__ = ["Folders", "Pass", "Place", "Scene", "run_pass"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """One environment with all that is needed to judge it.

    Attributes:
        occupy: holds the environment's data folder against other runs and makes its private folder, which is gone
            when the context ends.
    """

    settings: EnvironmentSettings
    closure: Closure
    engine: Engine
    occupy: Callable[[], AbstractContextManager[Folders]]


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over a repository.

    Attributes:
        given_baselines: baselines by environment name that the caller knows better than the ledger.
        stopping: whether a stop was requested.
    """

    run_id: str
    scene: Scene
    ledger: Ledger
    clock: Clock
    given_baselines: Mapping[str, Baseline]
    stopping: Callable[[], bool]


def run_pass(
    one_pass: Pass,
    places: Sequence[Place],
    *,
    at_a_time: int,
    on_done: Callable[[EnvironmentReport], None],
) -> tuple[EnvironmentReport, ...]:
    """Judge every environment; the reports come in the order of `places`. One failure never stops the others."""
    reports = run_all(
        places,
        lambda place: _judge(one_pass, place),
        at_a_time=at_a_time,
        on_done=lambda _, report: on_done(report),
    )
    return tuple(reports)


def _judge(one_pass: Pass, place: Place) -> EnvironmentReport:
    """The boundary of one environment: whatever goes wrong in here becomes its own `unknown`."""
    started = time.monotonic()
    baseline: Baseline | None = None
    try:
        if one_pass.stopping():
            raise EnvironmentFault(ErrorKind.INTERRUPTED, "The run was stopped before this environment's turn.")
        name = place.settings.name
        baseline = one_pass.given_baselines.get(name) or one_pass.ledger.baseline(name)
        report = _scanned(one_pass, place, baseline, started)
    except EnvironmentFault as fault:
        report = _unknown(place, baseline, Fault(fault.kind, mask(fault.message)), started)
    except DriftGuardError as error:
        report = _unknown(place, baseline, Fault(ErrorKind.INTERNAL, mask(str(error))), started)
    except Exception as error:  # the one boundary: a defect in one environment must not cost the others
        log.debug("defect while judging %s", place.settings.name, exc_info=True)
        message = f"A defect in DriftGuard ({type(error).__name__}); run with -v and report what it prints."
        report = _unknown(place, baseline, Fault(ErrorKind.INTERNAL, message), started)
    return _recorded(one_pass, report)


def _scanned(one_pass: Pass, place: Place, baseline: Baseline | None, started: float) -> EnvironmentReport:
    settings = place.settings
    with place.occupy() as folders, ExitStack() as stack:
        findings = scan(one_pass.scene, settings, place.closure, place.engine, folders, baseline, stack)
    classification = findings.classification
    moved = _moved_baseline(one_pass, place, baseline, findings)
    return EnvironmentReport(
        name=settings.name,
        path=settings.path,
        workspace=settings.workspace,
        verdict=classification.verdict,
        closure_hash=findings.closure_hash,
        baseline=moved or baseline,
        decision=_decision(classification.verdict),
        classification=classification,
        commits=findings.commits,
        seconds=_total(findings.seconds, started),
        warnings=findings.warnings,
    )


def _moved_baseline(one_pass: Pass, place: Place, baseline: Baseline | None, findings: Findings) -> Baseline | None:
    now = one_pass.clock.now()
    moved = in_sync_baseline(
        findings.classification.verdict,
        baseline,
        commit=one_pass.scene.head,
        closure_hash=findings.closure_hash,
        state=findings.state,
        tool=str(place.engine.version()),
        providers=findings.providers,
        at=now,
    )
    if moved is not None:
        one_pass.ledger.move_baseline(place.settings.name, moved, one_pass.run_id, now)
    return moved


def _unknown(place: Place, baseline: Baseline | None, fault: Fault, started: float) -> EnvironmentReport:
    settings = place.settings
    return EnvironmentReport(
        name=settings.name,
        path=settings.path,
        workspace=settings.workspace,
        verdict=Verdict.UNKNOWN,
        closure_hash=closure_hash(place.closure, settings, place.engine.version()),
        baseline=baseline,
        decision=_decision(Verdict.UNKNOWN),
        fault=fault,
        seconds=_total(Seconds(), started),
        warnings=place.closure.warnings,
    )


def _recorded(one_pass: Pass, report: EnvironmentReport) -> EnvironmentReport:
    """Journal a report; an environment that cannot be recorded counts as unknown."""
    try:
        record_scan(
            one_pass.ledger, one_pass.run_id, one_pass.scene.head, one_pass.clock.now(), environment_json(report)
        )
    except DriftGuardError as error:
        fault = Fault(ErrorKind.INTERNAL, f"The verdict could not be recorded: {mask(str(error))}")
        return EnvironmentReport(
            name=report.name,
            path=report.path,
            workspace=report.workspace,
            verdict=Verdict.UNKNOWN,
            closure_hash=report.closure_hash,
            baseline=report.baseline,
            decision=_decision(Verdict.UNKNOWN),
            fault=fault,
            seconds=report.seconds,
        )
    return report


def _decision(verdict: Verdict) -> Decision:
    if verdict is Verdict.IN_SYNC:
        return Decision(Action.NONE, ("in_sync",))
    return Decision(Action.ALERT, (verdict.value,))


def _total(seconds: Seconds, started: float) -> Seconds:
    return Seconds(seconds.init, seconds.plan, seconds.show, time.monotonic() - started)
