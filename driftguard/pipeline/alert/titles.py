"""The title of an alert: what happened, where, for how long, and what an apply would destroy. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from driftguard.model import Action, Alert, AlertKind, Verdict
from driftguard.model.reasons import ReasonName
from driftguard.model.report import CommitReport, EnvironmentReport, ResourceReport
from driftguard.model.words import OUTSIDE, Label, error_text, plural
from driftguard.pipeline.consequences import consequence_title, destructive, short_address
from driftguard.report import shorten

#: Three lines of a phone.
MAX_TITLE: Final = 130
# The longest address in a title, whose end counts.
_ADDRESSES: Final = (64, 40, 24)
_OLD: Final = timedelta(hours=2)
_KINDS: Final[Mapping[AlertKind, str]] = {
    AlertKind.DRIFT: "Drift",
    AlertKind.PENDING: "Pending",
    AlertKind.UNKNOWN: "Unknown verdict",
    AlertKind.PROBE: "Wrong probe",
}
_RESOLVED: Final[Mapping[AlertKind, str]] = {
    AlertKind.DRIFT: "Drift in {where} is resolved",
    AlertKind.PENDING: "Nothing is pending in {where} any more",
    AlertKind.UNKNOWN: "The verdict of {where} is known again",
    AlertKind.PROBE: "Probes of {where} are made again",
}
_REMOVED: Final = "removed from git; the resources remain"


def title(alerts: Sequence[Alert], standing: Sequence[Alert], now: datetime, place: str = "") -> str:
    """The whole message in one line.

    Args:
        standing: those of the alerts that are open.
        place: the account and region of the first, in parentheses; may be empty.
    """
    first, where = (standing or alerts)[0], _where(alerts, standing)
    if not standing:
        return _RESOLVED[first.kind].format(where=where)
    if len({alert.cause for alert in standing}) > 1:
        return f"{_KINDS[first.kind]} in {where}, no longer of one cause"
    if removed(first.report):
        return f"{where} {'was' if len(alerts) == 1 else 'were'} {_REMOVED}"
    since = now - min(alert.first_seen_at for alert in standing)
    age_text = f" for {age(since)}" if since >= _OLD else ""
    place = place if len(alerts) == 1 else ""
    return _fitting(first, (f"{where}{place}{age_text}", f"{where}{age_text}", where))


def _where(alerts: Sequence[Alert], standing: Sequence[Alert]) -> str:
    """The environment, or how many there are; of those that a message began with, how many are still open."""
    if len(alerts) == 1:
        return alerts[0].environment
    still = f"{len(standing)} of " if 0 < len(standing) < len(alerts) else ""
    return f"{still}{len(alerts)} environments"


def _fitting(alert: Alert, places: Sequence[str]) -> str:
    """The longest form of a title that fits.

    Args:
        places: forms of where it is, the best one first.
    """
    text = ""
    for longest in _ADDRESSES:
        for place in places:
            text = f"{about(alert)} in {place}{_restless(alert)}: {happened(alert, longest)}"
            if len(text) <= MAX_TITLE:
                return text
    worst = consequence_title(alert.report.resources, _ADDRESSES[-1])
    if worst:  # what is cut is never what would be lost
        text = f"{about(alert)} in {places[-1]}: an apply {worst}; {happened(alert, _ADDRESSES[-1])}"
    return text if len(text) <= MAX_TITLE else f"{text[: MAX_TITLE - 1]}…"


def _restless(alert: Alert) -> str:
    return " comes and goes" if alert.comes_and_goes else ""


def about(alert: Alert) -> str:
    """What an open alert is about, in one or two words."""
    report = alert.report
    if alert.failure is not None:
        return "Failed apply"
    if alert.kind is AlertKind.PENDING and report.decision.action == Action.HOLD and not passes(report):
        return "On hold"
    if alert.kind is AlertKind.DRIFT and any(Label.CONFLICT in resource.labels for resource in report.resources):
        return "Conflict"
    return _KINDS[alert.kind]


def happened(alert: Alert, longest: int = _ADDRESSES[0]) -> str:
    """What happened in the environment of an open alert, and what an apply destroys; without the environment's name.

    Args:
        longest: the longest address.
    """
    if alert.gone:
        return f"{_happened(alert, longest)}; not at the moment"
    return _happened(alert, longest)


def _happened(alert: Alert, longest: int) -> str:
    report = alert.report
    if alert.failure is not None:
        error = re.sub(r"^Error:\s*", "", alert.failure.strip().partition("\n")[0])
        return _with_consequence(shorten(error) or "the apply did not finish", report, longest)
    match alert.kind:
        case AlertKind.DRIFT:
            return _with_consequence(_drift(report, longest), report, longest)
        case AlertKind.PENDING:
            return _pending(report, longest)
        case AlertKind.UNKNOWN:
            return _REMOVED if removed(report) else error_text(report.error_kind)
        case AlertKind.PROBE:
            return "an audit's plan differs from what the probe found"


def passes(report: EnvironmentReport) -> bool:
    """Whether everything that holds an environment's plan ends by itself."""
    return all(reason.passes for reason in report.decision.reasons)


def removed(report: EnvironmentReport) -> bool:
    """Whether the environment's directory was removed from git."""
    return any(reason.name == ReasonName.ENVIRONMENT_REMOVED for reason in report.decision.reasons)


def age(since: timedelta) -> str:
    """A duration in its largest unit, such as `90 minutes` or `3 days`; less than a minute in seconds."""
    if since < timedelta(minutes=1):
        return plural(int(since.total_seconds()), "second")
    minutes = int(since.total_seconds() // 60)
    for unit, size in (("day", 1440), ("hour", 60)):
        if minutes >= 2 * size:
            return plural(minutes // size, unit)
    return plural(minutes, "minute")


def _with_consequence(text: str, report: EnvironmentReport, longest: int) -> str:
    worst = destructive(report.resources)
    if not worst:
        return text
    consequence = consequence_title(report.resources, longest)
    if len(worst) == 1 and not worst[0].deposed:
        named = short_address(worst[0].address, longest)
        consequence = consequence.replace(named, "it") if named in text else consequence
    return f"{text}; an apply {consequence}"


def _pending(report: EnvironmentReport, longest: int) -> str:
    """What is not applied yet; before it, what an apply would destroy."""
    count = len(report.commits)
    if not destructive(report.resources):
        return f"{_commits(report.commits)} {'is' if count == 1 else 'are'} not applied"
    waiting = f" ({_commits(report.commits)})" if count else ""
    return f"an apply {consequence_title(report.resources, longest)}{waiting}"


def _drift(report: EnvironmentReport, longest: int) -> str:
    conflicts = [resource for resource in report.resources if Label.CONFLICT in resource.labels]
    if conflicts:
        return f"{_named(conflicts, 0, longest)} changed outside Terraform and by a commit"
    changed = [resource for resource in report.resources if resource.changed_outside]
    omitted = report.resources_omitted or 0
    also = ""
    if report.verdict == Verdict.DIVERGED and report.commits:
        count = len(report.commits)
        also = f"; {plural(count, 'commit')} {'is' if count == 1 else 'are'} not applied"
    deleted = [resource for resource in changed if resource.deleted_outside]
    if len(deleted) == 1 and len(changed) + omitted > 1:
        others = plural(len(changed) + omitted - 1, "more resource")
        return f"{short_address(deleted[0].address, longest)} was deleted outside Terraform; {others} changed{also}"
    return f"{_named(changed, omitted, longest)} {_how_drifted(changed, omitted)}{also}"


def _how_drifted(changed: Sequence[ResourceReport], omitted: int) -> str:
    left = all(OUTSIDE & set(resource.labels) == {Label.RESIDUE} for resource in changed)
    deleted = sum(resource.deleted_outside for resource in changed)
    if changed and left and not omitted:
        return "left behind by a failed apply"
    if deleted and deleted == len(changed) + omitted:
        return "deleted outside Terraform"
    return "changed outside Terraform" + (f", {deleted} of them deleted" if deleted else "")


def _named(resources: Sequence[ResourceReport], omitted: int, longest: int) -> str:
    """A resource by its address, or how many there are, with its verb."""
    if len(resources) != 1 or omitted:
        return f"{plural(len(resources) + omitted, 'resource')} were"
    return f"{short_address(resources[0].address, longest)} was"


def _commits(commits: Sequence[CommitReport]) -> str:
    """What is pending: the only commit by its subject, or how many there are."""
    if len(commits) == 1:
        return f"“{shorten(commits[0].subject) or commits[0].sha[:10]}”"
    return plural(len(commits), "commit") if commits else "changes"
