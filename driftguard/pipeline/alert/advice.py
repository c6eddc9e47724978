"""What DriftGuard does about an alert, and what the reader can do: at most three commands and links. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from driftguard.model import Action, Alert, AlertKind, StepText, Verdict
from driftguard.model.reasons import Reason, ReasonName
from driftguard.model.report import EnvironmentReport
from driftguard.model.words import ADOPTABLE, Label
from driftguard.pipeline.alert.guides import Guidance, console_url, runbook_url
from driftguard.pipeline.alert.lines import quiet
from driftguard.pipeline.alert.titles import passes, removed
from driftguard.pipeline.consequences import destructive, holds_data, rank

MAX_STEPS: Final = 3
_GONE: Final = "DriftGuard destroys nothing. Destroy what remains from an older commit, or restore the directory."
_PLAIN: Final = frozenset({Label.DRIFT, Label.ABSORBED, Label.RESIDUE, Label.DERIVED, Label.NOISE, Label.RESTLESS})
_ACTIONS: Final[Mapping[str, str]] = {
    Action.NONE: "DriftGuard does nothing.",
    Action.ALERT: "DriftGuard changes nothing.",
    Action.PROPOSE: "DriftGuard proposes a pull request.",
    Action.APPLY: "DriftGuard applied it.",
    Action.HOLD: "On hold: manual action required.",
}


def steps(alert: Alert, count: int, guidance: Guidance) -> tuple[StepText, ...]:
    """What a reader can do about an open alert, most useful first.

    Args:
        count: the number of environments that share the message.
    """
    return tuple(islice(_steps(alert, count, guidance), MAX_STEPS))


def _steps(alert: Alert, count: int, guidance: Guidance) -> Iterator[StepText]:
    report, name = alert.report, shlex.quote(alert.environment)
    if alert.kind is AlertKind.PROBE:
        yield StepText("Once the cause is known, to probe again", f"driftguard retry {name}")
        return
    yield from _proposal(report, guidance)
    if alert.kind is AlertKind.UNKNOWN and removed(report):
        if count == 1:
            yield StepText("Once nothing remains", f"driftguard forget {name}")
    elif alert.failure is not None:
        yield StepText("What failed", f"driftguard explain {name}")
        yield StepText("After the cause is fixed", f"driftguard retry {name}")
    elif count == 1 and not alert.gone:
        yield from _manual_apply(alert, guidance)
    yield from _pages(alert, guidance)
    if alert.failure is None:
        yield StepText(f"Details of {alert.environment}" if count > 1 else "Details", f"driftguard explain {name}")
    if count > 1:
        yield StepText("All environments", "driftguard status")


def _proposal(report: EnvironmentReport, guidance: Guidance) -> Iterator[StepText]:
    """The pull request that is open; where the forge has none, the command that merges its branch."""
    for reason in report.decision.reasons:
        if reason.name not in (ReasonName.PROPOSED, ReasonName.PROPOSAL_WAITS) or not reason.detail:
            continue
        if reason.detail.startswith(("http://", "https://")):
            yield StepText("Review the pull request", url=reason.detail)
            return
        if reason.name == ReasonName.PROPOSED:
            branch = shlex.quote(guidance.branch)
            merge = f"git fetch origin {shlex.quote(reason.detail)} && git merge FETCH_HEAD && git push"
            yield StepText("Approve", f"git switch {branch} && git pull && {merge}")
            return


def _manual_apply(alert: Alert, guidance: Guidance) -> Iterator[StepText]:
    """The apply by hand, where it does exactly what the alert is about and destroys nothing."""
    report, guide = alert.report, guidance.guides.get(alert.environment)
    if guide is None or guide.apply is None or alert.kind is AlertKind.UNKNOWN or not _may_apply(report):
        return
    if alert.kind is AlertKind.PENDING:
        yield StepText("Apply", guide.apply)
    elif report.verdict == Verdict.DRIFTED and all(_PLAIN.issuperset(r.labels) for r in report.resources):
        deleted = all(r.deleted_outside for r in report.resources if r.changed_outside)
        yield StepText("Re-create" if deleted else "Revert", guide.apply)


def _may_apply(report: EnvironmentReport) -> bool:
    """Whether an apply by hand undoes nothing that DriftGuard or a reviewer is about to do, and loses nothing."""
    proposed = any(reason.name == ReasonName.PROPOSED for reason in report.decision.reasons)
    losing = any(holds_data(r) or not r.deleted_outside for r in destructive(report.resources))
    return not proposed and not losing and report.decision.action not in (Action.HOLD, Action.APPLY)


def _pages(alert: Alert, guidance: Guidance) -> Iterator[StepText]:
    """The runbook, and the worst resource in the cloud's console."""
    resources = sorted(alert.report.resources, key=rank)
    worst = next((r for r in resources if r.changed_outside), resources[0] if resources else None)
    values = {"environment": alert.environment, "kind": alert.kind.value}
    if worst is not None:
        values |= {"type": worst.type, "address": worst.address}
    url = runbook_url(guidance.runbook, values)
    if url is not None:
        yield StepText("Runbook", url=url)
    if worst is not None and not worst.deleted_outside:
        trace = alert.traces.get(worst.address)
        page = console_url(trace.arn if trace is not None else None)
        if page is not None:
            yield StepText("Open in the AWS console", url=page)


# --- what happens next ---------------------------------------------------------------------------


def decision(alert: Alert) -> Iterator[str]:
    """What DriftGuard does about an open alert and why, in sentences."""
    report, reasons = alert.report, alert.report.decision.reasons
    if alert.acked is not None:
        yield f"Acknowledged {alert.acked.text}. No reminder is sent until that ends, or until it becomes worse."
    if alert.damping is not None and alert.comes_and_goes:
        yield quiet(alert.damping)
    if alert.gone:
        return
    if alert.kind is AlertKind.PROBE:
        yield "Every environment that uses the provider is planned instead. No verdict rests on a probe of it any more."
        return
    if alert.kind is AlertKind.UNKNOWN and (removed(report) or report.error):
        yield _GONE if removed(report) else "Nothing is changed until the plan works again; the next run retries."
        return
    yield from _decided(alert, reasons)
    if alert.failure is not None:
        yield f"The apply failed: {' '.join(alert.failure.split())}"
    elif alert.kind is AlertKind.DRIFT and report.verdict == Verdict.DRIFTED:
        yield from _keeping(report)


def _decided(alert: Alert, reasons: Sequence[Reason]) -> Iterator[str]:
    alert_only = [reason.detail for reason in reasons if reason.name == ReasonName.POLICY_ALERT]
    rest = [reason for reason in reasons if reason.name != ReasonName.POLICY_ALERT and not reason.silent]
    yield _action(alert.report, alert_only, rest)
    for reason in rest:
        if reason.name == ReasonName.PROPOSED:
            yield "Merge it to approve the plan, or close it to decline."
        elif reason.name != ReasonName.APPLY_FAILED:
            yield reason.text.replace(" ENV`", f" {shlex.quote(alert.environment)}`")


def _keeping(report: EnvironmentReport) -> Iterator[str]:
    """How the configuration takes over what was changed outside Terraform."""
    drifted = [resource for resource in report.resources if resource.changed_outside]
    if drifted and all(resource.deleted_outside for resource in drifted):
        yield f"To keep the deletion, remove the resource from {report.path} and merge that."
    elif not all(ADOPTABLE.isdisjoint(resource.labels) for resource in drifted):
        yield f"To keep the outside change, write the current values into {report.path} and merge that."


def _action(report: EnvironmentReport, alert_only: Sequence[str], rest: Sequence[Reason]) -> str:
    """What DriftGuard does, in one sentence."""
    action = report.decision.action
    if any(reason.name == ReasonName.APPLY_FAILED for reason in rest):
        return "DriftGuard tried to apply it; it retries after the backoff."
    if alert_only and not rest:
        policies = " and ".join(f"`policy.{group}: alert`" for group in alert_only)
        return f"DriftGuard changes nothing, because of {policies}."
    if action == Action.HOLD and passes(report):
        return "On hold until that ends."
    return _ACTIONS.get(action, f"DriftGuard's decision: {action}.")
