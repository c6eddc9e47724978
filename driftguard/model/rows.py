"""The data of journal entries as structs, for reading: rows of any version, whose missing fields have defaults.

A `scanned` row is an `EnvironmentReport`, a `proposal` row a `Proposal`; the others stand here.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class BaselineRow(Struct, frozen=True):
    """A moved baseline: to which commit, and why."""

    commit: str = ""
    origin: str = ""


class ApprovedRow(Struct, frozen=True):
    """The move of an environment's approved point."""

    commit: str


class ClosureRow(Struct, frozen=True):
    """What a `scanned` row has beside the report: the paths of the closure; none of a version before 0.2."""

    closure_files: tuple[str, ...] = ()
    closure_files_omitted: int = 0


class RunStartedRow(Struct, frozen=True):
    """The beginning of a run over environments.

    Attributes:
        environments: their names; none where the run covers all of them (`whole`).
        count: how many they are; 0 in a row of a version before 0.2.
    """

    commit: str = ""
    environments: tuple[str, ...] = ()
    count: int = 0
    whole: bool = False


class RunFinishedRow(Struct, frozen=True):
    """The end of a run: how many environments got which verdict.

    Attributes:
        planned, probed: how many were looked at by a plan, and by a probe; None where that was not recorded.
        cpu_seconds: of all programs that were run; None as before.
        errors: how many are `unknown` for which kind of error.
    """

    summary: dict[str, int] = {}
    planned: int | None = None
    probed: int | None = None
    cpu_seconds: float | None = None
    errors: dict[str, int] = {}


class ApproverRow(Struct, frozen=True):
    """One approved commit, and its signer or author."""

    commit: str = ""
    author: str = ""
    signer: str | None = None


class AttemptDetails(Struct, frozen=True):
    """What one step of an apply added.

    Attributes:
        approved: the reasons of the approval, in their JSON form.
        planned: actions by address; resource, resources: outcomes by address.
        error: the contract's `error` object, or a sentence.
        platform: ids of what it made on a platform, and the page of its run.
    """

    approved: tuple[str, ...] = ()
    approved_by: tuple[ApproverRow, ...] | None = None
    planned: dict[str, Any] | None = None
    resource: dict[str, Any] | None = None
    resources: dict[str, Any] | None = None
    reason: str | None = None
    error: Any = None
    platform: dict[str, str] | None = None


class UnwrittenStateRow(Struct, frozen=True):
    """A state that an apply could not store: the file that it is kept in, its machine, and its identity."""

    file: str = ""
    host: str = ""
    lineage: str | None = None
    serial: int | None = None

    @property
    def text(self) -> str:
        """Where it is, and how it is stored."""
        return f"it is kept on {self.host}: `terraform state push {self.file}`"


class UnsettledRow(Struct, frozen=True):
    """What an attempt that did not end well leaves open.

    Attributes:
        planned: actions by address.
        invocations: actions that it was to invoke, each with its trigger.
        resources: outcomes by address, and by `model.findings.invocation_key`.
        cut_off: it was killed, so that the state may lack what is `done`.
    """

    planned: dict[str, tuple[str, ...]] = {}
    invocations: tuple[tuple[str, str | None], ...] = ()
    resources: dict[str, str] = {}
    cut_off: bool = False
    state_not_written: UnwrittenStateRow | None = None


class AttemptRow(Struct, frozen=True):
    """One step of an apply."""

    state: str = ""
    commit: str = ""
    data: AttemptDetails = AttemptDetails()


class AlertRow(Struct, frozen=True):
    """One step of an alert."""

    event: str = ""
    about: str = ""
    severity: str = ""
    line: str = ""


class DeliveryRow(Struct, frozen=True):
    """One delivery that arrived."""

    kind: str = ""
    sink: str = ""
    channel: str = ""


class SinkRow(Struct, frozen=True):
    """A sink that takes no alerts any more, or takes them again."""

    target: str = ""
    problem: str = ""


class BranchRow(Struct, frozen=True):
    """One branch of a proposal."""

    choice: str = ""
    name: str = ""


class ProposalRow(Struct, frozen=True):
    """A proposal's state."""

    state: str = ""
    branches: tuple[BranchRow, ...] = ()
    url: str | None = None
    reason: str | None = None


class RequestRow(Struct, frozen=True):
    """What an operator asked for by a command."""

    by: str = ""


class GivenRow(Struct, frozen=True):
    """A baseline on an operator's word."""

    commit: str
    reason: str
    by: str = ""


class WordRow(Struct, frozen=True):
    """An operator's word about an environment's alerts; `until` is RFC 3339."""

    by: str = ""
    until: str | None = None
    reason: str = ""
    severity: str = "critical"
