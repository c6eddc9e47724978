"""Remembers a provider's answers that follow from its program, its variables and the question alone.

With provider AWS 5 two thirds of a plan's CPU go into schemas and the validation of a configuration. An answer is given
from memory once two provider processes have given the same one; one that ever differed is never given again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from driftguard.model.talks import SCHEMA_CALLS, STATIC_CALLS
from driftguard.probe.keys import SESSION_VARIABLES, provider_variables
from driftguard.probe.packages import Package
from driftguard.probe.store import derived_key

#: Providers whose schema and validation calls were tried and read: they keep nothing in the process that a later call
#: needs (terraform-plugin-sdk v2, terraform-plugin-framework, terraform-plugin-mux), and their validation looks at
#: neither files nor the cloud. Any other provider answers for itself.
MEMO_PROVIDERS: Final = frozenset({"registry.terraform.io/hashicorp/aws", "registry.opentofu.org/hashicorp/aws"})
#: The calls that are remembered. `Stop` has an effect.
MEMO_CALLS: Final = (SCHEMA_CALLS | STATIC_CALLS) - {"Stop", "StopProvider"}
_PURPOSE: Final = b"driftguard probe memo 1"
_NONCE_BYTES: Final = 12
_MAX_BYTES: Final = 512 << 20
_MAX_ANSWERS: Final = 50_000
_WANTED: Final = 2  # equal answers, of different processes, before one is believed


class ProviderAnswer(msgspec.Struct, frozen=True):
    """A provider's answer to one question; not `implemented`: it does not know the call, which Terraform can take."""

    body: bytes = b""
    implemented: bool = True


class _Remembered(msgspec.Struct, frozen=True):
    """What is known of one answer; `times` 0: it differs from process to process."""

    times: int
    answer: ProviderAnswer = ProviderAnswer()


class MemoStore:
    """The memory of all providers of one repository; sealed files (0600) under one folder.

    Args:
        ledger_key: the ledger's secret.
        providers: the addresses that are remembered.
    """

    def __init__(self, folder: Path, ledger_key: bytes, providers: frozenset[str] = MEMO_PROVIDERS) -> None:
        self._folder, self._providers = folder, providers
        self._secret = derived_key(ledger_key, _PURPOSE)

    def of(self, package: Package, variables: Mapping[str, str], *, answers: bool) -> Memo | None:
        """The memory for one provider program with its variables; None for a provider that is not remembered.

        Args:
            variables: of the provider's process; those of Terraform and of a session's credentials do not count.
            answers: whether answers are given from it; if not, it only learns and compares.
        """
        if package.address not in self._providers:
            return None
        shared = provider_variables(variables)
        lasting = sorted((name, value) for name, value in shared.items() if name not in SESSION_VARIABLES)
        what = msgspec.json.encode([package.address, package.checksum, lasting])
        return Memo(self, hmac.digest(self._secret, what, "sha256"), answers=answers)

    def read(self, name: str) -> _Remembered | None:
        """What is known under a name; None where nothing is, or nothing that can be opened."""
        from cryptography.exceptions import InvalidTag

        try:
            path = self._path(name)
            sealed = path.read_bytes()
            text = self._box().decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
            return msgspec.msgpack.decode(zlib.decompress(text), type=_Remembered)
        except (OSError, InvalidTag, ValueError, zlib.error):
            return None

    def keep(self, name: str, found: _Remembered) -> None:
        """Put what is known in the place of what was known before."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._box().encrypt(nonce, zlib.compress(msgspec.msgpack.encode(found), 1), name.encode())
        beside = path.with_suffix(f".{os.getpid()}")
        with open(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(sealed)
        beside.replace(path)

    def prune(self) -> None:
        """Delete the oldest answers beyond the bounds of the folder."""
        found = []
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        kept, total = 0, 0
        for _, size, path in sorted(found, reverse=True):
            kept, total = kept + 1, total + size
            if kept > _MAX_ANSWERS or total > _MAX_BYTES:
                path.unlink(missing_ok=True)

    def _box(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._secret)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name[2:]


class Memo:
    """The memory for one provider program with one set of variables, during one plan.

    Attributes:
        wrong: the calls whose answer was another one than an earlier process gave.
    """

    def __init__(self, store: MemoStore, key: bytes, *, answers: bool) -> None:
        self._store, self._key, self._answers = store, key, answers
        self._learned: set[str] = set()
        self.wrong: list[str] = []

    def answer(self, method: str, request: bytes) -> ProviderAnswer | None:
        """The answer to a question, where it is known and believed."""
        if not self._answers or method.rpartition("/")[2] not in MEMO_CALLS:
            return None
        known = self._store.read(self._name(method, request))
        return known.answer if known is not None and known.times >= _WANTED else None

    def learn(self, method: str, request: bytes, answer: ProviderAnswer) -> None:
        """Remember what a provider process answered; each question counts once in a plan."""
        if method.rpartition("/")[2] not in MEMO_CALLS:
            return
        name = self._name(method, request)
        if name in self._learned:
            return
        self._learned.add(name)
        known = self._store.read(name)
        if known is None:
            self._store.keep(name, _Remembered(1, answer))
        elif known.times and known.answer != answer:
            self.wrong.append(method.rpartition("/")[2])
            self._store.keep(name, _Remembered(0))
        elif 0 < known.times < _WANTED:
            self._store.keep(name, _Remembered(known.times + 1, answer))

    @property
    def protocol(self) -> int | None:
        """The plugin protocol of the provider, where it is known."""
        known = self._store.read(self._name("protocol", b""))
        return int(known.answer.body) if known is not None and known.answer.body.isdigit() else None

    @protocol.setter
    def protocol(self, protocol: int) -> None:
        if self.protocol != protocol:
            self._store.keep(self._name("protocol", b""), _Remembered(_WANTED, ProviderAnswer(str(protocol).encode())))

    def _name(self, method: str, request: bytes) -> str:
        return hmac.new(self._key, method.encode() + b"\0" + request, hashlib.sha256).hexdigest()
