"""Writes a defect of DriftGuard down so that it can be pasted into a report: versions, command line, traceback."""

from __future__ import annotations

import logging
import os
import platform
import sys
import traceback
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from driftguard import __version__
from driftguard.ports import DefectLog
from driftguard.sealed import mask

log = logging.getLogger(__name__)

_MAX_FILES: Final = 50
_LIBRARIES: Final = ("GitPython", "python-terraform", "python-hcl2", "SQLAlchemy", "boto3", "slack-sdk", "msgspec")


class FolderDefects(DefectLog):
    """One file for each defect in a folder, readable by its owner alone; the oldest ones are deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, error: BaseException, doing: str) -> str:
        """Write the log; a sentence that names it, or why there is none."""
        log.debug("%s", mask("".join(traceback.format_exception(error))).rstrip())
        defect = f"A defect in DriftGuard ({type(error).__name__})"
        try:
            file = self._saved(error, doing)
        except OSError as fault:
            return f"{defect}; run with -v and report what it prints ({self._folder}: {fault.strerror})."
        return f"{defect}; please report it with the log {file}."

    def _saved(self, error: BaseException, doing: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = datetime.now(UTC)
        file = self._folder / f"{now:%Y%m%dT%H%M%S.%f}.log"
        with open(file, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
            stream.write(_report(error, doing, now))
        for old in sorted(self._folder.glob("*.log"))[:-_MAX_FILES]:
            old.unlink(missing_ok=True)
        return file


def _report(error: BaseException, doing: str, now: datetime) -> str:
    lines = [
        f"DriftGuard {__version__}, {now.isoformat(timespec='seconds')}",
        f"Python {platform.python_version()} on {platform.platform()}",
        ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES),
        f"Command: {' '.join(sys.argv)}",
        f"During: {doing}",
        "",
        "".join(traceback.format_exception(error)).rstrip(),
        "",
    ]
    return mask("\n".join(lines))


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"
