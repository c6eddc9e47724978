"""The agent's life on a clock that only moves when it waits or works: days of it take milliseconds."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from hypothesis import example, given
from hypothesis import strategies as st

from driftguard.config.cron import next_after
from driftguard.errors import OperatorError, UsageError
from driftguard.scheduler import Agent, AgentState, Cadence, DueSet, WakeEvent, healthy

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def every(minutes: float, jitter: float = 0.0) -> Cadence:
    return Cadence(every=minutes * MINUTE, jitter=jitter)


class Defects:
    """Names defects and writes nothing."""

    def write(self, error: BaseException, doing: str) -> str:
        return f"A defect in DriftGuard ({type(error).__name__})."


@dataclass
class Life:
    """An agent and all that surrounds it."""

    clock: time_machine.Traveller
    default: Cadence = field(default_factory=lambda: every(15))
    own: dict[str, Cadence] = field(default_factory=dict)
    seed: int = 1
    start_jitter_seconds: float = 0.0
    pass_lasts: timedelta = timedelta()
    environments: int = 1
    tracked: str | None = "a1"
    stops_at_look: bool = False
    changes: dict[str, frozenset[str]] = field(default_factory=dict)
    outages: list[tuple[str, datetime, datetime, Exception]] = field(default_factory=list)
    events: list[tuple[datetime, Callable[[], None]]] = field(default_factory=list)
    passes: list[tuple[datetime, DueSet]] = field(default_factory=list)
    looks: list[datetime] = field(default_factory=list)
    watch: timedelta | None = None
    differs: dict[datetime, frozenset[str]] = field(default_factory=dict)
    watched: list[datetime] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    states: list[AgentState] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    depth: int = 0

    def __post_init__(self) -> None:
        self.agent = Agent(
            self,
            self,
            self,
            Defects(),
            default=self.default,
            dice=Random(self.seed),
            start_jitter_seconds=self.start_jitter_seconds,
        )

    def now(self) -> datetime:
        return datetime.now(UTC)

    def live(self, until: timedelta) -> Life:
        self.on(until, self.agent.request_stop)
        self.agent.run()
        return self

    def on(self, after: timedelta, event: Callable[[], None]) -> None:
        """Let something happen; it is noticed while the agent waits or right after a pass."""
        self.events.append((self.now() + after, event))
        self.events.sort(key=lambda each: each[0])

    def sets(self, after: timedelta, **attributes: Any) -> None:
        def change() -> None:
            for name, value in attributes.items():
                setattr(self, name, value)

        self.on(after, change)

    def out(self, what: str, begin: timedelta, end: timedelta, error: Exception) -> None:
        self.outages.append((what, self.now() + begin, self.now() + end, error))

    @property
    def starts(self) -> list[datetime]:
        return [start for start, _ in self.passes]

    @property
    def tries(self) -> list[float]:
        """When each pass began, also one that did not get as far as reading the cadences, in minutes since noon."""
        begun = dict.fromkeys(state.running_since for state in self.states if state.running_since)
        return [(start - NOON) / MINUTE for start in begun]

    @property
    def minutes(self) -> list[float]:
        """When each pass started, in minutes since noon."""
        return [(start - NOON) / MINUTE for start in self.starts]

    def wait(self, seconds: float) -> None:
        assert 0 <= seconds <= 60
        until = self.now() + timedelta(seconds=seconds)
        for event in [event for event in self.events if event[0] <= until]:
            self.clock.move_to(max(event[0], self.now()))
            self.events.remove(event)
            event[1]()
            return
        self.clock.move_to(until)

    def run(self, due: DueSet, judged: Callable[[], None]) -> None:
        self.depth += 1
        assert self.depth == 1
        self.passes.append((self.now(), due))
        for _ in range(self.environments):
            self.clock.shift(self.pass_lasts / self.environments)
            judged()
        for event in [event for event in self.events if event[0] <= self.now()]:
            self.events.remove(event)
            event[1]()
        self.depth -= 1
        self._fail("pass")

    def head(self) -> str | None:
        self.looks.append(self.now())
        if self.stops_at_look:
            self.agent.request_stop()
        self._fail("head")
        return self.tracked

    def changed(self, head: str) -> frozenset[str]:
        self.asked.append(head)
        self._fail("changed")
        return self.changes.get(head, frozenset())

    def patience(self) -> timedelta:
        return HOUR

    def deliver(self) -> None: ...

    def watch_interval(self) -> timedelta | None:
        return self.watch

    def differing(self) -> frozenset[str]:
        """What a probe of every environment finds changed since its plan."""
        self.watched.append(self.now())
        self._fail("watch")
        changed = [moment for moment in self.differs if moment <= self.now()]
        return frozenset().union(*(self.differs.pop(moment) for moment in changed))

    def cadences(self) -> Mapping[str, Cadence]:
        self._fail("cadences")
        return dict(self.own)

    def take(self, state: AgentState) -> None:
        self.states.append(state)
        self._fail("on_state")

    def failed(self, kind: str) -> None:
        self.failures.append(kind)

    def _fail(self, what: str) -> None:
        for name, begin, end, error in self.outages:
            if name == what and begin <= self.now() < end:
                # A new one each time: an error that is raised again drags along all that it went through before.
                raise type(error)(*error.args)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def test_the_first_run_looks_at_everything_at_once_and_the_others_follow_the_cadence(
    clock: time_machine.Traveller,
) -> None:
    life = Life(clock).live(HOUR)
    assert life.minutes == [0, 15, 30, 45]
    assert [due for _, due in life.passes] == [DueSet(None, "start"), *[DueSet(None, "cadence")] * 3]


def test_a_watch_looks_each_minute_between_the_runs_and_plans_only_what_changed(clock: time_machine.Traveller) -> None:
    life = Life(clock, watch=MINUTE, differs={NOON + 4.5 * MINUTE: frozenset({"prod"})}).live(14 * MINUTE)
    assert life.minutes == [0, 5]
    assert life.passes[1][1] == DueSet(frozenset({"prod"}), "watch")
    assert [round((moment - NOON) / MINUTE) for moment in life.watched] == list(range(1, 14))


def test_a_watch_that_fails_is_reported_and_tried_again(
    clock: time_machine.Traveller, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(clock, watch=MINUTE)
    life.out("watch", 2 * MINUTE, 4 * MINUTE, OperatorError("The cloud is away."))
    life.live(6 * MINUTE)
    assert len(life.watched) == 5
    assert life.minutes == [0]
    assert "The look at the environments failed: The cloud is away." in caplog.text


def test_without_a_watch_nothing_is_looked_at_between_the_runs(clock: time_machine.Traveller) -> None:
    assert Life(clock).live(HOUR).watched == []


def test_a_hundred_agents_do_not_start_together(clock: time_machine.Traveller) -> None:
    firsts = []
    for seed in range(100):
        clock.move_to(NOON)
        firsts.append(Life(clock, seed=seed, start_jitter_seconds=30).live(MINUTE).minutes[0])
    assert len(set(firsts)) == 100
    assert 0 <= min(firsts) < 0.05
    assert 0.45 < max(firsts) <= 0.5


def test_each_start_is_put_off_within_its_share_evenly_and_the_rhythm_does_not_drift(
    clock: time_machine.Traveller,
) -> None:
    life = Life(clock, every(15, jitter=0.1)).live(5 * DAY)
    delays = [minute - 15 * number for number, minute in enumerate(life.minutes)][1:]
    assert len(delays) == 479
    assert all(0 <= delay <= 1.5 for delay in delays)
    quarters = [sum(low <= delay < low + 0.375 for delay in delays) for low in (0, 0.375, 0.75, 1.125)]
    assert min(quarters) > 90


def test_the_jitter_of_an_agent_can_be_repeated(clock: time_machine.Traveller) -> None:
    lives = []
    for seed in (7, 7, 8):
        clock.move_to(NOON)
        lives.append(Life(clock, every(15, jitter=0.2), seed=seed).live(DAY).starts)
    assert lives[0] == lives[1] != lives[2]


def test_no_run_begins_before_the_last_has_ended_and_what_was_missed_is_caught_up_once(
    clock: time_machine.Traveller,
) -> None:
    life = Life(clock, pass_lasts=50 * MINUTE)
    life.sets(MINUTE, pass_lasts=timedelta())
    life.live(2 * HOUR)
    # 15, 30 and 45 went by during the first pass: one pass makes up for them, then the rhythm goes on.
    assert life.minutes == [0, 50, 60, 75, 90, 105]


def test_after_a_sleep_of_the_machine_there_is_one_run_and_then_the_rhythm_again(
    clock: time_machine.Traveller,
) -> None:
    life = Life(clock)
    life.on(20 * MINUTE, lambda: clock.shift(8 * HOUR))
    life.live(9 * HOUR)
    assert life.minutes == [0, 15, 500, 510, 525]


def test_a_clock_that_is_set_back_does_not_stop_the_runs(clock: time_machine.Traveller) -> None:
    life = Life(clock)

    def set_back() -> None:
        clock.shift(-6 * HOUR)
        life.on(40 * MINUTE, life.agent.request_stop)

    life.on(20 * MINUTE, set_back)
    life.agent.run()
    assert life.minutes == [0, 15, -325, -310]
    assert sum(look < NOON for look in life.looks) == 40


def test_environments_with_their_own_cadence_run_on_it_and_what_is_due_together_makes_one_run(
    clock: time_machine.Traveller,
) -> None:
    life = Life(clock, every(30), own={"prod": every(10), "lab": every(60), "stage": every(10)}).live(61 * MINUTE)
    often, own = frozenset({"prod", "stage"}), frozenset({"prod", "stage", "lab"})
    assert [(minute, due) for minute, (_, due) in zip(life.minutes, life.passes, strict=True)] == [
        (0, DueSet(None, "start")),
        (10, DueSet(often, "cadence")),
        (20, DueSet(often, "cadence")),
        (30, DueSet(None, "cadence", frozenset({"lab"}))),
        (40, DueSet(often, "cadence")),
        (50, DueSet(often, "cadence")),
        (60, DueSet(None, "cadence")),
    ]
    assert not DueSet(None, "cadence", own).covers("lab")


def test_what_is_due_together_makes_one_run_also_with_jitter(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(30, jitter=0.2), own={"prod": every(10, jitter=0.2)}).live(DAY - MINUTE)
    assert len(life.passes) == 144
    assert sum(due.covers("others") for _, due in life.passes) == 48


def test_an_own_cadence_like_the_default_makes_no_job_of_its_own(clock: time_machine.Traveller) -> None:
    life = Life(clock, own={"prod": every(15)}).live(20 * MINUTE)
    assert [due for _, due in life.passes] == [DueSet(None, "start"), DueSet(None, "cadence")]


def test_cadences_are_read_before_each_run_and_a_new_one_counts_from_then(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(30))
    life.sets(20 * MINUTE, own={"prod": every(10)})
    life.sets(55 * MINUTE, own={"prod": every(20)})
    life.sets(85 * MINUTE, own={})
    life.live(2 * HOUR)
    prod = frozenset({"prod"})
    assert [(minute, due.environments) for minute, (_, due) in zip(life.minutes, life.passes, strict=True)] == [
        (0, None),
        (30, None),
        (40, prod),
        (50, prod),
        (60, None),
        (80, prod),
        (90, None),
    ]
    assert all(due.covers("prod") for _, due in life.passes)


def test_who_gets_a_cadence_is_looked_at_in_the_very_run_that_reads_it(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(60), own={"prod": every(10)})
    life.sets(15 * MINUTE, own={"prod": every(10), "lab": every(15)})
    life.live(36 * MINUTE)
    assert [(minute, due.environments) for minute, (_, due) in zip(life.minutes, life.passes, strict=True)] == [
        (0, None),
        (10, {"prod"}),
        (20, {"prod", "lab"}),
        (30, {"prod"}),
        (35, {"lab"}),
    ]


def test_a_new_commit_wakes_a_run_over_what_it_changes_and_only_once(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(60), changes={"b2": frozenset({"prod"})})
    life.sets(10 * MINUTE, tracked="b2")
    life.live(HOUR)
    assert [(due.reason, due.environments) for _, due in life.passes] == [("start", None), ("commit", {"prod"})]
    assert 10 <= life.minutes[1] <= 11
    assert life.asked == ["b2"]


def test_a_commit_that_changes_no_environment_makes_no_run(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(60))
    life.sets(10 * MINUTE, tracked="b2")
    life.live(HOUR)
    assert len(life.passes) == 1
    assert life.asked == ["b2"]


def test_the_branch_is_looked_at_every_minute(clock: time_machine.Traveller) -> None:
    life = Life(clock).live(HOUR)
    assert [(look - NOON) / MINUTE for look in life.looks] == list(range(60))


def test_a_run_over_everything_covers_the_commit_it_finds(clock: time_machine.Traveller) -> None:
    life = Life(clock, changes={"b2": frozenset({"prod"})})
    life.sets(15 * MINUTE - SECOND, tracked="b2")
    life.live(20 * MINUTE)
    assert [due for _, due in life.passes] == [DueSet(None, "start"), DueSet(None, "cadence")]
    assert life.asked == []


def test_a_commit_joins_a_run_that_leaves_something_out(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(60), own={"prod": every(15)}, changes={"b2": frozenset({"lab"})})
    life.sets(15 * MINUTE - SECOND, tracked="b2")
    life.live(20 * MINUTE)
    assert life.passes[1][1] == DueSet(frozenset({"prod", "lab"}), "commit")
    assert len(life.passes) == 2


def test_a_commit_during_a_run_is_seen_right_after_it(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(60), pass_lasts=10 * MINUTE, changes={"b2": frozenset({"prod"})})
    life.sets(5 * MINUTE, tracked="b2")
    life.live(30 * MINUTE)
    assert life.minutes == [0, 10]


def test_a_run_that_a_commit_woke_and_that_failed_is_tried_again_by_backoff_not_by_the_commit(
    clock: time_machine.Traveller,
) -> None:
    life = Life(clock, every(60), changes={"b2": frozenset({"prod"})})
    life.sets(10 * MINUTE, tracked="b2")
    life.out("pass", 9 * MINUTE, 10 * MINUTE + 40 * SECOND, OperatorError("git is away"))
    life.live(HOUR)
    assert life.minutes == [0, 10, 10.5, 11.5]
    assert {due.environments for _, due in life.passes[1:]} == {frozenset({"prod"})}
    assert life.asked == ["b2"]


def test_a_failed_run_is_tried_again_after_growing_times_and_success_resets_them(
    clock: time_machine.Traveller,
) -> None:
    life = Life(clock, every(600))
    life.out("pass", timedelta(), 52 * MINUTE, OperatorError("the ledger is away"))
    life.out("pass", 599 * MINUTE, 600 * MINUTE + SECOND, OperatorError("the ledger is away"))
    life.live(620 * MINUTE)
    assert life.minutes == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 30.5, 45.5, 60.5, 600, 600.5]
    failures = [state.failures_in_a_row for state in life.states]
    assert max(failures) == 8
    assert life.states[-1].failures_in_a_row == 0
    assert life.states[-1].last_error is None


def test_a_retry_never_waits_beyond_the_next_start_and_joins_it(
    clock: time_machine.Traveller, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(clock, every(5), own={"lab": every(60)})
    life.out("pass", timedelta(), 19 * MINUTE, OperatorError("away"))
    life.live(26 * MINUTE)
    assert life.minutes == [0, 0.5, 1.5, 3.5, 5, 10, 15, 20, 25]
    delays = [record.getMessage().rpartition(" Retry in ")[2] for record in caplog.records]
    assert delays == ["30 s.", "60 s.", "120 s.", "90 s.", "300 s.", "300 s.", "300 s."]
    # Until it succeeded, everything was owed; after that `lab` has an hour again.
    assert [due.covers("lab") for _, due in life.passes] == [True] * 8 + [False]


@pytest.mark.parametrize("what", ["pass", "cadences"])
@pytest.mark.parametrize("error", [OperatorError("The mirror is away."), KeyError("x"), RecursionError()])
def test_whatever_fails_in_a_run_does_not_end_the_loop(
    clock: time_machine.Traveller, what: str, error: Exception
) -> None:
    life = Life(clock)
    life.out(what, timedelta(), 2 * HOUR, error)
    life.live(3 * HOUR)
    assert life.states[-1].failures_in_a_row == 0
    assert life.passes[-1][0] == NOON + 165 * MINUTE


def test_a_failure_is_reported_in_one_masked_sentence_with_its_traceback_for_debugging(
    clock: time_machine.Traveller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "driftguard")
    life = Life(clock)
    life.out("pass", timedelta(), SECOND, OperatorError("No answer from\nhttps://me:hunter22@git.example/x."))
    life.live(MINUTE)
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage() == ("The run failed: No answer from https://(sensitive)@git.example/x. Retry in 30 s.")
    (trace,) = [record for record in caplog.records if "Traceback" in record.getMessage()]
    assert trace.levelno == logging.DEBUG
    assert "hunter22" not in caplog.text
    assert life.failures == ["run"]
    errors = {state.last_error for state in life.states}
    assert errors == {None, "No answer from https://(sensitive)@git.example/x."}


def test_a_defect_is_named_without_its_text(clock: time_machine.Traveller, caplog: pytest.LogCaptureFixture) -> None:
    life = Life(clock)
    life.out("pass", timedelta(), SECOND, ValueError("the value was swordfish"))
    life.live(MINUTE)
    assert "A defect in DriftGuard (ValueError)" in caplog.text
    assert life.failures == ["defect"]
    assert "swordfish" not in caplog.text


@pytest.mark.parametrize("silent", [True, False])
def test_an_unreachable_remote_is_asked_less_often_and_never_stops_the_cadence(
    clock: time_machine.Traveller, silent: bool
) -> None:
    life = Life(clock, changes={"b2": frozenset({"prod"})})
    if silent:
        life.tracked = None
        life.sets(2 * HOUR - SECOND, tracked="b2")
    else:
        life.out("head", timedelta(), 2 * HOUR, OperatorError("no route"))
        life.tracked = "b2"
    life.live(3 * HOUR)
    looks = [(look - NOON) / MINUTE for look in life.looks if look < NOON + 2 * HOUR]
    assert looks == [0, 1, 2, 4, 8, 16, 31, 46, 61, 76, 91, 106]
    # No head was known, so the first one that is seen is compared, not taken for old.
    assert life.asked == ["b2"]
    assert [minute for minute in life.minutes if minute != 121] == list(range(0, 180, 15))
    assert life.passes[life.minutes.index(121)][1] == DueSet(frozenset({"prod"}), "commit")
    assert life.states[-1].failures_in_a_row == 0
    assert life.looks[-1] == NOON + 179 * MINUTE


def test_a_second_outage_of_the_remote_is_met_with_the_first_patience(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(600))
    life.out("head", timedelta(), 10 * MINUTE, OperatorError("no route"))
    life.out("head", 20 * MINUTE, 30 * MINUTE, OperatorError("no route"))
    life.live(33 * MINUTE)
    looks = [(look - NOON) / MINUTE for look in life.looks]
    assert looks == [0, 1, 2, 4, 8, 16, 17, 18, 19, 20, 21, 22, 24, 28]


def test_a_commit_that_could_not_be_compared_is_compared_later(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(60), changes={"b2": frozenset({"prod"})})
    life.sets(10 * MINUTE - SECOND, tracked="b2")
    life.out("changed", timedelta(), 12 * MINUTE - SECOND, OperatorError("fetch failed"))
    life.live(20 * MINUTE)
    assert life.minutes == [0, 12]
    assert life.asked == ["b2", "b2", "b2"]


WRONG = UsageError("driftguard.yaml:3: `every: soon` is no duration\ndriftguard.yaml:4: `evry` is no key")


def test_a_wrong_configuration_at_the_start_is_tried_again_with_patience_and_at_once_for_each_new_commit(
    clock: time_machine.Traveller, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(clock, every(600))
    for what in ("cadences", "changed"):
        life.out(what, timedelta(), 42 * MINUTE, WRONG)
    life.sets(10 * MINUTE - SECOND, tracked="b2")  # another wrong one
    life.sets(42 * MINUTE, tracked="c3")  # mended
    life.live(HOUR)
    assert life.tries == [0, 0.5, 1.5, 3.5, 7.5, 10, 25, 40, 42]
    assert life.passes == [(NOON + 42 * MINUTE, DueSet(None, "start"))]
    # The branch is looked at as often as ever.
    assert [(look - NOON) / MINUTE for look in life.looks] == [float(minute) for minute in range(60)]
    assert caplog.messages[0] == (
        "The run failed: driftguard.yaml:3: `every: soon` is no duration driftguard.yaml:4: `evry` is no key. "
        "Retry in 30 s, and at once at a new commit."
    )


def test_a_commit_that_makes_the_configuration_wrong_is_reported_by_a_run_and_costs_nothing_once_it_is_corrected(
    clock: time_machine.Traveller,
) -> None:
    life = Life(clock, every(600), changes={"b2": frozenset({"prod"})})
    for what in ("cadences", "changed"):
        life.out(what, 20 * MINUTE, 50 * MINUTE, WRONG)
    life.sets(20 * MINUTE, tracked="b2")
    life.sets(50 * MINUTE, tracked="c3")  # back to what it was: no environment differs from what was looked at last
    life.live(2 * HOUR)
    assert life.tries == [0, 20, 20.5, 21.5, 23.5, 27.5, 35.5, 50]
    assert life.passes == [
        (NOON, DueSet(None, "start")),
        (NOON + 50 * MINUTE, DueSet(None, "commit")),
    ]
    wrong = [state for state in life.states if state.last_error]
    assert {state.last_error for state in wrong} == {" ".join(str(WRONG).split()) + "."}
    unwell = [state.last_tick for state in life.states if not healthy(state, state.last_tick, HOUR)[0]]
    assert (min(unwell), max(unwell)) == (NOON + 27.5 * MINUTE, NOON + 50 * MINUTE)
    assert healthy(life.states[-1], life.now(), HOUR)[0]


def test_a_corrected_commit_is_found_also_when_an_outage_came_between(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(600))
    for what in ("cadences", "changed"):
        life.out(what, timedelta(), 20 * MINUTE, WRONG)
    life.out("head", 15 * MINUTE, 22 * MINUTE, OperatorError("no route"))
    life.sets(20 * MINUTE, tracked="b2")
    life.live(HOUR)
    # Whichever comes first: the pass that is tried again, or the look that goes through again.
    assert life.minutes == [23]


def test_an_outage_waits_also_when_there_is_a_new_commit_that_changes_nothing(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(600))
    life.out("pass", timedelta(), 10 * MINUTE, OperatorError("the ledger is away"))
    life.sets(5 * MINUTE, tracked="b2")
    life.live(HOUR)
    assert life.tries == [0, 0.5, 1.5, 3.5, 7.5, 15.5]


def test_a_stop_finishes_the_run_and_starts_no_other(clock: time_machine.Traveller) -> None:
    life = Life(clock, pass_lasts=40 * MINUTE)
    life.live(10 * MINUTE)
    assert life.minutes == [0]
    assert life.now() == NOON + 40 * MINUTE
    assert life.states[-1].running_since is None
    assert life.states[-1].last_run_ended == NOON + 40 * MINUTE


def test_a_stop_while_the_branch_is_looked_at_starts_no_run(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(60), changes={"b2": frozenset({"prod"})})
    life.sets(5 * MINUTE, tracked="b2", stops_at_look=True)
    life.agent.run()
    assert life.minutes == [0]
    assert life.asked == ["b2"]


def test_a_stop_before_the_first_run_runs_none(clock: time_machine.Traveller) -> None:
    life = Life(clock, start_jitter_seconds=600, seed=3)
    life.live(SECOND)
    assert life.passes == []


def test_a_reload_reads_the_cadences_and_looks_at_everything_now(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(60), own={"lab": every(120)})
    life.sets(4 * MINUTE, own={"lab": every(30)})
    life.on(5 * MINUTE, life.agent.request_reload)
    life.live(36 * MINUTE)
    assert [(minute, due) for minute, (_, due) in zip(life.minutes, life.passes, strict=True)] == [
        (0, DueSet(None, "start")),
        (5, DueSet(None, "reload")),
        (35, DueSet(frozenset({"lab"}), "cadence")),
    ]


def test_a_reload_during_a_run_comes_right_after_it(clock: time_machine.Traveller) -> None:
    life = Life(clock, every(60), pass_lasts=10 * MINUTE)
    life.on(5 * MINUTE, life.agent.request_reload)
    life.live(25 * MINUTE)
    assert [(minute, due.reason) for minute, (_, due) in zip(life.minutes, life.passes, strict=True)] == [
        (0, "start"),
        (10, "reload"),
    ]


def test_a_state_that_cannot_be_reported_does_not_end_the_loop(clock: time_machine.Traveller) -> None:
    life = Life(clock)
    life.out("on_state", timedelta(), DAY, OSError("disk full"))
    assert len(life.live(HOUR).passes) == 4


def test_the_state_follows_the_run(clock: time_machine.Traveller) -> None:
    life = Life(clock, pass_lasts=3 * MINUTE).live(20 * MINUTE)
    running = [state for state in life.states if state.running_since is not None]
    assert {state.running_since for state in running} == {NOON, NOON + 15 * MINUTE}
    last = life.states[-1]
    assert last.last_run_ended == NOON + 18 * MINUTE
    assert (last.next_due, last.head, last.longest_interval) == (NOON + 30 * MINUTE, "a1", 15 * MINUTE)
    ticks = [state.last_tick for state in life.states]
    assert max(later - earlier for earlier, later in pairwise(ticks)) <= 3 * MINUTE


def test_a_cron_cadence_starts_when_the_expression_states(clock: time_machine.Traveller) -> None:
    life = Life(clock, Cadence(cron="30 9-17/4 * * mon-fri", jitter=0)).live(DAY)
    assert [start.strftime("%a %H:%M") for start in life.starts[1:]] == ["Mon 13:30", "Mon 17:30", "Tue 09:30"]


def test_times_of_the_day_are_put_off_by_five_minutes_at_most(clock: time_machine.Traveller) -> None:
    life = Life(clock, Cadence(at=("02:00", "14:30"), zone="Europe/Berlin")).live(10 * DAY)
    walls = [start.astimezone(BERLIN).replace(tzinfo=None) for start in life.starts[1:]]
    assert [wall.hour for wall in walls] == [14, 2] * 10 or [wall.hour for wall in walls] == [2, 14] * 10
    assert all(0 <= wall.minute - (0 if wall.hour == 2 else 30) <= 5 for wall in walls)
    assert len({wall.minute * 60 + wall.second for wall in walls}) > 10


@pytest.mark.parametrize("machine", ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
@pytest.mark.parametrize(("month", "day", "hours"), [(3, 28, 23), (10, 24, 25)])
def test_an_interval_stays_even_while_the_clocks_of_the_machine_change(
    machine: str, month: int, day: int, hours: int
) -> None:
    begin = datetime(2026, month, day, 18, tzinfo=BERLIN)
    with time_machine.travel(begin.astimezone(ZoneInfo(machine)), tick=False) as clock:
        life = Life(clock).live(DAY)
    gaps = {later - earlier for earlier, later in pairwise(life.starts)}
    assert gaps == {15 * MINUTE}
    assert len(life.passes) == 96


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        # In spring 02:30 does not exist: the moment of the jump stands for it.
        (datetime(2026, 3, 28, 12, tzinfo=UTC), ["29 03:00 +0200", "30 02:30 +0200", "31 02:30 +0200"]),
        # In autumn it exists twice: the first one counts.
        (datetime(2026, 10, 24, 12, tzinfo=UTC), ["25 02:30 +0200", "26 02:30 +0100", "27 02:30 +0100"]),
    ],
)
@pytest.mark.parametrize("cadence", [{"at": ("02:30",)}, {"cron": "30 2 * * *"}])
def test_a_daily_time_comes_once_a_day_also_when_the_clocks_change(
    begin: datetime, expected: list[str], cadence: dict[str, Any]
) -> None:
    with time_machine.travel(begin.astimezone(BERLIN), tick=False) as clock:
        life = Life(clock, Cadence(**cadence, zone="Europe/Berlin", jitter=0)).live(3 * DAY)
    assert [start.astimezone(BERLIN).strftime("%d %H:%M %z") for start in life.starts[1:]] == expected


@given(
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll"]),
    begin=st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)),
    minutes=st.sampled_from([5, 10, 15, 30]),
)
@example(zone="Europe/Berlin", begin=datetime(2026, 10, 25, 0, 40), minutes=15)
@example(zone="Europe/Berlin", begin=datetime(2026, 3, 29, 0, 40), minutes=15)
@example(zone="Australia/Lord_Howe", begin=datetime(2026, 4, 4, 14, 40), minutes=5)
def test_a_rhythm_by_cron_has_no_gap_whatever_the_clocks_do(zone: str, begin: datetime, minutes: int) -> None:
    moment = begin.replace(tzinfo=UTC)
    for _ in range(4):
        found = next_after(f"*/{minutes} * * * *", zone, moment)
        assert found is not None
        assert timedelta() < found - moment <= minutes * MINUTE
        assert found.astimezone(ZoneInfo(zone)).minute % minutes == 0
        moment = found


@given(
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    begin=st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)),
    hour=st.integers(0, 23),
)
def test_a_time_of_the_day_comes_on_every_day_once(zone: str, begin: datetime, hour: int) -> None:
    moment, days = begin.replace(tzinfo=UTC), []
    for _ in range(4):
        found = next_after(f"30 {hour} * * *", zone, moment)
        assert found is not None
        days.append(found.astimezone(ZoneInfo(zone)).date())
        moment = found
    assert [(later - earlier).days for earlier, later in pairwise(days)] == [1, 1, 1]


def test_an_expression_that_never_comes_true_has_no_next_moment() -> None:
    assert next_after("0 0 30 2 *", "UTC", NOON) is None


@pytest.mark.parametrize(
    ("cadence", "words"),
    [
        ({}, "exactly one"),
        ({"every": HOUR, "cron": "* * * * *"}, "exactly one"),
        ({"every": timedelta()}, "one second"),
        ({"every": HOUR, "jitter": 1.0}, "jitter"),
        ({"every": HOUR, "jitter": -0.1}, "jitter"),
        ({"at": ("2:00",)}, "02:00"),
        ({"at": ("24:00",)}, "02:00"),
        ({"cron": "0 0 30 2 *"}, "five fields"),
        ({"cron": "* * * * * *"}, "five fields"),
        ({"cron": "* * * * *", "zone": "Europe/Atlantis"}, "Atlantis"),
    ],
)
def test_a_cadence_that_makes_no_sense_is_refused(cadence: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Cadence(**cadence)


@pytest.mark.parametrize(
    ("cadence", "longest"),
    [
        (Cadence(every=HOUR), HOUR),
        (Cadence(cron="0 9 * * mon-fri"), 3 * DAY),
        (Cadence(at=("08:00", "12:00")), 20 * HOUR),
    ],
)
def test_the_longest_interval_of_a_cadence(cadence: Cadence, longest: timedelta) -> None:
    assert cadence.longest_interval(NOON) == longest


def names() -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from("abcd"))


def dues() -> st.SearchStrategy[DueSet]:
    some = st.builds(lambda n: DueSet(n, "cadence"), names())
    return some | st.builds(lambda n: DueSet(None, "cadence", n), names())


@given(dues(), dues())
def test_two_runs_in_one_cover_what_either_covers(one: DueSet, other: DueSet) -> None:
    for name in "abcde":
        assert (one | other).covers(name) == (one.covers(name) or other.covers(name))


WELL = AgentState(
    started=NOON - DAY,
    last_tick=NOON,
    next_due=NOON + HOUR,
    longest_interval=HOUR,
    last_run_ended=NOON - MINUTE,
)


@pytest.mark.parametrize(
    ("changes", "well", "words"),
    [
        ({}, True, "next run starts at 2026-11-23T13:00:00"),
        ({"last_tick": NOON - 5 * MINUTE}, True, ""),
        ({"last_tick": NOON - 5 * MINUTE - SECOND}, False, "has not iterated"),
        ({"last_tick": NOON - HOUR, "running_since": NOON - HOUR}, True, "active since 2026-11-23T11:00:00"),
        ({"last_run_ended": NOON - 4 * HOUR}, True, ""),
        ({"last_run_ended": NOON - 4 * HOUR - SECOND}, False, "No run has ended"),
        # A run of ten hours that judged an environment an hour ago makes progress.
        (
            {"running_since": NOON - 10 * HOUR, "last_progress": NOON - HOUR, "judged": 7},
            True,
            "environments judged: 7",
        ),
        ({"running_since": NOON - 10 * HOUR, "last_progress": NOON - 2 * HOUR}, False, "judged no environment since"),
        ({"running_since": NOON - 106 * MINUTE}, False, "judged no environment since 2026-11-23T10:14:00"),
        ({"running_since": NOON - 3 * HOUR, "patience": 3 * HOUR}, True, ""),
        ({"running_since": NOON - MINUTE, "last_run_ended": NOON - 30 * HOUR}, True, ""),
        ({"last_run_ended": None, "started": NOON - HOUR}, True, ""),
        ({"last_run_ended": None, "started": NOON - 5 * HOUR}, False, "No run has ended"),
        ({"failures_in_a_row": 4, "last_error": "Away."}, True, ""),
        ({"failures_in_a_row": 5, "last_error": "Away."}, False, "5 consecutive runs have failed: Away."),
    ],
)
def test_what_is_healthy(changes: dict[str, Any], well: bool, words: str) -> None:
    answer, sentence = healthy(replace(WELL, **changes), NOON, HOUR)
    assert answer is well
    assert words in sentence


def test_a_healthy_life_is_healthy_at_every_moment(clock: time_machine.Traveller) -> None:
    life = Life(clock, pass_lasts=20 * MINUTE, own={"lab": Cadence(at=("03:00",))}).live(2 * DAY)
    assert all(healthy(state, state.last_tick, state.longest_interval)[0] for state in life.states)
    silences = [
        (later.last_tick - earlier.last_tick)
        for earlier, later in pairwise(life.states)
        if earlier.running_since is None
    ]
    assert max(silences) <= MINUTE


def test_a_long_run_is_healthy_while_it_judges_environments_and_not_when_it_stands_still(
    clock: time_machine.Traveller,
) -> None:
    steady = Life(clock, pass_lasts=20 * HOUR, environments=40).live(DAY)
    assert max(state.judged for state in steady.states) == 40
    assert {state.judged for state in steady.states if state.running_since is None} == {0}
    assert steady.states[-1].patience == HOUR
    assert all(
        healthy(state, (state.last_progress or state.last_tick) + 59 * MINUTE, HOUR)[0]
        for state in steady.states
        if state.running_since is not None
    )
    stuck = next(state for state in steady.states if state.judged == 7)
    assert stuck.last_progress is not None
    assert not healthy(stuck, stuck.last_progress + 61 * MINUTE, HOUR)[0]


def test_a_ring_ends_the_wait_also_when_it_came_before(clock: time_machine.Traveller) -> None:
    wake = WakeEvent()
    wake.set()
    wake.set()
    wake.wait(60)
    threading.Timer(0.05, wake.set).start()
    wake.wait(60)


class Reasons:
    """Work that only notes why it was started."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def run(self, due: DueSet, judged: Callable[[], None]) -> None:
        self.seen.append(due.reason)

    def patience(self) -> timedelta:
        return HOUR

    def head(self) -> str:
        return "a1"

    def changed(self, head: str) -> frozenset[str]:
        return frozenset()

    def cadences(self) -> Mapping[str, Cadence]:
        return {}

    def deliver(self) -> None: ...

    def watch_interval(self) -> None:
        return None

    def differing(self) -> frozenset[str]:
        return frozenset()

    def take(self, state: AgentState) -> None: ...

    def failed(self, kind: str) -> None: ...


def test_the_signals_of_a_real_process_reach_an_agent_that_waits() -> None:
    wake, work = WakeEvent(), Reasons()
    agent = Agent(work, wake, work, Defects(), default=Cadence(every=HOUR), start_jitter_seconds=0)

    def reload(*_: object) -> None:
        agent.request_reload()
        wake.set()

    def stop(*_: object) -> None:
        agent.request_stop()
        wake.set()

    def disturb() -> None:
        deadline = time.monotonic() + 30
        for number, length in ((signal.SIGHUP, 1), (signal.SIGTERM, 2)):
            while len(work.seen) < length and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.05)
            os.kill(os.getpid(), number)

    before = {signal.SIGHUP: signal.signal(signal.SIGHUP, reload), signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    try:
        thread = threading.Thread(target=disturb)
        thread.start()
        agent.run()
        thread.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert work.seen == ["start", "reload"]


@pytest.mark.soak
def test_memory_stays_flat_over_many_runs(clock: time_machine.Traveller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "driftguard")
    life = Life(clock, changes={"b2": frozenset({"prod"})})
    for begin in range(2, 120, 8):
        life.out("pass", begin * HOUR, (begin + 1) * HOUR, OperatorError("the ledger is away" * 50))
        life.out("head", (begin + 4) * HOUR, (begin + 5) * HOUR, OperatorError("git is away" * 50))
    sizes: list[int] = []

    def measure() -> None:
        """Forget what the test remembers, change everything that can change, and weigh what is left."""
        for remembered in (life.passes, life.looks, life.asked, life.states):
            remembered.clear()
        life.tracked = "b2" if life.tracked == "a1" else "a1"
        life.own = {f"e{len(sizes) % 5}": every(10 + len(sizes) % 3)}
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
        life.on(4 * HOUR, measure)

    life.on(4 * HOUR, measure)
    tracemalloc.start()
    try:
        life.live(5 * DAY)
    finally:
        tracemalloc.stop()
    assert len(sizes) == 29
    # The first outage fills Python's cache of source lines. After that a kilobyte kept of each pass would show.
    assert max(sizes[20:]) - max(sizes[2:10]) < 20_000
