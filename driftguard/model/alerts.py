"""Alerts about an environment, the steps of their life, and how those are delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from driftguard.model.ledger import Entry
from driftguard.model.moments import is_ahead
from driftguard.model.report import EnvironmentReport
from driftguard.model.traces import ObjectTrace


class AlertKind(StrEnum):
    """What an alert is about. An environment has at most one of each at any time."""

    DRIFT = "drift"
    PENDING = "pending"
    UNKNOWN = "unknown"
    PROBE = "probe"


class AlertState(StrEnum):
    """How far an alert is. A watched one is not sent yet: it waits for an age or a number of runs."""

    WATCHED = "watched"
    OPEN = "open"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How urgent an alert is; routes choose by it."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AlertEvent(StrEnum):
    """A step in an alert's life that is sent; `refreshed` only updates messages that are there."""

    OPENED = "opened"
    CHANGED = "changed"
    REFRESHED = "refreshed"
    REMINDED = "reminded"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    WORSE = "worse"
    ACKNOWLEDGED = "acknowledged"
    DAMPED = "damped"
    STEADY = "steady"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The word of an operator that an alert, or an environment's alerts, are known; None as `until` is no end.

    Attributes:
        severity: the highest that it covers: a worse change ends it.
    """

    by: str
    at: datetime
    reason: str
    until: datetime | None = None
    severity: Severity = Severity.CRITICAL

    def stands(self, now: datetime) -> bool:
        """Whether its time has not ended. One with an end that was given under a clock that was ahead never stands."""
        return self.until is None or (now < self.until and not is_ahead(self.at, now))

    def covers(self, severity: Severity, now: datetime) -> bool:
        """Whether it still holds for an alert of this severity."""
        order = list(Severity)
        return self.stands(now) and order.index(severity) <= order.index(self.severity)

    @property
    def text(self) -> str:
        """Who, until when, and why, after "acknowledged" or "silenced"."""
        until = f" until {self.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.until is not None else ""
        return f"by {self.by or 'an operator'}{until}: {self.reason}"


@dataclass(frozen=True, slots=True)
class AckClick:
    """A member's click on the button that acknowledges alerts.

    Attributes:
        member: the member's id at the service.
        value: what the button stands for.
    """

    member: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Damping:
    """What an alert remembers of changes that come and go: what keeps changing is reported once, then no more.

    Objects are the addresses of drifted resources, the ids of pending commits, or the kind of an error.

    Attributes:
        moments: by object, its latest changes within the configured time, oldest first.
        restless: the objects that were reported to come and go, each with the moment from which it counts as steady.
        peak: the highest severity within that time.
        lost: the resources that were deleted, or that an apply would have destroyed, within that time.
        gone: whether nothing of it is there at the moment, though the alert stays open until that is steady.
    """

    moments: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)
    restless: Mapping[str, datetime] = field(default_factory=dict)
    peak: Severity = Severity.INFO
    lost: tuple[str, ...] = ()
    gone: bool = False

    def not_after(self, now: datetime) -> Damping:
        """The same without the moments after now, those of a wrong clock; what is restless is steady again then."""
        moments = {key: tuple(min(at, now) for at in ats) for key, ats in self.moments.items()}
        ahead = {key for key, ats in self.moments.items() if any(is_ahead(at, now) for at in ats)}
        return replace(
            self, moments=moments, restless={key: now if key in ahead else end for key, end in self.restless.items()}
        )


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it stands.

    Attributes:
        fingerprint: what it is about exactly: equal fingerprints mean that there is no news.
        cause: equal for alerts of different environments that have the same cause.
        first_seen_at: when the cause was first seen, before the alert was sent.
        passes: runs in a row that saw it.
        reminders: how many of the configured reminders were sent.
        report: an excerpt of the environment's report as last seen; redacted like every report.
        traces: by resource address, who changed it and who wrote its block.
        resolution: how it was resolved, in one sentence; None before.
        failure: the error of an apply that failed and that no later one has made good; None without one.
        acked: the operator's word that it is known; stops reminders and escalation until it ends.
        damping: what it remembers of changes that come and go; None without any.
    """

    id: str
    environment: str
    kind: AlertKind
    state: AlertState
    severity: Severity
    fingerprint: str
    cause: str
    first_seen_at: datetime
    changed_at: datetime
    report: EnvironmentReport = field(repr=False)
    opened_at: datetime | None = None
    resolved_at: datetime | None = None
    passes: int = 1
    reminders: int = 0
    traces: Mapping[str, ObjectTrace] = field(default_factory=dict)
    resolution: str | None = None
    failure: str | None = None
    acked: Acknowledgement | None = None
    damping: Damping | None = None

    @property
    def gone(self) -> bool:
        """Whether nothing of an open alert that comes and goes is there at the moment."""
        return self.damping is not None and self.damping.gone

    @property
    def comes_and_goes(self) -> bool:
        """Whether something of an open alert was reported to come and go, and is not steady yet."""
        return self.damping is not None and bool(self.damping.restless) and self.state is AlertState.OPEN

    def not_after(self, now: datetime) -> Alert:
        """The same with its moments after now, those of a wrong clock, as now."""
        return replace(
            self,
            first_seen_at=min(self.first_seen_at, now),
            changed_at=min(self.changed_at, now),
            opened_at=self.opened_at and min(self.opened_at, now),
            resolved_at=self.resolved_at and min(self.resolved_at, now),
            damping=self.damping and self.damping.not_after(now),
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """One step of an alert that is to be sent: a row of the outbox.

    Attributes:
        at: when it was meant to be sent.
        line: its text in a thread, in one sentence.
        alert: the alert after this step.
    """

    id: str
    event: AlertEvent
    at: datetime
    run_id: str
    line: str
    alert: Alert


@dataclass(frozen=True, slots=True)
class RecordedNotice:
    """A notice with its entry in the journal."""

    notice: Notice
    entry: Entry


#: What the body of a digest's note has in the place of an event.
DIGEST: Final = "digest"


class DeliveryKind(StrEnum):
    """A message of its own, a reply below one, an event for a machine, or a note, which is sent once and stays."""

    MESSAGE = "message"
    REPLY = "reply"
    EVENT = "event"
    NOTE = "note"


class DeliveryState(StrEnum):
    """`sending` remains only after a crash or a lost answer: the delivery may or may not have arrived."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message, reply or event for one channel of a sink.

    Attributes:
        sink: `slack`, `slack-webhook`, `webhook` or `stdout`.
        channel: empty where the sink has only one.
        alerts: ids of the alerts that it is about.
        parent: the delivery of the message that a reply belongs to.
        body: a reply's `line`, `mention` and `broadcast`; a message's `mention`; an event's JSON object.
        meant_for: when it was meant to be sent.
        reference: the sink's own name for it once it is delivered (Slack: channel id and `ts`).
        next_try_at: not before then; None at once.
        failing_since: since when it could not be delivered; None where nothing failed.
        instead_of: the targets that did not take it before, in order.
        passed_on: the target that took it meanwhile; None without one.
    """

    id: str
    kind: DeliveryKind
    sink: str
    channel: str
    alerts: tuple[str, ...]
    meant_for: datetime
    parent: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    state: DeliveryState = DeliveryState.WAITING
    reference: str | None = None
    attempts: int = 0
    next_try_at: datetime | None = None
    failing_since: datetime | None = None
    instead_of: tuple[str, ...] = ()
    passed_on: str | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """A target that takes no alerts.

    Attributes:
        target: a sink, or `slack:#channel` where only one channel of it takes none.
        problem: the sentence of the first failure.
    """

    target: str
    since: datetime
    problem: str
