"""The file system that a path is on, as far as it is one of another machine: SQLite's locks do not reach through it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

from driftguard.adapters.process import run

_SECONDS: Final = 5.0
_NETWORK: Final = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|smbnetfs|afpfs|webdav|davfs|9p|afs|beegfs|ceph|glusterfs|gpfs|lustre|ocfs2|gfs2|orangefs"
    r"|\w+\.(?:sshfs|s3fs|rclone|glusterfs|ceph|gcsfuse|mount-s3|mountpoint-s3|blobfuse2?|davfs2?|juicefs|objectivefs)"
    r"|\w+\.[\w.-]*(?:nfs|s3|sftp|smb)[\w.-]*|osxfuse|macfuse"
)
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
# macOS: `server:/export on /Volumes/data (nfs, nodev, nosuid)`.
_MOUNT_LINE: Final = re.compile(r".* on (/.*) \(([^,()]+)(?:,[^()]*)?\)")


def network_filesystem(path: Path) -> str | None:
    """The type of the file system of another machine that a path is on, such as `nfs4`; None for a local one.

    None also where this machine does not list its mounts.
    """
    try:
        darwin = sys.platform == "darwin"
        text = _mount_output() if darwin else Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        return network_type(path.resolve(), text)
    except (OSError, RuntimeError):
        return None


def network_type(path: PurePath, text: str) -> str | None:
    """As `network_filesystem`, from the text of `/proc/self/mountinfo` or the output of macOS's `mount`.

    Args:
        path: absolute, without links.
    """
    found, depth = "", -1
    for point, kind in _of_linux(text) if re.match(r"\d+ \d+ \d+:\d+ ", text) else _of_macos(text):
        parts = PurePosixPath(point).parts
        # The innermost mount counts; of equal ones the last, which covers the others.
        if len(parts) >= depth and path.parts[: len(parts)] == parts:
            found, depth = kind, len(parts)
    return found if _NETWORK.fullmatch(found) else None


def _of_linux(text: str) -> Iterator[tuple[str, str]]:
    """Mount points and types of https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html, in their order."""
    for line in text.splitlines():
        fields, dash, rest = line.partition(" - ")
        parts = fields.split(" ")
        if dash and len(parts) > 4 and rest:
            yield _ESCAPE.sub(lambda code: chr(int(code[1], 8)), parts[4]), rest.split(" ")[0]


def _of_macos(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := _MOUNT_LINE.fullmatch(line):
            yield found[1], found[2]


def _mount_output() -> str:
    import tempfile

    with tempfile.TemporaryFile() as output:
        run(["/sbin/mount"], directory=Path("/"), environment={}, timeout_seconds=_SECONDS, stdout_file=output)
        output.seek(0)
        return output.read().decode(errors="surrogateescape")
