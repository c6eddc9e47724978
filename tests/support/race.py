"""Several reconcilers at once on one ledger, without Terraform: the same commits and drift, whoever acts on them."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from driftguard.adapters.sql.opening import open_ledger
from driftguard.model import Action, RunResult
from driftguard.ports import ApplyProgress, ApplyRun, PlanRun, WorkingDirectory
from tests.support.memory_engine import MemoryEngine, MemoryStates
from tests.support.memory_estate import MemoryEstate, found

MACHINES = ("a", "b", "c")
_NAME = "blue"
_LONGEST_PAUSE_SECONDS = 0.15


class Halting(MemoryEngine):
    """Pauses for random times before and after each step, so that reconcilers meet at every point."""

    def __init__(self, states: MemoryStates, chance: random.Random) -> None:
        super().__init__(states)
        self._chance = chance

    def _pause(self) -> None:
        time.sleep(self._chance.uniform(0, _LONGEST_PAUSE_SECONDS))

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        self._pause()
        run = super().plan(work, plan_file, lock_timeout_seconds=lock_timeout_seconds)
        self._pause()
        return run

    def apply(
        self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None, progress: ApplyProgress
    ) -> ApplyRun:
        self._pause()
        run = super().apply(work, plan_file, lock_timeout_seconds=lock_timeout_seconds, progress=progress)
        self._pause()
        return run


def race(folder: Path, seed: int, ledger_url: str | None = None) -> list[str]:
    """Let three reconcilers meet over a first apply, a commit, drift and another commit; what went wrong.

    Args:
        ledger_url: the ledger that they share, which each of them opens; a SQLite file by default.
    """
    chance = random.Random(seed)
    estate = MemoryEstate(folder, (_NAME,), ledger_url)
    estate.ledger.key()  # one process cannot make the schema in several threads
    estate.broken[_NAME] = Halting(estate.states, chance)
    toy, wrong = estate.toys[_NAME], list[str]()
    for step, value in enumerate(("one", "two", "outside", "three")):
        if value == "outside":
            toy.change("web", value=value)
        elif step:
            estate.write({_NAME: value})
        with ThreadPoolExecutor(len(MACHINES)) as threads:
            results = list(threads.map(partial(_run, estate), MACHINES))
        results.append(_run(estate, "d"))
        wrong += [f"seed {seed}, step {step}: {problem}" for problem in _problems(results, toy.effects(), step)]
    estate.ledger.close()
    with closing(open_ledger(estate.ledger_url)) as ledger:
        return wrong + [f"seed {seed}: {fault.message}" for fault in ledger.verify()]


def _run(estate: MemoryEstate, machine: str) -> RunResult:
    with closing(open_ledger(estate.ledger_url)) as ledger:
        return estate.run(acts=True, machine=machine, ledger=ledger)


def _problems(results: list[RunResult], effects: list[str], step: int) -> list[str]:
    ends = [found(result, _NAME) for result in results]
    problems = [
        f"{end.verdict}: {end.decision.reasons} {end.fault or ''}"
        for end in ends
        if any(reason.name in ("uncertain", "state_replaced", "conflict") for reason in end.decision.reasons)
        or (end.fault is not None and end.fault.kind.value not in ("locked", "state_moved"))
    ]
    if ends[-1].decision.action is not Action.NONE:
        problems.append(f"not settled: {ends[-1].verdict}, {ends[-1].decision}")
    if len(effects) != step + 1:
        problems.append(f"effects {effects}")
    return problems
