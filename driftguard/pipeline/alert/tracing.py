"""Who changed what of new drift: asks the cloud's trail and git, and adds the answers to the alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from driftguard.errors import DriftGuardError
from driftguard.model import (
    Acknowledgement,
    Alert,
    AlertEvent,
    AlertKind,
    AlertState,
    Confidence,
    DriftedObject,
    Entry,
    EntryKind,
    EnvironmentResult,
    Notice,
    ObjectTrace,
    RecordedNotice,
    Trace,
    TrailEvent,
    Verdict,
)
from driftguard.model.report import EnvironmentReport, ResourceReport, RunReport
from driftguard.model.traces import INCOMPLETE_NOTE, own_session
from driftguard.pipeline.history import ack_report
from driftguard.pipeline.record import recorded_notices
from driftguard.pipeline.trace import match
from driftguard.ports import Alerts, BlockAuthors, Clock, JournalReader, Trail

# CloudTrail delivers late, so it is asked again for a while.
_TRAIL_LAG: Final = timedelta(hours=1)
_UNKNOWN_WINDOW: Final = timedelta(days=7)
_PAGE: Final = 50
# A run records what it saw and what it sends at about the same time.
_ONE_RUN: Final = timedelta(seconds=1)
_NOTHING_YET: Final = "CloudTrail shows nothing for it yet; delivery can lag 15 minutes."


class Tracing:
    """Adds traces to the open drift alerts of one run."""

    def __init__(
        self,
        run_id: str,
        *,
        alerts: Alerts,
        journal: JournalReader,
        clock: Clock,
        authors: BlockAuthors,
        trail: Trail | None,
        own_roles: AbstractSet[str] = frozenset(),
    ) -> None:
        """`trail` is None where the configuration turns it off; `own_roles` are those that DriftGuard assumes."""
        self._own_roles = own_roles
        self._run_id, self._alerts, self._journal, self._clock = run_id, alerts, journal, clock
        self._authors, self._trail = authors, trail

    def trace(self, results: Sequence[EnvironmentResult], begun: Sequence[Alert] = ()) -> tuple[str, ...]:
        """Trace new drift; the sentences on what could not be asked.

        Args:
            begun: alerts whose messages are not planned yet: what a run reverted at once is named, too.
        """
        drifted = {r.name: r for r in results if r.reverted or r.verdict in (Verdict.DRIFTED, Verdict.DIVERGED)}
        if not drifted:
            return ()
        notes: dict[str, None] = {}
        for alert in (*filter(self._to_be_traced, self._alerts.standing()), *self._reverted(begun)):
            result = drifted.get(alert.environment)
            if result is None:
                continue
            traces, note = self._traces(alert, result)
            if note is not None:
                notes.setdefault(note)
            if traces:
                self._alerts.trace(alert.id, traces, self._refreshed(alert))
        return tuple(notes)

    def _reverted(self, begun: Sequence[Alert]) -> list[Alert]:
        """Alerts about drift that ended in the run in which they began."""
        about_drift = [alert.id for alert in begun if alert.kind is AlertKind.DRIFT]
        return [a for a in self._alerts.named(about_drift) if a.resolved_at is not None and not a.traces]

    def _to_be_traced(self, alert: Alert) -> bool:
        """Whether an alert is about open drift that is new, or whose trail was not read to its end."""
        young = self._clock.now() - alert.changed_at < _TRAIL_LAG
        incomplete = any((trace.note or "").startswith(INCOMPLETE_NOTE) for trace in alert.traces.values())
        return alert.kind is AlertKind.DRIFT and alert.state is AlertState.OPEN and (young or incomplete)

    def _traces(self, alert: Alert, result: EnvironmentResult) -> tuple[dict[str, ObjectTrace], str | None]:
        """The traces that are new or have changed, and a sentence on what is missing."""
        known = dict(alert.traces)
        for resource in alert.report.resources:
            if resource.address not in known:
                written = self._authors.written_by(alert.environment, resource.address)
                arn = next((item.arn for item in result.drifted if item.address == resource.address), None)
                known[resource.address] = ObjectTrace(written_by=written, arn=arn)
        note = None
        since = self._looked_before(alert)
        objects = [item for item in result.drifted if not _is_traced(known.get(item.address), item, since)]
        if objects and self._trail is not None:
            now = self._clock.now()
            events, note = self._events(alert, objects, now)
            own = partial(own_session, roles=self._own_roles)
            findings = match(objects, events, own=own, now=now, since=since)
            for item in objects:
                before = known.get(item.address, ObjectTrace())
                missing = note or findings.reasons.get(item.address, _NOTHING_YET)
                known[item.address] = _with_trace(before, item, findings.traces.get(item.address), missing)
        return {address: trace for address, trace in known.items() if trace != alert.traces.get(address)}, note

    def _events(
        self, alert: Alert, objects: Sequence[DriftedObject], now: datetime
    ) -> tuple[tuple[TrailEvent, ...], str | None]:
        assert self._trail is not None  # as the caller found
        try:
            return self._trail.events(alert.environment, objects, self._last_clean(alert), now)
        except DriftGuardError as error:  # an unknown author never fails a run
            return (), f"CloudTrail could not be asked who changed it: {error}"

    def _looked_before(self, alert: Alert) -> datetime:
        """When the environment was scanned last before the alert became what it is: what changed it came later."""
        until = alert.changed_at - _ONE_RUN
        scans = self._scans(alert, until - _UNKNOWN_WINDOW, until, 1)
        looks = [entry.at for entry in scans]
        # The first report since then holds the last look that confirmed the one before it.
        looks += _confirmed(self._scans(alert, until, alert.changed_at + _ONE_RUN, _PAGE)[:1], until)
        return max(looks, default=alert.first_seen_at - _UNKNOWN_WINDOW)

    def _last_clean(self, alert: Alert) -> datetime:
        """When the environment was last seen without drift, before the alert."""
        until = alert.first_seen_at
        oldest = until - _UNKNOWN_WINDOW
        while until > oldest:
            scans = self._scans(alert, oldest, until, _PAGE)
            clean = [
                n for n, entry in enumerate(scans) if entry.data.get("verdict") in (Verdict.IN_SYNC, Verdict.PENDING)
            ]
            if clean:
                return max([scans[clean[-1]].at, *_confirmed(scans[clean[-1] + 1 :][:1], alert.first_seen_at)])
            if len(scans) < _PAGE:
                return oldest
            until = scans[0].at - timedelta(microseconds=1)
        return oldest

    def _scans(self, alert: Alert, since: datetime, until: datetime, limit: int) -> tuple[Entry, ...]:
        return self._journal.entries(
            environment=alert.environment, kinds=[EntryKind.SCANNED], since=since, until=until, limit=limit
        )

    def _refreshed(self, alert: Alert) -> RecordedNotice:
        id_ = f"{self._run_id}/{alert.id}/traced"
        [recorded] = recorded_notices([Notice(id_, AlertEvent.REFRESHED, self._clock.now(), self._run_id, "", alert)])
        return recorded


def _confirmed(reports: Sequence[Entry], until: datetime) -> list[datetime]:
    """When what stood before these reports was confirmed last; a look of after `until` had a wrong clock."""
    looks = (entry.data.get("looked_before") for entry in reports)
    moments = (datetime.fromisoformat(look) for look in looks if look is not None)
    return [moment for moment in moments if moment <= until]


def with_alerts(report: RunReport, alerts: Sequence[Alert], silences: Mapping[str, Acknowledgement]) -> RunReport:
    """A report with what alerts know: the events that probably changed resources, and what is acknowledged or silenced.

    Args:
        silences: by environment.
    """
    traces = {(alert.environment, address): trace for alert in alerts for address, trace in alert.traces.items()}
    words: dict[str, Acknowledgement] = {
        **silences,
        **{alert.environment: alert.acked for alert in alerts if alert.acked is not None},
    }
    acks = {name: ack_report(word) for name, word in words.items()}

    def known(environment: EnvironmentReport, resource: ResourceReport) -> ResourceReport:
        trace = traces.get((environment.name, resource.address))
        found = trace.changed_by if trace is not None else None
        return resource if found is None else msgspec.structs.replace(resource, changed_by=found)

    environments = (
        msgspec.structs.replace(
            each, resources=tuple(known(each, resource) for resource in each.resources), acked=acks.get(each.name)
        )
        for each in report.environments
    )
    return msgspec.structs.replace(report, environments=tuple(environments))


def _with_trace(before: ObjectTrace, item: DriftedObject, found: Trace | None, missing: str) -> ObjectTrace:
    """An object's trace with the event that was found, or with the sentence on why none was."""
    if found is None:
        return msgspec.structs.replace(before, note=missing)
    return msgspec.structs.replace(before, changed_by=found, changed_paths=item.paths, note=None)


def _is_traced(trace: ObjectTrace | None, item: DriftedObject, since: datetime) -> bool:
    """Whether an event is known that fits an object best, and is not one of an earlier change.

    Until then the trail is asked again, for as long as it may be late.
    """
    by = trace.changed_by if trace is not None else None
    if trace is None or by is None or not set(item.paths) <= set(trace.changed_paths):
        return False
    # CloudTrail's moments are whole seconds.
    return by.confidence == Confidence.RESOURCE_AND_FIELD and by.at > since - _ONE_RUN
