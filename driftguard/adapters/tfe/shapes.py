"""What a platform answers, as far as it is needed, read with tolerance: a compatible server leaves much of it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind

# The states of a run by what they mean here. A state that is not listed is one in which the platform works.
# Source: https://developer.hashicorp.com/terraform/cloud-docs/api-docs/run#run-states
QUEUED: Final = frozenset(
    {
        "pending",
        "fetching",
        "fetching_completed",
        "pre_plan_running",
        "pre_plan_completed",
        "queuing",
        "plan_queued",
    }
)
WAITING: Final = frozenset(
    {
        "pre_plan_awaiting_decision",
        "policy_override",
        "policy_soft_failed",
        "post_plan_awaiting_decision",
        "pre_apply_awaiting_decision",
    }
)
FAILED: Final = frozenset({"errored", "canceled", "force_canceled", "discarded"})
_APPLYING: Final = frozenset({"confirmed", "pre_apply_running", "apply_queued", "applying", "applied"})
ENDED: Final = FAILED | {"planned_and_finished", "planned_and_saved", "applied"}


def row(value: Any) -> Mapping[str, Any]:
    """A JSON object; empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def rows(value: Any) -> Iterator[Mapping[str, Any]]:
    """The objects of a list; none for null."""
    return (row(each) for each in value) if isinstance(value, list) else iter(())


@dataclass(frozen=True, slots=True)
class Workspace:
    """One workspace.

    Attributes:
        execution: `remote`, `agent` or `local`.
        directory: below which Terraform runs in what is uploaded; empty for its root.
        version: the Terraform that it runs: a version, a constraint, or `latest`.
        vcs: whether commits of a repository start runs there.
        tags: their names; None where the server leaves them out.
    """

    id: str
    name: str
    execution: str
    directory: str
    version: str
    auto_apply: bool
    vcs: bool
    project: str | None
    tags: frozenset[str] | None
    current_run: str | None

    @property
    def is_remote(self) -> bool:
        """Whether plans and applies run on the platform."""
        return self.execution != "local"

    @property
    def applies_itself(self) -> bool:
        """Whether the platform applies without DriftGuard, so that it is watched for drift only."""
        return self.auto_apply or self.vcs


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        changes: whether the platform found any.
        confirmed: whether its apply was begun, or at least asked for.
    """

    id: str
    status: str
    plan_only: bool
    changes: bool
    confirmable: bool
    discardable: bool
    cancelable: bool
    plan: str | None
    apply: str | None
    configuration: str | None
    message: str
    confirmed: bool

    @property
    def queued(self) -> bool:
        """Whether its plan has not begun."""
        return self.status in QUEUED

    @property
    def ended(self) -> bool:
        """Whether nothing happens with it any more."""
        if self.plan_only and self.status in ("policy_soft_failed", "policy_checked", "planned"):
            return True
        return self.status in ENDED

    @property
    def failed(self) -> bool:
        """Whether it ended without doing what it was made for."""
        return self.status in FAILED

    @property
    def waiting(self) -> bool:
        """Whether manual action is required on the platform before it goes on."""
        return self.status in WAITING and not self.confirmable and not self.ended


def workspace(document: Mapping[str, Any]) -> Workspace:
    """A workspace's object (`data`)."""
    found, related = row(document.get("attributes")), row(document.get("relationships"))
    execution = found.get("execution-mode") or ("local" if found.get("operations") is False else "remote")
    return Workspace(
        id=identifier(document),
        name=str(found.get("name") or ""),
        execution=str(execution),
        directory=str(found.get("working-directory") or "").strip("/").removeprefix("./"),
        version=str(found.get("terraform-version") or "latest"),
        auto_apply=bool(found.get("auto-apply")),
        vcs=bool(found.get("vcs-repo")),
        project=_related(related, "project"),
        tags=frozenset(map(str, found["tag-names"])) if isinstance(found.get("tag-names"), list) else None,
        current_run=_related(related, "current-run"),
    )


def run(document: Mapping[str, Any]) -> Run:
    """A run's object (`data`)."""
    found, related = row(document.get("attributes")), row(document.get("relationships"))
    actions = row(found.get("actions"))
    return Run(
        id=identifier(document),
        status=str(found.get("status") or ""),
        plan_only=bool(found.get("plan-only")),
        changes=bool(found.get("has-changes")),
        confirmable=bool(actions.get("is-confirmable")),
        discardable=bool(actions.get("is-discardable")),
        cancelable=bool(actions.get("is-cancelable")),
        plan=_related(related, "plan"),
        apply=_related(related, "apply"),
        configuration=_related(related, "configuration-version"),
        message=str(found.get("message") or ""),
        confirmed=any(str(name).startswith(("appl", "confirmed")) for name in row(found.get("status-timestamps")))
        or found.get("status") in _APPLYING,
    )


def identifier(document: Mapping[str, Any]) -> str:
    """An object's id. EnvironmentFault (`platform`) where the answer has none."""
    found = document.get("id")
    if not isinstance(found, str) or not found:
        raise EnvironmentFault(
            ErrorKind.PLATFORM,
            "The platform answered without the id of what was asked for, so it cannot be followed.",
        )
    return found


def _related(relationships: Mapping[str, Any], name: str) -> str | None:
    found = row(row(relationships.get(name)).get("data")).get("id")
    return found if isinstance(found, str) and found else None
