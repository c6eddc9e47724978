"""What holds between openings, processes and attackers of a ledger in a database: subclasses give the fixtures."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import Engine, create_engine, text

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.errors import OperatorError
from driftguard.pipeline.record import baseline_moved_entry
from tests.contract.ledger_contract import NOW, LedgerContract, at, attempt, baseline, opened, scanned

_APPEND_IN_A_LOOP = """
import sys
from datetime import UTC, datetime
from driftguard.adapters.sql.opening import open_ledger
from driftguard.model import Entry, EntryKind
url, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger = open_ledger(url)
for number in range(count):
    ledger.append(Entry(EntryKind.SCANNED, datetime(2026, 3, 1, tzinfo=UTC), name, name, {"number": number}))
print(ledger.key().hex())
"""


Opened = Callable[[], AbstractContextManager[Engine]]


class SharedLedgerContract(LedgerContract):
    """A subclass gives the fixtures `url` and `disarm`.

    `url` is the URL of a database that does not exist yet or is empty; `disarm` is the SQL that takes away
    the database's own protection of the journal.
    """

    @pytest.fixture
    def ledger(self, url: str) -> Iterator[SqlLedger]:
        ledger = open_ledger(url)
        yield ledger
        ledger.close()

    @pytest.fixture
    def opened(self, url: str) -> Callable[[], AbstractContextManager[Engine]]:
        """Opens the database beside the ledger, without its code."""

        @contextmanager
        def engine() -> Iterator[Engine]:
            found = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
            try:
                yield found
            finally:
                found.dispose()

        return engine

    @pytest.fixture
    def attack(self, ledger: SqlLedger, opened: Opened, disarm: list[str]) -> Callable[..., None]:
        def run(*statements: str) -> None:
            with opened() as engine, engine.begin() as connection:
                for statement in [*disarm, *statements]:
                    connection.execute(text(statement))

        return run

    def test_everything_is_there_when_the_ledger_is_opened_again(self, ledger: SqlLedger, url: str) -> None:
        ledger.append(scanned())
        ledger.append(baseline_moved_entry("run-1", NOW, "dev", baseline()))
        opened(ledger, attempt())
        ledger.leases.acquire("dev", "a", NOW, 60)
        key = ledger.key()
        ledger.close()
        again = open_ledger(url)
        assert again.key() == key
        assert len(again.entries()) == 3
        assert again.baseline("dev") == baseline()
        assert again.attempts.unfinished("dev") == (attempt(),)
        assert again.leases.acquire("dev", "b", at(59), 60) is None
        again.append(scanned())
        assert again.verify() == ()
        again.close()

    @pytest.mark.crash
    def test_processes_that_create_and_fill_a_ledger_together_lose_nothing(self, url: str) -> None:
        children = [
            subprocess.Popen(
                [sys.executable, "-c", _APPEND_IN_A_LOOP, url, name, "40"], stdout=subprocess.PIPE, text=True
            )
            for name in ("one", "two", "three")
        ]
        keys = {child.communicate(timeout=60)[0].strip() for child in children}
        assert [child.returncode for child in children] == [0, 0, 0]
        ledger = open_ledger(url)
        assert keys == {ledger.key().hex()}
        assert [e.sequence for e in ledger.entries()] == list(range(1, 121))
        for name in ("one", "two", "three"):
            assert [e.data["number"] for e in ledger.entries(environment=name)] == list(range(40))
        assert ledger.verify() == ()
        ledger.close()

    def test_of_two_openings_exactly_one_gets_the_lease(self, ledger: SqlLedger, url: str) -> None:
        other = open_ledger(url)
        start = threading.Barrier(2)

        def race(opened: SqlLedger, holder: str) -> bool:
            start.wait()
            return opened.leases.acquire("dev", holder, NOW, 60) is not None

        with ThreadPoolExecutor(2) as pool:
            won = [pool.submit(race, ledger, "a"), pool.submit(race, other, "b")]
            assert sorted(future.result() for future in won) == [False, True]
        other.close()

    # --- tampering ---

    @pytest.mark.parametrize(
        "statement", ["UPDATE entries SET run_id = 'x' WHERE sequence = 1", "DELETE FROM entries WHERE sequence = 2"]
    )
    def test_the_database_itself_refuses_to_change_the_journal(
        self, ledger: SqlLedger, opened: Opened, statement: str
    ) -> None:
        ledger.append(scanned(), scanned())
        with opened() as engine, pytest.raises(Exception, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))
        assert ledger.verify() == ()

    @pytest.mark.parametrize("changed", ["at", "kind", "environment", "run_id", "data", "previous_hash", "hash"])
    def test_an_edited_entry_is_found(self, ledger: SqlLedger, attack: Callable[..., None], changed: str) -> None:
        ledger.append(*(scanned(seconds=n) for n in range(5)))
        attack(f"UPDATE entries SET {changed} = 'edited' WHERE sequence = 3")
        assert {fault.sequence for fault in ledger.verify()} in ({3}, {3, 4})
        assert 3 in {fault.sequence for fault in ledger.verify()}

    def test_an_edited_last_entry_with_a_fitting_hash_is_found(
        self, ledger: SqlLedger, attack: Callable[..., None]
    ) -> None:
        ledger.append(scanned(), scanned("prod"))
        attack("UPDATE entries SET hash = (SELECT hash FROM entries WHERE sequence = 1) WHERE sequence = 2")
        assert ledger.verify()

    def test_missing_entries_in_the_middle_are_found_and_named(
        self, ledger: SqlLedger, attack: Callable[..., None]
    ) -> None:
        ledger.append(*(scanned(seconds=n) for n in range(450)))
        attack("DELETE FROM entries WHERE sequence IN (199, 200, 201, 300)")
        assert [(f.sequence, f.message) for f in ledger.verify()] == [
            (199, "entries 199 to 201 are missing"),
            (300, "entry 300 is missing"),
        ]

    def test_a_tail_that_was_cut_off_is_found(self, ledger: SqlLedger, attack: Callable[..., None]) -> None:
        ledger.append(*(scanned(seconds=n) for n in range(5)))
        attack("DELETE FROM entries WHERE sequence > 3")
        assert [(f.sequence, f.message) for f in ledger.verify()] == [(4, "entries 4 to 5 are missing")]
        ledger.append(scanned())
        assert [f.sequence for f in ledger.verify()] == [4]

    def test_an_emptied_journal_is_found(self, ledger: SqlLedger, attack: Callable[..., None]) -> None:
        ledger.append(scanned(), scanned())
        attack("DELETE FROM entries")
        assert [f.message for f in ledger.verify()] == ["entries 1 to 2 are missing"]

    def test_two_entries_that_changed_places_are_found(self, ledger: SqlLedger, attack: Callable[..., None]) -> None:
        ledger.append(*(scanned(seconds=n) for n in range(4)))
        attack(
            "UPDATE entries SET sequence = 99 WHERE sequence = 2",
            "UPDATE entries SET sequence = 2 WHERE sequence = 3",
            "UPDATE entries SET sequence = 3 WHERE sequence = 99",
        )
        assert {2, 3} <= {fault.sequence for fault in ledger.verify()}

    def test_a_smuggled_entry_is_found(self, ledger: SqlLedger, attack: Callable[..., None]) -> None:
        ledger.append(scanned())
        columns = "at, kind, environment, run_id, previous_hash, hash, data"
        attack(f"INSERT INTO entries (sequence, {columns}) SELECT 2, {columns} FROM entries WHERE sequence = 1")
        attack(f"INSERT INTO entries (sequence, {columns}) SELECT 0, {columns} FROM entries WHERE sequence = 1")
        assert {0, 2} <= {fault.sequence for fault in ledger.verify()}

    def test_a_missing_head_is_found_and_stops_writing(self, ledger: SqlLedger, attack: Callable[..., None]) -> None:
        ledger.append(scanned())
        attack("DELETE FROM heads")
        assert [f.message for f in ledger.verify()] == ["the record of the last entry is missing"]
        with pytest.raises(OperatorError, match="ledger verify"):
            ledger.append(scanned())

    def test_a_damaged_entry_is_a_clear_error_to_readers(self, ledger: SqlLedger, attack: Callable[..., None]) -> None:
        ledger.append(scanned(), scanned())
        attack("UPDATE entries SET data = '{' WHERE sequence = 2")
        with pytest.raises(OperatorError, match="Entry 2 of the ledger cannot be read"):
            ledger.entries()

    def test_anyone_can_recompute_an_entrys_hash_from_its_columns(self, ledger: SqlLedger, opened: Opened) -> None:
        ledger.append(scanned(note="ü"), scanned("prod"))
        with opened() as engine, engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(text("SELECT * FROM entries ORDER BY sequence")).mappings()]
        assert rows[0]["previous_hash"] == "0" * 64
        assert rows[1]["previous_hash"] == rows[0]["hash"]
        for row in rows:
            stored = row.pop("hash")
            assert hashlib.sha256(json.dumps(row, sort_keys=True, separators=(",", ":")).encode()).hexdigest() == stored

    # --- schema ---

    def test_a_schema_from_a_newer_version_is_refused_and_left_alone(
        self, ledger: SqlLedger, url: str, attack: Callable[..., None]
    ) -> None:
        ledger.append(scanned())
        attack("UPDATE driftguard_schema SET version_num = '9999'")
        with pytest.raises(OperatorError, match="schema 9999, written by a newer DriftGuard"):
            open_ledger(url)
        assert len(ledger.entries()) == 1

    def test_migrations_make_exactly_the_tables_the_code_uses(self, ledger: SqlLedger, opened: Opened) -> None:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        from driftguard.adapters.sql.rows import VERSION_TABLE
        from driftguard.adapters.sql.schema import METADATA

        with opened() as engine, engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"version_table": VERSION_TABLE, "compare_server_default": True}
            )
            assert compare_metadata(context, METADATA) == []

    def test_a_current_ledger_opens_without_importing_alembic(self, ledger: SqlLedger, url: str) -> None:
        program = (
            "import sys; from driftguard.adapters.sql.opening import open_ledger; open_ledger(sys.argv[1]).entries();"
            "print([m for m in ('alembic', 'sqlalchemy.orm') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
