"""From an environment at a commit to a working directory: the root module in a clean work tree, its own data.

Takes the `ScanContext` of a run and one environment; gives a `WorkingDirectory`. Nothing of it lies
in the user's own work tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from driftguard.config import EnvironmentSettings, IgnoreRule
from driftguard.errors import EnvironmentFault
from driftguard.model import Closure, ErrorKind
from driftguard.pipeline.closures import ClosureIndex
from driftguard.ports import (
    ConfigurationReader,
    Folders,
    PlanEngine,
    Purpose,
    Repository,
    SchemaCache,
    TerraformVariables,
    WorkingDirectory,
)

LOCK_FILE = ".terraform.lock.hcl"
HEAD = "head"
"""The name of the data folder of an environment at head."""


@dataclass(frozen=True, slots=True)
class ScanContext:
    """What all scans of one run share.

    Attributes:
        user_root: the user's own work tree, where local states lie; None for a URL.
        key: the secret for keyed digests.
        ignore: the ignore rules that are in force today.
        environ: DriftGuard's own environment variables.
        noise: fetch the values behind what is only noise.
        configurations: reads expressions from the configuration's text; None leaves what moves by itself uncertain.
        schemas: keeps the schemas of providers; None fetches none, and sets are compared as lists.
    """

    repository: Repository
    head: str
    user_root: Path | None
    key: bytes
    ignore: tuple[IgnoreRule, ...]
    environ: Mapping[str, str]
    closures: ClosureIndex
    variables: TerraformVariables
    noise: bool = False
    configurations: ConfigurationReader | None = None
    schemas: SchemaCache | None = None

    def user_directory(self, settings: EnvironmentSettings) -> Path | None:
        """The environment's directory in the user's own work tree; None where the repository was given as a URL."""
        return self.user_root / settings.path if self.user_root else None


@dataclass(frozen=True, slots=True)
class EnvironmentRun:
    """One environment in a run, whose data folder is held against other runs.

    Attributes:
        closure: at the head of the tracked branch.
        engine: plans and reads; it cannot change anything.
        repeats: gives a recorded plan in the place of a new one, so that no work tree is needed.
    """

    settings: EnvironmentSettings
    closure: Closure
    engine: PlanEngine
    folders: Folders
    repeats: PlanEngine | None = None


def checked_out(
    context: ScanContext,
    run: EnvironmentRun,
    stack: ExitStack,
    *,
    commit: str | None = None,
    role: str = HEAD,
    purpose: Purpose = "plan",
) -> WorkingDirectory:
    """The working directory of one environment at a commit, clean of whatever was left in it.

    Args:
        stack: holds the work tree for as long as the caller needs the directory.
        commit: the head of the tracked branch by default.
        role: keeps several uses of an environment in one run apart; each has a path of its own.
        purpose: what the credentials are for.

    Raises:
        EnvironmentFault: the environment's directory, or contents that it needs, are not part of the commit; or there
            are no credentials.
    """
    missing = run.closure.missing
    if missing:
        more = f" (and {len(missing) - 1} more)" if missing[1:] else ""
        raise EnvironmentFault(ErrorKind.CONFIG, f"{missing[0]}{more}")
    if run.repeats is not None:
        return working_directory(context, run, run.folders.data / role, role, purpose)
    commit = commit or context.head
    tree = stack.enter_context(context.repository.worktree(commit, f"{run.settings.name} {role}"))
    directory = tree / run.settings.path
    made_in = run.closure.unit.stack if run.closure.unit is not None else None
    if made_in is not None:
        variables = context.variables.variables(run.settings, purpose)
        context.closures.generate(made_in, tree, variables, run.settings.timeout.total_seconds())
    if not directory.is_dir():
        raise EnvironmentFault(
            ErrorKind.CONFIG, f"{run.settings.path} does not exist at this commit, so there is nothing to plan."
        )
    if context.closures.given is not None and run.settings.files_from is not None:
        context.closures.given.copy(run.settings.files_from, directory)
    work = working_directory(context, run, directory, role, purpose)
    return replace(work, tree=tree, title=f"{run.settings.name} at {commit[:12]}")


def working_directory(
    context: ScanContext, run: EnvironmentRun, directory: Path, role: str, purpose: Purpose = "plan"
) -> WorkingDirectory:
    """How Terraform runs for an environment in a directory, with the credentials for a purpose.

    Raises:
        EnvironmentFault: there are no credentials.
    """
    settings, private = run.settings, run.folders.private / role
    private.mkdir(parents=True, exist_ok=True, mode=0o700)
    environment = context.variables.variables(settings, purpose)
    lock_file = LOCK_FILE if settings.path == "." else f"{settings.path}/{LOCK_FILE}"
    return WorkingDirectory(
        directory=directory,
        data_dir=run.folders.data / role,
        private=private,
        environment=environment,
        workspace=settings.workspace,
        var_files=settings.var_files,
        backend_config=settings.backend_config,
        timeout_seconds=settings.timeout.total_seconds(),
        lock_committed=lock_file in run.closure.files or lock_file in run.closure.given,
        moves=frozenset(move.kind for move in run.closure.moves),
        refresh_seconds=settings.terraform.refresh_modules.total_seconds(),
        queue_seconds=settings.tfe.queue_timeout.total_seconds(),
    )
