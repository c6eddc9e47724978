"""The next sink of a route takes what the first does not, on a real ledger: no alert is lost, none comes twice."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftguard.adapters.defects import FolderDefects
from driftguard.adapters.process import Stop
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.config import AlertSettings, Slack
from driftguard.errors import DeliveryFault, OperatorError
from driftguard.model import Alert, Delivery, Message, RecordedNotice, Severity
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.alert.lifecycle import follow
from driftguard.pipeline.alert.notifying import Notifier, NotifyingPorts
from driftguard.pipeline.alert.routes import Routing
from driftguard.pipeline.alert.sending import AlertContext, DeliverySummary
from driftguard.pipeline.alert.tracing import Tracing
from driftguard.pipeline.history import outages
from driftguard.pipeline.record import recorded_notices
from driftguard.ports import BlockAuthors, Sink, Sinks
from tests.support.sample_alerts import DELETED, HEAD, NOON, drifted, in_sync, outside, resource

SLACK = Slack.model_validate({"token_env": "SLACK_BOT_TOKEN"})
SINKS = ["slack:#first", "slack:#second", "pager"]
RULES = AlertSettings.model_validate(
    {
        "group": 1000,
        "routes": [{"sinks": SINKS, "mention": "<!here>"}],
        "sinks": [{"name": "pager", "pagerduty_env": "KEY"}],
    }
)


class Killed(BaseException):
    """The process ends here."""


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time


class NoAuthors(BlockAuthors):
    """No author is known."""

    def written_by(self, environment: str, address: str) -> None:
        return None


class World(Sinks):
    """Services that a test breaks.

    Attributes:
        broken: by target: `down` (nothing arrives), `lost` (it arrives, and no answer comes), `killed before` and
            `killed after` (the process ends before or after it arrives), `gone` (the channel alone takes nothing).
        posts: every delivery that arrived, by target, with the alerts that it is about.
    """

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self.posts: dict[str, dict[str, Delivery]] = {target: {} for target in SINKS}
        self.twice: list[str] = []
        self.notes: list[str] = []
        self.messages: list[tuple[str, Message]] = []
        self.mentions: list[str | None] = []

    def open(self, name: str) -> Sink:
        if self.broken.get(name) == "no secret":
            raise OperatorError("the environment variable KEY is not set.")
        return Service(self, name)


class Service(Sink):
    """A sink that keeps what arrives."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    def _target(self, delivery: Delivery) -> str:
        return f"slack:{delivery.channel}" if self._name == "slack" else self._name

    @contextmanager
    def _arriving(self, delivery: Delivery) -> Iterator[None]:
        how = self._world.broken.get(self._target(delivery), "")
        if how in ("killed before", "killed after", "lost"):  # once
            del self._world.broken[self._target(delivery)]
        if how == "killed before":
            raise Killed
        if how.startswith("busy "):
            del self._world.broken[self._target(delivery)]
            raise DeliveryFault("It asked to wait.", retry_after_seconds=float(how.removeprefix("busy ")))
        if how in ("down", "gone"):
            raise DeliveryFault("It could not be reached.", whole_sink=how == "down" and self._name != "slack")
        yield
        if how == "killed after":
            raise Killed
        if how == "lost":
            raise DeliveryFault("The answer was lost.", perhaps_delivered=True)

    def post(self, delivery: Delivery, message: Message) -> str:
        with self._arriving(delivery):
            there = self._world.posts[self._target(delivery)]
            if delivery.id in there and self._name == "slack":
                self._world.twice.append(delivery.id)
            there[delivery.id] = delivery
            self._world.notes.append(message.note)
            self._world.messages.append((self._target(delivery), message))
            self._world.mentions.append(message.mention)
        return f"C1/{delivery.id}"

    def update(self, delivery: Delivery, message: Message) -> None:
        with self._arriving(delivery):
            pass

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        return self.post(delivery, Message("", Severity.WARNING, (), (), (), NOON, NOON))

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        found = delivery.id in self._world.posts[self._target(delivery)]
        return f"C1/{delivery.id}" if found and self._name == "slack" else None


class Sleepless(Stop):
    """A stop by which a run sleeps in no time.

    Attributes:
        before: how much had arrived at each target when it first slept.
    """

    def __init__(self, clock: Hands, world: World) -> None:
        super().__init__()
        self._clock, self._world = clock, world
        self.slept, self.before = 0.0, dict[str, int]()

    def wait(self, seconds: float) -> None:
        self._clock.time += timedelta(seconds=seconds)
        self.slept += seconds
        for target, posts in self._world.posts.items():
            self.before.setdefault(target, len(posts))


class Runs:
    """Runs over a ledger, with services that break."""

    def __init__(self, ledger: SqlLedger, rules: AlertSettings = RULES) -> None:
        self.ledger, self.clock, self.world, self.count = ledger, Hands(), World(), 0
        self.routing = Routing(rules, SLACK)
        self.last = DeliverySummary({}, 0)
        self.stop = Sleepless(self.clock, self.world)

    def see(self, *environments: EnvironmentReport) -> None:
        """Record what a run found."""
        self.count += 1
        for environment in environments:

            def followed(
                before: Sequence[Alert], environment: EnvironmentReport = environment
            ) -> tuple[Sequence[Alert], Sequence[RecordedNotice]]:
                rules, now = self.routing.alerts, self.clock.now()
                after = follow(environment, before, commit=HEAD, run_id=f"run-{self.count}", now=now, rules=rules)
                return after.alerts, recorded_notices(after.notices)

            self.ledger.alerts.record(environment.name, [], followed)

    def send(self, after: timedelta = timedelta(minutes=11), *, patient: bool = False) -> DeliverySummary:
        """What the end of a run sends; a killed one sends nothing more. A patient one waits as its clock says."""
        self.clock.time += after
        self.count += 1
        with suppress(Killed):
            known = {alert.environment for alert in self.ledger.alerts.standing()}
            self.last = self.notifier().notify([], known, patient=patient)
        return self.last

    def notifier(self) -> Notifier:
        """What sends the alerts of a run."""
        tracing = Tracing(
            "run", alerts=self.ledger.alerts, journal=self.ledger, clock=self.clock, authors=NoAuthors(), trail=None
        )
        alerts = self.ledger.alerts
        ledger, defects = self.ledger, FolderDefects(Path("/nowhere"))
        ports = NotifyingPorts(alerts, alerts, ledger, ledger.leases, self.clock, self.stop, defects, self.world)
        context = AlertContext(f"send-{self.count}", "", None, self.routing)
        return Notifier(context, ports, tracing, renamed={})

    def arrived(self, target: str) -> Counter[str]:
        """How many deliveries that begin an alert arrived at a target, by environment."""
        names = {alert.id: alert.environment for alert in self.ledger.alerts.standing()}
        begun = (
            d for d in self.world.posts[target].values() if "line" not in d.body or d.body.get("event") == "opened"
        )
        return Counter(names[alert] for delivery in begun for alert in delivery.alerts if alert in names)


@contextmanager
def runs(rules: AlertSettings = RULES) -> Iterator[Runs]:
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
        try:
            yield Runs(ledger, rules)
        finally:
            ledger.close()


def changed(name: str, value: str = "outside") -> EnvironmentReport:
    return drifted(name, resource("toy_thing.web", outside("value", "one", value)), fingerprint=f"drift-{value}")


HOW = st.sampled_from(["down", "lost", "killed before", "killed after", "gone", "works"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("see"), st.sampled_from(["blue", "green", "red"])),
        st.tuples(st.just("send"), st.sampled_from([1, 11, 90])),
        st.tuples(st.sampled_from(SINKS), HOW),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS, alive=st.sampled_from(SINKS))
def test_no_alert_is_lost_or_doubled_whatever_fails_and_wherever_a_run_is_killed(
    steps: Sequence[tuple[str, str | int]], alive: str
) -> None:
    with runs() as over_time:
        for what, how in steps:
            if what == "see":
                over_time.see(changed(str(how)))
            elif what == "send":
                over_time.send(timedelta(minutes=int(how)))
            else:
                over_time.world.broken[what] = str(how)
        for target in SINKS:
            over_time.world.broken[target] = "works" if target == alive else "down"
        over_time.see(changed("blue"))
        for _ in range(2 * len(SINKS)):
            over_time.send()
        names = {alert.environment for alert in over_time.ledger.alerts.standing()}
        reached = {name for target in SINKS for name in over_time.arrived(target)}
        assert names <= reached
        over_time.world.broken.clear()
        for _ in range(3):
            over_time.send(timedelta(hours=2))
        assert over_time.last.waiting == 0
        assert set(over_time.arrived(SINKS[0])) == names
        for target in SINKS:
            assert set(over_time.arrived(target).values()) <= {1}
        assert over_time.world.twice == []
        assert outages(over_time.ledger) == ()


def test_the_next_sink_takes_an_alert_and_every_run_reports_the_outage_until_it_ends() -> None:
    with runs() as over_time:
        over_time.world.broken["slack:#first"] = "gone"
        over_time.see(changed("blue"))
        over_time.send()
        assert over_time.arrived("slack:#second") == {}  # not before failover_after
        taken = over_time.send()
        assert over_time.arrived("slack:#second") == {"blue": 1}
        assert (over_time.world.notes, over_time.world.mentions) == (
            ["Sent here, because slack:#first took no alerts."],
            ["<!here>"],
        )
        sentence = (
            "slack:#first has taken no alerts since 2026-11-23 12:11 UTC. It could not be reached. Until that is "
            "fixed, after 10 minutes slack:#second takes its alerts."
        )
        assert sentence in taken.problems
        over_time.see(changed("red"))  # at once, now that the channel is known to take none
        assert sentence in over_time.send().problems
        assert over_time.arrived("slack:#second") == {"blue": 1, "red": 1}
        over_time.world.broken.clear()
        assert over_time.send(timedelta(hours=2)).problems == ()
        assert over_time.arrived("slack:#first") == {"blue": 1, "red": 1}
        assert over_time.world.notes[-1] == "slack:#second took this alert meanwhile."
        assert over_time.world.mentions[-2:] == [None, None]


@pytest.mark.parametrize(("how", "begins"), [("no secret", "worse"), ("down", "opened")])
def test_a_deletion_in_open_drift_reaches_the_next_sink(how: str, begins: str) -> None:
    with runs() as over_time:
        over_time.see(changed("blue"))
        over_time.send()
        assert over_time.arrived("slack:#first") == {"blue": 1}
        if how == "no secret":
            over_time.world.broken["slack"] = how
        else:
            over_time.world.broken |= {"slack:#first": how, "slack:#second": how}
        over_time.see(drifted("blue", resource("toy_thing.web", DELETED), fingerprint="gone"))
        for _ in range(4):
            over_time.send()
        (event,) = over_time.world.posts["pager"].values()
        assert event.body["event"] == begins
        over_time.see(in_sync("blue"))
        over_time.send()
        ended = [d.body["event"] for d in over_time.world.posts["pager"].values()]
        assert ended == [begins, "resolved"]  # what began there ends there


ROUTED = AlertSettings.model_validate(
    {"routes": [{"environments": "red", "sinks": ["slack:#second"]}, {"sinks": ["slack:#first"]}]}
)


def test_a_run_waits_as_long_as_a_channel_asks_after_it_has_sent_all_else() -> None:
    with runs(ROUTED) as over_time:
        over_time.see(changed("blue"), changed("green"), changed("red"))
        over_time.world.broken["slack:#first"] = "busy 20"
        done = over_time.send(patient=True)
        assert over_time.stop.before == {"slack:#first": 0, "slack:#second": 1, "pager": 0}
        assert (over_time.stop.slept, over_time.arrived("slack:#first")) == (20, {"blue": 1, "green": 1})
        assert (done.sent, done.waiting, done.problems) == ({"message": 3}, 0, ())
        assert outages(over_time.ledger) == ()


def test_a_wait_that_is_too_long_or_ends_with_the_run_is_left_to_a_later_run() -> None:
    with runs(ROUTED) as over_time:
        over_time.see(changed("blue"))
        over_time.world.broken["slack:#first"] = "busy 600"
        assert (over_time.send(patient=True).waiting, over_time.stop.slept) == (1, 0)
        over_time.world.broken["slack:#first"] = "busy 20"
        assert (over_time.send(patient=False).waiting, over_time.stop.slept) == (1, 0)
        over_time.stop.request()
        over_time.world.broken["slack:#first"] = "busy 20"
        assert (over_time.send(patient=True).waiting, over_time.stop.slept) == (1, 0)
        assert over_time.send().waiting == 0


def test_a_channel_that_asks_to_wait_holds_up_no_other_and_gets_its_alerts_in_the_next_run() -> None:
    with runs(ROUTED) as over_time:
        over_time.see(changed("blue"), changed("green"), changed("red"))
        over_time.world.broken["slack:#first"] = "busy 90"
        done = over_time.send()
        assert (done.waiting, done.problems) == (2, ("It asked to wait.",))
        assert over_time.arrived("slack:#second") == {"red": 1}
        assert over_time.arrived("slack:#first") == {}
        assert over_time.send().waiting == 0
        assert over_time.arrived("slack:#first") == {"blue": 1, "green": 1}
