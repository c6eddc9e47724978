"""Damping: what keeps coming and going is reported once, then no more until it is steady. Pure.

Each attribute has its own count: reverting several by hand is no coming and going. Drift that stays, and what is new,
are heard beside an attribute that a script keeps changing. While something comes and goes its alert stays open, also
when nothing of it is there: sinks without threads would otherwise open and close an incident each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from driftguard.config import DampingSettings
from driftguard.model import Alert, AlertEvent, AlertKind, AlertState, Damping
from driftguard.model.fingerprints import comparable
from driftguard.pipeline.alert import lines
from driftguard.pipeline.alert.differences import PATH, drifted_places, lost, more_severe, rises

#: An alert after a step, what is sent of it, and its line.
Step = tuple[Alert, AlertEvent | None, str]

_MAX_OBJECTS: Final = 400
_BEGINNINGS: Final = (AlertEvent.OPENED, AlertEvent.REOPENED)
_QUIET: Final = (AlertEvent.REFRESHED, None)
# The whole of an alert, where its fingerprint changed and no single object did.
_ALL: Final = ""


def damped(before: Alert | None, step: Step, *, now: datetime, rules: DampingSettings) -> Step:
    """A step of an alert, or what is sent in its place because it comes and goes.

    Args:
        before: the environment's newest alert of the kind; the step may begin another one.
    """
    after, event, line = replace(step[0], damping=None), *step[1:]
    if not rules.enabled:
        return after, event, line
    memory = _recent(before.damping if before is not None else None, now, rules)
    old, new = _present(before), _present(after)
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    if not changed and old and new and before is not None and _differ(before, after):
        changed = {_ALL}
    change = _Change(before, (after, event, line), memory, now, rules)
    return change.made(changed) if changed else change.unchanged()


def is_quiet(alert: Alert) -> bool:
    """Whether all that an alert is about comes and goes, so that no reminder is sent."""
    restless = alert.damping.restless if alert.damping is not None else {}
    return alert.gone or (bool(restless) and _objects(_present(alert)) <= _objects(restless))


@dataclass(frozen=True, slots=True)
class _Change:
    """One step, and what is remembered of those before it."""

    before: Alert | None
    step: Step
    memory: Damping
    now: datetime
    rules: DampingSettings

    def made(self, changed: AbstractSet[str]) -> Step:
        """The step where objects changed."""
        moments = {**self.memory.moments}
        for key in sorted(changed):
            moments[key] = (*moments.pop(key, ()), self.now)[-self.rules.changes :]
        known, objects = _objects(self.memory.restless), _objects(changed)
        often = {key for key in changed if len(moments[key]) >= self.rules.changes or _object(key) in known}
        end = self.now + self.rules.within
        extended = {key: end for key in self.memory.restless if _object(key) in objects}
        memory = replace(self._lasting(moments), restless={**self.memory.restless, **extended})
        if often != changed or self._worse():
            return self._news(memory, changed)
        memory = replace(memory, restless={**memory.restless, **dict.fromkeys(sorted(changed), end)})
        kept = self._kept(memory)
        if objects <= known:
            return kept, AlertEvent.REFRESHED, ""
        times = [moment for key in changed for moment in moments[key]]
        most = max(len(moments[key]) for key in changed)
        text = lines.comes_and_goes(kept, objects, most, self.now - min(times), self.rules.within)
        return kept, AlertEvent.DAMPED, text

    def unchanged(self) -> Step:
        """The step where no object changed: what was restless may be steady now."""
        after, event, line = self.step
        steady = {key for key, end in self.memory.restless.items() if end <= self.now}
        memory = replace(
            self.memory,
            restless={key: end for key, end in self.memory.restless.items() if key not in steady},
            moments={key: ats for key, ats in self.memory.moments.items() if key not in steady},
        )
        if after.state is AlertState.RESOLVED and memory.restless:
            return self._kept(memory), None, ""
        after = replace(after, damping=_or_none(memory))
        if steady and after.state is not AlertState.WATCHED:
            line = lines.steady(after, _objects(steady), self.rules.within, line)
            if after.state is AlertState.RESOLVED:
                after = replace(after, resolution=line)
            return after, AlertEvent.STEADY if event in _QUIET else event, line
        return after, event, line

    def _news(self, memory: Damping, changed: AbstractSet[str]) -> Step:
        """A step that is heard. What comes and goes beside it keeps the alert open."""
        after, event, line = self.step
        if after.state is not AlertState.RESOLVED or not memory.restless:
            return replace(after, damping=memory), event, line
        return self._kept(memory), AlertEvent.CHANGED, lines.gone(after, _objects(changed) - _objects(memory.restless))

    def _kept(self, memory: Damping) -> Alert:
        """The alert, open: under the id of the one before it, and also when nothing of it is there."""
        after = self.step[0]
        if after.state is AlertState.RESOLVED:
            return replace(
                after,
                state=AlertState.OPEN,
                resolved_at=None,
                resolution=None,
                damping=replace(memory, gone=True),
            )
        before = self.before
        if before is not None and before.opened_at is not None:
            after = replace(after, id=before.id)
        return replace(after, damping=memory)

    def _worse(self) -> bool:
        """Whether it is worse than it ever was while it came and went."""
        after, event, _ = self.step
        beyond = rises(self.memory.peak, after.severity) or not lost(after) <= set(self.memory.lost)
        return event is AlertEvent.WORSE or (event in _BEGINNINGS and beyond)

    def _lasting(self, moments: Mapping[str, tuple[datetime, ...]]) -> Damping:
        """What is remembered from now on: the newest changes, and the worst that the alert was meanwhile."""
        after = self.step[0]
        kept = dict(list(moments.items())[-_MAX_OBJECTS:])
        worst = sorted(lost(after) | set(self.memory.lost))[:_MAX_OBJECTS]
        return Damping(kept, {}, more_severe(self.memory.peak, after.severity), tuple(worst))


def _recent(memory: Damping | None, now: datetime, rules: DampingSettings) -> Damping:
    """What is remembered, without changes of long ago; nothing once all of them are."""
    if memory is None:
        return Damping()
    start = now - rules.within
    recent = {key: tuple(at for at in ats if at > start) for key, ats in memory.moments.items()}
    recent = {key: ats for key, ats in recent.items() if ats}
    kept = replace(memory, moments=recent, gone=False)
    return kept if recent or memory.restless else Damping()


def _object(key: str) -> str:
    """The object of a key: of an attribute, its resource."""
    return key.partition(PATH)[0]


def _objects(keys: Iterable[str]) -> set[str]:
    return {_object(key) for key in keys}


def _or_none(memory: Damping) -> Damping | None:
    return None if memory == Damping() else memory


def _differ(before: Alert, after: Alert) -> bool:
    return before.fingerprint != after.fingerprint and comparable(before.fingerprint, after.fingerprint)


def _present(alert: Alert | None) -> dict[str, str]:
    """What an open alert is about, by object, each with a text that is equal while it is the same."""
    if alert is None or alert.state is not AlertState.OPEN or alert.gone:
        return {}
    match alert.kind:
        case AlertKind.DRIFT:
            return {f"{address}{PATH}{path}": value for address, path, value in drifted_places(alert.report)}
        case AlertKind.PENDING:
            return {commit.sha: "" for commit in alert.report.commits} or {_ALL: alert.fingerprint}
        case AlertKind.UNKNOWN:
            return {alert.fingerprint: ""}
        case AlertKind.PROBE:
            return {}  # it ends by an operator's word
