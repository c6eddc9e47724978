"""Runs foreign programs: own process group, own environment, bounded output, a timeout, and an orderly end."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from driftguard.ports import StopSignal
from driftguard.sealed import mask

log = logging.getLogger(__name__)

_SUPERVISOR = str(Path(__file__).with_name("supervise.py"))
_TICK_SECONDS = 0.2
_CHUNK_BYTES = 1 << 16
_STDERR_TAIL_BYTES = 1 << 16
_MAX_LINE_BYTES = 1 << 24
_LEFTOVER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended.

    Attributes:
        code: exit code; negative for the signal that ended it.
        stderr: the last 64 KiB of it, undecodable bytes replaced.
        timed_out: it was ended because its time was up.
        interrupted: it was ended because a stop was asked for.
        killed: it did not end by itself in its grace period and was killed.
        seconds: wall time.
        cpu_seconds: of the program and all that it waited for; 0.0 where that was not measured.
    """

    code: int
    stderr: str
    timed_out: bool
    interrupted: bool
    killed: bool
    seconds: float
    cpu_seconds: float = 0.0


class Stop(StopSignal):
    """A request to end, shared by everything that runs; set once, never cleared.

    Args:
        parent: a wider request that counts here too.
    """

    def __init__(self, parent: Stop | None = None) -> None:
        self._event = threading.Event()
        self._parent = parent

    def request(self) -> None:
        """Ask everything that shares this to end."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Sleep that long, or until this is requested: a wider request ends no sleep, so sleep a second at most."""
        self._event.wait(seconds)

    @property
    def requested(self) -> bool:
        """Whether this or a wider request was made."""
        return self._event.is_set() or (self._parent is not None and self._parent.requested)


def run(  # noqa: PLR0913 - keyword-only, as those of subprocess.Popen
    arguments: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    timeout_seconds: float,
    grace_seconds: float = 30.0,
    stop: Stop | None = None,
    on_line: Callable[[bytes], None] | None = None,
    stdout_file: IO[bytes] | None = None,
    stderr_file: IO[bytes] | None = None,
    on_start: Callable[[int], None] | None = None,
    die_with_us: bool = False,
    kill: bool = False,
) -> Completed:
    """Run a program to its end and leave nothing of it behind.

    When its time is up or a stop is requested, the program gets SIGINT, `grace_seconds` to finish
    its work (Terraform releases its state lock then), and SIGKILL for its whole process group after that.

    Args:
        on_line: called with each line of standard output, without its line end.
        stdout_file: standard output goes there instead, unread.
        stderr_file: the same for standard error, of which nothing is returned then.
        on_start: called with the process id, which is also that of its process group.
        die_with_us: interrupt the program if this process dies, however suddenly.
        kill: end it with SIGKILL at once in each of these cases, because an interrupted one would still write.

    Raises:
        OSError: the program cannot be started.
    """
    log.debug("run: %s", mask(shlex.join(arguments)))
    started = time.monotonic()
    with _Meter() as meter:
        how = "kill" if kill else "interrupt"
        supervisor = [sys.executable, "-I", "-S", _SUPERVISOR, how, str(meter.writing)] if die_with_us else []
        process = subprocess.Popen(
            [*supervisor, *arguments],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE if die_with_us else subprocess.DEVNULL,
            stdout=stdout_file or subprocess.PIPE,
            stderr=stderr_file or subprocess.PIPE,
            start_new_session=True,
            pass_fds=(meter.writing,) if die_with_us else (),
        )
        try:
            if on_start is not None:
                on_start(process.pid)
            ending = _Ending(process, started + timeout_seconds, None if kill else grace_seconds, stop)
            stderr = _pump(process, ending, on_line)
            code = _wait(process, ending)
        finally:
            _kill_group(process)
            if process.stdin is not None:
                process.stdin.close()
        cpu_seconds = meter.read()
    seconds = time.monotonic() - started
    log.debug("exit %s after %.2f s: %s", code, seconds, os.path.basename(arguments[0]))
    return Completed(code, mask(stderr), ending.timed_out, ending.interrupted, ending.killed, seconds, cpu_seconds)


class _Meter:
    """A pipe for the supervisor's measure of what a program cost."""

    def __enter__(self) -> _Meter:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reading)
        os.close(self.writing)

    def read(self) -> float:
        """CPU seconds; 0.0 where the supervisor was killed before it measured."""
        try:
            return float(os.read(self._reading, 64) or 0)
        except (BlockingIOError, ValueError):
            return 0.0


class _Ending:
    """Decides, at each tick, whether a process has to be ended."""

    def __init__(
        self, process: subprocess.Popen[bytes], deadline: float, grace_seconds: float | None, stop: Stop | None
    ) -> None:
        """`grace_seconds` is None for a process that is killed at once."""
        self._process, self._deadline, self._grace, self._stop = process, deadline, grace_seconds, stop
        self._kill_at: float | None = None
        self._exited_at: float | None = None
        self.timed_out = self.interrupted = self.killed = False

    def tick(self) -> None:
        now = time.monotonic()
        if self._kill_at is None:
            self.interrupted = self._stop is not None and self._stop.requested
            self.timed_out = not self.interrupted and now >= self._deadline
            if not (self.interrupted or self.timed_out):
                return
            self._kill_at = now + (self._grace or 0.0)
            if self._grace is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(signal.SIGINT)
        if now >= self._kill_at and not self.killed:
            self.killed = True
            _kill_group(self._process)

    @property
    def abandoned(self) -> bool:
        """Whether the process ended long ago, and a child of it keeps its streams open; the group is killed then."""
        now = time.monotonic()
        if self._exited_at is None and self._process.poll() is not None:
            self._exited_at = now
        return self._exited_at is not None and now - self._exited_at > _LEFTOVER_SECONDS


def _pump(process: subprocess.Popen[bytes], ending: _Ending, on_line: Callable[[bytes], None] | None) -> str:
    """Read both streams until they are closed; the tail of standard error is returned."""
    tail, line = bytearray(), bytearray()
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for stream in streams:
            stack.callback(stream.close)
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and not ending.abandoned:
            for selected, _ in selector.select(_TICK_SECONDS):
                chunk = os.read(selected.fd, _CHUNK_BYTES)
                if not chunk:
                    selector.unregister(selected.fileobj)
                elif selected.fileobj is process.stderr:
                    tail += chunk
                    del tail[:-_STDERR_TAIL_BYTES]
                elif on_line is not None:
                    _split(line, chunk, on_line)
            ending.tick()
    if line and on_line is not None:
        on_line(bytes(line))
    return tail.decode(errors="replace")


def group_alive(group: int) -> bool:
    """Whether any process of a process group on this machine is still there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _split(line: bytearray, chunk: bytes, on_line: Callable[[bytes], None]) -> None:
    *whole, rest = chunk.split(b"\n")
    for part in whole:
        line += part
        on_line(bytes(line))
        line.clear()
    if len(line) + len(rest) <= _MAX_LINE_BYTES:
        line += rest


def _wait(process: subprocess.Popen[bytes], ending: _Ending) -> int:
    while True:
        try:
            return process.wait(_TICK_SECONDS)
        except subprocess.TimeoutExpired:
            ending.tick()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LEFTOVER_SECONDS)
