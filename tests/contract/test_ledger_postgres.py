"""The ledger on a real PostgreSQL server, skipped where the machine has none."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from driftguard.adapters.sql.opening import open_ledger
from driftguard.errors import OperatorError
from tests.contract.ledger_contract import scanned
from tests.contract.postgres_server import PASSWORD, PostgresServer, postgres_server, server_programs
from tests.contract.shared_ledger_contract import SharedLedgerContract

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("psycopg") is None, reason="psycopg is not installed (extra `postgres`)"
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, pg_ctl) are not on this machine")
    with postgres_server(programs) as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.new_database()


class TestPostgresLedger(SharedLedgerContract):
    @pytest.fixture
    def disarm(self) -> list[str]:
        return ["ALTER TABLE entries DISABLE TRIGGER ALL"]


def test_the_servers_clock_counts_whatever_the_machines_clock_shows(url: str) -> None:
    right = datetime.now(UTC)
    with time_machine.travel(right + timedelta(days=2000)):
        ledger = open_ledger(url)
        assert abs(ledger.clock.now() - right) < timedelta(minutes=5)
        ledger.close()


def test_a_server_that_went_away_is_one_sentence_and_may_come_back(server: PostgresServer, url: str) -> None:
    ledger = open_ledger(url)
    ledger.append(scanned())
    server.stop()
    try:
        for _ in range(2):
            with pytest.raises(OperatorError, match=r"cannot be reached.*Check that the server runs") as caught:
                ledger.append(scanned())
            assert PASSWORD not in str(caught.value)
            assert "\n" not in str(caught.value)
        with pytest.raises(OperatorError, match="cannot be reached"):
            open_ledger(url)
    finally:
        server.start()
    ledger.append(scanned())
    assert [e.sequence for e in ledger.entries()] == [1, 2]
    assert ledger.verify() == ()
    ledger.close()


def test_a_session_that_the_server_ends_in_the_middle_is_one_sentence(url: str) -> None:
    ledger = open_ledger(url)
    with pytest.raises(OperatorError, match="cannot be reached"), ledger._database.writing() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    ledger.append(scanned())
    assert ledger.verify() == ()
    ledger.close()


def test_a_wrong_password_is_one_sentence_without_it(server: PostgresServer) -> None:
    with pytest.raises(OperatorError, match="refused the login") as caught:
        open_ledger(server.url("postgres", password="wrong-canary"))
    assert "wrong-canary" not in str(caught.value)


def test_a_database_that_does_not_exist_is_one_sentence(server: PostgresServer) -> None:
    with pytest.raises(OperatorError, match=r"nowhere .*does not exist") as caught:
        open_ledger(server.url("nowhere"))
    assert PASSWORD not in str(caught.value)


def test_a_ledger_locked_for_too_long_is_one_sentence(url: str) -> None:
    first, second = open_ledger(url), open_ledger(url, wait_seconds=0.2)
    with first._database.writing(), pytest.raises(OperatorError, match=r"busy by another process for 0\.2 s"):
        second.append(scanned())
    second.append(scanned())
    first.close()
    second.close()


def test_a_missing_driver_states_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from driftguard.adapters.sql.opening import open_ledger\n"
        "from driftguard.errors import OperatorError\n"
        "try: open_ledger('postgresql://user:canary-Pa55word@db.example/ledger')\n"
        "except OperatorError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'driftguard-gitops[postgres]'" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
