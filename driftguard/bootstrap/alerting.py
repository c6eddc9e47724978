"""Alerts of one pass: who did it, where it is told, and the telling."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from driftguard.adapters.aws.trail import NOT_TO_THE_END, CloudTrail, own_session
from driftguard.adapters.plain import TextSink
from driftguard.adapters.slack.client import SlackSink
from driftguard.adapters.slack.webhook import SlackWebhookSink
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.webhook import WebhookSink, check_url
from driftguard.config import AlertSettings, Settings, Slack, run_url
from driftguard.errors import DriftGuardError, OperatorError
from driftguard.model import (
    Alert,
    AlertEvent,
    AlertKind,
    AlertState,
    Confidence,
    Delivery,
    DeliveryState,
    DriftedObject,
    EntryKind,
    EnvironmentResult,
    Message,
    Notice,
    ObjectTrace,
    TrailEvent,
    Verdict,
    Written,
)
from driftguard.pipeline.alert.lifecycle import forgotten
from driftguard.pipeline.alert.routing import (
    SLACK,
    SLACK_WEBHOOK,
    STDOUT,
    WEBHOOK,
    Places,
    current_place,
    plan,
    untold_at,
)
from driftguard.pipeline.alert.sending import Delivered, Means, deliver
from driftguard.pipeline.alert.text import message_of
from driftguard.pipeline.apply.lease import hold
from driftguard.pipeline.trace import match
from driftguard.ports import Clock, Sink

# No environment can be called this.
_LEASE: Final = "(alerts)"
_LEASE_SECONDS: Final = 30.0
_LONGEST_TURN_SECONDS: Final = 60.0
# CloudTrail tells late, so it is asked again for a while.
_TRAIL_LAG: Final = timedelta(hours=1)
_UNKNOWN_WINDOW: Final = timedelta(days=7)
_SOME_SCANS: Final = 50
# A pass records what it saw and what it tells at about the same time.
_ONE_PASS: Final = timedelta(seconds=1)
_TRIES: Final = 3
_TEST: Final = "A test by `driftguard doctor --slack`: alerts of DriftGuard will come here."


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What alerting needs of the pass it belongs to.

    Attributes:
        repository: its location, for links.
        variables_of: the environment variables of an environment's Terraform, for CloudTrail.
        written_by: who wrote the block of an environment's resource; None where that is not known.
        renamed: environments that are under another name now, by the old one.
        stopping: whether a stop was requested.
        say: prints text for people.
    """

    run_id: str
    repository: str
    environ: Mapping[str, str]
    clock: Clock
    variables_of: Callable[[str], Mapping[str, str]]
    written_by: Callable[[str, str], Written | None]
    renamed: Mapping[str, str]
    stopping: Callable[[], bool]
    say: Callable[[str], None]


class Alerting:
    """The notify stage with its adapters."""

    def __init__(self, ledger: SqlLedger, rules: AlertSettings, slack: Slack | None, around: Surroundings) -> None:
        self._ledger, self._alerts = ledger, ledger.alerts
        self._rules, self._around = rules, around
        self._places = Places(rules, slack)
        self._trail = CloudTrail(stopping=around.stopping)

    def tell(self, reports: Sequence[EnvironmentResult], known: frozenset[str]) -> Delivered:
        """Find out who did it, then plan and deliver everything that waits.

        Args:
            reports: of this pass.
            known: every environment that is still looked at, in whatever pass.
        """
        self._forget(known)
        notes = self._trace(reports)
        if not self._alerts.unplanned() and not self._alerts.undelivered() and not self._untold():
            return Delivered({}, 0, notes)
        with self._turn() as still_ours:
            if still_ours is None:
                note = "Another run is delivering alerts; what this one found is delivered by it or by the next run."
                return Delivered({}, len(self._alerts.unplanned()), (*notes, note))
            moved = self._give_up_old_places()
            self._plan()
            sinks, missing = self._sinks()
            means = Means(
                alerts=self._alerts,
                outbox=self._alerts,
                sinks=sinks,
                place=self._place,
                word=self._word,
                clock=self._around.clock,
                run_id=self._around.run_id,
                still_ours=still_ours,
            )
            done = deliver(means)
            return Delivered(done.sent, done.waiting, (*notes, *moved, *missing, *done.problems))

    # --- who did it -----------------------------------------------------------------------------

    def _trace(self, reports: Sequence[EnvironmentResult]) -> tuple[str, ...]:
        """Ask CloudTrail and git about drift that is new; the sentences on what could not be asked."""
        drifted = {r.name: r for r in reports if r.verdict in (Verdict.DRIFTED, Verdict.DIVERGED)}
        if not drifted:
            return ()
        notes: dict[str, None] = {}
        for alert in self._alerts.standing():
            report = drifted.get(alert.environment)
            young = self._around.clock.now() - alert.changed_at < _TRAIL_LAG or _incomplete(alert)
            if report is not None and alert.kind is AlertKind.DRIFT and alert.state is AlertState.OPEN and young:
                traces, note = self._traces(alert, report)
                if note is not None:
                    notes.setdefault(note)
                if traces:
                    self._alerts.trace(alert.id, traces, self._refreshed(alert))
        return tuple(notes)

    def _traces(self, alert: Alert, report: EnvironmentResult) -> tuple[dict[str, ObjectTrace], str | None]:
        found: dict[str, ObjectTrace] = {}
        known = alert.traces
        for resource in alert.report.resources:
            if resource.address not in known:
                found[resource.address] = ObjectTrace(
                    written_by=self._around.written_by(alert.environment, resource.address)
                )
        since = self._looked_before(alert)
        objects = [item for item in report.drifted if not _traced(known.get(item.address), item, since)]
        note = None
        if objects and self._rules.trail:
            now = self._around.clock.now()
            events: tuple[TrailEvent, ...] = ()
            try:
                variables = self._around.variables_of(alert.environment)
                events, note = self._trail.events(objects, self._last_clean(alert), now, variables, None)
            except DriftGuardError as error:  # not knowing who did it never fails a pass
                note = f"CloudTrail could not be asked who changed it: {error}"
            said = match(objects, events, own=own_session, now=now)
            for item in objects:
                trace = said.traces.get(item.address)
                before = found.get(item.address) or known.get(item.address) or ObjectTrace()
                if trace is not None:
                    after = msgspec.structs.replace(before, changed_by=trace, changed_paths=item.paths, note=None)
                else:
                    after = msgspec.structs.replace(before, note=note or _not_yet(said.notes))
                if after != known.get(item.address):
                    found[item.address] = after
        return found, note

    def _looked_before(self, alert: Alert) -> datetime:
        """When the environment was looked at last before the alert became what it is: what changed it came later."""
        until = alert.changed_at - _ONE_PASS
        scans = self._ledger.entries(
            environment=alert.environment,
            kinds=[EntryKind.SCANNED],
            since=until - _UNKNOWN_WINDOW,
            until=until,
            limit=1,
        )
        return scans[-1].at if scans else alert.first_seen_at - _UNKNOWN_WINDOW

    def _last_clean(self, alert: Alert) -> datetime:
        """When the environment was last seen without drift, before the alert."""
        until = alert.first_seen_at
        oldest = until - _UNKNOWN_WINDOW
        while until > oldest:
            scans = self._ledger.entries(
                environment=alert.environment, kinds=[EntryKind.SCANNED], since=oldest, until=until, limit=_SOME_SCANS
            )
            clean = [entry.at for entry in scans if entry.data["verdict"] in ("in_sync", "pending")]
            if clean or len(scans) < _SOME_SCANS:
                return clean[-1] if clean else oldest
            until = scans[0].at - timedelta(microseconds=1)
        return oldest

    def _refreshed(self, alert: Alert) -> Notice:
        now, run_id = self._around.clock.now(), self._around.run_id
        return Notice(f"{run_id}/{alert.id}/traced", AlertEvent.REFRESHED, now, run_id, "", alert)

    def _forget(self, known: frozenset[str]) -> None:
        """End alerts about environments that nobody looks at any more."""
        for alert in self._alerts.standing():
            if alert.environment not in known:
                self._alerts.record(alert.environment, [], partial(self._forgotten, alert))

    def _forgotten(self, alert: Alert, before: Sequence[Alert]) -> tuple[Sequence[Alert], Sequence[Notice]]:
        standing = [each for each in before if each.id == alert.id and each.state is not AlertState.RESOLVED]
        if not standing:
            return (), ()  # another run ended it meanwhile
        now, new_name = self._around.clock.now(), self._around.renamed.get(alert.environment)
        ended = forgotten(standing[0], run_id=self._around.run_id, now=now, renamed_to=new_name)
        return ended.alerts, ended.notices

    # --- telling --------------------------------------------------------------------------------

    def _untold(self) -> bool:
        standing = self._alerts.standing()
        told = self._alerts.told([alert.id for alert in standing])
        return any(untold_at(sink, standing, told) for sink in self._places.sinks)

    def _give_up_old_places(self) -> tuple[str, ...]:
        """Forget what waits for a place that is not configured any more; what still stands is told at the others."""
        waiting = [each for each in self._alerts.undelivered() if each.sink not in self._places.sinks]
        for each in waiting:
            if each.reference is not None:  # it is there, and is shown anew should its place come back
                self._alerts.save(replace(each, state=DeliveryState.SENT, attempts=0, next_try_at=None))
        old = [each for each in waiting if each.reference is None]
        if not old:
            return ()
        self._alerts.drop(old)
        names = ", ".join(sorted({each.sink for each in old}))
        return (
            f"{len(old)} alert messages that waited for {names}, which is not configured any more, were given up; what "
            "still stands of them is told at the places that are.",
        )

    def _plan(self) -> None:
        for _ in range(_TRIES):
            notices, standing = self._alerts.unplanned(), self._alerts.standing()
            told = self._alerts.told([alert.id for alert in standing])
            about = [notice.alert.id for notice in notices] + [alert.id for alert in standing]
            shown = self._alerts.messages(about)
            deliveries = plan(notices, shown, self._places, standing=standing, told=told)
            if self._alerts.plan(notices, deliveries):
                return  # otherwise another run planned one of them meanwhile, so look again

    def _place(self, delivery: Delivery, alerts: tuple[Alert, ...]) -> Delivery | None:
        return current_place(delivery, alerts, self._places)

    def _word(self, delivery: Delivery, alerts: tuple[Alert, ...]) -> Message:
        first_time = delivery.reference is None
        return message_of(
            alerts,
            now=self._around.clock.now(),
            meant_for=delivery.meant_for if first_time else None,
            repository=self._around.repository,
            run_url=run_url(self._around.environ),
            mention=str(delivery.body.get("mention") or "") or None,
        )

    def _sinks(self) -> tuple[dict[str, Sink | None], tuple[str, ...]]:
        """The sinks in use, and a sentence for each that lacks its secret."""
        sinks: dict[str, Sink | None] = {}
        missing = []
        for name in self._places.sinks:
            try:
                sinks[name] = self._sink(name)
            except OperatorError as error:
                sinks[name] = None
                missing.append(f"Alerts wait in the ledger, because {error} Set it; the next run delivers them.")
        return sinks, tuple(missing)

    def _sink(self, name: str) -> Sink:
        environ, slack, webhook = self._around.environ, self._places.slack, self._rules.webhook
        if name in (SLACK, SLACK_WEBHOOK) and slack is not None:
            return _slack_sink(slack, environ)
        if name == WEBHOOK and webhook is not None:
            url = check_url(webhook.url_env, _secret(webhook.url_env, environ))
            return WebhookSink(url, _secret(webhook.secret_env, environ), self._around.clock.now)
        return TextSink(self._around.say)

    @contextmanager
    def _turn(self) -> Iterator[Callable[[], bool] | None]:
        """Be the only one who delivers; yields whether that still holds, or None when another one goes on too long."""
        leases, clock = self._ledger.leases, self._around.clock
        holder = f"{socket.gethostname()}-{secrets.token_hex(8)}"
        deadline = time.monotonic() + _LONGEST_TURN_SECONDS
        while True:
            with hold(leases, _LEASE, holder, _LEASE_SECONDS, clock, lambda: None) as still_ours:
                if still_ours is not None or time.monotonic() >= deadline:
                    yield still_ours
                    return
            if self._around.stopping():
                yield None
                return
            time.sleep(1.0)


def _slack_sink(slack: Slack, environ: Mapping[str, str]) -> SlackSink | SlackWebhookSink:
    """Raises OperatorError where the secret is missing or cannot be one."""
    if slack.webhook_env is not None:
        return SlackWebhookSink(check_url(slack.webhook_env, _secret(slack.webhook_env, environ)))
    return SlackSink(_secret(slack.token_env or "", environ), slack.api_url)


def _secret(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise OperatorError(f"the environment variable {name} is not set.")
    return value


def channels(settings: Settings) -> tuple[str, ...]:
    """Every Slack channel that alerts may go to, in the order of the configuration."""
    slack = settings.slack
    if slack is None:
        return ()
    if slack.webhook_env:
        return ("webhook",)
    named = [route.channel for route in slack.routes]
    named += [reminder.channel for reminder in settings.alerts.reminders if reminder.channel]
    return tuple(dict.fromkeys(named))


def places_in_words(settings: Settings) -> str:
    """Where alerts go, in a few words."""
    words = {
        SLACK: f"Slack: {', '.join(channels(settings))}",
        SLACK_WEBHOOK: "Slack, by an incoming webhook",
        WEBHOOK: "a JSON webhook",
        STDOUT: "standard output, as neither `slack` nor `alerts.webhook` is configured",
    }
    return "; ".join(words[sink] for sink in Places(settings.alerts, settings.slack).sinks)


def send_test(settings: Settings, environ: Mapping[str, str], channel: str) -> str:
    """Send a test message; one line about how it went.

    Raises:
        DriftGuardError: it could not be sent.
    """
    slack = settings.slack
    assert slack is not None  # there is a channel
    sink = _slack_sink(slack, environ)
    return sink.test(_TEST) if isinstance(sink, SlackWebhookSink) else sink.test(channel, _TEST)


def _incomplete(alert: Alert) -> bool:
    """Whether CloudTrail was asked about an alert, and not to the end."""
    return any((trace.note or "").startswith(NOT_TO_THE_END) for trace in alert.traces.values())


def _traced(trace: ObjectTrace | None, item: DriftedObject, since: datetime) -> bool:
    """Whether it is known for sure who changed an object: an event that fits best, and not one of an earlier change.

    Until then CloudTrail is asked again, for as long as it may be late.
    """
    by = trace.changed_by if trace is not None else None
    if trace is None or by is None or not set(item.paths) <= set(trace.changed_paths):
        return False
    # CloudTrail's moments are whole seconds.
    return by.confidence == Confidence.RESOURCE_AND_FIELD and by.at > since - _ONE_PASS


def _not_yet(notes: Sequence[str]) -> str:
    return notes[0] if notes else "CloudTrail shows nothing for it yet; delivery can lag 15 minutes."
