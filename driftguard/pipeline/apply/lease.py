"""Holding a lease for as long as some work takes, with a heartbeat."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from driftguard.errors import DriftGuardError
from driftguard.model import Lease
from driftguard.ports import Clock, Leases


@contextmanager
def hold(
    leases: Leases, name: str, holder: str, ttl_seconds: float, clock: Clock, on_lost: Callable[[], None]
) -> Iterator[Callable[[], bool] | None]:
    """Hold a lease; yields what says whether it is still held, or None if another one has it.

    Args:
        ttl_seconds: how long a holder that died keeps others waiting.
        on_lost: called, in another thread, when the lease is lost.
    """
    lease = leases.acquire(name, holder, clock.now(), ttl_seconds)
    if lease is None:
        yield None
        return
    heart = _Heart(leases, lease, clock, ttl_seconds, on_lost)
    heart.start()
    try:
        yield heart.beating
    finally:
        heart.stop()


class _Heart:
    """Renews a lease from a thread of its own until told to stop."""

    def __init__(
        self, leases: Leases, lease: Lease, clock: Clock, ttl_seconds: float, on_lost: Callable[[], None]
    ) -> None:
        self._leases, self._lease, self._clock = leases, lease, clock
        self._ttl_seconds, self._on_lost = ttl_seconds, on_lost
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._beat, name=f"lease of {lease.environment}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def beating(self) -> bool:
        # The thread may not have run: a machine that was suspended wakes up with a lease that ran out long ago.
        return not self._lost and self._clock.now() < self._lease.expires_at

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(DriftGuardError):  # the ledger is away, and the lease runs out by itself
            self._leases.release(self._lease)

    def _beat(self) -> None:
        while not self._ended.wait(self._ttl_seconds / 3):
            try:
                renewed = self._leases.renew(self._lease, self._clock.now(), self._ttl_seconds)
            except DriftGuardError:
                # The ledger is away; it may be back before the lease runs out.
                renewed = self._lease if self._clock.now() < self._lease.expires_at else None
            if renewed is None:
                self._lost = True
                self._on_lost()
                return
            self._lease = renewed
