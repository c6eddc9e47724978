"""The JSON report, version 1: the only place where classified values become printable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from driftguard.model import (
    AttributeChange,
    Baseline,
    EnvironmentResult,
    OutputChange,
    ResourceChange,
    RunResult,
)
from driftguard.sealed import reveal

_MAX_VALUE_LENGTH: Final = 60


def run_json(report: RunResult) -> dict[str, Any]:
    """A run as the contract's JSON object."""
    return {
        "version": 1,
        "run": report.run_id,
        "repository": report.repository,
        "ref": report.ref,
        "commit": report.commit,
        "started_at": timestamp(report.started_at),
        "finished_at": timestamp(report.finished_at),
        "summary": {verdict.value: count for verdict, count in report.summary.items()},
        "environments": [environment_json(environment) for environment in report.environments],
        "warnings": list(report.warnings),
        "alerts": {"sent": dict(report.alerts.sent), "waiting": report.alerts.waiting} if report.alerts else None,
    }


def environment_json(report: EnvironmentResult) -> dict[str, Any]:
    """One environment as the contract's JSON object; also what the ledger keeps of it."""
    classification = report.classification
    fault = report.fault
    return {
        "name": report.name,
        "path": report.path,
        "workspace": report.workspace,
        "verdict": report.verdict.value,
        "closure_hash": report.closure_hash,
        "baseline": _baseline(report.baseline),
        "drift_fingerprint": classification.drift_fingerprint if classification else None,
        "plan_fingerprint": classification.plan_fingerprint if classification else None,
        "resources": [_resource(resource) for resource in classification.resources] if classification else [],
        "outputs": [_output(output) for output in classification.outputs] if classification else [],
        "commits": [
            {
                "sha": commit.sha,
                "author": commit.author,
                "date": timestamp(commit.date),
                "subject": commit.subject,
            }
            for commit in report.commits
        ],
        "decision": {"action": report.decision.action.value, "reasons": list(report.decision.reasons)},
        "error": {"kind": fault.kind.value, "message": fault.message} if fault else None,
        "seconds": {
            "init": round(report.seconds.init, 3),
            "plan": round(report.seconds.plan, 3),
            "show": round(report.seconds.show, 3),
            "total": round(report.seconds.total, 3),
        },
        "warnings": list(report.warnings),
    }


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, with `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def shorten(value: Any) -> str:
    """A value on one line, at most 60 characters."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= _MAX_VALUE_LENGTH else text[: _MAX_VALUE_LENGTH - 1] + "…"


def _baseline(baseline: Baseline | None) -> dict[str, Any]:
    return {"commit": baseline.commit if baseline else None, "from": baseline.origin if baseline else None}


def _resource(resource: ResourceChange) -> dict[str, Any]:
    return {
        "address": resource.address,
        "type": resource.type,
        "provider": resource.provider,
        "actions": list(resource.actions),
        "labels": sorted(label.value for label in resource.labels),
        "certain": resource.certain,
        "previous_address": resource.previous_address,
        "deposed": resource.deposed,
        "action_reason": resource.action_reason,
        "attributes": [_attribute(attribute) for attribute in resource.attributes],
    }


def _attribute(attribute: AttributeChange) -> dict[str, Any]:
    baseline = attribute.baseline
    return {
        "path": attribute.path,
        "label": attribute.label.value,
        "state": reveal(attribute.state, attribute.path),
        "reality": reveal(attribute.reality, attribute.path),
        "desired": reveal(attribute.desired, attribute.path),
        "sensitive": attribute.sensitive,
        "unknown": attribute.unknown,
        "forces_replacement": attribute.forces_replacement,
        "certain": attribute.certain,
        "rule": attribute.rule,
        "baseline": None if baseline is None else reveal(baseline, attribute.path),
        "baseline_known": baseline is not None,
        "causes": list(attribute.causes),
        "ignored_by": attribute.ignored_by,
    }


def _output(output: OutputChange) -> dict[str, Any]:
    return {
        "name": output.name,
        "label": output.label.value,
        "sensitive": output.sensitive,
        "certain": output.certain,
        "rule": output.rule,
    }
