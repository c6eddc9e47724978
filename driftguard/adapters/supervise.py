"""Runs a program and ends it when the parent process has ended.

    python -I -S supervise.py interrupt|kill DESCRIPTOR PROGRAM [ARGUMENT]...

Standard input is a pipe that only the starter holds open. When it closes, the program gets one SIGINT, with which
Terraform finishes the resource at hand, writes the state, ends its providers and releases its lock. With `kill` the
process group, which has to be its own, gets SIGKILL instead: a plan without the lock must not write a state. The
program's output passes through here: a program that writes to a pipe without a reader would die of that instead.
At the end, the CPU seconds of the program and all that it waited for are written to the descriptor, as text.

It runs beside every Terraform, so it does without `subprocess`: starting that costs more than all the rest.
"""

from __future__ import annotations

import os
import select
import signal
import sys

_CHUNK_BYTES = 1 << 16
_TICK_SECONDS = 0.5


def main() -> None:
    """Run the program named by the arguments; ends with its exit code."""
    measured = int(sys.argv[2])
    os.set_inheritable(measured, False)
    sources: dict[int, int] = {}
    ends = [(1, *os.pipe()), (2, *os.pipe())]
    child = os.fork()
    if child == 0:
        _become(sys.argv[3:], {target: write for target, _, write in ends})
    for target, read, write in ends:
        os.close(write)
        sources[read] = target
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _end(child))
    status = _pump(sources, child)
    spent = os.times()
    os.write(measured, f"{spent.children_user + spent.children_system}".encode())
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def _end(child: int) -> None:
    """End the program as it was asked for."""
    if sys.argv[1] == "kill":
        os.killpg(0, signal.SIGKILL)
    os.kill(child, signal.SIGINT)


def _become(command: list[str], outputs: dict[int, int]) -> None:
    """Turn into the program; never returns."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background of a shell is started with it ignored
    for target, write in outputs.items():
        os.dup2(write, target)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]} could not be started: {error.strerror}\n".encode())
    os._exit(127)


def _pump(sources: dict[int, int], child: int) -> int:
    """Pass output on until the program has ended; end it if the starter is gone. Its wait status."""
    watched = [0]
    unheard: set[int] = set()
    ended: int | None = None
    while True:
        ready, _, _ = select.select([*watched, *sources], [], [], 0 if ended is not None else _TICK_SECONDS)
        if ended is not None and not any(descriptor in sources for descriptor in ready):
            return ended  # what still holds a stream open is a child of the program, which the starter ends
        for descriptor in ready:
            if descriptor == 0:
                watched.clear()
                if ended is None:
                    _end(child)
                continue
            chunk = os.read(descriptor, _CHUNK_BYTES)
            if chunk:
                _pass_on(chunk, sources[descriptor], unheard)
            else:
                del sources[descriptor]
        if ended is None:
            found, status = os.waitpid(child, 0 if not sources else os.WNOHANG)
            ended = status if found else None


def _pass_on(chunk: bytes, target: int, unheard: set[int]) -> None:
    """Write all of it; drop it once the reader is gone."""
    while chunk and target not in unheard:
        try:
            chunk = chunk[os.write(target, chunk) :]
        except OSError:
            unheard.add(target)


if __name__ == "__main__":
    main()
