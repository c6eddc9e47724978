"""Plans Terragrunt units: every command goes through `terragrunt run -- …` in the unit's directory.

So hooks, inputs, generated files and version constraints hold. Terragrunt's download folder is ours and kept between
runs. `TF_DATA_DIR` is never set: the `output` calls for dependencies would share it. Seen with Terragrunt 1.1.3.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from driftguard.adapters.process import Completed, Stop
from driftguard.adapters.terraform.commandline import CommandLine
from driftguard.adapters.terraform.engine import TerraformPlanner
from driftguard.adapters.terragrunt.program import VARIABLES, log_messages
from driftguard.adapters.terragrunt.upstream import StatePuller, UpstreamStates, refuse_silent_mocks
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind, ToolVersion
from driftguard.model.units import UnitDependency, UpstreamState
from driftguard.ports import Backend, PlanRun, WorkingDirectory
from driftguard.sealed import looks_secret

_RUN: Final = ("run", "--tf-forward-stdout", "--")
# "Config A is a dependency of B that has no outputs, but mock outputs provided and returning those …"
_MOCKED: Final = re.compile(r"Config (\S+?)(?:/terragrunt\.hcl)? is a dependency of .*\bmock outputs provided\b", re.S)
_WITHOUT_OUTPUTS: Final = re.compile(r"(\S+?)/terragrunt\.hcl is a dependency of \S+ but detected no outputs")
_MAX_LOG_CHARACTERS: Final = 60_000  # of standard error, whose beginning is lost beyond 64 KiB


class TerragruntCommandLine(CommandLine):
    """The same commands, each through Terragrunt.

    Args:
        program: Terragrunt's own path.
    """

    def __init__(self, program: str, path: str, verbs: frozenset[str]) -> None:
        super().__init__(path, verbs)
        self._program = program

    def arguments(self, cmd: str, *args: str, **options: Any) -> list[str]:
        """Terragrunt's arguments, then those of the command."""
        return [self._program, *_RUN, *super().arguments(cmd, *args, **options)[1:]]

    def cmd(
        self, cmd: str, *args: str, work: WorkingDirectory, stop: Stop, extra: Mapping[str, str], **options: Any
    ) -> Completed:
        """Run one command; the log of Terragrunt stands in for its JSON lines.

        Raises:
            EnvironmentFault: `dependency` where outputs were missing or mocks stood in for them; `partial` where no
                plan was made.
        """
        if cmd == "plan":
            Path(options["out"]).unlink(missing_ok=True)  # of an earlier run
        done = super().cmd(cmd, *args, work=work, stop=stop, extra=extra, **options)
        done = replace(done, stderr="\n".join(log_messages(done.stderr)))
        if done.code not in (0, 2):
            _refuse_missing_outputs(done.stderr, work)
        elif cmd == "plan":
            _refuse_mocks(done.stderr, work)
            if not Path(options["out"]).exists():
                raise EnvironmentFault(
                    ErrorKind.PARTIAL,
                    "Terragrunt ended without a plan, so the verdict is unknown. Look for its reason with "
                    "`terragrunt run -- plan` in the unit, or exclude the unit in driftguard.yaml.",
                )
        return done


class TerragruntPlanner(TerraformPlanner, StatePuller):
    """Plans a unit with Terragrunt and a Terraform-compatible program."""

    def __init__(
        self,
        tool: ToolVersion,
        plugin_cache: Path,
        stop: Stop,
        program: str,
        upstream: UpstreamStates | None = None,
        dependencies: Sequence[UnitDependency] = (),
    ) -> None:
        """`upstream` reads the states of the units whose outputs this one gets by its `dependencies`."""
        super().__init__(tool, plugin_cache, stop)
        self._command = TerragruntCommandLine(program, tool.path, self.verbs)
        self._upstream, self._dependencies = upstream, tuple(dependencies)

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        """Plan into a file; with it the states of the units whose outputs the plan was made with."""
        planned = super().plan(work, plan_file, lock_timeout_seconds=lock_timeout_seconds)
        return replace(planned, upstream=tuple(self._upstream_states(work)))

    def _upstream_states(self, work: WorkingDirectory) -> Iterator[UpstreamState]:
        for each in self._dependencies:
            if self._upstream is None or each.path is None:
                if each.mocks_silently:
                    refuse_silent_mocks(each, {})
                continue
            try:
                state = self._upstream.of(each.path, work, self)
            except EnvironmentFault:
                if each.mocks_silently:
                    raise
                state = UpstreamState(each.path, None, None)
            if each.mocks_silently:
                refuse_silent_mocks(each, state.outputs)
            yield state

    def pulled(self, work: WorkingDirectory) -> bytes:
        """The state of another unit."""
        try:
            self.prepare(work, str(work.directory))
            return self._stored_state(work)
        finally:
            self.forget_secrets(work)

    def backend(self, work: WorkingDirectory) -> Backend | None:
        """The backend that the last `init` of the unit recorded."""
        found = _records(work)
        return super().backend(replace(work, data_dir=found[-1].parent)) if found else None

    def forget_secrets(self, work: WorkingDirectory) -> None:
        """Delete what `init` recorded of a backend that holds a secret, with Terragrunt's folder of the unit."""
        backend = self.backend(work)
        super().forget_secrets(work)
        if backend and any(looks_secret(str(name), value) for name, value in backend.settings.items()):
            shutil.rmtree(download_folder(work), ignore_errors=True)  # the generated backend file holds it, too

    def formatted(self, work: WorkingDirectory, text: bytes) -> bytes:
        """As it is: the text of a unit is no module of Terraform."""
        return text

    def _variables(self, work: WorkingDirectory) -> dict[str, str]:
        variables = super()._variables(work)
        del variables["TF_DATA_DIR"]
        return {
            **variables,
            **VARIABLES,
            "TG_TF_PATH": self._tool.path,
            "TG_DOWNLOAD_DIR": str(download_folder(work)),
        }


def mocked_dependencies(log: str) -> tuple[str, ...]:
    """The units whose mock outputs a plan was made with, as Terragrunt's log names them; sorted."""
    return tuple(sorted({found[1] for line in log.splitlines() for found in _MOCKED.finditer(line)}))


def _refuse_missing_outputs(log: str, work: WorkingDirectory) -> None:
    missing = sorted({found[1] for found in _WITHOUT_OUTPUTS.finditer(log)})
    if missing:
        names = ", ".join(_shown(Path(path), work.directory) for path in missing)
        raise EnvironmentFault(
            ErrorKind.DEPENDENCY,
            f"The unit takes outputs of {names}, which has none yet, so nothing was planned. "
            "Apply that unit first: `terragrunt run -- apply` in its directory.",
        )


def _refuse_mocks(log: str, work: WorkingDirectory) -> None:
    mocked = mocked_dependencies(log)
    if mocked:
        names = ", ".join(_shown(Path(path), work.directory) for path in mocked)
        raise EnvironmentFault(
            ErrorKind.DEPENDENCY,
            f"The plan was made with mock outputs, because {names} has no outputs yet, so no label would be certain. "
            "Apply that unit first: `terragrunt run -- apply` in its directory.",
        )
    if len(log) > _MAX_LOG_CHARACTERS:
        raise EnvironmentFault(
            ErrorKind.DEPENDENCY,
            "Terragrunt's log is too long to be read whole, so it is not known whether the plan was made with mock "
            "outputs. Look for its warnings with `terragrunt run -- plan` in the unit.",
        )


def _shown(unit: Path, directory: Path) -> str:
    """A unit's path without the place of the work tree: the part in which it departs from another unit's."""
    shared = 0
    for one, other in zip(unit.parts, directory.parts, strict=False):
        if one != other:
            break
        shared += 1
    return "/".join(unit.parts[max(shared - 1, 0) :]) or unit.name


def download_folder(work: WorkingDirectory) -> Path:
    """Where Terragrunt keeps what it downloads and generates for a unit."""
    return work.data_dir / "terragrunt"


def _records(work: WorkingDirectory) -> list[Path]:
    """The backends that `init` recorded in Terragrunt's folder, oldest first."""
    found = list(download_folder(work).glob("**/.terraform/terraform.tfstate"))
    own = work.directory / ".terraform" / "terraform.tfstate"  # a unit without a source is run where it lies
    found += [own] if own.exists() else []
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)
