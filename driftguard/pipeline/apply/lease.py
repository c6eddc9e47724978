"""Holding a lease for as long as some work takes, with a heartbeat that renews it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from driftguard.errors import DriftGuardError
from driftguard.model import Lease
from driftguard.ports import Clock, Leases, StopSignal


@contextmanager
def hold(
    leases: Leases, name: str, holder: str, ttl_seconds: float, clock: Clock, stop: StopSignal | None = None
) -> Iterator[HeldLease | None]:
    """Hold a lease; yields None if another holder has it.

    Args:
        ttl_seconds: how long a holder that died keeps others waiting.
        stop: requested, from another thread, when the lease is lost.
    """
    lease = leases.acquire(name, holder, clock.now(), ttl_seconds)
    if lease is None:
        yield None
        return
    held = HeldLease(leases, lease, clock, ttl_seconds, stop)
    held.start()
    try:
        yield held
    finally:
        held.end()


class HeldLease:
    """A lease, renewed from a thread of its own until the end."""

    def __init__(self, leases: Leases, lease: Lease, clock: Clock, ttl_seconds: float, stop: StopSignal | None) -> None:
        self._leases, self._lease, self._clock = leases, lease, clock
        self._ttl_seconds, self._stop = ttl_seconds, stop
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._renew, name=f"lease of {lease.environment}", daemon=True)

    def start(self) -> None:
        """Begin to renew it."""
        self._thread.start()

    def still_held(self) -> bool:
        """Whether it is still held."""
        # The thread may not have run: a machine that was suspended wakes up with a lease that ran out long ago.
        return not self._lost and self._clock.now() < self._lease.expires_at

    def end(self) -> None:
        """End the renewal and give the lease back."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(DriftGuardError):  # the ledger is away, and the lease runs out by itself
            self._leases.release(self._lease)

    def _renew(self) -> None:
        while not self._ended.wait(self._ttl_seconds / 3):
            try:
                renewed = self._leases.renew(self._lease, self._clock.now(), self._ttl_seconds)
            except DriftGuardError:
                # The ledger is away; it may be back before the lease runs out.
                renewed = self._lease if self._clock.now() < self._lease.expires_at else None
            if renewed is None:
                self._lost = True
                if self._stop is not None:
                    self._stop.request()
                return
            self._lease = renewed
