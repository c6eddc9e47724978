"""From results to the JSON report, version 1: the only place where classified values become printable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET

from driftguard.model import (
    AttributeChange,
    Baseline,
    EnvironmentResult,
    Invocation,
    OutputChange,
    ResourceChange,
    RunResult,
)
from driftguard.model.causes import Faulted, by_cause
from driftguard.model.report import (
    ApprovedReport,
    AttributeReport,
    BaselineReport,
    CauseReport,
    CommitReport,
    DecisionReport,
    EnvironmentReport,
    ErrorReport,
    InvocationReport,
    OutputReport,
    ResourceReport,
    RunReport,
    SecondsReport,
    UpstreamReport,
)
from driftguard.sealed import reveal

_MAX_VALUE_LENGTH: Final = 60


def run_report(result: RunResult) -> RunReport:
    """A run as the contract's JSON object."""
    environments = tuple(environment_report(environment) for environment in result.environments)
    return RunReport(
        run=result.run_id,
        repository=result.repository,
        ref=result.ref,
        commit=result.commit,
        started_at=timestamp(result.started_at),
        finished_at=timestamp(result.finished_at),
        summary={verdict.value: count for verdict, count in result.summary.items()},
        environments=environments,
        warnings=result.warnings,
        alerts=result.alerts,
        causes=tuple(causes(environments)),
        probe=result.probe,
    )


def causes(environments: Iterable[EnvironmentReport]) -> Iterator[CauseReport]:
    """Why environments have no verdict, those of most environments first."""
    faulted = (
        Faulted(each.name, each.path, each.workspace, each.error.kind, each.error.message)
        for each in environments
        if each.error is not None
    )
    return (CauseReport(c.kind, c.message, c.remedy, c.environments) for c in by_cause(faulted))


def environment_report(result: EnvironmentResult) -> EnvironmentReport:
    """One environment as the contract's JSON object; also what the ledger keeps of it."""
    classification, fault = result.classification, result.fault
    return EnvironmentReport(
        name=result.name,
        path=result.path,
        workspace=result.workspace,
        verdict=result.verdict.value,
        closure_hash=result.closure_hash,
        closure_open=result.closure_open,
        baseline=_baseline(result.baseline),
        approved=ApprovedReport(result.approved),
        checked_by=result.checked_by,
        planned_at=timestamp(result.planned_at) if result.planned_at else None,
        cpu_seconds=round(result.cpu_seconds, 3),
        drift_fingerprint=classification.drift_fingerprint if classification else None,
        plan_fingerprint=classification.plan_fingerprint if classification else None,
        invocations=tuple(map(_invocation, classification.invocations)) if classification else (),
        resources=tuple(map(_resource, classification.resources)) if classification else (),
        outputs=tuple(map(_output, classification.outputs)) if classification else (),
        commits=tuple(CommitReport(c.sha, c.author, timestamp(c.date), c.subject) for c in result.commits),
        decision=DecisionReport(result.decision.action.value, tuple(map(str, result.decision.reasons))),
        error=ErrorReport(fault.kind.value, fault.message) if fault else None,
        seconds=SecondsReport(
            init=round(result.seconds.init, 3),
            plan=round(result.seconds.plan, 3),
            show=round(result.seconds.show, 3),
            total=round(result.seconds.total, 3),
        ),
        warnings=result.warnings,
        owner=result.owner,
        plan_url=result.plan_url,
        tool=result.tool,
        upstream=tuple(UpstreamReport(r.unit, r.environment, r.lineage, r.serial, r.changed) for r in result.upstream),
    )


def run_json(result: RunResult) -> dict[str, Any]:
    """A run as plain JSON values."""
    plain: dict[str, Any] = msgspec.to_builtins(run_report(result))
    return plain


def environment_json(result: EnvironmentResult) -> dict[str, Any]:
    """One environment as plain JSON values."""
    plain: dict[str, Any] = msgspec.to_builtins(environment_report(result))
    return plain


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, with `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def shorten(value: Any) -> str:
    """A value on one line, at most 60 characters."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= _MAX_VALUE_LENGTH else text[: _MAX_VALUE_LENGTH - 1] + "…"


def _baseline(baseline: Baseline | None) -> BaselineReport:
    return BaselineReport(baseline.commit, baseline.origin) if baseline else BaselineReport()


def _resource(resource: ResourceChange) -> ResourceReport:
    return ResourceReport(
        address=resource.address,
        type=resource.type,
        provider=resource.provider,
        actions=resource.actions,
        labels=tuple(sorted(label.value for label in resource.labels)),
        certain=resource.certain,
        previous_address=resource.previous_address,
        deposed=resource.deposed,
        action_reason=resource.action_reason,
        attributes=tuple(map(_attribute, resource.attributes)),
        tags=UNSET if resource.tags is None else reveal(resource.tags, "tags"),
    )


def _attribute(attribute: AttributeChange) -> AttributeReport:
    baseline = attribute.baseline
    return AttributeReport(
        path=attribute.path,
        label=attribute.label.value,
        state=reveal(attribute.state, attribute.path),
        reality=reveal(attribute.reality, attribute.path),
        desired=reveal(attribute.desired, attribute.path),
        sensitive=attribute.sensitive,
        unknown=attribute.unknown,
        forces_replacement=attribute.forces_replacement,
        certain=attribute.certain,
        rule=attribute.rule,
        baseline=None if baseline is None else reveal(baseline, attribute.path),
        baseline_known=baseline is not None,
        causes=attribute.causes,
        ignored_by=attribute.ignored_by,
        mirrors=attribute.mirrors,
    )


def _invocation(invocation: Invocation) -> InvocationReport:
    return InvocationReport(invocation.address, invocation.trigger, invocation.label.value, invocation.not_run)


def _output(output: OutputChange) -> OutputReport:
    return OutputReport(
        name=output.name,
        label=output.label.value,
        sensitive=output.sensitive,
        certain=output.certain,
        rule=output.rule,
    )
