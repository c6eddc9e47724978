"""Terraform: a working directory, the commands by need, what they give, and the lock of a state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from driftguard.model import Fault, ToolVersion
from driftguard.model.talks import Talk
from driftguard.model.units import UpstreamState


@dataclass(frozen=True, slots=True)
class WorkingDirectory:
    """Where and how Terraform runs for one environment.

    Attributes:
        directory: the root module, in a work tree of ours.
        data_dir: `TF_DATA_DIR`, kept between runs.
        private: a folder (0700) for plan files and other secrets; it is gone when the environment is done.
        environment: the whole process environment, built from an allow-list.
        state_file: a private copy of a local state; None for a remote backend.
        backend_config: values or files (relative to the root module) for `init`.
        lock_committed: whether the provider lock file is part of the commit.
        moves: kinds of what the closure does not fix: `module`, `provider` (see `model.Move`).
        refresh_seconds: age at which it is asked again what they are now.
        tree: the work tree, clean at the commit; None where there is none.
        title: environment and commit, for what is made of it elsewhere.
        queue_seconds: maximum time that a platform may leave a run waiting before its plan begins.
    """

    directory: Path
    data_dir: Path
    private: Path
    environment: Mapping[str, str] = field(repr=False)
    workspace: str = "default"
    var_files: tuple[str, ...] = ()
    backend_config: Mapping[str, str] | tuple[str, ...] = field(default=(), repr=False)
    timeout_seconds: float = 1200.0
    state_file: Path | None = None
    lock_committed: bool = False
    moves: frozenset[str] = frozenset()
    refresh_seconds: float = 0.0
    tree: Path | None = None
    title: str = ""
    queue_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class StateIdentity:
    """Which state it is (`lineage`) and how often it was written (`serial`); None and None before the first write.

    Attributes:
        empty: it holds neither a managed resource nor an output; no part of the identity.
    """

    lineage: str | None
    serial: int | None
    empty: bool = field(default=False, compare=False)


ERRORED_STATE: Final = "errored.tfstate"
"""What Terraform writes into a root module's directory when it cannot store the state of an apply."""


@dataclass(frozen=True, slots=True)
class UnwrittenState:
    """A state that an apply could not store: the file that it is kept in, and its identity."""

    file: Path
    identity: StateIdentity


class UnwrittenStates(Protocol):
    """Keeps the states that applies could not store, whatever happens to their work trees."""

    def keep(self, attempt: str, directory: Path) -> UnwrittenState | None:
        """Take the state that an attempt left in a directory; the same again where that was done already.

        None where it left none. Raises `OperatorError` if it cannot be kept; it is left where it is then.
        """
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """Where an initialised directory keeps its state: the backend's type and its plain settings."""

    type: str
    settings: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StreamDrift:
    """One resource that the plan's event stream reported as changed outside Terraform."""

    address: str
    type: str
    provider: str


@dataclass(frozen=True, slots=True)
class PlanRun:
    """What one `terraform plan` gave: whether it would change anything, and the state it started from.

    Attributes:
        talk: the talk with providers; None where none was recorded.
        url: the page of the run on the platform that made it; None for a plan made here.
        upstream: the states of the units whose outputs it was made with.
    """

    changes: bool
    drifted: tuple[StreamDrift, ...]
    state: StateIdentity
    seconds: float
    talk: Talk | None = field(default=None, repr=False)
    url: str | None = None
    upstream: tuple[UpstreamState, ...] = ()


@dataclass(frozen=True, slots=True)
class ApplyRun:
    """How an apply ended.

    Attributes:
        outcomes: each resource's last word: `started` (its end is not known), `done` or `failed`.
        fault: why it did not end well; None when it did.
        cut_off: the program was killed, so that the state may lack what is `done`.
    """

    outcomes: Mapping[str, str]
    fault: Fault | None
    seconds: float
    cut_off: bool = False


class ApplyProgress(Protocol):
    """Is notified while an apply runs, in the thread that reads its output."""

    def started(self, process_group: int) -> None:
        """The program runs, in this process group."""
        ...

    def outcome(self, address: str, word: str) -> None:
        """A resource's outcome so far: `started`, `done` or `failed`."""
        ...


class Tool(Protocol):
    """The program itself."""

    def version(self) -> ToolVersion:
        """The program's name and version; asked once."""
        ...

    def cpu_seconds(self) -> float:
        """The CPU seconds of all that was run so far."""
        ...

    def process_environment(self, work: WorkingDirectory) -> Mapping[str, str]:
        """The whole environment of the program's processes, and so of its providers."""
        ...

    def formatted(self, work: WorkingDirectory, text: bytes) -> bytes:
        """A Terraform file's text as the tool's own formatter would have it; as it is where it cannot be formatted."""
        ...


class Initialiser(Protocol):
    """`init` of a working directory, and what it recorded."""

    def prepare(self, work: WorkingDirectory, closure_key: str, *, force: bool = False) -> float:
        """Run `init` if the data directory was not made ready for just this; gives the seconds it took.

        Args:
            closure_key: the closure's `init_key`.
            force: run it in any case.
        """
        ...

    def initialised(self, work: WorkingDirectory) -> bool:
        """Whether the data directory is as an earlier `init` left it."""
        ...

    def forget_secrets(self, work: WorkingDirectory) -> None:
        """Delete what `init` recorded of the backend if it holds a credential; the next `prepare` inits again."""
        ...

    def backend(self, work: WorkingDirectory) -> Backend | None:
        """The backend that `init` recorded; None where the configuration names none (local state)."""
        ...

    def providers(self, work: WorkingDirectory) -> Mapping[str, str]:
        """Provider addresses and versions that `init` selected."""
        ...


class Planner(Protocol):
    """Makes plans and reads them."""

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        """Plan into a file, without a state lock unless a lock timeout is given."""
        ...

    def show(self, work: WorkingDirectory, plan_file: Path) -> tuple[bytes, float]:
        """A plan file as JSON text, and the seconds it took."""
        ...


class StateReader(Protocol):
    """Reads the state."""

    def state_in_plan(self, work: WorkingDirectory, plan_file: Path, *, refreshed: bool) -> bytes:
        """The text of the state that a plan was made from: as the refresh found it, or as it was stored before.

        If the plan file does not hold it (it is encrypted), the state that is stored now.
        """
        ...

    def state_identity(self, work: WorkingDirectory) -> StateIdentity:
        """The state's identity now."""
        ...


class SchemaReader(Protocol):
    """Reads the schemas of providers."""

    def schemas(self, work: WorkingDirectory) -> bytes:
        """The output of `providers schema -json` in an initialised directory."""
        ...


class WorkspaceEngine(Protocol):
    """Lists the workspaces of a backend."""

    def workspaces(self, work: WorkingDirectory) -> tuple[str, ...]:
        """The workspaces of the backend that a directory is initialised for, sorted; raises as `PlanEngine`."""
        ...


class PlanEngine(Tool, Initialiser, Planner, StateReader, SchemaReader, Protocol):
    """A Terraform-compatible program as a scan holds it: it cannot apply, unlock, import or write a state.

    Every method raises `EnvironmentFault` with the contract's kind on failure.
    """


class Applier(Protocol):
    """Changes the contents of a plan."""

    def apply(
        self,
        work: WorkingDirectory,
        plan_file: Path,
        *,
        lock_timeout_seconds: float | None,
        progress: ApplyProgress,
    ) -> ApplyRun:
        """Apply a saved plan. Failure of single resources is an answer, not an exception.

        Args:
            lock_timeout_seconds: how long to wait for the state lock; None when the caller holds it.
        """
        ...

    def force_unlock(self, work: WorkingDirectory, lock_id: str) -> None:
        """Release a state lock with the tool's own command."""
        ...


class AttemptNotes(Protocol):
    """Records what an attempt makes elsewhere, durably, before its next step is taken."""

    def made(self, what: Mapping[str, str]) -> None:
        """All that was made so far, by names of the engine's own. Raises where it could not be recorded."""
        ...


class AppliesElsewhere(Protocol):
    """What an engine leaves elsewhere while it applies. One that runs here leaves nothing."""

    def recording(self, notes: AttemptNotes, held: Mapping[str, str] | None) -> ApplyEngine:
        """The engine for one attempt.

        Args:
            held: what an earlier attempt at the same plan left waiting for a decision there.
        """
        ...

    def withdraw(self) -> None:
        """Give up what the last plan left waiting there; what is confirmed is left alone. Never raises a fault."""
        ...

    def settle(self, left: Mapping[str, str]) -> bool:
        """End what an attempt that is over left there; whether it may have changed anything.

        Raises:
            TransientFault: `locked`: it is applying right now.
        """
        ...


class ApplyEngine(PlanEngine, Applier, AppliesElsewhere, Protocol):
    """A Terraform-compatible program as an apply holds it."""


@dataclass(frozen=True, slots=True)
class LockInfo:
    """Who holds a state lock."""

    id: str
    who: str
    operation: str
    created: str

    def __str__(self) -> str:
        return f"{self.id}, held by {self.who or 'an unknown holder'} since {self.created} ({self.operation})"


class StateLock(Protocol):
    """The lock of one state, taken under an id that is known before it is taken."""

    def take(self, lock_id: str, timeout_seconds: float) -> None:
        """Take it, waiting that long for another holder; `TransientFault` (`locked`) after that."""
        ...

    def release(self, lock_id: str) -> bool:
        """Release it if its id is this one; whether it was."""
        ...

    def holder(self) -> LockInfo | None:
        """Who holds it now."""
        ...


class StateLocks(Protocol):
    """Finds the lock of a state."""

    def of(self, backend: Backend | None, workspace: str, environment: Mapping[str, str]) -> StateLock | None:
        """The lock of an initialised directory's state; None where Terraform has to take its own.

        Args:
            environment: the Terraform process's own variables, whose credentials are used.
        """
        ...
