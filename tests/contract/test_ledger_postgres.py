"""The ledger on a real PostgreSQL server, skipped where the machine has none."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from driftguard.adapters.sql.addresses import parse
from driftguard.adapters.sql.opening import open_ledger
from driftguard.errors import OperatorError, UsageError
from tests.contract.ledger_contract import scanned
from tests.contract.postgres_server import PASSWORD, PostgresServer, postgres_server, server_programs
from tests.contract.shared_ledger_contract import SharedLedgerContract

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("psycopg") is None, reason="psycopg is not installed (extra `postgres`)"
)


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


@pytest.fixture(scope="module")
def other(server: PostgresServer) -> Iterator[PostgresServer]:
    """A second server, with the same user and password."""
    programs = server_programs()
    assert programs is not None
    with postgres_server(programs) as running:
        yield running


@contextmanager
def read_only(server: PostgresServer) -> Iterator[None]:
    server.take_writes(False)
    try:
        yield
    finally:
        server.take_writes(True)


def test_of_several_hosts_the_one_that_takes_writes_keeps_the_ledger(
    server: PostgresServer, other: PostgresServer
) -> None:
    url = server.new_database()
    while (theirs := other.new_database()).rpartition("/")[2] != url.rpartition("/")[2]:
        pass
    both = url.replace(server.address, f"{server.address},{other.address}")
    with read_only(server):
        ledger = open_ledger(both)
        ledger.append(scanned())
        ledger.close()
    second = open_ledger(theirs)
    assert [entry.sequence for entry in second.entries()] == [1]
    second.close()
    first = open_ledger(url)
    assert first.entries() == ()
    # A failover while the ledger is open: the pooled connection is to a server that takes no writes any more.
    ledger = open_ledger(both)
    ledger.append(scanned())
    assert len(first.entries()) == 1
    with read_only(server):
        with pytest.raises(OperatorError, match="is read-only: the server is a standby or takes no writes"):
            ledger.append(scanned())
        ledger.append(scanned())
        assert len(first.entries()) == 1
    assert len(ledger.entries()) == 2
    ledger.close()
    first.close()


def test_servers_that_all_take_no_writes_are_one_sentence(server: PostgresServer, other: PostgresServer) -> None:
    url = server.new_database()
    ledger = open_ledger(url)
    both = url.replace(server.address, f"{server.address},{other.address}")
    with read_only(server), read_only(other):
        with pytest.raises(OperatorError, match=r"is read-only: .* Name the primary in ledger\.url") as caught:
            ledger.append(scanned())
        assert PASSWORD not in str(caught.value)
        with pytest.raises(OperatorError, match="is read-only: ") as caught:
            open_ledger(both)
        assert f"postgresql://{server.address},{other.address}/" in str(caught.value)
        assert PASSWORD not in str(caught.value)
        assert "\n" not in str(caught.value)
    ledger.close()


@pytest.mark.parametrize(
    ("given", "hosts", "ports", "extra"),
    [
        ("postgresql://db1,db2/ledger", "db1,db2", "5432,5432", {"target_session_attrs": "read-write"}),
        ("postgresql://u:p%40w@db1:1,db2:2/l?sslmode=require", "db1,db2", "1,2", {"sslmode": "require"}),
        ("postgres://u@[::1]:1,[fe80::1%eth0],db2:/l", "::1,fe80::1%eth0,db2", "1,5432,5432", {}),
        ("postgresql://a,b/l?target_session_attrs=any", "a,b", "5432,5432", {"target_session_attrs": "any"}),
    ],
)
def test_several_hosts_and_ports_are_read_as_libpq_reads_them(
    given: str, hosts: str, ports: str, extra: dict[str, str]
) -> None:
    found = parse(given)
    assert (found.query["host"], found.query["port"], found.host, found.port) == (hosts, ports, None, None)
    assert found.database in ("ledger", "l")
    assert extra.items() <= dict(found.query).items()
    assert found.password in (None, "p@w")


@pytest.mark.parametrize("hosts", ["db1:x,db2", "db1,", ",", "[::1,db2", "a:1:2,b"])
def test_hosts_that_cannot_be_read_are_one_sentence_without_the_password(hosts: str) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        parse(f"postgresql://u:canary-Pa55word@{hosts}/ledger")
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
