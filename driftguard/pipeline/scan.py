"""One environment, from commit to classification: checkout, plan, and the baseline's plan where it is needed.

Takes a `ScanContext` (what all scans of a run share) and one environment; gives `Findings`. Changes nothing outside
of DriftGuard's own folders. Raises `EnvironmentFault` if no label would be certain.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from driftguard.config import CONFIG_FILE, missing_variables
from driftguard.errors import EnvironmentFault
from driftguard.model import (
    Baseline,
    Classification,
    Closure,
    Commit,
    DriftedObject,
    ErrorKind,
    Seconds,
    Verdict,
)
from driftguard.model.configuration_sources import Sources
from driftguard.model.digests import Digests
from driftguard.model.plan_document import PlanDocument
from driftguard.model.provider_schemas import ProviderSchemas
from driftguard.pipeline.baseline import Reference, verified, with_digests
from driftguard.pipeline.checkout import EnvironmentRun, ScanContext, checked_out
from driftguard.pipeline.classify.digests import digests_of_plan
from driftguard.pipeline.classify.labels import DriftedAddress, Evidence, classify, classify_quiet
from driftguard.pipeline.classify.origins import upgraded
from driftguard.pipeline.closures import closure_hash
from driftguard.pipeline.plan import Plan, make_plan
from driftguard.pipeline.provider_schemas import schemas_of
from driftguard.pipeline.trace import objects_of
from driftguard.ports import Backend, Checkout, PlanEngine, Repository, StateIdentity


@dataclass(frozen=True, slots=True)
class Findings:
    """What one scan of one environment found.

    Attributes:
        digests: of the state that an apply wrote, for the scan that verifies it.
        backend: where the state lies; None for a local state without one.
    """

    classification: Classification
    closure_hash: str
    state: StateIdentity
    providers: Mapping[str, str]
    commits: tuple[Commit, ...]
    seconds: Seconds
    plan: Plan
    warnings: tuple[str, ...] = ()
    drifted: tuple[DriftedObject, ...] = ()
    digests: Digests | None = None
    backend: Backend | None = None


def scan(context: ScanContext, run: EnvironmentRun, reference: Reference, stack: ExitStack) -> Findings:
    """Plan and classify one environment at head.

    Args:
        reference: the baseline that the plan is compared with.
        stack: holds the work tree for as long as the caller needs the plan.
    """
    baseline = reference.baseline
    settings, closure, engine = run.settings, run.closure, run.repeats or run.engine
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
    evidence = _evidence(baseline, closure, current_hash, plan, engine.providers(work))
    evidence = with_digests(evidence, reference.digests, context.key)
    kept: Digests | None = None
    wanted, wanted_seconds, warnings = None, Seconds(), closure.warnings
    if plan.document is None:
        drifted = [DriftedAddress(d.address, d.type, d.provider) for d in plan.run.drifted]
        classification = classify_quiet(drifted, evidence)
        if reference.just_applied:
            _, kept = verified(lambda _: classification, evidence, engine, plan, context.key)
    else:
        if baseline is not None and evidence.closure_changed:
            wanted, wanted_seconds, warning = _baseline_document(context, run, baseline)
            warnings += (warning,) if warning else ()
        schemas, warning = _schemas(context, engine, plan)
        warnings += (warning,) if warning else ()
        classification, kept = _classified(context, run, reference, evidence, plan, wanted, schemas)
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
        digests=kept,
        backend=engine.backend(work),
    )


def _classified(
    context: ScanContext,
    run: EnvironmentRun,
    reference: Reference,
    evidence: Evidence,
    plan: Plan,
    wanted: PlanDocument | None,
    schemas: ProviderSchemas | None,
) -> tuple[Classification, Digests | None]:
    """The labels of a plan that changes something, and the digests to keep after an apply."""
    baseline, document = reference.baseline, plan.document
    assert document is not None
    if baseline is not None and baseline.origin == "given":
        given = digests_of_plan(wanted or document, context.key) if wanted or evidence.same_closure else None
        evidence = with_digests(evidence, given, context.key)
    labelling = partial(
        classify,
        document,
        key=context.key,
        baseline_document=wanted,
        ignore=context.ignore,
        schemas=schemas,
        sources=_sources(context, run, plan, baseline if evidence.closure_changed else None),
    )
    if reference.just_applied:
        return verified(labelling, evidence, run.repeats or run.engine, plan, context.key)
    return labelling(evidence), None


def _schemas(context: ScanContext, engine: PlanEngine, plan: Plan) -> tuple[ProviderSchemas | None, str | None]:
    if context.schemas is None or plan.document is None or not plan.run.changes:
        return None, None
    return schemas_of(plan.document, engine, plan.work, context.schemas)


def _evidence(
    baseline: Baseline | None, closure: Closure, current_hash: str, plan: Plan, providers: Mapping[str, str]
) -> Evidence:
    if baseline is None:
        return Evidence(has_baseline=False)
    state = plan.run.state
    written: bool | None = None
    if baseline.origin != "given":
        written = (baseline.lineage, baseline.serial) != (state.lineage, state.serial)
    return Evidence(
        has_baseline=True,
        closure_changed=baseline.closure_hash != current_hash,
        state_written=written,
        closure_open=bool(closure.open),
        upgraded=upgraded(baseline.providers, providers),
    )


def _sources(context: ScanContext, run: EnvironmentRun, plan: Plan, changed_since: Baseline | None) -> Sources | None:
    """The source texts of the configuration's attributes, at head and at the baseline that a commit moved away from.

    None where a part of it lies outside the repository, so that the text at hand is not all of it.
    """
    if context.configurations is None or run.closure.remote_sources or run.closure.unit is not None:
        return None
    before = context.closures.at(run.settings, changed_since.commit) if changed_since is not None else None
    if changed_since is not None and before is None:
        return None
    tree = Path(os.path.normpath(plan.work.directory / os.path.relpath(".", run.settings.path)))
    return context.configurations.sources(
        Checkout(tree, run.settings.path, context.repository.tree(context.head).keys()),
        _terraform_files(context.repository, run.closure),
        None if before is None else _terraform_files(context.repository, before),
    )


def _terraform_files(repository: Repository, closure: Closure) -> Mapping[str, bytes]:
    files = {path: id_ for path, id_ in closure.files.items() if path.endswith((".tf", ".tofu", ".tf.json"))}
    contents = dict(repository.read(sorted(set(files.values()))))
    return {path: contents[object_id] for path, object_id in files.items()}


def plan_of_commit(context: ScanContext, run: EnvironmentRun, commit: str, stack: ExitStack) -> Plan:
    """The plan of an earlier commit against the state of today.

    Args:
        stack: holds the work tree for as long as the caller needs the plan.

    Raises:
        EnvironmentFault: it cannot be made.
    """
    settings, engine = run.settings, run.engine
    closure = context.closures.at(settings, commit)
    if closure is None:
        raise EnvironmentFault(ErrorKind.CONFIG, f"{settings.path} is not part of it.")
    # Only what the configuration of then set for variables is taken from it.
    then = context.closures.settings.at(settings, commit) or settings
    then = replace(then, backend_config=settings.backend_config, workspace=settings.workspace)
    earlier = replace(run, settings=then, closure=closure, repeats=None)
    work = checked_out(context, earlier, stack, commit=commit, role="baseline")
    stack.callback(engine.forget_secrets, work)
    user_directory = context.user_directory(settings)
    return make_plan(engine, work, closure.init_key, user_directory=user_directory, always_show=True)


def _baseline_document(
    context: ScanContext, run: EnvironmentRun, baseline: Baseline
) -> tuple[PlanDocument | None, Seconds, str | None]:
    """The plan of the baseline's commit, with what the last good configuration wanted; None with a reason."""
    with ExitStack() as stack:
        try:
            plan = plan_of_commit(context, run, baseline.commit, stack)
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
    then = context.closures.settings.at(run.settings, baseline.commit)
    if then is not None and then.digest() != run.settings.digest():
        changed.append(CONFIG_FILE)
    return context.repository.commits(baseline.commit, context.head, sorted(changed)) if changed else ()
