"""Advisory locks on files between threads and processes; the kernel releases them when a process dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftguard.errors import TransientFault
from driftguard.model import ErrorKind
from driftguard.ports import StopSignal

_POLL_SECONDS = 0.05


@contextmanager
def locked(path: Path, *, shared: bool = False, stop: StopSignal | None = None) -> Iterator[None]:
    """Hold a lock on a file, created if need be (0600), waiting for it as long as no stop is requested.

    Raises:
        TransientFault: a stop was requested while waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while not _try(descriptor, kind):
            if stop is not None and stop.requested:
                raise TransientFault(ErrorKind.INTERRUPTED, "Stopped while waiting for another run; nothing was done.")
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Hold a lock on an existing file if it is free; yields whether it was."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        yield _try(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
