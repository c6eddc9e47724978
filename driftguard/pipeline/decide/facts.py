"""What a decision rests on: the facts of one environment, and what the policy asks for in each group of labels.

Pure: no clock, no port, no randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from driftguard.config import Policy
from driftguard.model import Classification, Fault, Label, Verdict
from driftguard.model.words import COMMITTED, DRIFTED, UNCOMMITTED
from driftguard.pipeline.approve.commits import Approvals
from driftguard.pipeline.approve.plans import NO_APPROVAL, PlanApproval

GROUPS: Final[dict[str, frozenset[Label]]] = {
    "pending": COMMITTED,
    "drift": DRIFTED,
    "input": UNCOMMITTED,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision rests on.

    Attributes:
        classification, fault: one of them, the other None.
        nothing_exists: the state is empty and nothing real is known, so that everything is created.
        first_apply_unfinished: there is no baseline because our own first apply, to an empty state, did not end well.
        state_replaced: how the state is not the one of the baseline any more: lost, replaced, rolled back; else empty.
        state_not_written: where the state of the last apply is kept, which could not be stored; else empty.
        creations_unknown: addresses that an apply was cut off at while it created them.
        state_shared: other environments at head whose state this is as well.
        local_state: the state is a file of a user's work tree, which is never applied to.
        applied_elsewhere: why a platform applies without DriftGuard, so that it only watches; else empty.
        not_settled: the environments that it depends on and that are not in sync.
        upstream_changed: which outputs of other environments changed that it gets; else empty.
        failures: failed attempts at this commit since the last `driftguard retry`.
        backoff_until: when the next attempt may start; None at once.
        reverts: applies that reverted this very drift within `policy.flapping.within`.
        plan_approval: what merged approval files mean for exactly this plan.
        can_propose: whether pull requests can be opened.
        baseline_given: the baseline is the word of an operator, not seen and not applied by DriftGuard.
    """

    verdict: Verdict
    classification: Classification | None
    fault: Fault | None
    policy: Policy
    approvals: Approvals
    now: datetime
    nothing_exists: bool = False
    first_apply_unfinished: bool = False
    state_replaced: str = ""
    state_not_written: str = ""
    creations_unknown: frozenset[str] = frozenset()
    state_shared: tuple[str, ...] = ()
    local_state: bool = False
    applied_elsewhere: str = ""
    not_settled: tuple[str, ...] = ()
    upstream_changed: str = ""
    failures: int = 0
    backoff_until: datetime | None = None
    reverts: int = 0
    plan_approval: PlanApproval = NO_APPROVAL
    can_propose: bool = False
    baseline_given: bool = False


def policy_by_group(facts: Facts, classification: Classification) -> dict[str, str]:
    """What is to be done about each group of labels that the plan contains, in the order of the reasons.

    The keys are `conflict`, `pending`, `drift` and `input`; the values are the policy's words, `hold` for a conflict,
    and `approved` for what the policy would propose and a merged approval of exactly this plan covers.
    """
    labels = _labels(classification)
    groups: dict[str, str] = {}
    if Label.CONFLICT in labels:
        groups["conflict"] = "hold"
    if labels & COMMITTED:
        groups["pending"] = facts.policy.pending
    if labels & DRIFTED:
        groups["drift"] = _drift_policy(facts, labels)
    if Label.INPUT in labels or (not groups and Label.DERIVED in labels):
        groups["input"] = facts.policy.input
    if facts.plan_approval.id is not None:
        groups = {group: "approved" if word == "propose" else word for group, word in groups.items()}
    return groups


def _drift_policy(facts: Facts, labels: frozenset[Label]) -> str:
    """The policy for drift; what only an operator's word makes `absorbed` is never reverted by itself."""
    unproven = facts.baseline_given and Label.ABSORBED in labels
    return "propose" if unproven and facts.policy.drift == "revert" else facts.policy.drift


def _labels(classification: Classification) -> frozenset[Label]:
    found = frozenset[Label]().union(*(r.labels for r in classification.resources))
    return found | {output.label for output in classification.outputs}
