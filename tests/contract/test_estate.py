"""What the ledger keeps about the estate is what its journal alone gives."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.model import Entry, EntryKind
from driftguard.ports.estate import EstateReader
from tests.contract.postgres_server import PostgresServer, postgres_server, server_programs
from tests.support.journal_estate import JournalEstate

START = datetime(2026, 11, 1, 22, tzinfo=UTC)
END = START + timedelta(days=30)
LABELS = ["drift", "absorbed", "residue", "conflict", "pending", "input", "noise", "derived"]
ADDRESSES = ["aws_x.a", 'aws_x.b["ü\ud800"]', f"aws_x.long[{'k' * 600}]"]
MOMENTS = st.integers(0, 8).map(lambda hours: START + timedelta(hours=hours))


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Reports, forgotten environments and runs, in the order of their moments."""
    found = []
    for number in range(draw(st.integers(0, 10))):
        name, moment = draw(st.sampled_from(["dev", "prod"])), at(number + draw(st.floats(0, 0.9)))
        if draw(st.integers(0, 8)) == 0:
            found.append(Entry(EntryKind.ENVIRONMENT_FORGOTTEN, moment, "by-hand", name, {"by": "ada"}))
            continue
        actions = st.sampled_from([[], ["delete"]])
        labels = st.lists(st.sampled_from(LABELS), max_size=2, unique=True)
        resources = [
            {
                "address": address,
                "type": "aws_x",
                "labels": draw(labels),
                "actions": draw(actions),
            }
            for address in draw(st.lists(st.sampled_from(ADDRESSES), unique=True))
        ]
        data: dict[str, Any] = {
            "name": name,
            "verdict": draw(st.sampled_from(["in_sync", "drifted", "pending", "unknown"])),
            "resources": resources,
            "owner": draw(st.sampled_from([None, "team-a"])),
            "decision": {"action": "alert", "reasons": ["policy_alert: drift"]},
        }
        found.append(Entry(EntryKind.SCANNED, moment, "run", name, data))
    return found


QUESTIONS: dict[str, Callable[[EstateReader], object]] = {
    "now": lambda estate: estate.summaries(),
    "then": lambda estate: estate.summaries(until=at(4)),
    "of one": lambda estate: estate.summaries(names=["dev"]),
    "open": lambda estate: _without_long(estate.occurrences()),
    "open then": lambda estate: _without_long(estate.occurrences(at=at(4), names=["prod"])),
    "by day": lambda estate: estate.label_days(at(1), END),
    "repairs": lambda estate: sorted(map(str, estate.repairs(at(1), END))),
    "recurring": lambda estate: [(r.environment, r.times) for r in estate.recurring(START, END, limit=9)],
    "reports": lambda estate: estate.scans([99, *(each.sequence for each in estate.summaries())]),
}


def _without_long(occurrences: tuple[Any, ...]) -> list[tuple[object, ...]]:
    """Occurrences whose addresses are compared as far as every database takes them."""
    return [
        (o.environment, o.address[:8], o.label, o.type, o.owner, o.opened_at, o.began_at, o.closed_at, o.ending)
        for o in occurrences
    ]


def same(ledger: SqlLedger) -> None:
    journal = JournalEstate(ledger)
    for question, ask in QUESTIONS.items():
        assert ask(ledger) == ask(journal), question


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, pg_ctl) are not on this machine")
    with postgres_server(programs) as running:
        yield running


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries())
def test_the_tables_are_what_the_journal_gives(tmp_path_factory: pytest.TempPathFactory, kept: list[Entry]) -> None:
    path = tmp_path_factory.mktemp("estate") / "ledger.db"
    with closing(open_ledger(f"sqlite:///{path}")) as ledger:
        for entry in kept:
            ledger.append(entry)
        same(ledger)


def report(name: str, hours: float, *labels: str) -> Entry:
    resources = [{"address": "aws_x.a", "type": "aws_x", "labels": list(labels)}] if labels else []
    data = {"name": name, "verdict": "drifted" if labels else "in_sync", "resources": resources, "owner": "team-a"}
    return Entry(EntryKind.SCANNED, at(hours), "run", name, data)


def runs() -> list[Entry]:
    started = {"commit": "c" * 40, "environments": [], "count": 2, "whole": True}
    end = {
        "summary": {"in_sync": 1, "unknown": 1},
        "planned": 1,
        "probed": 1,
        "cpu_seconds": 2.5,
        "errors": {"plan": 1},
    }
    return [
        Entry(EntryKind.RUN_STARTED, at(0), "r1", None, started),
        Entry(EntryKind.RUN_FINISHED, at(0.1), "r1", None, end),
        Entry(EntryKind.RUN_STARTED, at(1), "r2", None, {"commit": "d" * 40, "environments": ["a"]}),
        Entry(EntryKind.RUN_FINISHED, at(1.1), "r2", None, {"summary": {"in_sync": 1}}),
        Entry(EntryKind.RUN_STARTED, at(3), "r3", None, started),
    ]


def check_runs(ledger: SqlLedger) -> None:
    first, second, third = reversed(ledger.runs())
    assert (first.environments, first.probed, first.cpu_seconds, first.errors) == (2, 1, 2.5, {"plan": 1})
    assert (second.environments, second.probed, third.finished_at) == (1, None, None)
    assert [run.run for run in ledger.runs(limit=1, before=third.sequence)] == ["r2"]
    assert [run.finished_at for run in ledger.runs(until=at(0.05))] == [None]
    one, two = ledger.run_days(START, END)
    assert (one.day, one.runs, one.looks, one.unknown, one.probed, one.unrecorded) == ("2026-11-01", 2, 3, 1, 1, 1)
    assert (two.day, two.runs, two.cpu_seconds) == ("2026-11-02", 1, 0.0)


def test_runs_are_counted_by_day(tmp_path: Path) -> None:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        ledger.append(*runs())
        check_runs(ledger)


def test_postgresql_answers_as_the_journal_does(server: PostgresServer) -> None:
    with closing(open_ledger(server.new_database())) as ledger:
        kept = [report("dev", 0, "drift"), report("dev", 1, "absorbed"), report("prod", 2, "drift", "pending")]
        ledger.append(*kept, report("dev", 3), report("dev", 4, "drift"), report("prod", 5))
        same(ledger)
        ledger.append(*runs())
        check_runs(ledger)


def test_a_ledger_of_an_older_schema_gets_its_tables_from_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(open_ledger(f"sqlite:///{path}")) as ledger:
        ledger.append(report("dev", 0, "drift"), report("dev", 1), *runs(), report("dev", 2, "drift"))
    with closing(sqlite3.connect(path)) as database:
        for table in ("summaries", "occurrences", "runs"):
            database.execute(f"DROP TABLE {table}")
        database.execute("UPDATE driftguard_schema SET version_num = '0002'")
        database.commit()
    with closing(open_ledger(f"sqlite:///{path}")) as ledger:
        same(ledger)
        check_runs(ledger)
        assert ledger.verify() == ()


def test_a_row_that_cannot_be_read_is_recorded_all_the_same(tmp_path: Path) -> None:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        ledger.append(Entry(EntryKind.SCANNED, at(0), "run", "dev", {"resources": 7}), report("prod", 1, "drift"))
        assert [each.name for each in ledger.summaries()] == ["prod"]
        assert len(ledger.entries()) == 2
