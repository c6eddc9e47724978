"""One renderer of attribute changes: what it shows, and what shares a line."""

from __future__ import annotations

from typing import Any

import pytest

from driftguard.model import Invocation, Label, ResourceChange
from driftguard.model.report import AttributeReport, InvocationReport, ResourceReport
from driftguard.pipeline.changes import attribute_lines, change_text, invocation_text
from driftguard.pipeline.propose.environment import actions_of


def drift(path: str, before: Any, after: Any, **more: Any) -> AttributeReport:
    """An attribute that was changed outside Terraform from what is configured."""
    return AttributeReport(path, **{"label": "drift", "state": before, "reality": after, "desired": before, **more})


def lines(*attributes: AttributeReport) -> list[str]:
    return [line.text for line in attribute_lines(attributes)]


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        (drift("size", 1, 2), "size: 1 → 2"),
        (drift("tags.owner", "absent", "eve"), "tags.owner: added eve"),
        (drift("tags.owner", "core", "absent"), "tags.owner: removed (was core)"),
        (AttributeReport("size", "conflict", 1, 2, 3), "size: 1 → 2 (configured: 3)"),
        (AttributeReport("size", "absorbed", 2, 2, 1), "size: 1 → 2"),
        (AttributeReport("type", "pending", "a", "a", "b"), "type: a → b (configured, not applied)"),
        (AttributeReport("type", "input", "a", "a", "b"), "type: a → b (planned)"),
        (
            AttributeReport("arn", "derived", "a", "a", None, unknown=True, causes=("x.y",)),
            "arn: a → (known after apply) because of x.y",
        ),
        (drift("size", 1, 2, certain=False, forces_replacement=True), "size: 1 → 2 (not certain) (forces replacement)"),
        (drift("key", "(sensitive)", "(sensitive)", sensitive=True), "key: changed (values are not shown)"),
        (AttributeReport("", "residue", rule="tainted object"), "tainted object"),
        (AttributeReport("size", "of_a_newer_version", 1, 2, 1), "size: 1 → 2"),
    ],
)
def test_each_label_has_its_sentence(attribute: AttributeReport, text: str) -> None:
    assert lines(attribute) == [text]


def test_an_attribute_that_mirrors_another_one_shares_its_line() -> None:
    tags = [drift(f"{name}.{key}", "core", "eve") for name in ("tags_all", "tags") for key in ("owner", "team")]
    assert lines(*tags) == ["tags.owner: core → eve (also in tags_all)", "tags.team: core → eve (also in tags_all)"]
    assert lines(drift("id", "assets-1", "assets-2"), drift("bucket", "assets-1", "assets-2")) == [
        "id: assets-1 → assets-2 (also in bucket)"
    ]


def test_a_mirror_that_the_report_names_shares_the_line_of_its_original() -> None:
    secret = drift("tags.key", "(sensitive)", "(sensitive)", sensitive=True)
    mirror = drift("tags_all.key", "(sensitive)", "(sensitive)", sensitive=True, mirrors="tags.key")
    assert lines(mirror, secret) == ["tags.key: changed (values are not shown) (also in tags_all)"]
    assert lines(mirror) == ["tags_all.key: changed (values are not shown)"]


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


def test_words_of_a_newer_version_are_shown_as_they_are() -> None:
    changed = AttributeReport("size", "restive", 1, 2, 1)
    text = change_text(ResourceReport("toy_thing.web", labels=("restive",), attributes=(changed,)))
    assert (text.label, text.lines) == ("restive", ("size: 1 → 2",))


def test_an_action_that_an_apply_invokes_is_a_line_of_its_own() -> None:
    text = invocation_text(InvocationReport("action.toy_restart.web", "toy_thing.web", "pending"))
    assert (text.address, text.lines) == ("action.toy_restart.web", ("invoked by a change of toy_thing.web",))
    assert text.label.startswith("an apply invokes this action; ")


def test_a_proposal_lists_the_actions_that_an_apply_invokes_last() -> None:
    web = ResourceChange("toy_thing.web", "toy_thing", "toy", ("update",), frozenset({Label.DRIFT}), True, ())
    restart = Invocation("action.toy_restart.web", "toy_thing.web", Label.DRIFT)
    assert actions_of([web], [restart]) == ("update toy_thing.web", "invoke action.toy_restart.web")
