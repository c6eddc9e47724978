"""What differs between an alert and its former self, in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from driftguard.model import Alert, AlertKind, Severity
from driftguard.model.fingerprints import comparable
from driftguard.model.report import EnvironmentReport
from driftguard.model.words import OUTSIDE
from driftguard.pipeline.consequences import Fate, fate_of

_MAX_LISTED: Final = 5
#: Between the address of a resource and the path of its attribute, in what damping remembers.
PATH: Final = "\t"


def drifted_places(environment: EnvironmentReport) -> set[tuple[str, str, str]]:
    """What of a report was changed outside Terraform: address, attribute path, and the current value as text."""
    return {
        (resource.address, attribute.path, json.dumps(attribute.reality, sort_keys=True))
        for resource in environment.resources
        for attribute in resource.attributes
        if attribute.label in OUTSIDE
    }


def difference(before: Alert, now: Alert) -> str:
    """What differs between an alert and its former self, in one sentence; empty where that is no news."""
    if now.kind in (AlertKind.UNKNOWN, AlertKind.PROBE):
        return ""
    if now.kind is AlertKind.PENDING:
        more = new_commits(before, now)
        if not more:
            return ""
        return f"other commits are pending now: {more}." if all_new(before, now) else f"more is pending now: {more}."
    if now.kind is AlertKind.DRIFT and not comparable(before.fingerprint, now.fingerprint):
        return _new_addresses(before, now)
    old, new = drifted_places(before.report), drifted_places(now.report)
    old_places, new_places = {place[:2] for place in old}, {place[:2] for place in new}
    parts = [
        f"{word}: {listed(sorted(_name(*place) for place in places))}"
        for word, places in (
            ("new", new_places - old_places),
            ("gone", old_places - new_places),
            ("changed again", {place[:2] for place in new - old} & old_places),
        )
        if places
    ]
    return "; ".join(parts or ["changed again, in values that are not shown"]) + "."


def _new_addresses(before: Alert, now: Alert) -> str:
    """What is news where the fingerprints have different versions: an object that had not drifted before.

    The paths of attributes may differ between versions for the same drift.
    """
    known = {place[0] for place in drifted_places(before.report)}
    more = sorted({place[0] for place in drifted_places(now.report)} - known)
    return f"new: {listed(more)}." if more else ""


def new_commits(before: Alert, now: Alert) -> str:
    """The commits behind an alert that were not behind it before, as a list in words."""
    known = {commit.sha for commit in before.report.commits}
    more = [commit for commit in now.report.commits if commit.sha not in known]
    return listed([f"{commit.sha[:10]} {commit.subject}" for commit in more])


def all_new(before: Alert, now: Alert) -> bool:
    """Whether commits are pending, and none of those that were pending before."""
    known = {commit.sha for commit in before.report.commits}
    pending = {commit.sha for commit in now.report.commits}
    return bool(pending) and known.isdisjoint(pending)


def rises(before: Severity, now: Severity) -> bool:
    """Whether a severity is higher than another."""
    order = list(Severity)
    return order.index(now) > order.index(before)


def more_severe(one: Severity, other: Severity) -> Severity:
    """The higher of two severities."""
    return other if rises(one, other) else one


def is_worse(before: Alert, now: Alert) -> bool:
    """Whether what an alert is about became worse: its severity, an apply that failed, something more that is lost."""
    if now.failure is not None and before.failure is None:
        return True
    severity, known, memory = before.severity, lost(before), before.damping
    if memory is not None and memory.restless:  # what comes and goes is compared with the worst that it was
        severity = more_severe(severity, memory.peak)
        known |= set(memory.lost) & {key.partition(PATH)[0] for key in memory.restless}
    return rises(severity, now.severity) or not lost(now) <= known


def lost(alert: Alert) -> set[str]:
    """The resources that were deleted, or that an apply would destroy."""
    return {r.address for r in alert.report.resources if r.deleted_outside or fate_of(r) is not Fate.KEPT}


def _name(address: str, path: str) -> str:
    return f"{address} {path}" if path else address


def listed(names: Sequence[str]) -> str:
    """A list in words, not more than a few of it."""
    more = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
