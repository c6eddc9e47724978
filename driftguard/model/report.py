"""The contract's JSON report, version 1, as structs: what is printed, recorded, sent, and read back from the ledger.

Every field is written under its own name, in this order. Words (verdicts, labels, reasons, kinds of errors) are plain
text here, so that those of a newer DriftGuard are read and shown as they are; unknown fields are left out. Missing
fields have defaults: a ledger of an older version has fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from driftguard.model.reasons import Reason
from driftguard.model.traces import Trace
from driftguard.model.words import OUTSIDE

#: What stands in the place of a value where the object or attribute does not exist.
ABSENT_VALUE: Final = "absent"


class AttributeReport(Struct, frozen=True):
    """One changed attribute; the empty path stands for the object's existence.

    Attributes:
        state, reality, desired, baseline: redacted JSON values; `absent` where there is none.
        unknown: the desired value is known only after apply.
        rule: the test that gave the label, in the contract's letters.
        causes: addresses that a `derived` value follows from; of `pending` and `input` the version of a module or
            provider, or the variables, as far as they are known.
        ignored_by: the ignore rule that made it `noise`.
        mirrors: the path of the attribute that this one only repeats.
    """

    path: str
    label: str = ""
    state: Any = None
    reality: Any = None
    desired: Any = None
    sensitive: bool = False
    unknown: bool = False
    forces_replacement: bool = False
    certain: bool = True
    rule: str = ""
    baseline: Any = None
    baseline_known: bool = False
    causes: tuple[str, ...] = ()
    ignored_by: str | None = None
    mirrors: str | None = None


class InvocationReport(Struct, frozen=True):
    """One action that an apply would invoke; `trigger` is the resource whose change does so.

    Attributes:
        not_run: an earlier apply was to invoke it, and it failed or did not run.
    """

    address: str
    trigger: str | None = None
    label: str = ""
    not_run: bool = False


class ResourceReport(Struct, frozen=True):
    """One labelled resource instance.

    Attributes:
        actions: Terraform's own words.
        attributes_omitted: how many attributes an alert's excerpt leaves out.
        tags: its tags or labels, by which alerts may be routed.
        changed_by: the event that probably changed it; printed, never recorded.
    """

    address: str
    type: str = ""
    provider: str = ""
    actions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    certain: bool = True
    previous_address: str | None = None
    deposed: str | None = None
    action_reason: str | None = None
    attributes: tuple[AttributeReport, ...] = ()
    attributes_omitted: int | UnsetType = UNSET
    tags: dict[str, str] | UnsetType = UNSET
    changed_by: Trace | UnsetType = UNSET

    @property
    def changed_outside(self) -> bool:
        """Whether any of it was changed outside Terraform, or left behind by a failed apply."""
        return not OUTSIDE.isdisjoint(self.labels)

    @property
    def deleted_outside(self) -> bool:
        """Whether the object was deleted outside Terraform."""
        return any(a.path == "" and a.reality == ABSENT_VALUE and a.label in OUTSIDE for a in self.attributes)


class OutputReport(Struct, frozen=True):
    """One root output whose value would change."""

    name: str
    label: str = ""
    sensitive: bool = False
    certain: bool = True
    rule: str = ""


class CommitReport(Struct, frozen=True):
    """One commit behind `pending`; `date` is RFC 3339."""

    sha: str
    author: str = ""
    date: str = ""
    subject: str = ""


class DecisionReport(Struct, frozen=True):
    """What is done, and why.

    Attributes:
        stated: the reasons in their JSON form, `name` or `name: detail`.
    """

    action: str = ""
    stated: tuple[str, ...] = msgspec.field(default=(), name="reasons")

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons, in order."""
        return tuple(map(Reason.parse, self.stated))


class ErrorReport(Struct, frozen=True):
    """Why the verdict is unknown."""

    kind: str = ""
    message: str = ""


class BaselineReport(Struct, frozen=True):
    """The baseline's commit, and where it comes from: `apply`, `in_sync` or `given`; None before the first."""

    commit: str | None = None
    origin: str | None = msgspec.field(default=None, name="from")


class SecondsReport(Struct, frozen=True):
    """Durations of the steps, in seconds."""

    init: float = 0.0
    plan: float = 0.0
    show: float = 0.0
    total: float = 0.0


class ApprovedReport(Struct, frozen=True):
    """The approved point: the commit up to which every commit of the closure was approved; None where none was."""

    commit: str | None = None


class AckReport(Struct, frozen=True):
    """The operator's word that an environment's alerts are known, or that they are silenced; `until` is RFC 3339."""

    by: str = ""
    until: str | None = None
    reason: str = ""


class UpstreamReport(Struct, frozen=True):
    """A unit whose outputs an environment gets, and those that changed since the environment was last in sync."""

    unit: str
    environment: str | None = None
    lineage: str | None = None
    serial: int | None = None
    changed: tuple[str, ...] = ()


class EnvironmentReport(Struct, frozen=True):
    """One environment of a run.

    Attributes:
        checked_by: `plan`, or `probe` where the last plan was found to stand still.
        planned_at: when that plan was made; None without one.
        cpu_seconds: of all programs that were run for it.
        plan_url: the page of the run on a platform that made the plan.
        upstream: the units whose outputs the plan was made with.
        tool: product and version of the program that planned it, such as `OpenTofu 1.12.6`.
        warnings: sentences about what could not be read exactly.
        resources_omitted: how many resources an alert's excerpt leaves out.
        commit: the commit that was planned; part of a ledger row and of an alert's excerpt.
    """

    name: str = ""
    path: str = ""
    workspace: str = ""
    verdict: str = ""
    closure_hash: str = ""
    closure_open: tuple[str, ...] = ()
    baseline: BaselineReport = BaselineReport()
    approved: ApprovedReport = ApprovedReport()
    checked_by: str = "plan"
    planned_at: str | None = None
    cpu_seconds: float = 0.0
    drift_fingerprint: str | None = None
    plan_fingerprint: str | None = None
    invocations: tuple[InvocationReport, ...] = ()
    resources: tuple[ResourceReport, ...] = ()
    outputs: tuple[OutputReport, ...] = ()
    commits: tuple[CommitReport, ...] = ()
    decision: DecisionReport = DecisionReport()
    error: ErrorReport | None = None
    seconds: SecondsReport = SecondsReport()
    owner: str | None = None
    warnings: tuple[str, ...] = ()
    resources_omitted: int | UnsetType = UNSET
    commit: str | UnsetType = UNSET
    acked: AckReport | None = None
    plan_url: str | None = None
    upstream: tuple[UpstreamReport, ...] = ()
    tool: str | None = None

    @property
    def error_kind(self) -> str:
        """The contract's `error.kind`; empty without an error."""
        return self.error.kind if self.error is not None else ""


class EnvironmentListing(Struct, frozen=True):
    """One environment of `driftguard environments`: its closure, by git object ids, and the tool that would plan it.

    `runs` is the code that runs while a Terragrunt unit is read or planned.
    `fault` is why it cannot be planned; nothing of its closure is known then. `not_probed` is what keeps it from being
    probed, where that was asked for.
    """

    name: str
    path: str
    workspace: str
    closure_hash: str = ""
    tool: str = ""
    modules: tuple[str, ...] = ()
    remote_sources: tuple[str, ...] = ()
    files: dict[str, str] = {}
    closure_open: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    fault: str | None = None
    not_probed: tuple[str, ...] | UnsetType = UNSET


class UncoveredPlace(Struct, frozen=True):
    """A directory, or a workspace or var file of one, that looks like an environment and that no entry covers."""

    path: str
    workspace: str


class CauseReport(Struct, frozen=True):
    """Why several environments are `unknown`: the message of the first of them, the next step, their names."""

    kind: str
    message: str
    remedy: str = ""
    environments: tuple[str, ...] = ()


class AlertCounts(Struct, frozen=True):
    """What a run delivered: how many messages, replies and events were sent, and how many are not delivered yet."""

    sent: dict[str, int] = {}
    waiting: int = 0


class ProbeCounts(Struct, frozen=True):
    """What the probes of a run found.

    Attributes:
        looked: environments that were probed.
        answered: those that needed no plan.
        differed: those of which something is another than at their last plan.
        audited: those found the same that were planned all the same; `wrong`: of these, the plan was another one.
        false_alarms: a provider answered otherwise, and the plan found the environment in sync.
        cpu_seconds: of the providers.
    """

    looked: int = 0
    answered: int = 0
    differed: int = 0
    audited: int = 0
    wrong: int = 0
    false_alarms: int = 0
    cpu_seconds: float = 0.0


class RunReport(Struct, frozen=True):
    """One run over a repository; `environments` is sorted by name, moments are RFC 3339."""

    version: int = 1
    run: str = ""
    repository: str = ""
    ref: str = ""
    commit: str = ""
    started_at: str = ""
    finished_at: str = ""
    summary: dict[str, int] = {}
    environments: tuple[EnvironmentReport, ...] = ()
    warnings: tuple[str, ...] = ()
    alerts: AlertCounts | None = None
    uncovered: tuple[UncoveredPlace, ...] = ()
    causes: tuple[CauseReport, ...] = ()
    probe: ProbeCounts | None = None


def read_environment(data: Mapping[str, Any]) -> EnvironmentReport:
    """An environment's report from its JSON object, such as the data of a `scanned` row of any version.

    Raises:
        ValueError: a field that is known has another type.
    """
    return msgspec.convert(data, EnvironmentReport)
