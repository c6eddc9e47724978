"""The facts behind a decision as JSON, for the journal, so that another policy can be tried on them later.

The classification itself stands in the report beside them; what the report has no field for is added here. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import msgspec

from driftguard.config import Policy
from driftguard.model import Decision
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.decide.facts import Facts
from driftguard.pipeline.decide.history import Past
from driftguard.sealed import mask


def decision_inputs(
    facts: Facts, policies: Sequence[Policy], decision: Decision | None = None, past: Past | None = None
) -> Mapping[str, Any]:
    """What `decide` saw, as plain JSON values without secrets.

    Args:
        policies: those that were asked, oldest first.
        decision: what was decided, before anything followed from it.
        past: what earlier attempts mean, from which another policy may draw other conclusions.
    """
    found = facts.classification
    resources = found.resources if found else ()
    plan = facts.plan_approval
    inputs = {
        "now": facts.now,
        "policies": [policy.model_dump(by_alias=True) for policy in policies],
        "approvals": {**asdict(facts.approvals), "reasons": list(map(str, facts.approvals.reasons))},
        "nothing_exists": facts.nothing_exists,
        "first_apply_unfinished": facts.first_apply_unfinished,
        "state_replaced": facts.state_replaced,
        "state_not_written": facts.state_not_written,
        "creations_unknown": sorted(facts.creations_unknown),
        "baseline_given": facts.baseline_given,
        "state_shared": list(facts.state_shared),
        "local_state": facts.local_state,
        "applied_elsewhere": facts.applied_elsewhere,
        "not_settled": list(facts.not_settled),
        "upstream_changed": facts.upstream_changed,
        "failures": facts.failures,
        "backoff_until": facts.backoff_until,
        "reverts": facts.reverts,
        "plan_approval": {"id": plan.id, "path": plan.path, "void": dict(plan.void or {})},
        "can_propose": facts.can_propose,
        "resource_count": found.resource_count if found else 0,
        "due_again": [resource.address for resource in resources if resource.due_again],
        "would_revert": [
            [resource.address, attribute.path]
            for resource in resources
            for attribute in resource.attributes
            if attribute.ignored_by and attribute.reality != attribute.desired
        ],
        "failed_at": past.failed_at if past else None,
        "reverted_at": list(past.reverted_at) if past else [],
        "decided": {"action": decision.action, "reasons": list(map(str, decision.reasons))} if decision else None,
    }
    plain: Mapping[str, Any] = _plain(inputs)
    return plain


def found_before(report: EnvironmentReport) -> Mapping[str, Any]:
    """What was found and decided about before an apply, as JSON: the report beside it has what the apply left."""
    plain = msgspec.to_builtins(report)
    return {name: plain.get(name) for name in ("verdict", "resources", "outputs", "invocations")}


def _plain(value: Any) -> Any:
    """JSON values that the configuration's own reader takes again: durations as seconds, moments in RFC 3339.

    Texts are redacted: a commit writes them (a reason, a glob), and the journal keeps them.
    """
    if isinstance(value, timedelta):
        return f"{int(value.total_seconds())}s"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else mask(str(value))
