"""How an alert ended: put back by hand, applied, adopted, or covered by a rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftguard.model import Alert, AlertKind


def how_it_ended(alert: Alert, environment: Mapping[str, Any]) -> str:
    """What resolved an alert, in one sentence.

    Args:
        environment: the report in which its cause is gone.
    """
    decision, commit = environment["decision"], environment["commit"][:10]
    applied = decision["action"] == "apply" and any(reason.startswith("applied") for reason in decision["reasons"])
    match alert.kind:
        case AlertKind.UNKNOWN:
            return f"It can be planned again: {environment['verdict'].replace('_', ' ')} at {commit}."
        case AlertKind.PENDING:
            if applied:
                return f"Applied by DriftGuard at {commit}."
            if environment["closure_hash"] != alert.report["closure_hash"]:
                return f"Nothing waits any more: a commit up to {commit} took it back, or it was applied elsewhere."
            return f"Applied elsewhere; git at {commit} is what is there."
        case AlertKind.DRIFT:
            if applied:
                return f"Put back by DriftGuard's apply at {commit}."
            return _drift_ended(alert, environment, commit)


def _drift_ended(alert: Alert, environment: Mapping[str, Any], commit: str) -> str:
    rules = {
        attribute["ignored_by"]
        for resource in environment["resources"]
        for attribute in resource["attributes"]
        if attribute["ignored_by"]
    }
    if rules:
        return f"An ignore rule covers it now: {', '.join(sorted(rules))}."
    if environment["closure_hash"] != alert.report["closure_hash"]:
        return f"Adopted: git at {commit} says what reality is."
    return "Put back by hand: reality is what git says again."
