"""Looking at an environment without a plan: what taps plans, keeps their talk, and asks the questions again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from driftguard.model import Closure, ToolVersion
from driftguard.model.talks import Talk
from driftguard.ports.engine import Backend, WorkingDirectory


class Listening(Protocol):
    """What listens in on one plan."""

    @property
    def variables(self) -> Mapping[str, str]:
        """Environment variables that attach Terraform to the tap."""
        ...

    def talk(self) -> Talk:
        """The talk, once Terraform has ended."""
        ...


class ProviderTap(Protocol):
    """Listens in on the talk of Terraform with its providers."""

    def listen(self, work: WorkingDirectory, variables: Mapping[str, str]) -> AbstractContextManager[Listening | None]:
        """Listen while the block lasts; None where the plan has to run without a tap.

        Args:
            variables: the whole environment that Terraform, and so its providers, will have.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProbeSubject:
    """One environment as a probe looks at it.

    Attributes:
        closure_hash: at the head of the tracked branch, with the tool.
        role: the role whose credentials are among the variables; None for credentials that are not ours.
        variables: the whole environment of the tool, and so of its providers.
        backend: where the state lies; None for a local state.
        state_file: a local state, as Terraform would write it; None for a remote one.
    """

    name: str
    closure_hash: str
    closure: Closure
    tool: ToolVersion
    role: str | None
    work: WorkingDirectory
    variables: Mapping[str, str] = field(repr=False)
    backend: Backend | None = field(repr=False)
    state_file: Path | None


class Subjects(Protocol):
    """The environments of a run, one at a time."""

    def occupied(self, name: str) -> AbstractContextManager[ProbeSubject]:
        """An environment, held against other runs while the block lasts; its directory may not be there yet.

        Raises:
            EnvironmentFault: it lacks something that a plan needs.
        """
        ...

    def checked_out(self, subject: ProbeSubject) -> AbstractContextManager[Path]:
        """Its root module's directory at head, while the block lasts."""
        ...


@dataclass(frozen=True, slots=True)
class Looked:
    """What a probe found out about one environment.

    Attributes:
        plan: the recorded plan, which a plan now would repeat; None where a plan is needed.
        planned_at: when that plan was made.
        reason: why a plan is needed; empty where none is.
        differs: there is a record, and something is another than when it was made.
        throttled: the cloud limits its rate; more plans would make it worse.
        another_answer: a provider answered otherwise than when the record was made.
        cpu_seconds: of the provider, this environment's share.
    """

    plan: bytes | None = field(repr=False)
    planned_at: datetime | None = None
    reason: str = ""
    differs: bool = False
    throttled: bool = False
    another_answer: bool = False
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Started:
    """What a plan follows from besides its providers' answers, right before it is made."""

    key: Mapping[str, str]
    state: str


class ProviderTrust(Protocol):
    """Which providers' probes are believed."""

    def trust(self, providers: Sequence[str]) -> None:
        """Probe these again, by an operator's word."""
        ...

    def distrust(self, providers: Sequence[str]) -> None:
        """Probe no environment again that uses one of these: an audit found a probe wrong."""
        ...


class PlanRecords(ProviderTrust, Protocol):
    """Keeps what plans asked."""

    def begin(self, subject: ProbeSubject) -> Started | None:
        """To be called right before a plan; None for an environment that is not recorded."""
        ...

    def keep(self, subject: ProbeSubject, started: Started, talk: Talk, plan: bytes, at: datetime) -> str:
        """Keep a plan's record; why it was not kept, empty if it was.

        Args:
            at: the moment of its report's `planned_at`.
            plan: what `Looked.plan` gives back.
        """
        ...

    def drop(self, environment: str) -> None:
        """Forget an environment's record."""
        ...

    def hindrances(self, closure: Closure, data_dir: Path) -> Sequence[str]:
        """What keeps an environment from being probed, with file and line where there is one.

        Args:
            data_dir: where `init` put the modules that it fetched.
        """
        ...


class Probe(PlanRecords, Protocol):
    """Looks at environments without plans."""

    def look(self, subjects: Subjects, names: Sequence[str]) -> Mapping[str, Looked]:
        """Ask again what the last plans of these environments asked."""
        ...


class StateStamps(Protocol):
    """What changes whenever a state is written."""

    def of(self, subject: ProbeSubject) -> str | None:
        """A state's stamp now; None where its backend has none that is cheaper than reading it.

        Raises:
            EnvironmentFault: the state cannot be reached.
        """
        ...
