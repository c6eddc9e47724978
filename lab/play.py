"""Plays histories: draws each with hypothesis, counts what occurred, keeps what went wrong."""

from __future__ import annotations

import contextlib
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import StringIO
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from driftguard.errors import DriftGuardError
from lab.changes import CHANGES
from lab.drawing import draw_configuration, draw_types
from lab.history import History, described
from lab.judge import Mismatch
from lab.opinions import OPINIONS, unreadable
from lab.probing import play_probed
from lab.provider import Provider
from lab.remedies import ACTING, applied
from lab.site import Site, TerraformFailed
from lab.statestore import StateStore
from lab.truth import verdict
from lab.values import Dice


class Drawn(Dice):
    """Draws with hypothesis."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def number(self, least: int, most: int) -> int:
        drawn: int = self._data.draw(st.integers(least, most))
        return drawn

    def choice(self, options: Sequence[Any]) -> Any:
        return options[self._data.draw(st.integers(0, len(options) - 1))]


class Rolled(Dice):
    """Draws from one seed alone: the same history on every machine, whatever else is loaded."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)


@dataclass
class Tally:
    """What occurred over many histories."""

    histories: int = 0
    labels: int = 0
    invalid: int = 0
    occurred: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, list[Mismatch], str]] = field(default_factory=list)

    @property
    def mistakes(self) -> tuple[int, int]:
        """How many labels were wrong, and how many right but uncertain."""
        everything = [mismatch for _, mismatches, _ in self.wrong for mismatch in mismatches]
        uncertain = sum(mismatch.only_uncertain for mismatch in everything)
        return len(everything) - uncertain, uncertain

    def add(self, other: Tally) -> None:
        """Count what another process counted."""
        self.histories += other.histories
        self.labels += other.labels
        self.invalid += other.invalid
        self.occurred += other.occurred
        self.wrong += other.wrong


class Wrong(AssertionError):
    """DriftGuard's report differs from the truth."""


def play_one(dice: Dice, provider: Provider, store: StateStore, tally: Tally) -> list[Mismatch]:
    """Draw one history, play it, judge it; what differs."""
    types = draw_types(dice)
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        site = Site(Path(folder), provider, types, store=store if dice.flag(3) else None, modern=dice.flag(16))
        history = History(site, dice, draw_configuration(dice, types, actions=site.modern))
        if site.store is not None:
            history.policy = _policy(dice)
            site.settings = ACTING.format(**history.policy)
        try:
            mismatches = _played(history, tally)
        except TerraformFailed as failed:
            tally.invalid += 1
            tally.wrong.append(("terraform failed", [], "\n".join((*described(history), str(failed)))))
            return []
        except DriftGuardError as error:
            mismatches = [Mismatch("run", "a report", f"{type(error).__name__}: {error}")]
        tally.histories += 1
        if mismatches:
            text = "\n".join((*described(history), *(f"  ✗ {mismatch}" for mismatch in mismatches)))
            tally.wrong.append((mismatches[0].kind, mismatches, text))
        return mismatches


def _policy(dice: Dice) -> dict[str, str]:
    return {
        "pending": dice.choice(("apply", "alert")),
        "drift": dice.choice(("revert", "alert")),
        "input": dice.choice(("apply", "alert")),
    }


def _played(history: History, tally: Tally) -> list[Mismatch]:
    dice = history.dice
    mismatches = history.begin(baseline=not dice.flag(12))
    if mismatches:
        return mismatches
    for _ in range(dice.number(2, 10)):
        history.happen(CHANGES)
    if dice.flag(20) and any(not history.is_forgotten(address) for address in history.site.state().objects):
        tally.occurred["verdict unknown"] += 1
        mismatches = list(unreadable(history))
        if mismatches:
            return mismatches
    truth, report, mismatches = history.judge()
    _count(tally, history, truth)
    if mismatches:
        return mismatches
    if history.policy and history.then is not None:
        tally.occurred["opinion apply"] += 1
        found = list(applied(history))
        tally.occurred.update(history.noted)
        return found or _after_an_apply(history, tally)
    if dice.flag():
        opinion = dice.choice(list(OPINIONS))
        tally.occurred[f"opinion {opinion}"] += 1
        return list(OPINIONS[opinion](history, report))
    return []


def _after_an_apply(history: History, tally: Tally) -> list[Mismatch]:
    """Where DriftGuard applied, its baseline holds every value: what then happens is judged once more."""
    if history.applied_at != history.site.head or not history.dice.flag():
        return []
    history.then = history.seen_applied()
    for _ in range(history.dice.number(1, 3)):
        history.happen(CHANGES)
    truth, _, mismatches = history.judge()
    tally.occurred["opinion after an apply"] += 1
    _count(tally, history, truth)
    return mismatches


def _count(tally: Tally, history: History, truth: Any) -> None:
    facts = [fact for expected in truth.values() for fact in expected.facts]
    tally.labels += len(facts)
    tally.occurred.update(f"label {fact.label}" for fact in facts)
    tally.occurred[f"verdict {verdict(e.labels for e in truth.values())}"] += 1
    tally.occurred["Terraform with actions"] += history.site.modern
    tally.occurred["action invoked"] += sum("action." in address for address in truth)
    tally.occurred.update(f"kind {kind}" for kind in set(history.kinds))
    pairs = combinations(sorted(set(history.kinds)), 2)
    tally.occurred.update(f"pair {one} + {other}" for one, other in pairs)


def _rolled(seed: str, provider: Provider, store: StateStore, tally: Tally, *, probe: bool = False) -> None:
    before = len(tally.wrong)
    try:
        if probe:
            play_probed(Rolled(seed), provider, tally)
        else:
            play_one(Rolled(seed), provider, store, tally)
    except (AssertionError, LookupError, TypeError, ValueError):
        tally.invalid += 1
        tally.wrong.append(("the laboratory failed", [], traceback.format_exc()))
    found = tally.wrong[before:]
    tally.wrong[before:] = [(kind, each, f"  history {seed}\n{text}") for kind, each, text in found]


def repeat(seed: str, *, probe: bool = False) -> Tally:
    """Play one history again, by the seed that is printed with it."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="lab-") as folder, ExitStack() as stack:
        provider = stack.enter_context(Provider(Path(folder) / "provider"))
        _rolled(seed, provider, stack.enter_context(StateStore()), tally, probe=probe)
    return tally


def play(runs: int, seed: int, manner: str) -> Tally:
    """Play many histories in this process.

    Args:
        manner: `count` plays all of them, each drawn from the seed and its number alone; `end at the first` ends where
            one is wrong; `probe` plays them through the probe;
            `shrink` lets hypothesis draw, and makes the first that is wrong small.
    """
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="lab-") as folder, ExitStack() as stack:
        provider = stack.enter_context(Provider(Path(folder) / "provider"))
        store = stack.enter_context(StateStore())
        if manner != "shrink":
            for number in range(runs):
                _rolled(f"{seed}/{number}", provider, store, tally, probe=manner == "probe")
                if manner == "end at the first" and any(mismatches for _, mismatches, _ in tally.wrong):
                    break
            return tally

        @hypothesis.seed(seed)
        @settings(
            max_examples=runs,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(st.data())
        def one(data: Any) -> None:
            mismatches = play_one(Drawn(data), provider, store, tally)
            if mismatches:
                raise Wrong(mismatches[0].kind)

        with contextlib.suppress(Wrong, Flaky), contextlib.redirect_stdout(StringIO()):
            one()
    return tally
