"""The life of an alert: what one more report of an environment means for its alerts.

Takes an environment's report and the alerts about it; gives the alerts as they are now and the notices that follow.
Pure: no clock, no port, no randomness; ids are made of the run, so that the same run gives the same notices.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from driftguard.config import AlertSettings
from driftguard.model import (
    Action,
    Alert,
    AlertEvent,
    AlertKind,
    AlertState,
    ErrorKind,
    Notice,
    Severity,
    Verdict,
)
from driftguard.model.causes import Faulted
from driftguard.model.reasons import ReasonName
from driftguard.model.report import EnvironmentReport, ErrorReport, ResourceReport
from driftguard.model.words import OUTSIDE, SETTLED, Label
from driftguard.pipeline.alert.differences import all_new, difference, drifted_places, new_commits
from driftguard.pipeline.alert.ending import resolution_of
from driftguard.pipeline.alert.titles import age, happened
from driftguard.pipeline.consequences import destructive, rank

_IDS: Final = uuid.UUID("5f9d3a0e-6a53-4d56-9d6c-0b1f5b3b7a11")
_MAX_RESOURCES: Final = 200
_MAX_ATTRIBUTES: Final = 30


@dataclass(frozen=True, slots=True)
class Followed:
    """What one report of an environment gives: alerts to keep, and notices to send."""

    alerts: tuple[Alert, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class _Look:
    """One report of one environment, as alerts keep it and as a whole, and the run that made it."""

    excerpt: EnvironmentReport
    whole: EnvironmentReport
    commit: str
    run_id: str
    now: datetime
    rules: AlertSettings
    failure: str | None


def follow(
    environment: EnvironmentReport,
    alerts: Sequence[Alert],
    *,
    commit: str,
    run_id: str,
    now: datetime,
    rules: AlertSettings,
) -> Followed:
    """What an environment's report means for its alerts.

    Args:
        alerts: the environment's alerts that are not resolved, and the newest resolved one of each kind.
        commit: the commit that was planned.
    """
    if environment.error_kind == ErrorKind.INTERRUPTED:
        return Followed()  # nothing was seen
    failure = _failure(environment, alerts)
    look = _Look(excerpt(environment, commit), environment, commit, run_id, now, rules, failure)
    kept: dict[str, Alert] = {}
    notices: list[Notice] = []
    for kind in AlertKind:
        for after, event, line in _steps(_newest(alerts, kind), kind, look):
            kept[after.id] = after
            if event is not None:
                notices.append(_notice(after, event, line, look))
    return Followed(tuple(kept.values()), tuple(notices))


def _failure(environment: EnvironmentReport, alerts: Sequence[Alert]) -> str | None:
    """The error of the environment's failed apply: of this run, or of an earlier one that nothing has made good."""
    for reason in environment.decision.reasons:
        if reason.name == ReasonName.APPLY_FAILED:
            return reason.detail or "the apply did not finish"
        if reason.name == ReasonName.APPLIED:
            return None
    standing = (alert for alert in alerts if alert.state is not AlertState.RESOLVED and alert.failure is not None)
    return next((alert.failure for alert in standing), None)


def _steps(before: Alert | None, kind: AlertKind, look: _Look) -> Iterator[_Step]:
    """The steps of an environment's newest alert of one kind. An unknown verdict ends nothing."""
    present, absent = _KINDS.get(look.whole.verdict, (None, frozenset()))
    if kind is present:
        yield from _seen(before, kind, look)
    elif kind in absent and before is not None and before.state is not AlertState.RESOLVED:
        yield from _gone(before, look)


def forgotten(alert: Alert, *, run_id: str, now: datetime, renamed_to: str | None = None) -> Followed:
    """The end of an alert about an environment that no run covers any more, or that has another name."""
    resolution = (
        f"The environment is called {renamed_to} now." if renamed_to else "No run covers the environment any more."
    )
    ended = replace(alert, state=AlertState.RESOLVED, resolved_at=now, changed_at=now, resolution=resolution)
    if alert.state is AlertState.WATCHED:
        return Followed((ended,))
    notice = Notice(_id(run_id, alert.id, "forgotten"), AlertEvent.RESOLVED, now, run_id, str(ended.resolution), ended)
    return Followed((ended,), (notice,))


# Which alert a verdict is about, and which it ends. An unknown verdict ends nothing.
_KINDS: Final[Mapping[str, tuple[AlertKind | None, frozenset[AlertKind]]]] = {
    Verdict.IN_SYNC: (None, frozenset(AlertKind)),
    Verdict.DRIFTED: (AlertKind.DRIFT, frozenset({AlertKind.PENDING, AlertKind.UNKNOWN})),
    Verdict.PENDING: (AlertKind.PENDING, frozenset({AlertKind.DRIFT, AlertKind.UNKNOWN})),
    Verdict.DIVERGED: (AlertKind.DRIFT, frozenset({AlertKind.UNKNOWN})),
    Verdict.UNKNOWN: (AlertKind.UNKNOWN, frozenset()),
}
_Step = tuple[Alert, AlertEvent | None, str]
# Each line of a channel begins with the environment's name, which a route adds.
_BACK: Final[Mapping[AlertKind, str]] = {
    AlertKind.DRIFT: "the same drift is back.",
    AlertKind.PENDING: "the same change is pending again.",
    AlertKind.UNKNOWN: "the verdict is unknown again, for the same reason.",
}
_OPEN: Final[Mapping[AlertKind, str]] = {
    AlertKind.DRIFT: "still drifted",
    AlertKind.PENDING: "still not applied",
    AlertKind.UNKNOWN: "still unknown",
}


def _seen(before: Alert | None, kind: AlertKind, look: _Look) -> Iterator[_Step]:
    """The steps of an alert whose cause is there."""
    if before is None or before.state is AlertState.RESOLVED:
        yield from _begins(before, kind, look)
        return
    now = replace(
        before,
        severity=_severity(kind, look),
        fingerprint=_fingerprint(kind, look.excerpt),
        cause=_cause(kind, look.excerpt),
        report=look.excerpt,
        passes=before.passes + 1,
        failure=None if kind is AlertKind.UNKNOWN else look.failure,
    )
    if before.state is AlertState.OPEN:
        yield from _open_goes_on(before, now, look)
        return
    if kind is AlertKind.PENDING and all_new(before, now):  # what was pending was applied elsewhere
        now = replace(now, first_seen_at=look.now, passes=1)
    yield (_opened(now, look), AlertEvent.OPENED, "") if _due(now, look) else (now, None, "")


def _begins(ended: Alert | None, kind: AlertKind, look: _Look) -> Iterator[_Step]:
    """The first step of an alert, or of one that is back after its end."""
    fingerprint = _fingerprint(kind, look.excerpt)
    returned = ended is not None and ended.fingerprint == fingerprint and ended.opened_at is not None
    fresh = _first(ended if returned else None, kind, fingerprint, look)
    if not _due(fresh, look):
        # Under an id of its own: a message about the one that ended goes on showing that.
        yield _first(None, kind, fingerprint, look), None, ""
    elif returned:
        yield _opened(fresh, look), AlertEvent.REOPENED, _BACK[kind]
    else:
        yield _opened(fresh, look), AlertEvent.OPENED, ""


def _open_goes_on(before: Alert, now: Alert, look: _Look) -> Iterator[_Step]:
    line = _news(before, now)
    if line:
        now = replace(now, changed_at=look.now)
        yield now, AlertEvent.CHANGED, line
    elif _visible(before.report) != _visible(now.report):
        yield now, AlertEvent.REFRESHED, ""
    else:
        yield now, None, ""
    due = [r for r in look.rules.reminders if before.opened_at and look.now - before.opened_at >= r.after]
    for reached in range(before.reminders + 1, len(due) + 1):  # several after a while without runs
        reminded = replace(now, reminders=reached)
        yield reminded, AlertEvent.REMINDED, _still(reminded, look)


def _still(alert: Alert, look: _Look) -> str:
    """The line of a reminder: what still stands, for how long, and the worst of it."""
    state = "the failed apply is not resolved" if alert.failure is not None else _OPEN[alert.kind]
    since = age(look.now - (alert.opened_at or look.now))
    return f"{state} after {since}: {happened(alert)}."


def _news(before: Alert, now: Alert) -> str:
    """What is new in an open alert, in sentences; empty without news."""
    line = difference(before, now) if before.fingerprint != now.fingerprint else ""
    if now.failure is not None and before.failure is None:
        line = f"an apply failed: {now.failure.strip().partition(chr(10))[0].rstrip('.')}. {line}".strip()
    more = new_commits(before, now)
    if now.kind is AlertKind.DRIFT and more:
        line = f"{line} Also pending: {more}." if line else f"also pending: {more}."
    order = list(Severity)
    if not line and order.index(now.severity) > order.index(before.severity):
        line = f"now {now.severity}: {', '.join(sorted(_reasons(now.report))) or now.kind}."
    return line


def _first(again: Alert | None, kind: AlertKind, fingerprint: str, look: _Look) -> Alert:
    """An alert that begins, or begins again under the id of the one that ended."""
    name = look.excerpt.name
    return Alert(
        id=again.id if again else _id(look.run_id, name, kind),
        environment=name,
        kind=kind,
        state=AlertState.WATCHED,
        severity=_severity(kind, look),
        fingerprint=fingerprint,
        cause=_cause(kind, look.excerpt),
        first_seen_at=look.now,
        changed_at=look.now,
        report=look.excerpt,
        failure=None if kind is AlertKind.UNKNOWN else look.failure,
    )


def _opened(alert: Alert, look: _Look) -> Alert:
    return replace(alert, state=AlertState.OPEN, opened_at=look.now, changed_at=look.now)


def _gone(before: Alert, look: _Look) -> Iterator[_Step]:
    """The end of an alert whose cause is gone."""
    gone_places = {place[:2] for place in drifted_places(before.report)}
    resolution = resolution_of(before, look.whole, gone_places, look.commit)
    report = before.report if before.state is AlertState.OPEN else look.excerpt
    after = replace(
        before,
        state=AlertState.RESOLVED,
        resolved_at=look.now,
        changed_at=look.now,
        resolution=resolution,
        report=report,
    )
    yield after, AlertEvent.RESOLVED if before.state is AlertState.OPEN else None, resolution


def _due(alert: Alert, look: _Look) -> bool:
    """Whether an alert that is only watched has to be sent now."""
    match alert.kind:
        case AlertKind.DRIFT:
            return True
        case AlertKind.UNKNOWN:
            removed = ReasonName.ENVIRONMENT_REMOVED in _reasons(look.excerpt)
            return removed or alert.passes >= look.rules.unknown_after
        case AlertKind.PENDING:
            failed = alert.failure is not None
            return (
                failed or _asks_for_action(look.excerpt) or look.now - alert.first_seen_at >= look.rules.pending_after
            )


def _asks_for_action(environment: EnvironmentReport) -> bool:
    """Whether the decision needs manual action: a merge, or an end to what holds the plan."""
    decision = environment.decision
    held = decision.action == Action.HOLD and not all(reason.passes for reason in decision.reasons)
    return decision.action == Action.PROPOSE or held


def _fingerprint(kind: AlertKind, environment: EnvironmentReport) -> str:
    match kind:
        case AlertKind.DRIFT:
            return environment.drift_fingerprint or environment.plan_fingerprint or _cause(kind, environment)
        case AlertKind.PENDING:
            return _digest([commit.sha for commit in environment.commits])
        case AlertKind.UNKNOWN:
            return environment.error_kind


def _severity(kind: AlertKind, look: _Look) -> Severity:
    environment, reasons = look.excerpt, _reasons(look.excerpt)
    if kind is AlertKind.DRIFT:
        conflict = any(Label.CONFLICT in resource.labels for resource in environment.resources)
        deleted = any(resource.deleted_outside for resource in environment.resources)
        return Severity.CRITICAL if conflict or deleted or ReasonName.FLAPPING in reasons else Severity.WARNING
    if kind is AlertKind.PENDING and look.failure is None and not destructive(environment.resources):
        return Severity.INFO
    return Severity.WARNING


def _cause(kind: AlertKind, environment: EnvironmentReport) -> str:
    """A digest that environments share when the same thing happened to them."""
    match kind:
        case AlertKind.DRIFT:
            return _digest(sorted({(address, path) for address, path, _ in drifted_places(environment)}))
        case AlertKind.PENDING:
            return _digest([[commit.sha for commit in environment.commits], sorted(_reasons(environment))])
        case AlertKind.UNKNOWN:
            error = environment.error or ErrorReport()
            place = (environment.name, environment.path, environment.workspace)
            return _digest(Faulted(*place, error.kind, error.message).gist)


def _reasons(environment: EnvironmentReport) -> set[str]:
    return {str(reason.name) for reason in environment.decision.reasons}


def _visible(report: EnvironmentReport) -> tuple[object, ...]:
    """What of a report a message shows."""
    return report.verdict, report.decision, report.resources, report.commits, report.error


def excerpt(environment: EnvironmentReport, commit: str) -> EnvironmentReport:
    """A report without settled changes, cut to what an alert can show: first what an apply destroys, then what
    was changed outside Terraform.

    Args:
        commit: the commit that was planned.
    """
    unsettled = [resource for resource in environment.resources if not SETTLED.issuperset(resource.labels)]
    unsettled.sort(key=lambda resource: (rank(resource), not resource.changed_outside))
    return msgspec.structs.replace(
        environment,
        resources=tuple(map(_resource_excerpt, unsettled[:_MAX_RESOURCES])),
        resources_omitted=max(0, len(unsettled) - _MAX_RESOURCES),
        commit=commit,
    )


def _resource_excerpt(resource: ResourceReport) -> ResourceReport:
    attributes = [attribute for attribute in resource.attributes if attribute.label not in SETTLED]
    attributes.sort(key=lambda attribute: attribute.label not in OUTSIDE)
    return msgspec.structs.replace(
        resource,
        attributes=tuple(attributes[:_MAX_ATTRIBUTES]),
        attributes_omitted=max(0, len(attributes) - _MAX_ATTRIBUTES),
    )


def _newest(alerts: Sequence[Alert], kind: AlertKind) -> Alert | None:
    of_kind = [alert for alert in alerts if alert.kind is kind]
    standing = [alert for alert in of_kind if alert.state is not AlertState.RESOLVED]
    last = standing or sorted(of_kind, key=lambda alert: alert.changed_at)
    return last[-1] if last else None


def _notice(alert: Alert, event: AlertEvent, line: str, look: _Look) -> Notice:
    step = f"{event}{alert.reminders}" if event is AlertEvent.REMINDED else event
    return Notice(_id(look.run_id, alert.id, step), event, look.now, look.run_id, line, alert)


def _id(*parts: str) -> str:
    return str(uuid.uuid5(_IDS, "/".join(parts)))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
