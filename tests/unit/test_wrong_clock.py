"""Moments that were recorded under a wrong clock: nothing waits for them, and a right clock goes on from now."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import typing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.adapters.sql.clock import LedgerClock
from driftguard.adapters.sql.opening import open_ledger
from driftguard.config import AlertSettings, Policy
from driftguard.model import (
    Acknowledgement,
    Attempt,
    AttemptState,
    Delivery,
    DeliveryKind,
    Lease,
    Outage,
    Severity,
)
from driftguard.model.alerts import Alert, AlertEvent
from driftguard.pipeline.alert.lifecycle import follow
from driftguard.pipeline.alert.outages import OutageBook, is_due
from driftguard.pipeline.apply.recovery import _fenced
from driftguard.pipeline.approve.approval_file import render
from driftguard.pipeline.approve.plans import judge_files
from driftguard.pipeline.decide.history import past
from driftguard.pipeline.record import attempt_opened_entry
from tests.unit.test_alert_lifecycle import changed
from tests.unit.test_approval_files import FACTS, GIVEN, KEY, PATH
from tests.unit.test_probe_parts import record
from tests.unit.test_proposal_texts import proposal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENTS = st.timedeltas(timedelta(seconds=1), timedelta(days=4000)).map(lambda ahead: NOW + ahead)


def failed(at: datetime) -> Attempt:
    return Attempt("a", "dev", "c1", "p1", None, "r", AttemptState.FAILED, at, finished_at=at, sequence=5)


@given(MOMENTS)
def test_a_failure_after_now_counts_as_one_of_now(at: datetime) -> None:
    facts = {"commit": "c1", "drift_fingerprint": None, "retried": None, "policy": Policy(), "now": NOW}
    assert past([failed(at)], **facts) == past([failed(NOW)], **facts)  # type: ignore[arg-type]


@given(MOMENTS)
def test_a_retry_counts_by_the_journal_whatever_the_moments(at: datetime) -> None:
    found = past([failed(at)], commit="c1", drift_fingerprint=None, retried=6, policy=Policy(), now=NOW)
    assert (found.failures, found.backoff_until) == (0, None)


@pytest.mark.parametrize("ahead", [timedelta(minutes=1), timedelta(days=2000)])
def test_a_dead_attempt_that_was_seen_after_now_is_fenced_from_now_on(tmp_path: Path, ahead: timedelta) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    dead = replace(failed(NOW), state=AttemptState.OPEN, finished_at=None)
    assert ledger.attempts.open(dead, attempt_opened_entry(dead))

    def seen() -> Attempt:
        return ledger.attempts.unfinished("dev")[0]

    assert not _fenced(seen(), ledger.attempts, NOW + ahead)
    assert not _fenced(seen(), ledger.attempts, NOW)
    assert not _fenced(seen(), ledger.attempts, NOW + timedelta(seconds=170))
    assert _fenced(seen(), ledger.attempts, NOW + timedelta(seconds=181))
    ledger.close()


def test_reminders_of_an_alert_that_was_opened_after_now_are_counted_from_now() -> None:
    rules = AlertSettings.model_validate({"reminders": [{"after": "1d"}]})
    report = changed("dev")

    def step(alerts: tuple[Alert, ...], at: datetime) -> tuple[tuple[Alert, ...], list[AlertEvent]]:
        found = follow(report, alerts, commit="c1", run_id=f"{at}", now=at, rules=rules)
        return tuple(found.alerts), [notice.event for notice in found.notices]

    opened, events = step((), NOW + timedelta(days=2000))
    assert events == [AlertEvent.OPENED]
    kept, events = step(opened, NOW)
    assert events == []
    first = rules.reminders[0].after
    _, events = step(kept, NOW + first)
    assert AlertEvent.REMINDED in events


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=2000)])
def test_an_acknowledgement_with_an_end_that_was_given_after_now_has_ended(ahead: timedelta) -> None:
    at = NOW + ahead
    assert not Acknowledgement("ann", at, "known", at + timedelta(days=1)).covers(Severity.WARNING, NOW)
    assert Acknowledgement("ann", at, "known", None).covers(Severity.WARNING, NOW)
    assert Acknowledgement("ann", NOW, "known", at).covers(Severity.WARNING, NOW)


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=2000)])
def test_an_approval_that_was_proposed_after_now_does_not_count(ahead: timedelta) -> None:
    proposed = replace(GIVEN, proposed_at=FACTS.now + ahead, expires_at=FACTS.now + ahead + timedelta(days=14))
    judged = judge_files({PATH: render(proposed, KEY)}, KEY, FACTS)
    assert judged.id is None
    assert judged.void is not None
    assert "a clock that was ahead" in judged.void[GIVEN.id]


def test_a_lease_that_lasts_longer_than_the_longest_allowed_is_void(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert isinstance(ledger.leases.acquire("dev", "a", NOW + timedelta(days=2000), 120), Lease)
    assert isinstance(ledger.leases.acquire("dev", "b", NOW, 120), Lease)
    assert ledger.leases.acquire("dev", "c", NOW, 120) is None
    ledger.close()


def test_a_record_from_after_now_is_planned_anew() -> None:
    day = timedelta(days=1)
    found = [record(at=NOW + ahead).is_fresh(NOW, day) for ahead in (timedelta(seconds=1), 2000 * day, -2 * day)]
    assert found == [False, False, False]
    assert record(at=NOW - day).is_fresh(NOW, day)


@pytest.mark.parametrize(("ahead", "expired"), [(timedelta(minutes=5), False), (timedelta(days=2000), True)])
def test_a_proposal_of_after_now_is_made_anew(ahead: timedelta, expired: bool) -> None:
    made = proposal("revert")
    made = replace(made, proposed_at=made.proposed_at + ahead, expires_at=made.expires_at + ahead)
    assert made.has_expired(made.proposed_at - ahead) is expired


@pytest.mark.parametrize("ahead", [timedelta(minutes=5), timedelta(days=2000)])
def test_a_sink_that_fails_since_after_now_hands_over(ahead: timedelta) -> None:
    book = OutageBook([Outage("pager", NOW + ahead, "away")], "run", LedgerClock(timedelta()))
    wait, far = timedelta(minutes=10), ahead > timedelta(hours=1)
    waiting = Delivery("1", DeliveryKind.EVENT, "pager", "", ("a",), NOW)
    assert is_due(waiting, book, wait, NOW) is far
    assert is_due(replace(waiting, sink="other", failing_since=NOW + ahead), book, wait, NOW) is far


# Every moment that is kept, and what holds when it lies after now: a test of this module or another, by name, or why
# nothing waits for it.
SHOWN = "only shown, or only tells which of two rows is meant"
KEPT = {
    "Acknowledgement.at": "test_an_acknowledgement_with_an_end_that_was_given_after_now_has_ended",
    "Acknowledgement.until": "test_an_acknowledgement_with_an_end_that_was_given_after_now_has_ended",
    "Alert.changed_at": "test_reminders_of_an_alert_that_was_opened_after_now_are_counted_from_now",
    "Alert.first_seen_at": "test_reminders_of_an_alert_that_was_opened_after_now_are_counted_from_now",
    "Alert.opened_at": "test_reminders_of_an_alert_that_was_opened_after_now_are_counted_from_now",
    "Alert.resolved_at": "test_reminders_of_an_alert_that_was_opened_after_now_are_counted_from_now",
    "ApprovalFile.expires_at": "test_an_approval_that_was_proposed_after_now_does_not_count",
    "ApprovalFile.proposed_at": "test_an_approval_that_was_proposed_after_now_does_not_count",
    "Attempt.finished_at": "test_a_failure_after_now_counts_as_one_of_now",
    "Attempt.opened_at": "test_a_failure_after_now_counts_as_one_of_now",
    "Baseline.at": SHOWN,
    "Damping.restless": "test_a_clock_that_was_ahead_silences_nothing",
    "Delivery.failing_since": "test_a_sink_that_fails_since_after_now_hands_over",
    "Delivery.meant_for": "test_a_message_that_was_meant_for_after_now_is_found_again",
    "Delivery.next_try_at": "test_a_delivery_that_was_put_off_under_a_wrong_clock_is_sent",
    "Entry.at": "test_a_retry_counts_by_the_journal_whatever_the_moments",
    "EnvironmentResult.planned_at": SHOWN,
    "Look.at": "test_a_round_of_the_watch_confirms_reports_that_rest_on_the_recorded_plans",
    "Lease.expires_at": "test_a_lease_that_lasts_longer_than_the_longest_allowed_is_void",
    "Notice.at": SHOWN,
    "Outage.since": "test_a_sink_that_fails_since_after_now_hands_over",
    "PlanRecord.at": "test_a_record_from_after_now_is_planned_anew",
    "Proposal.ended_at": SHOWN,
    "Proposal.expires_at": "test_a_proposal_of_after_now_is_made_anew",
    "Proposal.proposed_at": "test_a_proposal_of_after_now_is_made_anew",
    "RunResult.finished_at": SHOWN,
    "RunResult.started_at": SHOWN,
    "Trace.at": SHOWN,
}
# Those of other clocks or of this process, of values for one call, or derived from the journal to be shown.
FLEETING = {
    "AgentState", "Commit", "Looked", "Message", "Occurrence", "PlanAtHand", "PlanFacts", "PullRequest", "Recurring",
    "RunSummary", "Summary", "TrailEvent", "Written",
}  # fmt: skip
PACKAGES = ("model", "ports", "probe", "scheduler", "pipeline.approve")


def moments() -> set[str]:
    """The moments of all values that a ledger or a file keeps, as `Class.field`."""
    found = set()
    for package in (importlib.import_module(f"driftguard.{name}") for name in PACKAGES):
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, value in inspect.getmembers(importlib.import_module(each.name), inspect.isclass):
                if value.__module__ == each.name and (
                    dataclasses.is_dataclass(value) or hasattr(value, "__struct_fields__")
                ):
                    hints = typing.get_type_hints(value).items()
                    found |= {f"{name}.{f}" for f, hint in hints if datetime in (hint, *typing.get_args(hint))}
    return {each for each in found if each.partition(".")[0] not in FLEETING}


def test_every_moment_that_is_kept_is_known_to_hold_under_a_wrong_clock() -> None:
    assert moments() == {*KEPT}


@pytest.mark.parametrize("test", sorted({test for test in KEPT.values() if test != SHOWN}))
def test_what_holds_for_a_moment_is_tested(test: str) -> None:
    folder = Path(__file__).parents[1]
    assert any(f"def {test}(" in path.read_text() for path in folder.rglob("test_*.py"))
