"""Looks at the environments of a run without plans, and keeps the records that the next look needs.

Takes a `RunContext` and its tasks; gives the tasks with the recorded plans that still stand. Nothing here is ever a
reason to call an environment in sync: a recorded plan is judged as any other.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec

from driftguard.errors import EnvironmentFault
from driftguard.model import EnvironmentResult, ErrorKind, Verdict
from driftguard.model.report import ProbeCounts
from driftguard.pipeline.checkout import HEAD, EnvironmentRun, ScanContext, checked_out, working_directory
from driftguard.pipeline.closures import closure_hash
from driftguard.pipeline.confirming import Watching
from driftguard.pipeline.context import EnvironmentTask, RunContext
from driftguard.pipeline.plan import Plan, local_state
from driftguard.pipeline.recorded import agrees, read_recorded, recorded
from driftguard.ports import (
    Clock,
    EnvironmentFolders,
    Looked,
    PlanRecords,
    Probe,
    ProbeSubject,
    RunLedger,
    Started,
    Subjects,
    WorkingDirectory,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Looks:
    """What a run's probes found.

    Attributes:
        tasks: all of the run, each with the recorded plan that was found to stand still; most then need no plan.
        found: by environment.
        drawn: those that are audited.
    """

    tasks: tuple[EnvironmentTask, ...]
    found: Mapping[str, Looked] = field(default_factory=dict)
    drawn: frozenset[str] = frozenset()

    def counts(self, results: Sequence[EnvironmentResult], wrong: int) -> ProbeCounts | None:
        """The figures of the run; None where nothing was probed.

        Args:
            wrong: how many audits found a probe wrong.
        """
        if not self.found:
            return None
        in_sync = {each.name for each in results if each.verdict is Verdict.IN_SYNC}
        answers = [name for name, look in self.found.items() if look.another_answer]
        return replace_counts(counts_of(self.found), len(self.drawn), wrong, len(in_sync.intersection(answers)))


@dataclass(frozen=True, slots=True)
class WrongProbe:
    """A probe that an audit found wrong, and so the environment's providers."""

    environment: str
    providers: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What was found, and what follows."""
        return (
            f"A probe found {self.environment} as its last plan did, and a plan differs: {', '.join(self.providers)} "
            "cannot be probed. Every environment that uses one is planned from now on; please report this."
        )


def counts_of(looks: Mapping[str, Looked]) -> ProbeCounts:
    """The figures of looks, without what plans show later."""
    return ProbeCounts(
        looked=len(looks),
        answered=sum(look.plan is not None for look in looks.values()),
        differed=sum(look.differs for look in looks.values()),
        cpu_seconds=round(sum(look.cpu_seconds for look in looks.values()), 3),
    )


def replace_counts(counts: ProbeCounts, audited: int, wrong: int, false_alarms: int) -> ProbeCounts:
    """Figures with what the plans of the run showed: an audited environment was planned all the same."""
    return msgspec.structs.replace(
        counts, answered=counts.answered - audited, audited=audited, wrong=wrong, false_alarms=false_alarms
    )


def probed(context: RunContext, tasks: Sequence[EnvironmentTask]) -> Looks:
    """Ask again what the last plans of environments asked."""
    if context.probing is None or not context.probing.looks:
        return Looks(tuple(tasks))
    asked = [task for task in tasks if task.listening is not None and _may_be_probed(context, task.settings.name)]
    subjects = _TaskSubjects(context.scan, context.folders, {task.settings.name: task for task in asked})
    looks = context.probing.probe.look(subjects, [task.settings.name for task in asked])
    for name, look in looks.items():
        log.debug("%s: %s", name, look.reason or "unchanged since its plan")
    drawn = frozenset(name for name, look in looks.items() if look.plan and random.random() < context.probing.audit)
    with_looks = (_with_look(task, looks.get(task.settings.name), task.settings.name in drawn) for task in tasks)
    return Looks(tuple(with_looks), looks, drawn)


def differing(
    watching: Watching,
    probe: Probe,
    scan: ScanContext,
    folders: EnvironmentFolders,
    tasks: Sequence[EnvironmentTask],
    ledger: RunLedger,
    clock: Clock,
) -> tuple[frozenset[str], ProbeCounts]:
    """One round of a watch: the environments whose recorded plans stand no more, and the figures.

    One never recorded waits for a run.
    """
    subjects = _TaskSubjects(scan, folders, {task.settings.name: task for task in tasks})
    looks, now = probe.look(subjects, [task.settings.name for task in tasks]), clock.now()
    counts = counts_of(looks)
    standing = {name: look.planned_at for name, look in looks.items() if look.planned_at is not None}
    watching.keep(ledger, standing, counts, now)
    return frozenset(name for name, look in looks.items() if look.differs), counts


def _may_be_probed(context: RunContext, name: str) -> bool:
    """Whether nothing asks for a plan: no unfinished attempt, no baseline from the command line, no wish for noise."""
    unfinished = context.apply is not None and bool(context.apply.attempts.unfinished(name))
    return not unfinished and name not in context.given_baselines and not context.scan.noise


def _with_look(task: EnvironmentTask, look: Looked | None, drawn: bool) -> EnvironmentTask:
    if look is None:
        return task
    task = replace(task, probe_seconds=look.cpu_seconds, throttled=look.throttled)
    if look.plan is None:
        return task
    plan = read_recorded(look.plan)
    if drawn:
        return replace(task, audited=plan, listening=None)
    return replace(task, recorded=plan, planned_at=look.planned_at)


class _TaskSubjects(Subjects):
    """The environments of a run as a probe sees them."""

    def __init__(self, scan: ScanContext, folders: EnvironmentFolders, tasks: Mapping[str, EnvironmentTask]) -> None:
        self._scan, self._folders, self._tasks = scan, folders, tasks
        self._runs: dict[str, EnvironmentRun] = {}

    @contextmanager
    def occupied(self, name: str) -> Iterator[ProbeSubject]:
        """An environment with its folders, held against other runs."""
        task = self._tasks[name]
        with self._folders.occupy(name) as folders:
            run = EnvironmentRun(task.settings, task.closure, task.engine, folders)
            self._runs[name] = run
            work = working_directory(self._scan, run, folders.data / HEAD, HEAD)
            subject = subject_of(self._scan, run, work)
            if subject is None:
                raise EnvironmentFault(ErrorKind.INIT, "the environment is not initialised")
            yield subject

    @contextmanager
    def checked_out(self, subject: ProbeSubject) -> Iterator[Path]:
        """The root module's directory in a clean work tree."""
        with ExitStack() as stack:
            yield checked_out(self._scan, self._runs[subject.name], stack).directory


def subject_of(scan: ScanContext, run: EnvironmentRun, work: WorkingDirectory) -> ProbeSubject | None:
    """An environment as a probe looks at it; None before it is initialised.

    Raises:
        EnvironmentFault: its local state is out of reach.
    """
    settings, engine = run.settings, run.engine
    if not engine.initialised(work):
        return None
    backend = engine.backend(work)
    return ProbeSubject(
        name=settings.name,
        closure_hash=closure_hash(run.closure, settings, engine.version()),
        closure=run.closure,
        tool=engine.version(),
        role=settings.aws.plan_role_arn,
        work=work,
        variables=engine.process_environment(work),
        backend=backend,
        state_file=local_state(backend, work, scan.user_directory(settings)),
    )


@dataclass(frozen=True, slots=True)
class Recording:
    """The record of one plan in the making.

    Attributes:
        started: None for a plan that will not be kept.
    """

    records: PlanRecords
    name: str
    started: Started | None

    @classmethod
    def begin(cls, records: PlanRecords, scan: ScanContext, run: EnvironmentRun) -> Recording:
        """To be called right before a plan."""
        try:
            work = working_directory(scan, run, run.folders.data / HEAD, HEAD)
            subject = subject_of(scan, run, work)
            return cls(records, run.settings.name, records.begin(subject) if subject else None)
        except EnvironmentFault:
            return cls(records, run.settings.name, None)

    def keep(self, scan: ScanContext, run: EnvironmentRun, plan: Plan, at: datetime) -> None:
        """Keep the plan that was made at a time, if nothing moved meanwhile; forget the record before it otherwise."""
        talk = plan.run.talk
        content = recorded(run.engine, plan) if self.started is not None and talk is not None else None
        subject = subject_of(scan, run, plan.work)
        if self.started is None or talk is None or content is None or subject is None:
            self.records.drop(self.name)
        else:
            self.records.keep(subject, self.started, talk, content, at)


def disagrees(task: EnvironmentTask, plan: Plan) -> bool:
    """Whether a plan that audits a probe has other contents than the plan that the probe found to stand still."""
    return task.audited is not None and not agrees(task.audited, plan)


def proven_wrong(
    context: RunContext, tasks: Sequence[EnvironmentTask], disagreeing: Sequence[str]
) -> tuple[WrongProbe, ...]:
    """End probes of the providers of environments whose audit found another plan.

    They are probed once more first: what was changed between the probe and the plan, the second probe sees.
    """
    if context.probing is None or not disagreeing:
        return ()
    wrong = [task for task in tasks if task.settings.name in disagreeing]
    subjects = _TaskSubjects(context.scan, context.folders, {task.settings.name: task for task in wrong})
    looks = context.probing.probe.look(subjects, [task.settings.name for task in wrong])
    found = []
    for task in wrong:
        if looks[task.settings.name].plan is not None and task.audited is not None:
            providers = sorted(task.audited.providers)
            context.probing.probe.distrust(providers)
            found.append(WrongProbe(task.settings.name, tuple(providers)))
    return tuple(found)
