"""Decisions: every reason named, and never an apply that something speaks against."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.config import Approval, Flapping, Limits, Policy, Suspended, Window
from driftguard.model import (
    Action,
    AttributeChange,
    Classification,
    Decision,
    ErrorKind,
    Fault,
    Label,
    OutputChange,
    ResourceChange,
    Verdict,
)
from driftguard.model.reasons import Reason, ReasonName
from driftguard.pipeline.approve.commits import Approvals
from driftguard.pipeline.approve.plans import NO_APPROVAL, PlanApproval
from driftguard.pipeline.classify.labels import verdict_of
from driftguard.pipeline.decide.decision import decide
from driftguard.pipeline.decide.facts import Facts
from driftguard.sealed import Sealed

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EVERYTHING = Policy(pending="apply", drift="revert", input="apply", limits=Limits(destroys=99, replaces=99, share=1.0))

APPROVED = Approvals(True, (Reason(ReasonName.MERGED, "1 commits"),))


def resource(
    *labels: Label, address: str = "aws_x.a", actions: tuple[str, ...] = ("update",), certain: bool = True
) -> ResourceChange:
    return ResourceChange(address, address.split(".")[0], "aws", actions, frozenset(labels), certain, ())


def facts(*resources: ResourceChange, policy: Policy = EVERYTHING, existing: int = 100, **more: Any) -> Facts:
    classification = Classification(
        verdict_of([r.labels for r in resources]), resources, (), "drift", "plan", resource_count=existing
    )
    settings: dict[str, Any] = {"approvals": APPROVED, "now": NOW, **more}
    return Facts(classification.verdict, classification, None, policy, **settings)


def names(decision: Decision) -> tuple[str, list[str]]:
    return decision.action.value, [str(reason.name) for reason in decision.reasons]


def test_what_is_in_sync_needs_nothing() -> None:
    assert names(decide(facts(resource(Label.NOISE, actions=())))) == ("none", ["in_sync"])


def test_what_is_unknown_is_reported_with_its_kind() -> None:
    unknown = Facts(Verdict.UNKNOWN, None, Fault(ErrorKind.LOCKED, "x"), EVERYTHING, APPROVED, NOW)
    assert decide(unknown) == Decision(Action.ALERT, (Reason(ReasonName.UNKNOWN, "locked"),))


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_was_not_classified_is_never_taken_for_in_sync(verdict: Verdict) -> None:
    unclassified = Facts(verdict, None, None, EVERYTHING, APPROVED, NOW)
    assert decide(unclassified) == Decision(Action.ALERT, (Reason(ReasonName.UNKNOWN, "unknown"),))


@pytest.mark.parametrize(
    "label", [Label.PENDING, Label.DRIFT, Label.ABSORBED, Label.RESIDUE, Label.INPUT, Label.REFACTOR]
)
def test_the_default_policy_only_alerts(label: Label) -> None:
    assert names(decide(facts(resource(label), policy=Policy()))) == ("alert", ["policy_alert"])


@pytest.mark.parametrize(
    ("label", "policy"),
    [
        (Label.PENDING, Policy(pending="apply")),
        (Label.REFACTOR, Policy(pending="apply")),
        (Label.DRIFT, Policy(drift="revert")),
        (Label.ABSORBED, Policy(drift="revert")),
        (Label.RESIDUE, Policy(drift="revert")),
        (Label.INPUT, Policy(input="apply")),
        (Label.DERIVED, Policy(input="apply")),
    ],
)
def test_each_group_of_labels_has_its_own_policy(label: Label, policy: Policy) -> None:
    assert decide(facts(resource(label), policy=policy)).action is Action.APPLY


def test_what_follows_from_a_commit_is_applied_with_it() -> None:
    decision = decide(facts(resource(Label.PENDING, Label.DERIVED), policy=Policy(pending="apply")))
    assert decision.action is Action.APPLY


def test_a_conflict_is_always_held() -> None:
    assert names(decide(facts(resource(Label.CONFLICT)))) == ("hold", ["conflict"])
    assert names(decide(facts(resource(Label.CONFLICT), policy=Policy()))) == ("hold", ["conflict"])


def test_a_conflict_does_not_hide_what_else_speaks_against_an_apply() -> None:
    policy = Policy(pending="apply", suspended=Suspended(reason="x"))
    found = facts(resource(Label.CONFLICT), resource(Label.PENDING, Label.DRIFT, address="aws_x.b"), policy=policy)
    assert names(decide(found)) == ("hold", ["conflict", "mixed_with_drift", "suspended"])


def test_a_lost_state_is_not_a_first_apply() -> None:
    again = [resource(Label.ABSORBED, address=f"aws_x.{n}", actions=("create",)) for n in range(2)]
    lost = facts(*again, nothing_exists=True, state_replaced="rolled back", existing=0)
    assert names(decide(lost)) == ("hold", ["state_replaced"])


@pytest.mark.parametrize(
    ("labels", "policy", "reason"),
    [
        ((Label.PENDING, Label.DRIFT), Policy(pending="apply"), "mixed_with_drift"),
        ((Label.PENDING, Label.DRIFT), Policy(drift="revert"), "mixed_with_pending"),
        ((Label.PENDING, Label.INPUT), Policy(pending="apply"), "mixed_with_input"),
        ((Label.PENDING, Label.DRIFT), Policy(pending="apply", drift="propose"), "proposals_not_available"),
    ],
)
def test_a_mixed_plan_is_held_unless_every_part_may_be_applied(
    labels: tuple[Label, ...], policy: Policy, reason: str
) -> None:
    assert names(decide(facts(resource(*labels), policy=policy))) == ("hold", [reason])
    assert decide(facts(resource(*labels), policy=EVERYTHING)).action is Action.APPLY


def test_an_uncertain_label_is_held_but_for_a_first_apply_to_nothing() -> None:
    uncertain = resource(Label.PENDING, actions=("create",), certain=False)
    assert names(decide(facts(uncertain))) == ("hold", ["uncertain"])
    assert decide(facts(uncertain, nothing_exists=True, existing=0)).action is Action.APPLY


def test_what_our_own_unfinished_first_apply_did_not_make_may_be_made() -> None:
    missing = resource(Label.PENDING, actions=("create",), certain=False)
    changed = resource(Label.PENDING, address="aws_x.b", certain=False)
    assert decide(facts(missing, first_apply_unfinished=True)).action is Action.APPLY
    assert names(decide(facts(missing, changed, first_apply_unfinished=True))) == ("hold", ["uncertain"])


def ignored(desired: Any) -> ResourceChange:
    attribute = AttributeChange(
        "count", Label.NOISE, Sealed(1), Sealed(2), Sealed(desired), None, "rule", ignored_by="autoscaled"
    )
    return replace(resource(Label.PENDING, Label.NOISE), attributes=(attribute,))


def test_an_apply_that_would_undo_what_an_ignore_rule_covers_is_held() -> None:
    assert names(decide(facts(ignored(1)))) == ("hold", ["would_revert_ignored"])
    assert decide(facts(ignored(2))).action is Action.APPLY


def test_limits_count_what_the_plan_does() -> None:
    destroyed = [resource(Label.PENDING, address=f"aws_x.d{n}", actions=("delete",)) for n in range(2)]
    replaced = resource(Label.PENDING, address="aws_x.r", actions=("delete", "create"))
    policy = Policy(pending="apply", limits=Limits(changes=2, share=0.02))
    assert names(decide(facts(*destroyed, replaced, policy=policy))) == (
        "hold",
        ["limit_changes", "limit_destroys", "limit_replaces", "limit_share"],
    )


def test_deleting_almost_everything_is_held_whatever_the_limits() -> None:
    destroyed = [resource(Label.PENDING, address=f"aws_x.d{n}", actions=("delete",)) for n in range(4)]
    assert names(decide(facts(*destroyed, existing=5)))[1] == ["would_delete_almost_everything"]
    assert decide(facts(*destroyed, existing=6)).action is Action.APPLY


@pytest.mark.parametrize("actions", [("delete",), ("delete", "create"), ("create", "delete")])
def test_what_is_protected_is_neither_destroyed_nor_replaced(actions: tuple[str, ...]) -> None:
    policy = EVERYTHING.model_copy(update={"protect": ("aws_db_instance",)})
    touched = resource(Label.PENDING, address="aws_db_instance.main", actions=actions)
    assert names(decide(facts(touched, policy=policy)))[1] == ["protected"]
    updated = resource(Label.PENDING, address="aws_db_instance.main")
    assert decide(facts(updated, policy=policy)).action is Action.APPLY


def test_suspension_ends_by_itself() -> None:
    policy = EVERYTHING.model_copy(update={"suspended": Suspended(reason="migration", until=NOW + timedelta(hours=1))})
    assert names(decide(facts(resource(Label.PENDING), policy=policy)))[1] == ["suspended"]
    later = facts(resource(Label.PENDING), policy=policy, now=NOW + timedelta(hours=2))
    assert decide(later).action is Action.APPLY


def test_every_reason_that_fires_is_named() -> None:
    policy = Policy(
        pending="apply",
        protect=("aws_x.*",),
        suspended=Suspended(reason="x"),
        windows=(Window(deny="* * * * *", for_=timedelta(hours=1)),),
        flapping=Flapping(reverts=1),
        approval=Approval(),
    )
    held = facts(
        resource(Label.PENDING, actions=("delete",), certain=False),
        policy=policy,
        approvals=Approvals(False, (Reason(ReasonName.NOT_SIGNED, "abc"),)),
        state_replaced="rolled back",
        local_state=True,
        reverts=1,
        failures=1,
        backoff_until=NOW + timedelta(minutes=5),
    )
    assert names(decide(held))[1] == [
        "state_replaced",
        "uncertain",
        "not_signed",
        "protected",
        "limit_destroys",
        "suspended",
        "window_closed",
        "flapping",
        "backoff",
        "local_state",
    ]


# --- properties ----------------------------------------------------------------------------------

PROPOSING = Policy(pending="propose", drift="propose", input="propose")
MERGED = PlanApproval("id", ".driftguard/approvals/prod/plan.yaml")
CLOSED = Window(deny="* * * * *", for_=timedelta(hours=1))
labels = st.sets(st.sampled_from(list(Label)), max_size=4)
actions = st.sampled_from([(), ("no-op",), ("create",), ("update",), ("delete",), ("delete", "create"), ("forget",)])
resources = st.lists(
    st.builds(
        lambda label, action, certain, n: resource(*label, address=f"aws_x.r{n}", actions=action, certain=certain),
        labels,
        actions,
        st.booleans(),
        st.integers(0, 9),
    ),
    max_size=5,
)
policies = st.builds(
    Policy,
    pending=st.sampled_from(["alert", "apply", "propose"]),
    drift=st.sampled_from(["alert", "revert", "propose"]),
    input=st.sampled_from(["alert", "apply", "propose"]),
    limits=st.builds(Limits, changes=st.integers(0, 9), destroys=st.integers(0, 9), replaces=st.integers(0, 9)),
    protect=st.sampled_from([(), ("aws_x.r1",), ("aws_x",)]),
    suspended=st.sampled_from([None, Suspended(reason="x")]),
    windows=st.sampled_from([(), (CLOSED,)]),
    flapping=st.builds(Flapping, reverts=st.integers(1, 5)),
)
outputs = st.lists(
    st.builds(OutputChange, st.just("o"), st.sampled_from(list(Label)), st.booleans(), st.booleans(), st.just("r")),
    max_size=1,
)
all_facts = st.builds(
    lambda found, policy, output, approved, existing, more: replace(
        facts(
            *found,
            policy=policy,
            existing=existing,
            approvals=Approvals(approved, (Reason(ReasonName.MERGED),)),
            **more,
        ),
        classification=Classification(
            verdict_of([*(r.labels for r in found), *({o.label} for o in output)]),
            tuple(found),
            tuple(output),
            None,
            "plan",
            existing,
        ),
        verdict=verdict_of([*(r.labels for r in found), *({o.label} for o in output)]),
    ),
    resources,
    policies,
    outputs,
    st.booleans(),
    st.integers(0, 20),
    st.fixed_dictionaries(
        {
            "reverts": st.integers(0, 5),
            "backoff_until": st.sampled_from([None, NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)]),
            "local_state": st.booleans(),
            "nothing_exists": st.booleans(),
            "state_replaced": st.sampled_from(["", "rolled back"]),
            "can_propose": st.booleans(),
            "plan_approval": st.sampled_from([NO_APPROVAL, PlanApproval(void={"id": "it expired"}), MERGED]),
        }
    ),
)


@given(all_facts)
def test_an_apply_is_never_decided_against_a_rule(given_facts: Facts) -> None:
    decision = decide(given_facts)
    assert all(
        isinstance(reason.name, ReasonName) and Reason.parse(str(reason)) == reason for reason in decision.reasons
    )
    if decision.action is not Action.APPLY:
        return
    classification, policy = given_facts.classification, given_facts.policy
    assert classification is not None
    found = frozenset[Label]().union(
        *(r.labels for r in classification.resources), {o.label for o in classification.outputs}
    )
    assert Label.CONFLICT not in found
    reviewed = given_facts.plan_approval.id is not None  # a person has merged exactly this plan
    allowed = {"apply", "revert", "propose"} if reviewed else {"apply", "revert"}
    assert not found & {Label.DRIFT, Label.ABSORBED, Label.RESIDUE} or policy.drift in allowed
    assert not found & {Label.PENDING, Label.REFACTOR} or policy.pending in allowed
    assert Label.INPUT not in found or policy.input in allowed
    assert given_facts.approvals.approved
    assert (policy.suspended, policy.windows) == (None, ())
    assert reviewed or given_facts.reverts < policy.flapping.reverts
    assert given_facts.backoff_until is None or given_facts.backoff_until <= NOW
    assert not any((given_facts.local_state, given_facts.state_replaced))
    destroyed = sum(changed.actions == ("delete",) for changed in classification.resources)
    assert reviewed or destroyed <= policy.limits.destroys
    assert destroyed < 2 or destroyed < 0.8 * classification.resource_count
    for changed in classification.resources:
        acts = changed.actions not in ((), ("no-op",))
        assert reviewed or changed.certain or not acts or given_facts.nothing_exists
        if "delete" in changed.actions:
            assert policy.protecting(changed.address, changed.type) is None


@given(all_facts, st.sampled_from([Label.DRIFT, Label.CONFLICT, Label.PENDING, Label.INPUT]))
def test_more_to_do_never_turns_a_held_plan_into_an_apply(given_facts: Facts, label: Label) -> None:
    classification = given_facts.classification
    assert classification is not None
    before = decide(given_facts)
    if before.action not in (Action.HOLD, Action.PROPOSE):
        return
    more = (*classification.resources, resource(label, address="aws_x.more"))
    verdict = verdict_of([*(r.labels for r in more), *({o.label} for o in classification.outputs)])
    grown = replace(classification, resources=more, verdict=verdict)
    after = decide(replace(given_facts, classification=grown, verdict=verdict))
    assert after.action is not Action.APPLY


def test_every_reason_has_a_sentence_that_states_what_would_have_to_change() -> None:
    assert all(name.text.endswith(".") for name in ReasonName)
    reason = Reason.parse("limit_destroys: 2 of at most 0")
    assert reason.explanation.startswith("limit_destroys (2 of at most 0): The plan destroys")


# --- proposals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [Label.PENDING, Label.DRIFT, Label.ABSORBED, Label.INPUT])
def test_what_the_policy_proposes_is_proposed_and_applied_once_exactly_that_was_merged(label: Label) -> None:
    plan = resource(label)
    assert names(decide(facts(plan, policy=PROPOSING, can_propose=True))) == ("propose", ["policy_propose"])
    approved = decide(facts(plan, policy=PROPOSING, can_propose=True, plan_approval=MERGED))
    assert names(approved) == ("apply", ["approved", "merged"])
    void = PlanApproval(void={"id": "it expired"})
    again = decide(facts(plan, policy=PROPOSING, can_propose=True, plan_approval=void))
    assert again == Decision(Action.PROPOSE, (*decide_reasons(again), Reason(ReasonName.APPROVAL_VOID, "it expired")))


def decide_reasons(decision: Decision) -> tuple[Reason, ...]:
    return tuple(reason for reason in decision.reasons if reason.name is ReasonName.POLICY_PROPOSE)


@pytest.mark.parametrize(
    ("plan", "more", "held"),
    [
        (resource(Label.DRIFT, actions=("delete",)), {}, "limit_destroys"),
        (resource(Label.DRIFT, certain=False), {}, "uncertain"),
        (resource(Label.DRIFT), {"reverts": 9}, "flapping"),
    ],
)
def test_what_asks_for_a_person_is_proposed_and_a_merge_answers_it(
    plan: ResourceChange, more: dict[str, Any], held: str
) -> None:
    automatic = decide(facts(plan, policy=Policy(drift="revert"), **more))
    assert names(automatic) == ("hold", [held])
    by_hand = Policy(drift="propose")
    assert decide(facts(plan, policy=by_hand, can_propose=True, **more)).action is Action.PROPOSE
    merged = decide(facts(plan, policy=by_hand, can_propose=True, plan_approval=MERGED, **more))
    assert merged.action is Action.APPLY


@pytest.mark.parametrize(
    ("policy", "more", "reason"),
    [
        (Policy(drift="propose", protect=("aws_x.*",)), {}, "protected"),
        (Policy(drift="propose", suspended=Suspended(reason="move")), {}, "suspended"),
        (Policy(drift="propose"), {"state_replaced": "rolled back"}, "state_replaced"),
        (Policy(drift="propose"), {"local_state": True}, "local_state"),
        (Policy(drift="propose"), {"approvals": Approvals(False, (Reason(ReasonName.NOT_SIGNED, "x"),))}, "not_signed"),
        (Policy(drift="propose"), {"can_propose": False}, "proposals_not_available"),
    ],
)
def test_what_would_hold_an_approved_plan_too_is_not_proposed(
    policy: Policy, more: dict[str, Any], reason: str
) -> None:
    plan = resource(Label.DRIFT, actions=("delete",))
    assert names(decide(facts(plan, policy=policy, **{"can_propose": True, **more}))) == ("hold", [reason])
    if "can_propose" not in more:
        approved = decide(facts(plan, policy=policy, can_propose=True, plan_approval=MERGED, **more))
        assert (approved.action, reason in names(approved)[1]) == (Action.HOLD, True)


def test_a_window_and_a_backoff_hold_the_apply_and_not_the_proposal() -> None:
    policy = Policy(drift="propose", windows=(Window(deny="* * * * *", for_=timedelta(days=1)),))
    assert decide(facts(resource(Label.DRIFT), policy=policy, can_propose=True)).action is Action.PROPOSE
    merged = decide(facts(resource(Label.DRIFT), policy=policy, can_propose=True, plan_approval=MERGED))
    assert names(merged) == ("hold", ["window_closed"])


@pytest.mark.parametrize("approval", [NO_APPROVAL, MERGED])
def test_an_approval_never_covers_what_the_policy_only_alerts(approval: PlanApproval) -> None:
    both = (resource(Label.DRIFT), resource(Label.PENDING, address="aws_x.b"))
    decided = decide(facts(*both, policy=Policy(drift="propose"), can_propose=True, plan_approval=approval))
    assert names(decided) == ("hold", ["mixed_with_pending"])


def test_a_conflict_is_never_proposed_nor_approved() -> None:
    for approval in (NO_APPROVAL, MERGED):
        held = decide(facts(resource(Label.CONFLICT), policy=PROPOSING, can_propose=True, plan_approval=approval))
        assert names(held)[1][0] == "conflict"
        assert held.action is Action.HOLD


def test_what_a_given_baseline_makes_absorbed_is_proposed_and_never_reverted_by_itself() -> None:
    absorbed, drift = resource(Label.ABSORBED), resource(Label.DRIFT)
    given: dict[str, Any] = {"baseline_given": True, "can_propose": True}
    assert names(decide(facts(absorbed))) == ("apply", ["policy_revert", "merged"])
    assert names(decide(facts(absorbed, **given))) == ("propose", ["policy_propose"])
    assert names(decide(facts(absorbed, baseline_given=True)))[0] == "hold"  # no forge to propose on
    assert names(decide(facts(drift, **given)))[0] == "apply"  # certain without any baseline
    assert names(decide(facts(absorbed, policy=Policy(), **given)))[0] == "alert"
