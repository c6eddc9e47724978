"""The provider programs that `init` selected, each held against the lock file's checksum.

Terraform checks no provider that it is attached to, so the tap does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

LOCK_FILE: Final = ".terraform.lock.hcl"
# Written by Terraform alone, always in this one form.
_PROVIDER: Final = re.compile(r'^provider "([^"]+)" \{\n  version\s*= "([^"]+)"(.*?)^\}', re.MULTILINE | re.DOTALL)
_HASH: Final = re.compile(r'"(h1:[^"]+)"')


class NotVerified(Exception):
    """A provider package that is not there, or not the one of the lock file; the message names it."""


@dataclass(frozen=True, slots=True)
class Locked:
    """One provider of a lock file: its version and the `h1` checksums that it may have."""

    version: str
    hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Package:
    """One verified provider program; `checksum` is the `h1` of its folder."""

    address: str
    binary: str
    checksum: str


def locked_providers(text: str) -> Mapping[str, Locked]:
    """The providers of a lock file's text, by address."""
    return {m[1]: Locked(m[2], frozenset(_HASH.findall(m[3]))) for m in _PROVIDER.finditer(text)}


class Packages:
    """Finds and verifies provider programs; each state of their files is read once, and remembered on disk.

    Args:
        memory: the file of remembered checksums, sealed with the key, so that no others are believed.
    """

    def __init__(self, memory: Path, key: bytes) -> None:
        self._memory, self._key = memory, key
        self._checksums: dict[str, str] = _remembered(memory, key)

    def verified(self, data_dir: Path, lock_text: str) -> tuple[Package, ...]:
        """Every provider of an initialised data directory, sorted by address.

        Raises:
            NotVerified: one is missing, has no `h1` in the lock file, or another checksum.
        """
        return tuple(
            self._package(data_dir, address, locked) for address, locked in sorted(locked_providers(lock_text).items())
        )

    def _package(self, data_dir: Path, address: str, locked: Locked) -> Package:
        version = data_dir / "providers" / address / locked.version
        folder = next(iter(sorted(version.glob("*"))), version).resolve()
        programs = sorted(folder.glob("terraform-provider-*"))
        if not programs:
            raise NotVerified(f"{address} {locked.version} is not installed")
        checksum = self._checksum(folder)
        if checksum not in locked.hashes:
            raise NotVerified(f"{address} {locked.version} is not the one of the lock file")
        return Package(address, str(programs[0]), checksum)

    def _checksum(self, folder: Path) -> str:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        identity = _identity(files)
        if identity not in self._checksums:
            self._checksums[identity] = h1(folder, files)
            if _identity(files) != identity:
                raise NotVerified(f"{folder.name} changed while it was read")
            self._remember()
        return self._checksums[identity]

    def _remember(self) -> None:
        text = msgspec.json.encode(self._checksums)
        self._memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self._memory.with_name(f"{self._memory.name}.{os.getpid()}")
        beside.write_bytes(hmac.digest(self._key, text, "sha256") + text)
        beside.replace(self._memory)


def h1(folder: Path, files: list[Path]) -> str:
    """Go's `dirhash.Hash1` of a folder, as it stands in lock files."""
    lines = []
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in files):
        with path.open("rb") as stream:
            lines.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}\n")
    return "h1:" + base64.b64encode(hashlib.sha256("".join(lines).encode()).digest()).decode()


def _identity(files: list[Path]) -> str:
    found = [(str(p), s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for p in files for s in [p.stat()]]
    return hashlib.sha256(msgspec.json.encode(found)).hexdigest()


def _remembered(memory: Path, key: bytes) -> dict[str, str]:
    try:
        sealed = memory.read_bytes()
    except OSError:
        return {}
    seal, text = sealed[:32], sealed[32:]
    if not hmac.compare_digest(seal, hmac.digest(key, text, "sha256")):
        return {}
    return msgspec.json.decode(text, type=dict[str, str])
