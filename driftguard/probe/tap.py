"""Listens in on the talk of Terraform with its providers during one plan.

Terraform is attached to sockets of ours (`TF_REATTACH_PROVIDERS`, with `Test`, so that it leaves the process alone);
bytes pass through unchanged. Each connection gets a provider process to itself, as without a tap: in one process for
all, the Configure of one alias would overwrite the other's, and Terraform would plan nonsense.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from driftguard.model.talks import ProviderSession, Talk
from driftguard.ports import Listening, ProviderTap, WorkingDirectory
from driftguard.probe.memo import Memo, MemoStore
from driftguard.probe.packages import LOCK_FILE, NotVerified, Package, Packages, locked_providers
from driftguard.probe.processes import NotPlain, ProviderProcess, ProviderProcesses
from driftguard.probe.proxy import ProviderProxy
from driftguard.probe.recorder import Recorder
from driftguard.probe.store import RecordStore

_CHUNK_BYTES: Final = 1 << 18
_NUMBERS: Final = itertools.count()
_SETTLE_SECONDS: Final = 10.0
REATTACH: Final = "TF_REATTACH_PROVIDERS"
_RECHECKED: Final = 0.05
_CONFIGURATION: Final = "TF_CLI_CONFIG_FILE"


class Tap(ProviderTap):
    """Taps plans.

    Args:
        key: for the digests of answers.
        packages: verifies the providers, which Terraform does not do for attached ones.
        store: knows the providers that an audit found wrong; plans with them are not tapped.
        memo: the answers that follow from a question alone; None: each plan asks the providers.
        rechecked: the share of plans whose providers answer everything, so that the memory is held against them.
    """

    def __init__(
        self,
        key: bytes,
        packages: Packages,
        store: RecordStore,
        memo: MemoStore | None = None,
        rechecked: float = _RECHECKED,
    ) -> None:
        self._key, self._packages, self._store = key, packages, store
        self._memo, self._rechecked = memo, rechecked
        self._processes: ProviderProcesses | None = None
        self._guard = threading.Lock()

    def close(self) -> None:
        """End every provider that still runs."""
        with self._guard:
            if self._processes is not None:
                self._processes.close()
                if self._memo is not None:
                    self._memo.prune()
            self._processes = None

    def _started(self) -> ProviderProcesses:
        with self._guard:
            self._processes = self._processes or ProviderProcesses()
            return self._processes

    @contextmanager
    def listen(self, work: WorkingDirectory, variables: Mapping[str, str]) -> Iterator[Listening | None]:
        """Listen while the block lasts; None where the plan has to run without a tap."""
        with contextlib.ExitStack() as stack:
            listening = self._listening(work, variables, stack)
            yield listening

    def _listening(
        self, work: WorkingDirectory, variables: Mapping[str, str], stack: contextlib.ExitStack
    ) -> Listening | None:
        if REATTACH in variables or _overridden(variables):
            return None  # these providers are not those of the lock file
        try:
            text = (work.directory / LOCK_FILE).read_text()
            if self._store.distrusted() & locked_providers(text).keys():
                return None
            packages = self._packages.verified(work.data_dir, text)
            room = _Room(self._started(), variables, work.directory, self._key)
            stack.callback(room.close)
            answers = random.random() >= self._rechecked
            for package in packages:
                memo = None if self._memo is None else self._memo.of(package, variables, answers=answers)
                room.serve(package, memo)
        except (NotVerified, NotPlain, OSError):
            return None
        return room


class _Room(Listening):
    """The sockets, provider processes and sessions of one plan."""

    def __init__(self, processes: ProviderProcesses, variables: Mapping[str, str], directory: Path, key: bytes) -> None:
        self._processes, self._environment, self._directory, self._key = processes, dict(variables), directory, key
        self._outlets: list[_Outlet] = []

    def serve(self, package: Package, memo: Memo | None) -> None:
        """Open a socket for one provider."""

        def start() -> ProviderProcess:
            return self._processes.start(package.binary, self._environment, self._directory)

        path = str(self._processes.folder / f"t{next(_NUMBERS)}")
        self._outlets.append(_Outlet(package.address, path, start, self._key, memo))

    @property
    def variables(self) -> Mapping[str, str]:
        """What attaches Terraform."""
        return {REATTACH: json.dumps({outlet.provider: outlet.attachment() for outlet in self._outlets})}

    def talk(self) -> Talk:
        """The talk, once Terraform has ended."""
        for outlet in self._outlets:
            outlet.close()
        sessions = [session for outlet in self._outlets for session in outlet.sessions if session.exchanges]
        broken = next((outlet.broken for outlet in self._outlets if outlet.broken), "")
        # Terraform asks every provider for its schema. One that was not asked was reached in another way.
        broken = broken or next((f"{outlet.provider} was not used" for outlet in self._outlets if not outlet.used), "")
        return Talk(tuple(sessions), broken, sum(outlet.cpu_seconds for outlet in self._outlets))

    def close(self) -> None:
        """End everything; again: nothing."""
        for outlet in self._outlets:
            outlet.close()


class _Outlet:
    """One provider's socket, and the connections to it."""

    def __init__(
        self, provider: str, path: str, start: Callable[[], ProviderProcess], key: bytes, memo: Memo | None
    ) -> None:
        self.provider, self._path, self._start, self._key, self._memo = provider, path, start, key, memo
        self.sessions: list[ProviderSession] = []
        self.broken, self.cpu_seconds, self.used = "", 0.0, False
        self._idle: list[ProviderProcess] = []
        self._protocol = self._known_protocol()
        self._guard = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._closed = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._accepting = self._threaded(self._accept)

    def _known_protocol(self) -> int:
        """The plugin protocol that the provider speaks; it is started to learn it, once."""
        known = self._memo.protocol if self._memo is not None else None
        if known is None:
            self._idle.append(self._start())
            known = self._idle[0].protocol
            if self._memo is not None:
                self._memo.protocol = known
        return known

    def attachment(self) -> Mapping[str, object]:
        """This provider's entry in Terraform's variable."""
        where = {"Network": "unix", "String": self._path}
        return {
            "Protocol": "grpc",
            "ProtocolVersion": self._protocol,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": where,
        }

    def close(self) -> None:
        """End every connection and process. What is still under way then cannot be repeated."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(_SETTLE_SECONDS)
        for thread in list(self._threads):
            thread.join(0.2)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        with self._guard:
            left = list(self._open)
        for each in left:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(_SETTLE_SECONDS)
        for process in self._idle:
            self.cpu_seconds += process.end()
        self._idle.clear()

    def _threaded(self, target: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, daemon=True, name=f"tap {self.provider}")
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(self._threaded(self._connection, connection))

    def _connection(self, down: socket.socket) -> None:
        with down:
            try:
                first = down.recv(_CHUNK_BYTES)
            except OSError:
                return
            if not first:
                return  # go-plugin looks whether the socket is there
            recorder = Recorder(self.provider, self._key)
            process: ProviderProcess | None = None
            try:
                if self._memo is None:
                    process = self._provider()
                    self._pass_on(down, process.socket, recorder, first)
                else:
                    with ProviderProxy(f"{self._path}-{next(_NUMBERS)}", self._memo, self._provider) as proxy:
                        self._pass_on(down, proxy.path, recorder, first)
                    process = proxy.process
            except NotPlain as error:
                self._break(str(error))
            finally:
                self._ended(recorder, process)

    def _provider(self) -> ProviderProcess:
        with self._guard:
            if self._idle:
                return self._idle.pop()
        return self._start()

    def _pass_on(self, down: socket.socket, upward: str, recorder: Recorder, first: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as up:
            up.connect(upward)
            with self._guard:
                self._open |= {up, down}
            try:
                guard = threading.Lock()
                answers = self._threaded(_pump, up, down, _guarded(recorder, recorder.downward, guard), b"")
                _pump(down, up, _guarded(recorder, recorder.upward, guard), first)
                answers.join()
            finally:
                with self._guard:
                    self._open -= {up, down}

    def _ended(self, recorder: Recorder, process: ProviderProcess | None) -> None:
        recorder.closed()
        with self._guard:
            self.sessions.append(recorder.session)
            self.used = True
        if recorder.broken:
            self._break(recorder.broken)
        if self._memo is not None and self._memo.wrong:
            self._break(f"{self._memo.wrong[0]} is answered differently by each process")
        if process is None:
            return
        if recorder.broken or recorder.configured or not process.running:
            seconds = process.end()
            with self._guard:
                self.cpu_seconds += seconds
        else:
            with self._guard:
                self._idle.append(process)  # one that was never configured is as good as new

    def _break(self, reason: str) -> None:
        with self._guard:
            self.broken = self.broken or reason


def _guarded(recorder: Recorder, seen: Callable[[bytes], None], guard: threading.Lock) -> Callable[[bytes], None]:
    """Reads bytes without ever disturbing them: what is not understood only ends the recording."""
    from hpack import HPACKError

    def see(chunk: bytes) -> None:
        with guard:
            if recorder.broken:
                return
            try:
                seen(chunk)
            except (ValueError, HPACKError) as error:
                recorder.fail(error)

    return see


def _pump(source: socket.socket, sink: socket.socket, seen: Callable[[bytes], None], chunk: bytes) -> None:
    """Pass bytes on until either side ends; then end both."""
    try:
        while True:
            if chunk:
                seen(chunk)
                sink.sendall(chunk)
            chunk = source.recv(_CHUNK_BYTES)
            if not chunk:
                break
    except OSError:
        pass  # Terraform ends without closing the connection
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _overridden(variables: Mapping[str, str]) -> bool:
    """Whether the user's configuration of Terraform names providers of its own (`dev_overrides`)."""
    home = variables.get("HOME", "")
    files = [variables[_CONFIGURATION]] if variables.get(_CONFIGURATION) else []
    files += [f"{home}/{name}" for name in (".terraformrc", ".tofurc") if home]
    for file in files:
        with contextlib.suppress(OSError):
            if b"dev_overrides" in Path(file).read_bytes():
                return True
    return False
