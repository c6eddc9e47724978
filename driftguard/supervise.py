"""Runs a program and interrupts it when whoever started us is gone.

    python -m driftguard.supervise PROGRAM [ARGUMENT]...

Standard input is a pipe that only the starter holds open. When it closes, the program gets one SIGINT, with which
Terraform finishes the resource at hand, writes the state and releases its lock.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Run the program named by the arguments; ends with its exit code."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def watch() -> None:
        os.read(0, 1)
        process.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.send_signal(signal.SIGINT))
    threading.Thread(target=watch, daemon=True).start()
    code = process.wait()
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
