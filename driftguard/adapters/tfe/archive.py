"""What a run is given: a gzipped tar of exactly the commit's tree, as far as `.terraformignore` leaves it.

Equal trees give equal bytes. Source: https://developer.hashicorp.com/terraform/cli/cloud/settings
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from posixpath import join, normpath
from typing import Final

from pathspec import GitIgnoreSpec

from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.ports import ERRORED_STATE, WorkingDirectory

_IGNORE_FILE: Final = ".terraformignore"
_ALWAYS: Final = (".git", ".terraform/", "!.terraform/modules/")
_LOCK_FILE: Final = ".terraform.lock.hcl"


def root_of_upload(work: WorkingDirectory, directory: str) -> Path:
    """The folder that is uploaded.

    Args:
        directory: the workspace's working directory: the one below the upload in which Terraform runs; empty for its
            root, which is the environment's own directory then.

    Raises:
        EnvironmentFault: `config`: the environment lies elsewhere.
    """
    assert work.tree is not None
    here = work.directory.relative_to(work.tree).as_posix()
    if directory in ("", "."):
        return work.directory
    if here == directory or here.endswith(f"/{directory}"):
        return work.tree / here.removesuffix(directory)
    raise EnvironmentFault(
        ErrorKind.CONFIG,
        f"The workspace runs Terraform in {directory}, and this environment lies in {here}, so no run was made. "
        "Correct the workspace's working directory, or the environment's `path`.",
    )


def archive(work: WorkingDirectory, directory: str) -> bytes:
    """The tar. Raises as `root_of_upload`, and where a symbolic link leaves what is uploaded."""
    root = root_of_upload(work, directory)
    rules: list[str] = [*_ALWAYS]
    with suppress(OSError):
        rules += (root / _IGNORE_FILE).read_text(errors="replace").splitlines()
    spec = GitIgnoreSpec.from_lines(rules)
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for relative in sorted(_files(root)):
            if not spec.match_file(relative) and not _is_ours(work, root / relative):
                _add(tar, root, relative)
    return gzip.compress(unpacked.getvalue(), compresslevel=6, mtime=0)


def _is_ours(work: WorkingDirectory, path: Path) -> bool:
    """Whether Terraform made a file of the work tree in an earlier run."""
    made = {ERRORED_STATE} if work.lock_committed else {ERRORED_STATE, _LOCK_FILE}
    return path.parent == work.directory and path.name in made


def _files(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in (*files, *links):
            yield Path(folder, name).relative_to(root).as_posix()


def _add(tar: tarfile.TarFile, root: Path, relative: str) -> None:
    path, entry = root / relative, tarfile.TarInfo(relative)
    if path.is_symlink():
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
        target = normpath(join(os.path.dirname(relative), entry.linkname))
        if entry.linkname.startswith("/") or target.startswith("../") or target == "..":
            raise EnvironmentFault(
                ErrorKind.CONFIG,
                f"The symbolic link {relative} leads out of what is uploaded to the platform, so no run was made. "
                "Give the workspace a working directory, so that the whole repository is uploaded, or list the link "
                f"in {_IGNORE_FILE}.",
            )
        tar.addfile(entry)
        return
    content = path.read_bytes()
    entry.size, entry.mode = len(content), 0o755 if os.access(path, os.X_OK) else 0o644
    tar.addfile(entry, io.BytesIO(content))
