"""Whose state is it: lineages, and the addresses of backends."""

from __future__ import annotations

import pytest

from driftguard.pipeline.states import KnownState, KnownStates, state_address
from driftguard.ports import Backend

KEY = b"k" * 32


def address(kind: str, workspace: str = "default", path: str = "environments/a", **settings: object) -> str:
    return state_address(Backend(kind, settings), path, workspace, KEY)


def test_one_lineage_or_one_address_is_one_state_and_an_unknown_one_is_not() -> None:
    states = KnownStates({"prod": KnownState("l1", "a1"), "new": KnownState(None, None)})
    assert states.found("copy", KnownState("l1", "a2")) == ("prod",)
    assert states.found("copy", KnownState(None, "a1")) == ("prod",)
    assert states.found("copy", KnownState(None, None)) == ()
    assert states.found("copy", KnownState("l2", "a2")) == ()
    assert states.sharing("prod") == ()


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        ({"bucket": "b", "key": "k", "region": "x", "role_arn": "another"}, True),
        ({"bucket": "b", "key": "k", "workspace": "eu"}, False),
        ({"bucket": "b", "key": "other"}, False),
        ({"bucket": "b", "key": "k", "endpoints": {"s3": "https://elsewhere"}}, False),
        ({"bucket": "b", "key": "k", "endpoints": {"sts": None, "s3": None}}, True),
    ],
)
def test_an_address_is_where_the_state_lies_and_not_how_it_is_reached(other: dict[str, str], shared: bool) -> None:
    assert (address("s3", bucket="b", key="k", region="eu") == address("s3", **other)) is shared


def test_a_local_state_lies_in_its_directory_and_an_unknown_backend_counts_whole() -> None:
    assert state_address(None, "a", "default", KEY) != state_address(None, "b", "default", KEY)
    assert address("mine", place="x") != address("mine", place="y")
    assert address("mine", place="x") == address("mine", path="environments/b", place="x")
