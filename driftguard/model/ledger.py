"""What the ledger keeps: entries, leases, attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

#: The longest that a lease may run.
MAX_LEASE: Final = timedelta(days=1)


class EntryKind(StrEnum):
    """What a ledger entry records."""

    RUN_STARTED = "run_started"
    RUN_FINISHED = "run_finished"
    SCANNED = "scanned"
    BASELINE_MOVED = "baseline_moved"
    ATTEMPT_OPENED = "attempt_opened"
    ATTEMPT_PROGRESS = "attempt_progress"
    ATTEMPT_FINISHED = "attempt_finished"
    RETRY_REQUESTED = "retry_requested"
    BASELINE_GIVEN = "baseline_given"
    ENVIRONMENT_FORGOTTEN = "environment_forgotten"
    ALERT = "alert"
    ALERT_DELIVERED = "alert_delivered"
    PROPOSAL = "proposal"
    APPROVED = "approved"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    SINK_FAILED = "sink_failed"
    SINK_WORKS = "sink_works"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the append-only, hash-chained journal.

    `data` is JSON-able and redacted before it gets here. `sequence` and `hash` are assigned by the ledger. `kind` is
    plain text only where a newer DriftGuard wrote it.
    """

    kind: EntryKind | str
    at: datetime
    run_id: str
    environment: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    sequence: int | None = None
    hash: str | None = None


@dataclass(frozen=True, slots=True)
class ChainFault:
    """One place where the journal's hash chain does not hold."""

    sequence: int
    message: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one holder to act on one environment until `expires_at` (UTC)."""

    environment: str
    holder: str
    expires_at: datetime


class AttemptState(StrEnum):
    """How far an apply got. `open` without an end is an apply whose process died."""

    OPEN = "open"
    APPLYING = "applying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One apply, opened before anything changes.

    Unique on environment, commit, plan fingerprint and retry, not counting void attempts: they changed nothing.
    `retry` counts up when the same apply is tried again after a failure. `sequence` is that of its opening in the
    journal; the ledger assigns it.
    """

    id: str
    environment: str
    commit: str
    plan_fingerprint: str
    drift_fingerprint: str | None
    run_id: str
    state: AttemptState
    opened_at: datetime
    finished_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    retry: int = 0
    sequence: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AttemptStep:
    """The move of an attempt to another state, or a fact noted in the same one.

    Attributes:
        data: what is new.
        entry: the step in the journal; its `at` is the time of the step.
    """

    state: AttemptState
    data: Mapping[str, Any]
    entry: Entry
