"""The states of units whose outputs other units get, each read once in a run, and mocks that stand in for outputs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from driftguard.adapters.folders import folder_name
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.model.units import UnitDependency, UpstreamState, stack_of
from driftguard.ports import Repository, UnitReader, WorkingDirectory

_ENCODER = msgspec.json.Encoder(order="deterministic")


class _Output(msgspec.Struct):
    value: Any = None


class _State(msgspec.Struct):
    lineage: str | None = None
    serial: int | None = None
    outputs: dict[str, _Output] = {}


class StatePuller(Protocol):
    """Reads the state of a unit through Terragrunt."""

    def pulled(self, work: WorkingDirectory) -> bytes:
        """The state's text; empty before the first write. EnvironmentFault where it cannot be read."""
        ...


class UpstreamStates:
    """The states of units at a commit, in a work tree and a download folder of their own. Thread-safe.

    Args:
        folder: where Terragrunt's download folders of these units are kept between runs.
        units: generates the units of stacks.
    """

    def __init__(self, repository: Repository, commit: str, folder: Path, units: UnitReader) -> None:
        self._repository, self._commit, self._folder, self._units = repository, commit, folder, units
        self._known: dict[str, UpstreamState] = {}
        self._guard = threading.Lock()

    def forget(self) -> None:
        """Read all of them again: one may have been applied."""
        with self._guard:
            self._known.clear()

    def of(self, path: str, work: WorkingDirectory, puller: StatePuller) -> UpstreamState:
        """The state of a unit.

        Args:
            work: of the unit that gets its outputs, with whose credentials Terragrunt reads them, too.
        """
        with self._guard, ExitStack() as stack:
            if path not in self._known:
                tree = stack.enter_context(self._repository.worktree(self._commit, "terragrunt outputs"))
                if (made_in := stack_of(path)) is not None:
                    self._units.generate(made_in, tree, work.environment, work.timeout_seconds)
                data = self._folder / folder_name(path)
                data.mkdir(parents=True, exist_ok=True, mode=0o700)
                there = replace(work, directory=tree / path, data_dir=data, state_file=None, var_files=(), tree=tree)
                self._known[path] = _read(path, puller.pulled(there))
            return self._known[path]


def refuse_silent_mocks(dependency: UnitDependency, real: Mapping[str, bytes]) -> None:
    """Raise `dependency` where mocks stand in for outputs of a unit that it does not have, or has with other values."""
    mocks = dependency.mocks if isinstance(dependency.mocks, dict) else {}
    known = {name: msgspec.json.decode(text) for name, text in real.items()}
    wrong = sorted(_standing_in(mocks, known, deep=dependency.merge == "deep_map_only", only=dependency.unread))
    if wrong:
        raise EnvironmentFault(
            ErrorKind.DEPENDENCY,
            f"The plan was made with mock outputs of {dependency.path or dependency.name} ({', '.join(wrong)}), "
            f"because {_why(dependency)}, so no label would be certain. Apply that unit first, or remove the mocks.",
        )


def _why(dependency: UnitDependency) -> str:
    return "its outputs are not read" if dependency.unread else f"they are merged with real ones ({dependency.merge})"


def _standing_in(mocks: Mapping[str, Any], real: Mapping[str, Any], *, deep: bool, only: bool) -> set[str]:
    """The mocks that a unit gets and that differ from the real outputs.

    Args:
        deep: maps are merged at every depth.
        only: mocks are all that the unit gets.
    """
    found = set()
    for name, mock in mocks.items():
        if name not in real or (only and real[name] != mock):
            found.add(name)
        elif deep and isinstance(mock, dict) and isinstance(real[name], dict):
            found |= {f"{name}.{inner}" for inner in _standing_in(mock, real[name], deep=True, only=False)}
    return found


def _read(path: str, text: bytes) -> UpstreamState:
    if not text.strip():
        return UpstreamState(path, None, None)
    try:
        state = msgspec.json.decode(text, type=_State)
    except msgspec.DecodeError:
        raise EnvironmentFault(
            ErrorKind.DEPENDENCY, f"The state of {path} cannot be read, so its outputs are not known."
        ) from None
    outputs = {name: _ENCODER.encode(output.value) for name, output in state.outputs.items()}
    return UpstreamState(path, state.lineage, state.serial, outputs)
