"""Applies follow the graph of dependencies, and none rests on an environment that is not settled."""

from __future__ import annotations

import pytest

from driftguard.model import Action, Decision, EnvironmentResult, Verdict
from driftguard.pipeline.dependencies import Dependencies
from driftguard.pipeline.states import Postponed

CHAIN = {"a": frozenset[str](), "b": frozenset({"a"}), "c": frozenset({"b"}), "d": frozenset({"c", "a"})}


def result(name: str, verdict: Verdict) -> EnvironmentResult:
    return EnvironmentResult(
        name=name,
        path=name,
        workspace="default",
        verdict=verdict,
        closure_hash="",
        baseline=None,
        decision=Decision(Action.NONE, ()),
    )


def test_environments_come_after_those_that_they_depend_on() -> None:
    order = Dependencies({**CHAIN, "alone": frozenset()}, {})
    assert list(order.generations(["d", "c", "alone", "b", "a"])) == [["alone", "a"], ["b"], ["c"], ["d"]]
    assert list(order.generations(["d", "b"])) == [["d", "b"]]


def test_a_circle_ends_and_comes_last() -> None:
    order = Dependencies({"a": frozenset({"b"}), "b": frozenset({"a"}), "c": frozenset()}, {})
    assert list(order.generations(["a", "b", "c"])) == [["c"], ["a", "b"]]
    with pytest.raises(Postponed):
        order.not_settled("a")
    order.give_up()
    assert order.not_settled("a") == ("b",)


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.IN_SYNC])
def test_an_environment_waits_for_those_that_it_depends_on_and_is_held_unless_they_are_in_sync(
    verdict: Verdict,
) -> None:
    order = Dependencies(CHAIN, {})
    with pytest.raises(Postponed):
        order.not_settled("d")
    order.done(result("a", Verdict.IN_SYNC))
    order.done(result("c", verdict))
    assert order.not_settled("d") == ("c",)
    assert order.not_settled("b") == ()


def test_what_a_run_does_not_look_at_counts_by_its_last_scan() -> None:
    order = Dependencies({"d": frozenset({"x", "y", "z"})}, {"x": "in_sync", "y": "drifted"})
    assert order.not_settled("d") == ("y", "z")
