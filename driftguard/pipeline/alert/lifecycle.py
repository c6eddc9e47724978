"""The life of an alert: what one more look at an environment means for what people were told of it.

Takes an environment's JSON report and the alerts about it; gives the alerts as they stand now and the notices that
follow. Pure: no clock, no port, no randomness; ids are made of the run, so that the same run says the same thing.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from driftguard.config import AlertSettings
from driftguard.model import Alert, AlertEvent, AlertKind, AlertState, Notice, Severity
from driftguard.model.reasons import PASSING
from driftguard.pipeline.alert.ending import how_it_ended

_IDS: Final = uuid.UUID("5f9d3a0e-6a53-4d56-9d6c-0b1f5b3b7a11")
_QUIET: Final = frozenset({"noise", "adopted"})
_DRIFT: Final = frozenset({"drift", "absorbed", "residue", "conflict"})
_MOST_RESOURCES: Final = 200
_MOST_ATTRIBUTES: Final = 30


@dataclass(frozen=True, slots=True)
class Followed:
    """What one look at an environment gives: alerts to keep, and notices to tell."""

    alerts: tuple[Alert, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one environment: its report as alerts keep it, and the whole of it."""

    environment: Mapping[str, Any]
    whole: Mapping[str, Any]
    commit: str
    run_id: str
    now: datetime
    rules: AlertSettings


def follow(
    environment: Mapping[str, Any],
    alerts: Sequence[Alert],
    *,
    commit: str,
    run_id: str,
    now: datetime,
    rules: AlertSettings,
) -> Followed:
    """What an environment's report means for its alerts.

    Args:
        environment: one entry of the contract's JSON report.
        alerts: the environment's alerts that are not resolved, and the newest resolved one of each kind.
        commit: the commit that was looked at.
    """
    if (environment["error"] or {}).get("kind") == "interrupted":
        return Followed()  # nothing was seen
    look = _Look({**excerpt(environment), "commit": commit}, environment, commit, run_id, now, rules)
    kept: list[Alert] = []
    notices: list[Notice] = []
    present, absent = _KINDS[environment["verdict"]]
    for kind in AlertKind:
        before = _newest(alerts, kind)
        if kind is present:
            steps = _seen(before, kind, look)
        elif kind in absent and before is not None and before.state is not AlertState.RESOLVED:
            steps = _gone(before, look)
        else:
            continue
        for after, event, line in steps:
            if not kept or kept[-1].id != after.id:
                kept.append(after)
            kept[-1] = after
            if event is not None:
                notices.append(_notice(after, event, line, look))
    return Followed(tuple(kept), tuple(notices))


def forgotten(alert: Alert, *, run_id: str, now: datetime, renamed_to: str | None = None) -> Followed:
    """The end of an alert about an environment that is no longer looked at, or is under another name."""
    resolution = f"It is called {renamed_to} now." if renamed_to else "It is no longer looked at."
    ended = replace(alert, state=AlertState.RESOLVED, resolved_at=now, changed_at=now, resolution=resolution)
    if alert.state is AlertState.WATCHED:
        return Followed((ended,))
    notice = Notice(_id(run_id, alert.id, "forgotten"), AlertEvent.RESOLVED, now, run_id, str(ended.resolution), ended)
    return Followed((ended,), (notice,))


# Which alert a verdict speaks for, and which it ends. An unknown verdict ends nothing.
_KINDS: Final[Mapping[str, tuple[AlertKind | None, frozenset[AlertKind]]]] = {
    "in_sync": (None, frozenset(AlertKind)),
    "drifted": (AlertKind.DRIFT, frozenset({AlertKind.PENDING, AlertKind.UNKNOWN})),
    "pending": (AlertKind.PENDING, frozenset({AlertKind.DRIFT, AlertKind.UNKNOWN})),
    "diverged": (AlertKind.DRIFT, frozenset({AlertKind.UNKNOWN})),
    "unknown": (AlertKind.UNKNOWN, frozenset()),
}
_Step = tuple[Alert, AlertEvent | None, str]


def _seen(before: Alert | None, kind: AlertKind, look: _Look) -> Iterator[_Step]:
    """The steps of an alert whose cause is there."""
    fingerprint, severity = _fingerprint(kind, look.environment), _severity(kind, look.environment)
    if before is None or before.state is AlertState.RESOLVED:
        returned = before is not None and before.fingerprint == fingerprint and before.opened_at is not None
        fresh = _first(before if returned else None, kind, fingerprint, severity, look)
        if not _to_be_said(fresh, look):
            # Under an id of its own: a message that shows the one that ended goes on showing that.
            yield _first(None, kind, fingerprint, severity, look), None, ""
        elif returned:
            yield _opened(fresh, look), AlertEvent.REOPENED, "It is back."
        else:
            yield _opened(fresh, look), AlertEvent.OPENED, ""
        return
    now = replace(
        before,
        severity=severity,
        fingerprint=fingerprint,
        cause=_cause(kind, look.environment),
        report=look.environment,
        passes=before.passes + 1,
    )
    if before.state is AlertState.WATCHED:
        if kind is AlertKind.PENDING and _all_new(before, now):  # what waited was applied elsewhere
            now = replace(now, first_seen_at=look.now, passes=1)
        said = _to_be_said(now, look)
        yield (_opened(now, look), AlertEvent.OPENED, "") if said else (now, None, "")
        return
    yield from _open_goes_on(before, now, look)


def _open_goes_on(before: Alert, now: Alert, look: _Look) -> Iterator[_Step]:
    worse = list(Severity).index(now.severity) > list(Severity).index(before.severity)
    line = _what_changed(before, now) if before.fingerprint != now.fingerprint else ""
    more = _new_commits(before, now)
    if now.kind is AlertKind.DRIFT and more:
        line = f"{line} Waits with it: {more}.".strip()
    if worse and not line:
        line = f"It is {now.severity} now: {', '.join(_reasons(look.environment)) or now.kind}."
    if line:
        now = replace(now, changed_at=look.now)
        yield now, AlertEvent.CHANGED, line
    elif _shown(before.report) != _shown(now.report):
        yield now, AlertEvent.REFRESHED, ""
    else:
        yield now, None, ""
    due = [r for r in look.rules.reminders if before.opened_at and look.now - before.opened_at >= r.after]
    for reached in range(before.reminders + 1, len(due) + 1):  # several after a while without passes
        reminded = replace(now, reminders=reached)
        yield reminded, AlertEvent.REMINDED, f"Still there after {_age(before.opened_at, look.now)}."


def _first(again: Alert | None, kind: AlertKind, fingerprint: str, severity: Severity, look: _Look) -> Alert:
    """An alert that begins, or begins again under the id of the one that ended."""
    return Alert(
        id=again.id if again else _id(look.run_id, look.environment["name"], kind),
        environment=look.environment["name"],
        kind=kind,
        state=AlertState.WATCHED,
        severity=severity,
        fingerprint=fingerprint,
        cause=_cause(kind, look.environment),
        first_seen_at=look.now,
        changed_at=look.now,
        report=look.environment,
    )


def _opened(alert: Alert, look: _Look) -> Alert:
    return replace(alert, state=AlertState.OPEN, opened_at=look.now, changed_at=look.now)


def _gone(before: Alert, look: _Look) -> Iterator[_Step]:
    """The end of an alert whose cause is gone."""
    gone_places = {place[:2] for place in drifted_places(before.report)}
    resolution = how_it_ended(before, look.whole, gone_places, look.commit)
    report = before.report if before.state is AlertState.OPEN else look.environment
    after = replace(
        before,
        state=AlertState.RESOLVED,
        resolved_at=look.now,
        changed_at=look.now,
        resolution=resolution,
        report=report,
    )
    yield after, AlertEvent.RESOLVED if before.state is AlertState.OPEN else None, resolution


def _to_be_said(alert: Alert, look: _Look) -> bool:
    """Whether an alert that is only watched has to be told now."""
    reasons = _reasons(look.environment)
    match alert.kind:
        case AlertKind.DRIFT:
            return True
        case AlertKind.UNKNOWN:
            return "environment_removed" in reasons or alert.passes >= look.rules.unknown_after
        case AlertKind.PENDING:
            action = look.environment["decision"]["action"]
            asked = action == "propose" or (action == "hold" and not PASSING.issuperset(reasons))
            return asked or look.now - alert.first_seen_at >= look.rules.pending_after


def _fingerprint(kind: AlertKind, environment: Mapping[str, Any]) -> str:
    match kind:
        case AlertKind.DRIFT:
            return str(environment["drift_fingerprint"] or environment["plan_fingerprint"] or _cause(kind, environment))
        case AlertKind.PENDING:
            return _digest([commit["sha"] for commit in environment["commits"]])
        case AlertKind.UNKNOWN:
            return str((environment["error"] or {}).get("kind", ""))


def _severity(kind: AlertKind, environment: Mapping[str, Any]) -> Severity:
    reasons = _reasons(environment)
    if kind is AlertKind.DRIFT:
        conflict = any("conflict" in resource["labels"] for resource in environment["resources"])
        return Severity.CRITICAL if conflict or "flapping" in reasons or _deleted(environment) else Severity.WARNING
    if kind is AlertKind.PENDING and "apply_failed" not in reasons:
        return Severity.INFO
    return Severity.WARNING


def _deleted(environment: Mapping[str, Any]) -> bool:
    return any(
        attribute["path"] == "" and attribute["reality"] == "absent" and attribute["label"] in _DRIFT
        for resource in environment["resources"]
        for attribute in resource["attributes"]
    )


def _cause(kind: AlertKind, environment: Mapping[str, Any]) -> str:
    """A digest that environments share when the same thing happened to them."""
    match kind:
        case AlertKind.DRIFT:
            return _digest(sorted({(address, path) for address, path, _ in drifted_places(environment)}))
        case AlertKind.PENDING:
            return _digest([[commit["sha"] for commit in environment["commits"]], sorted(_reasons(environment))])
        case AlertKind.UNKNOWN:
            error = environment["error"] or {"kind": "", "message": ""}
            own = "|".join(re.escape(environment[key]) for key in ("path", "name", "workspace"))
            return _digest([error["kind"], re.sub(rf"{own}|\d+", "*", error["message"])])


def drifted_places(environment: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Each place of a report that was changed outside: address, attribute path, and what reality is as text."""
    return {
        (resource["address"], attribute["path"], json.dumps(attribute["reality"], sort_keys=True))
        for resource in environment["resources"]
        for attribute in resource["attributes"]
        if attribute["label"] in _DRIFT
    }


def _what_changed(before: Alert, now: Alert) -> str:
    """What is new in an alert, in one sentence; empty where that is nothing to tell."""
    if now.kind is AlertKind.UNKNOWN:
        return ""
    if now.kind is AlertKind.PENDING:
        more = _new_commits(before, now)
        if not more:
            return ""
        return f"Something else waits now: {more}." if _all_new(before, now) else f"More waits now: {more}."
    old, new = drifted_places(before.report), drifted_places(now.report)
    old_places, new_places = {place[:2] for place in old}, {place[:2] for place in new}
    parts = [
        f"{word}: {_listed(sorted(_place(*place) for place in places))}"
        for word, places in (
            ("New", new_places - old_places),
            ("Gone", old_places - new_places),
            ("Changed again", {place[:2] for place in new - old} & old_places),
        )
        if places
    ]
    return "; ".join(parts or ["Changed again, in values that are not shown"]) + "."


def _new_commits(before: Alert, now: Alert) -> str:
    """The commits behind an alert that were not behind it before, as a list in words."""
    known = {commit["sha"] for commit in before.report["commits"]}
    more = [commit for commit in now.report["commits"] if commit["sha"] not in known]
    return _listed([f"{commit['sha'][:10]} {commit['subject']}" for commit in more])


def _all_new(before: Alert, now: Alert) -> bool:
    """Whether commits wait, and none of those that waited before."""
    known = {commit["sha"] for commit in before.report["commits"]}
    waiting = {commit["sha"] for commit in now.report["commits"]}
    return bool(waiting) and known.isdisjoint(waiting)


def _place(address: str, path: str) -> str:
    return f"{address} {path}" if path else address


def _listed(names: Sequence[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")


def _reasons(environment: Mapping[str, Any]) -> set[str]:
    return {reason.partition(":")[0] for reason in environment["decision"]["reasons"]}


def _shown(report: Mapping[str, Any]) -> Any:
    """What of a report a message shows."""
    return [report["verdict"], report["decision"], report["resources"], report["commits"], report["error"]]


def excerpt(environment: Mapping[str, Any]) -> dict[str, Any]:
    """A report without what has no meaning, shortened to what an alert can show: first what was changed outside."""
    told = [r for r in environment["resources"] if not set(r["labels"]) <= _QUIET]
    told.sort(key=lambda r: _DRIFT.isdisjoint(r["labels"]))
    resources = []
    for resource in told[:_MOST_RESOURCES]:
        attributes = [a for a in resource["attributes"] if a["label"] not in _QUIET]
        attributes.sort(key=lambda a: a["label"] not in _DRIFT)
        resources.append(
            {
                **resource,
                "attributes": attributes[:_MOST_ATTRIBUTES],
                "attributes_omitted": max(0, len(attributes) - _MOST_ATTRIBUTES),
            }
        )
    omitted = max(0, len(told) - _MOST_RESOURCES)
    return {**environment, "resources": resources, "resources_omitted": omitted}


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


def _age(since: datetime | None, now: datetime) -> str:
    minutes = int((now - (since or now)).total_seconds() // 60)
    for one, size in (("day", 1440), ("hour", 60)):
        if minutes >= 2 * size:
            return f"{minutes // size} {one}s"
    return f"{minutes} minutes"
