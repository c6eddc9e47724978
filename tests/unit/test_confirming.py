"""Looks that confirm a report: which do, what the ledger keeps of them, and how little that is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.model import Action, Decision, EntryKind, EnvironmentResult, Verdict
from driftguard.model.findings import PROBE
from driftguard.model.looks import Look, WatchDay
from driftguard.model.report import ProbeCounts
from driftguard.pipeline.confirming import Watching, confirms
from driftguard.pipeline.record import scan_entry
from driftguard.report import environment_report

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
COUNTS = ProbeCounts(looked=2, answered=2, cpu_seconds=0.25)
PLANNED = EnvironmentResult(
    "prod", "environments/prod", "default", Verdict.DRIFTED, "hash", None, Decision(Action.ALERT, ()), planned_at=NOON
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    with closing(open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")) as opened:
        yield opened


def record(ledger: SqlLedger, result: EnvironmentResult, commit: str = "c1", now: str = "12:00") -> int | None:
    """What a run does with a result; the number of the entry that it confirms."""
    entry = scan_entry("run", commit, NOON, environment_report(result), {"now": now, "failures": 0})
    confirmed = confirms(ledger, result, entry)
    if confirmed is None:
        ledger.append(entry)
    return confirmed


def test_a_probe_confirms_an_equal_report_and_a_plan_is_an_entry(ledger: SqlLedger) -> None:
    probed = replace(PLANNED, checked_by=PROBE, cpu_seconds=1.5)
    assert record(ledger, probed) is None  # there is no report yet
    assert record(ledger, PLANNED) is None
    assert record(ledger, probed, now="12:01") == 2
    assert record(ledger, replace(probed, owner="team-a")) is None
    assert record(ledger, probed) is None  # the owner is another again
    assert record(ledger, probed, commit="c2") is None
    assert record(ledger, probed, commit="c2") == 5
    assert len(ledger.entries()) == 5


def test_a_round_of_the_watch_confirms_reports_that_rest_on_the_recorded_plans(ledger: SqlLedger) -> None:
    record(ledger, PLANNED)
    record(ledger, replace(PLANNED, name="planned-again", planned_at=NOON + timedelta(hours=1)))
    record(ledger, replace(PLANNED, name="failed-since", verdict=Verdict.UNKNOWN))
    standing = dict.fromkeys(("prod", "planned-again", "failed-since", "new"), NOON)
    watching = Watching()
    for minute in (1, 2):
        watching.keep(ledger, standing, COUNTS, NOON + timedelta(minutes=minute))
    assert ledger.looks() == {"prod": Look("prod", 1, NOON + timedelta(minutes=2), 2)}
    assert ledger.watch_days("2026-11-28", "2026-11-28") == (WatchDay("2026-11-28", 2, 4, 4, 0, 0.5),)


class Costly(SqlLedger):
    """A ledger whose every write is dear, as in S3."""

    looks_interval = timedelta(minutes=5)


def test_where_a_write_is_dear_rounds_are_kept_together_and_differences_at_once(tmp_path: Path) -> None:
    with closing(open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")) as opened:
        ledger, watching = Costly(opened._database), Watching()
        record(ledger, PLANNED)
        times = []
        for minute in range(8):
            counts = msgspec.structs.replace(COUNTS, differed=int(minute == 7))
            watching.keep(ledger, {"prod": NOON}, counts, NOON + timedelta(minutes=minute))
            times.append(ledger.looks()["prod"].times)
        assert times == [1, 1, 1, 1, 1, 6, 6, 8]
        assert [day.rounds for day in ledger.watch_days("2026-11-28", "2026-11-28")] == [8]


def test_a_day_of_minutes_leaves_the_ledger_as_small_as_its_first_minute(ledger: SqlLedger) -> None:
    names = [f"environment-{number}" for number in range(20)]
    for name in names:
        record(ledger, replace(PLANNED, name=name))
    watching, standing = Watching(), dict.fromkeys(names, NOON)
    watching.keep(ledger, standing, COUNTS, NOON)
    size = pages(ledger)
    for minute in range(240):
        watching.keep(ledger, standing, COUNTS, NOON + timedelta(minutes=6 * minute))
    assert pages(ledger) <= size + 1
    assert len(ledger.entries(kinds=[EntryKind.SCANNED])) == 20
    assert {look.times for look in ledger.looks().values()} == {241}


def pages(ledger: SqlLedger) -> int:
    with ledger._database.reading() as connection:
        return int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
