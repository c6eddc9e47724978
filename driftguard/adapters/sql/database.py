"""Connections and transactions of the ledger's database: one writer at a time, errors as one sentence."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, select, table, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.sql import column

from driftguard.adapters.aws.objects import SharedObject
from driftguard.adapters.sql.addresses import display_name, parse
from driftguard.adapters.sql.faults import READ_ONLY_SERVER, operator_error
from driftguard.adapters.sql.mounts import network_filesystem
from driftguard.adapters.sql.projecting import project
from driftguard.adapters.sql.remote import RemoteFile
from driftguard.adapters.sql.rows import REVISIONS, VERSION_TABLE
from driftguard.adapters.sql.statements import Statements
from driftguard.distribution import install_command
from driftguard.errors import OperatorError, UsageError
from driftguard.model import Entry

# The advisory lock all writers of one PostgreSQL database share; the value is "driftgua" in ASCII.
_WRITER_LOCK: Final = 0x6472696674677561
_WAIT_SECONDS: Final = 30.0
# Several jobs take short turns there, and the turn of one that died lasts until its lock is old.
_REMOTE_WAIT_SECONDS: Final = 300.0
T = TypeVar("T")


class Database:
    """An open database with the current schema.

    Args:
        url: `sqlite:///path`, `postgresql://…` or `s3://bucket/key`.
        wait_seconds: how long to wait for another writer before giving up; None is 30 s, and 300 s for S3.
        lock_seconds: S3 only: a lock that was not renewed for so long was left by a process that died.

    Raises:
        UsageError: the URL is not one of those.
        OperatorError: the database cannot be opened, or is newer than this code.
    """

    def __init__(self, url: str, *, wait_seconds: float | None = None, lock_seconds: float = 60.0) -> None:
        shared = _shared(url, lock_seconds)
        usual = _REMOTE_WAIT_SECONDS if shared else _WAIT_SECONDS
        self._wait_seconds = usual if wait_seconds is None else wait_seconds
        self._writer = threading.Lock()
        self._url = URL.create("sqlite") if shared else parse(url)
        self.name = shared.name if shared else display_name(self._url)
        self.sqlite = self._url.get_backend_name() == "sqlite"
        if self.sqlite and not shared:
            _create_private_file(Path(self._url.database or ""), self.name)
        self._remote = RemoteFile(shared, self._of_file) if shared else None
        self._local = None if shared else self._connectable(self._url)
        with ExitStack() as undo:
            undo.callback(self.close)
            with self._translated():
                if self.sqlite and self._remote is None:  # a remote ledger has to be one file after each transaction
                    self._enter_wal_mode()
            self._bring_up_to_date()
            undo.pop_all()

    def close(self) -> None:
        """Close every connection; the object is of no use afterwards."""
        if self._local is not None:
            self._local.dispose()
        if self._remote is not None:
            self._remote.close()

    @property
    def _engine(self) -> Engine:
        assert self._local is not None, "a remote ledger has an engine for each of its copies"
        return self._local

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the database throughout."""
        with self._readable() as engine, self._translated(), engine.connect() as connection:
            if not self.sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @property
    def remote(self) -> bool:
        """Whether a write stores the whole ledger again."""
        return self._remote is not None

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """What makes the ledger less durable than it should be, one sentence each."""
        found = network_filesystem(Path(self.name)) if self.sqlite and self._remote is None else None
        if found is None:
            return ()
        return (
            f"The ledger {self.name} is SQLite on a network file system ({found}), whose locks do not hold between "
            "machines: two processes can damage it. Use PostgreSQL or S3 (`ledger.url`), or a local disk.",
        )

    def behind(self) -> timedelta:
        """How far this machine's clock is behind the server's; nothing where there is no server."""
        if self.sqlite:
            return timedelta(0)
        with self.reading() as connection:
            asked = datetime.now(UTC)
            found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
            return found - (asked + (datetime.now(UTC) - asked) / 2)

    def _readable(self) -> AbstractContextManager[Engine]:
        return self._remote.reading() if self._remote is not None else nullcontext(self._engine)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Make a transaction, as the only writer of all threads and processes; durable on return, undone on error.

        Args:
            work: may be called in another thread than this one.
        """
        if self._remote is not None:
            return self._remote.write(partial(self._made_on, work), self._wait_seconds)
        with self.writing() as connection:
            return work(connection)

    def _made_on(self, work: Callable[[Connection], T], engine: Engine) -> T:
        with self._translated(), self._transaction(engine) as connection:
            self._migrate(connection)  # what is newest now may be older than what was opened
            return work(connection)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The transaction of `write` in a database that is not remote."""
        with self._turn(), self._translated(), self._transaction(self._engine) as connection:
            if not self.sqlite:
                connection.execute(
                    text("SELECT set_config('lock_timeout', :wait, true)"),
                    {"wait": f"{max(1, round(self._wait_seconds * 1000))}ms"},
                )
                # An attempt that a server forgets in a crash would be applied twice.
                connection.execute(
                    text(
                        "SELECT set_config('synchronous_commit', 'on', true)"
                        " WHERE current_setting('synchronous_commit') = 'off'"
                    )
                )
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITER_LOCK})
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the only writer of all threads."""
        if not self._writer.acquire(timeout=self._wait_seconds):
            raise OperatorError(
                f"The ledger {self.name} was not free for {self._wait_seconds:g} s, so nothing was recorded. "
                "Run again when the other work is done."
            )
        try:
            yield
        finally:
            self._writer.release()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        with engine.connect() as connection:
            connection.execution_options(driftguard_writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise operator_error(error, self._url, self.name, self._wait_seconds) from None

    def _of_file(self, path: Path) -> Engine:
        return self._connectable(URL.create("sqlite", database=str(path)))

    def _connectable(self, url: URL) -> Engine:
        try:
            if self.sqlite:
                engine = create_engine(
                    url, connect_args={"timeout": self._wait_seconds}, hide_parameters=True, max_overflow=-1
                )
                event.listen(engine, "connect", _prepare_sqlite)
                event.listen(engine, "begin", _begin_sqlite)
                return engine
            # No prepared statements: they break behind a connection pooler such as PgBouncer.
            engine = create_engine(
                url,
                connect_args={"prepare_threshold": None, "connect_timeout": 10, "application_name": "driftguard"},
                isolation_level="READ COMMITTED",
                pool_pre_ping=True,
                hide_parameters=True,
                max_overflow=-1,
            )
            event.listen(engine, "handle_error", _leave_a_read_only_server)
            return engine
        except ImportError:
            raise OperatorError(
                f"The ledger {self.name} needs the PostgreSQL driver, which is not installed. "
                f"Run: {install_command('postgres')}"
            ) from None

    def _enter_wal_mode(self) -> None:
        # Changing the journal mode does not wait for other connections by itself. See
        # https://www.sqlite.org/wal.html: the mode stays with the file, so this is a query from the second time on.
        deadline = time.monotonic() + self._wait_seconds
        while True:
            try:
                with closing(self._engine.raw_connection()) as connection:
                    connection.cursor().execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorname", "") != "SQLITE_BUSY" or time.monotonic() > deadline:
                    raise DBAPIError(None, None, error) from None
            time.sleep(0.02)

    def _bring_up_to_date(self) -> None:
        with self.reading() as connection:
            found = self._revision(connection)
        if found == REVISIONS[-1]:
            return
        if self._remote is None:
            self.write(self._migrate)
            return
        # The copy only: opening changes nothing in S3.
        with self._translated(), self._readable() as engine, self._transaction(engine) as connection:
            self._migrate(connection)

    def _migrate(self, connection: Connection) -> None:
        found = self._revision(connection)
        if found == REVISIONS[-1]:
            return
        if found is not None and found not in REVISIONS:
            raise OperatorError(
                f"The ledger {self.name} has schema {found}, written by a newer DriftGuard than this one, which "
                f"knows schemas up to {REVISIONS[-1]}; it was left as it is. Upgrade driftguard on this machine."
            )
        # Alembic takes long to import, and most runs find a current schema.
        from driftguard.adapters.sql.migrate import upgrade

        upgrade(connection, found)

    def _revision(self, connection: Connection) -> str | None:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()
        return None if found is None else str(found)


def _shared(url: str, lock_seconds: float) -> SharedObject | None:
    """The object behind `s3://bucket/key[?encryption=…]`; None for any other URL."""
    if not url.startswith("s3://"):
        return None
    address, _, options = url.removeprefix("s3://").partition("?")
    bucket, _, key = address.partition("/")
    # The text is not shown: what is no bucket's name may hold a password.
    if not re.fullmatch(r"[A-Za-z0-9._-]{3,255}", bucket) or not key:
        raise UsageError("The ledger's URL names no object; nothing was run. Set ledger.url to s3://BUCKET/KEY.")
    return SharedObject(bucket, key, lock_seconds=lock_seconds, encryption=_encryption(options))


def _encryption(options: str) -> dict[str, str]:
    """The arguments of a write with which S3 encrypts the object, from the options of the ledger's URL."""
    given = dict(parse_qsl(options, keep_blank_values=True))
    algorithm, key = given.pop("encryption", None), given.pop("kms_key_id", None)
    of_kms = algorithm in ("aws:kms", "aws:kms:dsse")
    if given or not (of_kms or algorithm in (None, "AES256")) or (key and not of_kms):
        raise UsageError(
            "The ledger's URL has an option that is not known; nothing was run. s3://BUCKET/KEY takes "
            "`encryption=AES256`, or `encryption=aws:kms` with or without `kms_key_id=ARN`."
        )
    arguments = {"ServerSideEncryption": algorithm, "SSEKMSKeyId": key}
    return {name: value for name, value in arguments.items() if value}


def _create_private_file(path: Path, name: str) -> None:
    # SQLite gives -wal and -shm the mode of the database file, so the file must exist before SQLite creates it.
    # A file that exists is not opened here: closing it would drop the locks other connections of this process hold.
    try:
        missing = [parent for parent in path.parents if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise OperatorError(
            f"The ledger {name} cannot be opened ({error.strerror}), so nothing was run. "
            "Make it readable and writable for this user, or set ledger.url to another file."
        ) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own guesses about when a transaction starts are turned off; `_begin_sqlite` starts it.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("driftguard_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _leave_a_read_only_server(context: ExceptionContext) -> None:
    # A connection from before a failover stays with the old server: the next one finds the one that takes writes.
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY_SERVER:
        context.is_disconnect = True


class _ConnectionStatements(Statements):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, **values: Any) -> Sequence[tuple[Any, ...]]:
        return [tuple(row) for row in self._connection.execute(text(statement), values)]

    def change(self, statement: str, *values: Mapping[str, Any]) -> int:
        return self._connection.execute(text(statement), values[0] if len(values) == 1 else list(values)).rowcount

    def appended(self, entries: Sequence[Entry]) -> None:
        project(self._connection, entries)


def statements(connection: Connection) -> Statements:
    """The statements of a transaction that is open on a connection."""
    return _ConnectionStatements(connection)
