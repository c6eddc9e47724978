"""One environment, from commit to classification: checkout, plan, and the baseline's plan where it is needed.

Takes a `Scene` (what all environments of a pass share) and one environment; gives `Findings`. Changes nothing outside
of DriftGuard's own folders. Raises `EnvironmentFault` where nothing certain can be said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from driftguard.config import EnvironmentSettings, IgnoreRule, missing_variables
from driftguard.errors import EnvironmentFault
from driftguard.model import (
    Baseline,
    Classification,
    Closure,
    Commit,
    DriftedObject,
    ErrorKind,
    Seconds,
    ToolVersion,
    Verdict,
)
from driftguard.model.plan_document import PlanDocument
from driftguard.pipeline.checkout import working_directory
from driftguard.pipeline.classify.labels import DriftedAddress, Evidence, classify, classify_quiet
from driftguard.pipeline.plan import Plan, make_plan
from driftguard.pipeline.trace import objects_of
from driftguard.ports import Engine, Repository, StateIdentity, WorkingDirectory


@dataclass(frozen=True, slots=True)
class Folders:
    """Where one environment's Terraform data and secrets are kept: `data` between runs, `private` during one."""

    data: Path
    private: Path


@dataclass(frozen=True, slots=True)
class Scene:
    """What all environments of one pass share.

    Attributes:
        user_root: the user's own work tree, where local states lie; None for a URL.
        ignore: the ignore rules that are in force today.
        closure_at: an environment's closure at a commit; None where it did not exist then.
        environment_of: the process environment for an environment's Terraform.
        noise: fetch the values behind what is only noise.
    """

    repository: Repository
    head: str
    user_root: Path | None
    key: bytes
    ignore: tuple[IgnoreRule, ...]
    environ: Mapping[str, str]
    closure_at: Callable[[EnvironmentSettings, str], Closure | None]
    environment_of: Callable[[EnvironmentSettings], Mapping[str, str]]
    noise: bool = False


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


def closure_hash(closure: Closure, settings: EnvironmentSettings, tool: ToolVersion) -> str:
    """The environment's closure hash with this tool."""
    return closure.hash(str(tool), settings.workspace, settings.var_files)


def scan(
    scene: Scene,
    settings: EnvironmentSettings,
    closure: Closure,
    engine: Engine,
    folders: Folders,
    baseline: Baseline | None,
    stack: ExitStack,
) -> Findings:
    """Plan and classify one environment at head.

    Args:
        stack: holds the work tree for as long as the caller needs the plan.
    """
    missing = missing_variables(settings.env, scene.environ)
    if missing:
        raise EnvironmentFault(
            ErrorKind.CONFIG,
            f"The configuration asks for the environment variables {', '.join(missing)} (`env`), and they are not set.",
        )
    user_directory = scene.user_root / settings.path if scene.user_root else None
    work = working_place(scene, settings, closure, folders, scene.head, "head", stack)
    stack.callback(engine.forget_secrets, work)
    plan = make_plan(engine, work, closure.init_key, user_directory=user_directory, always_show=scene.noise)
    current_hash = closure_hash(closure, settings, engine.version())
    evidence = _evidence(baseline, current_hash, plan)
    wanted, wanted_seconds, warnings = None, Seconds(), closure.warnings
    if plan.document is None:
        drifted = [DriftedAddress(d.address, d.type, d.provider) for d in plan.run.drifted]
        classification = classify_quiet(drifted, evidence)
    else:
        if baseline is not None and evidence.closure_changed:
            wanted, wanted_seconds, warning = _baseline_document(scene, settings, engine, folders, baseline)
            warnings += (warning,) if warning else ()
        ignore = scene.ignore
        classification = classify(plan.document, evidence, scene.key, baseline_document=wanted, ignore=ignore)
    return Findings(
        classification=classification,
        closure_hash=current_hash,
        state=plan.run.state,
        providers=engine.providers(work),
        commits=_commits(scene, settings, closure, baseline, evidence, classification),
        seconds=Seconds(
            init=plan.seconds.init + wanted_seconds.init,
            plan=plan.seconds.plan + wanted_seconds.plan,
            show=plan.seconds.show + wanted_seconds.show,
        ),
        plan=plan,
        warnings=warnings,
        drifted=objects_of(plan.document, classification) if plan.document is not None else (),
    )


def ready_directory(
    scene: Scene,
    settings: EnvironmentSettings,
    closure: Closure,
    engine: Engine,
    folders: Folders,
    stack: ExitStack,
) -> WorkingDirectory:
    """The working directory of one environment at head, after `init` where that is needed."""
    work = working_place(scene, settings, closure, folders, scene.head, "head", stack)
    engine.prepare(work, closure.init_key)
    return work


def working_place(
    scene: Scene,
    settings: EnvironmentSettings,
    closure: Closure,
    folders: Folders,
    commit: str,
    role: str,
    stack: ExitStack,
) -> WorkingDirectory:
    """Where and how Terraform runs for one environment at a commit; `role` tells uses of it in one pass apart."""
    if closure.missing:
        more = f" (and {len(closure.missing) - 1} more)" if closure.missing[1:] else ""
        raise EnvironmentFault(ErrorKind.CONFIG, f"{closure.missing[0]}{more}")
    tree = stack.enter_context(scene.repository.worktree(commit))
    private = folders.private / role
    private.mkdir(parents=True, exist_ok=True, mode=0o700)
    return working_directory(
        tree,
        settings,
        closure,
        data_dir=folders.data / role,
        private=private,
        environment=scene.environment_of(settings),
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
    scene: Scene, settings: EnvironmentSettings, engine: Engine, folders: Folders, baseline: Baseline
) -> tuple[PlanDocument | None, Seconds, str | None]:
    """The plan of the baseline's commit, which tells what the last good configuration wanted; None with a reason."""
    user_directory = scene.user_root / settings.path if scene.user_root else None
    with ExitStack() as stack:
        try:
            closure = scene.closure_at(settings, baseline.commit)
            if closure is None:
                raise EnvironmentFault(ErrorKind.CONFIG, f"{settings.path} is not part of it.")
            work = working_place(scene, settings, closure, folders, baseline.commit, "baseline", stack)
            stack.callback(engine.forget_secrets, work)
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
    scene: Scene,
    settings: EnvironmentSettings,
    closure: Closure,
    baseline: Baseline | None,
    evidence: Evidence,
    classification: Classification,
) -> tuple[Commit, ...]:
    """The commits behind what is pending: those since the baseline that touched the closure."""
    if baseline is None or not evidence.closure_changed or classification.verdict is Verdict.IN_SYNC:
        return ()
    before = scene.closure_at(settings, baseline.commit)
    old = before.files if before else {}
    changed = [path for path in old.keys() | closure.files.keys() if old.get(path) != closure.files.get(path)]
    return scene.repository.commits(baseline.commit, scene.head, sorted(changed)) if changed else ()
