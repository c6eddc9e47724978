"""Ends every program of its process group when the process that started it has ended, however suddenly.

    python -I -S guardian.py FOLDER

Standard input is a pipe that only the starter holds open. When it closes, the folder is deleted and the whole group,
this program with it, gets SIGKILL. Programs join the group when they are started, so there is no moment in which one
runs unguarded.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys


def main() -> None:
    """Wait for the end of standard input."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
