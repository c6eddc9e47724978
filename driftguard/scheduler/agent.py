"""The loop of the agent: one run after the other, at the times of a cadence, at a new commit, or as a retry."""

from __future__ import annotations

import logging
import queue
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, Literal, Protocol, TypeVar

from driftguard.errors import DriftGuardError, UsageError
from driftguard.ports import DefectLog
from driftguard.scheduler.cadence import Cadence, DueSet, joined
from driftguard.scheduler.state import AgentState
from driftguard.scheduler.timetable import Timetable
from driftguard.sealed import mask

log = logging.getLogger(__name__)

T = TypeVar("T")
FailureKind = Literal["usage", "run", "defect"]

_INITIAL_RETRY: Final = timedelta(seconds=30)
_MAX_RETRY: Final = timedelta(minutes=15)
# Maximum interval between two iterations: a suspended machine does not count the time of its suspension.
_MAX_WAIT_SECONDS: Final = 60.0


class WakeEvent:
    """The machine's clock; code ends its wait, also a signal handler, where a `threading.Event` could deadlock."""

    def __init__(self) -> None:
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return datetime.now(UTC)

    def set(self) -> None:
        """End the present wait, or the next one."""
        self._wakes.put(None)

    def wait(self, seconds: float) -> None:
        """Sleep for that time, or until `set` is called."""
        with suppress(queue.Empty):
            self._wakes.get(timeout=max(0.0, seconds))
            while True:
                self._wakes.get_nowait()


@dataclass(frozen=True, slots=True)
class _Problem:
    """A failure: one masked sentence, and its kind; a commit can fix `usage`.

    Only the text is kept: an exception would keep every object of its frames.
    """

    text: str
    kind: FailureKind

    @property
    def misconfigured(self) -> bool:
        return self.kind == "usage"


class AgentWork(Protocol):
    """What an agent does on a schedule. An exception of `run` or `cadences` is a failed run, which is retried."""

    def run(self, due: DueSet, judged: Callable[[], None]) -> None:
        """One run. It is retried with a backoff, after a UsageError also at once at a new commit.

        Args:
            judged: is called in this thread for each environment that is judged: the run makes progress.
        """
        ...

    def head(self) -> str | None:
        """The commit at the head of the tracked branch, cheaply; None or an exception if it is not known."""
        ...

    def changed(self, head: str) -> frozenset[str]:
        """The environments whose closure at that commit differs from the one of their last run."""
        ...

    def cadences(self) -> Mapping[str, Cadence]:
        """The cadence of each environment that has its own; read again before each run."""
        ...

    def patience(self) -> timedelta:
        """How long one environment may take at most, as `cadences` read it last."""
        ...

    def deliver(self) -> None:
        """Send what came to be sent between two runs; nothing without it."""
        ...

    def watch_interval(self) -> timedelta | None:
        """The time from one look at all environments to the next, as the last run read it; None for no watch."""
        ...

    def differing(self) -> frozenset[str]:
        """The environments that a look without plans finds changed since they were planned."""
        ...


class AgentClock(Protocol):
    """The time by which an agent runs."""

    def now(self) -> datetime:
        """The present moment, aware."""
        ...

    def wait(self, seconds: float) -> None:
        """Sleep that long; returns early once `request_stop` or `request_reload` was called."""
        ...


class AgentObserver(Protocol):
    """Publishes what an agent does; called in the agent's thread."""

    def take(self, state: AgentState) -> None:
        """Each new state, at least once a minute between runs."""
        ...

    def failed(self, kind: FailureKind) -> None:
        """A failed run: `usage` (configuration), `run` (operator) or `defect`."""
        ...


class _Backoff:
    """The delay before a retry: 30 seconds after the first failure, doubled by each other, at most 15 minutes."""

    def __init__(self) -> None:
        self.failures = 0
        self._delay = _INITIAL_RETRY

    def failed(self) -> timedelta:
        """Count a failure; the delay before the retry."""
        self.failures += 1
        delay, self._delay = self._delay, min(self._delay * 2, _MAX_RETRY)
        return delay

    def succeeded(self) -> None:
        """Reset the delay."""
        self.failures, self._delay = 0, _INITIAL_RETRY


class Agent:
    """Starts runs until a stop is requested; one after the other, never two at once.

    Args:
        default: the cadence of all environments that have none of their own.
        poll_seconds: the interval between two readings of the head.
        dice: the source of the jitter.
        start_jitter_seconds: maximum delay of the first run, so that many agents do not start at once.
    """

    def __init__(
        self,
        work: AgentWork,
        clock: AgentClock,
        observer: AgentObserver,
        defects: DefectLog,
        *,
        default: Cadence,
        poll_seconds: float = 60.0,
        dice: Random | None = None,
        start_jitter_seconds: float = 5.0,
    ) -> None:
        self._work, self._clock, self._observer, self._defects = work, clock, observer, defects
        self._poll_interval = timedelta(seconds=poll_seconds)
        self._dice = dice or Random()
        self._start_jitter = timedelta(seconds=start_jitter_seconds)
        self._timetable = Timetable(default, self._dice)
        self._stop_requested = self._reload_requested = False
        self._run_failures, self._head_failures = _Backoff(), _Backoff()
        self._misconfigured = False  # the cause of the failed run that is due again
        self._watch_at: datetime | None = None

    def request_stop(self) -> None:
        """Finish the present run, start no other. May be called from a signal handler, any number of times."""
        self._stop_requested = True

    def request_reload(self) -> None:
        """Read the cadences again and start a run of every environment. May be called from a signal handler."""
        self._reload_requested = True

    def run(self) -> None:
        """Loop until a stop is requested."""
        now = self._last_reading = self._clock.now()
        # The first run is due like a failed one: until it has succeeded.
        self._owed: DueSet | None = DueSet(None, "start")
        self._owed_at = self._poll_at = now + self._start_jitter * self._dice.random()
        self._timetable.begin(self._owed_at)
        self._state = AgentState(now, now, self._owed_at, self._timetable.longest_interval(now))
        while not self._stop_requested:
            self._tick()
            if not self._stop_requested:
                until = min(self._state.next_due, self._poll_at, self._watch_at or self._poll_at) - self._clock.now()
                self._clock.wait(min(max(until.total_seconds(), 0.0), _MAX_WAIT_SECONDS))

    def _tick(self) -> None:
        _, problem = self._attempt(self._work.deliver)
        if problem is not None:
            log.warning("An acknowledgement could not be shown: %s The next run shows it.", problem.text)
        due = self._take_due(self._read_clock())
        if due is not None and not self._stop_requested:
            self._run_due(due)
        self._publish(last_tick=self._read_clock(), next_due=self._next_start())

    def _take_due(self, now: datetime) -> DueSet | None:
        """Every environment that is due now, as one run; those of a failed run join any other run."""
        found = self._timetable.take_due(now)
        if self._reload_requested:
            self._reload_requested = False
            found = joined(found, DueSet(None, "reload"))
        if self._owed is not None and (found or now >= self._owed_at):
            found = joined(found, self._owed)
        if now >= self._poll_at:
            commit = self._poll(found)
            found = joined(joined(found, commit), self._owed if commit else None)
        return found or self._watched(now)

    def _watched(self, now: datetime) -> DueSet | None:
        """Look at all environments, if it is time to; those that changed are due."""
        if self._watch_at is None or now < self._watch_at or self._owed is not None:
            return None
        names, problem = self._attempt(self._work.differing)
        interval = self._work.watch_interval()
        self._watch_at = None if interval is None else max(now + interval, self._read_clock())
        if problem is not None:
            log.warning("The look at the environments failed: %s Scheduled runs continue.", problem.text)
        return DueSet(names, "watch") if names else None

    def _poll(self, found: DueSet | None) -> DueSet | None:
        """Check for a new commit; the environments that it makes due."""
        head, problem = self._attempt(self._work.head)
        due: DueSet | None = None
        # A run of every environment covers each change of the commit.
        if head is not None and head != self._state.head and (found is None or not found.is_everything):
            due, problem = self._due_at(head)
        delay = self._poll_interval
        if head is None or problem is not None:
            delay = max(delay, self._head_failures.failed())
            log.warning(
                "The check for a new commit failed: %s Retry in %d s; scheduled runs continue.",
                problem.text if problem else "The tracked branch cannot be reached.",
                delay.total_seconds(),
            )
        else:
            self._head_failures.succeeded()
            self._publish(head=head)
        self._poll_at = self._read_clock() + delay
        return due

    def _due_at(self, head: str) -> tuple[DueSet | None, _Problem | None]:
        """The environments that a new commit makes due, or the failure to determine them."""
        names, problem = self._attempt(lambda: self._work.changed(head))
        if problem is not None and problem.misconfigured:
            # The run reports the error, and stays due: for every environment, once the error is fixed.
            return DueSet(None, "commit"), None
        if names or (names is not None and self._misconfigured):
            return DueSet(names, "commit"), None
        return None, problem

    def _run_due(self, due: DueSet) -> None:
        started = self._read_clock()
        self._owed = due
        self._publish(last_tick=started, running_since=started, last_progress=None, judged=0)
        _, problem = self._attempt(lambda: self._run_owed(due, started))
        ended = self._read_clock()
        self._misconfigured = problem is not None and problem.misconfigured
        interval = self._work.watch_interval()
        self._watch_at = None if interval is None else started + interval
        if problem is None:
            self._owed = None
            self._run_failures.succeeded()
        else:
            kind, delay = problem.kind, self._run_failures.failed()
            self._attempt(lambda: self._observer.failed(kind))
            self._owed_at = min(ended + delay, self._timetable.next_due)
            again = f" Retry in {max(0, round((self._owed_at - ended).total_seconds()))} s"
            again += ", and at once at a new commit." if self._misconfigured else "."
            log.warning("The run failed: %s%s", problem.text, "" if self._stop_requested else again)
        self._publish(
            last_tick=ended,
            running_since=None,
            last_progress=None,
            judged=0,
            last_run_ended=ended,
            last_error=problem.text if problem else None,
            failures_in_a_row=self._run_failures.failures,
            next_due=self._next_start(),
        )

    def _run_owed(self, due: DueSet, now: datetime) -> None:
        moved = self._timetable.assign(self._work.cadences(), now)
        self._publish(longest_interval=self._timetable.longest_interval(now), patience=self._work.patience())
        # An environment with a new cadence is due now, and its interval starts now.
        due = replace(due, excluding=due.excluding & self._timetable.own)
        self._owed = due | DueSet(moved, "cadence") if moved else due
        self._work.run(self._owed, self._progressed)

    def _progressed(self) -> None:
        self._publish(last_progress=self._clock.now(), judged=self._state.judged + 1)

    def _next_start(self) -> datetime:
        return self._timetable.next_due if self._owed is None else min(self._timetable.next_due, self._owed_at)

    def _read_clock(self) -> datetime:
        """The present time. If the clock was set back, every wait is counted from now."""
        now = self._clock.now()
        if now < self._last_reading - timedelta(seconds=1):
            self._timetable.begin(now)
            self._owed_at = min(self._owed_at, now + _MAX_RETRY)
            self._poll_at = now
        self._last_reading = now
        return now

    def _attempt(self, call: Callable[[], T]) -> tuple[T | None, _Problem | None]:
        """Call a callback; its result, or its failure."""
        try:
            return call(), None
        except DriftGuardError as error:
            log.debug("%s", mask("".join(traceback.format_exception(error))).rstrip())
            text = mask(" ".join(str(error).split())).rstrip(".") + "."
            return None, _Problem(text, "usage" if isinstance(error, UsageError) else "run")
        except Exception as error:  # noqa: BLE001 - the boundary of the agent's run: no failure may end the loop
            return None, _Problem(self._defects.write(error, "the agent's loop"), "defect")

    def _publish(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        _, problem = self._attempt(lambda: self._observer.take(self._state))
        if problem is not None:
            log.warning("The state of the agent could not be published: %s", problem.text)
