"""The ledger on SQLite."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.sql.rows import REVISIONS
from driftguard.errors import OperatorError, UsageError
from tests.contract.ledger_contract import scanned
from tests.contract.shared_ledger_contract import SharedLedgerContract


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "driftguard" / "ledger.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


class TestSqliteLedger(SharedLedgerContract):
    @pytest.fixture
    def disarm(self) -> list[str]:
        return [f"DROP TRIGGER IF EXISTS entries_refuse_{verb}" for verb in ("update", "delete")]


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_a_new_ledger_is_readable_by_its_owner_only(path: Path, url: str) -> None:
    ledger = open_ledger(url)
    ledger.key()
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert files == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
    ledger.close()


def test_every_commit_reaches_the_disk(url: str) -> None:
    ledger = open_ledger(url)
    with ledger._database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    ledger.close()


def test_a_relative_path_is_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_ledger("sqlite:///sub/ledger.db").close()
    assert (tmp_path / "sub" / "ledger.db").exists()


def test_opening_a_ledger_again_in_one_process_does_not_free_its_locks(url: str) -> None:
    first = open_ledger(url)
    first.append(scanned())
    second = open_ledger(url)
    # A process that finds no locks takes itself for the last one, and removes the write-ahead log when it leaves.
    program = "import sys; from driftguard.adapters.sql.opening import open_ledger; open_ledger(sys.argv[1]).close()"
    subprocess.run([sys.executable, "-c", program, url], check=True)
    first.append(scanned())
    third = open_ledger(url)
    assert [len(opened.entries()) for opened in (first, second, third)] == [2, 2, 2]
    for opened in (first, second, third):
        opened.close()


def test_a_ledger_locked_for_too_long_is_one_sentence(path: Path, url: str) -> None:
    ledger = open_ledger(url, wait_seconds=0.2)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperatorError, match=r"was kept busy by another process for 0\.2 s .*Run again"):
        ledger.append(scanned())
    blocker.execute("ROLLBACK")
    blocker.close()
    ledger.append(scanned())
    ledger.close()


def test_opening_a_new_ledger_waits_for_another_process_that_is_just_creating_it(path: Path, url: str) -> None:
    path.parent.mkdir(parents=True)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    leaving = threading.Timer(0.2, other.close)
    leaving.start()
    open_ledger(url).close()
    leaving.join()


def test_threads_that_wait_too_long_for_each_other_are_reported(url: str) -> None:
    ledger = open_ledger(url, wait_seconds=0.2)
    failures: list[str] = []

    def append() -> None:
        try:
            ledger.append(scanned())
        except OperatorError as error:
            failures.append(str(error))

    with ledger._database.writing():
        waiting = threading.Thread(target=append)
        waiting.start()
        waiting.join()
    assert len(failures) == 1
    assert "was not free for 0.2 s" in failures[0]
    ledger.close()


def test_a_path_below_a_regular_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"cannot be opened \(Not a directory\)"):
        open_ledger(f"sqlite:///{tmp_path}/file/ledger.db")


def test_a_directory_in_place_of_the_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be opened"):
        open_ledger(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to be taken for the header of one" * 50)
    before = file.read_bytes()
    with pytest.raises(OperatorError, match="damaged or not a ledger"):
        open_ledger(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch(mode=0o600)
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.append(scanned())
    ledger.close()


@pytest.mark.parametrize(
    "wrong",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?uri=true",
        "mysql://u:pw-canary@h/d",
        "u:pw-canary",
        "",
        "s3://only-a-bucket",
    ],
)
def test_a_url_of_another_kind_is_wrong_usage_and_not_repeated(wrong: str) -> None:
    with pytest.raises(UsageError, match=r"Set ledger\.url to") as caught:
        open_ledger(wrong)
    assert "pw-canary" not in str(caught.value)


def test_the_known_schema_revisions_are_those_of_the_migrations() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "driftguard.adapters.sql:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == REVISIONS
