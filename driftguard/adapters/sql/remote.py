"""A ledger whose truth is an object in S3: a SQLite file that is fetched, changed under a lock, and stored again.

The object is the file, compressed. A transaction is recorded when it is in S3, not before: it is put with the tag of
the content it was made from, so a process that was taken for dead can never overwrite what was written since.
Threads that come to write while another one's content is on its way share the next request.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

from driftguard.adapters.aws.objects import SharedObject
from driftguard.errors import OperatorError

_LEVEL: Final = 1


class _Batch:
    """Transactions that one request records, all or none.

    Attributes:
        turn: ends the turn of this process when closed.
        wait_seconds: how long anything is waited for.
        filled: whether any transaction was committed.
        over: whether S3 has answered for all of them.
        error: why none of them is recorded.
    """

    def __init__(self, turn: ExitStack, wait_seconds: float) -> None:
        self.turn, self.wait_seconds = turn, wait_seconds
        self.filled = self.over = False
        self.error: BaseException | None = None


class RemoteFile:
    """A private local copy of the object, and who may replace it.

    Opening and reading change nothing in S3.

    Args:
        close_connections: called before the copy is replaced.

    Attributes:
        path: the copy, in a folder that is gone after `close`.
    """

    def __init__(self, shared: SharedObject, close_connections: Callable[[], None]) -> None:
        self._shared = shared
        self._close_connections: Callable[[], None] = lambda: None  # there is none before the first copy
        self.name = shared.name
        with self._on_disk():
            self._folder = Path(tempfile.mkdtemp(prefix="driftguard-ledger-"))
        self.path, self._before = self._folder / "ledger.db", self._folder / "before.db"
        self._tag: str | None = None
        self._changed = threading.Condition()
        self._readers = 0
        self._coming = 0  # threads that wait to write
        self._busy = False  # one thread changes the copy, or puts it into S3
        self._batch: _Batch | None = None
        # Set while the copy holds what S3 did not accept: how long to wait for those who still read it.
        self._owed_undo_seconds: float | None = None
        with ExitStack() as undo:
            undo.callback(self.close)
            self._fetch(0.0)
            undo.pop_all()
        self._close_connections = close_connections

    def close(self) -> None:
        """Remove the copy."""
        if self._batch is not None:  # its thread was interrupted
            self._batch.turn.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the copy from being replaced.

        Raises:
            OperatorError: the copy holds unrecorded entries, and a reader of it does not end.
        """
        with self._changed:
            self._undo()
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def writing(self, wait_seconds: float) -> Iterator[None]:
        """Be the only writer of all threads and processes, on the newest content; recorded in S3 when this returns.

        The block has to leave the copy committed, or as it was.

        Raises:
            OperatorError: it is not recorded; the copy is what it was before.
        """
        batch = self._begin(wait_seconds)
        try:
            yield
            batch.filled = True
        finally:
            self._end(batch)
        if isinstance(batch.error, OperatorError):
            raise OperatorError(str(batch.error))
        if batch.error is not None:
            raise OperatorError(f"The ledger {self.name} was not written ({type(batch.error).__name__}). Run again.")

    def _begin(self, wait_seconds: float) -> _Batch:
        with self._changed:
            self._coming += 1
            try:
                free = self._changed.wait_for(lambda: not self._busy, wait_seconds)
                self._busy = self._busy or free
            finally:
                self._coming -= 1
                self._changed.notify_all()
        if not free:
            raise OperatorError(
                f"The ledger {self.name} was not free for {wait_seconds:g} s, so nothing was recorded. "
                "Run again when the other work is done."
            )
        if self._batch is None:
            with ExitStack() as undo:
                undo.callback(self._let_go)
                turn = undo.enter_context(ExitStack())
                turn.enter_context(self._shared.turn(wait_seconds))
                self._undo()
                self._fetch(wait_seconds)
                with self._on_disk():
                    _write_private(self._before, self.path.read_bytes())
                undo.pop_all()
            self._batch = _Batch(turn, wait_seconds)
        return self._batch

    def _end(self, batch: _Batch) -> None:
        """Wait until the batch is in S3; the last thread in the queue stores it."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: batch.over or not (self._busy or self._coming))
            if batch.over:
                return
            self._busy = True
        with ExitStack() as ending:
            ending.callback(self._over, batch)
            ending.push(partial(self._failed, batch))
            if batch.filled:
                with self._on_disk():
                    content = self.path.read_bytes()
                self._tag = self._shared.write(zlib.compress(content, _LEVEL), self._tag or "")

    def _failed(
        self, batch: _Batch, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Keep the error of a write for every thread of its batch; True for one that each of them raises itself."""
        if error is None:
            return False
        batch.error = error
        self._owed_undo_seconds = batch.wait_seconds
        with self._changed:
            if not self._readers:  # otherwise the next thread that begins does it
                self._undo()
        return isinstance(error, OperatorError)

    def _over(self, batch: _Batch) -> None:
        batch.turn.close()
        batch.over, self._batch = True, None
        self._let_go()

    def _let_go(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _undo(self) -> None:
        """Take back what S3 did not accept, if anything, so that it is never read; the tag still fits."""
        with self._changed:
            if self._owed_undo_seconds is not None:
                with self._on_disk(), self._replacing(self._owed_undo_seconds):
                    self._before.replace(self.path)
                    self._owed_undo_seconds = None

    def _fetch(self, wait_seconds: float) -> None:
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
        scratch = self.path.with_suffix(".part")
        with self._on_disk():
            _write_private(scratch, content)
            with self._replacing(wait_seconds):
                scratch.replace(self.path)
        self._tag = found.tag

    @contextmanager
    def _replacing(self, wait_seconds: float) -> Iterator[None]:
        with self._changed:
            if not self._changed.wait_for(lambda: self._readers == 0, wait_seconds):
                raise OperatorError(
                    f"The local copy of the ledger {self.name} was still being read after {wait_seconds:g} s, so it "
                    "was not brought up to date, and nothing was recorded. Run again when the other work is done."
                )
            self._close_connections()
            yield
            for rest in self._folder.glob("ledger.db-*"):
                rest.unlink()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OperatorError(
                f"The local copy of the ledger {self.name} cannot be kept ({error.strerror}), so nothing more is "
                "recorded or applied. Free some space in the folder for temporary files and run again."
            ) from None


def _write_private(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
