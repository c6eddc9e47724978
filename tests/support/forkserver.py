"""Forks programs from a process that has loaded them already; see `launcher`.

    python -m tests.support.forkserver SOCKET toy|driftguard

Ends when its standard input does. `serving` starts it for a session of tests.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import pkgutil
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

import driftguard
from tests.guards import guard_this_process
from tests.support.service_descriptions import read_once

# What each loads beside its own modules: packages that it imports late. The last module has the function that is run.
PROGRAMS = {
    "toy": (
        *("cryptography.x509", "cryptography.hazmat.primitives.asymmetric.rsa"),
        *("tf.gen.grpc_controller_pb2_grpc", "tf.gen.grpc_stdio_pb2_grpc", "tf.gen.tfplugin_pb2_grpc"),
        "tests.support.toy_provider",
    ),
    "driftguard": ("alembic.command", "github", "gitlab", "hcl2.parser", "slack_sdk", "driftguard.cli"),
}


def load(program: str) -> ModuleType:
    """Load a program with all that it needs later; the module whose `main` runs it."""
    modules = [importlib.import_module(name) for name in PROGRAMS[program]]
    if program == "driftguard":
        for module in pkgutil.walk_packages(driftguard.__path__, "driftguard."):
            if not module.name.startswith("driftguard.adapters.sql.migrations"):  # run by Alembic, not imported
                importlib.import_module(module.name)
        sys.modules["hcl2.parser"].parser()  # builds its tables, or reads them from a file
        read_once("s3", "sts")
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page that holds an object
    return modules[-1]


class Forkserver:
    """Accepts launchers, forks a program for each, and answers with the exit code of the fork."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._launchers: dict[int, socket.socket] = {}
        self._ended, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector = selectors.DefaultSelector()
        for ready in (0, self._ended, listener):
            self._selector.register(ready, selectors.EVENT_READ)

    def run(self) -> list[str] | None:
        """Serve; None at the end, and in each fork the arguments that its launcher was given."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == 0:
                    for program in self._launchers:
                        os.kill(program, signal.SIGKILL)
                    return None
                if key.fileobj == self._ended:
                    os.read(self._ended, 4096)
                    self._reap()
                elif key.fileobj is self._listener:
                    arguments = self._forked()
                    if arguments is not None:
                        return arguments
                elif key.data in self._launchers:  # it was killed: so is what it stands for
                    os.kill(key.data, signal.SIGKILL)
                    self._forget(key.data)

    def _forked(self) -> list[str] | None:
        launcher, _ = self._listener.accept()
        head, streams, _, _ = socket.recv_fds(launcher, 8, 3)
        left, request = int.from_bytes(head, "big"), b""
        while len(request) < left:
            request += launcher.recv(left - len(request))
        program = os.fork()
        if program == 0:
            launcher.close()
            return self._become(streams, request)
        for stream in streams:
            os.close(stream)
        self._launchers[program] = launcher
        self._selector.register(launcher, selectors.EVENT_READ, program)
        return None

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                program, status = os.waitpid(-1, os.WNOHANG)
                if program == 0:
                    return
                if program in self._launchers:
                    code = os.waitstatus_to_exitcode(status).to_bytes(2, "big", signed=True)
                    with contextlib.suppress(OSError):
                        self._launchers[program].sendall(code)
                    self._forget(program)

    def _forget(self, program: int) -> None:
        launcher = self._launchers.pop(program)
        self._selector.unregister(launcher)
        launcher.close()

    def _become(self, streams: Sequence[int], request: bytes) -> list[str]:
        """Take over a launcher's streams, environment, folder and arguments, which are given."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._listener.close()
        for other in self._launchers.values():
            other.close()
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
            os.close(stream)
        variables, folder, *arguments = request.decode().split("\0\0")
        os.environ.clear()
        os.environ.update(variable.partition("=")[::2] for variable in variables.split("\0"))
        os.chdir(folder)
        time.tzset()
        return arguments


def main() -> None:
    program = load(sys.argv[2])
    guard_this_process()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(64)
        arguments = Forkserver(listener).run()
    if arguments is not None:
        sys.argv = ["-c", *arguments]
        try:
            program.main()
        except SystemExit as asked:
            _end(asked.code)
        _end(0)


def _end(code: object) -> NoReturn:
    """End as Python does, but free nothing: that would copy every page that is shared with the forkserver."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
