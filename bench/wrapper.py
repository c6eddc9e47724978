"""Runs commands side by side in a process of their own and says what they and all their descendants used.

Takes one JSON object on standard input: `commands` (a list of `arguments` and `directory`) and `at_a_time`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def _run(command: dict[str, Any]) -> tuple[int, str]:
    done = subprocess.run(
        command["arguments"],
        cwd=command["directory"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return done.returncode, done.stderr[-2000:]


job = json.load(sys.stdin)
started = time.perf_counter()
with ThreadPoolExecutor(job["at_a_time"]) as executor:
    endings = list(executor.map(_run, job["commands"]))
wall = time.perf_counter() - started
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump({"wall": wall, "cpu": used.ru_utime + used.ru_stime, "endings": endings}, sys.stdout)
