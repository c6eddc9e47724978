"""A ledger whose truth is an object in S3: a SQLite file that is fetched, changed under a lock, and stored again.

The object is the file, compressed. One thread owns it: callers queue a transaction and wait. The thread makes all that
wait on a new copy, stores that with the tag of the content it was made from, and shows it to readers once S3 has it: a
process that was taken for dead can never overwrite what was written since, and what S3 did not accept is never read.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Waited
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Final, TypeVar

from sqlalchemy import Engine

from driftguard.adapters.aws.objects import SharedObject
from driftguard.errors import OperatorError

_LEVEL: Final = 1
T = TypeVar("T")


@dataclass(slots=True)
class _Copy:
    """One content of the object as a file; it stays as long as it is read."""

    path: Path
    engine: Engine
    readers: int = 0


@dataclass(slots=True)
class _Job:
    """One transaction that a caller waits for.

    Attributes:
        work: changes a copy, as a whole or not at all.
        value, error: what came of it, to be handed out once S3 has the copy.
    """

    work: Callable[[Engine], Any]
    wait_seconds: float
    done: Future[Any] = field(default_factory=Future)
    value: Any = None
    error: BaseException | None = None

    def end(self) -> None:
        """Hand out what came of it."""
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.value)


class _Errors:
    """Keeps an error for the callers of jobs that have none of their own; the thread goes on.

    Args:
        shared: the ledger's name where the callers share the error, so that each gets one of its own.
    """

    def __init__(self, jobs: list[_Job], shared: str = "") -> None:
        self._jobs, self._shared = jobs, shared

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            for job in self._jobs:
                job.error = job.error or self._for_one(error)
        return True

    def _for_one(self, error: BaseException) -> BaseException:
        if not self._shared:
            return error
        if isinstance(error, OperatorError):
            return OperatorError(str(error))
        return OperatorError(f"The ledger {self._shared} was not written ({type(error).__name__}). Run again.")


class RemoteFile:
    """The newest content that this process knows, for any number of readers, and the thread that writes.

    Opening and reading change nothing in S3.

    Args:
        connectable: gives an engine for a file.
    """

    def __init__(self, shared: SharedObject, connectable: Callable[[Path], Engine]) -> None:
        self._shared, self._connectable = shared, connectable
        self.name = shared.name
        with self._on_disk():
            self._folder = Path(tempfile.mkdtemp(prefix="driftguard-ledger-"))
        self._made = 0
        self._tag: str | None = None
        self._guard = threading.Lock()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._current: _Copy | None = None
        with ExitStack() as undo:
            undo.callback(self.close)
            self._fetch()
            undo.pop_all()

    def close(self) -> None:
        """End the thread, once it has done what waits, and remove every copy."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        if self._current is not None:
            self._current.engine.dispose()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def reading(self) -> Iterator[Engine]:
        """The newest content, which stays as it is while the context is open."""
        with self._guard:
            copy = self._current
            assert copy is not None
            copy.readers += 1
        try:
            yield copy.engine
        finally:
            with self._guard:
                copy.readers -= 1
                self._drop(copy)

    def write(self, work: Callable[[Engine], T], wait_seconds: float) -> T:
        """Make a transaction on the newest content, as the only writer of all threads and processes.

        It is recorded in S3 when this returns.

        Args:
            work: is called in the thread that writes.

        Raises:
            OperatorError: it is not recorded, or it is not known whether it is, which the message states.
        """
        job = _Job(work, wait_seconds)
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="driftguard-ledger", daemon=True)
                self._thread.start()
        self._jobs.put(job)
        try:
            return job.done.result(wait_seconds)  # type: ignore[no-any-return]
        except Waited:
            if job.done.cancel():
                raise OperatorError(
                    f"The ledger {self.name} was not free for {wait_seconds:g} s, so nothing was recorded. "
                    "Run again when the other work is done."
                ) from None
        return job.done.result()  # type: ignore[no-any-return]  # it is being made: S3's own limits end that

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch = [job] if job.done.set_running_or_notify_cancel() else []
            if batch:
                with _Errors(batch, self.name):
                    self._record(batch)
                for each in batch:
                    each.end()

    def _record(self, batch: list[_Job]) -> None:
        """Make all transactions that wait, and store them with one request.

        Args:
            batch: the first of them; the others are added.
        """
        with self._shared.turn(batch[0].wait_seconds), ExitStack() as stack:
            self._fetch()
            with self._on_disk():
                copy = self._new_copy(self._content())
            stack.callback(self._drop, copy)
            job: _Job | None = batch[0]
            while job is not None:
                with _Errors([job]):
                    job.value = job.work(copy.engine)
                job = self._next()
                batch += [job] if job is not None else []
            if all(job.error is not None for job in batch):
                return
            with self._on_disk():
                content = copy.path.read_bytes()
            self._tag = self._shared.write(zlib.compress(content, _LEVEL), self._tag or "")
            self._show(copy)

    def _next(self) -> _Job | None:
        """Another transaction that waits already, or None."""
        try:
            job = self._jobs.get_nowait()
        except Empty:
            return None
        if job is None:
            self._jobs.put(None)  # the thread is to end, after this batch
            return None
        return job if job.done.set_running_or_notify_cancel() else self._next()

    def _fetch(self) -> None:
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
        with self._on_disk():
            self._show(self._new_copy(content))
        self._tag = found.tag

    def _content(self) -> bytes:
        assert self._current is not None
        return self._current.path.read_bytes()

    def _new_copy(self, content: bytes) -> _Copy:
        self._made += 1
        path = self._folder / f"ledger-{self._made}.db"
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
        return _Copy(path, self._connectable(path))

    def _show(self, copy: _Copy) -> None:
        """Let readers that come from now on read this one."""
        with self._guard:
            before, self._current = self._current, copy
            if before is not None:
                self._drop(before)

    def _drop(self, copy: _Copy) -> None:
        """Remove a copy that is not read any more."""
        if copy is not self._current and not copy.readers:
            copy.engine.dispose()
            copy.path.unlink(missing_ok=True)

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OperatorError(
                f"The local copy of the ledger {self.name} cannot be kept ({error.strerror}), so nothing more is "
                "recorded or applied. Free some space in the folder for temporary files and run again."
            ) from None
