"""Notifying on a real ledger: what goes wrong beside it never holds up an alert."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from driftguard.adapters.defects import FolderDefects
from driftguard.adapters.plain import TextSink
from driftguard.adapters.process import Stop
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.bootstrap.sinks import ConfiguredSinks
from driftguard.config import AlertSettings
from driftguard.errors import EnvironmentFault
from driftguard.model import Action, Decision, Delivery, DriftedObject, EnvironmentResult, ErrorKind, Message, Verdict
from driftguard.model.reasons import Reason
from driftguard.pipeline.alert.lifecycle import follow
from driftguard.pipeline.alert.notifying import Notifier, NotifyingPorts
from driftguard.pipeline.alert.routes import Routing
from driftguard.pipeline.alert.sending import AlertContext
from driftguard.pipeline.alert.tracing import Tracing
from driftguard.pipeline.apply.lease import hold
from driftguard.pipeline.record import recorded_notices
from driftguard.ports import BlockAuthors, Sink, Sinks, Trail
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


class NoAuthors(BlockAuthors):
    """No author is known."""

    def written_by(self, environment: str, address: str) -> None:
        return None


class RefusingTrail(Trail):
    """An environment whose credentials cannot be had."""

    def events(self, environment: str, objects: Any, since: datetime, until: datetime) -> NoReturn:
        raise EnvironmentFault(ErrorKind.DENIED, "The role may not be assumed.")


class BrokenSink(TextSink):
    """A sink with a defect: it fails at every alert of one environment."""

    def post(self, delivery: Delivery, message: Message) -> str:
        if "dev" in str(delivery.body["line"]) or "dev" in message.title:
            raise TypeError("a defect")
        return super().post(delivery, message)


class OneSink(Sinks):
    """Opens the same sink, whatever its name."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def open(self, name: str) -> Sink:
        return self._sink


def notifier(
    ledger: SqlLedger,
    clock: Hands,
    printed: list[str],
    *,
    trail: Trail | None = None,
    sinks: Sinks | None = None,
    stop: Stop | None = None,
    defects: Path = Path("/nowhere"),
) -> Notifier:
    """The notify stage on a real ledger, with standard output as its only sink."""
    routing = Routing(AlertSettings(), None)
    tracing = Tracing("run-1", alerts=ledger.alerts, journal=ledger, clock=clock, authors=NoAuthors(), trail=trail)
    sinks = sinks or ConfiguredSinks(routing, {}, clock, printed.append)
    log = FolderDefects(defects)
    ports = NotifyingPorts(ledger.alerts, ledger.alerts, ledger, ledger.leases, clock, stop or Stop(), log, sinks)
    return Notifier(AlertContext("run-1", "", None, routing), ports, tracing, renamed={})


def record_drift(ledger: SqlLedger, clock: Hands, rules: AlertSettings, name: str = "dev") -> EnvironmentResult:
    environment = drifted(name, resource(QUEUE, outside("delay_seconds", 1, 2)))

    def followed(before: Any) -> tuple[Any, Any]:
        after = follow(environment, before, commit=HEAD, run_id="run-1", now=clock.now(), rules=rules)
        return after.alerts, recorded_notices(after.notices)

    ledger.alerts.record(name, [], followed)
    queue = DriftedObject(QUEUE, "aws_sqs_queue", ("jobs",), "eu-west-1", ("delay_seconds",), absent=False)
    decision = Decision(Action.ALERT, (Reason.parse("policy_alert: drift"),))
    return EnvironmentResult(name, name, "default", Verdict.DRIFTED, "", None, decision, drifted=(queue,))


def test_credentials_that_cannot_be_had_cost_the_trail_and_not_the_alert(ledger: SqlLedger, clock: Hands) -> None:
    printed: list[str] = []
    result = record_drift(ledger, clock, AlertSettings())
    done = notifier(ledger, clock, printed, trail=RefusingTrail()).notify([result], {"dev"})
    assert (dict(done.sent), done.waiting) == ({"event": 1}, 0)
    assert done.problems == ("CloudTrail could not be asked who changed it: The role may not be assumed.",)
    assert "Drift in dev" in printed[0]


def test_a_defect_in_one_alert_is_logged_and_costs_no_other_one(
    ledger: SqlLedger, clock: Hands, tmp_path: Path
) -> None:
    printed: list[str] = []
    results = [record_drift(ledger, clock, AlertSettings(), name) for name in ("dev", "prod")]
    sinks = OneSink(BrokenSink(printed.append))
    done = notifier(ledger, clock, printed, sinks=sinks, defects=tmp_path).notify(results, {"dev", "prod"})
    (log,) = tmp_path.glob("*.log")
    assert (dict(done.sent), done.waiting) == ({"event": 1}, 1)
    assert done.problems == (
        f"An alert waits. A defect in DriftGuard (TypeError); please report it with the log {log}.",
    )
    assert "TypeError: a defect" in log.read_text()
    assert [text.splitlines()[0] for text in printed] == [
        f"[warning] Drift in prod: {QUEUE} was changed outside Terraform"
    ]


def test_a_stop_does_not_wait_for_another_runs_deliveries(ledger: SqlLedger, clock: Hands) -> None:
    result = record_drift(ledger, clock, AlertSettings())
    assert ledger.leases.acquire("(alerts)", "another", clock.now(), 600) is not None
    stop = Stop()
    stop.request()
    done = notifier(ledger, clock, [], stop=stop).notify([result], {"dev"})
    assert (dict(done.sent), done.waiting) == ({}, len(ledger.alerts.unplanned()))
    assert done.waiting
    assert "Another run is delivering alerts" in done.problems[0]


def test_a_lease_that_ran_out_while_the_machine_slept_is_not_held(ledger: SqlLedger, clock: Hands) -> None:
    with hold(ledger.leases, "dev", "one", 30.0, clock) as lease:
        assert lease is not None
        assert lease.still_held()
        clock.time += timedelta(seconds=31)  # no beat of the heart in between
        assert not lease.still_held()
        assert ledger.leases.acquire("dev", "another", clock.now(), 30.0) is not None
