"""How Terraform gets its toy providers in a session of tests."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_HERE = Path(__file__).parent
_STARTING_SECONDS = 60.0


@contextlib.contextmanager
def nursery(door: Path) -> Iterator[Sequence[str]]:
    """The command that starts a provider, while the block lasts.

    Args:
        door: a path for the socket at which providers are asked for.
    """
    if sys.platform == "darwin":  # where a process with threads of the system's own must not fork
        yield [sys.executable, str(_HERE / "toy_provider.py")]
        return
    command = [sys.executable, "-m", "tests.world.toy_nursery", str(door)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=_HERE.parents[1]) as running:
        until = time.monotonic() + _STARTING_SECONDS
        while not door.exists():
            assert running.poll() is None, "the nursery of toy providers ended"
            assert time.monotonic() < until, "the nursery of toy providers did not open"
            time.sleep(0.01)
        yield [sys.executable, "-I", "-S", str(_HERE / "toy_launcher.py"), str(door)]
        assert running.stdin is not None
        running.stdin.close()
