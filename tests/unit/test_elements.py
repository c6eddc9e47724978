"""Elements of lists and sets are paired by what they hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from driftguard.model import Classification, Verdict
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.sealed import reveal
from tests.support.plans import KEY, plan, resource

FIRST_SCAN = Evidence(has_baseline=False)
SAME_COMMIT = Evidence(has_baseline=True, state_written=False)
NEW_COMMIT = Evidence(has_baseline=True, closure_changed=True, state_written=False)
ADDRESS = "toy_firewall.f"


def facts(classification: Classification) -> list[tuple[str, str, Any, Any]]:
    return sorted(
        (
            (a.path, a.label.value, reveal(a.reality), reveal(a.desired))
            for r in classification.resources
            for a in r.attributes
        ),
        key=repr,
    )


def rule_(port: int, source: str | None) -> dict[str, Any]:
    return {"port": port, "source": source} if source else {"port": port}


def firewall(
    state: list[Any], reality: list[Any], desired: list[Any], evidence: Evidence = SAME_COMMIT
) -> Classification:
    """Rules whose source is left out in `desired` are not known before the apply."""
    unknown = {"rules": [{} if "source" in rule else {"source": True} for rule in desired]}
    views = {"state": {"rules": state}, "reality": {"rules": reality}, "desired": {"rules": desired}}
    return classify(plan(resource(ADDRESS, **views, unknown=unknown, actions=["update"])), evidence, KEY)


def test_a_rule_that_did_not_change_is_no_change_beside_one_that_is_not_known_yet() -> None:
    held = [rule_(3868, "sg-1"), rule_(443, "sg-2")]
    result = firewall(held, held, [rule_(443, None), rule_(3868, "sg-1")])
    assert facts(result) == [("rules[].source", "derived", "sg-2", None)]


def test_a_rule_added_with_an_unknown_source_is_an_added_element() -> None:
    held = [rule_(3868, "sg-1"), rule_(443, "sg-2")]
    result = firewall(held, held, [rule_(443, "sg-2"), rule_(22, None), rule_(3868, "sg-1")], FIRST_SCAN)
    assert facts(result) == [("rules[]", "pending", "absent", {"port": 22})]


def test_a_rule_changed_outside_terraform_is_drift_although_its_source_is_not_known_yet() -> None:
    state = [rule_(443, "sg-2"), rule_(3868, "sg-1")]
    result = firewall(state, [rule_(8443, "sg-2"), rule_(3868, "sg-1")], [rule_(443, None), rule_(3868, "sg-1")])
    assert [(path, label) for path, label, _, _ in facts(result)] == [("rules[]", "drift"), ("rules[]", "drift")]
    assert result.verdict is Verdict.DRIFTED


def test_wholly_unknown_elements_take_what_nothing_else_claims() -> None:
    views = {"state": {"g": ["a", "b"]}, "desired": {"g": ["a", None]}}
    document = plan(resource(ADDRESS, **views, unknown={"g": [False, True]}, actions=["update"]))
    assert facts(classify(document, SAME_COMMIT, KEY)) == [("g[]", "derived", "b", None)]


def test_an_element_added_twice_by_a_commit_is_pending_although_it_stood_once() -> None:
    views: dict[str, Any] = {"state": {"l": ["a", "b"]}, "desired": {"l": ["a", "a", "b"]}}
    wanted = plan(resource(ADDRESS, state={"l": ["a", "b"]}))
    result = classify(plan(resource(ADDRESS, **views)), NEW_COMMIT, KEY, baseline_document=wanted)
    assert [(path, label) for path, label, _, _ in facts(result)] == [("l[]", "pending")]


rules = st.lists(st.builds(rule_, st.integers(1, 4), st.sampled_from(["a", "b"])), max_size=4)


@given(rules, st.lists(st.booleans(), min_size=4, max_size=4), st.randoms(use_true_random=False))
def test_sources_becoming_unknown_move_no_rule(held: list[Any], hidden: list[bool], random: Any) -> None:
    desired = [rule_(r["port"], None) if hide else r for r, hide in zip(held, hidden, strict=False)]
    random.shuffle(desired)
    result = firewall(held, held, desired) if len(held) > 1 else firewall(held, held, held)
    # The order alone, or an update in which no value differs, are one change of the whole.
    allowed = {("derived", "rules[].source"), ("input", "rules"), ("input", "")}
    assert {(label, path) for path, label, _, _ in facts(result)} <= allowed
