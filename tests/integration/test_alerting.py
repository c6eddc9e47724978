"""Telling, on a real ledger: what goes wrong beside it never keeps an alert from being told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.bootstrap.alerting import Alerting, Surroundings
from driftguard.config import AlertSettings
from driftguard.errors import EnvironmentFault
from driftguard.model import Action, Decision, DriftedObject, EnvironmentResult, ErrorKind, Verdict
from driftguard.pipeline.alert.lifecycle import follow
from driftguard.pipeline.apply.lease import hold
from tests.support.sample_alerts import HEAD, drifted, outside, resource

QUEUE = "aws_sqs_queue.jobs"


class Hands:
    """A clock that a test turns."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Hands:
    return Hands(datetime(2026, 3, 1, 12, tzinfo=UTC))


def surroundings(clock: Hands, said: list[str], **more: Any) -> Surroundings:
    given: dict[str, Any] = {
        "run_id": "run-1",
        "repository": "",
        "environ": {},
        "clock": clock,
        "variables_of": lambda name: {},
        "written_by": lambda name, address: None,
        "renamed": {},
        "stopping": lambda: False,
        "say": said.append,
    }
    return Surroundings(**{**given, **more})


def record_drift(ledger: SqlLedger, clock: Hands, rules: AlertSettings) -> EnvironmentResult:
    environment = drifted("dev", resource(QUEUE, outside("delay_seconds", 1, 2)))

    def followed(before: Any) -> tuple[Any, Any]:
        told = follow(environment, before, commit=HEAD, run_id="run-1", now=clock.now(), rules=rules)
        return told.alerts, told.notices

    ledger.alerts.record("dev", [], followed)
    queue = DriftedObject(QUEUE, "aws_sqs_queue", ("jobs",), "eu-west-1", ("delay_seconds",), absent=False)
    decision = Decision(Action.ALERT, ("policy_alert: drift",))
    return EnvironmentResult("dev", "dev", "default", Verdict.DRIFTED, "", None, decision, drifted=(queue,))


def test_credentials_that_cannot_be_had_cost_the_trail_and_not_the_alert(ledger: SqlLedger, clock: Hands) -> None:
    def refused(name: str) -> Mapping[str, str]:
        raise EnvironmentFault(ErrorKind.DENIED, "The role may not be assumed.")

    said: list[str] = []
    rules = AlertSettings()
    report = record_drift(ledger, clock, rules)
    alerting = Alerting(ledger, rules, None, surroundings(clock, said, variables_of=refused))
    told = alerting.tell([report], frozenset({"dev"}))
    assert (dict(told.sent), told.waiting) == ({"event": 1}, 0)
    assert told.problems == ("CloudTrail could not be asked who changed it: The role may not be assumed.",)
    assert "Drift in dev" in said[0]


def test_a_stop_does_not_wait_for_another_runs_turn(ledger: SqlLedger, clock: Hands) -> None:
    rules = AlertSettings(trail=False)
    report = record_drift(ledger, clock, rules)
    assert ledger.leases.acquire("(alerts)", "another", clock.now(), 600) is not None
    alerting = Alerting(ledger, rules, None, surroundings(clock, [], stopping=lambda: True))
    told = alerting.tell([report], frozenset({"dev"}))
    assert (dict(told.sent), told.waiting) == ({}, len(ledger.alerts.unplanned()))
    assert told.waiting
    assert "Another run is delivering alerts" in told.problems[0]


def test_a_lease_that_ran_out_while_the_machine_slept_is_not_held(ledger: SqlLedger, clock: Hands) -> None:
    with hold(ledger.leases, "dev", "one", 30.0, clock, lambda: None) as still_ours:
        assert still_ours is not None
        assert still_ours()
        clock.time += timedelta(seconds=31)  # no beat of the heart in between
        assert not still_ours()
        assert ledger.leases.acquire("dev", "another", clock.now(), 30.0) is not None
