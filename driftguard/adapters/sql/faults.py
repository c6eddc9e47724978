"""What a database error means to the operator, read from the driver's error codes."""

from __future__ import annotations

from typing import Final

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from driftguard.errors import OperatorError
from driftguard.sealed import REDACTED, mask

_BUSY: Final = ("was kept busy by another process for {wait:g} s", "Run again when the other process is done.")
_FULL: Final = ("has no disk space left", "Free some space and run again.")
_READ_ONLY: Final = ("cannot be written", "Give this user the right to write it, or set ledger.url to another one.")
_DAMAGED: Final = ("is damaged or not a ledger", "Restore it from a backup, or set ledger.url to another one.")
_UNREACHABLE: Final = ("cannot be reached", "Check that the server runs and ledger.url is right, and run again.")
_DENIED: Final = ("refused the login", "Check user and password in ledger.url.")

_READ_ONLY_SERVER: Final = (
    "is read-only: the server is a standby or takes no writes, as after a failover",
    "Name the primary in ledger.url, or all hosts (postgresql://HOST1,HOST2/DATABASE), and run again.",
)
#: PostgreSQL's code for a write that a server refuses because it takes none.
READ_ONLY_SERVER: Final = "25006"

# Primary names of SQLite's result codes: extended ones such as SQLITE_IOERR_WRITE start with these.
_SQLITE: Final = (
    ("SQLITE_BUSY", _BUSY),
    ("SQLITE_LOCKED", _BUSY),
    ("SQLITE_FULL", _FULL),
    ("SQLITE_READONLY", _READ_ONLY),
    ("SQLITE_PERM", _READ_ONLY),
    ("SQLITE_CANTOPEN", ("cannot be opened", "Check the path and this user's rights, and run again.")),
    ("SQLITE_IOERR", ("cannot be read or written by the disk", "Check the disk and its free space, and run again.")),
    ("SQLITE_CORRUPT", _DAMAGED),
    ("SQLITE_NOTADB", _DAMAGED),
)
# SQLSTATE codes and classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL: Final = (
    ("55P03", _BUSY),
    ("53100", _FULL),
    ("53", ("has no resources left for this connection", "Look at the server's log and limits, and run again.")),
    (READ_ONLY_SERVER, _READ_ONLY_SERVER),
    ("42501", _READ_ONLY),
    ("28", _DENIED),
    ("3D000", ("does not exist", "Create the database, or set ledger.url to another one.")),
    ("08", _UNREACHABLE),
    ("57P", _UNREACHABLE),
)
_OTHER: Final = ("failed", "Remedy the cause and run again.")


def operator_error(error: SQLAlchemyError, url: URL, name: str, wait_seconds: float) -> OperatorError:
    """The sentence for an error of the database at `url`; holds no credential, no SQL and no data."""
    what, remedy = _meaning(error)
    cause = ""
    if isinstance(error, DBAPIError) and error.orig is not None:
        lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
        cause = f" ({_clean(lines[0], url)})"
    return OperatorError(
        f"The ledger {name} {what.format(wait=wait_seconds)}{cause}, so nothing more is recorded or applied. {remedy}"
    )


def _meaning(error: SQLAlchemyError) -> tuple[str, str]:
    if isinstance(error, PoolTimeout):
        return _BUSY
    cause = error.orig if isinstance(error, DBAPIError) else None
    sqlite_name = getattr(cause, "sqlite_errorname", None) or ""
    for prefix, meaning in _SQLITE:
        if sqlite_name.startswith(prefix):
            return meaning
    state = getattr(cause, "sqlstate", None) or ""
    for prefix, meaning in _POSTGRESQL:
        if state.startswith(prefix):
            return meaning
    # The driver gives a connection that was never made, or was lost, no SQLSTATE.
    if not sqlite_name and not state and isinstance(error, DBAPIError):
        return _of_connecting(str(cause))
    return _OTHER


def _of_connecting(words: str) -> tuple[str, str]:
    """A connection that was not made: libpq gives its words, one line for each host."""
    if "authentication failed" in words:
        return _DENIED
    # https://github.com/postgres/postgres/blob/REL_17_STABLE/src/interfaces/libpq/fe-connect.c
    refusing = ("session is read-only", "server is in hot standby mode")
    return _READ_ONLY_SERVER if any(sentence in words for sentence in refusing) else _UNREACHABLE


def _clean(text: str, url: URL) -> str:
    for secret in (url.password, *(str(value) for key, value in url.query.items() if "password" in key)):
        if secret:
            text = text.replace(str(secret), REDACTED)
    return mask(text).rstrip(". ")
