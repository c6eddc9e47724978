"""Runs Terraform or OpenTofu: arguments by python-terraform, the process under our own control."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from python_terraform import IsFlagged

from driftguard.adapters.filelock import locked
from driftguard.adapters.process import Completed, Stop
from driftguard.adapters.terraform import hiding
from driftguard.adapters.terraform.commandline import APPLYING, READING, CommandLine
from driftguard.adapters.terraform.diagnostics import Diagnostics, fault_from
from driftguard.adapters.terraform.events import collect_drift, outcomes_in
from driftguard.adapters.terraform.files import LOCK_FILE, identity_in_plan, identity_of, lock_file_versions, member
from driftguard.adapters.terraform.here import AppliesHere
from driftguard.adapters.terraform.initialising import backend_files, init_key, numbers, takes_reconfigure
from driftguard.adapters.terraform.resolutions import OF_THIS_PROCESS
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind, Fault, ToolVersion
from driftguard.model.products import PRODUCTS
from driftguard.model.talks import Talk
from driftguard.ports import (
    ApplyProgress,
    ApplyRun,
    Backend,
    PlanEngine,
    PlanRun,
    ProviderTap,
    StateIdentity,
    StreamDrift,
    WorkingDirectory,
    WorkspaceEngine,
)
from driftguard.sealed import looks_secret

_T = TypeVar("_T")
_QUIET = {"input": False, "no_color": IsFlagged}
_APPLY_GRACE_SECONDS = 120.0
_LOCKED_GRACE_SECONDS = 30.0
# An interrupted plan writes the state, and creates an empty one where there is none; without the lock it must not.
_CANNOT_WRITE: dict[str, Any] = {"kill": True}
_HIDING_SECONDS = 60.0  # for reading a plan and a state once a command has failed
_READY_FOR = "driftguard-ready-for"


class TerraformPlanner(PlanEngine, WorkspaceEngine):
    """A Terraform-compatible program at a path, as far as it changes neither a cloud nor a state."""

    verbs = READING

    def __init__(self, tool: ToolVersion, plugin_cache: Path, stop: Stop, tap: ProviderTap | None = None) -> None:
        """`plugin_cache` is the folder of provider packages that all environments share; `tap` listens to plans."""
        self._tool, self._stop, self._plugin_cache, self._tap = tool, stop, plugin_cache, tap
        self._command = CommandLine(tool.path, self.verbs)
        self._resolutions = OF_THIS_PROCESS
        self._attached_seconds = 0.0

    def version(self) -> ToolVersion:
        """The program with its version."""
        return self._tool

    def cpu_seconds(self) -> float:
        """Of all that was run so far, attached providers with it."""
        return self._command.cpu_seconds + self._attached_seconds

    def prepare(self, work: WorkingDirectory, closure_key: str, *, force: bool = False) -> float:
        """Initialise the working directory, unless it is ready for these files; the seconds that it took."""
        ready_for = work.data_dir / _READY_FOR
        wanted = init_key(self._tool, closure_key, work)
        lock_file, kept = work.directory / LOCK_FILE, work.data_dir / LOCK_FILE
        moved, upgrade = self._resolutions.modules_moved(work, self._stop), self._resolutions.providers_are_old(work)
        ready = ready_for.exists() and ready_for.read_text() == wanted
        if ready and not (force or moved or upgrade):
            if not lock_file.exists() and kept.exists():
                shutil.copyfile(kept, lock_file)  # not committed, and this is another work tree than the last
            return 0.0
        ready_for.unlink(missing_ok=True)
        if moved:
            self._resolutions.forget(work)
        seconds = self._init(work, upgrade=upgrade)
        self._resolutions.initialised(work, self._stop)
        if lock_file.exists():
            shutil.copyfile(lock_file, kept)
        ready_for.write_text(wanted)
        return seconds

    def initialised(self, work: WorkingDirectory) -> bool:
        """Whether `init` was run for something, and nothing of its record was deleted."""
        return (work.data_dir / _READY_FOR).exists()

    def _init(self, work: WorkingDirectory, *, upgrade: bool) -> float:
        options: dict[str, Any] = {**_QUIET, **({"upgrade": IsFlagged} if upgrade else {})}
        options |= {"reconfigure": IsFlagged} if takes_reconfigure(work) else {}
        if numbers(self._tool.version) >= PRODUCTS[self._tool.product].variable_sources_since:
            options |= {"var_file": list(work.var_files)}  # they may stand in sources of modules and in the backend
        options |= {"backend_config": backend_files(work)} if work.backend_config else {}
        diagnostics = Diagnostics()
        if numbers(self._tool.version) >= PRODUCTS[self._tool.product].json_init_since:
            options |= {"json": IsFlagged}
        work.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        extra = self._variables(work)
        cache = Path(extra["TF_PLUGIN_CACHE_DIR"])
        cache.mkdir(parents=True, exist_ok=True)
        if not work.lock_committed:
            # Nothing is verified against a lock file here, so a cached package is as good as a fresh one.
            extra |= {"TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1"}
        with locked(cache / ".driftguard.lock", stop=self._stop):  # Terraform's plugin cache has no lock of its own
            done = self._command.cmd(
                "init", work=work, stop=self._stop, extra=extra, on_line=diagnostics.feed, **options
            )
        if done.code != 0:
            raise self._failed(ErrorKind.INIT, "init", done, diagnostics, work)
        return done.seconds

    def backend(self, work: WorkingDirectory) -> Backend | None:
        """The backend that the working directory is initialised for; None without one that can be read."""
        try:
            record = json.loads((work.data_dir / "terraform.tfstate").read_bytes()).get("backend")
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(record, dict):
            return None
        settings = record.get("config")
        return Backend(str(record.get("type")), settings if isinstance(settings, dict) else {})

    def forget_secrets(self, work: WorkingDirectory) -> None:
        """Delete what `init` wrote of backend settings that hold a secret."""
        backend = self.backend(work)
        if backend and any(looks_secret(str(name), value) for name, value in backend.settings.items()):
            (work.data_dir / _READY_FOR).unlink(missing_ok=True)
            (work.data_dir / "terraform.tfstate").unlink(missing_ok=True)

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        """Plan into a file, with the state's lock if a time to wait for it is given; such a plan is never tapped."""
        bare = partial(self._planned, work, plan_file, lock_timeout_seconds)
        if lock_timeout_seconds is not None:
            return bare({})
        planned, talk = self._tapped(work, bare)
        return replace(planned, talk=talk)

    def _tapped(self, work: WorkingDirectory, run: Callable[[Mapping[str, str]], _T]) -> tuple[_T, Talk | None]:
        """What a command gives that gets the variables of a tap; without one where it fails: a tap decides nothing."""
        with nullcontext() if self._tap is None else self._tap.listen(work, self.process_environment(work)) as tap:
            if tap is not None:
                try:
                    found, talk = run(tap.variables), tap.talk()
                    self._attached_seconds += talk.cpu_seconds
                    return found, talk
                except EnvironmentFault as fault:
                    if fault.kind is not ErrorKind.PLAN:
                        raise
        return run({}), None

    def _planned(
        self,
        work: WorkingDirectory,
        plan_file: Path,
        lock_timeout_seconds: float | None,
        attached: Mapping[str, str],
    ) -> PlanRun:
        options: dict[str, Any] = {
            **_QUIET,
            "json": IsFlagged,
            "detailed_exitcode": IsFlagged,
            "out": str(plan_file),
            "var_file": list(work.var_files),
            "lock": lock_timeout_seconds is not None,
        }
        if lock_timeout_seconds is not None:
            options["lock_timeout"] = f"{int(lock_timeout_seconds)}s"
        if work.state_file is not None:
            options["state"] = str(work.state_file)
        diagnostics = Diagnostics()
        drifted: list[StreamDrift] = []

        def read(line: bytes) -> None:
            if b'"resource_drift"' in line:
                collect_drift(line, drifted)
            elif b'"diagnostic"' in line or not line.startswith(b"{"):
                diagnostics.feed(line)

        done = self._command.cmd(
            "plan",
            work=work,
            stop=self._stop,
            extra={**self._variables(work), **attached},
            on_line=read,
            **(_CANNOT_WRITE if lock_timeout_seconds is None else {"grace_seconds": _LOCKED_GRACE_SECONDS}),
            **options,
        )
        if done.code not in (0, 2):
            raise self._failed(ErrorKind.PLAN, "plan", done, diagnostics, work, plan_file)
        state = identity_in_plan(plan_file) or self.state_identity(work)
        return PlanRun(done.code == 2, tuple(drifted), state, done.seconds)

    def show(self, work: WorkingDirectory, plan_file: Path) -> tuple[bytes, float]:
        """A plan file as JSON, and the seconds that it took. The tap spares it the providers' schemas."""
        file = f"{plan_file.name}.json"
        show = partial(self._output, work, file, "show", str(plan_file), no_color=IsFlagged)
        return self._tapped(work, lambda attached: show(attached=attached))[0]

    def schemas(self, work: WorkingDirectory) -> bytes:
        """The schemas of the providers that the directory is initialised with, as JSON."""
        return self._output(work, "schemas.json", "providers schema")[0]

    def _output(
        self,
        work: WorkingDirectory,
        file: str,
        command: str,
        *arguments: str,
        attached: Mapping[str, str] | None = None,
        **options: Any,
    ) -> tuple[bytes, float]:
        """What a command that prints one large JSON text prints, and the seconds that it took."""
        output = work.private / file
        with open(os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
            done = self._command.cmd(
                command,
                *arguments,
                work=work,
                stop=self._stop,
                extra={**self._variables(work), **(attached or {})},
                stdout_file=stream,
                json=IsFlagged,
                **options,
            )
        if done.code != 0:
            raise self._failed(ErrorKind.PLAN, command, done, Diagnostics(), work)
        text = output.read_bytes()
        output.unlink()
        return text, done.seconds

    def state_in_plan(self, work: WorkingDirectory, plan_file: Path, *, refreshed: bool) -> bytes:
        """The text of the state in a plan file, as it was refreshed or stored; else of the one that is stored now."""
        found = member(plan_file, "tfstate" if refreshed else "tfstate-prev")
        return self._stored_state(work) if found is None else found

    def state_identity(self, work: WorkingDirectory) -> StateIdentity:
        """Lineage and serial of the state as it is now."""
        return identity_of(self._stored_state(work))

    def _stored_state(self, work: WorkingDirectory) -> bytes:
        if work.state_file is not None:
            return work.state_file.read_bytes() if work.state_file.exists() else b""
        lines: list[bytes] = []
        done = self._command.cmd(
            "state pull", work=work, stop=self._stop, extra=self._variables(work), on_line=lines.append
        )
        if done.code != 0:
            raise self._failed(ErrorKind.PLAN, "state pull", done, Diagnostics(), work)
        return b"\n".join(lines)

    def workspaces(self, work: WorkingDirectory) -> tuple[str, ...]:
        """The workspaces of the backend that the directory is initialised for, sorted."""
        lines: list[bytes] = []
        done = self._command.cmd(
            "workspace list", work=work, stop=self._stop, extra=self._variables(work), on_line=lines.append
        )
        if done.code != 0:
            raise self._failed(ErrorKind.INIT, "workspace list", done, Diagnostics(), work)
        return tuple(sorted(name for line in lines if (name := line.decode().strip(" *\r\n"))))

    def formatted(self, work: WorkingDirectory, text: bytes) -> bytes:
        """Text in Terraform's format; as it is where it cannot be read."""
        folder = work.private / "fmt"
        folder.mkdir(exist_ok=True, mode=0o700)
        file = folder / "main.tf"
        file.write_bytes(text)
        done = self._command.cmd("fmt", str(file), work=work, stop=self._stop, extra=self._variables(work))
        return file.read_bytes() if done.code == 0 else text

    def providers(self, work: WorkingDirectory) -> Mapping[str, str]:
        """Versions of the providers in the lock file, by their addresses; empty without one."""
        return lock_file_versions(work.directory)

    def _failed(
        self,
        kind: ErrorKind,
        command: str,
        done: Completed,
        diagnostics: Diagnostics,
        work: WorkingDirectory,
        plan_file: Path | None = None,
    ) -> EnvironmentFault:
        """What a failed command amounts to, its words without any value that is known to be secret.

        Args:
            plan_file: the plan or apply's own; then the plan and the state are asked for sensitive values.
        """

        def hide() -> hiding.Hiding:
            values = hiding.values_of_variables(work.environment)
            values |= hiding.values_of_backend(work.backend_config, work.directory)
            if plan_file is not None:
                values |= self._sensitive_values(replace(work, timeout_seconds=_HIDING_SECONDS), plan_file)
            return hiding.Hiding(values)

        called = f"{self._tool.product} {command}"
        return fault_from(kind, called, done, diagnostics, work.timeout_seconds, hide)

    def _sensitive_values(self, work: WorkingDirectory, plan_file: Path) -> set[str]:
        """What the plan and the state mark as sensitive, as far as either can be read after a failure."""
        found: set[str] = set()
        if plan_file.exists():  # Terraform also saves a plan that ended in an error
            with suppress(EnvironmentFault, OSError):
                found |= hiding.sensitive_values(self.show(work, plan_file)[0])
        with suppress(EnvironmentFault, OSError):
            found |= hiding.sensitive_values(self._stored_state(work))
        return found

    def process_environment(self, work: WorkingDirectory) -> Mapping[str, str]:
        """The whole environment of the program's processes, and so of its providers."""
        return {**work.environment, **self._variables(work)}

    def _variables(self, work: WorkingDirectory) -> dict[str, str]:
        variables = {
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "TF_INPUT": "0",
            "TF_DATA_DIR": str(work.data_dir),
            "TF_FORCE_LOCAL_BACKEND": "1",  # never a run on HCP Terraform: it would wait and lock its workspace
            "TF_PLUGIN_CACHE_DIR": work.environment.get("TF_PLUGIN_CACHE_DIR", str(self._plugin_cache)),
        }
        if work.workspace != "default":
            variables["TF_WORKSPACE"] = work.workspace
        return variables


class TerraformApplier(TerraformPlanner, AppliesHere):
    """The same program, which may also apply a plan and release a state lock."""

    verbs = READING | APPLYING

    def apply(
        self,
        work: WorkingDirectory,
        plan_file: Path,
        *,
        lock_timeout_seconds: float | None,
        progress: ApplyProgress,
    ) -> ApplyRun:
        """Apply a plan file; a failure is in the result, with what was done by then."""
        options: dict[str, Any] = {**_QUIET, "json": IsFlagged, "lock": lock_timeout_seconds is not None}
        if numbers(self._tool.version) >= PRODUCTS[self._tool.product].ephemeral_since:
            options["var_file"] = list(work.var_files)  # a plan file does not hold the values of ephemeral variables
        if lock_timeout_seconds is not None:
            options["lock_timeout"] = f"{int(lock_timeout_seconds)}s"
        diagnostics = Diagnostics()
        outcomes: dict[str, str] = {}

        def read(line: bytes) -> None:
            if b'"apply_' in line:
                for address, outcome in outcomes_in(line):
                    outcomes[address] = outcome
                    progress.outcome(address, outcome)
            elif b'"diagnostic"' in line or not line.startswith(b"{"):
                diagnostics.feed(line)

        done = self._command.cmd(
            "apply",
            str(plan_file),
            work=work,
            stop=self._stop,
            extra=self._variables(work),
            on_line=read,
            on_start=progress.started,
            grace_seconds=_APPLY_GRACE_SECONDS,
            **options,
        )
        fault = None
        if done.code != 0:
            failed = self._failed(ErrorKind.PLAN, "apply", done, diagnostics, work, plan_file)
            fault = Fault(failed.kind, failed.message)
        if diagnostics.lost_a_provider:
            outcomes = {address: "started" if word == "failed" else word for address, word in outcomes.items()}
        return ApplyRun(outcomes, fault, done.seconds, cut_off=done.code not in (0, 1))

    def force_unlock(self, work: WorkingDirectory, lock_id: str) -> None:
        """Release a state lock by its id."""
        done = self._command.cmd(
            "force-unlock", lock_id, work=work, stop=self._stop, extra=self._variables(work), force=IsFlagged
        )
        if done.code != 0:
            raise self._failed(ErrorKind.LOCKED, "force-unlock", done, Diagnostics(), work)
