"""How an alert was resolved, as far as that is known: applied, adopted, covered by a rule; else what is equal now."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from driftguard.model import Action, Alert, AlertKind
from driftguard.model.reasons import ReasonName
from driftguard.model.report import EnvironmentReport
from driftguard.model.words import SETTLED, Label, verdict_text


def resolution_of(
    alert: Alert, environment: EnvironmentReport, places: AbstractSet[tuple[str, str]], commit: str
) -> str:
    """What resolved an alert, in one sentence.

    Args:
        environment: the whole report in which its cause is gone.
        places: what the alert was about: addresses and attribute paths.
        commit: the commit that was planned.
    """
    commit = commit[:10]
    match alert.kind:
        case AlertKind.UNKNOWN:
            return f"The plan works again: {verdict_text(environment.verdict)} at {commit}."
        case AlertKind.PENDING:
            return _pending_resolved(alert, environment, commit)
        case AlertKind.PROBE:
            return f"Probed again at {commit}."
        case AlertKind.DRIFT:
            if _applied(environment):
                return f"Reverted by DriftGuard's apply at {commit}."
            return _drift_resolved(alert, environment, places, commit)


def _applied(environment: EnvironmentReport) -> bool:
    decision = environment.decision
    return decision.action == Action.APPLY and any(reason.name == ReasonName.APPLIED for reason in decision.reasons)


def _pending_resolved(alert: Alert, environment: EnvironmentReport, commit: str) -> str:
    if _applied(environment):
        return f"Applied by DriftGuard at {commit}."
    if environment.closure_hash != alert.report.closure_hash:
        return f"Nothing is pending at {commit}: probably reverted by a commit, or applied elsewhere."
    if not alert.report.commits:
        return "Nothing is pending: its source probably has its former value again, or it was applied elsewhere."
    return f"Reality equals the configuration at {commit}: probably applied elsewhere."


def _drift_resolved(
    alert: Alert, environment: EnvironmentReport, places: AbstractSet[tuple[str, str]], commit: str
) -> str:
    there = [
        attribute
        for resource in environment.resources
        for attribute in resource.attributes
        if (resource.address, attribute.path) in places
    ]
    rules = {attribute.ignored_by for attribute in there if attribute.ignored_by}
    if rules:
        return f"Covered by an ignore rule: {', '.join(sorted(rules))}."
    labels = {attribute.label for attribute in there}
    if not labels <= SETTLED:
        return (
            "The state now holds the outside change, and it still differs from the configuration: see what is pending."
        )
    if labels == {Label.ADOPTED}:
        return f"Adopted: the configuration at {commit} matches reality."
    if Label.NOISE in labels:
        return f"Ignored by the configuration at {commit} (`ignore_changes`)."
    if environment.closure_hash != alert.report.closure_hash:
        return f"Reality equals the configuration at {commit} again: probably adopted, or reverted beside a commit."
    return (
        "The value equals the configuration again." if len(places) == 1 else "The values equal the configuration again."
    )
