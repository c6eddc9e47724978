"""Labels and verdicts from S, R, D and L."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.model import AttributeChange, Classification, Label, ResourceChange, Verdict
from driftguard.model.plan_document import PlanDocument, UnreadablePlan, read_document
from driftguard.pipeline.classify.labels import DriftedAddress, Evidence, classify, classify_quiet
from driftguard.sealed import reveal
from tests.support.plans import KEY, plan, plan_text, resource

FIRST_SCAN = Evidence(has_baseline=False)
SAME_COMMIT = Evidence(has_baseline=True, closure_changed=False, state_written=False)
SAME_COMMIT_STATE_WRITTEN = Evidence(has_baseline=True, closure_changed=False, state_written=True)
NEW_COMMIT = Evidence(has_baseline=True, closure_changed=True, state_written=False)
NEW_COMMIT_STATE_WRITTEN = Evidence(has_baseline=True, closure_changed=True, state_written=True)

ADDRESS = "aws_sqs_queue.jobs"


def only(classification: Classification) -> ResourceChange:
    (found,) = classification.resources
    return found


def labels(classification: Classification) -> dict[str, str]:
    return {a.path: a.label.value for r in classification.resources for a in r.attributes}


def one_attribute(state: Any, reality: Any, desired: Any, baseline: Any, evidence: Evidence) -> AttributeChange | None:
    """The label of one attribute with the given values; `...` as baseline means that there is no baseline plan."""
    document = plan(resource(ADDRESS, state={"a": state}, reality={"a": reality}, desired={"a": desired}))
    wanted = None if baseline is ... else plan(resource(ADDRESS, state={"a": reality}, desired={"a": baseline}))
    result = classify(document, evidence, KEY, baseline_document=wanted)
    found = [a for r in result.resources for a in r.attributes]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("state", "reality", "desired", "baseline", "evidence", "label", "certain"),
    [
        ("s", "r", "s", ..., SAME_COMMIT, "drift", True),
        ("s", "r", "d", ..., SAME_COMMIT, "drift", True),
        ("s", "r", "s", ..., FIRST_SCAN, "drift", True),
        ("s", "r", "s", "x", NEW_COMMIT, "drift", True),
        ("s", "r", "d", "d", NEW_COMMIT, "drift", True),
        ("s", "r", "d", "s", NEW_COMMIT, "conflict", True),
        ("s", "r", "d", ..., NEW_COMMIT, "conflict", False),
        ("s", "r", "d", ..., FIRST_SCAN, "conflict", False),
        (None, "r", "", ..., FIRST_SCAN, "drift", False),
        (None, "r", "", ..., NEW_COMMIT, "drift", False),
        ("s", "s", "d", "s", NEW_COMMIT, "pending", True),
        ("s", "s", "d", ..., NEW_COMMIT, "pending", False),
        ("s", "s", "d", ..., FIRST_SCAN, "pending", False),
        ("s", "s", "d", "s", NEW_COMMIT_STATE_WRITTEN, "pending", False),
        ("s", "s", "d", "d", NEW_COMMIT_STATE_WRITTEN, "absorbed", False),
        ("s", "s", "d", ..., SAME_COMMIT_STATE_WRITTEN, "absorbed", False),
        ("s", "s", "d", "d", NEW_COMMIT, "input", False),
        ("s", "s", "d", ..., SAME_COMMIT, "input", False),
        ("s", "s", "d", ..., Evidence(has_baseline=True, state_written=None), "input", False),
        ("s", "r", "r", "s", NEW_COMMIT, "adopted", True),
        ("s", "r", "r", ..., NEW_COMMIT, "adopted", False),
        ("s", "r", "r", "r", NEW_COMMIT, "noise", True),
        ("s", "r", "r", ..., SAME_COMMIT, "noise", True),
        ("s", "r", "r", ..., FIRST_SCAN, "noise", False),
    ],
)
def test_each_test_of_the_contract_gives_its_label(
    state: str, reality: str, desired: str, baseline: Any, evidence: Evidence, label: str, certain: bool
) -> None:
    found = one_attribute(state, reality, desired, baseline, evidence)
    assert found is not None
    assert (found.label.value, found.certain) == (label, certain)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ('{"a":1,"b":[2]}', '{ "b": [2], "a": 1 }'),
        (
            '{"Statement":[{"Action":["b","a"],"Resource":"x"}]}',
            '{"Statement":{"Resource":["x"],"Action":["a","b"]}}',
        ),
        (1, 1.0),
    ],
)
def test_a_difference_of_form_is_no_difference(left: Any, right: Any) -> None:
    document = plan(resource(ADDRESS, state={"a": left}, reality={"a": right}, desired={"a": left}))
    result = classify(document, SAME_COMMIT, KEY)
    assert result.verdict is Verdict.IN_SYNC
    assert only(result).labels == {Label.NOISE}


EMPTY: list[tuple[Any, Any]] = [(None, ""), (None, []), (None, {}), ("", None), ([], None)]


@pytest.mark.parametrize(("left", "right"), EMPTY)
def test_null_and_empty_are_one_where_nothing_is_planned(left: Any, right: Any) -> None:
    document = plan(resource(ADDRESS, state={"a": left}, reality={"a": right}))
    result = classify(document, SAME_COMMIT, KEY)
    assert result.verdict is Verdict.IN_SYNC
    assert only(result).labels == {Label.NOISE}


@pytest.mark.parametrize(("left", "right"), EMPTY)
def test_null_and_empty_are_two_where_terraform_plans_a_change(left: Any, right: Any) -> None:
    document = plan(resource(ADDRESS, state={"a": left}, reality={"a": right}, desired={"a": left}))
    assert labels(classify(document, SAME_COMMIT, KEY)) == {"a": "drift"}


@pytest.mark.parametrize(("left", "right"), EMPTY)
def test_null_and_empty_are_one_in_the_new_object_of_a_replacement(left: Any, right: Any) -> None:
    views = {"state": {"n": "a", "x": left}, "reality": {"n": "b", "x": left}, "desired": {"n": "a", "x": right}}
    document = plan(resource(ADDRESS, **views, actions=["delete", "create"], replace_paths=[["n"]]))
    assert labels(classify(document, SAME_COMMIT, KEY)) == {"n": "drift"}


@pytest.mark.parametrize("actions", [["update"], ["delete", "create"]])
def test_a_map_entry_with_an_empty_value_is_an_entry(actions: list[str]) -> None:
    views = {"state": {"tags": {"a": "1", "b": ""}}, "reality": {"tags": {"a": "1"}}}
    document = plan(resource(ADDRESS, **views, desired=views["state"], actions=actions))
    assert labels(classify(document, SAME_COMMIT, KEY)) == {"tags.b": "drift"}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ('{"ResultPath":null}', "{}"),
        ('{"security":[]}', "{}"),
        ('[{"name":"P","value":""}]', '[{"name":"P"}]'),
        ('{"a":{}}', '{"a":null}'),
        ('{"Statement":[{"Action":[],"Resource":"x"}]}', '{"Statement":[{"Resource":"x"}]}'),
        ('{"n":1.00000000000000000001}', '{"n":1.00000000000000000002}'),
    ],
)
def test_null_and_empty_inside_json_text_are_values(left: str, right: str) -> None:
    found = one_attribute(left, right, left, ..., SAME_COMMIT)
    assert found is not None
    assert found.label is Label.DRIFT


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("9007199254740993", "9007199254740992"),
        ("1.00000000000000000001", "1.00000000000000000002"),
        ("1e400", "2e400"),
        ("0.1", "0.10000000000000001"),
        ("123456789012345678901234567890", "123456789012345678901234567891"),
    ],
)
def test_numbers_are_compared_beyond_a_double(left: str, right: str) -> None:
    text = plan_text(resource(ADDRESS, state={"a": "L"}, reality={"a": "R"}, desired={"a": "L"}))
    exact = text.replace(b'"L"', left.encode()).replace(b'"R"', right.encode())
    result = classify(read_document(exact), SAME_COMMIT, KEY)
    assert labels(result) == {"a": "drift"}
    (attribute,) = only(result).attributes
    assert json.loads(json.dumps(reveal(attribute.state))) is not None


@pytest.mark.parametrize(
    ("left", "right"),
    [(False, None), (0, None), (True, 1), ("1", 1), (["a", "b"], ["b", "a"]), ('["a","b"]', '["b","a"]'), ("{", "[")],
)
def test_a_difference_of_meaning_is_drift(left: Any, right: Any) -> None:
    found = one_attribute(left, right, left, ..., SAME_COMMIT)
    assert found is not None
    assert found.label is Label.DRIFT


def test_an_object_deleted_outside_is_drift_with_reality_absent() -> None:
    document = plan(resource(ADDRESS, state={"name": "jobs"}, reality=None, desired={"name": "jobs"}))
    result = classify(document, SAME_COMMIT, KEY)
    (attribute,) = only(result).attributes
    assert (attribute.path, attribute.label) == ("", Label.DRIFT)
    assert (reveal(attribute.state), reveal(attribute.reality)) == ("present", "absent")
    assert result.verdict is Verdict.DRIFTED


def test_an_object_deleted_outside_and_changed_by_a_commit_is_both() -> None:
    wanted = plan(resource(ADDRESS, state={"size": 1}, reality=None, desired={"size": 1}))
    document = plan(resource(ADDRESS, state={"size": 1}, reality=None, desired={"size": 2}))
    result = classify(document, NEW_COMMIT, KEY, baseline_document=wanted)
    assert labels(result) == {"": "drift", "size": "pending"}
    assert result.verdict is Verdict.DIVERGED


def test_a_new_object_is_pending_when_the_baseline_did_not_want_it() -> None:
    document = plan(resource(ADDRESS, state=None, desired={"name": "jobs"}))
    result = classify(document, NEW_COMMIT, KEY, baseline_document=plan())
    assert labels(result) == {"": "pending"}
    assert result.verdict is Verdict.PENDING


def test_an_object_whose_deletion_a_refresh_wrote_to_the_state_is_absorbed() -> None:
    document = plan(resource(ADDRESS, state=None, desired={"name": "jobs"}))
    assert labels(classify(document, SAME_COMMIT_STATE_WRITTEN, KEY)) == {"": "absorbed"}


def test_an_object_removed_from_the_code_is_pending() -> None:
    document = plan(resource(ADDRESS, state={"name": "jobs"}, desired=None))
    wanted = plan(resource(ADDRESS, state={"name": "jobs"}))
    result = classify(document, NEW_COMMIT, KEY, baseline_document=wanted)
    assert labels(result) == {"": "pending"}


def test_removing_an_object_that_a_user_changed_outside_is_a_conflict() -> None:
    document = plan(resource(ADDRESS, state={"a": 1, "etag": 1}, reality={"a": 2, "etag": 2}, desired=None))
    wanted = plan(
        resource(ADDRESS, state={"a": 1, "etag": 1}, reality={"a": 2, "etag": 2}, desired={"a": 1, "etag": 2})
    )
    result = classify(document, NEW_COMMIT, KEY, baseline_document=wanted)
    assert labels(result) == {"": "pending", "a": "conflict"}  # the etag is not the configuration's business
    assert result.verdict is Verdict.DIVERGED


def test_an_object_gone_from_state_reality_and_code_alike_is_no_finding() -> None:
    document = plan(resource(ADDRESS, state={"name": "jobs"}, reality=None, desired=None))
    result = classify(document, SAME_COMMIT, KEY)
    assert result.verdict is Verdict.IN_SYNC


@pytest.mark.parametrize(
    ("more", "label"),
    [
        ({"action_reason": "replace_because_tainted", "actions": ["delete", "create"]}, Label.RESIDUE),
        ({"deposed": "0a1b2c3d", "actions": ["delete"]}, Label.RESIDUE),
        ({"previous_address": "aws_sqs_queue.old", "actions": ["no-op"]}, Label.REFACTOR),
        ({"importing": {"id": "q"}, "actions": ["no-op"]}, Label.REFACTOR),
        ({"actions": ["forget"]}, Label.REFACTOR),
    ],
)
def test_what_is_left_behind_or_renamed_has_labels_of_its_own(more: dict[str, Any], label: Label) -> None:
    document = plan(resource(ADDRESS, state={"a": 1}, desired={"a": 1}, **more))
    assert only(classify(document, SAME_COMMIT, KEY)).labels == {label}


def test_an_object_that_is_forgotten_loses_no_outside_change() -> None:
    document = plan(resource(ADDRESS, state={"a": 1}, reality={"a": 2}, desired=None, actions=["forget"]))
    baseline = plan(resource(ADDRESS, state={"a": 2}, desired={"a": 1}))
    found = only(classify(document, NEW_COMMIT, KEY, baseline_document=baseline))
    assert [(a.path, a.label) for a in found.attributes] == [("", Label.REFACTOR)]


def test_sensitivity_that_moves_within_a_map_is_pending() -> None:
    drift, change = resource(ADDRESS, state={"tags": {"a": "1", "b": "2"}}, actions=["update"])
    assert change is not None
    change["change"] |= {"before_sensitive": {"tags": {"a": True}}, "after_sensitive": {"tags": {"b": True}}}
    found = only(classify(plan((drift, change)), NEW_COMMIT, KEY))
    assert [(a.path, a.label, a.certain) for a in found.attributes] == [("tags", Label.PENDING, True)]


def test_a_value_known_after_apply_is_derived_and_names_its_cause() -> None:
    queue = resource(
        "aws_sqs_queue.jobs", state={"name": "a", "arn": "x"}, desired={"name": "b"}, unknown={"arn": True}
    )
    policy = resource("aws_sqs_queue_policy.jobs", state={"policy": "x"}, desired={}, unknown={"policy": True})
    configuration = {
        "root_module": {
            "resources": [
                {"address": "aws_sqs_queue.jobs", "expressions": {"name": {"constant_value": "b"}}},
                {
                    "address": "aws_sqs_queue_policy.jobs",
                    "expressions": {"policy": {"references": ["aws_sqs_queue.jobs.arn", "aws_sqs_queue.jobs"]}},
                },
            ]
        }
    }
    result = classify(plan(queue, policy, configuration=configuration), SAME_COMMIT, KEY)
    found = {(r.address, a.path): a for r in result.resources for a in r.attributes}
    assert found["aws_sqs_queue_policy.jobs", "policy"].label is Label.DERIVED
    assert found["aws_sqs_queue_policy.jobs", "policy"].causes == ("aws_sqs_queue.jobs",)
    assert found["aws_sqs_queue.jobs", "arn"].causes == ("aws_sqs_queue.jobs",)


def test_a_changing_resource_all_of_whose_values_are_known_is_no_cause() -> None:
    queue = resource("aws_sqs_queue.jobs", state=None, desired={"name": "b"}, unknown={"arn": True})
    table = resource("aws_dynamodb_table.orders", state={"tags": "a", "arn": "t"}, desired={"tags": "b", "arn": "t"})
    policy = resource("aws_iam_policy.jobs", state={"policy": "x"}, desired={}, unknown={"policy": True})
    references = ["aws_sqs_queue.jobs.arn", "aws_sqs_queue.jobs", "aws_dynamodb_table.orders.arn"]
    listed = [{"address": "aws_iam_policy.jobs", "expressions": {"policy": {"references": references}}}]
    document = plan(queue, table, policy, configuration={"root_module": {"resources": listed}})
    result = classify(document, SAME_COMMIT, KEY)
    (found,) = (a for r in result.resources for a in r.attributes if r.address == "aws_iam_policy.jobs")
    assert found.causes == ("aws_sqs_queue.jobs",)


def test_a_cause_is_found_through_a_modules_input_and_output() -> None:
    configuration = {
        "root_module": {
            "module_calls": {
                "net": {"module": {"outputs": {"id": {"expression": {"references": ["aws_vpc.main.id"]}}}}},
                "app": {
                    "expressions": {"vpc": {"references": ["module.net.id", "module.net"]}},
                    "module": {
                        "resources": [{"address": "aws_sg.app", "expressions": {"vpc_id": {"references": ["var.vpc"]}}}]
                    },
                },
            }
        }
    }
    vpc = resource("module.net.aws_vpc.main", state=None, desired={"cidr": "10.0.0.0/8"}, unknown={"id": True})
    group = resource('module.app["a.b"].aws_sg.app', state={"vpc_id": "x"}, desired={}, unknown={"vpc_id": True})
    result = classify(plan(vpc, group, configuration=configuration), SAME_COMMIT, KEY)
    found = {a.path: a.causes for r in result.resources for a in r.attributes if "sg" in r.address}
    assert found["vpc_id"] == ("module.net.aws_vpc.main",)


def test_a_hotfix_under_a_value_that_is_known_only_after_apply_is_drift_and_not_certain() -> None:
    group = resource(ADDRESS, state={"a": 1}, reality={"a": 2}, desired={}, unknown={"a": True})
    configuration = {
        "root_module": {"resources": [{"address": ADDRESS, "expressions": {"a": {"references": ["b.c"]}}}]}
    }
    result = classify(plan(group, configuration=configuration), SAME_COMMIT, KEY)
    assert (labels(result), only(result).certain) == ({"a": "drift"}, False)


def test_changes_from_both_sides_on_different_attributes_keep_their_own_labels() -> None:
    document = plan(resource(ADDRESS, state={"a": 1, "b": 1}, reality={"a": 2, "b": 1}, desired={"a": 1, "b": 2}))
    wanted = plan(resource(ADDRESS, state={"a": 1, "b": 1}, reality={"a": 2, "b": 1}, desired={"a": 1, "b": 1}))
    result = classify(document, NEW_COMMIT, KEY, baseline_document=wanted)
    assert labels(result) == {"a": "drift", "b": "pending"}
    assert result.verdict is Verdict.DIVERGED


def test_a_list_element_added_outside_and_one_added_by_a_commit_are_two_facts() -> None:
    rules = [{"port": 80}, {"port": 443}]
    document = plan(
        resource(
            ADDRESS,
            state={"rules": rules},
            reality={"rules": [*rules, {"port": 22}]},
            desired={"rules": [{"port": 8080}, *rules]},
        )
    )
    wanted = plan(resource(ADDRESS, state={"rules": [*rules, {"port": 22}]}, desired={"rules": rules}))
    result = classify(document, NEW_COMMIT, KEY, baseline_document=wanted)
    found = {reveal(a.reality)["port"] if reveal(a.reality) != "absent" else 8080: a for a in only(result).attributes}
    assert {port: a.label.value for port, a in found.items()} == {22: "drift", 8080: "pending"}


def test_the_order_of_a_list_alone_is_one_change_of_the_list() -> None:
    found = one_attribute(["a", "b"], ["b", "a"], ["a", "b"], ..., SAME_COMMIT)
    assert found is not None
    assert found.path == "a"


def test_a_block_that_occurs_once_is_compared_member_by_member() -> None:
    document = plan(
        resource(
            ADDRESS,
            state={"v": [{"on": True, "x": 1}]},
            reality={"v": [{"on": False, "x": 1}]},
            desired={"v": [{"on": True, "x": 1}]},
        )
    )
    assert labels(classify(document, SAME_COMMIT, KEY)) == {"v[0].on": "drift"}


def test_duplicate_elements_are_counted() -> None:
    result = classify(
        plan(resource(ADDRESS, state={"l": ["a", "a"]}, reality={"l": ["a", "a", "a"]}, desired={"l": ["a", "a"]})),
        SAME_COMMIT,
        KEY,
    )
    assert labels(result) == {"l[]": "drift"}


def test_what_forces_a_replacement_is_marked() -> None:
    document = plan(
        resource(
            ADDRESS,
            state={"name": "a", "size": 1},
            reality={"name": "b", "size": 2},
            desired={"name": "a", "size": 1},
            actions=["delete", "create"],
            replace_paths=[["name"]],
        )
    )
    found = {a.path: a.forces_replacement for a in only(classify(document, SAME_COMMIT, KEY)).attributes}
    assert found == {"name": True, "size": False}


def test_sensitive_values_are_compared_but_never_shown() -> None:
    document = plan(
        resource(
            ADDRESS,
            state={"v": "s3cret-1"},
            reality={"v": "s3cret-2"},
            desired={"v": "s3cret-1"},
            sensitive={"v": True},
        )
    )
    (attribute,) = only(classify(document, SAME_COMMIT, KEY)).attributes
    assert attribute.label is Label.DRIFT
    assert attribute.sensitive
    assert {reveal(v) for v in (attribute.state, attribute.reality, attribute.desired)} == {"(sensitive)"}


@pytest.mark.parametrize(
    ("evidence", "baseline", "label"),
    [(NEW_COMMIT, "old", "pending"), (SAME_COMMIT, ..., "input"), (SAME_COMMIT_STATE_WRITTEN, ..., "absorbed")],
)
def test_an_output_alone_can_be_what_changed(evidence: Evidence, baseline: Any, label: str) -> None:
    def outputs(after: str) -> dict[str, Any]:
        return {"url": {"actions": ["update"], "before": "old", "after": after, "after_unknown": False}}

    wanted = None if baseline is ... else plan(outputs=outputs(baseline))
    result = classify(plan(outputs=outputs("new")), evidence, KEY, baseline_document=wanted)
    assert [(o.name, o.label.value) for o in result.outputs] == [("url", label)]
    assert result.verdict is not Verdict.IN_SYNC
    assert result.plan_fingerprint is not None


@dataclass(frozen=True)
class Rule:
    address: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.address} {self.path}"

    def matches(self, address: str, path: str) -> bool:
        return address == self.address and path == self.path


def test_an_ignore_rule_turns_its_attribute_into_noise_and_stays_visible() -> None:
    document = plan(resource(ADDRESS, state={"n": 1, "m": 1}, reality={"n": 2, "m": 2}, desired={"n": 1, "m": 1}))
    result = classify(document, SAME_COMMIT, KEY, ignore=[Rule(ADDRESS, "n")])
    assert {a.path: (a.label.value, a.ignored_by) for a in only(result).attributes} == {
        "m": ("drift", None),
        "n": ("noise", f"{ADDRESS} n"),
    }


def test_what_only_follows_from_an_ignored_change_is_ignored_with_it() -> None:
    document = plan(
        resource(ADDRESS, state={"n": 1, "rev": 1}, reality={"n": 2, "rev": 1}, desired={"n": 1}, unknown={"rev": True})
    )
    assert classify(document, SAME_COMMIT, KEY).verdict is Verdict.DRIFTED
    assert classify(document, SAME_COMMIT, KEY, ignore=[Rule(ADDRESS, "n")]).verdict is Verdict.IN_SYNC


def test_an_ignore_rule_never_hides_a_replacement_or_a_deletion() -> None:
    replaced = plan(resource(ADDRESS, state={"n": 1}, reality={"n": 2}, desired={"n": 1}, actions=["delete", "create"]))
    gone = plan(resource(ADDRESS, state={"n": 1}, reality=None, desired={"n": 1}))
    for document in (replaced, gone):
        ignore = [Rule(ADDRESS, "n"), Rule(ADDRESS, "")]
        assert classify(document, SAME_COMMIT, KEY, ignore=ignore).verdict is Verdict.DRIFTED


def test_a_plan_that_changes_nothing_lists_what_differs_as_noise_or_adopted() -> None:
    drifted = [DriftedAddress("aws_b.b", "aws_b", "aws"), DriftedAddress("aws_a.a", "aws_a", "aws")]
    quiet = classify_quiet(drifted, SAME_COMMIT)
    assert [(r.address, set(r.labels), r.certain) for r in quiet.resources] == [
        ("aws_a.a", {Label.NOISE}, True),
        ("aws_b.b", {Label.NOISE}, True),
    ]
    after_commit = classify_quiet(drifted, NEW_COMMIT)
    assert {label for r in after_commit.resources for label in r.labels} == {Label.ADOPTED}
    assert not any(r.certain for r in after_commit.resources)


def test_a_refresh_that_absorbs_a_drift_does_not_make_it_another_drift() -> None:
    drifted = plan(resource(ADDRESS, state={"a": 1}, reality={"a": 2}, desired={"a": 1}))
    absorbed = plan(resource(ADDRESS, state={"a": 2}, desired={"a": 1}))
    first = classify(drifted, SAME_COMMIT, KEY)
    second = classify(absorbed, SAME_COMMIT_STATE_WRITTEN, KEY)
    assert labels(second) == {"a": "absorbed"}
    assert first.drift_fingerprint == second.drift_fingerprint
    assert first.plan_fingerprint == second.plan_fingerprint


def test_fingerprints_depend_on_the_key() -> None:
    document = plan(resource(ADDRESS, state={"a": 1}, reality={"a": 2}, desired={"a": 1}))
    ours, theirs = (classify(document, SAME_COMMIT, key) for key in (KEY, b"x" * 32))
    assert ours.drift_fingerprint != theirs.drift_fingerprint
    assert ours.plan_fingerprint != theirs.plan_fingerprint


# --- properties ----------------------------------------------------------------------------------

scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text("ab{", max_size=3))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3)
evidences = st.builds(
    Evidence,
    has_baseline=st.booleans(),
    closure_changed=st.booleans(),
    state_written=st.sampled_from([True, False, None]),
)


@st.composite
def resources(draw: st.DrawFn) -> list[tuple[Any, Any]]:
    names = draw(st.lists(st.sampled_from("pqrs"), unique=True, max_size=4))
    maybe = st.one_of(st.none(), objects)
    return [resource(f"aws_x.{n}", state=draw(maybe), reality=draw(maybe), desired=draw(maybe)) for n in names]


@given(resources(), resources(), evidences, st.randoms(use_true_random=False))
def test_labels_and_fingerprints_do_not_depend_on_resource_order(
    listed: list[Any], wanted: list[Any], evidence: Evidence, random: Any
) -> None:
    shuffled = list(listed)
    random.shuffle(shuffled)
    baseline = plan(*wanted)
    first = classify(plan(*listed), evidence, KEY, baseline_document=baseline)
    second = classify(plan(*shuffled), evidence, KEY, baseline_document=baseline)
    assert first == second


@given(objects, objects, objects)
def test_undoing_an_outside_change_restores_the_fingerprint(state: Any, first: Any, second: Any) -> None:
    def fingerprint(*realities: Any) -> str | None:
        listed = [
            resource(f"aws_x.n{index}", state=state, reality=reality, desired=state)
            for index, reality in enumerate(realities)
        ]
        return classify(plan(*listed), SAME_COMMIT, KEY).drift_fingerprint

    assert fingerprint(first, state) == fingerprint(first, state)
    before = fingerprint(first)
    with_second = fingerprint(first, second)
    if fingerprint(state, second) is not None:
        assert with_second != before
    assert fingerprint(first, state) == before


@given(resources(), evidences)
def test_nothing_that_apply_would_undo_is_ever_called_in_sync(listed: list[Any], evidence: Evidence) -> None:
    result = classify(plan(*listed), evidence, KEY)
    meant = [a for r in result.resources for a in r.attributes if a.label not in (Label.NOISE, Label.ADOPTED)]
    assert (result.verdict is Verdict.IN_SYNC) == (not meant)


@given(st.one_of(st.binary(max_size=60), values.map(lambda v: plan_text(output_changes=v))))
def test_bad_input_raises_nothing_but_a_clear_error(text: bytes) -> None:
    with suppress(UnreadablePlan):
        assert isinstance(read_document(text), PlanDocument)


@given(st.dictionaries(st.sampled_from(["configuration", "resource_drift", "resource_changes"]), values, max_size=3))
def test_a_plan_of_odd_shape_raises_nothing_but_a_clear_error(parts: dict[str, Any]) -> None:
    text = plan_text(resource(ADDRESS, state={"a": 1}, desired={}, unknown={"a": True}), **parts)
    with suppress(UnreadablePlan):
        classify(read_document(text), SAME_COMMIT, KEY)
