"""Digests of attributes tell absorbed, input and conflict apart."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.model import Label
from driftguard.model.digests import Digests
from driftguard.pipeline.classify.digests import KeyedDigests, digests_of_state, with_standing, without_restless
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.pipeline.classify.rules import Subject
from driftguard.sealed import ABSENT, UNKNOWN, Sealed
from tests.support.plans import KEY, plan, resource

ADDRESS = "toy_thing.t"
SAME_COMMIT = Evidence(has_baseline=True, state_written=True)
NEW_COMMIT = Evidence(has_baseline=True, closure_changed=True, state_written=True)


def state(**attributes: Any) -> bytes:
    return state_of({"mode": "managed", "type": "toy_thing", "name": "t", "instances": [{"attributes": attributes}]})


def state_of(*resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> bytes:
    return json.dumps({"version": 4, "outputs": outputs or {}, "resources": list(resources)}).encode()


def kept(text: bytes) -> KeyedDigests:
    digests = digests_of_state(text, KEY)
    assert digests is not None
    stored = Digests.decoded(digests.encoded())
    assert stored == digests
    return KeyedDigests(digests, KEY)


def label(reality: Any, desired: Any, baseline: Any, held: Any, evidence: Evidence) -> tuple[str, bool]:
    """The label of `a`, given what its digest holds and what the baseline's configuration wants."""
    document = plan(resource(ADDRESS, state={"a": reality}, desired={"a": desired}))
    wanted = (
        plan(resource(ADDRESS, state={"a": reality}, desired={"a": baseline})) if evidence.closure_changed else None
    )
    evidence = replace(evidence, digests=kept(state(a=held)))
    (attribute,) = (
        a for r in classify(document, evidence, KEY, baseline_document=wanted).resources for a in r.attributes
    )
    return attribute.label.value, attribute.certain


@pytest.mark.parametrize(
    ("reality", "desired", "baseline", "held", "evidence", "expected"),
    [
        ("hotfix", "d", "d", "d", SAME_COMMIT, "absorbed"),
        ("r", "moved", "moved", "r", SAME_COMMIT, "input"),
        ("hotfix", "moved", "moved", "d", SAME_COMMIT, "absorbed"),
        ("r", "commit", "r", "r", NEW_COMMIT, "pending"),
        ("hotfix", "commit", "d", "d", NEW_COMMIT, "conflict"),
        ("hotfix", "back", "d", "back", NEW_COMMIT, "pending"),
        ("hotfix", "d", "d", "d", NEW_COMMIT, "absorbed"),
        ("r", "moved", "moved", "r", NEW_COMMIT, "input"),
    ],
)
def test_the_baselines_digests_decide_certainly(
    reality: str, desired: str, baseline: str, held: str, evidence: Evidence, expected: str
) -> None:
    assert label(reality, desired, baseline, held, evidence) == (expected, True)


def test_an_element_absorbed_by_a_refresh_and_one_from_an_input_are_two_facts() -> None:
    views: dict[str, Any] = {"state": {"l": ["a", "hotfix", "b"]}, "desired": {"l": ["a", "b", "input"]}}
    evidence = replace(SAME_COMMIT, digests=kept(state(l=["a", "b"])))
    result = classify(plan(resource(ADDRESS, **views)), evidence, KEY)
    found = {a.reality == Sealed("hotfix"): (a.label.value, a.certain) for r in result.resources for a in r.attributes}
    assert found == {True: ("absorbed", True), False: ("input", True)}


@pytest.mark.parametrize(
    ("held", "baseline", "expected"),
    [
        ("now", "now", {"": "pending"}),
        ("now", "moved", {"": "pending"}),
        ("now", UNKNOWN, {"": "pending"}),
        ("old", "now", {"": "pending"}),
        ("old", "moved", {"": "pending", "a": "conflict"}),
        ("old", UNKNOWN, {"": "pending", "a": "conflict"}),
    ],
)
def test_beside_a_deletion_a_state_that_was_rolled_back_is_no_outside_change(
    held: str, baseline: Any, expected: dict[str, str]
) -> None:
    document = plan(resource(ADDRESS, state={"a": "old"}, reality={"a": "now"}, desired=None))
    known = {"a": None if baseline is UNKNOWN else baseline}
    unknown = {"a": True} if baseline is UNKNOWN else None
    wanted = plan(resource(ADDRESS, state={"a": "now"}, desired=known, unknown=unknown))
    evidence = replace(NEW_COMMIT, digests=kept(state(a=held)))
    (found,) = classify(document, evidence, KEY, baseline_document=wanted).resources
    assert {a.path: a.label.value for a in found.attributes} == expected


def test_an_object_that_was_taken_out_of_the_state_is_absorbed() -> None:
    document = plan(resource(ADDRESS, state=None, desired={"a": 1}))
    for text, expected in ((state(a=1), "absorbed"), (state_of(), "input")):
        result = classify(document, replace(SAME_COMMIT, digests=kept(text)), KEY)
        assert [(a.label.value, a.certain) for r in result.resources for a in r.attributes] == [(expected, True)]


@pytest.mark.parametrize(
    ("module", "key", "address"),
    [
        (None, None, "toy_thing.t"),
        ('module.a["x.y"]', 3, 'module.a["x.y"].toy_thing.t[3]'),
        (None, 'say "hi"\n${x}', 'toy_thing.t["say \\"hi\\"\\n$${x}"]'),
    ],
)
def test_addresses_in_a_state_are_those_of_the_plan(module: str | None, key: Any, address: str) -> None:
    item = {
        "mode": "managed",
        "type": "toy_thing",
        "name": "t",
        "instances": [{"index_key": key, "attributes": {"a": 1}}],
    }
    digests = kept(state_of({**item, "module": module} if module else item))
    assert digests.holds(Subject(address, "a"), 1, ABSENT) is True
    assert digests.holds(Subject(address, "a"), 2, ABSENT) is False


def test_values_whose_type_the_schema_leaves_open_are_compared_without_the_type() -> None:
    digests = kept(
        state(input={"type": ["object", {"k": "string"}], "value": {"k": "v"}}, text={"type": "string", "value": "x"})
    )
    assert digests.holds(Subject(ADDRESS, "input.k"), "v", ABSENT) is True
    assert digests.holds(Subject(ADDRESS, "text"), "x", ABSENT) is True
    assert digests.holds(Subject(ADDRESS, "text.value"), "x", ABSENT) is True


def test_outputs_have_digests_too() -> None:
    digests = kept(state_of(outputs={"url": {"value": "x", "type": "string"}}))
    assert digests.holds(Subject("output.url", ""), "x", "y") is True
    assert digests.holds(Subject("output.url", ""), "y", "x") is False


def test_what_stands_after_a_complete_apply_is_restless_until_it_is_another_difference() -> None:
    document = plan(resource(ADDRESS, state={"a": "r", "b": 1}, desired={"a": "d", "b": 1}))
    digests = digests_of_state(state(a="r", b=1), KEY)
    assert digests is not None
    first = classify(document, replace(SAME_COMMIT, digests=KeyedDigests(digests, KEY)), KEY)
    evidence = replace(SAME_COMMIT, digests=KeyedDigests(with_standing(digests, first.resources, KEY), KEY))
    second = classify(document, evidence, KEY)
    assert [(set(r.labels), r.certain) for r in second.resources] == [({Label.RESTLESS}, True)]
    assert second.verdict == "in_sync"
    other = plan(resource(ADDRESS, state={"a": "r", "b": 1}, desired={"a": "e", "b": 1}))
    assert [set(r.labels) for r in classify(other, evidence, KEY).resources] == [{Label.INPUT}]


def test_a_scan_in_sync_renews_no_digest_of_a_restless_attribute() -> None:
    configuration = {"root_module": {"resources": [{"address": ADDRESS, "expressions": {"a": {}}}]}}
    document = plan(resource(ADDRESS, state={"a": "r"}, desired={}, unknown={"a": True}), configuration=configuration)
    result = classify(document, SAME_COMMIT, KEY)
    assert [set(r.labels) for r in result.resources] == [{Label.RESTLESS}]
    new, old = digests_of_state(state(a="r"), KEY), digests_of_state(state(a="applied"), KEY)
    assert new is not None
    assert KeyedDigests(without_restless(new, old, result), KEY).holds(Subject(ADDRESS, "a"), "r", UNKNOWN) is False
    assert KeyedDigests(without_restless(new, None, result), KEY).holds(Subject(ADDRESS, "a"), "r", UNKNOWN) is None


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)),
    max_leaves=8,
)


@given(values, values)
def test_digests_hold_what_the_state_holds_and_no_other_value(held: Any, other: Any) -> None:
    document = plan(resource(ADDRESS, state={"a": held}, desired={"a": other}))
    result = classify(document, replace(SAME_COMMIT, digests=kept(state(a=held))), KEY)
    assert {(a.label.value, a.certain) for r in result.resources for a in r.attributes} <= {
        ("input", True),
        ("noise", True),
    }


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"version": 3}', b"no state"])
def test_what_is_no_state_has_no_digests(text: bytes) -> None:
    assert digests_of_state(text, KEY) is None


@given(st.binary(max_size=30))
def test_damaged_digests_count_as_none(data: bytes) -> None:
    assert Digests.decoded(data) is None
