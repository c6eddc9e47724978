"""What the ledger keeps about the estate is what its journal alone gives."""

from __future__ import annotations

import pickle
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftguard.adapters.sql import migrate
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.sql.rows import REVISIONS
from driftguard.errors import OperatorError
from driftguard.model import Entry, EntryKind
from driftguard.ports.estate import EstateReader
from tests.contract.postgres_server import PostgresServer
from tests.support.journal_estate import JournalEstate
from tests.support.web_client import WebClient

START = datetime(2026, 11, 1, 22, tzinfo=UTC)
END = START + timedelta(days=30)
LABELS = ["drift", "absorbed", "residue", "conflict", "pending", "input", "noise", "derived"]
ADDRESSES = ["aws_x.a", 'aws_x.b["ü"]', f"aws_x.long[{'k' * 600}]"]


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Reports, forgotten environments, proposals and runs, in the order of their moments."""
    found: list[Entry] = []
    runs: list[str] = []
    for number in range(draw(st.integers(0, 10))):
        name, moment = draw(st.sampled_from(["dev", "prod"])), at(number + draw(st.floats(0, 0.9)))
        what = draw(st.integers(0, 12))
        if what == 0:
            found.append(Entry(EntryKind.ENVIRONMENT_FORGOTTEN, moment, "by-hand", name, {"by": "ada"}))
        elif what == 1:
            data = {"commit": "c" * 40, **draw(st.sampled_from(_STARTED))}
            found.append(Entry(EntryKind.RUN_STARTED, moment, f"run-{number}", None, data))
            runs.append(f"run-{number}")
        elif what == 2 and runs:
            data = {"summary": {"in_sync": draw(st.integers(0, 9)), "unknown": 1}, **draw(st.sampled_from(_COSTS))}
            found.append(Entry(EntryKind.RUN_FINISHED, moment, runs.pop(), None, data))
        elif what == 3:
            found.append(Entry(EntryKind.PROPOSAL, moment, "run", name, {"id": "p", "state": "void", "reason": "why"}))
        else:
            found.append(Entry(EntryKind.SCANNED, moment, "run", name, draw(reports(name))))
    return found


_STARTED: list[dict[str, Any]] = [{"count": 2, "whole": True}, {"environments": ["dev"]}]
_COSTS: list[dict[str, Any]] = [{}, {"planned": 1, "probed": 2, "cpu_seconds": 1.5, "errors": {"plan": 1}}]


@st.composite
def reports(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """The report of an environment."""
    resources = [
        {
            "address": address,
            "type": "aws_x",
            "labels": draw(st.lists(st.sampled_from(LABELS), max_size=2, unique=True)),
            "actions": draw(st.sampled_from([[], ["delete"]])),
        }
        for address in draw(st.lists(st.sampled_from(ADDRESSES), unique=True))
    ]
    return {
        "name": name,
        "verdict": draw(st.sampled_from(["in_sync", "drifted", "pending", "unknown"])),
        "resources": resources,
        "owner": draw(st.sampled_from([None, "team-a"])),
        "decision": {"action": "alert", "reasons": ["policy_alert: drift"]},
    }


QUESTIONS: dict[str, Callable[[EstateReader], object]] = {
    "now": lambda estate: estate.summaries(),
    "then": lambda estate: estate.summaries(until=at(4)),
    "of one": lambda estate: estate.summaries(names=["dev"]),
    "open": lambda estate: estate.occurrences(),
    "open then": lambda estate: estate.occurrences(at=at(4), names=["prod"]),
    "by day": lambda estate: estate.label_days(at(1), END),
    "repairs": lambda estate: estate.repairs(at(1), END),
    "recurring": lambda estate: estate.recurring(START, END, limit=9),
    "scans": lambda estate: estate.scans([99, *(each.sequence for each in estate.summaries())]),
    "reports": lambda estate: estate.reports([99, *(each.sequence for each in estate.summaries())]),
    "by day of one": lambda estate: estate.label_days(at(1), END, names=["dev"]),
    "by day until then": lambda estate: estate.label_days(at(1), at(4)),
    "proposals": lambda estate: estate.proposals(["void", "open"]),
    "open proposals then": lambda estate: estate.proposals(["open"], until=at(4)),
    "runs": lambda estate: estate.runs(),
    "runs then": lambda estate: estate.runs(until=at(4), limit=2),
    "runs by day": lambda estate: estate.run_days(at(1), END),
}
PAGES = ("/index.json", "/causes.json", "/approvals.json", "/trends.json", "/runs.json", "/alerts.json")
PATHS = (*PAGES, *(f"{path}?at=2026-11-02T02:30:00Z" for path in PAGES), "/environments/dev.json")


def same(ledger: SqlLedger) -> None:
    """What the tables give is what the journal gives."""
    journal = JournalEstate(ledger)
    for question, ask in QUESTIONS.items():
        assert ask(ledger) == ask(journal), question


def same_pages(ledger: SqlLedger, folder: Path) -> None:
    """Documents made from the tables are those made from the journal."""
    tables, journal = WebClient(ledger, folder), WebClient(JournalEstate(ledger), folder)
    for path in PATHS:
        assert tables.get(path).content == journal.get(path).content, path


def appended(ledger: SqlLedger, kept: list[Entry], sizes: list[int]) -> None:
    """Append entries, as many at a time as the sizes say, then one by one."""
    for size in sizes:
        if kept[:size]:
            ledger.append(*kept[:size])
        kept = kept[size:]
    for entry in kept:
        ledger.append(entry)


SIZES = st.lists(st.integers(1, 4), max_size=3)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries(), SIZES)
def test_pages_of_the_tables_are_those_of_the_journal(
    tmp_path_factory: pytest.TempPathFactory, kept: list[Entry], sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("estate")
    with closing(open_ledger(f"sqlite:///{folder / 'ledger.db'}")) as ledger:
        appended(ledger, kept, sizes)
        same(ledger)
        same_pages(ledger, folder)
        before = tables(folder / "ledger.db")
        _older(folder / "ledger.db")
    with closing(open_ledger(f"sqlite:///{folder / 'ledger.db'}")):
        assert tables(folder / "ledger.db") == before


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries(), SIZES)
def test_pages_of_the_tables_on_postgresql_are_those_of_the_journal(
    server: PostgresServer, tmp_path_factory: pytest.TempPathFactory, kept: list[Entry], sizes: list[int]
) -> None:
    with closing(open_ledger(server.new_database())) as ledger:
        appended(ledger, kept, sizes)
        same(ledger)
        same_pages(ledger, tmp_path_factory.mktemp("estate"))


def tables(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the tables beside the journal."""
    with closing(sqlite3.connect(path)) as database:
        return {
            name: database.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
            for name in ("summaries", "occurrences", "runs", "label_days")
        }


def _older(path: Path) -> None:
    """Make it a ledger of the schema before the tables."""
    with closing(sqlite3.connect(path)) as database:
        for table in ("summaries", "occurrences", "runs", "label_days", "looks", "watch_days"):
            database.execute(f"DROP TABLE {table}")
        database.execute("UPDATE driftguard_schema SET version_num = '0002'")
        database.commit()


def report(name: str, hours: float, *labels: str, address: str = "aws_x.a") -> Entry:
    resources = [{"address": address, "type": "aws_x", "labels": list(labels)}] if labels else []
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


def test_postgresql_keeps_runs_and_takes_addresses_of_any_length(server: PostgresServer) -> None:
    with closing(open_ledger(server.new_database())) as ledger:
        ledger.append(*runs(), report("dev", 5, "drift", address=f"aws_x.long[{'ü' * 9000}]"))
        same(ledger)
        check_runs(ledger)


def test_a_ledger_of_an_older_schema_gets_its_tables_from_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(open_ledger(f"sqlite:///{path}")) as ledger:
        ledger.append(report("dev", 0, "drift"), report("dev", 1), *runs(), report("dev", 2, "drift"))
    _older(path)
    with closing(open_ledger(f"sqlite:///{path}")) as ledger:
        same(ledger)
        check_runs(ledger)
        assert ledger.verify() == ()


def test_an_older_ledger_opens_with_entries_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    newer = report("dev", 1, "a-label-of-a-newer-version-of-driftguard")
    strange = Entry(EntryKind.SCANNED, at(2), "run", "dev", {"verdict": {"of": "a newer version"}})
    half = Entry(EntryKind.SCANNED, at(3), "run", "prod", {**report("prod", 3, "drift").data, "owner": "\ud800\0"})
    with closing(open_ledger(f"sqlite:///{path}")) as ledger:
        ledger.append(report("dev", 0, "drift"), newer, strange, half, report("dev", 9))
    _older(path)
    with closing(sqlite3.connect(path)) as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE entries SET data = 'not JSON' WHERE sequence = 1")
        database.commit()
    with closing(open_ledger(f"sqlite:///{path}")) as ledger:
        assert [(each.name, each.verdict) for each in ledger.summaries(until=at(5))] == [
            ("dev", "drifted"),
            ("prod", "drifted"),
        ]
        assert [fault.sequence for fault in ledger.verify()] == [1]


def test_what_another_process_adds_is_read_with_the_next_request(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with closing(open_ledger(url)) as reader, closing(open_ledger(url)) as writer:
        for hours, labels in enumerate(((), ("drift",), ())):
            writer.append(report("dev", hours, *labels))
            same(reader)
            assert reader.summaries() == writer.summaries()
        writer.append(Entry(EntryKind.PROPOSAL, at(4), "run", "dev", {"id": "p", "state": "open"}))
        assert list(reader.proposals(["open"])) == ["dev"]
        same(reader)


def test_labels_of_any_length_are_distinguished(tmp_path: Path) -> None:
    first, second = ("a-label-of-a-newer-driftguard" + end for end in ("-x", "-y"))
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        ledger.append(report("dev", 0, first, second))
        ledger.append(report("dev", 1, first))
        assert [each.label for each in ledger.occurrences()] == [first]
        same(ledger)


def test_a_row_that_cannot_be_read_is_recorded_all_the_same(tmp_path: Path) -> None:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        ledger.append(Entry(EntryKind.SCANNED, at(0), "run", "dev", {"resources": 7}), report("prod", 1, "drift"))
        assert [each.name for each in ledger.summaries()] == ["prod"]
        assert len(ledger.entries()) == 2


def test_damaged_summaries_are_one_sentence(tmp_path: Path) -> None:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        ledger.append(report("prod", 1, "drift"))
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
            database.execute("UPDATE summaries SET data = '{'")
            database.commit()
        with pytest.raises(OperatorError, match="they were damaged"):
            ledger.summaries()
        ledger.append(report("prod", 2))
        assert len(ledger.entries()) == 2


# Appends a report in a process that is killed between the entry and its summary.
_KILLED = """
import os, pickle, signal, sqlite3, sys
from driftguard.adapters.sql.opening import open_ledger
from sqlalchemy import Engine, event

def connected(connection, record):
    connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))

event.listen(Engine, "connect", connected)
open_ledger(sys.argv[1]).append(pickle.loads(bytes.fromhex(sys.argv[2])))
"""


def test_a_writer_killed_between_an_entry_and_its_summary_leaves_neither(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(open_ledger(f"sqlite:///{path}")) as ledger:
        ledger.append(report("dev", 0, "drift"))
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TRIGGER t BEFORE INSERT ON summaries BEGIN SELECT die(); END")
        database.commit()
    given_ = pickle.dumps(report("dev", 1)).hex()
    killed = subprocess.run([sys.executable, "-c", _KILLED, f"sqlite:///{path}", given_], check=False)
    assert killed.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TRIGGER t")
        database.commit()
    with closing(open_ledger(f"sqlite:///{path}")) as ledger:
        assert (len(ledger.entries()), len(ledger.summaries()), ledger.verify()) == (1, 1, ())
        ledger.append(report("dev", 2))
        same(ledger)


def test_a_server_that_ends_the_session_between_an_entry_and_its_summary_leaves_neither(server: PostgresServer) -> None:
    import psycopg

    url = server.new_database()
    with closing(open_ledger(url)) as ledger, psycopg.connect(url, autocommit=True) as connection:
        ledger.append(report("dev", 0, "drift"))
        connection.execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER t BEFORE INSERT ON summaries FOR EACH ROW EXECUTE FUNCTION die()")
        with pytest.raises(OperatorError):
            ledger.append(report("dev", 1))
        connection.execute("DROP TRIGGER t ON summaries")
        assert (len(ledger.entries()), len(ledger.summaries()), ledger.verify()) == (1, 1, ())
        ledger.append(report("dev", 2))
        same(ledger)


def test_a_migration_does_the_same_whatever_the_code_becomes() -> None:
    folder = Path(migrate.__file__).parent / "migrations" / "versions"
    found = sorted(folder.glob("v*.py"))
    assert len(found) == len(REVISIONS)
    assert [path.name for path in found if "driftguard" in path.read_text()] == []
