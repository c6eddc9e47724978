"""One run over many environments: side by side, each with its own error boundary, and what follows for all of them.

Takes a `RunContext` and a `RunScope`; gives a `RunResult`. One environment's failure never stops the others: it becomes
that environment's own `unknown`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime

from driftguard.config import EnvironmentSettings
from driftguard.errors import DriftGuardError, EnvironmentFault, OperatorError
from driftguard.model import (
    Action,
    Alert,
    Baseline,
    Decision,
    Entry,
    EnvironmentResult,
    ErrorKind,
    Fault,
    Notice,
    RecordedNotice,
    RunResult,
    Seconds,
    Verdict,
)
from driftguard.model.reasons import Reason, ReasonName
from driftguard.model.report import AlertCounts
from driftguard.pipeline import history
from driftguard.pipeline.alarms import audited, keep_distrust
from driftguard.pipeline.alert.early import EarlyAlerts
from driftguard.pipeline.alert.lifecycle import follow
from driftguard.pipeline.alert.notifying import Notifier
from driftguard.pipeline.closures import closure_hash
from driftguard.pipeline.confirming import confirms, keep_confirmations, longest_waiting_first
from driftguard.pipeline.context import EnvironmentTask, RunContext
from driftguard.pipeline.dependencies import dependencies_of
from driftguard.pipeline.environment import run_environment
from driftguard.pipeline.probing import probed
from driftguard.pipeline.propose.environment import close_left_behind
from driftguard.pipeline.record import recorded_notices, run_finished_entry, run_started_entry, scan_entry
from driftguard.pipeline.states import Postponed
from driftguard.pipeline.units import left_out_sentence
from driftguard.report import environment_report
from driftguard.sealed import mask

_REMOVED = (
    "Its directory was removed from git, or its workspace from the backend. Nothing was destroyed, and what it made "
    "is still there: destroy it by hand from an older commit, then run `driftguard forget`."
)


@dataclass(frozen=True, slots=True)
class RunScope:
    """The environments of a run.

    Attributes:
        tasks: those that can be planned.
        incomplete: those that lack something a plan needs, and what they lack.
        present: every environment at head, whether this run looks at it or not.
        left_out: the names of those that Terragrunt leaves out of `plan`; they get no verdict.
    """

    repository: str
    ref: str
    tasks: Sequence[EnvironmentTask]
    incomplete: Mapping[str, tuple[EnvironmentSettings, DriftGuardError]]
    present: Sequence[EnvironmentSettings]
    left_out: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The environments that this run looks at, sorted."""
        return tuple(sorted([*(task.settings.name for task in self.tasks), *self.incomplete]))

    @property
    def is_whole(self) -> bool:
        """Whether the run looks at every environment at head, so that removed ones can be recognised."""
        return len(self.names) + len(self.left_out) == len(self.present)

    def start(self, run_id: str, at: datetime, commit: str) -> Entry:
        """The entry with which the run begins."""
        return run_started_entry(
            run_id,
            at,
            commit=commit,
            ref=self.ref,
            repository=self.repository,
            environments=self.names,
            whole=self.is_whole,
        )


def run_scope(
    repository: str,
    ref: str,
    environments: Sequence[EnvironmentSettings],
    present: Sequence[EnvironmentSettings],
    task: Callable[[EnvironmentSettings], EnvironmentTask],
) -> RunScope:
    """The environments with what is needed to run them.

    Args:
        task: makes one environment ready, or raises what it lacks.

    Raises:
        DriftGuardError: it is missing for every one of them, so the run cannot be made at all.
    """
    tasks: list[EnvironmentTask] = []
    left_out: list[EnvironmentTask] = []
    incomplete: dict[str, tuple[EnvironmentSettings, DriftGuardError]] = {}
    for settings in environments:
        try:
            if settings.fault is not None:
                raise EnvironmentFault(ErrorKind.CONFIG, settings.fault)
            made = task(settings)
            (left_out if made.closure.unit is not None and made.closure.unit.excluded else tasks).append(made)
        except DriftGuardError as error:
            incomplete[settings.name] = settings, error
    errors = [error for _, error in incomplete.values()]
    if errors and not tasks and not isinstance(errors[0], EnvironmentFault):
        raise errors[0]
    return RunScope(repository, ref, tasks, incomplete, present, tuple(each.settings.name for each in left_out))


def run_environments(
    context: RunContext,
    scope: RunScope,
    *,
    started: datetime,
    parallelism: int,
    on_done: Callable[[EnvironmentResult], None],
    notifier: Notifier | None,
    warnings: Sequence[str] = (),
) -> RunResult:
    """One run, recorded from its start to its end.

    Args:
        parallelism: how many environments are run side by side.
        on_done: is called in this thread with each result.
        notifier: None for a scan.
        warnings: of the configuration and the forge; they come first in the result.
    """
    ledger, head = context.ledger, context.scan.head
    ledger.append(scope.start(context.run_id, started, head))
    removed = history.removed(ledger, scope.present)
    known = frozenset(settings.name for settings in scope.present) | removed.keys()
    group_wait = context.alert_settings.group_wait
    early = EarlyAlerts(notifier, context.clock, group_wait, known) if notifier is not None else None
    context = replace(context, looks=ledger.looks())
    keep_distrust(context)
    looks = probed(context, longest_waiting_first(context, scope.tasks))
    tasks = looks.tasks
    context.states.expect([task.settings.name for task in tasks])
    units = {task.settings.name: task.closure.unit for task in scope.tasks}
    order = dependencies_of(units, scope.present, scope.left_out, ledger) if context.apply is not None else None
    context = replace(context, dependencies=order)
    results = _run_all(context, tasks, parallelism, on_done, early)
    for settings, error in scope.incomplete.values():
        results.append(recorded(context, _incomplete(settings, error, ledger.baseline(settings.name))))
        on_done(results[-1])
    wrong = audited(context, tasks, results)
    warnings = [*warnings, *left_out_sentence(scope.left_out), *(found.sentence for found in wrong)]
    if scope.is_whole:
        for name, entry in removed.items():
            results.append(recorded(context, _removed(name, entry, ledger.baseline(name)), journal=False))
        if context.proposing is not None:
            warnings += close_left_behind(context.proposing, {settings.name for settings in scope.present})
    delivered = early.end(results) if early is not None else None
    warnings += delivered.problems if delivered is not None else ()
    result = RunResult(
        run_id=context.run_id,
        repository=scope.repository,
        ref=scope.ref,
        commit=head,
        started_at=started,
        finished_at=context.clock.now(),
        environments=tuple(sorted(results, key=lambda each: each.name)),
        warnings=tuple(warnings),
        alerts=AlertCounts(dict(delivered.sent), delivered.waiting) if delivered else None,
        probe=looks.counts(results, len(wrong)),
    )
    keep_confirmations(ledger, results, result.finished_at)
    ledger.append(run_finished_entry(result))
    return result


def _run_all(
    context: RunContext,
    tasks: Sequence[EnvironmentTask],
    parallelism: int,
    on_done: Callable[[EnvironmentResult], None],
    early: EarlyAlerts | None,
) -> list[EnvironmentResult]:
    """The results in the order of the tasks; `on_done` gets each, in this thread, as it is done.

    Args:
        early: sends the alerts of those that are judged, in this thread, while others are still planned.
    """
    results: dict[str, EnvironmentResult] = {}
    with ThreadPoolExecutor(max_workers=max(1, parallelism), thread_name_prefix="environment") as executor:
        left = {task.settings.name: task for task in tasks}
        while left:  # a second time for those that wait for the states of the others
            known = len(results)
            order = context.dependencies
            for batch in order.generations(list(left)) if order is not None else [list(left)]:
                futures = {executor.submit(_unless_postponed, context, left[name]): name for name in batch}
                for name, result in _judged(futures, early):
                    results[name] = result
                    on_done(result)
            left = {name: task for name, task in left.items() if name not in results}
            if order is not None and len(results) == known:
                order.give_up()
    return [results[task.settings.name] for task in tasks]


def _judged(
    futures: Mapping[Future[EnvironmentResult | None], str], early: EarlyAlerts | None
) -> Iterator[tuple[str, EnvironmentResult]]:
    """The results with their names, as each is done; meanwhile the alerts that are due are sent."""
    pending = set(futures)
    while pending:
        seconds = early.seconds_left if early is not None else None
        done, pending = wait(pending, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in done:
            result = future.result()
            if result is None:
                continue
            if early is not None:
                early.judged(result)
            yield futures[future], result
        if early is not None and pending:
            early.send_due()


def _unless_postponed(context: RunContext, task: EnvironmentTask) -> EnvironmentResult | None:
    """One environment; None where it would act, and the states of others are not known yet."""
    try:
        return _bounded(context, task)
    except Postponed:
        return None
    finally:
        context.states.done(task.settings.name)


def _bounded(context: RunContext, task: EnvironmentTask) -> EnvironmentResult:
    """One environment, from its baseline to its record."""
    started = time.monotonic()
    name = task.settings.name
    baseline: Baseline | None = None

    def work() -> EnvironmentResult:
        nonlocal baseline
        baseline = context.given_baselines.get(name) or context.ledger.baseline(name)
        return run_environment(context, task)

    result = _guarded(context, f"run of {name}", work, lambda fault: _unknown(task, baseline, fault, started))
    if context.dependencies is not None:
        context.dependencies.done(result)
    return recorded(context, replace(result, owner=task.settings.owner))


def recorded(context: RunContext, result: EnvironmentResult, *, journal: bool = True) -> EnvironmentResult:
    """Journal a result, and what it means for alerts, at once; one that cannot be recorded counts as unknown.

    Args:
        journal: False for what no scan of the environment found.
    """

    def work() -> EnvironmentResult:
        try:
            return replace(result, confirms=_record(context, result, journal))
        except DriftGuardError as error:
            raise OperatorError(f"The verdict could not be recorded: {error}") from error

    def unknown(fault: Fault) -> EnvironmentResult:
        return replace(result, verdict=Verdict.UNKNOWN, decision=_alert_unknown(fault), fault=fault)

    return _guarded(context, f"record of {result.name}", work, unknown)


def _guarded(
    context: RunContext,
    doing: str,
    work: Callable[[], EnvironmentResult],
    unknown: Callable[[Fault], EnvironmentResult],
) -> EnvironmentResult:
    """The error boundary of one environment: whatever goes wrong in here becomes its own `unknown`."""
    try:
        return work()
    except Postponed:
        raise
    except EnvironmentFault as fault:
        return unknown(Fault(fault.kind, mask(fault.message)))
    except DriftGuardError as error:
        return unknown(Fault(ErrorKind.INTERNAL, mask(str(error))))
    except Exception as error:  # noqa: BLE001 - a defect in one environment must not cost the others
        return unknown(Fault(ErrorKind.INTERNAL, context.defects.write(error, doing)))


def _record(context: RunContext, result: EnvironmentResult, journal: bool) -> int | None:
    """The number of the entry that a look confirmed, so that it wrote none of its own; None where it did."""
    now, head = context.clock.now(), context.scan.head
    environment = environment_report(result)
    entry = scan_entry(
        context.run_id, head, now, environment, result.inputs, context.looks.get(result.name), result.closure_files
    )
    confirmed = confirms(context.ledger, result, entry) if journal else None
    entries = [entry] if journal and confirmed is None else []

    found = environment_report(result.reverted) if result.reverted is not None else None
    silence = context.silences.get(result.name)

    def followed(before: Sequence[Alert]) -> tuple[Sequence[Alert], Sequence[RecordedNotice]]:
        alerts: dict[str, Alert] = {}
        notices: list[Notice] = []
        for seen in filter(None, (found, environment)):
            known = {**{alert.id: alert for alert in before}, **alerts}
            after = follow(
                seen,
                list(known.values()),
                commit=head,
                run_id=context.run_id,
                now=now,
                rules=context.alert_settings,
                silence=silence,
            )
            alerts |= {alert.id: alert for alert in after.alerts}
            notices += after.notices
        return list(alerts.values()), recorded_notices(notices)

    if context.alerts is None:
        context.ledger.append(*entries)
    else:
        context.alerts.record(result.name, entries, followed)
    return confirmed


def _alert_unknown(fault: Fault) -> Decision:
    return Decision(Action.ALERT, (Reason(ReasonName.UNKNOWN, fault.kind.value),))


def _unknown(task: EnvironmentTask, baseline: Baseline | None, fault: Fault, started: float) -> EnvironmentResult:
    settings = task.settings
    return EnvironmentResult(
        name=settings.name,
        path=settings.path,
        workspace=settings.workspace,
        verdict=Verdict.UNKNOWN,
        closure_hash=closure_hash(task.closure, settings, task.engine.version()),
        baseline=baseline,
        decision=_alert_unknown(fault),
        fault=fault,
        seconds=Seconds(total=time.monotonic() - started),
        warnings=task.closure.warnings,
        tool=task.engine.version().title,
    )


def _incomplete(settings: EnvironmentSettings, error: DriftGuardError, baseline: Baseline | None) -> EnvironmentResult:
    """An environment that lacks something that a plan needs: its tool, a var file."""
    kind = error.kind if isinstance(error, EnvironmentFault) else ErrorKind.CONFIG
    fault = Fault(kind, mask(str(error)))
    return EnvironmentResult(
        name=settings.name,
        path=settings.path,
        workspace=settings.workspace,
        verdict=Verdict.UNKNOWN,
        closure_hash="",
        baseline=baseline,
        decision=_alert_unknown(fault),
        fault=fault,
        owner=settings.owner,
    )


def _removed(name: str, last_scan: Entry, baseline: Baseline | None) -> EnvironmentResult:
    """An environment whose directory is gone from git, as its last scan in the ledger had it."""
    report = history.read_scan(last_scan)
    return EnvironmentResult(
        name=name,
        path=report.path,
        workspace=report.workspace,
        verdict=Verdict.UNKNOWN,
        closure_hash=report.closure_hash,
        baseline=baseline,
        decision=Decision(Action.ALERT, (Reason(ReasonName.ENVIRONMENT_REMOVED),)),
        fault=Fault(ErrorKind.CONFIG, _REMOVED),
    )
