"""The vocabulary: frozen values that flow through a pass, named as in the contract. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from driftguard.sealed import Sealed


class Label(StrEnum):
    """The cause of one changed attribute or resource."""

    DRIFT = "drift"
    ABSORBED = "absorbed"
    PENDING = "pending"
    CONFLICT = "conflict"
    ADOPTED = "adopted"
    INPUT = "input"
    DERIVED = "derived"
    RESIDUE = "residue"
    REFACTOR = "refactor"
    NOISE = "noise"


class Verdict(StrEnum):
    """What an environment is."""

    IN_SYNC = "in_sync"
    DRIFTED = "drifted"
    PENDING = "pending"
    DIVERGED = "diverged"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """What is done about a verdict."""

    NONE = "none"
    ALERT = "alert"
    PROPOSE = "propose"
    APPLY = "apply"
    HOLD = "hold"


class ErrorKind(StrEnum):
    """Why a verdict is unknown (`error.kind`)."""

    INIT = "init"
    PLAN = "plan"
    TIMEOUT = "timeout"
    LOCKED = "locked"
    DENIED = "denied"
    THROTTLED = "throttled"
    PARTIAL = "partial"
    STATE_MOVED = "state_moved"
    CONFIG = "config"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


# --- git -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a commit's tree.

    Attributes:
        mode: git's octal file mode as text, such as `100644`, `120000` (symbolic link), `160000` (submodule).
        object_id: the git object id (hex).
    """

    mode: str
    object_id: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, as reports show it."""

    sha: str
    author: str
    date: datetime
    subject: str


class Signature(StrEnum):
    """What is known of a commit's signature."""

    GOOD = "good"
    UNSIGNED = "unsigned"
    UNTRUSTED = "untrusted"
    EXPIRED = "expired"
    REVOKED = "revoked"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class SignedBy:
    """A verified signature: its status, and whose it is where that is known."""

    status: Signature
    signer: str | None = None


# --- environments --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolVersion:
    """A Terraform-compatible program: `product` is `terraform` or `tofu`, `path` what is executed."""

    product: str
    version: str
    path: str

    def __str__(self) -> str:
        return f"{self.product} {self.version}"


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """One `module` block's source as written, e.g. `../../modules/network` or `app.terraform.io/acme/vpc/aws`."""

    name: str
    source: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What one Terraform file says about other files.

    Attributes:
        init_facts: canonical text of everything in it that `terraform init` depends on.
        paths: paths that it mentions, relative to its directory; where one goes on with something that is known
            only to Terraform, the directory up to there.
        root_paths: the same, relative to the root module's directory, which is where Terraform runs.
        problem: when the file could not be parsed and the facts are a conservative guess: a clause that says so,
            to follow the file's name.
    """

    modules: tuple[ModuleSource, ...] = ()
    init_facts: str = ""
    paths: tuple[str, ...] = ()
    root_paths: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Closure:
    """Every file that can change an environment's plan, at one commit.

    Attributes:
        files: repository path to git object id, sorted by path.
        modules: directories of local modules reached, sorted.
        remote_sources: module sources outside the repository, sorted.
        init_key: digest of what `terraform init` depends on (lock file, module calls, backend and provider
            requirements); equal keys mean that no commit asks for another init.
        warnings: one sentence for each file that could not be read exactly and was over-approximated.
    """

    files: Mapping[str, str]
    modules: tuple[str, ...]
    remote_sources: tuple[str, ...]
    init_key: str
    warnings: tuple[str, ...] = ()

    def hash(self, tool: str, workspace: str, var_files: tuple[str, ...]) -> str:
        """The closure hash: equal hashes mean that no commit changed the environment (hex, 64 digits)."""
        import hashlib

        import msgspec

        parts = [sorted(self.files.items()), tool, workspace, list(var_files)]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class Baseline:
    """The last known-good point of an environment.

    Attributes:
        commit: where it was last applied, or last seen in sync.
        origin: the contract's `baseline.from`: `apply`, `in_sync` or `given`.
        closure_hash: its closure hash then.
        lineage, serial: of the state then; None where the state had none.
        tool: product and version then, e.g. `terraform 1.11.4`.
        providers: provider address to version then.
        at: when (UTC).
    """

    commit: str
    origin: str
    closure_hash: str
    lineage: str | None
    serial: int | None
    tool: str
    providers: Mapping[str, str]
    at: datetime


# --- classification ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """One changed attribute with its four values and the rule that gave the label.

    Attributes:
        path: dotted path with indices, e.g. `tags.owner`, `versioning[0].enabled`; the empty path stands for
            the object's existence; a path that ends in `[]` is one element of a list or set.
        rule: the test that fired, in the contract's letters, e.g. `S≠R, D=S`.
        causes: addresses whose change a `derived` value follows from, where the plan tells.
        ignored_by: the ignore rule that made it `noise`, as the user wrote it.
    """

    path: str
    label: Label
    state: Sealed
    reality: Sealed
    desired: Sealed
    baseline: Sealed | None
    rule: str
    certain: bool = True
    unknown: bool = False
    forces_replacement: bool = False
    causes: tuple[str, ...] = ()
    ignored_by: str | None = None

    @property
    def sensitive(self) -> bool:
        return self.state.secret or self.reality.secret or self.desired.secret


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One resource instance that is labelled. `actions` are Terraform's own words; empty where nothing is planned."""

    address: str
    type: str
    provider: str
    actions: tuple[str, ...]
    labels: frozenset[Label]
    certain: bool
    attributes: tuple[AttributeChange, ...]
    previous_address: str | None = None
    deposed: str | None = None
    action_reason: str | None = None


@dataclass(frozen=True, slots=True)
class OutputChange:
    """One root output whose value would change."""

    name: str
    label: Label
    sensitive: bool
    certain: bool
    rule: str


@dataclass(frozen=True, slots=True)
class Classification:
    """What `classify` says of one plan.

    Attributes:
        drift_fingerprint: identifies this drift (hex); None without drift.
        plan_fingerprint: identifies exactly what an apply would do (hex); None where nothing is planned.
        resource_count: managed resource instances known to the plan, the base of `limits.share`.
    """

    verdict: Verdict
    resources: tuple[ResourceChange, ...]
    outputs: tuple[OutputChange, ...]
    drift_fingerprint: str | None
    plan_fingerprint: str | None
    resource_count: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done about a verdict. `reasons` are stable names, each optionally followed by `: detail`."""

    action: Action
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seconds:
    """Durations of one environment's steps, in seconds."""

    init: float = 0.0
    plan: float = 0.0
    show: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a verdict is unknown: the contract's `error` object."""

    kind: ErrorKind
    message: str


@dataclass(frozen=True, slots=True)
class EnvironmentReport:
    """Everything one pass says of one environment."""

    name: str
    path: str
    workspace: str
    verdict: Verdict
    closure_hash: str
    baseline: Baseline | None
    decision: Decision
    classification: Classification | None = None
    commits: tuple[Commit, ...] = ()
    fault: Fault | None = None
    seconds: Seconds = Seconds()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything one pass says of a repository; `environments` is sorted by name."""

    run_id: str
    repository: str
    ref: str
    commit: str
    started_at: datetime
    finished_at: datetime
    environments: tuple[EnvironmentReport, ...]
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[Verdict, int]:
        return {verdict: sum(e.verdict is verdict for e in self.environments) for verdict in Verdict}


# --- the ledger ----------------------------------------------------------------------------------


class EntryKind(StrEnum):
    """What a ledger entry records."""

    RUN_STARTED = "run_started"
    RUN_FINISHED = "run_finished"
    SCANNED = "scanned"
    BASELINE_MOVED = "baseline_moved"
    ATTEMPT_OPENED = "attempt_opened"
    ATTEMPT_PROGRESS = "attempt_progress"
    ATTEMPT_FINISHED = "attempt_finished"
    RETRY_REQUESTED = "retry_requested"
    ENVIRONMENT_FORGOTTEN = "environment_forgotten"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the append-only, hash-chained journal.

    `data` is JSON-able and redacted before it gets here. `sequence` and `hash` are assigned by the ledger.
    """

    kind: EntryKind
    at: datetime
    run_id: str
    environment: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    sequence: int | None = None
    hash: str | None = None


@dataclass(frozen=True, slots=True)
class ChainFault:
    """One place where the journal's hash chain does not hold."""

    sequence: int
    message: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one holder to act on one environment until `expires_at` (UTC)."""

    environment: str
    holder: str
    expires_at: datetime


class AttemptState(StrEnum):
    """How far an apply got. `open` without an end is an apply whose process died."""

    OPEN = "open"
    APPLYING = "applying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One apply, opened before anything changes.

    Unique on environment, commit, plan fingerprint and retry, not counting void attempts: they changed nothing.
    `retry` counts up when the same apply is tried again after a failure.
    """

    id: str
    environment: str
    commit: str
    plan_fingerprint: str
    drift_fingerprint: str | None
    run_id: str
    state: AttemptState
    opened_at: datetime
    finished_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    retry: int = 0
