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
def forkserver(address: Path, program: str, plainly: Sequence[str]) -> Iterator[Sequence[str]]:
    """The command that starts a program, while the block lasts.

    Args:
        address: a path for the socket that takes requests.
        program: one of `forkserver.PROGRAMS`.
        plainly: the command where processes cannot be forked: on macOS, after the system's own libraries were loaded.
    """
    if sys.platform == "darwin":
        yield plainly
        return
    command = [sys.executable, "-m", "tests.support.forkserver", str(address), program]
    environment = {**os.environ, "LANG": "C.UTF-8"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, cwd=_HERE.parents[1], env=environment, start_new_session=True
    ) as running:
        until = time.monotonic() + _STARTING_SECONDS
        while not address.exists():
            assert running.poll() is None, f"the forkserver of {program} ended"
            assert time.monotonic() < until, f"the forkserver of {program} did not start"
            time.sleep(0.01)
        yield [sys.executable, "-I", "-S", str(_HERE / "launcher.py"), str(address)]
        assert running.stdin is not None
        running.stdin.close()
