"""Provider processes of our own: plain gRPC on a Unix socket that only this user can open.

They are started as Terraform starts them (HashiCorp's go-plugin protocol), but without its certificate, so that their
talk can be read. All of one `ProviderProcesses` end when it is closed, or when this process dies.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

_GUARDIAN: Final = str(Path(__file__).with_name("guardian.py"))
# go-plugin's handshake, the same for all Terraform providers.
_COOKIE: Final = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
_HANDSHAKE: Final = {
    "TF_PLUGIN_MAGIC_COOKIE": _COOKIE,
    "PLUGIN_PROTOCOL_VERSIONS": "5,6",
    "PLUGIN_MIN_PORT": "10000",
    "PLUGIN_MAX_PORT": "25000",
}
_START_SECONDS: Final = 60.0
_MAX_LINE_BYTES: Final = 4096


class NotPlain(Exception):
    """A provider that cannot be talked to on a plain Unix socket, and why."""


class ProviderProcess:
    """One running provider.

    Attributes:
        protocol: the major version of the plugin protocol, 5 or 6.
        socket: the path of its Unix socket.
    """

    def __init__(self, process: subprocess.Popen[bytes], protocol: int, socket: str) -> None:
        self.process, self.protocol, self.socket = process, protocol, socket
        self._cpu_seconds: float | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._cpu_seconds is None and self.process.poll() is None

    def end(self) -> float:
        """Kill it; the CPU seconds that it used. Again: the same."""
        if self._cpu_seconds is None:
            self._cpu_seconds = _killed(self.process)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.socket)
        return self._cpu_seconds


class ProviderProcesses:
    """Starts providers, and leaves none of them behind. Use it in a `with` block; safe to share between threads."""

    def __init__(self) -> None:
        # A path of at most 108 bytes, the limit of Unix sockets, with the name that a provider adds.
        self.folder = Path(tempfile.mkdtemp(prefix="dg-"))
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", _GUARDIAN, str(self.folder)], stdin=subprocess.PIPE, process_group=0
        )

    def __enter__(self) -> ProviderProcesses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what still runs, and delete the folder of sockets."""
        assert self._guardian.stdin is not None
        self._guardian.stdin.close()
        self._guardian.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, binary: str, environment: Mapping[str, str], directory: Path) -> ProviderProcess:
        """Start a provider with the variables and in the directory that Terraform would give it.

        Raises:
            NotPlain: it does not start, or offers no plain gRPC on a Unix socket.
        """
        folder = str(self.folder)
        variables = {**environment, **_HANDSHAKE, "TMPDIR": folder, "PLUGIN_UNIX_SOCKET_DIR": folder}
        try:
            process = subprocess.Popen(
                [binary],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=variables,
                cwd=directory,
                process_group=self._guardian.pid,
                umask=0o077,
            )
        except OSError as error:
            raise NotPlain(f"{Path(binary).name} could not be started: {error.strerror}") from None
        try:
            protocol, socket = _address(_first_line(process))
        except NotPlain:
            _killed(process)
            raise
        return ProviderProcess(process, protocol, socket)


def _first_line(process: subprocess.Popen[bytes]) -> str:
    """The provider's own address: `1|5|unix|/tmp/plugin123|grpc|`. The rest of its output is never written."""
    assert process.stdout is not None
    descriptor, line, deadline = process.stdout.fileno(), b"", time.monotonic() + _START_SECONDS
    while not line.endswith(b"\n") and len(line) < _MAX_LINE_BYTES:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(descriptor, 1) if ready else b""
        if not piece:
            raise NotPlain("the provider did not print its address")
        line += piece
    return line.decode("ascii", "replace").strip()


def _address(line: str) -> tuple[int, str]:
    parts = line.split("|")
    plain = len(parts) >= 5 and parts[2] == "unix" and parts[4] == "grpc" and not "".join(parts[5:6])
    if not plain or parts[1] not in ("5", "6"):
        raise NotPlain("the provider offers no plain gRPC on a Unix socket")
    return int(parts[1]), parts[3]


def _killed(process: subprocess.Popen[bytes]) -> float:
    """The CPU seconds of a process and its waited-for children, once it is gone."""
    if process.stdout is not None:
        process.stdout.close()
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except ChildProcessError:
        return 0.0
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime
