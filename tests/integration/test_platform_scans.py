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
