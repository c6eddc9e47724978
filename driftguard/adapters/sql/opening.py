"""Opens the ledger that a URL names."""

from __future__ import annotations

from driftguard.adapters.sql.database import Database
from driftguard.adapters.sql.ledger import SqlLedger


def open_ledger(url: str, *, wait_seconds: float | None = None, lock_seconds: float = 60.0) -> SqlLedger:
    """Open a ledger, creating the SQLite file (0600) and bringing the schema up to date where needed.

    The result serves any number of threads, and other processes may have the same ledger open. In S3 nothing is
    created or changed before the first write; what is read is as new as the opening or this process's last write.

    Args:
        url: `sqlite:///path` (relative to the working directory), `sqlite:////absolute/path`,
            `postgresql://[user[:password]@]host[:port][,host[:port]…]/database[?option=value]`, or `s3://bucket/key`.
        wait_seconds: how long any call waits for other writers before it raises OperatorError; None is 30 s, and
            300 s for S3.
        lock_seconds: S3 only: a lock that was not renewed for so long was left by a process that died.

    Raises:
        UsageError: the URL is none of those.
        OperatorError: the database cannot be opened, its driver is missing, or its schema is newer than this code.
    """
    return SqlLedger(Database(url, wait_seconds=wait_seconds, lock_seconds=lock_seconds))
