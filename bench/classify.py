"""A plan of 50 MB, about 20,000 resources, read and classified."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.measure import DRIFTGUARD, MIB, PEAK, Result, home, run
from bench.plans import plan_text
from driftguard.cli.entrypoint import ALLOCATIONS_PER_COLLECTION

_RESOURCES = 20_000
_CHANGED_EVERY = 33
_PER_BLOCK = 50
_SECONDS_TARGET, _MEMORY_TARGET = 3.0, 4.0
# In a fresh process that collects garbage as the command does: seconds, and what the peak of resident memory grows by
# once everything is imported.
_PROGRAM = f"""{PEAK}
import gc, time
gc.set_threshold({ALLOCATIONS_PER_COLLECTION})
from driftguard.model.plan_document import read_document
from driftguard.pipeline.classify.labels import Evidence, classify
before, started, used = peak(), time.perf_counter(), time.process_time()
found = classify(read_document(pathlib.Path(sys.argv[1]).read_bytes()), Evidence(has_baseline=True), b"k" * 32)
print(time.perf_counter() - started, peak() - before, len(found.resources), time.process_time() - used)
"""


def measure(scratch: Path, *, repetitions: int) -> Iterator[Result]:
    """A plan with several hundred changes, and the worst case in which everything changes."""
    shapes = (
        (f"one resource in {_CHANGED_EVERY} changed", _CHANGED_EVERY, _PER_BLOCK),
        ("every resource changed and each is a block of its own", 1, 1),
    )
    for name, every, per_block in shapes:
        file = scratch / f"plan-{every}.json"
        file.write_bytes(plan_text(_RESOURCES, changed_every=every, per_block=per_block))
        size = file.stat().st_size
        runs = [_classified(file) for _ in range(repetitions)]
        seconds, memory = median(r[0] for r in runs), median(r[1] for r in runs) / size
        cpu = median(r[3] for r in runs)
        what = f"plan JSON of {size / 1e6:.0f} MB, {_RESOURCES:,} resources, {name} ({runs[0][2]:.0f} labelled)"
        took = f"{seconds:.2f} s ({cpu:.2f} s CPU)"
        yield Result(f"{what}: time", took, f"≤ {_SECONDS_TARGET:.0f} s", seconds <= _SECONDS_TARGET)
        yield Result(
            f"{what}: memory",
            f"{memory * size / MIB:.0f} MiB, {memory:.2f} × its size",
            f"≤ {_MEMORY_TARGET:.0f} ×",
            memory <= _MEMORY_TARGET,
        )
        command = [*DRIFTGUARD, "classify", str(file), "--format", "json"]
        whole = run([command], directories=[scratch], environment=home(scratch / "home"), codes=(2,))
        yield Result("the whole command `driftguard classify` on it, with its JSON report", str(whole))


def _classified(file: Path) -> tuple[float, ...]:
    arguments = [sys.executable, "-P", "-c", _PROGRAM, str(file)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return tuple(float(word) for word in done.stdout.split())
