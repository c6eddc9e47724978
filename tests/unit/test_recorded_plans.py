"""Labels of real plans, recorded as tests/fixtures/plans/README.md says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from driftguard.model import AttributeChange, Classification, Label, ResourceChange, Verdict
from driftguard.model.plan_document import PlanDocument, read_document
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.sealed import reveal
from tests.support.plans import KEY

PLANS = Path(__file__).parents[1] / "fixtures" / "plans"
SAME_COMMIT = Evidence(has_baseline=True, closure_changed=False, state_written=False)
NEW_COMMIT = Evidence(has_baseline=True, closure_changed=True, state_written=False)
QUEUE, KEY_PARAMETER, ROLE = "aws_sqs_queue.jobs", "aws_ssm_parameter.key", "aws_iam_role.worker"
SECRETS = ("not-a-secret", "changed-outside")


def recorded(name: str) -> PlanDocument:
    return read_document((PLANS / f"{name}.json").read_bytes())


def labels(classification: Classification) -> dict[str, dict[str, str]]:
    return {r.address: {a.path: a.label.value for a in r.attributes} for r in classification.resources}


def attribute(classification: Classification, address: str, path: str) -> AttributeChange:
    (found,) = (a for r in classification.resources if r.address == address for a in r.attributes if a.path == path)
    return found


def only(classification: Classification, address: str) -> ResourceChange:
    (found,) = (r for r in classification.resources if r.address == address)
    return found


def values(found: AttributeChange) -> tuple[Any, Any, Any]:
    return tuple(reveal(value, found.path) for value in (found.state, found.reality, found.desired))


def test_changes_outside_are_drift_and_the_secret_among_them_shows_no_value() -> None:
    result = classify(recorded("outside_only"), SAME_COMMIT, KEY)
    assert result.verdict is Verdict.DRIFTED
    assert labels(result) == {
        QUEUE: {"tags.owner": "drift", "tags_all.owner": "drift", "visibility_timeout_seconds": "drift"},
        KEY_PARAMETER: {"value": "drift", "version": "noise"},
    }
    assert values(attribute(result, QUEUE, "visibility_timeout_seconds")) == (30, 99, 30)
    assert values(attribute(result, KEY_PARAMETER, "value")) == ("(sensitive)",) * 3
    shown = json.dumps([values(a) for r in result.resources for a in r.attributes]) + repr(result)
    assert not [secret for secret in SECRETS if secret in shown]


def test_the_plan_of_the_baseline_distinguishes_a_merged_change_and_a_conflict() -> None:
    head, baseline = recorded("outside_and_merged"), recorded("outside_only")
    result = classify(head, NEW_COMMIT, KEY, baseline_document=baseline)
    assert result.verdict is Verdict.DIVERGED
    assert labels(result) == {
        QUEUE: {
            "delay_seconds": "pending",
            "tags.owner": "drift",
            "tags_all.owner": "drift",
            "visibility_timeout_seconds": "conflict",
        },
        KEY_PARAMETER: {"value": "drift", "version": "noise"},
    }
    assert all(r.certain for r in result.resources)
    before = classify(baseline, SAME_COMMIT, KEY)
    assert result.drift_fingerprint == before.drift_fingerprint  # the commit changes nothing of what is outside
    assert result.plan_fingerprint != before.plan_fingerprint


def test_without_the_plan_of_the_baseline_the_same_labels_are_not_certain() -> None:
    result = classify(recorded("outside_and_merged"), NEW_COMMIT, KEY)
    assert result.verdict is Verdict.DIVERGED
    doubtful = {a.path for r in result.resources for a in r.attributes if not a.certain}
    assert doubtful == {"delay_seconds", "visibility_timeout_seconds", "version"}
    assert attribute(result, KEY_PARAMETER, "version").label is Label.ADOPTED


def test_an_object_recreated_outside_is_drift_that_forces_a_replacement() -> None:
    result = classify(recorded("replaced_by_drift"), SAME_COMMIT, KEY)
    assert (result.verdict, only(result, ROLE).actions) == (Verdict.DRIFTED, ("delete", "create"))
    computed = ("arn", "create_date", "id", "inline_policy", "managed_policy_arns", "tags_all", "unique_id")
    form_alone = {"assume_role_policy": "noise"}
    assert labels(result) == {ROLE: {"path": "drift", **form_alone, **dict.fromkeys(computed, "derived")}}
    path = attribute(result, ROLE, "path")
    assert (values(path), path.forces_replacement) == (("/shop/", "/other/", "/shop/"), True)
    assert attribute(result, ROLE, "arn").causes == (ROLE,)


def test_what_follows_from_a_rename_is_derived_and_a_moved_address_is_a_refactor() -> None:
    result = classify(recorded("renamed"), Evidence(has_baseline=False), KEY)
    assert (result.verdict, result.drift_fingerprint) == (Verdict.PENDING, None)
    computed = ("arn", "id", "kms_data_key_reuse_period_seconds", "name_prefix", "policy")
    moved = "aws_ssm_parameter.address"
    assert labels(result) == {
        QUEUE: {"name": "pending", **dict.fromkeys(computed, "derived")},
        moved: {"": "refactor", "value": "derived"},
    }
    assert attribute(result, QUEUE, "name").certain is False
    assert attribute(result, QUEUE, "name").forces_replacement
    assert only(result, moved).previous_address == "aws_ssm_parameter.url"
    assert attribute(result, moved, "value").causes == (QUEUE,)
    assert [(o.name, o.label.value) for o in result.outputs] == [("url", "derived")]
