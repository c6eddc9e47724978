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
    Acknowledgement,
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
from driftguard.model.report import EnvironmentReport, ErrorReport
from driftguard.model.words import Label
from driftguard.pipeline.alert.damping import Step, damped, is_quiet
from driftguard.pipeline.alert.differences import all_new, drifted_places, is_worse, more_severe
from driftguard.pipeline.alert.ending import resolution_of
from driftguard.pipeline.alert.excerpts import excerpt
from driftguard.pipeline.alert.lines import BACK, acknowledgement_ended, news, news_after_nothing, still
from driftguard.pipeline.consequences import destructive

_IDS: Final = uuid.UUID("5f9d3a0e-6a53-4d56-9d6c-0b1f5b3b7a11")


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
    silence: Acknowledgement | None


def follow(
    environment: EnvironmentReport,
    alerts: Sequence[Alert],
    *,
    commit: str,
    run_id: str,
    now: datetime,
    rules: AlertSettings,
    silence: Acknowledgement | None = None,
) -> Followed:
    """What an environment's report means for its alerts.

    Args:
        silence: of the environment's alerts; None without one.
        alerts: the environment's alerts that are not resolved, and the newest resolved one of each kind.
        commit: the commit that was planned.
    """
    if environment.error_kind == ErrorKind.INTERRUPTED:
        return Followed()  # nothing was seen
    failure = _failure(environment, alerts)
    look = _Look(excerpt(environment, commit), environment, commit, run_id, now, rules, failure, silence)
    kept: dict[str, Alert] = {}
    notices: list[Notice] = []
    for kind in AlertKind:
        before = _newest(alerts, kind)
        newest = before and before.not_after(now)
        for step in _steps(newest, kind, look):
            after, event, line = _quietly(newest, damped(newest, step, now=now, rules=rules.damping), look)
            newest = kept[after.id] = after
            if event is not None:
                notices.append(_notice(after, event, line, look))
    return Followed(tuple(kept.values()), tuple(notices))


def _failure(environment: EnvironmentReport, alerts: Sequence[Alert]) -> str | None:
    """The error of the environment's failed apply: of this run, or of an earlier one that nothing has made good."""
    for reason in environment.decision.reasons:
        if reason.name in (ReasonName.APPLY_FAILED, ReasonName.STATE_NOT_WRITTEN):
            return reason.detail or "the apply did not finish"
        if reason.name == ReasonName.APPLIED:
            return None
    standing = (alert for alert in alerts if alert.state is not AlertState.RESOLVED and alert.failure is not None)
    return next((alert.failure for alert in standing), None)


def _steps(before: Alert | None, kind: AlertKind, look: _Look) -> Iterator[Step]:
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
    notice = Notice(
        notice_id(run_id, alert.id, "forgotten"), AlertEvent.RESOLVED, now, run_id, str(ended.resolution), ended
    )
    return Followed((ended,), (notice,))


# Which alert a verdict is about, and which it ends. An unknown verdict ends nothing; that of a wrong probe, none ends.
_KINDS: Final[Mapping[str, tuple[AlertKind | None, frozenset[AlertKind]]]] = {
    Verdict.IN_SYNC: (None, frozenset(AlertKind) - {AlertKind.PROBE}),
    Verdict.DRIFTED: (AlertKind.DRIFT, frozenset({AlertKind.PENDING, AlertKind.UNKNOWN})),
    Verdict.PENDING: (AlertKind.PENDING, frozenset({AlertKind.DRIFT, AlertKind.UNKNOWN})),
    Verdict.DIVERGED: (AlertKind.DRIFT, frozenset({AlertKind.UNKNOWN})),
    Verdict.UNKNOWN: (AlertKind.UNKNOWN, frozenset()),
}


def _seen(before: Alert | None, kind: AlertKind, look: _Look) -> Iterator[Step]:
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


def _begins(ended: Alert | None, kind: AlertKind, look: _Look) -> Iterator[Step]:
    """The first step of an alert, or of one that is back after its end."""
    fingerprint = _fingerprint(kind, look.excerpt)
    returned = ended is not None and ended.fingerprint == fingerprint and ended.opened_at is not None
    fresh = _first(ended if returned else None, kind, fingerprint, look)
    if not _due(fresh, look):
        # Under an id of its own: a message about the one that ended goes on showing that.
        yield _first(None, kind, fingerprint, look), None, ""
    elif returned:
        yield _opened(fresh, look), AlertEvent.REOPENED, BACK[kind]
    else:
        yield _opened(fresh, look), AlertEvent.OPENED, ""


def _quietly(before: Alert | None, step: Step, look: _Look) -> Step:
    """A step of an open alert; while its environment is silenced, all but its end only updates messages."""
    after, event, _ = step
    silenced = look.silence is not None and look.silence.covers(after.severity, look.now)
    if not silenced or before is None or before.state is not AlertState.OPEN:
        return step
    match event:
        case None | AlertEvent.REMINDED:
            return after, None, ""
        case AlertEvent.RESOLVED:
            return step
        case _:
            return after, AlertEvent.REFRESHED, ""


def _open_goes_on(before: Alert, now: Alert, look: _Look) -> Iterator[Step]:
    line, worse = _news(before, now), is_worse(before, now)
    if before.acked is not None and (worse or not before.acked.covers(now.severity, look.now)):
        now = replace(now, acked=None)
        line = acknowledgement_ended(line, before.acked.text.partition(":")[0]) if worse else line
    if line:
        now = replace(now, changed_at=look.now)
        yield now, AlertEvent.WORSE if worse else AlertEvent.CHANGED, line
    elif _visible(before.report) != _visible(now.report) or before.acked != now.acked:
        yield now, AlertEvent.REFRESHED, ""
    else:
        yield now, None, ""
    yield from _reminders(before, now, look)


def _news(before: Alert, now: Alert) -> str:
    """What is new in an open alert; one that comes and goes may be open though nothing of it was there."""
    if not before.gone:
        return news(before, now)
    nothing = msgspec.structs.replace(before.report, resources=(), commits=())
    return news_after_nothing(replace(before, report=nothing, fingerprint=""), now)


def _reminders(before: Alert, now: Alert, look: _Look) -> Iterator[Step]:
    """The reminders that an open alert has reached since the last run."""
    due = look.rules.due_reminders(look.now - (before.opened_at or look.now))
    if now.acked is not None or is_quiet(before):
        if due > now.reminders:  # those that fall into a quiet time are not made up for
            yield replace(now, reminders=due), None, ""
        return
    listed = len(look.rules.reminders)
    # Several after a while without runs: each of the list; a repetition only by itself, and the last of them.
    reached_now = range(now.reminders + 1, min(due, listed) + 1) or ([due] if due > now.reminders else ())
    for reached in reached_now:
        reminded = replace(now, reminders=reached)
        yield reminded, AlertEvent.REMINDED, still(reminded, look.now)
    if reached_now and due > max(listed, now.reminders):
        yield replace(now, reminders=due), None, ""


def acknowledged(alert: Alert, word: Acknowledgement, run_id: str) -> Followed:
    """An operator's word that an open alert is known: no reminder and no escalation until it ends."""
    peak = alert.damping.peak if alert.damping is not None else alert.severity
    now = replace(alert, acked=replace(word, severity=more_severe(alert.severity, peak)))
    id_, line = notice_id(run_id, alert.id, word.at.isoformat()), f"acknowledged {word.text}"
    return Followed((now,), (Notice(id_, AlertEvent.ACKNOWLEDGED, word.at, run_id, line, now),))


def _first(again: Alert | None, kind: AlertKind, fingerprint: str, look: _Look) -> Alert:
    """An alert that begins, or begins again under the id of the one that ended."""
    name = look.excerpt.name
    return Alert(
        id=again.id if again else notice_id(look.run_id, name, kind),
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


def _gone(before: Alert, look: _Look) -> Iterator[Step]:
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
    if look.silence is not None and look.silence.covers(alert.severity, look.now):
        return False
    match alert.kind:
        case AlertKind.DRIFT | AlertKind.PROBE:
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
        case AlertKind.UNKNOWN | AlertKind.PROBE:
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
        case AlertKind.UNKNOWN | AlertKind.PROBE:
            error = environment.error or ErrorReport()
            place = (environment.name, environment.path, environment.workspace)
            return _digest(Faulted(*place, error.kind, error.message).gist)


def _reasons(environment: EnvironmentReport) -> set[str]:
    return {str(reason.name) for reason in environment.decision.reasons}


def _visible(report: EnvironmentReport) -> tuple[object, ...]:
    """What of a report a message shows, beside who acknowledged it."""
    return report.verdict, report.decision, report.resources, report.commits, report.error


def _newest(alerts: Sequence[Alert], kind: AlertKind) -> Alert | None:
    of_kind = [alert for alert in alerts if alert.kind is kind]
    standing = [alert for alert in of_kind if alert.state is not AlertState.RESOLVED]
    last = standing or sorted(of_kind, key=lambda alert: alert.changed_at)
    return last[-1] if last else None


def _notice(alert: Alert, event: AlertEvent, line: str, look: _Look) -> Notice:
    step = f"{event}{alert.reminders}" if event is AlertEvent.REMINDED else event
    return Notice(notice_id(look.run_id, alert.id, step), event, look.now, look.run_id, line, alert)


def notice_id(*parts: str) -> str:
    """The id of an alert or a notice, made of the run and what it is about: the same run gives the same one."""
    return str(uuid.uuid5(_IDS, "/".join(parts)))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
