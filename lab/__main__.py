"""`python -m lab [--runs N] [--seed N] [--history NAME] [--probe] [--shrink] [--mutants]`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from math import inf
from multiprocessing import get_context
from typing import TYPE_CHECKING, Final

from lab.mutants import INTACT, MUTANTS, hunt

if TYPE_CHECKING:
    from lab.play import Tally

_CHUNK: Final = 25
_HUNTED: Final = 1000


def main() -> int:
    """Play histories and print what occurred; 1 where a label was wrong, or a mutant was not found."""
    parser = argparse.ArgumentParser(prog="python -m lab")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=inf, help="report what was played after this time, and end")
    parser.add_argument("--history", default="", help="play one again, by the name that is printed with it")
    parser.add_argument("--probe", action="store_true", help="play through the probe, and hold it against bare plans")
    parser.add_argument("--shrink", action="store_true", help="make the first wrong history small and end there")
    parser.add_argument("--mutants", action="store_true", help="break the classifier, one way after another")
    parser.add_argument("--within", type=int, default=_HUNTED, help="with --mutants: in so many histories each")
    parser.add_argument("--only", default="", help="with --mutants: those whose name contains this")
    asked = parser.parse_args()
    if asked.mutants:
        return _mutants(asked.seed, asked.jobs, asked.within, [m.name for m in MUTANTS if asked.only in m.name])
    if asked.history:
        return _repeat(asked.history, asked.probe)
    manner = "probe" if asked.probe else "shrink" if asked.shrink else "count"
    return _play(asked.runs, asked.seed, asked.jobs, manner, asked.minutes)


def _mutants(seed: int, jobs: int, within: int, names: Sequence[str]) -> int:
    """Print after how many histories each mutant is found, and whether as many find nothing without one."""
    missed, most = 0, 0
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = [(name, pool.submit(hunt, name, within, seed)) for name in names]
        for name, future in waiting:
            histories, noticed = future.result()
            missed, most = missed + (not noticed), max(most, histories)
            found = f"found after {histories:4}: {noticed}" if noticed else f"NOT FOUND in {histories}"
            print(f"{name:40} {found}", flush=True)
        played, noticed = pool.submit(hunt, INTACT, most, seed).result()
    print(f"without a mutant, {played} histories: {noticed or 'nothing found'}")
    print(f"{len(names)} mutants, {missed} not found")
    return 1 if missed or noticed else 0


def _repeat(name: str, probe: bool) -> int:
    from lab.play import repeat

    wrong = [text for _, _, text in repeat(name, probe=probe).wrong]
    print("\n".join(wrong) or "nothing is wrong")
    return 1 if wrong else 0


def _play(runs: int, seed: int, jobs: int, manner: str, minutes: float) -> int:
    from lab.play import Tally, play

    started, tally = time.monotonic(), Tally()
    sizes = [min(_CHUNK, runs - at) for at in range(0, runs, _CHUNK)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        seeds = [seed * 100_000 + number for number in range(len(sizes))]
        waiting = [pool.submit(play, *each, manner) for each in zip(sizes, seeds, strict=True)]
        for future in waiting:
            if time.monotonic() - started > minutes * 60:
                pool.shutdown(wait=False, cancel_futures=True)
                break
            part = future.result()
            tally.add(part)
            print(f"{tally.histories} histories, {sum(tally.mistakes)} mistakes", file=sys.stderr, flush=True)
            print(*(f"\n### {kind}\n{text}" for kind, _, text in part.wrong), sep="", file=sys.stderr, flush=True)
    print("\n".join(_report(tally)))
    quiet = [tally.occurred[f"probe: nothing changed, {by}"] for by in ("probe", "plan")]
    if any(quiet):
        print(f"{quiet[0]} of {sum(quiet)} steps without a change answered by the probe")
    wrong, uncertain = tally.mistakes
    print(
        f"{tally.histories} histories, {tally.labels} labels checked, {wrong} wrong, {uncertain} uncertain "
        f"({time.monotonic() - started:.0f} s)" + (f"; {tally.invalid} not playable" if tally.invalid else "")
    )
    return 1 if tally.wrong else 0


def _report(tally: Tally) -> Iterator[str]:
    """The table of occurrences, then one history of each kind of mistake."""
    pairs = [count for name, count in tally.occurred.items() if name.startswith("pair")]
    for name, count in sorted(tally.occurred.items()):
        if not name.startswith("pair"):
            yield f"{count:6} {name}"
    yield f"{len(pairs):6} pairs of kinds, each at least {min(pairs, default=0)} times"
    groups = defaultdict(list)
    for kind, _, text in tally.wrong:
        groups[kind].append((len(text), text))
    for kind, found in sorted(groups.items(), key=lambda item: -len(item[1])):
        yield f"\n### {len(found)} × {kind}\n{min(found)[1]}"


if __name__ == "__main__":
    sys.exit(main())
