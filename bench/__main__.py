"""`python -m bench`: measures what is asked for and prints one Markdown table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from bench import classify, closures, estate, memory, probe, scan, web
from bench.measure import Result, machine, table
from driftguard.demo.cloud import PACKAGED_PROVIDER

_PARTS = ("classify", "closures", "estate", "memory", "scan", "probe", "web")


def main() -> int:
    """Exit code 0 where every target is reached, else 1."""
    options = _options()
    print(machine(), flush=True)
    parts: dict[str, Callable[[Path], Iterable[Result]]] = {
        "classify": lambda folder: classify.measure(folder, repetitions=options.repetitions),
        "closures": closures.measure,
        "estate": estate.measure,
        "memory": lambda folder: memory.measure(folder, environments=options.many),
        "probe": lambda folder: probe.measure(
            folder,
            environments=options.environments,
            repetitions=options.repetitions,
            provider=options.provider,
            mirror=options.mirror,
        ),
        "scan": lambda folder: scan.measure(
            folder,
            environments=options.environments,
            repetitions=options.repetitions,
            provider=options.provider,
            mirror=options.mirror,
        ),
    }
    parts["web"] = lambda folder: web.measure(folder, environments=options.estate, repetitions=options.repetitions)
    results: list[Result] = []
    for name in options.parts or _PARTS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="driftguard-bench-") as folder:
            results += parts[name](Path(folder))
    print(f"\n{table(results)}")
    return 0 if all(result.reached for result in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)}; default: all of them")
    parser.add_argument("--environments", type=int, default=20, help="how many the scan is measured on (%(default)s)")
    parser.add_argument("--many", type=int, default=200, help="how many the memory is measured on (%(default)s)")
    parser.add_argument("--estate", type=int, default=10_000, help="how many the web view has (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="how often each is run (%(default)s)")
    parser.add_argument("--provider", default=PACKAGED_PROVIDER, help="the AWS provider's version (%(default)s)")
    parser.add_argument("--mirror", type=Path, help="a folder with another AWS provider, laid out as a mirror")
    options = parser.parse_args()
    unknown = set(options.parts) - set(_PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; parts: {', '.join(_PARTS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
