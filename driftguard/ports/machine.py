"""The machine that a run is on: folders of its own, processes that still run, a request to stop, variables to give."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from driftguard.config import EnvironmentSettings

Purpose = Literal["plan", "apply"]


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one environment's Terraform: `data` is kept between runs, `private` is gone after one."""

    data: Path
    private: Path


class EnvironmentFolders(Protocol):
    """Makes the folders of a run's environments."""

    def occupy(self, environment: str) -> AbstractContextManager[Folders]:
        """An environment's folders; the data folder is held against other runs while the context is open."""
        ...


class StopSignal(Protocol):
    """A request to end whatever runs; set once, never cleared."""

    @property
    def requested(self) -> bool:
        """Whether it was requested."""
        ...

    def request(self) -> None:
        """Request it. May be called from any thread."""
        ...

    def wait(self, seconds: float) -> None:
        """Sleep that long, or until it is requested, or a moment longer than that."""
        ...


class Machine(Protocol):
    """Knows this machine and the processes on it."""

    def identity(self) -> Mapping[str, str]:
        """Facts by which a later run finds out whether it is on the same machine, since the same boot."""
        ...

    def still_running(self, facts: Mapping[str, object]) -> bool | None:
        """Whether the process group that was recorded with `identity` still runs; None on another machine."""
        ...


class TerraformVariables(Protocol):
    """Gives Terraform its environment variables."""

    def variables(self, settings: EnvironmentSettings, purpose: Purpose) -> Mapping[str, str]:
        """The whole process environment of an environment's Terraform, with the credentials for a purpose.

        Raises:
            EnvironmentFault: the role for it cannot be assumed.
        """
        ...
