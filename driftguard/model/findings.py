"""What is found out about an environment: labelled changes, decisions, reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from driftguard.model.reasons import Reason
from driftguard.model.report import AlertCounts, ProbeCounts
from driftguard.model.sources import Baseline, Commit
from driftguard.model.traces import DriftedObject
from driftguard.model.units import UpstreamRow
from driftguard.model.words import Action, ErrorKind, Label, Verdict
from driftguard.sealed import Sealed


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """One changed attribute with its four values and the rule that gave the label.

    Attributes:
        path: dotted path with indices, e.g. `tags.owner`, `versioning[0].enabled`; the empty path stands for
            the object's existence; a path that ends in `[]` is one element of a list or set.
        rule: the test that fired, in the contract's letters, e.g. `S≠R, D=S`.
        causes: addresses whose change a `derived` value follows from, if the plan names them; the version of a module
            or provider, or the variables, behind what is `pending` or `input`, as far as they are known.
        ignored_by: the ignore rule that made it `noise`, as the user wrote it.
        mirrors: the path of the attribute that this one only repeats, and whose label it has.
        moves: whether the desired value is another one in each plan or checkout.
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
    mirrors: str | None = None
    moves: bool = False

    @property
    def sensitive(self) -> bool:
        """Whether any of its values is a secret, so that none is shown."""
        return self.state.secret or self.reality.secret or self.desired.secret


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One resource instance that is labelled. `actions` are Terraform's own words; empty where nothing is planned.

    `due_again`: an object that is due by the clock was so already at its creation. `made_with`: the attributes of an
    object that would be made whose values are other ones in each plan or checkout. `tags`: a mapping of text to text;
    None without any.
    """

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
    due_again: bool = False
    made_with: tuple[str, ...] = ()
    tags: Sealed | None = None


@dataclass(frozen=True, slots=True)
class OutputChange:
    """One root output whose value would change; `moves` as for an attribute."""

    name: str
    label: Label
    sensitive: bool
    certain: bool
    rule: str
    moves: bool = False


@dataclass(frozen=True, slots=True)
class Invocation:
    """One action that an apply would invoke, or that one should have invoked.

    Attributes:
        trigger: the resource whose change invokes it; None for none.
        not_run: an apply was to invoke it, and it failed or did not run; no plan invokes it again.
    """

    address: str
    trigger: str | None
    label: Label
    not_run: bool = False

    @property
    def key(self) -> str:
        """Distinguishes it from the others of a plan."""
        return invocation_key(self.address, self.trigger)


def invocation_key(address: str, trigger: str | None) -> str:
    """An action with the resource that invokes it, as the record of an apply names it."""
    return f"{address} {trigger or ''}".strip()


@dataclass(frozen=True, slots=True)
class Classification:
    """The result of `classify` for one plan.

    Attributes:
        drift_fingerprint: identifies this drift (see `model.fingerprints`); None without drift.
        plan_fingerprint: identifies exactly what an apply would do; None where nothing is planned.
        resource_count: managed resource instances known to the plan, the base of `limits.share`.
        invocations: actions that an apply would invoke, in the plan's order.
    """

    verdict: Verdict
    resources: tuple[ResourceChange, ...]
    outputs: tuple[OutputChange, ...]
    drift_fingerprint: str | None
    plan_fingerprint: str | None
    resource_count: int = 0
    invocations: tuple[Invocation, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done about a verdict, and why."""

    action: Action
    reasons: tuple[Reason, ...]


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


PLAN: Final = "plan"
PROBE: Final = "probe"


@dataclass(frozen=True, slots=True)
class EnvironmentResult:
    """The result of one environment in one run.

    Attributes:
        drifted: the AWS objects that were changed outside Terraform, as CloudTrail may know them.
        reverted: the same environment as it was found, where an apply of this run reverted drift in it.
        approved: the approved point: the commit up to which everything was approved; None where nothing was.
        closure_open: why the closure cannot be known completely.
        closure_files: the paths of its closure, sorted; for the journal.
        inputs: the facts behind the decision as JSON, for the journal; None where none was made.
        owner: the team or person that the environment belongs to; None where that is not known.
        checked_by: `plan` or `probe`.
        planned_at: when the plan was made that the result rests on; None without one.
        cpu_seconds: of all programs that were run for it.
        plan_url: the page of the run on a platform that made the plan; None for a plan made here.
        upstream: the units whose outputs the plan was made with.
        confirms: the number of the journal's entry whose report this one repeats; None where it has its own.
        tool: product and version of the program that planned, or would plan, such as `OpenTofu 1.12.6`; None where
            that is not known.
        probe_disagrees: its plan, an audit, is another one than the plan that a probe found to stand still.
    """

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
    drifted: tuple[DriftedObject, ...] = ()
    inputs: Mapping[str, Any] | None = None
    approved: str | None = None
    closure_open: tuple[str, ...] = ()
    closure_files: tuple[str, ...] = ()
    reverted: EnvironmentResult | None = None
    checked_by: str = PLAN
    planned_at: datetime | None = None
    cpu_seconds: float = 0.0
    probe_disagrees: bool = False
    owner: str | None = None
    plan_url: str | None = None
    upstream: tuple[UpstreamRow, ...] = ()
    confirms: int | None = None
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of one run over a repository; `environments` is sorted by name."""

    run_id: str
    repository: str
    ref: str
    commit: str
    started_at: datetime
    finished_at: datetime
    environments: tuple[EnvironmentResult, ...]
    warnings: tuple[str, ...] = ()
    alerts: AlertCounts | None = None
    probe: ProbeCounts | None = None

    @property
    def summary(self) -> dict[Verdict, int]:
        """The number of environments with each verdict, zeros included."""
        return {verdict: sum(e.verdict is verdict for e in self.environments) for verdict in Verdict}
