"""Objects that hold data and were deleted outside Terraform are made anew only where the limit allows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from driftguard.config import Limits, Policy
from driftguard.model import Action
from driftguard.model.reasons import Reason, ReasonName
from driftguard.pipeline.approve.commits import Approvals
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.pipeline.decide.decision import decide
from driftguard.pipeline.decide.facts import Facts
from tests.support.plans import KEY, plan, resource

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SAME_COMMIT = Evidence(has_baseline=True, state_written=False)
DATA = [
    "aws_db_instance",
    "aws_s3_bucket",
    "aws_dynamodb_table",
    "aws_sqs_queue",
    "aws_kms_key",
    "aws_efs_file_system",
    "aws_ebs_volume",
    "aws_cloudwatch_log_group",
    "google_sql_database_instance",
    "azurerm_storage_account",
]


def decided(document: Any, **policy: Any) -> tuple[Action, list[str]]:
    classification = classify(document, SAME_COMMIT, KEY)
    limits = policy.pop("limits", Limits())
    settings = Policy(pending="apply", drift="revert", input="apply", limits=limits, **policy)
    facts = Facts(
        classification.verdict, classification, None, settings, Approvals(True, (Reason(ReasonName.MERGED, "1"),)), NOW
    )
    decision = decide(facts)
    return decision.action, [str(reason.name) for reason in decision.reasons]


def gone(*types: str) -> Any:
    return plan(*(resource(f"{type_}.a", state={"n": 1}, reality=None, desired={"n": 1}) for type_ in types))


@pytest.mark.parametrize("type_", DATA)
def test_what_holds_data_is_not_made_anew_by_itself(type_: str) -> None:
    assert decided(gone(type_)) == (Action.HOLD, ["limit_recreates"])
    assert decided(gone(type_), limits=Limits(recreates=1))[0] is Action.APPLY


def test_what_holds_no_data_is_made_anew() -> None:
    assert decided(gone("aws_iam_role"))[0] is Action.APPLY


def test_the_table_of_types_is_extended_in_the_configuration() -> None:
    assert decided(gone("acme_store"), data_types=("acme_*",)) == (Action.HOLD, ["limit_recreates"])


def test_what_was_never_there_is_created_and_not_made_anew() -> None:
    created = plan(resource("aws_s3_bucket.a", state=None, desired={"n": 1}))
    assert decided(created) == (Action.HOLD, ["uncertain"])  # no digests: perhaps taken out of the state
    assert "limit_recreates" not in decided(created)[1]


def test_protect_covers_being_made_anew() -> None:
    assert decided(gone("aws_iam_role"), protect=("aws_iam_role",)) == (Action.HOLD, ["protected"])


def test_each_object_made_anew_counts() -> None:
    found = decided(gone("aws_s3_bucket", "aws_sqs_queue"), limits=Limits(recreates=1))
    assert found == (Action.HOLD, ["limit_recreates"])


def test_actions_are_held_until_the_limit_allows_them() -> None:
    invocation = {"address": "action.toy_flush.f", "lifecycle_action_trigger": {"triggering_resource_address": "toy.t"}}
    changed = resource("aws_x.t", state={"n": 1}, reality={"n": 2}, desired={"n": 1})
    document = plan(changed, action_invocations=[invocation])
    assert decided(document) == (Action.HOLD, ["limit_invocations"])
    assert decided(document, limits=Limits(invocations=1))[0] is Action.APPLY


def test_an_object_that_is_due_again_after_each_apply_is_held() -> None:
    values = {"validity_start_time": "2026-01-01T00:00:00Z", "validity_end_time": "2026-01-01T01:00:00Z"}
    renewed = resource(
        "tls_self_signed_cert.c",
        state={**values, "early_renewal_hours": 2, "cert_pem": "x"},
        desired={"early_renewal_hours": 2},
        unknown={"cert_pem": True, "validity_start_time": True, "validity_end_time": True},
        actions=["delete", "create"],
    )
    document = plan(renewed, timestamp="2026-01-01T00:30:00Z")
    assert decided(document, limits=Limits(replaces=1, share=1.0)) == (Action.HOLD, ["due_again"])
