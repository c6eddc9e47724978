"""Operators' words in a local ledger: the same rows by the standard library as by the database library."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.sql.reading import open_local
from driftguard.adapters.sql.writing import SqliteLedger, open_for_words
from driftguard.errors import OperatorError, UsageError
from driftguard.model import EntryKind
from driftguard.pipeline.acknowledging import OperatorWords
from driftguard.ports import Clock
from tests.contract.ledger_contract import NOW, at, scanned
from tests.contract.test_alerts import alert, giving

Opened = SqliteLedger | SqlLedger


class _Noon(Clock):
    def now(self) -> datetime:
        return at(60)


def words_in(ledger: Opened) -> OperatorWords:
    return OperatorWords(ledger, ledger.alerts, _Noon(), "Ada")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A ledger with an open alert of `dev` and none of `prod`."""
    made = f"sqlite:///{tmp_path / 'ledger.db'}"
    with closing(open_ledger(made)) as ledger:
        ledger.alerts.record("dev", [scanned("dev", 1)], giving(alert()))
        ledger.append(scanned("prod", 2))
        yield made
        assert ledger.verify() == ()


def after(url: str, opening: Callable[[str], Opened]) -> tuple[tuple[Any, ...], ...]:
    """What a ledger holds after an acknowledgement and a silence."""
    with closing(opening(url)) as ledger:
        assert words_in(ledger).acknowledge(["d*", "prod"], NOW + timedelta(days=1), "known ü") == ["dev"]
        words_in(ledger).silence(["dev", "prod"], at(9), "migration")
    with closing(open_ledger(url)) as read:
        return read.entries(), read.alerts.standing(), read.alerts.unplanned(), read.verify()


def test_a_word_leaves_the_same_rows_without_the_database_library(tmp_path: Path, url: str) -> None:
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    quick, full = after(url, open_for_words), after(f"sqlite:///{copy}", open_ledger)
    assert quick == full
    entries, standing, notices, faults = quick
    assert [str(entry.kind) for entry in entries][2:] == ["acknowledged", "alert", "silenced", "silenced"]
    assert (standing[0].acked.reason, len(notices), faults) == ("known ü", 1, ())


def test_only_a_local_file_of_the_current_schema_is_written_without_the_library(tmp_path: Path, url: str) -> None:
    with closing(open_for_words(url)) as opened:
        assert isinstance(opened, SqliteLedger)
    assert open_local(f"sqlite:///{tmp_path / 'new.db'}") is None
    with closing(open_for_words(f"sqlite:///{tmp_path / 'new.db'}")) as created:
        assert isinstance(created, SqlLedger)


def test_an_acknowledgement_without_an_open_alert_is_refused_and_writes_nothing(url: str) -> None:
    with closing(open_for_words(url)) as ledger:
        with pytest.raises(UsageError, match=r"^prod: no alert is open"):
            words_in(ledger).acknowledge(["prod"], None, "known")
        with pytest.raises(UsageError, match=r"^deb: no environment that was ever scanned"):
            words_in(ledger).acknowledge(["dev", "deb"], None, "known")
        assert len(ledger.entries()) == 2
        assert (words_in(ledger).known(["dev", "prod"]), words_in(ledger).known(["d*"])) == (True, False)


def test_an_entry_of_a_run_is_refused_and_undone_without_the_library(url: str) -> None:
    with closing(open_for_words(url)) as ledger:
        assert isinstance(ledger, SqliteLedger)
        with pytest.raises(ValueError, match="entries of a run"):
            ledger.append(scanned("dev", 3))
        assert len(ledger.entries(kinds=[EntryKind.SCANNED])) == 2


def test_a_ledger_that_cannot_be_written_is_one_sentence(url: str) -> None:
    with closing(open_for_words(url)) as ledger:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("DROP TABLE outbox")
            connection.commit()
        with pytest.raises(OperatorError, match=r"The ledger .*ledger\.db failed"):
            words_in(ledger).acknowledge(["dev"], datetime.now(UTC) + timedelta(days=1), "known")
        assert len(ledger.entries()) == 2
