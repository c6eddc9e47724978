"""The ledger: the journal, leases, attempts and the clock they go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from driftguard.model import Attempt, AttemptStep, Baseline, ChainFault, Entry, EntryKind, Lease
from driftguard.model.digests import Digests
from driftguard.model.looks import Look, WatchDay


class Clock(Protocol):
    """The time. The only source of `now` in a run."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...


class Journal(Protocol):
    """Writes the append-only journal."""

    def append(self, *entries: Entry) -> None:
        """Append entries in one transaction, chained to what is there. Durable on return."""
        ...


class JournalReader(Protocol):
    """Reads the journal."""

    def entries(
        self,
        *,
        environment: str | None = None,
        kinds: Sequence[EntryKind] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """Entries that match all that is given, oldest first; `limit` keeps the newest ones."""
        ...

    def latest(self, kind: EntryKind, until: datetime | None = None) -> Mapping[str, Entry]:
        """The newest entry of a kind for each environment."""
        ...

    def looks(self, until: datetime | None = None) -> Mapping[str, Look]:
        """The newest look at each environment that confirmed a report."""
        ...


class LookKeeper(Protocol):
    """Keeps the looks that confirm reports, which stand beside the journal, not in it."""

    @property
    def looks_interval(self) -> timedelta:
        """How often looks are kept at most, because a write costs more than a row."""
        ...

    def keep_looks(self, looks: Sequence[Look], days: Sequence[WatchDay] = ()) -> None:
        """Keep looks in the place of earlier ones, and add to what the watch did, in one transaction."""
        ...


class LedgerCheck(Protocol):
    """Checks the journal's hash chain."""

    def verify(self) -> tuple[ChainFault, ...]:
        """Every place where the chain does not hold; empty for a sound ledger."""
        ...


class DigestKey(Protocol):
    """Keeps the secret for keyed digests."""

    def key(self) -> bytes:
        """The secret; created once and kept with the ledger."""
        ...


class Baselines(Protocol):
    """The baseline of each environment: the newest move in the journal."""

    def baseline(self, environment: str) -> Baseline | None:
        """The environment's baseline, or None before the first."""
        ...

    def replace_baseline(self, before: Baseline | None, moved: Entry) -> bool:
        """Journal the move of a baseline unless it is not `before` any more: another run moved it.

        Whether it was journalled. A move that nothing can forestall is appended to the journal like any entry.
        """
        ...

    def digests(self, environment: str) -> Digests | None:
        """The digests of the baseline in force; None where there are none of that one."""
        ...

    def keep_digests(self, environment: str, baseline: Baseline, digests: Digests) -> None:
        """Replace the environment's digests by those of a baseline; they stand beside the journal, not in it.

        Nothing where the baseline is not in force any more: the digests of the one that is are kept.
        """
        ...


class RunLedger(Journal, JournalReader, LookKeeper, Baselines, Protocol):
    """The ledger as a run holds it."""


class Leases(Protocol):
    """Who may act on an environment; at most one holder at any time."""

    def acquire(self, environment: str, holder: str, now: datetime, ttl_seconds: float) -> Lease | None:
        """Take or keep the lease; None while another holder's has not expired."""
        ...

    def renew(self, lease: Lease, now: datetime, ttl_seconds: float) -> Lease | None:
        """Extend a lease still held; None when it was lost."""
        ...

    def release(self, lease: Lease) -> None:
        """Give the lease back if it is still held; otherwise nothing."""
        ...


class AttemptHistory(Protocol):
    """Reads earlier applies."""

    def unfinished(self, environment: str) -> tuple[Attempt, ...]:
        """Attempts that were opened and never ended, oldest first."""
        ...

    def recent(self, environment: str, since: datetime) -> tuple[Attempt, ...]:
        """Attempts opened at or after `since`, oldest first."""
        ...

    def unsettled(self, environment: str) -> tuple[Attempt, ...]:
        """Attempts after the last one that succeeded, of any age, oldest first."""
        ...


class Attempts(AttemptHistory, Protocol):
    """Applies, recorded before their effect."""

    def open(self, attempt: Attempt, entry: Entry) -> bool:
        """Record an attempt durably, with its opening in the journal.

        False when one with the same environment, commit, plan fingerprint and retry exists that is not void.
        """
        ...

    def advance(self, attempt_id: str, step: AttemptStep) -> Attempt:
        """Take an attempt one step on, merging the step's data; journalled in the same transaction."""
        ...
