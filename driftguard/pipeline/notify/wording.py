"""Alerts in words: what people read, before a sink gives it a form.

Takes alerts as the ledger keeps them, which are redacted; gives a `Message` of plain text. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

from driftguard.model import (
    Alert,
    AlertKind,
    AlertState,
    ChangeText,
    CommitText,
    EnvironmentText,
    Message,
    Severity,
)
from driftguard.model.reasons import sentence
from driftguard.model.words import PLAIN_WORDS
from driftguard.report import shorten

_LATE: Final = timedelta(minutes=10)
_MOST_COMMITS: Final = 10
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
        meant_for=meant_for if meant_for is not None and now - meant_for > _LATE else None,
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
    if len(alerts) == 1:
        return f"{first.environment} {_did(first, one=True)}" if standing else f"{first.environment}: {_ended(first)}"
    if not standing:
        return f"{len(alerts)} environments: {_ended(first)}"
    count = f"{len(standing)} environments" if len(standing) == len(alerts) else f"{len(standing)} of {len(alerts)}"
    return f"{count} {_did(first, one=len(standing) == 1 and len(alerts) == 1)}, all for the same cause"


def _did(alert: Alert, *, one: bool) -> str:
    report = alert.report
    match alert.kind:
        case AlertKind.UNKNOWN:
            if "environment_removed" in report["decision"]["reasons"]:
                return (
                    f"{'was' if one else 'were'} removed from git, and what {'it' if one else 'they'} made still runs"
                )
            return f"cannot be judged: {(report['error'] or {}).get('kind', 'unknown')}"
        case AlertKind.PENDING:
            count = len(report["commits"])
            what = "a merged commit" if count == 1 else f"{count} merged commits" if count else "changes"
            return f"{'waits' if one else 'wait'} for {what} to be applied"
        case AlertKind.DRIFT:
            if any("conflict" in resource["labels"] for resource in report["resources"]):
                return f"{'was' if one else 'were'} changed outside and by a commit, to different values"
            count = sum(bool({"drift", "absorbed", "residue"} & set(r["labels"])) for r in report["resources"])
            count += report.get("resources_omitted", 0)
            resources = f"{count} resource{'' if count == 1 else 's'}"
            return f"{'has' if one else 'have'} drifted: {resources} changed outside"


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
    return said[0] if len(said) == 1 else "Each in its own way; the thread says how."


# --- environments and their changes ----------------------------------------------------------------


def _environments(alerts: Sequence[Alert], first: Alert) -> Iterator[EnvironmentText]:
    for alert in sorted(alerts, key=lambda a: (a is not first, a.environment)):
        headline = alert.resolution if alert.state is AlertState.RESOLVED else alert.report["verdict"].replace("_", " ")
        if alert is not first:
            yield EnvironmentText(alert.environment, headline or "")
            continue
        if alert.kind is AlertKind.UNKNOWN and alert.report["error"] and alert.state is not AlertState.RESOLVED:
            headline = alert.report["error"]["message"]
        told = _told(alert)
        changes = tuple(_change(r, alert.traces.get(r["address"], {})) for r in told[:MOST_SHOWN])
        omitted = len(told) - len(changes) + alert.report.get("resources_omitted", 0)
        yield EnvironmentText(alert.environment, headline or "", changes, omitted)


def folds(report: Mapping[str, Any]) -> bool:
    """Whether a message cannot list all that changed in an environment, so that the whole goes into a file."""
    return len(report["resources"]) > MOST_SHOWN


def _told(alert: Alert) -> list[Mapping[str, Any]]:
    """The alert's resources, those changed outside first."""
    weight = {"conflict": 0, "drift": 1, "absorbed": 1, "residue": 2}
    return sorted(
        alert.report["resources"], key=lambda r: (min((weight.get(x, 9) for x in r["labels"]), default=9), r["address"])
    )


def _change(resource: Mapping[str, Any], trace: Mapping[str, Any]) -> ChangeText:
    labels = "; ".join(PLAIN_WORDS[label] for label in resource["labels"])
    lines = [_attribute(attribute) for attribute in resource["attributes"]]
    if resource.get("attributes_omitted"):
        lines.append(f"and {resource['attributes_omitted']} more attributes")
    return ChangeText(resource["address"], labels, tuple(lines), tuple(_by(trace)))


def _attribute(attribute: Mapping[str, Any]) -> str:
    if attribute["label"] in ("residue", "refactor"):
        return str(attribute["rule"])
    sure = "" if attribute["certain"] else " (not certain)"
    wanted = "something known after apply" if attribute["unknown"] else shorten(attribute["desired"])
    if not attribute["path"]:
        if attribute["reality"] == "absent" and attribute["state"] == "absent":
            return f"is to be made{sure}"
        return f"deleted outside{sure}" if attribute["reality"] == "absent" else f"git wants it {wanted}{sure}"
    values = shorten(attribute["reality"])
    if attribute["state"] != attribute["reality"] or attribute["sensitive"]:
        values = f"{shorten(attribute['state'])} → {values}"
    return f"{attribute['path']}: {values}, git wants {wanted}{sure}"


def _by(trace: Mapping[str, Any]) -> Iterator[str]:
    changed, written = trace.get("changed_by"), trace.get("written_by")
    if changed:
        how = f"{changed['event']}, {changed['via']}" + (
            f", from {changed['source_ip']}" if changed["source_ip"] else ""
        )
        yield f"{changed['principal']} at {changed['at']} ({how}; match: {changed['confidence']})"
    elif trace.get("note"):
        yield str(trace["note"])
    if written:
        yield (
            f"git: {written['author']} in {written['commit'][:10]} “{written['subject']}”, {written['date'][:10]} "
            f"({written['path']}:{written['line']})"
        )


def _details(standing: Sequence[Alert]) -> str | None:
    """Every change of every environment as text."""
    lines: list[str] = []
    for alert in standing:
        lines.append(f"{alert.environment}: {alert.report['verdict'].replace('_', ' ')}")
        for resource in _told(alert):
            change = _change(resource, alert.traces.get(resource["address"], {}))
            lines.append(f"  {change.address} ({change.label})")
            lines += [f"    {line}" for line in (*change.lines, *change.by)]
        if alert.report.get("resources_omitted"):
            lines.append(f"  and {alert.report['resources_omitted']} more resources: driftguard explain")
    return "\n".join(lines) + "\n" if lines else None


# --- what happens next ---------------------------------------------------------------------------


def _decision(alert: Alert) -> Iterator[str]:
    decision = alert.report["decision"]
    words = {
        "none": "DriftGuard does nothing",
        "alert": "DriftGuard tells, and changes nothing",
        "propose": "DriftGuard proposes a pull request",
        "apply": "DriftGuard applied it",
        "hold": "DriftGuard holds it for a person",
    }
    yield f"{words[decision['action']]}."
    if alert.kind is not AlertKind.UNKNOWN or "environment_removed" in decision["reasons"]:
        yield from (sentence(reason) for reason in decision["reasons"])


def _advice(alert: Alert, count: int) -> Iterator[str]:
    match alert.kind:
        case AlertKind.DRIFT:
            yield "To put reality back: undo the change where it was made. The next pass sees it."
            yield f"To keep it: write it into {alert.report['path']} and merge that."
        case AlertKind.PENDING:
            yield "To go on: settle what the reasons above name, or take the commits back with `git revert`."
        case AlertKind.UNKNOWN:
            yield "Mend what the error names; the next pass looks again."
    names = "ENV" if count > 1 else alert.environment
    yield f"More: `driftguard explain {names}`"


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
