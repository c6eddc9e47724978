"""The platform's objects as JSON, with what the recorded server sent and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.tfe_double.store import Configuration, Run, Workspace

if TYPE_CHECKING:
    from tests.support.tfe_double.server import PlatformDouble


class Shapes:
    """Makes the answers of a double."""

    def __init__(self, double: PlatformDouble) -> None:
        self._double = double

    def workspace(self, found: Workspace) -> dict[str, Any]:
        holder = self._double.store.holder(found)
        attributes = {
            "name": found.name,
            "execution-mode": found.execution,
            "operations": found.execution != "local",
            "working-directory": found.directory,
            "terraform-version": found.version,
            "auto-apply": found.auto_apply,
            "vcs-repo": found.vcs,
            "locked": found.locked_by is not None or holder is not None,
            "tag-names": found.tags or None,
            "trigger-patterns": None,
            "speculative-enabled": True,
            "permissions": {"can-queue-apply": True, "can-queue-run": True, "can-lock": True, "can-unlock": True},
        }
        related: dict[str, Any] = {
            "current-run": {"data": {"id": holder.id, "type": "runs"} if holder else None},
            "organization": {"data": {"id": self._double.organization, "type": "organizations"}},
        }
        if found.project is not None:
            related["project"] = {"data": {"id": found.project, "type": "projects"}}
        return {"id": found.id, "type": "workspaces", "attributes": attributes, "relationships": related}

    def state(self, identifier: str, text: bytes) -> dict[str, Any]:
        address = f"/api/v2/state-versions/{identifier}/download"
        attributes = {"hosted-state-download-url": address, "serial": 1, "status": "finalized"}
        return {"id": identifier, "type": "state-versions", "attributes": attributes}

    def configuration(self, found: Configuration) -> dict[str, Any]:
        taken = found.content is not None
        attributes = {
            "auto-queue-runs": False,
            "error": "",
            "error-message": "",
            "source": "tfe-api",
            "speculative": found.speculative,
            "status": "uploaded" if taken else "pending",
            "upload-url": "" if taken else f"https://{self._double.host}/signed/{found.id}",
        }
        return {"id": found.id, "type": "configuration-versions", "attributes": attributes}

    def run(self, found: Run) -> dict[str, Any]:
        actions = {
            "is-cancelable": found.cancelable,
            "is-confirmable": found.confirmable,
            "is-discardable": found.discardable,
            "is-force-cancelable": False,
        }
        attributes = {
            "actions": actions,
            "status": found.status,
            "plan-only": found.plan_only,
            "has-changes": found.changes,
            "message": "" if self._double.drops_messages else found.message,
            "auto-apply": False,
            "variables": [],
        }
        related = {
            "plan": {"data": {"id": found.id.replace("run-", "plan-"), "type": "plans"}},
            "apply": {"data": {"id": found.id.replace("run-", "apply-"), "type": "applies"}},
            "configuration-version": {"data": {"id": found.configuration.id, "type": "configuration-versions"}},
            "workspace": {"data": {"id": found.workspace.id, "type": "workspaces"}},
            "cost-estimate": {"data": None},
        }
        return {"id": found.id, "type": "runs", "attributes": attributes, "relationships": related}

    def plan(self, found: Run) -> dict[str, Any]:
        status = "errored" if found.status == "errored" and not found.apply_log else "finished"
        return self._phase("plans", found, {"has-changes": found.changes, "status": status})

    def apply(self, found: Run) -> dict[str, Any]:
        status = {"applied": "finished", "errored": "errored"}.get(found.status, "pending")
        return self._phase("applies", found, {"status": status})

    def _phase(self, kind: str, found: Run, attributes: dict[str, Any]) -> dict[str, Any]:
        address = f"https://{self._double.elsewhere}/signed/{found.id}/log"
        identifier = found.id.replace("run-", "plan-" if kind == "plans" else "apply-")
        return {"id": identifier, "type": kind, "attributes": {**attributes, "log-read-url": address}}

    def variables(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                "id": f"var-{number}",
                "type": "vars",
                "attributes": {**each, "value": None if each.get("sensitive") else each.get("value")},
            }
            for number, each in enumerate(found)
        ]
