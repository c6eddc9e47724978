"""What the double of a platform holds, and how its runs go on: one step each time that a run is asked for."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

FINAL = ("planned_and_finished", "applied", "discarded", "errored", "canceled")
CONFIRMABLE = ("planned", "cost_estimated", "policy_checked")


def identifier(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(8)}"


class Refused(Exception):
    """An action that the run's state does not allow."""


@dataclass
class Planned:
    """What Terraform gives for a run: the plan's JSON, empty where it failed, and its log."""

    json: bytes
    log: str = ""
    work: Any = None


class Terraform(Protocol):
    """What plans and applies in the double."""

    def plan(self, files: bytes, directory: str, state: bytes, variables: list[dict[str, Any]]) -> Planned:
        """Plan an uploaded tar."""
        ...

    def apply(self, planned: Planned) -> tuple[bytes, str, bool]:
        """The new state, the log, and whether it ended well."""
        ...


@dataclass
class Workspace:
    name: str
    execution: str = "remote"
    directory: str = ""
    version: str = "1.11.4"
    auto_apply: bool = False
    vcs: dict[str, Any] | None = None
    tags: list[str] = field(default_factory=list)
    project: str | None = None
    id: str = field(default_factory=lambda: identifier("ws"))
    locked_by: str | None = None
    states: list[tuple[str, bytes]] = field(default_factory=list)
    variables: list[dict[str, Any]] = field(default_factory=list)
    variables_are_hidden: bool = False

    @property
    def state(self) -> bytes:
        return self.states[-1][1] if self.states else b""


@dataclass
class Configuration:
    workspace: Workspace
    speculative: bool
    id: str = field(default_factory=lambda: identifier("cv"))
    content: bytes | None = None


@dataclass
class Run:
    workspace: Workspace
    configuration: Configuration
    plan_only: bool
    message: str
    id: str = field(default_factory=lambda: identifier("run"))
    status: str = "pending"
    planned: Planned | None = None
    apply_log: str = ""
    changes: bool = False
    steps: list[str] = field(default_factory=list)
    """States of HCP Terraform alone that it goes through after its plan; the last may hold it."""

    @property
    def ended(self) -> bool:
        return self.status in FINAL or (self.plan_only and self.status == "policy_soft_failed")

    @property
    def confirmable(self) -> bool:
        return not self.plan_only and self.status in CONFIRMABLE and not self.steps

    @property
    def discardable(self) -> bool:
        held = ("pending", *CONFIRMABLE, "policy_override", "policy_soft_failed", "post_plan_awaiting_decision")
        return self.status in held and not self.ended

    @property
    def cancelable(self) -> bool:
        return self.status in ("pending", "plan_queued", "planning", "apply_queued", "applying")


class Store:
    """All of it. Guarded by `lock`.

    Attributes:
        after_plan: states that each run goes through after its plan.
        stuck: whether runs stay where they are, as without an agent.
    """

    def __init__(self, terraform: Terraform) -> None:
        self.terraform = terraform
        self.lock = threading.RLock()
        self.workspaces: dict[str, Workspace] = {}
        self.configurations: dict[str, Configuration] = {}
        self.runs: dict[str, Run] = {}
        self.projects: dict[str, str] = {}
        self.variable_sets: dict[str, tuple[list[str], list[dict[str, Any]]]] = {}
        self.after_plan: list[str] = []
        self.stuck: str | None = None
        self.before_confirm: Callable[[Run], None] | None = None

    def workspace(self, identifier: str) -> Workspace:
        return next(w for w in self.workspaces.values() if w.id == identifier)

    def by_id(self, identifier: str) -> Workspace | None:
        return next((w for w in self.workspaces.values() if w.id == identifier), None)

    def holder(self, workspace: Workspace) -> Run | None:
        """The run that holds a workspace: the oldest that could change it and has not ended."""
        waiting = [r for r in self.runs.values() if r.workspace is workspace and not r.plan_only and not r.ended]
        return waiting[0] if waiting else None

    def begin(self, configuration: Configuration, message: str, plan_only: bool) -> Run:
        run = Run(configuration.workspace, configuration, plan_only or configuration.speculative, message)
        run.steps = list(self.after_plan)
        self.runs[run.id] = run
        return run

    def advance(self, run: Run) -> None:
        """One step of a run."""
        if run.ended or run.confirmable or run.status == self.stuck:
            return
        match run.status:
            case "pending":
                locked = run.workspace.locked_by is not None or self.holder(run.workspace) is not run
                run.status = "pending" if locked and not run.plan_only else "plan_queued"
            case "plan_queued":
                run.status = "planning"
            case "planning":
                self._plan(run)
            case "apply_queued":
                run.status = "applying"
            case "applying":
                self._apply(run)
            case "policy_override" | "policy_soft_failed" | "post_plan_awaiting_decision":
                pass  # manual action is required
            case _ if run.steps:
                run.status = run.steps.pop(0)
                if not run.steps and run.plan_only and run.status not in ("policy_soft_failed",):
                    run.status = "planned_and_finished"
            case _:
                raise AssertionError(run.status)

    def _plan(self, run: Run) -> None:
        assert run.configuration.content is not None
        workspace = run.workspace
        run.planned = self.terraform.plan(
            run.configuration.content, workspace.directory, workspace.state, workspace.variables
        )
        if not run.planned.json:
            run.status = "errored"
            return
        run.changes = changes(json.loads(run.planned.json))
        if run.steps:
            run.status = run.steps.pop(0)
        elif run.plan_only or not run.changes:
            run.status = "planned_and_finished"
        else:
            run.status = "planned"

    def _apply(self, run: Run) -> None:
        assert run.planned is not None
        state, run.apply_log, good = self.terraform.apply(run.planned)
        if state:
            self.put_state(run.workspace, state)
        run.status = "applied" if good else "errored"

    def put_state(self, workspace: Workspace, state: bytes) -> str:
        workspace.states.append((identifier("sv"), state))
        return workspace.states[-1][0]

    def put_encoded(self, workspace: Workspace, state: str) -> str:
        return self.put_state(workspace, base64.b64decode(state))

    def act(self, run: Run, action: str) -> None:
        """Confirm, discard or cancel. Raises `Refused`."""
        allowed = {"apply": run.confirmable, "discard": run.discardable, "cancel": run.cancelable}
        if not allowed[action]:
            raise Refused(f"cannot {action} run with status {run.status}")
        if action == "apply":
            if self.before_confirm is not None:
                self.before_confirm(run)
            run.status = "apply_queued"
        else:
            run.status = "discarded" if action == "discard" else "canceled"


def changes(plan: dict[str, Any]) -> bool:
    items = [*plan.get("resource_changes", ())]
    outputs = plan.get("output_changes", {}).values()
    return any(i["change"]["actions"] != ["no-op"] for i in items) or any(o["actions"] != ["no-op"] for o in outputs)
