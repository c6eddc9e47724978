"""Folders of our own: data that is kept between runs, and private folders that are gone after each."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftguard.adapters.filelock import if_free, locked
from driftguard.ports import EnvironmentFolders, Folders, StopSignal


class RunFolders(EnvironmentFolders):
    """The folders of one run below a cache folder.

    Private folders (0700) hold plan files; they are deleted when an environment is done. Those that a killed run left
    behind are deleted when the next run starts: a lock held by each running one distinguishes them.

    Args:
        repository: its location; environments of two repositories never share a folder.
    """

    def __init__(self, cache: Path, repository: str, run_id: str, stop: StopSignal) -> None:
        self._stop = stop
        self._cache, self._repository = cache, repository
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        runs = cache / "private"
        runs.mkdir(exist_ok=True, mode=0o700)
        _delete_abandoned(runs)
        self._lock = os.open(runs / f"{run_id}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._private = runs / run_id
        self._private.mkdir(mode=0o700)

    def close(self) -> None:
        """Delete what is private to this run."""
        shutil.rmtree(self._private, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            self._private.with_name(f"{self._private.name}.lock").unlink()
        os.close(self._lock)

    @contextmanager
    def occupy(self, environment: str) -> Iterator[Folders]:
        """An environment's data folder, held against other runs, and a private folder for the time of the context."""
        data = data_folder(self._cache, self._repository, environment)
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        private = self._private / data.name
        with locked(data / "lock", stop=self._stop):
            private.mkdir(mode=0o700)
            try:
                yield Folders(data, private)
            finally:
                shutil.rmtree(private, ignore_errors=True)


def data_folder(cache: Path, repository: str, environment: str) -> Path:
    """Where an environment's data is kept between runs."""
    return cache / "data" / folder_name(repository) / folder_name(environment)


def folder_name(text: str) -> str:
    """A short name for a folder that is readable and distinct for distinct texts."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", text)[-40:].strip("-.")
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _delete_abandoned(runs: Path) -> None:
    for lock in runs.glob("*.lock"):
        with if_free(lock) as free:
            if free:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
