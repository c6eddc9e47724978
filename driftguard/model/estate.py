"""The estate in short: of each report what a list needs, and since when which resource has which label. Pure.

Both follow from the `scanned` entries of the journal; the ledger keeps them beside it, so that no reader has to go
through a year of reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from driftguard.model.ledger import Entry
from driftguard.model.report import EnvironmentReport
from driftguard.model.words import OUTSIDE, SETTLED, Verdict

_ACTING: Final = frozenset({"apply", "revert"})


class SuspensionRow(Struct, frozen=True):
    """The suspension in a policy: why, and until when (RFC 3339; None without an end)."""

    reason: str = ""
    until: str | None = None


class PolicyRow(Struct, frozen=True):
    """What a list shows of the policy of an environment."""

    pending: str = "alert"
    drift: str = "alert"
    input: str = "alert"
    suspended: SuspensionRow | None = None


class _PoliciesRow(Struct, frozen=True):
    policies: tuple[PolicyRow, ...] = ()


class _ScannedRow(Struct, frozen=True):
    inputs: _PoliciesRow = _PoliciesRow()


class Summary(Struct, frozen=True, omit_defaults=True):
    """One report of one environment, in short.

    Attributes:
        sequence: of its entry in the journal.
        since: since when the environment has not been in sync; None while it is. An `unknown` alone does not end it.
        labels: how many resources, outputs and actions have each label; while the verdict is `unknown`, those of the
            last report that had a verdict.
        commits: how many commits wait to be applied.
        destroys: how many objects an apply would delete or replace.
        reason: the first of the decision, in its JSON form.
        error: the contract's `error.kind`; empty without one.
        policy: None where the report does not have it (of a version before 0.2, or without a decision).
        planned_at: RFC 3339.
    """

    name: str
    at: datetime
    verdict: str
    sequence: int = 0
    path: str = ""
    workspace: str = ""
    owner: str | None = None
    commit: str = ""
    baseline: str | None = None
    since: datetime | None = None
    labels: dict[str, int] = {}
    commits: int = 0
    destroys: int = 0
    action: str = ""
    reason: str = ""
    error: str = ""
    checked_by: str = "plan"
    planned_at: str | None = None
    policy: PolicyRow | None = None

    @property
    def automatic(self) -> tuple[str, ...]:
        """The groups of labels (`pending`, `drift`, `input`) that the policy applies without a request."""
        policy = self.policy or PolicyRow()
        words = {"pending": policy.pending, "drift": policy.drift, "input": policy.input}
        return tuple(group for group, word in words.items() if word in _ACTING)


class Ending(StrEnum):
    """How an occurrence ended."""

    REPAIRED = "repaired"
    RELABELLED = "relabelled"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One label on one resource, from the first report that had it to the first that no longer had it.

    Attributes:
        address: of the resource; `output NAME` for an output.
        type: of the resource; `output` and `action` for those.
        opened_at: when the label was first reported.
        began_at: when the resource was first reported as changed outside Terraform, under whichever label; as
            `opened_at` for the other labels.
        closed_at, ending: None while it is open.
    """

    environment: str
    address: str
    label: str
    type: str
    owner: str | None
    opened_at: datetime
    began_at: datetime
    closed_at: datetime | None = None
    ending: Ending | None = None

    @property
    def repair_seconds(self) -> float | None:
        """How long a change outside Terraform stood until it was repaired; None for any other ending."""
        if self.closed_at is None or self.ending is not Ending.REPAIRED or self.label not in OUTSIDE:
            return None
        return (self.closed_at - self.began_at).total_seconds()

    @property
    def recurs(self) -> bool:
        """Whether it is a change of its own: the resource was not open under another label before."""
        return self.opened_at == self.began_at


@dataclass(frozen=True, slots=True)
class Moves:
    """What one report opens, and what it closes."""

    opened: tuple[Occurrence, ...] = ()
    closed: tuple[Occurrence, ...] = ()


def summary_of(entry: Entry, report: EnvironmentReport, before: Summary | None) -> Summary:
    """The summary of a `scanned` entry.

    Args:
        before: of the environment's report before this one.
    """
    known = report.verdict != Verdict.UNKNOWN
    since = entry.at if before is None or before.since is None else before.since
    labels = label_counts(report) if known else (before.labels if before is not None else {})
    return Summary(
        name=report.name or entry.environment or "",
        at=entry.at,
        verdict=report.verdict,
        sequence=entry.sequence or 0,
        path=report.path,
        workspace=report.workspace,
        owner=report.owner,
        commit=report.commit or "",
        baseline=report.baseline.commit,
        since=None if report.verdict == Verdict.IN_SYNC else since,
        labels=labels,
        commits=len(report.commits),
        destroys=sum("delete" in resource.actions for resource in report.resources),
        action=report.decision.action,
        reason=next(iter(report.decision.stated), ""),
        error=report.error_kind,
        checked_by=report.checked_by,
        planned_at=report.planned_at,
        policy=_policy(entry.data),
    )


def _policy(data: Mapping[str, Any]) -> PolicyRow | None:
    policies = msgspec.convert(data, _ScannedRow, strict=False).inputs.policies
    return policies[-1] if policies else None


def label_counts(report: EnvironmentReport) -> dict[str, int]:
    """How many resources, outputs and actions of a report have each label."""
    counts: dict[str, int] = {}
    labels = [label for resource in report.resources for label in resource.labels]
    labels += [output.label for output in report.outputs]
    labels += [invocation.label for invocation in report.invocations]
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    return counts


def followed(standing: Sequence[Occurrence], report: EnvironmentReport, at: datetime) -> Moves:
    """What a report opens and closes; nothing where its verdict is `unknown`, which neither proves nor ends anything.

    Args:
        standing: the environment's open occurrences.
        at: when the report was recorded.
    """
    if report.verdict == Verdict.UNKNOWN:
        return Moves()
    present = _present(report)
    outside = {address for address, label in present if label in OUTSIDE}
    began: dict[str, datetime] = {}
    for each in standing:
        if each.label in OUTSIDE:
            began[each.address] = min(each.began_at, began.get(each.address, each.began_at))
    known = {(each.address, each.label) for each in standing}
    opened = (
        Occurrence(
            environment=report.name,
            address=address,
            label=label,
            type=type_,
            owner=report.owner,
            opened_at=at,
            began_at=began.get(address, at) if label in OUTSIDE else at,
        )
        for (address, label), type_ in present.items()
        if (address, label) not in known
    )
    gone = (each for each in standing if (each.address, each.label) not in present)
    return Moves(tuple(opened), tuple(_closed(each, at, still=each.address in outside) for each in gone))


def forgotten(standing: Sequence[Occurrence], at: datetime) -> tuple[Occurrence, ...]:
    """The open occurrences of an environment that an operator made DriftGuard forget, closed."""
    return tuple(_ended(each, at, Ending.FORGOTTEN) for each in standing)


def _closed(occurrence: Occurrence, at: datetime, *, still: bool) -> Occurrence:
    relabelled = still and occurrence.label in OUTSIDE
    return _ended(occurrence, at, Ending.RELABELLED if relabelled else Ending.REPAIRED)


def _ended(occurrence: Occurrence, at: datetime, ending: Ending) -> Occurrence:
    # A moment before the opening is that of a wrong clock.
    return replace(occurrence, closed_at=max(at, occurrence.opened_at), ending=ending)


def _present(report: EnvironmentReport) -> dict[tuple[str, str], str]:
    """The types of what a report labels, by address and label; without what nothing is to be done about."""
    found = {
        (resource.address, label): resource.type
        for resource in report.resources
        for label in resource.labels
        if label not in SETTLED
    }
    found |= {(f"output {each.name}", each.label): "output" for each in report.outputs if each.label not in SETTLED}
    return found | {(each.address, each.label): "action" for each in report.invocations if each.label not in SETTLED}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run, in short.

    Attributes:
        finished_at: None while it runs, and for one that died.
        environments: how many it covers.
        verdicts: how many environments got which verdict.
        planned, probed: how many it looked at by a plan, and by a probe; None where a run of a version before 0.2 did
            not record that.
        cpu_seconds: of all programs that were run; None as before.
        errors: how many environments are `unknown` for which kind of error.
    """

    run: str
    sequence: int
    started_at: datetime
    commit: str = ""
    environments: int = 0
    finished_at: datetime | None = None
    verdicts: Mapping[str, int] = field(default_factory=dict)
    planned: int | None = None
    probed: int | None = None
    cpu_seconds: float | None = None
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it has no end."""
        return None if self.finished_at is None else (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class LabelDay:
    """How many resources got a label on a day, and how many lost it.

    Attributes:
        day: in UTC, as in `2026-11-28`; empty for everything before the days that were asked for.
    """

    day: str
    label: str
    opened: int
    closed: int


@dataclass(frozen=True, slots=True)
class Recurring:
    """One resource that was changed outside Terraform several times."""

    environment: str
    address: str
    type: str
    times: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class RunDay:
    """What the runs of one day looked at and cost.

    Attributes:
        day: in UTC, as in `2026-11-28`.
        looks: how many verdicts were given, those of probes included.
        probed: how many of them by a probe.
        unknown: how many of them are `unknown`.
        cpu_seconds: of all programs that were run.
        unrecorded: how many of the runs did not record how they looked; they count in `runs`, `looks` and `unknown`.
    """

    day: str
    runs: int
    looks: int
    probed: int
    unknown: int
    cpu_seconds: float
    unrecorded: int
