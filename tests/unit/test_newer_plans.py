"""Plans of Terraform 1.16 and OpenTofu 1.11 as JSON: what no Terraform of the tests can make."""

from __future__ import annotations

from typing import Any

import pytest

from driftguard.model import Classification, Label, Verdict
from driftguard.pipeline.classify.labels import Evidence, classify
from tests.support.plans import KEY, plan, resource

COMMITTED = Evidence(has_baseline=True, closure_changed=True, state_written=False)


def labelled(*resources: Any, before: Any = None, **more: Any) -> Classification:
    baseline = None if before is None else plan(*before)
    return classify(plan(*resources, **more), COMMITTED, KEY, baseline_document=baseline)


def invocation(event: str, on_failure: str = "") -> dict[str, Any]:
    trigger = {"triggering_resource_address": "toy_volume.a", "action_trigger_event": event}
    trigger |= {"on_failure": on_failure} if on_failure else {}
    return {"address": "action.toy_flush.f", "config_values": {"n": 1}, "lifecycle_action_trigger": trigger}


@pytest.mark.parametrize("event", ["BeforeDestroy", "AfterDestroy"])
def test_an_action_of_a_deletion_has_the_label_of_the_deletion(event: str) -> None:
    found = labelled(
        resource("toy_volume.a", state={"n": 1}, desired=None),
        before=[resource("toy_volume.a", state={"n": 1})],
        action_invocations=[invocation(event)],
    )
    (invoked,) = found.invocations
    assert (invoked.trigger, invoked.label, found.verdict) == ("toy_volume.a", Label.PENDING, Verdict.PENDING)


def test_what_becomes_of_a_failure_is_part_of_the_plan_fingerprint() -> None:
    def fingerprint(*on_failure: str) -> str | None:
        changed = resource("toy_volume.a", state={"n": 1}, desired={"n": 2})
        invoked = [invocation("AfterUpdate", word) for word in on_failure]
        return labelled(changed, action_invocations=invoked).plan_fingerprint

    prints = [fingerprint(word) for word in ("", "halt", "taint", "continue")]
    assert len(set(prints)) == 4
    assert fingerprint("taint") == prints[2]


def test_an_object_that_a_failed_action_tainted_is_residue() -> None:
    replaced = resource("toy_volume.a", state={"n": 1}, actions=["delete", "create"])
    assert replaced[1] is not None
    replaced[1]["action_reason"] = "replace_because_tainted"
    found = labelled(replaced, before=[resource("toy_volume.a", state={"n": 1})])
    assert (found.verdict, set(found.resources[0].labels)) == (Verdict.DRIFTED, {Label.RESIDUE})


def test_an_import_in_a_module_is_a_refactoring_alone() -> None:
    found = labelled(resource("module.m.toy_volume.a", state={"n": 1}, actions=["no-op"], importing={"id": "v-1"}))
    assert (found.verdict, set(found.resources[0].labels)) == (Verdict.PENDING, {Label.REFACTOR})


@pytest.mark.parametrize("actions", [["forget", "create"], ["create", "forget"]])
def test_a_replaced_object_that_is_kept_is_a_refactoring_beside_its_change(actions: list[str]) -> None:
    values: dict[str, Any] = {"state": {"n": 1}, "desired": {"n": 2}, "actions": actions, "replace_paths": [["n"]]}
    found = labelled(resource("toy_volume.a", **values), before=[resource("toy_volume.a", state={"n": 1})])
    assert set(found.resources[0].labels) == {Label.REFACTOR, Label.PENDING}


def test_a_value_that_is_kept_in_a_store_block_is_never_shown_as_a_difference() -> None:
    stored = {"store": [{"input": None, "version": 1}], "id": "x"}
    changed = {"store": [{"input": None, "version": 2}], "id": "x"}
    found = labelled(
        resource("terraform_data.s", state=stored, desired=changed, sensitive={"store": [{"input": True}]}),
        before=[resource("terraform_data.s", state=stored)],
    )
    (attribute,) = found.resources[0].attributes
    assert (attribute.path, attribute.label) == ("store[0].version", Label.PENDING)


def test_a_resource_that_is_disabled_by_a_commit_is_pending() -> None:
    disabled = resource("toy_volume.a", state={"n": 1}, desired=None)
    assert disabled[1] is not None
    disabled[1]["action_reason"] = "delete_because_enabled_false"
    found = labelled(disabled, before=[resource("toy_volume.a", state={"n": 1})])
    assert (found.verdict, set(found.resources[0].labels)) == (Verdict.PENDING, {Label.PENDING})


@pytest.mark.parametrize(
    "more",
    [
        {"deferred_changes": [{"reason": "instance_count_unknown", "resource_change": {}}]},
        {
            "deferred_action_invocations": [
                {"reason": "deferred_prereq", "action_invocation": invocation("AfterCreate")}
            ]
        },
    ],
    ids=["a change", "an action"],
)
def test_a_plan_that_defers_work_does_not_cover_everything(more: Any) -> None:
    assert plan(resource("toy_volume.a", state={"n": 1}), **more).partial
