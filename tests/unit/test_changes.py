"""One renderer of attribute changes: what it shows, and what shares a line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.model import Invocation, Label, ResourceChange
from driftguard.model.report import AttributeReport, InvocationReport, ResourceReport
from driftguard.model.words import OUTSIDE
from driftguard.pipeline.changes import attribute_lines, change_text, invocation_text
from driftguard.pipeline.consequences import consequence_title
from driftguard.pipeline.propose.environment import actions_of


def drift(path: str, before: Any, after: Any, **more: Any) -> AttributeReport:
    """An attribute that was changed outside Terraform from what is configured."""
    return AttributeReport(path, **{"label": "drift", "state": before, "reality": after, "desired": before, **more})


def lines(*attributes: AttributeReport) -> list[str]:
    return [line.text for line in attribute_lines(attributes)]


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        (drift("size", 1, 2), "size is 2, configured 1"),
        (drift("tags.owner", "absent", "eve"), "tags.owner was added: eve, not configured"),
        (drift("tags.owner", "core", "absent"), "tags.owner was removed, configured core"),
        (AttributeReport("size", "conflict", 1, 2, 3), "size is 2, was 1, configured 3"),
        (AttributeReport("size", "absorbed", 2, 2, 1), "size is 2, configured 1"),
        (AttributeReport("type", "pending", "a", "a", "b"), "type a → b on apply"),
        (AttributeReport("type", "input", "a", "a", "b"), "type a → b on apply"),
        (
            AttributeReport("arn", "derived", "a", "a", None, unknown=True, causes=("x.y",)),
            "arn a → (known after apply) because of x.y",
        ),
        (
            drift("size", 1, 2, certain=False, forces_replacement=True),
            "size is 2, configured 1 (not certain) (a revert forces replacement)",
        ),
        (drift("key", "(sensitive)", "(sensitive)", sensitive=True), "key was changed (values are not shown)"),
        (AttributeReport("", "residue", rule="tainted object"), "tainted object"),
        (AttributeReport("size", "of_a_newer_version", 1, 2, 1), "size is 2, configured 1"),
    ],
)
def test_each_label_has_its_sentence(attribute: AttributeReport, text: str) -> None:
    assert lines(attribute) == [text]


def test_the_heading_of_a_resource_names_what_asks_for_nothing_only_where_there_is_nothing_else() -> None:
    both = ResourceReport(
        "a.b", actions=("update",), labels=("drift", "noise", "derived"), attributes=(drift("x", 1, 2),)
    )
    assert change_text(both).label == "changed outside Terraform"
    alone = ResourceReport("a.b", actions=("update",), labels=("noise",), attributes=(drift("x", 1, 2, label="noise"),))
    assert change_text(alone).label == "equivalent, or ignored by the configuration"


def test_an_attribute_that_mirrors_another_one_shares_its_line() -> None:
    tags = [drift(f"{name}.{key}", "core", "eve") for name in ("tags_all", "tags") for key in ("owner", "team")]
    assert lines(*tags) == [
        "tags.owner is eve, configured core (also in tags_all)",
        "tags.team is eve, configured core (also in tags_all)",
    ]
    assert lines(drift("id", "assets-1", "assets-2"), drift("bucket", "assets-1", "assets-2")) == [
        "id is assets-2, configured assets-1 (also in bucket)"
    ]


def test_a_mirror_that_the_report_names_shares_the_line_of_its_original() -> None:
    secret = drift("tags.key", "(sensitive)", "(sensitive)", sensitive=True)
    mirror = drift("tags_all.key", "(sensitive)", "(sensitive)", sensitive=True, mirrors="tags.key")
    assert lines(mirror, secret) == ["tags.key was changed (values are not shown) (also in tags_all)"]
    assert lines(mirror) == ["tags_all.key was changed (values are not shown)"]


@pytest.mark.parametrize(
    "other",
    [
        drift("tags_all.owner", "core", "mallory"),
        drift("tags_all.team", "core", "eve"),
        drift("tags_all.owner", "core", "eve", label="conflict"),
        drift("tags_all.owner", "core", "eve", certain=False),
        drift("tags_all.owner", "(sensitive)", "(sensitive)", sensitive=True),
    ],
)
def test_an_attribute_that_differs_in_anything_has_its_own_line(other: AttributeReport) -> None:
    assert len(lines(drift("tags.owner", "core", "eve"), other)) == 2


def test_equal_truth_values_and_numbers_are_not_taken_for_mirrors() -> None:
    assert len(lines(drift("enabled", True, False), drift("encrypted", True, False))) == 2
    assert len(lines(drift("min", 1, 2), drift("max", 1, 2))) == 2


def pending(path: str, before: Any, after: Any, **more: Any) -> AttributeReport:
    """An attribute that an apply would change, as merged."""
    return AttributeReport(path, "pending", before, before, after, **more)


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        (pending("tags.x", "absent", "new"), "tags.x set to new on apply"),
        (pending("tags.x", "old", "absent"), "tags.x removed on apply (now old)"),
        (pending("arn", "absent", None, unknown=True), "arn known after apply"),
        (pending("key", "(sensitive)", "(sensitive)"), "key changes on apply (values are not shown)"),
        (AttributeReport("size", "drift", 1, 2, None, unknown=True), "size is 2, was 1, configured: known after apply"),
        (AttributeReport("size", "adopted", 1, 2, 2), "size is 2, as configured"),
        (AttributeReport("size", "noise", 1, 2, 2), "size is 2, was 1"),
        (AttributeReport("rule[]", "conflict", "absent", 1, "absent"), "rule[] was added: 1, not configured"),
        (drift("on", {"a": True, "n": 1}, {"a": False, "n": 0}), "on is {a: false, n: 0}, configured {a: true, n: 1}"),
    ],
)
def test_the_past_is_reported_as_the_past_and_the_future_as_the_future(attribute: AttributeReport, text: str) -> None:
    assert lines(attribute) == [text]


_VALUES = st.sampled_from(["a", "b", "absent", 0, False, None, ["x"], {"k": 1}])


@given(st.sampled_from(list(Label)), _VALUES, _VALUES, _VALUES, st.booleans())
def test_no_arrow_ever_stands_for_the_past(label: Label, state: Any, reality: Any, desired: Any, unknown: bool) -> None:
    attribute = AttributeReport("x", label.value, state, reality, desired, unknown=unknown)
    (line,) = lines(attribute)
    if label in OUTSIDE or state != reality:
        assert "→" not in line
    assert "null" not in line or None in (state, reality, desired)


def test_equal_changes_of_a_lists_elements_share_a_line() -> None:
    rules = [drift(f"ingress[{n}].description", "old", "new") for n in range(20)]
    assert lines(*rules) == ["ingress[*].description is new, configured old (20 times)"]
    assert len(lines(*rules, drift("ingress[20].description", "old", "other"))) == 2


def resource(type_: str, *actions: str, **more: Any) -> ResourceReport:
    gone = AttributeReport("", "drift", "present", "absent", "present")
    deleted = more.pop("deleted", False)
    return ResourceReport(f"{type_}.x", type_, actions=actions, attributes=(gone,) if deleted else (), **more)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (resource("toy_thing", "update"), ""),
        (resource("toy_thing", "create"), ""),
        (resource("toy_thing", "delete"), "destroys it"),
        (resource("toy_thing", "delete", "create"), "destroys and re-creates it"),
        (resource("toy_thing", "create", "delete"), "destroys and re-creates it"),
        (resource("toy_thing", "create", deleted=True), "re-creates it"),
        (
            resource("aws_db_instance", "create", deleted=True),
            "re-creates it, empty; a restore would be from an automated backup or a snapshot",
        ),
        (
            resource("aws_db_instance", "delete", "create"),
            "destroys and re-creates it; it comes back empty, and a restore would be from an automated backup or a "
            "snapshot",
        ),
        (
            resource("aws_sqs_queue", "delete"),
            "destroys it; its data is lost, and its messages cannot be restored",
        ),
    ],
)
def test_what_an_apply_destroys_or_makes_anew_is_named(changed: ResourceReport, words: str) -> None:
    assert change_text(changed).consequence == words


def test_a_title_names_the_worst_that_an_apply_does() -> None:
    gone, replaced = resource("toy_thing", "delete"), resource("aws_db_instance", "delete", "create")
    assert consequence_title([replaced]) == "destroys and re-creates aws_db_instance.x; its data is lost"
    assert consequence_title([replaced, gone, gone]) == (
        "destroys 2 resources and destroys and re-creates 1 resource, 1 of them with data"
    )
    assert consequence_title([resource("toy_thing", "update")]) == ""


def test_words_of_a_newer_version_are_shown_as_they_are() -> None:
    changed = AttributeReport("size", "restive", 1, 2, 1)
    text = change_text(ResourceReport("toy_thing.web", labels=("restive",), attributes=(changed,)))
    assert (text.label, text.lines) == ("restive", ("size is 2, configured 1",))


def test_an_action_that_an_apply_invokes_is_a_line_of_its_own() -> None:
    text = invocation_text(InvocationReport("action.toy_restart.web", "toy_thing.web", "pending"))
    assert (text.address, text.lines) == ("action.toy_restart.web", ("invoked by a change of toy_thing.web",))
    assert text.label.startswith("an apply invokes this action; ")


def test_a_proposal_lists_the_actions_that_an_apply_invokes_last() -> None:
    web = ResourceChange("toy_thing.web", "toy_thing", "toy", ("update",), frozenset({Label.DRIFT}), True, ())
    restart = Invocation("action.toy_restart.web", "toy_thing.web", Label.DRIFT)
    assert actions_of([web], [restart]) == ("update toy_thing.web", "invoke action.toy_restart.web")
