"""Contents of Git LFS: fetched one by one into our mirror, and written into work trees by us.

No filter of any configuration runs on a checkout. The server is named by the commit's `.lfsconfig`, so only hosts that
the operator trusts are asked: the repository's own, and those of `allow_hosts`.
"""

from __future__ import annotations

import configparser
import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from driftguard.adapters.git.commands import attempt, commands
from driftguard.adapters.git.locations import Location
from driftguard.adapters.git.submodules import host_of

_SECONDS: Final = 300.0
_MAX_BYTES: Final = 64 << 20
_POINTER: Final = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n?"
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a pointer file names: the SHA-256 of its content (hex) and its size in bytes."""

    oid: str
    size: int

    @classmethod
    def read(cls, text: bytes) -> Pointer | None:
        """The pointer that a file is; None for any other file."""
        match = _POINTER.fullmatch(text)
        return cls(match[1].decode(), int(match[2])) if match else None


class LfsContents:
    """The contents of one repository's pointers.

    Args:
        mirror: our bare copy, which keeps what was fetched.
        location: the repository's own, whose credentials go to its own host alone.
        configured: gives the text of the `.lfsconfig` of the tracked commit; None without one.
    """

    def __init__(self, mirror: Path, location: Location, configured: Callable[[], bytes | None]) -> None:
        self._mirror, self._location, self._configured = mirror, location, configured
        self.allow_hosts: Sequence[str] = ()
        self._refused: dict[str, str | None] = {}
        self._guard = threading.Lock()

    def missing(self, pointers: Mapping[str, bytes]) -> dict[str, str]:
        """Why the content of a pointer is not here, by the name that it was given; others are fetched."""
        found = {name: self._obtained(Pointer.read(text)) for name, text in pointers.items()}
        return {name: reason for name, reason in found.items() if reason is not None}

    def write(self, text: bytes, file: Path) -> None:
        """Write the content of a pointer over a file of a work tree, if it is here."""
        pointer = Pointer.read(text)
        if pointer is not None and self._is_here(pointer) and file.is_file() and not file.is_symlink():
            mode = file.stat().st_mode
            file.unlink()
            shutil.copyfile(self._place(pointer), file)
            file.chmod(mode)

    def _obtained(self, pointer: Pointer | None) -> str | None:
        if pointer is None:
            return "it is damaged"
        with self._guard:
            if self._is_here(pointer):
                return None
            if pointer.oid not in self._refused:
                self._refused[pointer.oid] = self._fetched(pointer)
            return self._refused[pointer.oid]

    def _fetched(self, pointer: Pointer) -> str | None:
        """Fetch a content; why it cannot be had, or None."""
        if pointer.size > _MAX_BYTES:
            return f"its content of {pointer.size} bytes is larger than the {_MAX_BYTES >> 20} MiB that are fetched"
        url = self._url()
        host, own = host_of(url), host_of(self._location.source)
        if host != own and not any(fnmatchcase(host, pattern) for pattern in self.allow_hosts):
            where = host or "this machine's disk"
            return f"its server is {where}; `allow_hosts` in the operator's file allows that"
        runner = commands(self._mirror, GIT_DIR=str(self._mirror))
        settings = {"lfs.url": url, "remote.origin.url": url, "core.hooksPath": self._mirror / "lfs" / "hooks"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{pointer.oid}\nsize {pointer.size}\n"
        credentials = self._location.variables() if host == own else {}
        status, _, error = attempt(
            runner, *options, "lfs", "smudge", seconds=_SECONDS, variables=credentials, stdin=text
        )
        if self._is_here(pointer):
            return None
        if "'lfs' is not a git command" in error:
            return "its content was not fetched, because `git lfs` is not installed on this machine"
        return f"its content could not be fetched from {host or 'the repository'} (git lfs ended with {status})"

    def _url(self) -> str:
        """The address of the server: that of `.lfsconfig`, else the one that belongs to the repository."""
        configured = _configured_url(self._configured() or b"")
        if configured is not None:
            return configured
        source = self._location.source
        if "://" not in source and Path(source).is_absolute():
            return f"file://{source}"
        if urlsplit(source).scheme in ("http", "https"):
            plain = source.rstrip("/")
            return f"{plain if plain.endswith('.git') else f'{plain}.git'}/info/lfs"
        return source

    def _place(self, pointer: Pointer) -> Path:
        return self._mirror / "lfs" / "objects" / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid

    def _is_here(self, pointer: Pointer) -> bool:
        """Whether the content is here and is what the pointer names, whatever a server sent."""
        try:
            with self._place(pointer).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == pointer.oid
        except OSError:
            return False


def _configured_url(text: bytes) -> str | None:
    parser = configparser.ConfigParser(interpolation=None, strict=False, comment_prefixes=("#", ";"))
    try:
        parser.read_string("\n".join(line.strip() for line in text.decode(errors="replace").splitlines()))
    except configparser.Error:
        return None
    url = parser.get("lfs", "url", fallback=None)
    return url.strip('"') if url else None
