"""Histories that were found wrong once, made small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.changes import time_passed
from lab.configuration import Configuration, Data, Impure, Ref, Resource, Var
from lab.history import History
from lab.schema import CERTIFICATE, FILE, ROTATING, Attribute
from tests.lab.conftest import Given
from tests.support.seeds import one_quick

pytestmark = [pytest.mark.lab, pytest.mark.terraform]


def thing(**arguments: Any) -> Resource:
    return Resource("one", "lab_t", {"name": "one", **arguments})


def outside(history: History, **values: Any) -> None:
    """Change the only object outside Terraform."""
    (found,) = history.site.cloud.objects.values()
    found.update(values)


def labels(history: History) -> dict[str, str]:
    """The labels that DriftGuard reports by path, after the laboratory has found them right."""
    _, report, mismatches = history.judge()
    assert mismatches == []
    return {a["path"]: a["label"] for resource in report["resources"] for a in resource["attributes"]}


def test_a_map_entry_with_an_empty_value_is_an_entry(given: Given) -> None:
    history = given((Attribute("tags", "map"),), thing(tags={"team": "core"}))
    outside(history, tags={"team": "core", "seen": ""})
    assert labels(history) == {"etag": "derived", "tags.seen": "drift"}


def test_a_read_for_a_check_block_is_no_change(given: Given) -> None:
    history = given((), thing())
    history.site.cloud.data["d_check"] = "fine"
    history.commit(replace(history.config, checks=("d_check",)), "a check")
    assert labels(history) == {}


def test_an_input_is_no_drift_although_the_state_was_written(given: Given) -> None:
    history = given((Attribute("text"), Attribute("other")), thing(text=Data("d_one"), other="x"))
    outside(history, other="hotfix")
    history.site.apply("-refresh-only")
    history.site.cloud.data["d_one"] = "looked up again"
    assert labels(history) == {"etag": "derived", "text": "input", "other": "absorbed"}


def test_a_refreshed_change_is_absorbed(given: Given) -> None:
    history = given((Attribute("text"),), thing(text="one"))
    outside(history, text="hotfix")
    history.site.apply("-refresh-only")
    assert labels(history) == {"etag": "derived", "text": "absorbed"}


def test_a_commit_over_an_absorbed_change_is_a_conflict(given: Given) -> None:
    history = given((Attribute("text"),), thing(text="one"))
    outside(history, text="hotfix")
    history.site.apply("-refresh-only")
    history.commit(Configuration(resources=(thing(text="two"),)), "two")
    assert labels(history) == {"etag": "derived", "text": "conflict"}


def test_numbers_beyond_a_double_are_compared_exactly(given: Given) -> None:
    history = given((Attribute("size", "number"),), thing(size=12345678901234567890))
    outside(history, size=12345678901234567891)
    assert labels(history) == {"etag": "derived", "size": "drift"}


def test_json_text_with_an_empty_member_is_another_text(given: Given) -> None:
    history = given((Attribute("document", "json"),), thing(document='{"a":1}'))
    outside(history, document='{"a":1,"b":null}')
    assert labels(history) == {"etag": "derived", "document": "drift"}


def test_an_object_deleted_outside_terraform_is_drift_alone(given: Given) -> None:
    history = given((Attribute("found", "nested_list", mode="both"),), thing())
    history.site.cloud.objects.clear()
    assert labels(history) == {"": "drift"}


def test_a_change_of_sensitivity_alone_is_pending(given: Given) -> None:
    history = given((Attribute("text"),), thing())
    config = Configuration(resources=(thing(text=Var("v_file")),), variables={"v_file": None}, values={"v_file": "x"})
    history.commit(config, "text")
    history.site.apply()
    assert labels(history) == {}
    history.commit(replace(config, sensitive=frozenset({"v_file"})), "sensitive")
    assert labels(history) == {"text": "pending"}


@pytest.mark.parametrize("before", [frozenset[str](), frozenset({"v_file"})])
def test_an_ignored_attribute_stays_as_sensitive_as_it_is(given: Given, before: frozenset[str]) -> None:
    history = given((Attribute("text"),), thing())
    ignoring = replace(thing(text=Var("v_file")), ignore=("text",))
    config = Configuration(resources=(ignoring,), variables={"v_file": None}, values={"v_file": "x"}, sensitive=before)
    applied = replace(config, resources=(thing(text=Var("v_file")),))
    history.commit(applied, "text")
    history.site.apply()
    assert labels(history) == {}
    history.commit(replace(config, sensitive=frozenset({"v_file"}) - before), "sensitive")
    assert labels(history) == {}


def test_an_object_that_is_forgotten_at_its_new_address_is_a_refactoring_alone(given: Given) -> None:
    history = given((Attribute("text"),), thing(text="x"))
    outside(history, text="hotfix")
    history.commit(Configuration(moved=(("lab_t.one", "lab_t.two"),), removed=("lab_t.two",)), "moved and forgotten")
    assert labels(history) == {"": "refactor"}


def test_an_element_of_a_set_has_no_position(given: Given) -> None:
    history = given((Attribute("ports", "set"),), thing(ports=["443"]))
    outside(history, ports=["3868"])
    assert labels(history) == {"etag": "derived", "ports[]": "drift"}


def test_an_element_of_a_list_has_a_position(given: Given) -> None:
    history = given((Attribute("ports", "list"),), thing(ports=["443"]))
    outside(history, ports=["3868"])
    assert labels(history) == {"etag": "derived", "ports[0]": "drift"}


def test_a_difference_of_form_that_is_lost_with_its_object_is_no_conflict(given: Given) -> None:
    history = given((Attribute("entries", "nested_map"),), thing(entries={}))
    outside(history, entries=None)
    history.commit(Configuration(), "nothing")
    assert labels(history) == {"": "pending"}


def test_a_value_that_moves_by_itself_is_restless_under_another_address_too(given: Given) -> None:
    history = given((Attribute("stamp"), Attribute("text")), thing(stamp=Impure("timestamp()"), text="x"))
    renamed = replace(thing(stamp=Impure("timestamp()"), text="x"), name="two")
    history.commit(Configuration(resources=(renamed,), moved=(("lab_t.one", "lab_t.two"),)), "moved")
    outside(history, text="hotfix")
    assert labels(history)["stamp"] == "restless"


STAMPED = thing(stamp=Impure("plantimestamp()"), text="x")
STAMP = (Attribute("stamp"), Attribute("text"))


def test_a_resource_that_another_restless_one_replaces_is_pending(given: Given) -> None:
    two = Resource("two", "lab_t", {**STAMPED.arguments, "name": "two", "parent": Ref("one", "id")}, replaced_by="one")
    history = given(STAMP, STAMPED, two)
    _, report, mismatches = history.judge()
    assert (mismatches, report["verdict"]) == ([], "pending")


def test_an_outside_change_to_a_value_of_the_moment_is_drift_beside_a_commit(given: Given) -> None:
    history = given(STAMP, STAMPED)
    outside(history, stamp="by hand")
    config = Configuration(resources=(replace(STAMPED, arguments={**STAMPED.arguments, "text": "y"}),))
    history.commit(config, "text")
    assert labels(history) == {"etag": "derived", "stamp": "drift", "text": "pending"}


def test_a_value_of_the_moment_voids_no_approval_where_it_is_drift(given: Given) -> None:
    history = given(STAMP, STAMPED)
    outside(history, stamp="by hand")
    history.config = replace(history.config, outputs={"o": Impure("plantimestamp()")})
    history.commit(history.config, "an output")
    first = history.site.scan()["plan_fingerprint"]
    history.site.terraform("version")  # another second
    assert history.site.scan()["plan_fingerprint"] == first


def test_a_new_object_with_a_value_of_the_moment_is_one_plan_from_its_scan_to_its_apply(given: Given) -> None:
    history = given(STAMP)
    history.commit(Configuration(resources=(STAMPED,)), "stamped")
    first = history.site.scan()["plan_fingerprint"]
    history.site.terraform("version")  # another second
    assert history.site.scan()["plan_fingerprint"] == first
    other = replace(STAMPED, arguments={**STAMPED.arguments, "stamp": Impure('"x${plantimestamp()}"')})
    history.commit(Configuration(resources=(other,)), "stamped otherwise")
    assert history.site.scan()["plan_fingerprint"] != first


def test_beside_a_deletion_a_value_of_the_moment_is_no_news(given: Given) -> None:
    history = given(STAMP, STAMPED)
    history.site.cloud.objects.clear()
    history.commit(replace(history.config, checks=("d_check",)), "a check")
    assert labels(history) == {"": "drift"}


def test_a_tainted_object_that_another_one_replaces_is_residue(given: Given) -> None:
    two = Resource("two", "lab_t", {"name": "two", "parent": Ref("one", "id")}, replaced_by="one")
    history = given((), thing(), two)
    for address in ("lab_t.one", "lab_t.two"):
        history.site.terraform("taint", address)
    _, report, mismatches = history.judge()
    assert mismatches == []
    assert [sorted(resource["labels"]) for resource in report["resources"]] == [["derived", "residue"]] * 2


def test_a_form_that_only_the_provider_writes_is_noise_beside_drift(given: Given) -> None:
    attributes = (Attribute("document", "json", form="json"), Attribute("text"))
    history = given(attributes, thing(document='{"b": [], "a": 1}', text="x"))
    outside(history, text="hotfix")
    assert labels(history) == {"document": "noise", "etag": "derived", "text": "drift"}


def test_an_object_whose_time_has_come_is_due(given_types: Given) -> None:
    history = given_types((ROTATING, CERTIFICATE))
    for _ in range(2):
        assert time_passed(history)
    _, report, mismatches = history.judge()
    assert mismatches == []
    assert [resource["labels"] for resource in report["resources"]] == [["input"]] * 2


@pytest.mark.parametrize(("name", "verdict"), [("out/kubeconfig", "in_sync"), ("../../../etc/x", "drifted")])
def test_a_file_of_the_checkout_is_restless(given_types: Given, name: str, verdict: str) -> None:
    history = given_types((FILE,), filename=name)
    _, report, mismatches = history.judge()
    assert (mismatches, report["verdict"]) == ([], verdict)


def test_a_change_absorbed_with_its_move_is_measured_at_the_old_address(given: Given) -> None:
    history = given((Attribute("text"), Attribute("other")), thing(text="x", other="x"))
    outside(history, text="hotfix")
    renamed = replace(thing(text="x", other="y"), name="two")
    history.commit(Configuration(resources=(renamed,), moved=(("lab_t.one", "lab_t.two"),)), "moved")
    history.site.apply("-refresh-only")
    assert labels(history) == {"etag": "derived", "text": "absorbed", "other": "pending"}


def test_an_outside_element_that_an_unknown_one_may_become_is_an_uncertain_conflict(given: Given) -> None:
    two = Resource("two", "lab_t", {"name": "two", "ports": ["c", Ref("one", "id")]})
    history = given((Attribute("ports", "set"),), thing(), two)
    history.site.cloud.objects[history.site.cloud.named("two") or ""]["ports"].append("a")
    history.commit(replace(history.config, resources=(thing(),)), "two is removed")
    history.site.terraform("taint", "lab_t.one")
    assert labels(history)["ports[]"] == "conflict"


@pytest.mark.parametrize("baseline", one_quick([True, False], pytest.mark.further))
@pytest.mark.parametrize(("deleted", "expected"), [(False, "derived"), (True, None)])
def test_an_unknown_element_stands_for_the_one_that_was_there(
    given: Given, baseline: bool, deleted: bool, expected: str | None
) -> None:
    two = Resource("two", "lab_t", {"name": "two", "ports": ["c", Ref("one", "id")]})
    history = given((Attribute("ports", "set"),), thing(), two, baseline=baseline)
    history.site.terraform("taint", "lab_t.one")
    if deleted:
        del history.site.cloud.objects[history.site.cloud.named("two") or ""]
        history.commit(replace(history.config, checks=("d_check",)), "a check")
    assert labels(history).get("ports[]") == expected


def test_an_attribute_that_an_import_would_reset_is_a_conflict(given: Given) -> None:
    history = given((Attribute("text"),), thing(text="x"))
    kind = history.site.types["lab_t"]
    values = {a.name: None for a in kind.attributes} | {"name": "found", "text": "there"}
    found = history.site.cloud.create("lab_t", values)
    config = Configuration(
        (thing(text="x"), Resource("two", "lab_t", {"name": "found"})), imports={"lab_t.two": found["id"]}
    )
    history.commit(config, "import")
    assert labels(history)["text"] == "conflict"
