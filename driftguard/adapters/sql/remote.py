"""A ledger whose truth is an object in S3: a SQLite file that is fetched, changed in turn, and put back.

The object is the file, compressed. A transaction is recorded when it is in S3, not before: it is put with the tag of
the content it was made from, so a process that was taken for dead can never overwrite what was written since.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from driftguard.adapters.aws.objects import SharedObject
from driftguard.errors import OperatorError

_LEVEL: Final = 1


class RemoteFile:
    """A private local copy of the object, and who may replace it.

    Attributes:
        path: the copy, in a folder that is gone after `close`.
    """

    def __init__(self, shared: SharedObject) -> None:
        self._shared = shared
        self.name = shared.name
        self._folder = Path(tempfile.mkdtemp(prefix="driftguard-ledger-"))
        self.path = self._folder / "ledger.db"
        self._tag: str | None = None
        self._readers = 0
        self._idle = threading.Condition()
        try:
            self._fetch(lambda: None)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the copy."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the copy from being replaced."""
        with self._idle:
            self._readers += 1
        try:
            yield
        finally:
            with self._idle:
                self._readers -= 1
                self._idle.notify_all()

    @contextmanager
    def writing(self, wait_seconds: float, close_connections: Callable[[], None]) -> Iterator[None]:
        """Be the only writer of all processes, on the newest content; what the block leaves is put into S3.

        Args:
            close_connections: called before the copy is replaced.
        """
        with self._shared.turn(wait_seconds + self._shared.lock_seconds):  # a dead one's turn is over by then
            self._fetch(close_connections)
            try:
                yield
                body = zlib.compress(self.path.read_bytes(), _LEVEL)
                self._tag = self._shared.write(body, self._tag or "")
            except BaseException:
                self._tag = None  # what the copy holds is not what S3 holds
                raise

    def _fetch(self, close_connections: Callable[[], None]) -> None:
        found = self._shared.read(self._tag)
        if found is None:
            return
        try:
            content = zlib.decompress(found.body) if found.body else b""
        except zlib.error:
            raise OperatorError(
                f"The object {self.name} is damaged or not a ledger; nothing was run. Restore an earlier version of "
                "it, or set ledger.url to another one."
            ) from None
        with self._idle:
            self._idle.wait_for(lambda: self._readers == 0)
            close_connections()
            scratch = self.path.with_suffix(".part")
            with open(os.open(scratch, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
                stream.write(content)
            scratch.replace(self.path)
            for rest in self._folder.glob("ledger.db-*"):
                rest.unlink()
        self._tag = found.tag
