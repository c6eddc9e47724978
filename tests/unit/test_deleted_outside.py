"""Objects deleted outside Terraform: drift alone, whatever their computed values are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.model import Classification, Verdict
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.sealed import reveal
from tests.support.plans import KEY, plan, resource

FIRST_SCAN = Evidence(has_baseline=False)
SAME_COMMIT = Evidence(has_baseline=True, state_written=False)
NEW_COMMIT = Evidence(has_baseline=True, closure_changed=True, state_written=False)
ADDRESS = "toy_machine.web"


def labels(classification: Classification) -> dict[str, str]:
    return {a.path: a.label.value for r in classification.resources for a in r.attributes}


def deleted(state: Any, desired: Any, unknown: Any, evidence: Evidence, wanted: Any = None) -> Classification:
    document = plan(resource(ADDRESS, state=state, reality=None, desired=desired, unknown=unknown))
    baseline = None if wanted is None else plan(resource(ADDRESS, state=state, reality=None, desired=wanted))
    return classify(document, evidence, KEY, baseline_document=baseline)


@pytest.mark.parametrize("evidence", [FIRST_SCAN, SAME_COMMIT, NEW_COMMIT])
def test_computed_lists_sets_and_blocks_are_no_news_beside_a_deletion(evidence: Evidence) -> None:
    state = {
        "id": "i-1",
        "size": "small",
        "disks": [{"name": "/dev/a", "gb": 8, "id": "vol-1"}],
        "groups": ["default"],
        "zones": ["z1", "z2"],
        "ports": [{"number": 80, "id": "p-1"}, {"number": 443, "id": "p-2"}],
    }
    desired = {"size": "small", "ports": [{"number": 80}, {"number": 443}]}
    unknown = {"id": True, "disks": True, "groups": True, "zones": True, "ports": [{"id": True}, {"id": True}]}
    result = deleted(state, desired, unknown, evidence, wanted=desired if evidence.closure_changed else None)
    assert (result.verdict, labels(result)) == (Verdict.DRIFTED, {"": "drift"})


@pytest.mark.parametrize("evidence", [FIRST_SCAN, NEW_COMMIT])
@pytest.mark.parametrize("blocks", [[{"number": 80}], [{"number": 80}, {"number": 80}], [80, 443]])
def test_a_commit_that_removes_every_element_of_a_deleted_object_is_news(blocks: list[Any], evidence: Evidence) -> None:
    result = deleted({"size": "small", "ports": blocks}, {"size": "small", "ports": []}, {}, evidence)
    assert set(labels(result).values()) == {"drift", "pending"}
    assert result.verdict is Verdict.DIVERGED
    assert not all(a.certain for r in result.resources for a in r.attributes)


@pytest.mark.parametrize(("left", "right"), [("", None), ([], None), ({}, None), (False, None), (0, None)])
def test_zero_values_that_a_provider_stores_for_null_are_no_news_beside_a_deletion(left: Any, right: Any) -> None:
    result = deleted(
        {"size": 1, "x": left, "b": [{"k": left}]}, {"size": 1, "x": right, "b": [{"k": right}]}, {}, FIRST_SCAN
    )
    assert (result.verdict, labels(result)) == (Verdict.DRIFTED, {"": "drift"})


def test_a_commit_on_a_deleted_object_is_news_whose_reality_is_absent() -> None:
    result = deleted({"size": 1, "n": "a"}, {"size": 2, "n": "a"}, {}, NEW_COMMIT, wanted={"size": 1, "n": "a"})
    assert (result.verdict, labels(result)) == (Verdict.DIVERGED, {"": "drift", "size": "pending"})
    assert {reveal(a.reality) for r in result.resources for a in r.attributes} == {"absent"}


def test_a_commit_that_adds_an_element_to_a_deleted_object_is_news() -> None:
    wanted = {"ports": [{"n": 80}, {"n": 81}]}
    result = deleted(wanted, {"ports": [{"n": 80}, {"n": 81}, {"n": 82}]}, {}, NEW_COMMIT, wanted=wanted)
    assert labels(result) == {"": "drift", "ports[]": "pending"}


computed: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, "", "x", 0, 1, True, [], {}]),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from("pqrs"), computed, max_size=4),
    st.dictionaries(st.sampled_from("xyz"), computed, max_size=3),
    st.sampled_from([FIRST_SCAN, SAME_COMMIT, NEW_COMMIT]),
)
def test_only_a_commit_is_news_beside_a_deletion(known: Any, unknown: Any, evidence: Evidence) -> None:
    masks = dict.fromkeys(unknown, True)
    result = deleted({**known, **unknown}, known, masks, evidence, wanted=known if evidence.closure_changed else None)
    assert (result.verdict, labels(result)) == (Verdict.DRIFTED, {"": "drift"})
