"""Runs a program and interrupts it when whoever started us is gone.

    python supervise.py PROGRAM [ARGUMENT]...

Standard input is a pipe that only the starter holds open. When it closes, the program gets one SIGINT, with which
Terraform finishes the resource at hand, writes the state and releases its lock. The program's output passes through
here, because a program that writes to a pipe without a reader would die of that instead.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

_CHUNK_BYTES = 1 << 16


def main() -> None:
    """Run the program named by the arguments; ends with its exit code."""
    process = subprocess.Popen(
        sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.send_signal(signal.SIGINT))
    assert process.stdout is not None
    assert process.stderr is not None
    pumps = [
        threading.Thread(target=_pass_on, args=(process.stdout.fileno(), 1)),
        threading.Thread(target=_pass_on, args=(process.stderr.fileno(), 2)),
    ]
    for pump in pumps:
        pump.start()

    def watch() -> None:
        os.read(0, 1)
        process.send_signal(signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
    code = process.wait()
    for pump in pumps:
        pump.join()
    os._exit(code if code >= 0 else 128 - code)


def _pass_on(source: int, target: int) -> None:
    """Copy everything; once nobody reads any more, read on and drop it."""
    heard = True
    while chunk := os.read(source, _CHUNK_BYTES):
        while heard and chunk:
            try:
                chunk = chunk[os.write(target, chunk) :]
            except OSError:
                heard = False


if __name__ == "__main__":
    main()
