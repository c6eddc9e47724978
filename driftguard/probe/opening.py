"""Makes the probe of one repository, where what it needs is installed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from driftguard.config import ProbeSettings
from driftguard.ports import Clock, Probe, ProviderTap, Repository, StateStamps

_NEEDED: Final = ("grpc", "hpack", "cryptography")


@dataclass(frozen=True, slots=True)
class OpenedProbe:
    """What records plans, and what looks at environments without them."""

    tap: ProviderTap
    probe: Probe


def missing() -> tuple[str, ...]:
    """The packages of the extra `probe` that are not installed."""
    return tuple(name for name in _NEEDED if find_spec(name) is None)


def open_probe(
    settings: ProbeSettings,
    folder: Path,
    ledger_key: bytes,
    *,
    stamps: StateStamps,
    repository: Repository,
    clock: Clock,
    closing: ExitStack,
) -> OpenedProbe | None:
    """The probe of a repository; None where it is switched off, or not installed.

    Args:
        folder: for its records.
        ledger_key: the ledger's secret, from which its keys are derived.
        closing: ends what was started for plans.
    """
    if not settings.enabled or missing():
        return None
    from driftguard.probe.looking import RecordingProbe
    from driftguard.probe.memo import MemoStore
    from driftguard.probe.packages import Packages
    from driftguard.probe.store import RecordStore
    from driftguard.probe.tap import Tap

    store = RecordStore(folder, ledger_key)
    probe = RecordingProbe(
        ledger_key=ledger_key,
        store=store,
        packages=Packages(folder.parent / "checksums", ledger_key),
        stamps=stamps,
        repository=repository,
        clock=clock,
        max_age=settings.max_age,
        processes=settings.processes,
    )
    memo = MemoStore(folder.parent / "answers", ledger_key) if settings.memo else None
    tap = Tap(probe.secret, probe.packages, store, memo)
    closing.callback(tap.close)
    return OpenedProbe(tap, probe)
