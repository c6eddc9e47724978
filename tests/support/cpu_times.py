"""CPU seconds of each test with all the processes that it starts; wall time says little where other programs run too.

    python -m pytest -p tests.support.cpu_times --cpu-times FILE ...

Writes one line per test, appended as it ends: CPU seconds, wall seconds, test id, separated by tabs. Linux only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_TICKS = os.sysconf("SC_CLK_TCK")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-times", metavar="FILE", help="append the CPU seconds of each test to FILE")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Measure a test with its fixtures: what a session fixture costs counts for the first test that asks for it."""
    target = item.config.getoption("--cpu-times")
    if target is None or not Path("/proc").is_dir():
        return (yield)
    cpu, wall = tree_seconds(), time.monotonic()
    result = yield
    line = f"{tree_seconds() - cpu:.2f}\t{time.monotonic() - wall:.2f}\t{item.nodeid}\n"
    with Path(target).open("a") as stream:
        stream.write(line)
    return result


def tree_seconds() -> float:
    """CPU seconds of this process, of all that descend from it, and of all of theirs that ended and were waited for."""
    stats = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        stats[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    total, parents = stats[os.getpid()][1], {os.getpid()}
    while parents:
        parents = {pid for pid, (parent, _) in stats.items() if parent in parents}
        total += sum(stats[pid][1] for pid in parents)
    return total / _TICKS
