"""One environment, from commit to classification: checkout, plan, and the baseline's plan where it is needed.

Takes a `ScanContext` (what all scans of a run share) and one environment; gives `Findings`. Changes nothing outside
of DriftGuard's own folders. Raises `EnvironmentFault` where nothing certain can be said.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

from driftguard.config import missing_variables
from driftguard.errors import EnvironmentFault
from driftguard.model import (
    Baseline,
    Classification,
    Commit,
    DriftedObject,
    ErrorKind,
    Seconds,
    Verdict,
)
from driftguard.model.plan_document import PlanDocument
from driftguard.pipeline.checkout import EnvironmentRun, ScanContext, checked_out
from driftguard.pipeline.classify.labels import DriftedAddress, Evidence, classify, classify_quiet
from driftguard.pipeline.closures import closure_hash
from driftguard.pipeline.plan import Plan, make_plan
from driftguard.pipeline.trace import objects_of
from driftguard.ports import StateIdentity


@dataclass(frozen=True, slots=True)
class Findings:
    """What one scan of one environment found."""

    classification: Classification
    closure_hash: str
    state: StateIdentity
    providers: Mapping[str, str]
    commits: tuple[Commit, ...]
    seconds: Seconds
    plan: Plan
    warnings: tuple[str, ...] = ()
    drifted: tuple[DriftedObject, ...] = ()


def scan(context: ScanContext, run: EnvironmentRun, baseline: Baseline | None, stack: ExitStack) -> Findings:
    """Plan and classify one environment at head.

    Args:
        stack: holds the work tree for as long as the caller needs the plan.
    """
    settings, closure, engine = run.settings, run.closure, run.engine
    missing = missing_variables(settings.env, context.environ)
    if missing:
        raise EnvironmentFault(
            ErrorKind.CONFIG,
            f"The configuration asks for the environment variables {', '.join(missing)} (`env`), and they are not set.",
        )
    work = checked_out(context, run, stack)
    stack.callback(engine.forget_secrets, work)
    user_directory = context.user_directory(settings)
    plan = make_plan(engine, work, closure.init_key, user_directory=user_directory, always_show=context.noise)
    current_hash = closure_hash(closure, settings, engine.version())
    evidence = _evidence(baseline, current_hash, plan)
    wanted, wanted_seconds, warnings = None, Seconds(), closure.warnings
    if plan.document is None:
        drifted = [DriftedAddress(d.address, d.type, d.provider) for d in plan.run.drifted]
        classification = classify_quiet(drifted, evidence)
    else:
        if baseline is not None and evidence.closure_changed:
            wanted, wanted_seconds, warning = _baseline_document(context, run, baseline)
            warnings += (warning,) if warning else ()
        ignore = context.ignore
        classification = classify(plan.document, evidence, context.key, baseline_document=wanted, ignore=ignore)
    return Findings(
        classification=classification,
        closure_hash=current_hash,
        state=plan.run.state,
        providers=engine.providers(work),
        commits=_commits(context, run, baseline, evidence, classification),
        seconds=Seconds(
            init=plan.seconds.init + wanted_seconds.init,
            plan=plan.seconds.plan + wanted_seconds.plan,
            show=plan.seconds.show + wanted_seconds.show,
        ),
        plan=plan,
        warnings=warnings,
        drifted=objects_of(plan.document, classification) if plan.document is not None else (),
    )


def _evidence(baseline: Baseline | None, current_hash: str, plan: Plan) -> Evidence:
    if baseline is None:
        return Evidence(has_baseline=False)
    state = plan.run.state
    written: bool | None = None
    if baseline.origin != "given":
        written = (baseline.lineage, baseline.serial) != (state.lineage, state.serial)
    return Evidence(has_baseline=True, closure_changed=baseline.closure_hash != current_hash, state_written=written)


def _baseline_document(
    context: ScanContext, run: EnvironmentRun, baseline: Baseline
) -> tuple[PlanDocument | None, Seconds, str | None]:
    """The plan of the baseline's commit, which tells what the last good configuration wanted; None with a reason."""
    settings, engine = run.settings, run.engine
    with ExitStack() as stack:
        try:
            closure = context.closures.at(settings, baseline.commit)
            if closure is None:
                raise EnvironmentFault(ErrorKind.CONFIG, f"{settings.path} is not part of it.")
            work = checked_out(context, replace(run, closure=closure), stack, commit=baseline.commit, role="baseline")
            stack.callback(engine.forget_secrets, work)
            user_directory = context.user_directory(settings)
            plan = make_plan(engine, work, closure.init_key, user_directory=user_directory, always_show=True)
        except EnvironmentFault as fault:
            if fault.kind is ErrorKind.INTERRUPTED:
                raise
            reason = (
                f"The last known-good commit {baseline.commit[:10]} could not be planned ({fault.message}), "
                "so some labels are not certain."
            )
            return None, Seconds(), reason
        return plan.document, plan.seconds, None


def _commits(
    context: ScanContext,
    run: EnvironmentRun,
    baseline: Baseline | None,
    evidence: Evidence,
    classification: Classification,
) -> tuple[Commit, ...]:
    """The commits behind what is pending: those since the baseline that touched the closure."""
    if baseline is None or not evidence.closure_changed or classification.verdict is Verdict.IN_SYNC:
        return ()
    before = context.closures.at(run.settings, baseline.commit)
    old = before.files if before else {}
    changed = [path for path in old.keys() | run.closure.files.keys() if old.get(path) != run.closure.files.get(path)]
    return context.repository.commits(baseline.commit, context.head, sorted(changed)) if changed else ()
