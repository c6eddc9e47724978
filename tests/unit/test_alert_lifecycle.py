"""The life of alerts, over any sequence of runs: sent once, ended once, and never lost on the way to a message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from driftguard.config import AlertSettings, Slack
from driftguard.config.placeholders import channel_filled
from driftguard.model import (
    Action,
    AlertEvent,
    AlertKind,
    AlertState,
    Delivery,
    DeliveryKind,
    DeliveryState,
    ErrorKind,
    Label,
    Notice,
    Verdict,
)
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.alert.lifecycle import forgotten
from driftguard.pipeline.alert.routes import Routing
from driftguard.pipeline.alert.routing import plan, rerouted
from tests.support.sample_alerts import (
    DELETED,
    HEAD,
    NOON,
    RESIZE,
    Passes,
    change,
    drifted,
    in_sync,
    outside,
    report,
    resource,
    unknown,
)

NAMES = ("blue", "green", "red")
SLACK = Slack.model_validate({"token_env": "SLACK_BOT_TOKEN", "routes": [{"channel": "#drift"}]})
UNGROUPED = AlertSettings(group=10**6)
UNDAMPED = AlertSettings.model_validate({"group": 10**6, "damping": "off"})
REMINDING = AlertSettings.model_validate({"reminders": [{"after": "1h"}, {"after": "6h"}]})
QUARTER = timedelta(minutes=15)


def changed(name: str, value: str = "outside") -> EnvironmentReport:
    """An environment that drifted to a value, which is what its drift is distinguished by."""
    return drifted(name, resource("toy_thing.web", outside("value", "one", value)), fingerprint=f"drift-{value}")


def waiting(name: str, *subjects: str, held: bool = True) -> EnvironmentReport:
    """An environment for which commits wait; for a person's decision when `held`."""
    commits = [replace(RESIZE, sha=f"{subject:0>40}", subject=subject) for subject in subjects]
    web = resource("toy_thing.web", change("value", Label.PENDING, "one", "one", "two"))
    action, reason = (Action.HOLD, "not_signed: 1") if held else (Action.ALERT, "policy_alert: pending")
    return report(name, Verdict.PENDING, web, action=action, reasons=[reason], commits=commits)


def both(name: str, value: str) -> EnvironmentReport:
    """An environment that drifted and for which a commit waits."""
    web = resource("toy_thing.web", outside("value", "one", value))
    return report(name, Verdict.DIVERGED, web, reasons=["policy_alert: drift"], commits=[RESIZE], fingerprint=value)


def seen(name: str) -> st.SearchStrategy[EnvironmentReport]:
    """What one pass may say of an environment."""
    values = st.sampled_from(["x", "y"])
    kinds = st.sampled_from([ErrorKind.PLAN, ErrorKind.DENIED, ErrorKind.INTERRUPTED])
    return st.one_of(
        st.just(in_sync(name)),
        values.map(lambda value: changed(name, value)),
        values.map(lambda value: both(name, f"drift-{value}")),
        values.map(lambda value: waiting(name, value)),
        values.map(lambda value: waiting(name, value, held=False)),
        kinds.map(lambda kind: unknown(name, kind, "it went wrong")),
    )


# Every pass sees some of the environments.
HISTORIES = st.lists(
    st.fixed_dictionaries({}, optional={name: seen(name) for name in NAMES}).map(lambda of: tuple(of.values())),
    min_size=1,
    max_size=12,
)
ANY_HISTORY = given(history=HISTORIES)


class Model:
    """How many chains of one kind an environment has had, said another way than the code says it.

    A chain begins when its cause is sent, and goes on when the same cause is back after its end.
    """

    def __init__(self) -> None:
        self.chains, self.sent, self._last, self._row = 0, False, "", 0

    def present(self, fingerprint: str, *, at_once: bool, after: int) -> None:
        self._row += 1
        if not self.sent and (at_once or self._row >= after):
            back = self._last == fingerprint and self._row == 1
            self.chains += not back
            self.sent = True
        self._last = fingerprint if self.sent else self._last

    def absent(self) -> None:
        if not self.sent and self._row:
            self._last = ""  # something else was there since, though nothing was sent
        self.sent, self._row = False, 0


def chains(history: Sequence[Sequence[EnvironmentReport]], rules: AlertSettings) -> int:
    """How many messages a history needs."""
    models = {(name, kind): Model() for name in NAMES for kind in AlertKind}
    for environment in (environment for look in history for environment in look):
        verdict = environment.verdict
        drift, pending, broken, _ = (models[environment.name, kind] for kind in AlertKind)
        if verdict == "unknown":
            if environment.error_kind != "interrupted":
                broken.present(environment.error_kind, at_once=False, after=rules.unknown_after)
            continue
        broken.absent()
        if verdict in ("drifted", "diverged"):
            drift.present(str(environment.drift_fingerprint), at_once=True, after=1)
        else:
            drift.absent()
        if verdict == "pending":
            sha = "".join(commit.sha for commit in environment.commits)
            pending.present(sha, at_once=environment.decision.action == "hold", after=10**6)
        elif verdict != "diverged":
            pending.absent()
    return sum(model.chains for model in models.values())


def passes(history: Sequence[Sequence[EnvironmentReport]], rules: AlertSettings = UNGROUPED) -> Passes:
    """A history, looked at."""
    seen_so_far = Passes(rules)
    for environments in history:
        seen_so_far.look(*environments, after=QUARTER)
    return seen_so_far


# --- what is sent --------------------------------------------------------------------------------


@ANY_HISTORY
def test_an_alert_of_each_kind_stands_at_most_once(history: Sequence[Sequence[EnvironmentReport]]) -> None:
    over_time = Passes(UNGROUPED)
    for environments in history:
        over_time.look(*environments)
        standing = Counter(
            (alert.environment, alert.kind)
            for alert in over_time.alerts.values()
            if alert.state is not AlertState.RESOLVED
        )
        assert set(standing.values()) <= {1}


@ANY_HISTORY
def test_the_same_again_is_not_sent(history: Sequence[Sequence[EnvironmentReport]]) -> None:
    over_time = Passes(UNGROUPED)
    for environments in history:
        over_time.look(*environments)
        before = dict(over_time.alerts)
        sent = [notice for notice in over_time.look(*environments) if notice.event is not AlertEvent.REFRESHED]
        # Only what was watched until now may be sent, when it is seen a second time.
        assert all(before[notice.alert.id].state is AlertState.WATCHED for notice in sent)
        assert not [n for n in over_time.look(*environments) if n.event is not AlertEvent.REFRESHED]


@ANY_HISTORY
def test_every_alert_that_was_sent_ends_once_before_it_begins_again(
    history: Sequence[Sequence[EnvironmentReport]],
) -> None:
    beginnings = (AlertEvent.OPENED, AlertEvent.REOPENED)
    is_open: set[tuple[str, AlertKind]] = set()
    over_time = passes([*history, [in_sync(name) for name in NAMES]])
    over_time.look(*map(in_sync, NAMES), after=UNGROUPED.damping.within)  # what comes and goes ends once it is steady
    for notice in over_time.notices:
        what = (notice.alert.environment, notice.alert.kind)
        if notice.event in beginnings or (notice.event is AlertEvent.DAMPED and what not in is_open):
            assert what not in is_open
            is_open.add(what)
        else:
            assert what in is_open
        if notice.event is AlertEvent.RESOLVED:
            is_open.remove(what)
            assert notice.alert.resolution == notice.line != ""
    assert not is_open


@ANY_HISTORY
def test_what_cannot_be_judged_ends_nothing(history: Sequence[Sequence[EnvironmentReport]]) -> None:
    over_time = passes(history)
    before = {alert.id for alert in over_time.standing()}
    for _ in range(3):
        over_time.look(*(unknown(name, ErrorKind.PLAN, "no") for name in NAMES))
    assert before <= {alert.id for alert in over_time.standing()}


@ANY_HISTORY
def test_an_interrupted_run_reports_nothing(history: Sequence[Sequence[EnvironmentReport]]) -> None:
    over_time = passes(history)
    before = dict(over_time.alerts)
    assert over_time.look(*(unknown(name, ErrorKind.INTERRUPTED, "stopped") for name in NAMES)) == []
    assert over_time.alerts == before


@ANY_HISTORY
def test_the_same_runs_give_the_same_under_the_same_ids(history: Sequence[Sequence[EnvironmentReport]]) -> None:
    once, again = passes(history), passes(history)
    assert once.notices == again.notices
    assert once.alerts == again.alerts
    assert len({notice.id for notice in once.notices}) == len(once.notices)


@given(hours=st.lists(st.sampled_from([0.25, 1, 3, 7]), min_size=1, max_size=12))
def test_each_reminder_is_sent_once_in_an_episode(hours: Sequence[float]) -> None:
    over_time = Passes(REMINDING)
    over_time.look(changed("blue"))
    reached = 0
    for hour in hours:
        sent = over_time.look(changed("blue"), after=timedelta(hours=hour))
        age = over_time.now - NOON
        due = REMINDING.due_reminders(age)
        listed = max(0, min(due, 2) - reached)
        assert [notice.event for notice in sent] == [AlertEvent.REMINDED] * (listed or int(due > max(2, reached)))
        reached = due
    over_time.look(in_sync("blue"))
    assert [notice.event for notice in over_time.look(changed("blue"))] == [AlertEvent.REOPENED]
    assert [notice.event for notice in over_time.look(changed("blue"), after=timedelta(hours=2))] == [
        AlertEvent.REMINDED
    ]


# --- messages ------------------------------------------------------------------------------------


def planned(
    notices: Sequence[Notice], rules: AlertSettings, cuts: Sequence[tuple[int, bool]]
) -> tuple[dict[str, Delivery], int]:
    """All deliveries by id, and how many were messages, when notices are planned in batches.

    Args:
        cuts: how many notices each batch takes, and whether what was planned before is there by then.
    """
    kept: dict[str, Delivery] = {}
    rest = list(notices)
    for size, arrived in [*cuts, (len(rest), True)]:
        batch, rest = rest[:size], rest[size:]
        if arrived:
            kept = {
                id_: replace(delivery, state=DeliveryState.SENT, reference=f"C1/{id_}")
                for id_, delivery in kept.items()
            }
        about = {notice.alert.id for notice in batch}
        shown = [d for d in kept.values() if d.kind is DeliveryKind.MESSAGE and about & set(d.alerts)]
        kept |= {delivery.id: delivery for delivery in plan(batch, shown, Routing(rules, SLACK))}
    return kept, sum(delivery.kind is DeliveryKind.MESSAGE for delivery in kept.values())


CUTS = st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=15)


@given(history=HISTORIES, cuts=CUTS)
@example(history=[[unknown("blue", ErrorKind.PLAN, "no")]] * 2 + [[in_sync("blue")]], cuts=[])
@example(
    history=[[unknown("blue", ErrorKind.PLAN, "no")]] * 2
    + [[in_sync("blue")]]
    + [[unknown("blue", ErrorKind.PLAN, "no")]] * 2,
    cuts=[(1, True), (1, True)],
)
def test_there_are_as_many_messages_as_chains_however_late_they_are_planned(
    history: Sequence[Sequence[EnvironmentReport]], cuts: Sequence[tuple[int, bool]]
) -> None:
    notices = passes(history, UNDAMPED).notices
    deliveries, messages = planned(notices, UNDAMPED, cuts)
    assert messages == chains(history, UNDAMPED)
    showing = Counter(
        alert for delivery in deliveries.values() if delivery.kind is DeliveryKind.MESSAGE for alert in delivery.alerts
    )
    assert showing == dict.fromkeys({notice.alert.id for notice in notices}, 1)


def test_an_alert_that_no_message_shows_yet_gets_one_when_it_changes() -> None:
    over_time = Passes()
    over_time.look(changed("blue", "x"))  # sent elsewhere, before Slack was configured
    places = Routing(UNGROUPED, SLACK)
    for notices in ([], over_time.look(changed("blue", "y"))):
        (message,) = plan(notices, [], places, standing=over_time.standing())
        assert (message.kind, message.channel) == (DeliveryKind.MESSAGE, "#drift")
        sent = {(alert, "slack") for alert in message.alerts}
        assert plan([], [message], places, standing=over_time.standing(), notified=sent) == ()
    assert plan(over_time.look(in_sync("blue")), [], places, standing=over_time.standing()) == ()


def test_escalations_of_one_cause_share_a_message_and_each_reminder_that_is_due_is_sent() -> None:
    rules = AlertSettings.model_validate(
        {"group": 2, "reminders": [{"after": "1h", "channel": "#leads"}, {"after": "6h", "channel": "#managers"}]}
    )
    over_time, places = Passes(rules), Routing(rules, SLACK)
    shown = [d for d in plan(over_time.look(*map(changed, NAMES)), [], places) if d.kind is DeliveryKind.MESSAGE]
    late = plan(over_time.look(*map(changed, NAMES), after=timedelta(days=1)), shown, places)
    messages = [(d.channel, len(d.alerts)) for d in late if d.kind is DeliveryKind.MESSAGE]
    assert messages == [("#leads", len(NAMES)), ("#managers", len(NAMES))]


def shown_of(over_time: Passes, places: Routing, *looks: EnvironmentReport) -> list[list[Delivery]]:
    """What each look gives to deliver, when everything before it was delivered."""
    shown: list[Delivery] = []
    found = []
    for look in looks:
        made = list(plan(over_time.look(look), shown, places))
        found.append(made)
        there = {d.id: replace(d, state=DeliveryState.SENT, reference=f"C1/{d.id}") for d in (*shown, *made)}
        shown = [d for d in there.values() if d.kind is DeliveryKind.MESSAGE]
    return found


def test_a_channel_with_placeholders_is_that_of_the_environment_and_the_route_without_a_value_does_not_apply() -> None:
    routes = [{"channel": "#{from.team}-drift"}, {"channel": "#drift-{dir}"}, {"channel": "#all"}]
    slack = Slack.model_validate({"token_env": "T", "routes": routes})
    routing = Routing(UNGROUPED, slack, {"prod": {"from.team": "Core & Pay"}})
    batch = Passes().look(changed("prod"), changed("dev"))
    assert sorted(d.channel for d in plan(batch, [], routing)) == ["#core-pay-drift", "#drift-dev"]


def test_a_channel_may_be_an_id_of_a_record() -> None:
    assert channel_filled("{from.slack.id}", {"from.slack.id": "C0123ABCD"}) == "C0123ABCD"
    assert channel_filled("{from.slack.id}", {}) is None


def test_an_alert_that_became_critical_is_sent_where_critical_ones_go_and_once() -> None:
    routes = [{"severity": ["critical"], "channel": "#incidents", "mention": "<!here>"}, {"channel": "#drift"}]
    places = Routing(UNGROUPED, Slack.model_validate({"token_env": "T", "routes": routes}))
    deleted = drifted("blue", resource("toy_thing.web", DELETED), fingerprint="gone")
    more = drifted("blue", *(resource(f"toy_thing.{name}", DELETED) for name in ("web", "db")), fingerprint="both")
    first, worse, again = shown_of(Passes(), places, changed("blue"), deleted, more)
    assert [(d.kind, d.channel) for d in first] == [(DeliveryKind.MESSAGE, "#drift")]
    (message,) = [d for d in worse if d.kind is DeliveryKind.MESSAGE and d.reference is None]
    assert (message.channel, message.body["mention"]) == ("#incidents", "<!here>")
    assert not [d for d in again if d.kind is DeliveryKind.MESSAGE and d.reference is None]


def test_drift_that_grows_beyond_a_message_gets_a_file() -> None:
    def many(count: int) -> EnvironmentReport:
        things = [resource(f"toy_thing.n{number}", outside("value", "one", "x")) for number in range(count)]
        return drifted("blue", *things, fingerprint=f"drift-{count}")

    _, grown, back = shown_of(Passes(), Routing(UNGROUPED, SLACK), many(2), many(20), many(3))
    assert [d.body.get("file") for d in grown if d.kind is DeliveryKind.REPLY] == [None, True]
    assert [d.body.get("file") for d in back if d.kind is DeliveryKind.REPLY] == [None]


def test_a_commit_that_waits_beside_open_drift_is_sent_in_its_thread_once() -> None:
    over_time = Passes()
    over_time.look(drifted("blue", resource("toy_thing.web", outside("value", "one", "x")), fingerprint="x"))
    for _ in range(2):
        over_time.look(both("blue", "x"))
    assert sent_lines(over_time)[1:] == [
        (AlertEvent.CHANGED, f"also pending: {RESIZE.sha[:10]} {RESIZE.subject}."),
    ]


def test_a_webhook_of_slack_mentions_whom_a_reminder_names() -> None:
    rules = AlertSettings.model_validate({"reminders": [{"after": "1h", "mention": "<!here>"}]})
    hook = Slack.model_validate({"webhook_env": "W", "routes": [{"channel": "#drift", "mention": "<@U1>"}]})
    over_time = Passes(rules)
    over_time.look(changed("blue"))
    (sent,) = plan(over_time.look(changed("blue"), after=timedelta(hours=1, minutes=30)), [], Routing(rules, hook))
    assert (sent.body["line"], sent.body["mention"]) == (
        "blue: still drifted after 90 minutes: toy_thing.web was changed outside Terraform.",
        "<!here>",
    )
    over_time.look(in_sync("blue"))
    (back,) = plan(over_time.look(changed("blue")), [], Routing(rules, hook))
    assert (back.body["event"], back.body["mention"]) == ("reopened", "<@U1>")


def test_a_message_that_waits_goes_where_the_configuration_routes_now() -> None:
    over_time = Passes()
    (message,) = plan(over_time.look(changed("blue")), [], Routing(UNGROUPED, SLACK))
    mended = Slack.model_validate({"token_env": "T", "routes": [{"channel": "#mended", "mention": "<!here>"}]})
    placed = rerouted(message, over_time.standing(), Routing(UNGROUPED, mended))
    assert placed is not None
    assert (placed.id, placed.channel, placed.body) == (message.id, "#mended", {"mention": "<!here>"})
    nowhere = Slack.model_validate({"token_env": "T", "routes": [{"environments": "red", "channel": "#red"}]})
    assert rerouted(message, over_time.standing(), Routing(UNGROUPED, nowhere)) is None


@given(history=HISTORIES, cuts=CUTS)
def test_every_alert_is_shown_by_one_message_also_where_environments_share_it(
    history: Sequence[Sequence[EnvironmentReport]], cuts: Sequence[tuple[int, bool]]
) -> None:
    rules = AlertSettings(group=2)
    notices = passes(history, rules).notices
    deliveries, _ = planned(notices, rules, cuts)
    showing = Counter(
        alert for delivery in deliveries.values() if delivery.kind is DeliveryKind.MESSAGE for alert in delivery.alerts
    )
    assert showing == dict.fromkeys({notice.alert.id for notice in notices}, 1)


@given(history=HISTORIES, cuts=CUTS)
def test_every_reply_belongs_to_a_message_and_reports_itmething(
    history: Sequence[Sequence[EnvironmentReport]], cuts: Sequence[tuple[int, bool]]
) -> None:
    deliveries, _ = planned(passes(history).notices, AlertSettings(group=2), cuts)
    for delivery in deliveries.values():
        if delivery.kind is DeliveryKind.REPLY:
            assert delivery.body["line"]
            assert deliveries[delivery.parent or ""].kind is DeliveryKind.MESSAGE


@ANY_HISTORY
def test_a_notice_that_is_planned_at_once_gives_a_message_or_a_line(
    history: Sequence[Sequence[EnvironmentReport]],
) -> None:
    notices = passes(history).notices
    deliveries, messages = planned(notices, UNGROUPED, [(1, True)] * len(notices))
    silent = (AlertEvent.OPENED, AlertEvent.REFRESHED)
    lines = sum(notice.event not in silent for notice in notices)
    assert len(deliveries) - messages == lines


# --- single steps --------------------------------------------------------------------------------


def sent_lines(over_time: Passes) -> list[tuple[AlertEvent, str]]:
    return [(notice.event, notice.line) for notice in over_time.notices]


def test_a_changed_set_of_drifts_is_sent_in_one_line() -> None:
    two = resource("toy_thing.web", outside("value", "one", "x"), outside("tags.team", "core", "eve"))
    over_time = Passes()
    over_time.look(changed("blue", "x"))
    over_time.look(drifted("blue", two, fingerprint="two"))
    over_time.look(drifted("blue", resource("toy_thing.web", outside("tags.team", "core", "bob")), fingerprint="three"))
    assert sent_lines(over_time)[1:] == [
        (AlertEvent.CHANGED, "new: toy_thing.web tags.team."),
        (AlertEvent.CHANGED, "gone: toy_thing.web value; changed again: toy_thing.web tags.team."),
    ]


def test_a_pending_change_is_alerted_once_it_is_old() -> None:
    over_time = Passes()
    assert over_time.look(waiting("blue", "a", held=False)) == []
    assert over_time.look(waiting("blue", "a", held=False), after=timedelta(hours=23)) == []
    (notice,) = over_time.look(waiting("blue", "a", held=False), after=timedelta(hours=2))
    assert (notice.event, notice.alert.first_seen_at) == (AlertEvent.OPENED, NOON)


def test_commits_that_are_applied_elsewhere_hand_no_age_on() -> None:
    over_time = Passes()
    for subject in ("a", "b", "c", "d", "e"):
        assert over_time.look(waiting("blue", subject, held=False), after=timedelta(hours=6)) == []
    assert over_time.look(waiting("blue", "e", "f", held=False), after=timedelta(hours=25)) != []
    (notice,) = over_time.look(waiting("blue", "g", held=False))
    assert notice.line == "other commits are pending now: 0000000000 g."


def test_what_returns_after_it_was_resolved_is_alerted_again_after_the_usual_delay() -> None:
    over_time = Passes()
    broken = unknown("blue", ErrorKind.PLAN, "no")
    for environment in (broken, broken, in_sync("blue"), broken, broken):
        over_time.look(environment)
    assert [event for event, _ in sent_lines(over_time)] == [
        AlertEvent.OPENED,
        AlertEvent.RESOLVED,
        AlertEvent.OPENED,
    ]
    assert len({notice.alert.id for notice in over_time.notices}) == 2


def resolution(after: EnvironmentReport) -> str | None:
    """How drift of `toy_thing.web` ended, given the report in which it is gone."""
    over_time = Passes()
    over_time.look(changed("blue"))
    (notice,) = over_time.look(after)
    assert notice.event is AlertEvent.RESOLVED
    return notice.alert.resolution


def test_an_end_states_what_ended_it() -> None:
    adopted = resource("toy_thing.web", change("value", Label.ADOPTED, "one", "outside", "outside"))
    ruled = replace(change("value", Label.NOISE, "one", "outside", "one"), ignored_by="toy_thing.*: value")
    other_rule = replace(change("size", Label.NOISE, 1, 2, 1), ignored_by="toy_thing.*: size")
    commit = HEAD[:10]
    assert resolution(in_sync("blue")) == "The value equals the configuration again."
    assert resolution(report("blue", Verdict.IN_SYNC, adopted, action=Action.NONE, closure_hash="c2")) == (
        f"Adopted: the configuration at {commit} matches reality."
    )
    assert resolution(in_sync("blue", closure_hash="c2")) == (
        f"Reality equals the configuration at {commit} again: probably adopted, or reverted beside a commit."
    )
    assert resolution(report("blue", Verdict.IN_SYNC, resource("toy_thing.web", ruled), action=Action.NONE)) == (
        "Covered by an ignore rule: toy_thing.*: value."
    )
    assert resolution(report("blue", Verdict.IN_SYNC, resource("toy_thing.web", other_rule), action=Action.NONE)) == (
        "The value equals the configuration again."
    )
    taken_over = resource("toy_thing.web", change("value", Label.PENDING, "outside", "outside", "one", certain=False))
    assert resolution(report("blue", Verdict.PENDING, taken_over, reasons=["policy_alert: pending"])) == (
        "The state now holds the outside change, and it still differs from the configuration: see what is pending."
    )
    ignored = resource("toy_thing.web", change("value", Label.NOISE, "one", "outside", "outside"))
    assert resolution(report("blue", Verdict.IN_SYNC, ignored, action=Action.NONE, closure_hash="c2")) == (
        f"Ignored by the configuration at {commit} (`ignore_changes`)."
    )
    applied = report("blue", Verdict.IN_SYNC, action=Action.APPLY, reasons=["policy_revert: drift", "applied: 1"])
    assert resolution(applied) == f"Reverted by DriftGuard's apply at {commit}."


def test_what_was_changed_outside_is_kept_however_much_else_there_is() -> None:
    pending = [change(f"a{n}", Label.PENDING, 1, 1, 2) for n in range(50)]
    others = [resource(f"toy_thing.a[{n}]", *pending) for n in range(300)]
    web = resource("toy_thing.web", *pending, outside("value", "one", "two"))
    over_time = Passes()
    over_time.look(report("blue", Verdict.DIVERGED, *others, web, reasons=["policy_alert: drift"]))
    (alert,) = over_time.standing()
    first = alert.report.resources[0]
    assert (first.address, first.attributes[0].path) == ("toy_thing.web", "value")
    assert (first.attributes_omitted, alert.report.resources_omitted) == (21, 101)


def test_an_environment_that_is_no_longer_looked_at_ends_its_alert_once() -> None:
    over_time = Passes()
    over_time.look(changed("blue"), unknown("green", ErrorKind.PLAN, "no"))
    ended = {
        alert.environment: forgotten(alert, run_id="last", now=over_time.now) for alert in over_time.alerts.values()
    }
    assert [notice.event for notice in ended["blue"].notices] == [AlertEvent.RESOLVED]
    assert ended["green"].notices == ()  # nothing was sent that it cannot be judged
    assert {alert.state for end in ended.values() for alert in end.alerts} == {AlertState.RESOLVED}


def test_an_alert_of_an_earlier_version_of_fingerprints_goes_on_without_a_second_message() -> None:
    web = resource("toy_thing.web", outside("rules[0]", "one", "two"))
    now = resource("toy_thing.web", outside("rules[]", "one", "two"))
    over_time = Passes(UNGROUPED)
    over_time.look(drifted("blue", web, fingerprint="d" * 64))
    told = over_time.look(drifted("blue", now, fingerprint="2-" + "e" * 64))
    assert [notice.event for notice in told] == [AlertEvent.REFRESHED]
    (alert,) = over_time.standing()
    assert alert.fingerprint == "2-" + "e" * 64
    again = over_time.look(drifted("blue", now, fingerprint="2-" + "f" * 64))
    assert [notice.event for notice in again] == [AlertEvent.CHANGED]


def test_another_object_is_news_in_an_alert_of_an_earlier_version_too() -> None:
    web = resource("toy_thing.web", outside("value", "one", "two"))
    over_time = Passes(UNGROUPED)
    over_time.look(drifted("blue", web, fingerprint="d" * 64))
    other = resource("toy_thing.other", outside("value", "one", "two"))
    (notice,) = over_time.look(drifted("blue", web, other, fingerprint="2-" + "e" * 64))
    assert (notice.event, notice.line) == (AlertEvent.CHANGED, "new: toy_thing.other.")
