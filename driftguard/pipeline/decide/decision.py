"""What is done about a verdict: guard clauses in order, one stable reason per return.

Takes `Facts`; gives a `Decision`. Pure: no clock, no port, no randomness. An apply is decided only when it is wanted
for everything that the plan contains and no condition holds it; every condition that does is a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from driftguard.config import Policy
from driftguard.model import Action, Decision, Verdict
from driftguard.model.reasons import Reason, ReasonName
from driftguard.pipeline.decide.conditions import alarms, reasons_against
from driftguard.pipeline.decide.facts import Facts, policy_by_group

_POLICIES: Final = {
    "alert": ReasonName.POLICY_ALERT,
    "apply": ReasonName.POLICY_APPLY,
    "revert": ReasonName.POLICY_REVERT,
    "propose": ReasonName.POLICY_PROPOSE,
}


def decide(facts: Facts) -> Decision:
    """The decision, with every reason that applies, in the order of the conditions."""
    found = _decided(facts)
    if found.action is Action.NONE or not facts.upstream_changed:
        return found
    return replace(found, reasons=(*found.reasons, Reason(ReasonName.UPSTREAM_CHANGED, facts.upstream_changed)))


def _decided(facts: Facts) -> Decision:
    if facts.verdict is Verdict.UNKNOWN or facts.classification is None:
        kind = facts.fault.kind.value if facts.fault else "unknown"
        return Decision(Action.ALERT, (Reason(ReasonName.UNKNOWN, kind),))
    if facts.verdict is Verdict.IN_SYNC:
        return Decision(Action.NONE, (Reason(ReasonName.IN_SYNC),))
    groups = policy_by_group(facts, facts.classification)
    if all(word == "alert" for word in groups.values()):
        found = tuple(alarms(facts, facts.classification))
        return Decision(Action.ALERT, found + _policies(groups, "alert"))
    against = tuple(reasons_against(facts, facts.classification, groups))
    if against:
        return Decision(Action.HOLD, against + _void_approvals(facts))
    if "propose" in groups.values():
        return Decision(Action.PROPOSE, _policies(groups, "propose") + _void_approvals(facts))
    approved = (Reason(ReasonName.APPROVED, str(facts.plan_approval.path)),) if facts.plan_approval.id else ()
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
    return replace(stricter, reasons=(*stricter.reasons, Reason(ReasonName.POLICY_WAITS)))


def _policies(groups: dict[str, str], *words: str) -> tuple[Reason, ...]:
    return tuple(Reason(_POLICIES[word], group) for group, word in groups.items() if word in words)


def _void_approvals(facts: Facts) -> tuple[Reason, ...]:
    return tuple(Reason(ReasonName.APPROVAL_VOID, why) for why in (facts.plan_approval.void or {}).values())
