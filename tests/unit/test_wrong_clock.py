"""Moments that were recorded under a wrong clock: nothing waits for them, and a right clock goes on from now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.adapters.sql.opening import open_ledger
from driftguard.config import AlertSettings, Policy
from driftguard.model import Attempt, AttemptState
from driftguard.model.alerts import Alert, AlertEvent
from driftguard.pipeline.alert.lifecycle import follow
from driftguard.pipeline.apply.recovery import _fenced
from driftguard.pipeline.decide.history import past
from driftguard.pipeline.record import attempt_opened_entry
from tests.unit.test_alert_lifecycle import changed

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
