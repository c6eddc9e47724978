"""Alerts in words: what people read, before a sink gives it a form.

Takes alerts as the ledger keeps them, which are redacted; gives a `Message` of plain text. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

from driftguard.model import (
    Alert,
    AlertKind,
    AlertState,
    CommitText,
    EnvironmentText,
    Message,
    Severity,
)
from driftguard.model.reasons import PASSING, REASONS
from driftguard.pipeline.changes import OUTSIDE, change_text, deleted_outside
from driftguard.report import shorten

# What is shown so long after it was meant to be says when that was.
LATE: Final = timedelta(minutes=10)
_MOST_COMMITS: Final = 10
# The longest address in a title, whose end counts.
_TITLE_ADDRESS: Final = 64
_ERRORS: Final = {
    "init": "terraform init failed",
    "plan": "the plan failed",
    "timeout": "the plan took too long",
    "locked": "the state is locked",
    "denied": "a permission is missing",
    "throttled": "the cloud answers too slowly",
    "partial": "the plan is not complete",
    "state_moved": "the state changes all the time",
    "config": "its configuration is wrong",
    "internal": "DriftGuard itself failed",
}
# Reasons that only say why something was allowed.
_SILENT: Final = frozenset({"merged", "signed", "reviewed", "approved", "policy_propose"})
# Resources that a message lists; what is more is counted, and listed in a file in the thread.
MOST_SHOWN: Final = 8


def word(
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
        meant_for: when it was meant to be shown; said where that is long ago.
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
        details=_details(standing) if folds(first.report) else None,
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
            "traces": dict(alert.traces),
        },
        "environment": dict(alert.report),
    }


def rfc3339(moment: datetime) -> str:
    """A moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- the title -----------------------------------------------------------------------------------


def _title(alerts: Sequence[Alert], standing: Sequence[Alert]) -> str:
    first = (standing or alerts)[0]
    who = first.environment
    if len(alerts) > 1:
        who = f"{len(alerts)} environments"
        if 0 < len(standing) < len(alerts):
            who = f"{len(standing)} of {who}"
    if len({alert.cause for alert in standing}) > 1:
        return f"{who} {_UNLIKE[first.kind]}"
    return f"{who} {_did(first, many=len(alerts) > 1)}" if standing else f"{who}: {_ended(first)}"


# Alerts that had one cause when they were told, and have several now.
_UNLIKE: Final[Mapping[AlertKind, str]] = {
    AlertKind.DRIFT: "have drifted, no longer all the same way",
    AlertKind.PENDING: "wait for merged commits to be applied, no longer all the same",
    AlertKind.UNKNOWN: "cannot be judged, no longer all for the same reason",
}


def _did(alert: Alert, *, many: bool) -> str:
    report = alert.report
    match alert.kind:
        case AlertKind.UNKNOWN:
            if "environment_removed" in report["decision"]["reasons"]:
                return "were removed from git; what they made still runs" if many else _REMOVED
            kind = (report["error"] or {}).get("kind", "")
            return f"cannot be judged: {_ERRORS.get(kind, 'the plan failed')}"
        case AlertKind.PENDING:
            what = _waiting(report["commits"])
            if report["decision"]["action"] == "hold" and not _passes(report):
                one = what.startswith("“")
                return f"{'need' if many else 'needs'} a decision: {what} {'is' if one else 'are'} held"
            return f"{'wait' if many else 'waits'} for {what} to be applied"
        case AlertKind.DRIFT:
            return _drift(report, many=many)


def _passes(report: Mapping[str, Any]) -> bool:
    """Whether everything that holds an environment's plan passes by itself."""
    return PASSING.issuperset(reason.partition(":")[0] for reason in report["decision"]["reasons"])


_REMOVED: Final = "was removed from git; what it made still runs"


def _drift(report: Mapping[str, Any], *, many: bool) -> str:
    has = "have" if many else "has"
    conflicts = [r for r in report["resources"] if "conflict" in r["labels"]]
    changed = [r for r in report["resources"] if OUTSIDE & set(r["labels"])]
    omitted = report.get("resources_omitted", 0)
    if conflicts:
        return f"{has} a conflict: {_named(conflicts)} changed outside and by a commit"
    left = all(set(r["labels"]) & OUTSIDE == {"residue"} for r in changed)
    deleted = sum(map(deleted_outside, changed))
    if changed and left and not omitted:
        how = "left behind by a failed apply"
    elif deleted and deleted == len(changed) + omitted:
        how = "deleted outside"
    else:
        how = "changed outside" + (f", {deleted} of them deleted" if deleted else "")
    also = ""
    if report["verdict"] == "diverged" and report["commits"]:
        count = len(report["commits"])
        also = f"; {_count(count, 'commit')} wait{'s' if count == 1 else ''} too"
    return f"{has} drifted{' the same way' if many else ''}: {_named(changed, omitted)} {how}{also}"


def _named(resources: Sequence[Mapping[str, Any]], omitted: int = 0) -> str:
    """A resource by its address, or how many there are."""
    if len(resources) != 1 or omitted:
        return _count(len(resources) + omitted, "resource")
    address = str(resources[0]["address"])
    return address if len(address) <= _TITLE_ADDRESS else f"…{address[1 - _TITLE_ADDRESS :]}"


def _waiting(commits: Sequence[Mapping[str, Any]]) -> str:
    """What waits: the only commit by its subject, or how many there are."""
    if len(commits) == 1:
        return f"“{shorten(commits[0]['subject']) or commits[0]['sha'][:10]}”"
    return _count(len(commits), "merged commit") if commits else "changes"


def _count(count: int, thing: str) -> str:
    return f"1 {thing}" if count == 1 else f"{count} {thing}s"


def _ended(alert: Alert) -> str:
    match alert.kind:
        case AlertKind.DRIFT:
            return "the drift is gone"
        case AlertKind.PENDING:
            return "nothing waits any more"
        case AlertKind.UNKNOWN:
            return "it can be judged again"


def _resolution(alerts: Sequence[Alert]) -> str:
    said = list(dict.fromkeys(alert.resolution or "" for alert in alerts))
    return said[0] if len(said) == 1 else "Each in its own way; the list says how."


# --- environments and their changes ----------------------------------------------------------------


def _environments(alerts: Sequence[Alert], first: Alert) -> Iterator[EnvironmentText]:
    for alert in sorted(alerts, key=lambda a: (a is not first, a.environment)):
        over = alert.state is AlertState.RESOLVED
        if alert is not first:
            same = "the same" if alert.cause == first.cause else _did(alert, many=False)
            yield EnvironmentText(alert.environment, (alert.resolution or "") if over else same)
            continue
        headline = ""
        if len(alerts) > 1:
            headline = (alert.resolution or "") if over else alert.report["verdict"].replace("_", " ")
        if alert.kind is AlertKind.UNKNOWN and alert.report["error"] and not over:
            headline = str(alert.report["error"]["message"])
        told = _told(alert)
        changes = tuple(change_text(r, alert.traces.get(r["address"], {})) for r in told[:MOST_SHOWN])
        omitted = len(told) - len(changes) + alert.report.get("resources_omitted", 0)
        yield EnvironmentText(alert.environment, headline, changes, omitted)


def folds(report: Mapping[str, Any]) -> bool:
    """Whether a message cannot list all that changed in an environment, so that the whole goes into a file."""
    return len(report["resources"]) > MOST_SHOWN


def _told(alert: Alert) -> list[Mapping[str, Any]]:
    """The alert's resources, those changed outside first."""
    weight = {"conflict": 0, "drift": 1, "absorbed": 1, "residue": 2}

    def order(resource: Mapping[str, Any]) -> tuple[int, list[tuple[str, int]]]:
        # `web[2]` before `web[10]`.
        parts = [(text, int(number or 0)) for text, number in re.findall(r"(\D+)(\d{0,9})", resource["address"])]
        return min((weight.get(label, 9) for label in resource["labels"]), default=9), parts

    return sorted(alert.report["resources"], key=order)


def _details(standing: Sequence[Alert]) -> str | None:
    """Every change of every environment as text."""
    lines: list[str] = []
    for alert in standing:
        lines.append(f"{alert.environment}: {alert.report['verdict'].replace('_', ' ')}")
        for resource in _told(alert):
            change = change_text(resource, alert.traces.get(resource["address"], {}))
            lines.append(f"  {change.address} ({change.label})")
            lines += [f"    {line}" for line in (*change.lines, *change.by)]
        if alert.report.get("resources_omitted"):
            lines.append(f"  and {alert.report['resources_omitted']} more resources: driftguard explain")
    return "\n".join(lines) + "\n" if lines else None


# --- what happens next ---------------------------------------------------------------------------


def _decision(alert: Alert) -> Iterator[str]:
    action, reasons = alert.report["decision"]["action"], alert.report["decision"]["reasons"]
    told_only = [reason.partition(": ")[2] for reason in reasons if reason.startswith("policy_alert: ")]
    rest = [reason for reason in reasons if reason.partition(":")[0] not in ("policy_alert", *_SILENT)]
    if alert.kind is AlertKind.UNKNOWN and "environment_removed" in reasons:
        yield "DriftGuard destroys nothing."
        return
    if alert.kind is AlertKind.UNKNOWN and alert.report["error"]:
        yield "Nothing is changed there until it can be planned again."
        return
    if action == "apply" and "apply_failed" in {reason.partition(":")[0] for reason in reasons}:
        yield "DriftGuard tried to apply it."
    elif told_only and not rest:
        policies = " and ".join(f"`policy.{group}: alert`" for group in told_only)
        yield f"DriftGuard changes nothing by itself, because of {policies}."
    elif action == "hold" and _passes(alert.report):
        yield "DriftGuard waits until that has passed."
    else:
        yield _ACTIONS[action]
    yield from map(_reason, rest)


_ACTIONS: Final = {
    "none": "DriftGuard does nothing.",
    "alert": "DriftGuard changes nothing by itself.",
    "propose": "DriftGuard proposes a pull request.",
    "apply": "DriftGuard applied it.",
    "hold": "DriftGuard waits for a person.",
}


def _reason(reason: str) -> str:
    """What a reason means, with its detail behind the first sentence."""
    name, _, detail = reason.partition(": ")
    first, dot, rest = REASONS[name].partition(". ")
    return f"{first.removesuffix('.')} ({detail}).{' ' + rest if dot else ''}" if detail else REASONS[name]


def _advice(alert: Alert, count: int) -> Iterator[str]:
    branch = _pushed_branch(alert)
    if branch is not None:
        yield f"Approve, on the tracked branch: `git fetch origin {branch} && git merge FETCH_HEAD && git push`"
        yield f"Say no: `git push origin --delete {branch}`"
    path = alert.report["path"] if count == 1 else "each environment"
    match alert.kind:
        case AlertKind.DRIFT:
            drifted = [r for r in alert.report["resources"] if OUTSIDE & set(r["labels"])]
            if drifted and all(map(deleted_outside, drifted)):
                yield f"Have it again: apply {path}."
                yield f"Do without it: remove it from {path} and merge that."
            else:
                # An apply does what commits want, too.
                apply = f", or apply {path}" if alert.report["verdict"] == "drifted" else ""
                yield f"Put it back: undo the change where it was made{apply}."
                yield f"Keep it: write it into {path} and merge that."
        case AlertKind.PENDING:
            settle = "" if _passes(alert.report) else "settle what is said above, or "
            yield f"Go on: {settle}apply {path} by hand."
            yield "Go back: `git revert` the commits."
        case AlertKind.UNKNOWN if "environment_removed" in alert.report["decision"]["reasons"]:
            yield "Destroy what is left by hand from an older commit, or bring the directory back."
            yield f"Then: `driftguard forget {'ENV' if count > 1 else alert.environment}`"
            return
        case AlertKind.UNKNOWN if alert.report["error"]:
            yield "Mend what the error names; the next pass looks again."
    yield f"More: `driftguard explain {'ENV' if count > 1 else alert.environment}`"


def _pushed_branch(alert: Alert) -> str | None:
    """The branch that is proposed to be merged, where there is no page of a pull request for it."""
    for reason in alert.report["decision"]["reasons"]:
        name, _, what = reason.partition(": ")
        if name == "proposed" and not what.startswith(("http://", "https://")):
            return str(what)
    return None


def _commits(alert: Alert, repository: str) -> Iterator[CommitText]:
    for commit in alert.report["commits"][:_MOST_COMMITS]:
        yield CommitText(commit["sha"], commit["author"], commit["subject"], commit_url(repository, commit["sha"]))


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
