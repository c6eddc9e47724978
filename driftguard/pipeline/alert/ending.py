"""How an alert ended: put back by hand, applied, adopted, or covered by a rule."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from driftguard.model import Alert, AlertKind


def how_it_ended(
    alert: Alert, environment: Mapping[str, Any], places: AbstractSet[tuple[str, str]], commit: str
) -> str:
    """What resolved an alert, in one sentence.

    Args:
        environment: the whole report in which its cause is gone.
        places: what the alert was about: addresses and attribute paths.
        commit: the commit that was looked at.
    """
    decision, commit = environment["decision"], commit[:10]
    applied = decision["action"] == "apply" and any(reason.startswith("applied") for reason in decision["reasons"])
    match alert.kind:
        case AlertKind.UNKNOWN:
            return f"It can be planned again: {environment['verdict'].replace('_', ' ')} at {commit}."
        case AlertKind.PENDING:
            if applied:
                return f"Applied by DriftGuard at {commit}."
            if environment["closure_hash"] != alert.report["closure_hash"]:
                return f"Nothing waits any more: a commit up to {commit} took it back, or it was applied elsewhere."
            if not alert.report["commits"]:
                return "What it came from, such as a data source, is as before, or it was applied elsewhere."
            return f"Applied elsewhere; git at {commit} is what is there."
        case AlertKind.DRIFT:
            if applied:
                return f"Put back by DriftGuard's apply at {commit}."
            return _drift_ended(alert, environment, places, commit)


def _drift_ended(
    alert: Alert, environment: Mapping[str, Any], places: AbstractSet[tuple[str, str]], commit: str
) -> str:
    there = [
        attribute
        for resource in environment["resources"]
        for attribute in resource["attributes"]
        if (resource["address"], attribute["path"]) in places
    ]
    rules = {attribute["ignored_by"] for attribute in there if attribute["ignored_by"]}
    if rules:
        return f"An ignore rule covers it now: {', '.join(sorted(rules))}."
    labels = {attribute["label"] for attribute in there}
    if not labels <= {"noise", "adopted"}:
        return "The state has taken it over, and it still differs from git: what waits says how."
    if labels == {"adopted"}:
        return f"Adopted: git at {commit} says what reality is."
    if "noise" in labels:
        return f"Git at {commit} lets it be: what differs there is ignored."
    if environment["closure_hash"] != alert.report["closure_hash"]:
        return f"Git at {commit} and reality agree again: it was adopted, or put back while git went on."
    return "Put back by hand: reality is what git says again."
