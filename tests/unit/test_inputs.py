"""The inputs of decisions in the journal: whole, without secrets, and enough to decide again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from driftguard.config import Policy, Suspended, Window
from driftguard.model import Label
from driftguard.pipeline.decide.inputs import decision_inputs
from tests.unit.test_decide import NOW, facts, resource


def test_the_policy_in_the_inputs_is_read_again_as_the_same_policy() -> None:
    windows = (Window(allow="0 9 * * mon-fri", for_=timedelta(hours=8), zone="Europe/Berlin"),)
    suspended = Suspended(reason="move", until=datetime(2026, 12, 1, tzinfo=UTC))
    policy = Policy(pending="apply", protect=("aws_db_instance.*",), windows=windows, suspended=suspended)
    inputs = json.loads(json.dumps(decision_inputs(facts(resource(Label.PENDING)), [policy, Policy()])))
    assert [Policy.model_validate(each) for each in inputs["policies"]] == [policy, Policy()]


def test_every_fact_that_a_decision_rests_on_is_in_the_inputs() -> None:
    found = facts(resource(Label.PENDING), failures=2, backoff_until=NOW, state_replaced="rolled back")
    inputs = decision_inputs(found, [found.policy])
    missing = set(type(found).__slots__) - inputs.keys() - {"verdict", "classification", "fault", "policy"}
    assert missing == set()
    assert (inputs["failures"], inputs["backoff_until"], inputs["resource_count"]) == (2, NOW.isoformat(), 100)
