"""What every store of alerts and of what is still to be sent must do, on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, fields, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import event, func, insert, select, text

from driftguard.adapters.sql.alerts import SqlAlerts
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.sql.schema import ALERTS, DELIVERIES, SHOWN
from driftguard.errors import OperatorError
from driftguard.model import (
    Acknowledgement,
    Alert,
    AlertEvent,
    AlertKind,
    AlertState,
    Damping,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Entry,
    EntryKind,
    Notice,
    ObjectTrace,
    RecordedNotice,
    Severity,
    Trace,
    Written,
)
from driftguard.model.report import AttributeReport, EnvironmentReport, ResourceReport
from driftguard.pipeline.record import recorded_notices
from driftguard.ports import Alerts, Outbox
from driftguard.sealed import Sealed
from tests.contract.ledger_contract import NOW, at, scanned
from tests.contract.postgres_server import PostgresServer
from tests.support.seeds import one_quick

NAIVE = datetime(2026, 3, 1)
INDIA = timezone(timedelta(hours=5, minutes=30))
HARD_TEXT = "ü ≠ 😀 \u0000 \u2028 \ud800 ' \" \\ %s :x"
_Thing = TypeVar("_Thing", Alert, Delivery)
Follow = Callable[[Sequence[Alert]], tuple[Sequence[Alert], Sequence[RecordedNotice]]]


def alert(id_: str = "a1", environment: str = "dev", **changes: Any) -> Alert:
    given: dict[str, Any] = {
        "kind": AlertKind.DRIFT,
        "state": AlertState.OPEN,
        "severity": Severity.WARNING,
        "fingerprint": "f1",
        "cause": "c1",
        "first_seen_at": NOW,
        "changed_at": NOW,
        "report": EnvironmentReport(),
    }
    return Alert(id_, environment, **{**given, **changes})


def reported(value: object) -> EnvironmentReport:
    """A report in which one attribute has a value."""
    attribute = AttributeReport("value", reality=value)
    return EnvironmentReport(name=HARD_TEXT, resources=(ResourceReport("toy_thing.a", attributes=(attribute,)),))


def ended(id_: str, environment: str = "dev", **changes: Any) -> Alert:
    return alert(id_, environment, state=AlertState.RESOLVED, **changes)


def notice(id_: str = "n1", about: Alert | None = None, **changes: Any) -> Notice:
    return replace(Notice(id_, AlertEvent.OPENED, NOW, "run-1", "", about or alert()), **changes)


def delivery(id_: str = "d1", kind: DeliveryKind = DeliveryKind.MESSAGE, **changes: Any) -> Delivery:
    return replace(Delivery(id_, kind, "slack", "#drift", ("a1",), NOW), **changes)


def naive(thing: _Thing, field: str) -> _Thing:
    """With a moment in `field` that has no time zone."""
    changes: dict[str, Any] = {field: NAIVE}
    return replace(thing, **changes)


def giving(*things: Alert | Notice) -> Follow:
    """A `follow` that gives these, whatever stands."""
    alerts = [thing for thing in things if isinstance(thing, Alert)]
    notices = recorded_notices(thing for thing in things if isinstance(thing, Notice))
    return lambda before: (alerts, notices)


def seen(alerts: SqlAlerts, environment: str = "dev") -> list[str]:
    """The ids of the alerts that `follow` gets now."""
    ids: list[str] = []

    def follow(before: Sequence[Alert]) -> tuple[Sequence[Alert], Sequence[RecordedNotice]]:
        ids.extend(alert.id for alert in before)
        return (), ()

    alerts.record(environment, [], follow)
    return ids


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    running: PostgresServer = request.getfixturevalue("server")
    return running.new_database()


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    """A ledger whose journal has to be sound after whatever a test did."""
    ledger = open_ledger(url)
    yield ledger
    assert ledger.verify() == ()
    ledger.close()


@pytest.fixture
def alerts(ledger: SqlLedger) -> SqlAlerts:
    return ledger.alerts


def test_the_ports_are_implemented(alerts: SqlAlerts) -> None:
    about: Alerts = alerts
    waiting: Outbox = alerts
    assert (about.standing(), waiting.unplanned(), waiting.undelivered()) == ((), (), ())


# --- what is kept comes back --------------------------------------------------------------------------

FULL_ALERT = alert(
    kind=AlertKind.PENDING,
    state=AlertState.WATCHED,
    severity=Severity.CRITICAL,
    report=reported({"text": HARD_TEXT, "list": [1, 2.5, None, True, 2**70], "": {"b": []}, "large": "ü" * 1_000_000}),
    opened_at=at(1.000001).astimezone(INDIA),
    resolved_at=at(2),
    passes=3,
    reminders=2,
    traces={
        "aws_x.y": ObjectTrace(
            changed_by=Trace("aws_x.y", "PutX", at(3), HARD_TEXT, "203.0.113.7", "console", "resource"),
            changed_paths=("tags",),
            written_by=Written("c1", HARD_TEXT, at(2).astimezone(INDIA), "subject", "main.tf", 3),
        )
    },
    resolution=HARD_TEXT,
    failure=HARD_TEXT,
    acked=Acknowledgement(HARD_TEXT, at(2), HARD_TEXT, at(9), Severity.INFO),
    damping=Damping({HARD_TEXT: (at(1), at(2).astimezone(INDIA))}, {"": at(9)}, Severity.WARNING, ("aws_x.y",), True),
)
FULL_DELIVERY = delivery(
    alerts=tuple(f"a{number}" for number in range(500)),
    parent="d0",
    body={"line": HARD_TEXT, "broadcast": True, "deep": {"list": []}, "large": "x" * 1_000_000},
    state=DeliveryState.SENDING,
    reference="C1/1.2",
    attempts=7,
    next_try_at=at(9).astimezone(INDIA),
    failing_since=at(8),
    instead_of=("slack:#gone",),
    passed_on="pager",
)


@pytest.mark.parametrize("full", [FULL_ALERT, FULL_DELIVERY], ids=["alert", "delivery"])
def test_the_samples_leave_no_field_at_its_default(full: Alert | Delivery) -> None:
    assert [f.name for f in fields(full) if f.default is not MISSING and getattr(full, f.name) == f.default] == []


def test_an_alert_comes_back_as_it_was_kept(alerts: SqlAlerts) -> None:
    alerts.record("dev", [], giving(FULL_ALERT))
    (standing,), (named,) = alerts.standing(), alerts.named(["a1"])
    assert standing == named == FULL_ALERT
    alerts.record("dev", [], lambda before: (before, []))
    (back,) = alerts.standing()
    assert back == FULL_ALERT
    assert (type(back.kind), type(back.state), type(back.severity)) == (AlertKind, AlertState, Severity)
    moments = [back.first_seen_at, back.changed_at, back.opened_at, back.resolved_at]
    assert all(moment is not None and moment.utcoffset() is not None for moment in moments)
    assert repr(back.report) == repr(FULL_ALERT.report)


def test_every_kind_state_and_severity_of_alert_comes_back(alerts: SqlAlerts) -> None:
    kept = [
        alert(f"{kind}-{state}-{severity}", f"{state}-{severity}", kind=kind, state=state, severity=severity)
        for kind in AlertKind
        for state in AlertState
        for severity in Severity
    ]
    alerts.record("dev", [], giving(*kept))
    assert set(map(repr, alerts.named([one.id for one in kept]))) == set(map(repr, kept))
    assert alerts.standing() == tuple(one for one in kept if one.state is not AlertState.RESOLVED)


def test_a_notice_is_read_as_it_was_recorded(alerts: SqlAlerts) -> None:
    sent = [
        notice(f"n-{kind}", FULL_ALERT, event=kind, at=at(5).astimezone(INDIA), run_id="r", line=HARD_TEXT)
        for kind in AlertEvent
    ]
    alerts.record("dev", [], giving(*sent))
    assert alerts.unplanned() == tuple(sent)
    assert {type(back.event) for back in alerts.unplanned()} == {AlertEvent}
    assert all(back.at.utcoffset() is not None for back in alerts.unplanned())


def test_a_delivery_comes_back_as_it_was_saved(alerts: SqlAlerts) -> None:
    kept = [replace(FULL_DELIVERY, id=f"d-{kind}", kind=kind) for kind in DeliveryKind] + [delivery("plain")]
    assert alerts.plan([], kept)
    assert alerts.undelivered() == tuple(kept)
    assert alerts.messages(["a499"]) == (kept[0],)
    back = alerts.undelivered()[0]
    assert (type(back.alerts), type(back.kind), type(back.state)) == (tuple, DeliveryKind, DeliveryState)
    assert back.next_try_at is not None
    assert back.next_try_at.utcoffset() is not None


def test_an_environment_may_have_any_name(alerts: SqlAlerts) -> None:
    name = "größe/ß 😀 '); DROP TABLE alerts; --%"
    alerts.record(name, [scanned(name)], giving(alert("a1", name)))
    assert [one.environment for one in alerts.standing()] == [name]
    assert seen(alerts, name) == ["a1"]


@pytest.mark.parametrize(
    "wrong",
    [
        *(naive(alert(), name) for name in ("first_seen_at", "changed_at", "opened_at", "resolved_at")),
        notice(at=NAIVE),
        notice(about=alert(first_seen_at=NAIVE)),
    ],
)
def test_a_moment_without_a_time_zone_is_refused_and_nothing_is_written(
    ledger: SqlLedger, wrong: Alert | Notice
) -> None:
    with pytest.raises(ValueError, match="time zone"):
        ledger.alerts.record("dev", [scanned()], giving(alert("ok", "prod"), wrong))
    assert (ledger.entries(), ledger.alerts.standing(), ledger.alerts.unplanned()) == ((), (), ())


@pytest.mark.parametrize("field", ["meant_for", "next_try_at"])
def test_a_delivery_without_a_time_zone_is_refused_and_leaves_the_notices(alerts: SqlAlerts, field: str) -> None:
    alerts.record("dev", [], giving(notice()))
    with pytest.raises(ValueError, match="time zone"):
        alerts.plan([notice()], [delivery("ok"), naive(delivery(), field)])
    assert (alerts.unplanned(), alerts.undelivered()) == ((notice(),), ())


@pytest.mark.parametrize("value", [Sealed("s3cret"), float("nan")], ids=["sealed", "nan"])
def test_what_is_no_json_cannot_be_kept(ledger: SqlLedger, value: object) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        ledger.alerts.record("dev", [scanned()], giving(alert(report=reported(value))))
    assert "s3cret" not in str(caught.value)
    assert (ledger.entries(), ledger.alerts.standing()) == ((), ())


@pytest.mark.parametrize("damage", ["{", "{}", '{"kind": "of a later version"}'])
def test_what_cannot_be_read_is_one_sentence(ledger: SqlLedger, damage: str) -> None:
    alerts = ledger.alerts
    alerts.record("dev", [], giving(alert(), notice()))
    alerts.save(delivery())
    with ledger._database.writing() as connection:
        for table in ("alerts", "outbox", "deliveries"):
            connection.execute(text(f"UPDATE {table} SET data = :damage"), {"damage": damage})
    for reading in (alerts.standing, alerts.unplanned, alerts.undelivered, lambda: seen(alerts)):
        with pytest.raises(OperatorError, match=r"cannot be read: .*Upgrade driftguard"):
            reading()


# --- one alert of a kind at a time --------------------------------------------------------------------


@pytest.mark.parametrize("first", [AlertState.WATCHED, AlertState.OPEN])
@pytest.mark.parametrize("second", [AlertState.WATCHED, AlertState.OPEN])
def test_a_second_alert_of_a_kind_is_refused_in_one_sentence(
    ledger: SqlLedger, first: AlertState, second: AlertState
) -> None:
    ledger.alerts.record("dev", [], giving(alert(state=first)))
    wrong = giving(alert("a2", state=second, report=reported("canary")), notice("n2"))
    with pytest.raises(OperatorError, match=r"The ledger .* \(.*alerts.*\), so nothing more is recorded") as caught:
        ledger.alerts.record("dev", [scanned()], wrong)
    assert [word for word in ("\n", "canary", "INSERT") if word in str(caught.value)] == []
    assert (ledger.entries(), [one.id for one in ledger.alerts.standing()]) == ((), ["a1"])
    ledger.alerts.record("dev", [scanned()], giving(alert(passes=2)))
    assert [one.passes for one in ledger.alerts.standing()] == [2]


def test_other_kinds_other_environments_and_what_follows_an_end_stand_beside(alerts: SqlAlerts) -> None:
    alerts.record("dev", [], giving(alert("a1"), alert("a2", kind=AlertKind.PENDING)))
    alerts.record("prod", [], giving(alert("a3", "prod")))
    alerts.record("dev", [], giving(ended("a1"), alert("a4")))
    assert [one.id for one in alerts.standing()] == ["a2", "a3", "a4"]


# --- record -------------------------------------------------------------------------------------------


def test_entries_alerts_and_notices_are_recorded_together(ledger: SqlLedger) -> None:
    about = alert(severity=Severity.CRITICAL, fingerprint="f9")
    sent = notice("n1", about, event=AlertEvent.CHANGED, at=at(3), run_id="run-7", line="New: x.")
    ledger.alerts.record("dev", [scanned(seconds=1), scanned(seconds=2)], giving(about, sent))
    assert (ledger.alerts.standing(), ledger.alerts.unplanned()) == ((about,), (sent,))
    *first, last = ledger.entries()
    assert [(e.kind, e.at) for e in first] == [(EntryKind.SCANNED, at(1)), (EntryKind.SCANNED, at(2))]
    assert (last.kind, last.at, last.run_id, last.environment) == (EntryKind.ALERT, at(3), "run-7", "dev")
    assert last.data == {
        "alert": "a1",
        "about": "drift",
        "event": "changed",
        "severity": "critical",
        "fingerprint": "f9",
        "line": "New: x.",
        "acked": False,
    }


def test_a_follow_that_raises_leaves_nothing(ledger: SqlLedger) -> None:
    ledger.alerts.record("dev", [scanned()], giving(alert()))

    def raising(before: Sequence[Alert]) -> tuple[Sequence[Alert], Sequence[RecordedNotice]]:
        raise LookupError("not today")

    with pytest.raises(LookupError, match="not today"):
        ledger.alerts.record("dev", [scanned()], raising)
    assert (len(ledger.entries()), ledger.alerts.standing()) == (1, (alert(),))
    ledger.alerts.record("dev", [scanned()], giving(ended("a1")))
    assert (len(ledger.entries()), ledger.alerts.standing()) == (2, ())


def test_follow_gets_what_stands_and_the_newest_end_of_each_kind_oldest_first(alerts: SqlAlerts) -> None:
    assert seen(alerts) == []
    pending, unknown = AlertKind.PENDING, AlertKind.UNKNOWN
    alerts.record("prod", [], giving(alert("other", "prod")))
    alerts.record("dev", [], giving(ended("d1"), ended("p1", kind=pending)))
    alerts.record("dev", [], giving(alert("u1", kind=unknown, state=AlertState.WATCHED)))
    alerts.record("dev", [], giving(ended("p2", kind=pending), ended("d2")))
    alerts.record("dev", [], giving(alert("d3")))
    assert seen(alerts) == ["u1", "p2", "d2", "d3"]
    assert seen(alerts, "prod") == ["other"]
    assert seen(alerts, "none") == []


def test_follow_gets_a_standing_and_the_newest_ended_alert_after_hundreds_of_others(alerts: SqlAlerts) -> None:
    unknown, pending = AlertKind.UNKNOWN, AlertKind.PENDING
    alerts.record("dev", [], giving(alert("standing"), ended("u1", kind=unknown), ended("u2", kind=unknown)))
    alerts.record("dev", [], giving(*(ended(f"p{number}", kind=pending) for number in range(300))))
    assert seen(alerts) == ["standing", "u2", "p299"]
    alerts.record("dev", [], giving(alert("standing", passes=2)))
    assert [(one.id, one.passes) for one in alerts.standing()] == [("standing", 2)]


def test_an_alert_keeps_its_place_when_it_changes(alerts: SqlAlerts) -> None:
    for name in ("one", "two", "three"):
        alerts.record(name, [], giving(alert(name, name)))
    alerts.record("one", [], giving(alert("one", "one", changed_at=at(99))))
    assert [one.id for one in alerts.standing()] == ["one", "two", "three"]


def test_named_alerts_are_sorted_by_environment_whatever_their_state(alerts: SqlAlerts) -> None:
    alerts.record("x", [], giving(alert("a1", "prod"), ended("a2", "dev"), alert("a3", "edge"), alert("a4", "none")))
    assert [one.id for one in alerts.named(["a1", "missing", "a3", "a2", "a1"])] == ["a2", "a3", "a1"]
    assert alerts.named([]) == ()


# --- who did it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [AlertState.OPEN, AlertState.RESOLVED])
def test_a_trace_is_added_to_an_alert_and_sent(ledger: SqlLedger, state: AlertState) -> None:
    alerts = ledger.alerts
    before = alert(state=state, traces={"x": ObjectTrace(note="old"), "y": ObjectTrace(note="kept")})
    alerts.record("dev", [], giving(before))
    new = {"x": ObjectTrace(note="new"), "z": ObjectTrace()}
    alerts.trace("a1", new, *recorded_notices([notice(about=before, event=AlertEvent.REFRESHED)]))
    after = replace(before, traces={"y": ObjectTrace(note="kept"), **new})
    assert alerts.named(["a1"]) == (after,)
    assert alerts.unplanned() == (notice(about=after, event=AlertEvent.REFRESHED),)
    assert [e.data["event"] for e in ledger.entries(kinds=[EntryKind.ALERT])] == ["refreshed"]
    alerts.trace("a1", {"y": ObjectTrace()}, None)
    assert alerts.named(["a1"])[0].traces["y"] == ObjectTrace()
    assert len(alerts.unplanned()) == 1


def test_a_trace_of_an_alert_that_is_not_there_changes_nothing(ledger: SqlLedger) -> None:
    ledger.alerts.trace("missing", {"x": ObjectTrace()}, *recorded_notices([notice()]))
    assert (ledger.entries(), ledger.alerts.standing(), ledger.alerts.unplanned()) == ((), (), ())


def test_a_trace_whose_notice_cannot_be_kept_is_not_kept_either(ledger: SqlLedger) -> None:
    ledger.alerts.record("dev", [], giving(alert()))
    with pytest.raises(ValueError, match="time zone"):
        ledger.alerts.trace("a1", {"x": ObjectTrace()}, *recorded_notices([notice(at=NAIVE)]))
    assert (ledger.entries(), ledger.alerts.standing(), ledger.alerts.unplanned()) == ((), (alert(),), ())


# --- the outbox ---------------------------------------------------------------------------------------


def test_notices_wait_oldest_first_over_environments(alerts: SqlAlerts) -> None:
    for number, name in enumerate(["zeta", "alpha", "mid"]):
        alerts.record(name, [], giving(notice(f"n{number}", alert(name, name), at=at(-number))))
    assert [one.id for one in alerts.unplanned()] == ["n0", "n1", "n2"]


def test_a_notice_that_is_recorded_again_waits_once(ledger: SqlLedger) -> None:
    for _ in range(3):
        ledger.alerts.record("dev", [], giving(notice("n1"), notice("n2"), notice("n1")))
    assert [one.id for one in ledger.alerts.unplanned()] == ["n1", "n2"]
    assert len(ledger.entries(kinds=[EntryKind.ALERT])) == 2


def test_a_notice_that_reports_itmething_else_takes_its_own_place_and_both_are_in_the_journal(
    ledger: SqlLedger,
) -> None:
    ledger.alerts.record("dev", [], giving(notice("n1", line="one"), notice("n2")))
    ledger.alerts.record("dev", [], giving(notice("n1", line="two")))
    assert [(one.id, one.line) for one in ledger.alerts.unplanned()] == [("n1", "two"), ("n2", "")]
    assert [e.data["line"] for e in ledger.entries(kinds=[EntryKind.ALERT])] == ["one", "", "two"]


def test_planning_puts_deliveries_in_the_place_of_notices(alerts: SqlAlerts) -> None:
    notices = [notice(f"n{number}") for number in range(3)]
    alerts.record("dev", [], giving(*notices))
    assert alerts.plan(notices[:2], [delivery("d1"), delivery("d2", DeliveryKind.EVENT)])
    assert alerts.unplanned() == (notices[2],)
    assert [one.id for one in alerts.undelivered()] == ["d1", "d2"]
    assert alerts.plan([notices[2], notices[2]], [])
    assert alerts.unplanned() == ()


def test_what_is_planned_for_a_sink_counts_as_sent_there_until_it_is_dropped(alerts: SqlAlerts) -> None:
    message, machine = delivery("d1", alerts=("a1", "a2")), delivery("e1", DeliveryKind.EVENT, sink="webhook")
    below = delivery("r1", DeliveryKind.REPLY, parent="d1", alerts=("a3",))
    assert alerts.plan([], [message, machine, below])
    both = {("a1", "slack"), ("a2", "slack")}
    assert alerts.notified(["a1", "a2", "a3", "missing"]) == both | {("a1", "webhook")}
    alerts.save(replace(machine, state=DeliveryState.SENT))
    assert alerts.plan([], [replace(message, state=DeliveryState.WAITING)])
    assert alerts.notified(["a1"]) == {("a1", "slack"), ("a1", "webhook")}
    alerts.drop([message])
    assert alerts.notified(["a1", "a2"]) == {("a1", "webhook")}
    assert alerts.undelivered() == alerts.messages(["a1", "a2"]) == ()


def test_sending_begins_only_from_what_is_still_there(alerts: SqlAlerts) -> None:
    waiting = delivery("d1", body={"mention": "ü"}, attempts=2, next_try_at=NOW)
    alerts.save(waiting)
    begun = alerts.begin(waiting)
    assert begun == replace(waiting, state=DeliveryState.SENDING, attempts=0, next_try_at=None)
    assert alerts.undelivered() == (begun,)
    assert alerts.begin(waiting) is None  # somebody else began it meanwhile
    alerts.save(replace(waiting, state=DeliveryState.SENT, reference="C1/1.2"))
    assert alerts.begin(begun) is None
    assert alerts.messages(["a1"])[0].state is DeliveryState.SENT


def test_a_plan_that_comes_too_late_changes_nothing(alerts: SqlAlerts) -> None:
    notices = [notice(f"n{number}") for number in range(3)]
    alerts.record("dev", [], giving(*notices))
    assert alerts.plan([notices[1]], [delivery("d1", body={"line": "first"})])
    late = [delivery("d1", body={"line": "late"}), delivery("d2")]
    assert not alerts.plan(notices, late)
    assert not alerts.plan([notices[1]], late)
    assert not alerts.plan([notice("never sent")], late)
    assert alerts.unplanned() == (notices[0], notices[2])
    assert alerts.undelivered() == (delivery("d1", body={"line": "first"}),)
    assert alerts.messages(["a1"]) == alerts.undelivered()


def test_messages_are_found_by_the_alerts_they_show_oldest_first(alerts: SqlAlerts) -> None:
    both, one, other = delivery("d9", alerts=("a1", "a2")), delivery("d5"), delivery("d1", alerts=("a2", "a2"))
    reply, machine = delivery("r1", DeliveryKind.REPLY, parent="d9"), delivery("e1", DeliveryKind.EVENT)
    assert alerts.plan([], [both, reply, one, machine, other, delivery("of nothing", alerts=())])
    assert alerts.messages(["a1"]) == (both, one)
    assert alerts.messages(["a2"]) == (both, other)
    assert alerts.messages(["a2", "missing", "a1", "a2"]) == (both, one, other)
    assert alerts.messages(["missing"]) == alerts.messages([]) == ()


def test_a_message_that_was_sent_stays_to_be_found_and_can_be_shown_differently(alerts: SqlAlerts) -> None:
    alerts.save(delivery("d1"))
    alerts.save(delivery("d2"))
    sent = delivery("d1", state=DeliveryState.SENT, reference="C1/1.2")
    alerts.save(sent)
    alerts.save(sent)
    assert alerts.messages(["a1"]) == (sent, delivery("d2"))
    assert alerts.undelivered() == (delivery("d2"),)
    again = replace(sent, state=DeliveryState.WAITING)
    assert alerts.plan([], [again])
    assert alerts.undelivered() == alerts.messages(["a1"]) == (again, delivery("d2"))


@pytest.mark.parametrize("kind", [DeliveryKind.REPLY, DeliveryKind.EVENT])
def test_a_reply_or_an_event_that_was_sent_is_gone(ledger: SqlLedger, kind: DeliveryKind) -> None:
    alerts, said = ledger.alerts, delivery("r1", kind, parent="d1")
    alerts.save(said)
    alerts.save(replace(said, state=DeliveryState.SENDING))
    assert [one.state for one in alerts.undelivered()] == [DeliveryState.SENDING]
    for _ in range(2):
        alerts.save(replace(said, state=DeliveryState.SENT, reference="C1/1.3"))
    assert alerts.undelivered() == ()
    with ledger._database.reading() as connection:
        for table in (DELIVERIES, SHOWN):
            assert connection.scalar(select(func.count()).select_from(table)) == 0


def test_what_is_undelivered_keeps_its_place_whatever_is_saved_and_sent(alerts: SqlAlerts) -> None:
    for name in ("d3", "d1", "d2"):
        alerts.save(delivery(name))
    alerts.save(delivery("d3", state=DeliveryState.SENDING, attempts=4, next_try_at=at(60)))
    alerts.save(delivery("d1", state=DeliveryState.SENT))
    alerts.save(delivery("d0", DeliveryKind.EVENT))
    assert [one.id for one in alerts.undelivered()] == ["d3", "d2", "d0"]


def test_a_delivery_and_its_entry_are_saved_together_or_not_at_all(ledger: SqlLedger) -> None:
    alerts = ledger.alerts
    sent = Entry(EntryKind.ALERT_DELIVERED, at(1), "run-1", None, {"delivery": "d1"})
    alerts.save(delivery(), sent)
    assert [(e.kind, e.data) for e in ledger.entries()] == [(EntryKind.ALERT_DELIVERED, {"delivery": "d1"})]
    with pytest.raises(ValueError, match="time zone"):
        alerts.save(delivery(state=DeliveryState.SENT), replace(sent, at=NAIVE))
    with pytest.raises(ValueError, match="time zone"):
        alerts.save(delivery(next_try_at=NAIVE), sent)
    assert (alerts.undelivered(), len(ledger.entries())) == ((delivery(),), 1)


# --- many at a time -----------------------------------------------------------------------------------


@pytest.fixture
def few_variables(ledger: SqlLedger) -> None:
    """A SQLite that takes as few variables in one statement as versions before 3.32 do."""
    if not ledger._database.sqlite:
        return
    ledger._database._engine.dispose()

    @event.listens_for(ledger._database._engine, "connect")
    def limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)


@pytest.mark.usefixtures("few_variables")
def test_two_thousand_ids_are_as_good_as_one(ledger: SqlLedger) -> None:
    alerts = ledger.alerts
    ids = [f"a{number:04}" for number in range(2000)]
    about = [alert(id_, id_) for id_ in ids[::2]]
    alerts.record("many", [], giving(*about, *(notice(f"n-{one.id}", one) for one in about)))
    notices = alerts.unplanned()
    assert [one.alert.id for one in notices] == ids[::2]
    assert [one.id for one in alerts.named([*ids[::-1], *ids])] == ids[::2]
    assert not alerts.plan([*notices, *(notice(f"n-{id_}") for id_ in ids[1::2])], [])
    assert alerts.plan(notices, [delivery("d2", alerts=tuple(ids)), delivery("d1", alerts=(ids[-1],))])
    assert alerts.unplanned() == ()
    assert [one.id for one in alerts.messages(ids)] == ["d2", "d1"]
    assert alerts.messages(ids)[0].alerts == tuple(ids)


def test_a_hundred_thousand_ids_are_more_than_a_statement_takes_and_no_error(alerts: SqlAlerts) -> None:
    alerts.record("dev", [], giving(alert()))
    ids = [f"missing-{number}" for number in range(100_000)]
    assert alerts.named([*ids, "a1"]) == (alert(),)
    assert alerts.messages(ids) == ()


def test_recording_reads_the_environments_own_alerts_by_index_whatever_the_number_of_others(ledger: SqlLedger) -> None:
    """1,000 stand elsewhere, 10,000 ended. The newest number of all is the one thing that is read without a key."""
    ledger.alerts.record("edge", [], giving(ended("a", "edge")))
    database = ledger._database
    rows = [
        {
            "id": f"a{number}",
            "sequence": number + 2,
            "environment": f"env-{number % 1000}",
            "kind": "drift",
            "state": "open" if number < 1000 else "resolved",
            "changed_at": "2026",
        }
        for number in range(11_000)
    ]
    with database.writing() as connection:
        data = connection.scalar(select(ALERTS.c.data))
        connection.execute(insert(ALERTS), [{**row, "data": data} for row in rows])
        connection.execute(text("ANALYZE"))
    statements: list[tuple[str, Any]] = []

    @event.listens_for(database._engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    ledger.alerts.record("dev", [scanned()], giving(alert("new"), notice(about=alert("new"))))
    ledger.alerts.trace("new", {}, None)
    assert len(ledger.alerts.named(["a1", "a7"])) == 2
    assert len(ledger.alerts.standing()) == 1001
    event.remove(database._engine, "before_cursor_execute", note)
    asked = [(s, p) for s, p in statements if "alerts" in s and not s.startswith("INSERT") and "max(" not in s]
    assert len(asked) >= 8
    explain = "EXPLAIN QUERY PLAN " if database.sqlite else "EXPLAIN "
    with database.reading() as connection:
        for statement, parameters in asked:
            plan = [str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters)]
            # `standing` alone names no row: it reads the index of what stands, which is as short as that is.
            whole = "SCAN alerts USING INDEX alerts_once" if " = " not in statement and " IN " not in statement else ""
            scans = [step for step in plan if "Seq Scan" in step or step.startswith("SCAN")]
            assert [step for step in scans if step != whole] == [], (statement, plan)


# --- processes at the same time, and processes that die -----------------------------------------------

_ROOT = Path(__file__).parents[2]
_PROCESS = """
import sys
from driftguard.adapters.sql.opening import open_ledger
from tests.contract.ledger_contract import scanned
from driftguard.pipeline.record import recorded_notices
from tests.contract.test_alerts import alert, delivery, notice, reported
def say(*words):
    print(*words, flush=True)
def heard():
    return sys.stdin.readline().strip()
alerts = open_ledger(sys.argv[1]).alerts
"""
_RECORD = """
def follow(before):
    say("following", *(one.id for one in before))
    heard()
    return ([] if before else [alert(sys.argv[2])]), recorded_notices([] if before else [notice(sys.argv[2])])
say("begins")
alerts.record("dev", [scanned()], follow)
say("recorded")
"""
_PLAN = """
for number in range(10):
    notices = alerts.unplanned()
    say("planning", len(notices))
    heard()
    say(alerts.plan(notices, [delivery(f"{sys.argv[2]}-{number}")]))
    heard()
"""
_WORK = """
for number in range(1_000_000):
    name = f"{sys.argv[2]}-{number}"
    about = alert(name, name, report=reported("x" * 5000))
    alerts.record(name, [scanned(name)], lambda before: ([about], recorded_notices([notice(name, about)])))
    say("recorded", name)
    alerts.plan([notice(name)], [delivery(name, alerts=(name,))])
    say("planned", name)
"""


class Process:
    """A process with the ledger open, that says and hears lines."""

    def __init__(self, program: str, url: str, name: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", _PROCESS + program, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )

    def says(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()

    def go_on(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()

    def kill(self) -> list[str]:
        """Kill it with no chance to clean up; what it said and nobody heard yet."""
        self._child.send_signal(signal.SIGKILL)
        said = self._child.communicate(timeout=30)[0].splitlines()
        assert self._child.returncode == -signal.SIGKILL
        return said

    def end(self) -> None:
        self._child.communicate(timeout=30)
        assert self._child.returncode == 0


Start = Callable[[str, str], Process]


@pytest.fixture
def start(url: str) -> Iterator[Start]:
    """Starts a process; whatever becomes of the test, none is left."""
    started: list[Process] = []

    def run(program: str, name: str) -> Process:
        started.append(Process(program, url, name))
        return started[-1]

    yield run
    for process in started:
        process._child.kill()
        process._child.communicate()


def test_two_processes_that_record_at_the_same_time_take_turns(ledger: SqlLedger, start: Start) -> None:
    first, second = start(_RECORD, "one"), start(_RECORD, "two")
    assert [first.says(), second.says()] == ["begins", "begins"]
    # Whichever comes first: the other one waits, and then sees what the first one kept.
    time.sleep(0.5)
    said = {}
    for process in (first, second):
        process.go_on()
    for process, name in ((first, "one"), (second, "two")):
        said[name] = process.says()
        assert process.says() == "recorded"
        process.end()
    assert said in ({"one": "following", "two": "following one"}, {"two": "following", "one": "following two"})
    assert len(ledger.alerts.standing()) == len(ledger.alerts.unplanned()) == 1
    assert [e.kind for e in ledger.entries()] == [EntryKind.SCANNED, EntryKind.ALERT, EntryKind.SCANNED]


def test_of_two_processes_exactly_one_plans_a_notice(ledger: SqlLedger, start: Start) -> None:
    ledger.alerts.record("dev", [], giving(notice("n0")))
    processes = {name: start(_PLAN, name) for name in ("one", "two")}
    for number in range(10):
        assert [process.says() for process in processes.values()] == ["planning 1", "planning 1"]
        for process in processes.values():
            process.go_on()
        won = {name: process.says() for name, process in processes.items()}
        assert sorted(won.values()) == ["False", "True"]
        winner = next(name for name, answer in won.items() if answer == "True")
        assert ledger.alerts.undelivered()[number:] == (delivery(f"{winner}-{number}"),)
        ledger.alerts.record("dev", [], giving(notice(f"n{number + 1}")))
        for process in processes.values():
            process.go_on()
    for process in processes.values():
        process.end()


def test_a_process_killed_in_the_middle_of_recording_leaves_nothing_and_blocks_no_user(
    ledger: SqlLedger, start: Start
) -> None:
    ledger.alerts.record("dev", [scanned()], giving(ended("a0")))
    dying = start(_RECORD, "one")
    assert [dying.says(), dying.says()] == ["begins", "following a0"]
    dying.kill()
    assert (len(ledger.entries()), ledger.alerts.standing(), ledger.alerts.unplanned()) == (1, (), ())
    ledger.alerts.record("dev", [scanned()], giving(alert(), notice()))
    assert (len(ledger.entries()), ledger.alerts.standing()) == (3, (alert(),))


@pytest.mark.parametrize("seed", one_quick(range(3)))
def test_a_process_killed_at_any_moment_loses_nothing_and_doubles_nothing(
    ledger: SqlLedger, start: Start, seed: int
) -> None:
    moments = random.Random(seed)
    said: list[str] = []
    for name in ("one", "two"):
        working = start(_WORK, name)
        said.append(working.says())
        time.sleep(moments.uniform(0.0, 0.25))
        said += working.kill()
    ledger.append()  # waits for a server that still ends what the dead one began
    alerts = ledger.alerts
    scans = [e.environment for e in ledger.entries(kinds=[EntryKind.SCANNED])]
    standing = [one.id for one in alerts.standing()]
    sent = [e.data["alert"] for e in ledger.entries(kinds=[EntryKind.ALERT])]
    assert standing == scans == sent
    waiting, planned = [one.id for one in alerts.unplanned()], [one.id for one in alerts.undelivered()]
    assert sorted(waiting + planned) == sorted(standing)
    assert [one.id for one in alerts.messages(standing)] == planned
    finished = [line.split() for line in said if len(line.split()) == 2]
    assert {name for step, name in finished if step == "recorded"} <= set(standing)
    assert {name for step, name in finished if step == "planned"} <= set(planned)
    assert len(standing) >= 2
