"""What is sent: alerts as messages of plain text, and as events for machines.

Takes alerts as the ledger keeps them, which are redacted; gives a `Message` or an `Event`. A sink formats it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from driftguard.model import (
    Action,
    Alert,
    AlertKind,
    AlertState,
    CommitText,
    EnvironmentText,
    ErrorKind,
    Message,
    Severity,
    Verdict,
)
from driftguard.model.reasons import Reason, ReasonName
from driftguard.model.report import CommitReport, EnvironmentReport, ResourceReport
from driftguard.model.words import OUTSIDE, Label, plural, verdict_text
from driftguard.pipeline.changes import change_text, invocation_text
from driftguard.report import shorten

# A delivery that is later than this names its original time.
LATE: Final = timedelta(minutes=10)
# Resources that a message lists; more are counted, and listed in a file in the thread.
MAX_RESOURCES: Final = 8
_MAX_COMMITS: Final = 10
# The longest address in a title, whose end counts.
_MAX_TITLE_ADDRESS: Final = 64
_ERRORS: Final[Mapping[str, str]] = {
    ErrorKind.INIT: "terraform init failed",
    ErrorKind.PLAN: "the plan failed",
    ErrorKind.TIMEOUT: "the plan timed out",
    ErrorKind.LOCKED: "the state is locked",
    ErrorKind.DENIED: "permission denied",
    ErrorKind.THROTTLED: "API rate limit exceeded",
    ErrorKind.PARTIAL: "the plan is incomplete",
    ErrorKind.STATE_MOVED: "the state changed during planning",
    ErrorKind.CONFIG: "invalid configuration",
    ErrorKind.INTERNAL: "internal error of DriftGuard",
}


def message_of(
    alerts: Sequence[Alert],
    *,
    now: datetime,
    meant_for: datetime | None = None,
    repository: str = "",
    run_url: str | None = None,
    mention: str | None = None,
) -> Message:
    """One message about alerts of one kind and cause.

    Args:
        meant_for: when it was meant to be sent; shown where that is long ago.
        repository: the repository's location, for links.
        run_url: the page of the job that found it.
    """
    standing = [alert for alert in alerts if alert.state is AlertState.OPEN]
    first = (standing or list(alerts))[0]
    links = [("This run", run_url)] if run_url else []
    return Message(
        title=_title(alerts, standing),
        severity=max((a.severity for a in standing or alerts), key=list(Severity).index),
        environments=tuple(_environments(alerts, first)),
        decision=tuple(_decision(first)) if standing else (),
        advice=tuple(_advice(first, len(alerts))) if standing else (),
        commits=tuple(_commits(first, repository)) if standing else (),
        since=min(alert.first_seen_at for alert in alerts),
        seen_at=now,
        resolution=None if standing else _resolution(alerts),
        meant_for=meant_for if meant_for is not None and now - meant_for > LATE else None,
        links=tuple(links),
        mention=mention,
        details=_details(standing) if needs_file(first.report) else None,
    )


def event_json(alert: Alert, event: str, line: str, at: datetime) -> dict[str, Any]:
    """One step of an alert as the JSON webhook sends it."""
    return {
        "version": 1,
        "event": event,
        "at": rfc3339(at),
        "line": line,
        "alert": {
            "id": alert.id,
            "about": alert.kind.value,
            "state": alert.state.value,
            "severity": alert.severity.value,
            "fingerprint": alert.fingerprint,
            "since": rfc3339(alert.first_seen_at),
            "resolution": alert.resolution,
            "traces": msgspec.to_builtins(dict(alert.traces)),
        },
        "environment": msgspec.to_builtins(alert.report),
    }


def rfc3339(moment: datetime) -> str:
    """A moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- the title -----------------------------------------------------------------------------------


def _title(alerts: Sequence[Alert], standing: Sequence[Alert]) -> str:
    first = (standing or alerts)[0]
    where = first.environment
    if len(alerts) > 1:
        where = f"{len(alerts)} environments"
        if 0 < len(standing) < len(alerts):
            where = f"{len(standing)} of {where}"
    if not standing:
        return _TITLE_RESOLVED[first.kind].format(where=where)
    if len({alert.cause for alert in standing}) > 1:
        return f"{_TITLE_KIND[first.kind]} in {where}, no longer of one cause"
    if _removed(first.report):
        return f"{where} {'was' if len(alerts) == 1 else 'were'} {_REMOVED}"
    return f"{_about(first)} in {where}: {_what(first)}"


_TITLE_KIND: Final[Mapping[AlertKind, str]] = {
    AlertKind.DRIFT: "Drift",
    AlertKind.PENDING: "Pending",
    AlertKind.UNKNOWN: "Unknown verdict",
}
_TITLE_RESOLVED: Final[Mapping[AlertKind, str]] = {
    AlertKind.DRIFT: "Drift in {where} is resolved",
    AlertKind.PENDING: "Nothing is pending in {where} any more",
    AlertKind.UNKNOWN: "The verdict of {where} is known again",
}
_REMOVED: Final = "removed from git; the resources remain"


def _about(alert: Alert) -> str:
    """What an open alert is about, in one or two words."""
    report = alert.report
    if alert.kind is AlertKind.PENDING and report.decision.action == Action.HOLD and not _passes(report):
        return "On hold"
    if alert.kind is AlertKind.DRIFT and any(Label.CONFLICT in resource.labels for resource in report.resources):
        return "Conflict"
    return _TITLE_KIND[alert.kind]


def _what(alert: Alert) -> str:
    """What happened in the environment of an open alert, in one sentence that does not name it."""
    report = alert.report
    match alert.kind:
        case AlertKind.DRIFT:
            return _drift(report)
        case AlertKind.PENDING:
            return f"{_pending(report.commits)} {'is' if len(report.commits) == 1 else 'are'} not applied"
        case AlertKind.UNKNOWN:
            return _REMOVED if _removed(report) else _ERRORS.get(report.error_kind, "the plan failed")


def _drift(report: EnvironmentReport) -> str:
    conflicts = [resource for resource in report.resources if Label.CONFLICT in resource.labels]
    if conflicts:
        return f"{_named(conflicts)} changed outside Terraform and by a commit"
    changed = [resource for resource in report.resources if resource.changed_outside]
    omitted = report.resources_omitted or 0
    also = ""
    if report.verdict == Verdict.DIVERGED and report.commits:
        count = len(report.commits)
        also = f"; {plural(count, 'commit')} {'is' if count == 1 else 'are'} not applied"
    return f"{_named(changed, omitted)} {_how_drifted(changed, omitted)}{also}"


def _how_drifted(changed: Sequence[ResourceReport], omitted: int) -> str:
    left = all(OUTSIDE & set(resource.labels) == {Label.RESIDUE} for resource in changed)
    deleted = sum(resource.deleted_outside for resource in changed)
    if changed and left and not omitted:
        return "left behind by a failed apply"
    if deleted and deleted == len(changed) + omitted:
        return "deleted outside Terraform"
    return "changed outside Terraform" + (f", {deleted} of them deleted" if deleted else "")


def _passes(report: EnvironmentReport) -> bool:
    """Whether everything that holds an environment's plan ends by itself."""
    return all(reason.passes for reason in report.decision.reasons)


def _removed(report: EnvironmentReport) -> bool:
    """Whether the environment's directory was removed from git."""
    return any(reason.name == ReasonName.ENVIRONMENT_REMOVED for reason in report.decision.reasons)


def _named(resources: Sequence[ResourceReport], omitted: int = 0) -> str:
    """A resource by its address, or how many there are, with its verb."""
    if len(resources) != 1 or omitted:
        return f"{plural(len(resources) + omitted, 'resource')} were"
    address = resources[0].address
    short = address if len(address) <= _MAX_TITLE_ADDRESS else f"…{address[1 - _MAX_TITLE_ADDRESS :]}"
    return f"{short} was"


def _pending(commits: Sequence[CommitReport]) -> str:
    """What is pending: the only commit by its subject, or how many there are."""
    if len(commits) == 1:
        return f"“{shorten(commits[0].subject) or commits[0].sha[:10]}”"
    return plural(len(commits), "commit") if commits else "changes"


def _resolution(alerts: Sequence[Alert]) -> str:
    resolutions = list(dict.fromkeys(alert.resolution or "" for alert in alerts))
    return resolutions[0] if len(resolutions) == 1 else "Resolved in different ways; see the list."


# --- environments and their changes ----------------------------------------------------------------


def _environments(alerts: Sequence[Alert], first: Alert) -> Iterator[EnvironmentText]:
    for alert in sorted(alerts, key=lambda a: (a is not first, a.environment)):
        yield _first_environment(alert, alone=len(alerts) == 1) if alert is first else _other_environment(alert, first)


def _other_environment(alert: Alert, first: Alert) -> EnvironmentText:
    """An environment after the first, by how it is now."""
    if alert.state is AlertState.RESOLVED:
        return EnvironmentText(alert.environment, alert.resolution or "")
    if alert.cause == first.cause:
        return EnvironmentText(alert.environment, "the same")
    return EnvironmentText(alert.environment, _what(alert))


def _first_environment(alert: Alert, *, alone: bool) -> EnvironmentText:
    """The environment whose changes a message lists."""
    report, resolved = alert.report, alert.state is AlertState.RESOLVED
    headline = ""
    if not alone:
        headline = (alert.resolution or "") if resolved else verdict_text(report.verdict)
    if alert.kind is AlertKind.UNKNOWN and report.error and not resolved:
        headline = report.error.message
    resources = _sorted(alert)
    changes = tuple(change_text(r, alert.traces.get(r.address)) for r in resources[:MAX_RESOURCES])
    omitted = len(resources) - len(changes) + (report.resources_omitted or 0)
    actions = tuple(map(invocation_text, report.invocations[:MAX_RESOURCES]))
    return EnvironmentText(alert.environment, headline, (*changes, *actions), omitted)


def needs_file(report: EnvironmentReport) -> bool:
    """Whether a message cannot list all that changed in an environment, so that a file does."""
    return len(report.resources) > MAX_RESOURCES


def _sorted(alert: Alert) -> list[ResourceReport]:
    """The alert's resources, those changed outside Terraform first."""
    weight = {Label.CONFLICT.value: 0, Label.DRIFT.value: 1, Label.ABSORBED.value: 1, Label.RESIDUE.value: 2}

    def order(resource: ResourceReport) -> tuple[int, list[tuple[str, int]]]:
        # `web[2]` before `web[10]`.
        parts = [(text, int(number or 0)) for text, number in re.findall(r"(\D+)(\d{0,9})", resource.address)]
        return min((weight.get(label, 9) for label in resource.labels), default=9), parts

    return sorted(alert.report.resources, key=order)


def _details(standing: Sequence[Alert]) -> str | None:
    """Every change of every environment as text."""
    lines: list[str] = []
    for alert in standing:
        lines.append(f"{alert.environment}: {verdict_text(alert.report.verdict)}")
        for resource in _sorted(alert):
            change = change_text(resource, alert.traces.get(resource.address))
            lines.append(f"  {change.address} ({change.label})")
            lines += [f"    {line}" for line in (*change.lines, *change.by)]
        for change in map(invocation_text, alert.report.invocations):
            lines += [f"  {change.address} ({change.label})", *(f"    {line}" for line in change.lines)]
        if alert.report.resources_omitted:
            lines.append(f"  and {plural(alert.report.resources_omitted, 'more resource')}: driftguard explain")
    return "\n".join(lines) + "\n" if lines else None


# --- what happens next ---------------------------------------------------------------------------


def _decision(alert: Alert) -> Iterator[str]:
    report, reasons = alert.report, alert.report.decision.reasons
    if alert.kind is AlertKind.UNKNOWN and (_removed(report) or report.error):
        yield "DriftGuard destroys nothing." if _removed(report) else "Nothing is changed until the plan works again."
        return
    alert_only = [reason.detail for reason in reasons if reason.name == ReasonName.POLICY_ALERT]
    rest = [reason for reason in reasons if reason.name != ReasonName.POLICY_ALERT and not reason.silent]
    yield _action(report, alert_only, rest)
    yield from (reason.text for reason in rest)


def _action(report: EnvironmentReport, alert_only: Sequence[str], rest: Sequence[Reason]) -> str:
    """What DriftGuard does, in one sentence."""
    action = report.decision.action
    if action == Action.APPLY and any(reason.name == ReasonName.APPLY_FAILED for reason in rest):
        return "DriftGuard tried to apply it."
    if alert_only and not rest:
        policies = " and ".join(f"`policy.{group}: alert`" for group in alert_only)
        return f"DriftGuard changes nothing, because of {policies}."
    if action == Action.HOLD and _passes(report):
        return "On hold until that ends."
    return _ACTIONS.get(action, f"DriftGuard's decision: {action}.")


_ACTIONS: Final[Mapping[str, str]] = {
    Action.NONE: "DriftGuard does nothing.",
    Action.ALERT: "DriftGuard changes nothing.",
    Action.PROPOSE: "DriftGuard proposes a pull request.",
    Action.APPLY: "DriftGuard applied it.",
    Action.HOLD: "On hold: manual action required.",
}


def _advice(alert: Alert, count: int) -> Iterator[str]:
    branch = _pushed_branch(alert)
    if branch is not None:
        yield f"To approve, on the tracked branch: `git fetch origin {branch} && git merge FETCH_HEAD && git push`"
        yield f"To decline: `git push origin --delete {branch}`"
    path = alert.report.path if count == 1 else "each environment"
    name = "ENV" if count > 1 else alert.environment
    match alert.kind:
        case AlertKind.DRIFT:
            yield from _drift_advice(alert.report, path)
        case AlertKind.PENDING:
            resolve = "" if _passes(alert.report) else "resolve the reasons above, or "
            yield f"To proceed: {resolve}run `terraform apply` in {path}."
            yield "To roll back: `git revert` the commits."
        case AlertKind.UNKNOWN if _removed(alert.report):
            yield "Destroy what remains manually from an older commit, or restore the directory."
            yield f"Then: `driftguard forget {name}`"
            return
        case AlertKind.UNKNOWN if alert.report.error:
            yield "Fix the error above; the next run retries."
    yield f"Details: `driftguard explain {name}`"


def _drift_advice(report: EnvironmentReport, path: str) -> Iterator[str]:
    drifted = [resource for resource in report.resources if resource.changed_outside]
    if drifted and all(resource.deleted_outside for resource in drifted):
        yield f"To recreate: run `terraform apply` in {path}."
        yield f"To accept the deletion: remove it from {path} and merge that."
        return
    # An apply does what commits want, too.
    apply = f", or run `terraform apply` in {path}" if report.verdict == Verdict.DRIFTED else ""
    yield f"To revert: undo the change where it was made{apply}."
    yield f"To adopt: write the current values into {path} and merge that."


def _pushed_branch(alert: Alert) -> str | None:
    """The branch that is proposed to be merged, where there is no page of a pull request for it."""
    for reason in alert.report.decision.reasons:
        if reason.name == ReasonName.PROPOSED and not reason.detail.startswith(("http://", "https://")):
            return reason.detail
    return None


def _commits(alert: Alert, repository: str) -> Iterator[CommitText]:
    for commit in alert.report.commits[:_MAX_COMMITS]:
        yield CommitText(commit.sha, commit.author, commit.subject, commit_url(repository, commit.sha))


def commit_url(repository: str, sha: str) -> str | None:
    """The page of a commit on the forge that a repository's location names; None where it names none."""
    if "://" not in repository and ":" in repository and not repository.startswith("/"):
        repository = "ssh://" + repository.replace(":", "/", 1)  # git@host:owner/name
    parts = urlsplit(repository)
    if parts.scheme not in ("https", "ssh") or not parts.hostname or "." not in parts.hostname:
        return None
    path = quote(parts.path.strip("/").removesuffix(".git"))
    commits = "commits" if "bitbucket" in parts.hostname else "commit"
    return f"https://{parts.hostname}/{path}/{commits}/{sha}" if path.count("/") >= 1 else None
