"""The loop that runs one pass after the other: when a cadence falls due, a commit arrives, or a pass is tried again."""

from __future__ import annotations

import logging
import queue
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, TypeVar

from driftguard.errors import DriftGuardError, UsageError
from driftguard.scheduler.cadence import Cadence, Due, joined
from driftguard.scheduler.state import AgentState
from driftguard.scheduler.timetable import Timetable
from driftguard.sealed import mask

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_RETRY: Final = timedelta(seconds=30)
_LAST_RETRY: Final = timedelta(minutes=15)
# The loop looks around at least so often: a machine that slept does not count that time while it waits.
_LONGEST_WAIT_SECONDS: Final = 60.0


class Bell:
    """A wait that anybody may cut short, also from a signal handler, where an `Event` could lock up its own thread."""

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        """End the wait that goes on, or the next one."""
        self._rings.put(None)

    def wait(self, seconds: float) -> None:
        """Sleep so long, or until somebody rings."""
        with suppress(queue.Empty):
            self._rings.get(timeout=max(0.0, seconds))
            while True:
                self._rings.get_nowait()


@dataclass(frozen=True, slots=True)
class _Problem:
    """What went wrong, in one masked sentence, and whether the configuration is to blame, which a commit may mend.

    Only the text is kept: an exception would keep everything that its call held.
    """

    text: str
    misconfigured: bool


class _Backoff:
    """When to try again: 30 seconds after the first failure, twice as long after each other, at most 15 minutes."""

    def __init__(self) -> None:
        self.failures = 0
        self._delay = _FIRST_RETRY

    def failed(self) -> timedelta:
        """Count a failure; gives how long to wait."""
        self.failures += 1
        delay, self._delay = self._delay, min(self._delay * 2, _LAST_RETRY)
        return delay

    def succeeded(self) -> None:
        """Begin anew."""
        self.failures, self._delay = 0, _FIRST_RETRY


class Agent:
    """Runs passes until it is told to stop; one after the other, never two at once.

    Args:
        run_pass: one pass; what it gives is not looked at. An exception means that it failed; after a UsageError it is
            tried again at once when there is a new commit, like any other later and later.
        head: the commit at the head of the tracked branch, cheaply; None or an exception when it cannot be told.
        changed: the environments whose closure at that commit is not the one that was looked at last.
        cadences: the cadence of each environment that has its own; read again before each pass.
        default: the cadence of all others.
        wait: sleeps so many seconds; returns early once `request_stop` or `request_reload` was called.
        now: the present moment, aware.
        poll_seconds: the time between two looks at `head`.
        on_state: is given each new state, at least once a minute outside a pass. Called in the agent's thread.
        dice: where the jitter comes from.
        start_jitter_seconds: the first pass is put off by up to this, so that many agents do not start as one.
    """

    def __init__(
        self,
        *,
        run_pass: Callable[[Due], object],
        head: Callable[[], str | None],
        changed: Callable[[str], frozenset[str]],
        cadences: Callable[[], Mapping[str, Cadence]],
        default: Cadence,
        wait: Callable[[float], None],
        now: Callable[[], datetime],
        poll_seconds: float = 60.0,
        on_state: Callable[[AgentState], None],
        dice: Random | None = None,
        start_jitter_seconds: float = 5.0,
    ) -> None:
        self._run_pass, self._look, self._changed, self._cadences = run_pass, head, changed, cadences
        self._wait, self._now, self._on_state = wait, now, on_state
        self._poll_interval = timedelta(seconds=poll_seconds)
        self._dice = dice or Random()
        self._start_jitter = timedelta(seconds=start_jitter_seconds)
        self._timetable = Timetable(default, self._dice)
        self._stop_requested = self._reload_requested = False
        self._pass_failures, self._head_failures = _Backoff(), _Backoff()
        self._misconfigured = False  # the pass that is owed failed because of that

    def request_stop(self) -> None:
        """Finish the pass that runs, start no other. May be called from a signal handler, any number of times."""
        self._stop_requested = True

    def request_reload(self) -> None:
        """Read the cadences again and run a pass over everything now. May be called from a signal handler."""
        self._reload_requested = True

    def run(self) -> None:
        """The loop; returns when a stop was requested."""
        now = self._last_reading = self._now()
        # The first pass is owed like one that failed: it is done when it has succeeded.
        self._owed: Due | None = Due(None, "start")
        self._owed_at = self._poll_at = now + self._start_jitter * self._dice.random()
        self._timetable.begin(self._owed_at)
        self._state = AgentState(now, now, self._owed_at, self._timetable.longest_interval(now))
        while not self._stop_requested:
            self._tick()
            if not self._stop_requested:
                until = min(self._state.next_due, self._poll_at) - self._now()
                self._wait(min(max(until.total_seconds(), 0.0), _LONGEST_WAIT_SECONDS))

    def _tick(self) -> None:
        due = self._take_due(self._read_clock())
        if due is not None and not self._stop_requested:
            self._pass(due)
        self._publish(last_tick=self._read_clock(), next_due=self._next_start())

    def _take_due(self, now: datetime) -> Due | None:
        """Everything that is to be looked at now, as one pass; what an earlier pass owes joins whatever is due."""
        found = self._timetable.take_due(now)
        if self._reload_requested:
            self._reload_requested = False
            found = joined(found, Due(None, "reload"))
        if self._owed is not None and (found or now >= self._owed_at):
            found = joined(found, self._owed)
        if now >= self._poll_at:
            commit = self._poll(found)
            found = joined(joined(found, commit), self._owed if commit else None)
        return found

    def _poll(self, found: Due | None) -> Due | None:
        """Look for a new commit; gives what it makes due."""
        head, problem = self._attempt(self._look)
        due: Due | None = None
        # A pass over everything covers whatever the commit changes.
        if head is not None and head != self._state.head and (found is None or not found.is_everything):
            due, problem = self._due_at(head)
        delay = self._poll_interval
        if head is None or problem is not None:
            delay = max(delay, self._head_failures.failed())
            log.warning(
                "A new commit could not be looked for: %s It is tried again in %d s; passes go on by their cadence.",
                problem.text if problem else "The tracked branch cannot be reached.",
                delay.total_seconds(),
            )
        else:
            self._head_failures.succeeded()
            self._publish(head=head)
        self._poll_at = self._read_clock() + delay
        return due

    def _due_at(self, head: str) -> tuple[Due | None, _Problem | None]:
        """What a commit that is new makes due, or why that cannot be told."""
        names, problem = self._attempt(lambda: self._changed(head))
        if problem is not None and problem.misconfigured:
            # The pass says what is wrong, and is owed from then on: as one over everything, once that is mended.
            return Due(None, "commit"), None
        if names or (names is not None and self._misconfigured):
            return Due(names, "commit"), None
        return None, problem

    def _pass(self, due: Due) -> None:
        started = self._read_clock()
        self._owed = due
        self._publish(last_tick=started, running_since=started, last_pass_started=started)
        _, problem = self._attempt(lambda: self._run_owed(due, started))
        ended = self._read_clock()
        self._misconfigured = problem is not None and problem.misconfigured
        if problem is None:
            self._owed = None
            self._pass_failures.succeeded()
        else:
            delay = self._pass_failures.failed()
            self._owed_at = min(ended + delay, self._timetable.next_due)
            again = f" It is tried again in {max(0, round((self._owed_at - ended).total_seconds()))} s"
            again += ", and at once when there is a new commit." if self._misconfigured else "."
            log.warning("The pass failed: %s%s", problem.text, "" if self._stop_requested else again)
        self._publish(
            last_tick=ended,
            running_since=None,
            last_pass_ended=ended,
            last_error=problem.text if problem else None,
            failures_in_a_row=self._pass_failures.failures,
            next_due=self._next_start(),
        )

    def _run_owed(self, due: Due, now: datetime) -> None:
        moved = self._timetable.assign(self._cadences(), now)
        self._publish(longest_interval=self._timetable.longest_interval(now))
        # Who has a new cadence is looked at now, and counts from now on.
        due = replace(due, excluding=due.excluding & self._timetable.own)
        self._owed = due | Due(moved, "cadence") if moved else due
        self._run_pass(self._owed)

    def _next_start(self) -> datetime:
        return self._timetable.next_due if self._owed is None else min(self._timetable.next_due, self._owed_at)

    def _read_clock(self) -> datetime:
        """The present moment; where it lies before the last one, nothing waits for the clock to get there again."""
        now = self._now()
        if now < self._last_reading - timedelta(seconds=1):
            self._timetable.begin(now)
            self._owed_at = min(self._owed_at, now + _LAST_RETRY)
            self._poll_at = now
        self._last_reading = now
        return now

    def _attempt(self, call: Callable[[], T]) -> tuple[T | None, _Problem | None]:
        """Call something from outside; gives its answer, or what went wrong."""
        try:
            return call(), None
        except Exception as error:  # noqa: BLE001 - the boundary of the loop: no failure may end it
            log.debug("%s", mask("".join(traceback.format_exception(error))).rstrip())
            if isinstance(error, DriftGuardError):
                text = mask(" ".join(str(error).split())).rstrip(".") + "."
            else:
                text = f"A defect in DriftGuard ({type(error).__name__}); run with -v and report what it prints."
            return None, _Problem(text, isinstance(error, UsageError))

    def _publish(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        _, problem = self._attempt(lambda: self._on_state(self._state))
        if problem is not None:
            log.warning("The state of the agent could not be told: %s", problem.text)
