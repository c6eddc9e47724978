"""What is done about a verdict: guard clauses in order, one stable reason per return.

Takes `Facts`; gives a `Decision`. Pure: no clock, no port, no randomness. An apply is decided only when it is wanted
for everything that the plan contains and no condition holds it; every condition that does is a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from driftguard.config import Policy
from driftguard.model import Action, Decision, Verdict
from driftguard.pipeline.decide.conditions import reasons_against, state_alarms
from driftguard.pipeline.decide.facts import Facts, policy_by_group


def decide(facts: Facts) -> Decision:
    """The decision, with every reason that applies, in the order of the conditions."""
    if facts.verdict is Verdict.UNKNOWN or facts.classification is None:
        kind = facts.fault.kind.value if facts.fault else "unknown"
        return Decision(Action.ALERT, (f"unknown: {kind}",))
    if facts.verdict is Verdict.IN_SYNC:
        return Decision(Action.NONE, ("in_sync",))
    groups = policy_by_group(facts, facts.classification)
    if all(word == "alert" for word in groups.values()):
        alarms = tuple(state_alarms(facts, facts.classification))
        return Decision(Action.ALERT, alarms + tuple(f"policy_alert: {group}" for group in groups))
    against = tuple(reasons_against(facts, facts.classification, groups))
    if against:
        return Decision(Action.HOLD, against + _void_approvals(facts))
    if "propose" in groups.values():
        return Decision(Action.PROPOSE, _policies(groups, "propose") + _void_approvals(facts))
    approved = (f"approved: {facts.plan_approval.path}",) if facts.plan_approval.id else ()
    return Decision(Action.APPLY, _policies(groups, "apply", "revert") + approved + facts.approvals.reasons)


def decide_by_all(facts: Facts, policies: Sequence[Policy]) -> Decision:
    """The decision under the last of several policies, unless an earlier one that still counts would not apply.

    Args:
        policies: oldest first; the facts hold for each of them.
    """
    *earlier, present = (decide(replace(facts, policy=policy)) for policy in policies)
    stricter = next((decision for decision in earlier if decision.action is not Action.APPLY), None)
    if present.action is not Action.APPLY or stricter is None:
        return present
    return replace(stricter, reasons=(*stricter.reasons, "policy_waits"))


def _policies(groups: dict[str, str], *words: str) -> tuple[str, ...]:
    return tuple(f"policy_{word}: {group}" for group, word in groups.items() if word in words)


def _void_approvals(facts: Facts) -> tuple[str, ...]:
    return tuple(f"approval_void: {why}" for why in (facts.plan_approval.void or {}).values())
