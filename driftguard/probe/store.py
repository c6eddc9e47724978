"""Keeps records of plans between runs: compressed and sealed, because questions to providers hold secrets.

AES-256-GCM under a key that is derived from the ledger's; the environment's name is bound to what is sealed, so that
one record never stands for another. Whatever cannot be opened is no record.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from driftguard.model.talks import ProviderSession

_PURPOSE: Final = b"driftguard probe records 1"
_NONCE_BYTES: Final = 12
_DISTRUSTED: Final = "distrusted"
_CHANGES: Final = "changes"


class PlanRecord(msgspec.Struct, frozen=True):
    """One plan of one environment, as a probe needs it.

    Attributes:
        key: everything but the providers' answers that the plan follows from, by name, as digests.
        state: the stored state's stamp before and after the plan.
        at: when the plan was made.
        sessions: what was asked.
        plan: the plan itself, as the pipeline keeps it.
    """

    key: Mapping[str, str]
    state: str
    at: datetime
    sessions: tuple[ProviderSession, ...]
    plan: msgspec.Raw

    def is_fresh(self, now: datetime, max_age: timedelta) -> bool:
        """Whether the plan is young enough to be confirmed; one of after now, made under a wrong clock, is not."""
        return timedelta(0) <= now - self.at <= max_age


class RecordStore:
    """The records of one repository.

    Args:
        folder: one file (0600) for each environment.
        ledger_key: the ledger's secret.
    """

    def __init__(self, folder: Path, ledger_key: bytes) -> None:
        self._folder = folder
        self._secret = derived_key(ledger_key, _PURPOSE)

    def read(self, environment: str) -> PlanRecord | None:
        """The record of an environment; None where there is none that can be opened."""
        from cryptography.exceptions import InvalidTag

        try:
            sealed = self._path(environment).read_bytes()
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            text = zlib.decompress(self._box().decrypt(nonce, rest, environment.encode()))
            return msgspec.msgpack.decode(text, type=PlanRecord)
        except (OSError, InvalidTag, ValueError, zlib.error):
            return None

    def keep(self, environment: str, record: PlanRecord) -> None:
        """Put a record in the place of an earlier one."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        nonce = os.urandom(_NONCE_BYTES)
        text = zlib.compress(msgspec.msgpack.encode(record), 1)
        path = self._path(environment)
        beside = path.with_suffix(f".{os.getpid()}")
        with open(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(nonce + self._box().encrypt(nonce, text, environment.encode()))
        beside.replace(path)

    def drop(self, environment: str) -> None:
        """Forget an environment's record, if there is one."""
        with suppress(FileNotFoundError):
            self._path(environment).unlink()

    def distrust(self, providers: Sequence[str]) -> None:
        """Remember that an audit found probes of these providers wrong; deleting the file ends it."""
        self._set_distrusted(self.distrusted() | set(providers))

    def trust(self, providers: Sequence[str]) -> None:
        """Forget that."""
        self._set_distrusted(self.distrusted() - set(providers))

    def count_changes(self, types: Sequence[str]) -> None:
        """Count that probes found these types changed; a hint for later probes, which may be lost."""
        if types:
            self._write(_CHANGES, Counter(self.changes()) + Counter(types))

    def changes(self) -> Mapping[str, int]:
        """How often probes found each type changed."""
        try:
            return msgspec.json.decode((self._folder / _CHANGES).read_bytes(), type=dict[str, int])
        except (FileNotFoundError, ValueError):
            return {}

    def _set_distrusted(self, providers: Set[str]) -> None:
        self._write(_DISTRUSTED, sorted(providers))

    def _write(self, name: str, value: object) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self._folder / f"{name}.{os.getpid()}"
        beside.write_bytes(msgspec.json.encode(value))
        beside.replace(self._folder / name)

    def distrusted(self) -> Set[str]:
        """The providers that are probed no more."""
        try:
            return msgspec.json.decode((self._folder / _DISTRUSTED).read_bytes(), type=frozenset[str])
        except FileNotFoundError:
            return frozenset()

    def _box(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._secret)

    def _path(self, environment: str) -> Path:
        return self._folder / f"{hashlib.sha256(environment.encode()).hexdigest()[:32]}.record"


def derived_key(secret: bytes, purpose: bytes) -> bytes:
    """A key of 32 bytes for one purpose."""
    return hmac.digest(secret, purpose, "sha256")
