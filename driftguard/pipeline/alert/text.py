"""What is sent: alerts as messages of plain text, and as events for machines.

Takes alerts as the ledger keeps them, which are redacted; gives a `Message` or an `Event`. A sink formats it. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

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
from driftguard.model.report import EnvironmentReport, ResourceReport
from driftguard.model.words import Label, plural, verdict_text
from driftguard.pipeline.alert import advice
from driftguard.pipeline.alert.guides import Guidance, place_of
from driftguard.pipeline.alert.titles import happened, title
from driftguard.pipeline.changes import change_text, invocation_text
from driftguard.pipeline.consequences import rank

# A delivery that is later than this names its original time.
LATE: Final = timedelta(minutes=10)
# Changes that a message lists; more are counted, and listed in a file in the thread.
MAX_CHANGES: Final = 8
_MAX_COMMITS: Final = 10
# The first screen of a phone: eight lines of 45 characters, of which the last begins what to do.
_LINE: Final = 45
_SCREEN: Final = 7
_MAX_WORST: Final = 3
_MAX_WHO: Final = 2 * _LINE - 2
# Characters of a change's address and words on the first screen; the rest stands below.
_MAX_BRIEF: Final = 3 * _LINE - 3
# What a line about an attribute adds that the first screen leaves to the list below.
_NOTES: Final = re.compile(r" \((?:(?:a revert )?forces replacement|not certain|also in [^)]*|ignored by [^)]*)\)")
# The mark of a message's severity, and a blank.
_MARK: Final = 3


def message_of(
    alerts: Sequence[Alert],
    *,
    now: datetime,
    meant_for: datetime | None = None,
    repository: str = "",
    run_url: str | None = None,
    mention: str | None = None,
    guidance: Guidance | None = None,
    note: str = "",
) -> Message:
    """One message about alerts of one kind and cause.

    Args:
        meant_for: when it was meant to be sent; shown where that is long ago.
        repository: the repository's location, for links.
        run_url: the page of the job that found it.
        guidance: what the configuration knows for readers.
        note: why it is in another place than usual.
    """
    standing = [alert for alert in alerts if alert.state is AlertState.OPEN]
    first = (standing or list(alerts))[0]
    guidance = guidance or Guidance()
    arns = [trace.arn for trace in first.traces.values() if trace.arn]
    message = Message(
        title=title(alerts, standing, now, place_of(guidance.guides.get(first.environment), arns)),
        severity=max((a.severity for a in standing or alerts), key=list(Severity).index),
        environments=(),
        decision=(),
        commits=(),
        since=min(alert.first_seen_at for alert in alerts),
        seen_at=now,
        meant_for=meant_for if meant_for is not None and now - meant_for > LATE else None,
        links=_links(run_url, first),
        mention=mention,
        note=note,
        details=_details(standing) if needs_file(first.report) else None,
        checked=_checked(first.report),
    )
    changes = _changes_of(first)
    if standing:
        return _still_open(message, alerts, first, changes, repository, guidance)
    environments = tuple(_environments(alerts, first, changes, {}))
    return replace(message, environments=environments, resolution=_resolution(alerts))


def _checked(report: EnvironmentReport) -> str:
    """How the report came about: by a plan, or by a probe that found one to stand still, and what that cost."""
    if report.planned_at is None:
        return ""
    planned = datetime.fromisoformat(report.planned_at).astimezone(UTC)
    return f"checked by {report.checked_by}, planned {planned:%Y-%m-%d %H:%M} UTC, {report.cpu_seconds:.1f} CPU s"


def _links(run_url: str | None, alert: Alert) -> tuple[tuple[str, str], ...]:
    """The page of the job that found it, and that of the plan's run on a platform."""
    pages = (("This run", run_url), ("The plan", alert.report.plan_url))
    return tuple((text, url) for text, url in pages if url)


def _still_open(
    message: Message,
    alerts: Sequence[Alert],
    first: Alert,
    changes: Sequence[ChangeText],
    repository: str,
    guidance: Guidance,
) -> Message:
    """A message about an alert that is open: with who did it, and what to do."""
    who = _who(first, changes)
    worst = _worst(first, changes, _SCREEN - _lines(f"{message.title}{' ' * _MARK}") - _lines(who))
    return replace(
        message,
        environments=tuple(_environments(alerts, first, changes, dict(worst))),
        worst=worst,
        who=who,
        steps=advice.steps(first, len(alerts), guidance),
        decision=tuple(advice.decision(first)),
        commits=tuple(_commits(first, repository)),
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
            "failure": alert.failure,
            "comes_and_goes": alert.comes_and_goes,
            "acked": msgspec.to_builtins(alert.acked),
            "traces": msgspec.to_builtins(dict(alert.traces)),
        },
        "environment": msgspec.to_builtins(alert.report),
    }


def rfc3339(moment: datetime) -> str:
    """A moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _resolution(alerts: Sequence[Alert]) -> str:
    resolutions = list(dict.fromkeys(alert.resolution or "" for alert in alerts))
    return resolutions[0] if len(resolutions) == 1 else "Resolved in different ways; see the list."


# --- the first screen ------------------------------------------------------------------------------


def _worst(alert: Alert, changes: Sequence[ChangeText], room: int) -> tuple[tuple[str, str], ...]:
    """The worst changes as address and a few words, as many of three as a phone's first screen has room for.

    Args:
        room: lines of a phone.
    """
    report = alert.report
    if alert.kind is AlertKind.UNKNOWN:
        error = report.error.message if report.error else ""
        return (("", _fitting(" ".join(error.split()), room * _LINE - 2)),) if error else ()
    found: list[tuple[str, str]] = []
    for change in changes[:_MAX_WORST]:
        most = min((room if not found else 2) * _LINE, _MAX_BRIEF) - len(change.address) - 2
        forms = [f"last seen: {form}" if alert.gone else form for form in _briefs(change)]
        text = next((form for form in forms if len(form) <= most), _fitting(forms[0], most))
        room -= _lines(f"{change.address} {text}")
        if room < 0 and found:
            break
        found.append((change.address, text))
    return tuple(found)


def _briefs(change: ChangeText) -> tuple[str, ...]:
    """One change in a few words, what an apply destroys first; from the longest form to the shortest."""
    more = f"; {len(change.alike)} more alike" if change.alike else ""
    first = change.lines[0] if change.lines else change.label
    if change.consequence:
        consequence = f"an apply {change.consequence.partition('; ')[0]}{more}"
        if change.label.startswith("deleted"):
            return (f"deleted outside Terraform; {consequence}", consequence)
        because = f" ({_NOTES.sub('', first)})" if change.lines else ""
        return (f"{consequence}{because}", consequence)
    count = len(change.lines) - 1
    return (f"{first}{f'; {count} more' if count > 0 else ''}{more}",)


def _who(alert: Alert, changes: Sequence[ChangeText]) -> str:
    """Who probably did it, on two lines of a phone at most."""
    if alert.kind is AlertKind.PENDING:
        authors = list(dict.fromkeys(commit.author for commit in alert.report.commits if commit.author))
        more = f" and {len(authors) - 2} more" if len(authors) > 2 else ""
        return _fitting(f"Merged, not applied: commits of {', '.join(authors[:2])}{more}", _MAX_WHO) if authors else ""
    known = list(dict.fromkeys(change.who for change in changes if change.who))
    return _fitting(known[0], _MAX_WHO) if known else ""


def _lines(text: str) -> int:
    """How many lines of a phone a text takes."""
    return math.ceil(len(text) / _LINE)


def _fitting(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(0, room - 1)]}…"


# --- environments and their changes ----------------------------------------------------------------


def _environments(
    alerts: Sequence[Alert], first: Alert, changes: Sequence[ChangeText], worst: dict[str, str]
) -> Iterator[EnvironmentText]:
    for alert in sorted(alerts, key=lambda a: (a is not first, a.environment)):
        if alert is first:
            yield _first_environment(alert, changes, worst, alone=len(alerts) == 1)
        else:
            yield _other_environment(alert, first)


def _other_environment(alert: Alert, first: Alert) -> EnvironmentText:
    """An environment after the first, by how it is now."""
    if alert.state is AlertState.RESOLVED:
        return EnvironmentText(alert.environment, alert.resolution or "")
    if alert.cause == first.cause:
        return EnvironmentText(alert.environment, "the same")
    return EnvironmentText(alert.environment, happened(alert))


def _first_environment(
    alert: Alert, changes: Sequence[ChangeText], worst: dict[str, str], *, alone: bool
) -> EnvironmentText:
    """The environment whose changes a message lists: what its first screen does not hold."""
    report, resolved = alert.report, alert.state is AlertState.RESOLVED
    headline = "" if alone or not resolved else (alert.resolution or "")
    if alert.kind in (AlertKind.UNKNOWN, AlertKind.PROBE) and report.error and not resolved:
        headline = report.error.message if worst.get("") != " ".join(report.error.message.split()) else ""
    listed = [_rest(change, worst) for change in changes[:MAX_CHANGES]]
    more = sum(1 + len(change.alike) for change in changes[MAX_CHANGES:])
    actions = tuple(map(invocation_text, report.invocations[:MAX_CHANGES]))
    shown = (*(change for change in listed if change is not None), *actions)
    return EnvironmentText(alert.environment, headline, shown, more + (report.resources_omitted or 0))


def _rest(change: ChangeText, worst: dict[str, str]) -> ChangeText | None:
    """What the first screen does not hold of a change; None for nothing."""
    brief = worst.get(change.address)
    whole = brief is not None and not change.consequence and _briefs(change)[0] in brief
    if whole and len(change.lines) <= 1 and not change.alike:
        return replace(change, lines=()) if change.by else None
    return change


def needs_file(report: EnvironmentReport) -> bool:
    """Whether a message cannot list all that changed in an environment, so that a file does."""
    return len(report.resources) > MAX_CHANGES


def _changes_of(alert: Alert) -> list[ChangeText]:
    """The alert's changes, the worst first; equal ones of one type as one."""
    found: dict[tuple[object, ...], ChangeText] = {}
    for resource in _sorted(alert):
        change = change_text(resource, alert.traces.get(resource.address))
        key = (resource.type, change.label, change.consequence, change.lines, change.by)
        if key in found and (change.lines or change.consequence):
            found[key] = replace(found[key], alike=(*found[key].alike, change.address))
        else:
            found.setdefault(key if change.lines or change.consequence else (change.address,), change)
    return list(found.values())


def _sorted(alert: Alert) -> list[ResourceReport]:
    """The alert's resources: those that an apply destroys, then those changed outside Terraform."""
    weight = {Label.CONFLICT.value: 0, Label.DRIFT.value: 1, Label.ABSORBED.value: 1, Label.RESIDUE.value: 2}

    def order(resource: ResourceReport) -> tuple[object, ...]:
        # `web[2]` before `web[10]`.
        parts = [(text, int(number or 0)) for text, number in re.findall(r"(\D+)(\d{0,9})", resource.address)]
        return rank(resource), min((weight.get(label, 9) for label in resource.labels), default=9), parts

    return sorted(alert.report.resources, key=order)


def _details(standing: Sequence[Alert]) -> str | None:
    """Every change of every environment as text."""
    lines: list[str] = []
    for alert in standing:
        lines.append(f"{alert.environment}: {verdict_text(alert.report.verdict)}")
        for resource in _sorted(alert):
            lines += _detailed(change_text(resource, alert.traces.get(resource.address)))
        for change in map(invocation_text, alert.report.invocations):
            lines += _detailed(change)
        if alert.report.resources_omitted:
            lines.append(f"  and {plural(alert.report.resources_omitted, 'more resource')}: driftguard explain")
    return "\n".join(lines) + "\n" if lines else None


def _detailed(change: ChangeText) -> Iterator[str]:
    yield f"  {change.address} ({change.label})"
    if change.consequence:
        yield f"    an apply {change.consequence}"
    yield from (f"    {line}" for line in (*change.lines, *change.by))


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
