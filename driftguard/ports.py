"""The outside things a pass needs, one small protocol each, named by need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from driftguard.model import (
    Alert,
    Attempt,
    AttemptState,
    Baseline,
    ChainFault,
    Commit,
    Delivery,
    Entry,
    EntryKind,
    Fault,
    Lease,
    MergedRequest,
    Message,
    Notice,
    PullRequest,
    ToolVersion,
    TreeEntry,
)


class Clock(Protocol):
    """The time. The only source of `now` in a pass."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...


class Repository(Protocol):
    """The git repository that is the single source of truth, read through a mirror of our own."""

    def tree(self, commit: str) -> Mapping[str, TreeEntry]:
        """Every file of a commit, by its path from the repository's root."""
        ...

    def read(self, object_ids: Sequence[str]) -> Iterable[tuple[str, bytes]]:
        """The contents of blobs, in the order asked for."""
        ...

    def worktree(self, commit: str) -> AbstractContextManager[Path]:
        """A clean detached work tree at a commit, kept from pruning while the context is open."""
        ...

    def commits(self, base: str | None, head: str, paths: Sequence[str]) -> tuple[Commit, ...]:
        """Commits after `base` up to `head` that touch one of `paths`, newest first; empty without a base."""
        ...


class Ledger(Protocol):
    """The durable record: an append-only journal, and what follows from it."""

    def key(self) -> bytes:
        """The secret for keyed digests; created once and kept with the ledger."""
        ...

    def append(self, *entries: Entry) -> None:
        """Append entries in one transaction, chained to what is there. Durable on return."""
        ...

    def entries(
        self,
        *,
        environment: str | None = None,
        kinds: Sequence[EntryKind] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """Entries that match all that is given, oldest first; `limit` keeps the newest ones."""
        ...

    def latest(self, kind: EntryKind, until: datetime | None = None) -> Mapping[str, Entry]:
        """The newest entry of a kind for each environment."""
        ...

    def verify(self) -> tuple[ChainFault, ...]:
        """Every place where the chain does not hold; empty for a sound ledger."""
        ...

    def baseline(self, environment: str) -> Baseline | None:
        """The environment's baseline, or None before the first."""
        ...

    def move_baseline(self, environment: str, baseline: Baseline, run_id: str, at: datetime) -> None:
        """Replace the baseline and journal the move, in one transaction."""
        ...


class Leases(Protocol):
    """Who may act on an environment; at most one holder at any time."""

    def acquire(self, environment: str, holder: str, now: datetime, ttl_seconds: float) -> Lease | None:
        """Take or keep the lease; None while another holder's has not expired."""
        ...

    def renew(self, lease: Lease, now: datetime, ttl_seconds: float) -> Lease | None:
        """Extend a lease still held; None when it was lost."""
        ...

    def release(self, lease: Lease) -> None:
        """Give the lease back if it is still held; otherwise nothing."""
        ...


class Attempts(Protocol):
    """Applies, recorded before their effect."""

    def open(self, attempt: Attempt) -> bool:
        """Record an attempt durably.

        False when one with the same environment, commit, plan fingerprint and retry exists that is not void.
        """
        ...

    def advance(self, attempt: Attempt, state: AttemptState, at: datetime, data: Mapping[str, object]) -> Attempt:
        """Move an attempt to another state, merging `data`; journalled in the same transaction."""
        ...

    def unfinished(self, environment: str) -> tuple[Attempt, ...]:
        """Attempts that were opened and never ended, oldest first."""
        ...

    def recent(self, environment: str, since: datetime) -> tuple[Attempt, ...]:
        """Attempts opened at or after `since`, oldest first."""
        ...


class Alerts(Protocol):
    """What people were told of each environment."""

    def standing(self) -> tuple[Alert, ...]:
        """Every alert that is not resolved, oldest first."""
        ...

    def named(self, ids: Sequence[str]) -> tuple[Alert, ...]:
        """The alerts with these ids, sorted by environment."""
        ...

    def record(
        self,
        environment: str,
        entries: Sequence[Entry],
        follow: Callable[[Sequence[Alert]], tuple[Sequence[Alert], Sequence[Notice]]],
    ) -> None:
        """Journal entries, and what follows from them for the environment's alerts, in one transaction.

        Args:
            follow: gets the environment's alerts, oldest first; gives the alerts to keep and the notices to tell.
        """
        ...

    def trace(self, alert_id: str, traces: Mapping[str, object], notice: Notice | None) -> None:
        """Add who did it to an alert, and a notice where what is shown already has to change."""
        ...


class Outbox(Protocol):
    """What is still to be told."""

    def unplanned(self) -> tuple[Notice, ...]:
        """Notices that no delivery was made for yet, oldest first."""
        ...

    def messages(self, alert_ids: Sequence[str]) -> tuple[Delivery, ...]:
        """The messages that show any of the alerts, oldest first."""
        ...

    def plan(self, notices: Sequence[Notice], deliveries: Sequence[Delivery]) -> bool:
        """Put deliveries in the place of notices, in one transaction; False when one was planned by somebody else."""
        ...

    def undelivered(self) -> tuple[Delivery, ...]:
        """What is still to be shown, oldest first."""
        ...

    def save(self, delivery: Delivery, entry: Entry | None = None) -> None:
        """Replace a delivery, with a journal entry in the same transaction."""
        ...


class Sink(Protocol):
    """A place where alerts are shown. Every method raises `DeliveryFault` when it cannot tell that it worked."""

    def post(self, delivery: Delivery, message: Message) -> str:
        """Show a message; the sink's own reference to it."""
        ...

    def update(self, delivery: Delivery, message: Message) -> None:
        """Show a message that is there differently."""
        ...

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        """Answer below a message with the delivery's line, and a text as a file; the sink's own reference."""
        ...

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        """The reference of a delivery that was begun and whose end is not known; None when it never arrived."""
        ...


class Forge(Protocol):
    """Pull requests of one repository. Every method raises `ForgeFault` when it cannot tell that it worked.

    Attributes:
        longest_title, longest_body: the most characters of each that the forge takes.
    """

    longest_title: int
    longest_body: int

    def requests(self, branch: str) -> tuple[PullRequest, ...]:
        """Every pull request from one branch of the repository itself, in whatever state, newest first."""
        ...

    def open_requests(self, prefix: str) -> tuple[PullRequest, ...]:
        """Open pull requests from branches of the repository itself that begin with a prefix, oldest first."""
        ...

    def open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request; the one that is open from this branch already, as it is, where there is one."""
        ...

    def update(self, number: int, title: str, body: str) -> None:
        """Give an open pull request another title and text."""
        ...

    def comment(self, number: int, text: str, mark: str) -> None:
        """Comment on a pull request, unless one of our comments there holds the mark (an HTML comment) already."""
        ...

    def close(self, number: int) -> None:
        """Close a pull request without merging it; nothing if it is closed or merged."""
        ...

    def compare_url(self, base: str, branch: str) -> str | None:
        """The page where one click opens a pull request from a branch; None where the forge has none."""
        ...

    def merged_with(self, commit: str, base: str, *, owners: bool = False) -> tuple[MergedRequest, ...]:
        """The merged pull requests into `base` that the forge says a commit came with.

        Args:
            owners: find out about code owners, too.
        """
        ...


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


@dataclass(frozen=True, slots=True)
class StateIdentity:
    """Which state it is (`lineage`) and how often it was written (`serial`); None and None before the first write."""

    lineage: str | None
    serial: int | None


@dataclass(frozen=True, slots=True)
class Backend:
    """Where an initialised directory keeps its state: the backend's type and its plain settings."""

    type: str
    settings: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StreamDrift:
    """One resource that the plan's event stream reported as changed outside."""

    address: str
    type: str
    provider: str


@dataclass(frozen=True, slots=True)
class PlanRun:
    """What one `terraform plan` gave: whether it would change anything, and the state it started from."""

    changes: bool
    drifted: tuple[StreamDrift, ...]
    state: StateIdentity
    seconds: float


@dataclass(frozen=True, slots=True)
class ApplyRun:
    """How an apply ended.

    Attributes:
        outcomes: each resource's last word: `started` (and never heard of again), `done` or `failed`.
        fault: why it did not end well; None when it did.
    """

    outcomes: Mapping[str, str]
    fault: Fault | None
    seconds: float


class Engine(Protocol):
    """A Terraform-compatible program. Every method raises `EnvironmentFault` with the contract's kind on failure."""

    def version(self) -> ToolVersion:
        """What is run; asked once."""
        ...

    def prepare(self, work: WorkingDirectory, closure_key: str, *, force: bool = False) -> float:
        """Run `init` if the data directory was not made ready for just this; gives the seconds it took.

        Args:
            closure_key: the closure's `init_key`.
            force: run it in any case.
        """
        ...

    def forget_secrets(self, work: WorkingDirectory) -> None:
        """Delete what `init` recorded of the backend if it holds a credential; the next `prepare` inits again."""
        ...

    def backend(self, work: WorkingDirectory) -> Backend | None:
        """The backend that `init` recorded; None where the configuration names none (local state)."""
        ...

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        """Plan into a file, without a state lock unless a lock timeout is given."""
        ...

    def show(self, work: WorkingDirectory, plan_file: Path) -> tuple[bytes, float]:
        """A plan file as JSON text, and the seconds it took."""
        ...

    def state_identity(self, work: WorkingDirectory) -> StateIdentity:
        """The state's identity now."""
        ...

    def apply(
        self,
        work: WorkingDirectory,
        plan_file: Path,
        *,
        lock_timeout_seconds: float | None,
        on_start: Callable[[int], None],
        on_outcome: Callable[[str, str], None],
    ) -> ApplyRun:
        """Apply a saved plan. Failure of single resources is an answer, not an exception.

        Args:
            lock_timeout_seconds: how long to wait for the state lock; None when the caller holds it.
            on_start: called with the process group of what runs.
            on_outcome: called with a resource's address and what became of it: `started`, `done` or `failed`.
        """
        ...

    def force_unlock(self, work: WorkingDirectory, lock_id: str) -> None:
        """Release a state lock with the tool's own command."""
        ...

    def providers(self, work: WorkingDirectory) -> Mapping[str, str]:
        """Provider addresses and versions that `init` selected."""
        ...


@dataclass(frozen=True, slots=True)
class LockInfo:
    """Who holds a state lock."""

    id: str
    who: str
    operation: str
    created: str

    def __str__(self) -> str:
        return f"{self.id}, held by {self.who or 'somebody'} since {self.created} ({self.operation})"


class StateLock(Protocol):
    """The lock of one state, taken under an id that is known before it is taken."""

    def take(self, lock_id: str, timeout_seconds: float) -> None:
        """Take it, waiting for another holder as long as told; `TransientFault` (`locked`) after that."""
        ...

    def release(self, lock_id: str) -> bool:
        """Release it if its id is this one; whether it was."""
        ...

    def holder(self) -> LockInfo | None:
        """Who holds it now."""
        ...
