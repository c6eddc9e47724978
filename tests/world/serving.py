"""How a session of tests starts programs that take long to load."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_HERE = Path(__file__).parent
_STARTING_SECONDS = 60.0


@contextlib.contextmanager
def nursery(door: Path, program: str, plainly: Sequence[str]) -> Iterator[Sequence[str]]:
    """The command that starts a program, while the block lasts.

    Args:
        door: a path for the socket at which programs are asked for.
        program: one of `nursery.PROGRAMS`.
        plainly: the command where processes cannot be forked: on macOS, after the system's own libraries were loaded.
    """
    if sys.platform == "darwin":
        yield plainly
        return
    command = [sys.executable, "-m", "tests.world.nursery", str(door), program]
    environment = {**os.environ, "LANG": "C.UTF-8"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, cwd=_HERE.parents[1], env=environment, start_new_session=True
    ) as running:
        until = time.monotonic() + _STARTING_SECONDS
        while not door.exists():
            assert running.poll() is None, f"the nursery of {program} ended"
            assert time.monotonic() < until, f"the nursery of {program} did not open"
            time.sleep(0.01)
        yield [sys.executable, "-I", "-S", str(_HERE / "launcher.py"), str(door)]
        assert running.stdin is not None
        running.stdin.close()
