"""One reconciler that is interrupted at a chosen step by others: every place where two of them can meet, in order.

A step is a call of the engine or of the ledger. At the chosen one the other reconciler makes its whole run, in the same
thread, so that each meeting is the same each time it is tried.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.model import Action, RunResult
from tests.support.memory_engine import MemoryEngine, MemoryStates
from tests.support.memory_estate import MemoryEstate, found

NAME = "blue"
_PARTS = ("attempts", "leases", "alerts", "past_attempts", "record")
_WRONG = frozenset({"uncertain", "state_replaced", "conflict", "creation_unknown", "apply_failed"})


class Steps:
    """Counts the steps of a run, and calls what waits for one.

    Attributes:
        count: steps since the last `arm`.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiting: dict[int, Callable[[], None]] = {}

    def arm(self, *waiting: tuple[int, Callable[[], None]]) -> None:
        """Begin to count; each call waits for one step, in the order of the steps."""
        self.count, self._waiting = 0, dict(waiting)

    def step(self) -> None:
        if threading.current_thread().name.startswith("lease of"):
            return  # a renewal comes whenever it comes
        self.count += 1
        called = self._waiting.pop(self.count, None)
        if called is not None:
            called()


class Stepping:
    """A part of the ledger whose calls are steps."""

    def __init__(self, part: Any, steps: Steps) -> None:
        self._part, self._steps = part, steps

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._part, name)
        if not callable(value):
            return Stepping(value, self._steps) if name in _PARTS else value

        def call(*arguments: Any, **named: Any) -> Any:
            self._steps.step()
            return value(*arguments, **named)

        return call


class SteppingEngine(MemoryEngine):
    """The engine in memory, whose calls are steps."""

    def __init__(self, states: MemoryStates, steps: Steps) -> None:
        super().__init__(states)
        self._steps = steps

    def plan(self, *arguments: Any, **named: Any) -> Any:
        self._steps.step()
        return super().plan(*arguments, **named)

    def apply(self, *arguments: Any, **named: Any) -> Any:
        self._steps.step()
        return super().apply(*arguments, **named)

    def state_identity(self, *arguments: Any, **named: Any) -> Any:
        self._steps.step()
        return super().state_identity(*arguments, **named)


class Meeting:
    """An environment, its reconcilers, and what may happen while one of them works."""

    def __init__(self, folder: Path) -> None:
        self.steps = Steps()
        self.estate = MemoryEstate(folder, (NAME,))
        self.estate.ledger = cast(SqlLedger, Stepping(self.estate.ledger, self.steps))
        self.estate.broken[NAME] = SteppingEngine(self.estate.states, self.steps)
        self.toy = self.estate.toys[NAME]
        self.wanted, self.changes = "one", 1
        self.results: list[RunResult] = []

    def run(self, machine: str) -> None:
        self.results.append(self.estate.run(acts=True, machine=machine))

    def commit(self) -> None:
        """Commit a change; it is to be made once."""
        self.changes += 1
        self.wanted = f"commit {self.changes}"
        self.estate.write({NAME: self.wanted})

    def outside(self) -> None:
        """Change the thing outside Terraform, if it is there; that is to be reverted once."""
        if (self.toy.folder / "web.json").exists():
            self.changes += 1
            self.toy.change("web", value=f"outside {self.changes}")

    def nothing(self) -> None:
        """Leave all as it is."""

    def problems(self) -> list[str]:
        """What went wrong, once two more runs had the last word."""
        self.steps.arm()
        for machine in ("a", "b", "c"):
            self.run(machine)
        wrong = [
            f"{end.verdict}: {end.decision} {end.fault or ''}"
            for end in (found(result, NAME) for result in self.results)
            if any(reason.name in _WRONG for reason in end.decision.reasons)
            or (end.fault is not None and end.fault.kind.value not in ("locked", "state_moved"))
        ]
        last = found(self.results[-1], NAME)
        if last.decision.action is not Action.NONE or self.toy.thing("web")["value"] != self.wanted:
            wrong.append(f"not settled: {last.verdict}, {last.decision}, {self.toy.thing('web')}")
        if last.baseline is None or last.baseline.commit != self.estate.sandbox.git("rev-parse", "HEAD"):
            wrong.append(f"baseline {last.baseline}")
        effects = Counter(self.toy.effects())
        if effects["create web"] != 1 or effects.total() > self.changes:
            wrong.append(f"effects {dict(effects)} for {self.changes} changes")
        return wrong + [fault.message for fault in self.estate.ledger.verify()]


BEFORE: dict[str, Callable[[Meeting], None]] = {
    "first apply": Meeting.nothing,
    "commit": Meeting.commit,
    "outside": Meeting.outside,
    "in sync": Meeting.nothing,
}
MEANWHILE: dict[str, Callable[[Meeting], None]] = {
    "nothing": Meeting.nothing,
    "commit": Meeting.commit,
    "outside": Meeting.outside,
}
# A commit and a change outside Terraform, of one attribute and at once, are a conflict, rightly on hold.
PAIRS = [(before, other) for before in BEFORE for other in MEANWHILE if {before, other} != {"commit", "outside"}]


def begun(folder: Path, before: str) -> Meeting:
    """An environment with something to do for its reconcilers."""
    meeting = Meeting(folder)
    if before != "first apply":
        meeting.run("a")
        BEFORE[before](meeting)
    return meeting


def steps_of(folder: Path, before: str) -> int:
    """How many steps the run of one reconciler has."""
    meeting = begun(folder, before)
    meeting.steps.arm()
    meeting.run("a")
    return meeting.steps.count


def meet(folder: Path, before: str, meanwhile: str, step: int, second: int | None = None) -> list[str]:
    """Let a second reconciler make its run at one step of the first; what went wrong.

    Args:
        second: a step, counted from the beginning of the first, at which a third one makes its run too.
    """
    meeting = begun(folder, before)

    def other() -> None:
        MEANWHILE[meanwhile](meeting)
        meeting.run("b")

    waiting = [(step, other)] + ([(second, lambda: meeting.run("c"))] if second is not None else [])
    meeting.steps.arm(*waiting)
    meeting.run("a")
    return [f"{before}, {meanwhile} at step {step}, {second}: {problem}" for problem in meeting.problems()]
