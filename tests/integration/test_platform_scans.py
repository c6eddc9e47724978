"""Scans of workspaces that plan on a platform: HCP Terraform, Terraform Enterprise, or a server like them.

They run against a double, and against a real server where TFE_URL, TFE_TOKEN and TFE_ORGANIZATION are given.
"""

from __future__ import annotations

import pytest

from tests.support.harness import Sandbox
from tests.support.tfe_double.place import PlatformAccess

MAIN = """
terraform {%s}

variable "size" {
  default = "small"
}

resource "terraform_data" "a" {
  input = "%s-${var.size}"
}
"""


def write(sandbox: Sandbox, access: PlatformAccess, workspace: str, value: str, environment: str = "prod") -> str:
    text = MAIN % (access.block(workspace), value)
    return sandbox.commit(f"Set {value}", {f"environments/{environment}/main.tf": text})


@pytest.fixture
def machine(sandbox: Sandbox, access: PlatformAccess) -> Sandbox:
    return sandbox


def test_a_scan_is_a_plan_only_run_that_waits_for_nothing_and_locks_nothing(
    machine: Sandbox, access: PlatformAccess
) -> None:
    workspace = access.workspace()
    commit = write(machine, access, workspace, "one")
    ran = machine.run("scan", "--format", "json")
    found = ran.environment("prod")
    assert (ran.code, found["verdict"]) == (2, "pending"), ran.stderr
    assert [each["address"] for each in found["resources"]] == ["terraform_data.a"]
    (run,) = access.runs(workspace)
    assert run["attributes"]["status"] == "planned_and_finished"
    assert run["attributes"]["plan-only"] is True
    assert found["plan_url"].endswith(f"/runs/{run['id']}")
    assert access.read(workspace)["attributes"]["locked"] is False
    if access.double is not None:
        (made,) = access.double.store.runs.values()
        assert made.configuration.speculative
        assert made.message == f"DriftGuard scan of prod at {commit[:12]}"


def test_a_workspace_with_local_execution_is_planned_and_applied_here(machine: Sandbox, access: PlatformAccess) -> None:
    if access.double is not None:
        pytest.skip("the double takes no states of Terraform itself")
    workspace = access.workspace(**{"execution-mode": "local"})
    machine.write("driftguard.yaml", "policy: {pending: apply}\n")
    write(machine, access, workspace, "one")
    ran = machine.run("scan", "--format", "json")
    assert (ran.code, ran.environment("prod")["verdict"]) == (2, "pending"), ran.stdout
    assert ran.environment("prod")["plan_url"] is None
    ran = machine.run("reconcile", "--format", "json")
    assert (ran.code, ran.environment("prod")["verdict"]) == (0, "in_sync"), ran.stdout
    assert access.runs(workspace) == []
    assert access.read(workspace)["attributes"]["locked"] is False


def test_a_workspace_that_is_not_there_is_never_made(machine: Sandbox, access: PlatformAccess) -> None:
    write(machine, access, "driftguard-missing", "one")
    ran = machine.run("scan", "--format", "json")
    error = ran.environment("prod")["error"]
    assert (ran.code, error["kind"]) == (1, "config")
    assert "driftguard-missing" in error["message"]
    with pytest.raises(AssertionError, match="404"):
        access.read("driftguard-missing")


def test_a_run_that_fails_is_unknown_with_terraforms_words_and_the_runs_page(
    machine: Sandbox, access: PlatformAccess
) -> None:
    workspace = access.workspace()
    text = MAIN % (access.block(workspace), "one") + '\noutput "x" {\n  value = terraform_data.b.id\n}\n'
    machine.commit("Break it", {"environments/prod/main.tf": text})
    ran = machine.run("scan", "--format", "json")
    error = ran.environment("prod")["error"]
    (run,) = access.runs(workspace)
    assert (ran.code, error["kind"]) == (1, "plan")
    assert "Reference to undeclared resource" in error["message"]
    assert run["id"] in error["message"]
