"""Files that are made before Terraform runs and lie in no commit: a folder of the operator, listed and copied."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.ports import GivenFiles


class FolderFiles(GivenFiles):
    """Folders of this machine."""

    def listed(self, folder: str) -> Mapping[str, str]:
        """See `GivenFiles.listed`."""
        try:
            return {name: hashlib.sha256(Path(folder, name).read_bytes()).hexdigest() for name in _names(folder)}
        except OSError as error:
            raise _unreadable(folder, error) from None

    def copy(self, folder: str, target: Path) -> None:
        """See `GivenFiles.copy`."""
        try:
            for name in _names(folder):
                file = target / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.unlink(missing_ok=True)  # a symbolic link of the commit is replaced, never followed
                shutil.copyfile(Path(folder, name), file)
        except OSError as error:
            raise _unreadable(folder, error) from None


def _names(folder: str) -> Iterator[str]:
    """The files below a folder, relative to it, sorted."""
    os.listdir(folder)  # raises where there is no such folder
    for directory, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(files):
            yield os.path.relpath(os.path.join(directory, name), folder)


def _unreadable(folder: str, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        ErrorKind.CONFIG,
        f"`files` names the folder {folder}, which cannot be read: {error.strerror}. "
        "Make its files before DriftGuard runs, or correct the operator's file.",
    )
