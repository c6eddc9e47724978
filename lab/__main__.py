"""`python -m lab --runs N --seed N [--first]`."""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from lab.play import Tally, play


def main() -> int:
    """Play histories and print what occurred; 1 where a label was wrong."""
    parser = argparse.ArgumentParser(prog="python -m lab")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--first", action="store_true", help="shrink the first wrong history and end there")
    asked = parser.parse_args()
    tally = Tally()
    share = -(-asked.runs // asked.jobs)
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
        seeds = [asked.seed * 1000 + job for job in range(asked.jobs)]
        for part in pool.map(play, [share] * asked.jobs, seeds, [asked.first] * asked.jobs):
            tally.add(part)
    return show(tally)


def show(tally: Tally) -> int:
    """Print the table of occurrences, what went wrong, and the last line."""
    for name, count in sorted(tally.occurred.items()):
        if not name.startswith("pair"):
            print(f"{count:6} {name}")
    groups = defaultdict(list)
    for kind, _, text in tally.wrong:
        groups[kind].append((len(text), text))
    for kind, found in sorted(groups.items(), key=lambda item: -len(item[1])):
        print(f"\n### {len(found)} × {kind}\n{min(found)[1]}")
    everything = [mismatch for _, mismatches, _ in tally.wrong for mismatch in mismatches]
    uncertain = sum(mismatch.only_uncertain for mismatch in everything)
    wrong = len(everything) - uncertain
    print(
        f"{tally.histories} histories, {tally.labels} labels checked, {wrong} wrong, {uncertain} uncertain"
        + (f", {tally.invalid} not playable" if tally.invalid else "")
    )
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
