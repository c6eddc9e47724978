"""Reading a ledger without opening it for writing: the same answers as the ledger's own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.sql.reading import SqliteJournal, open_journal
from driftguard.adapters.sql.rows import VERSION_TABLE
from driftguard.errors import OperatorError, UsageError
from driftguard.model import Entry, EntryKind
from driftguard.model.looks import Look
from driftguard.pipeline.history import recent
from driftguard.ports import JournalReader
from tests.contract.ledger_contract import SCANNED, STARTED, at, scanned

QUESTIONS: dict[str, Callable[[JournalReader], object]] = {
    "all entries": lambda journal: journal.entries(),
    "of an environment": lambda journal: journal.entries(environment="dev"),
    "of an unknown environment": lambda journal: journal.entries(environment="none"),
    "of kinds": lambda journal: journal.entries(kinds=[STARTED, SCANNED], until=at(2)),
    "between two moments": lambda journal: journal.entries(environment="dev", since=at(3), until=at(3)),
    "the newest ones": lambda journal: journal.entries(limit=2),
    "none": lambda journal: journal.entries(limit=0),
    "the latest": lambda journal: journal.latest(SCANNED),
    "the latest as of a moment": lambda journal: journal.latest(SCANNED, until=at(2)),
    "the looks": lambda journal: journal.looks(),
    "the looks as of a moment": lambda journal: journal.looks(at(5)),
    "the latest of a kind that is not there": lambda journal: journal.latest(EntryKind.BASELINE_MOVED),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'a folder with % and #' / 'ledger.db'}"


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    with closing(open_ledger(url)) as opened:
        yield opened


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_journal_answers_as_the_ledger_does(ledger: SqlLedger, url: str, question: str) -> None:
    data = {"text": "ü ≠ \u0000", "deep": {"a": {"b": []}}}
    ledger.append(Entry(STARTED, at(0), "run-1"), scanned("dev", 1, **data), scanned("prod", 2), scanned("dev", 3))
    ledger.append(scanned("dev", 2.5))
    ledger.keep_looks([Look("dev", 5, at(4)), Look("prod", 3, at(6), 7, 0.5)])
    with closing(open_journal(url)) as journal:
        assert isinstance(journal, SqliteJournal)
        assert QUESTIONS[question](journal) == QUESTIONS[question](ledger)


def test_a_journal_reads_while_the_ledger_is_written(ledger: SqlLedger, url: str) -> None:
    with closing(open_journal(url)) as journal, ledger._database.writing() as connection:
        connection.exec_driver_sql("UPDATE heads SET sequence = sequence")
        assert journal.entries() == ()


def test_a_ledger_that_does_not_exist_yet_is_created(url: str) -> None:
    with closing(open_journal(url)) as journal:
        assert isinstance(journal, SqlLedger)
        assert journal.entries() == ()
    with closing(open_journal(url)) as journal:
        assert isinstance(journal, SqliteJournal)


def test_a_ledger_of_a_newer_version_is_refused_as_by_the_ledger(ledger: SqlLedger, url: str) -> None:
    with ledger._database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(OperatorError, match="newer DriftGuard"):
        open_journal(url)


@pytest.mark.parametrize("wrong", ["mysql://host/database", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x"])
def test_a_url_that_names_no_ledger_is_refused_as_by_the_ledger(wrong: str) -> None:
    with pytest.raises(UsageError):
        open_journal(wrong)


def test_a_damaged_ledger_is_named_in_one_sentence(ledger: SqlLedger, url: str) -> None:
    with closing(open_journal(url)) as journal:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("DROP TABLE environments")
            connection.commit()
        with pytest.raises(OperatorError, match=r"The ledger .*ledger\.db failed"):
            journal.latest(SCANNED)


def test_an_entry_of_a_newer_version_is_read_by_its_name_beside_the_others(ledger: SqlLedger, url: str) -> None:
    ledger.append(scanned("dev", 1), Entry("foretold", at(2), "run-1", "dev", {"words": "new"}))
    with closing(open_journal(url)) as journal:
        for reader in (ledger, journal):
            assert [str(entry.kind) for entry in reader.entries()] == ["scanned", "foretold"]
        rows = recent(journal, [], until=None, limit=5)
    assert [(row.kind, row.data) for row in rows][1] == ("foretold", {"words": "new"})
    assert ledger.verify() == ()
