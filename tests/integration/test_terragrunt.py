"""Terragrunt units, by a stand-in that answers as 1.1.3 does and calls Terraform, and by the real one where it is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.harness import Sandbox

pytestmark = pytest.mark.terraform

# `run … -- ARGUMENTS`: the module is copied to the download folder and Terraform runs there; mocks are logged.
STAND_IN = r"""#!/bin/sh
[ "$1" = run ] || exit 1
while [ "$1" != -- ]; do shift; done
shift
[ -z "$TF_DATA_DIR" ] || exit 99
here=$PWD
if grep -q 'no_run' terragrunt.hcl; then exit 0; fi
if grep -q dependency terragrunt.hcl; then
  of=$(cd ../network && pwd)/terragrunt.hcl
  if grep -q mock_outputs terragrunt.hcl; then
    tail="that has no outputs, but mock outputs provided and returning those in dependency output."
    printf '{"level":"warn", "msg":"Config %s is a dependency of %s %s"}\n' "$of" "$here/terragrunt.hcl" "$tail" >&2
  else
    printf '{"level":"error", "msg":"%s is a dependency of %s but detected no outputs."}\n' \
      "$of" "$here/terragrunt.hcl" >&2
    exit 1
  fi
fi
source=$(sed -n 's/^terraform { source = "\(.*\)" }/\1/p' terragrunt.hcl)
work="$TG_DOWNLOAD_DIR/a/b"
mkdir -p "$work"
cp -r "$source"/. "$work"
export TF_VAR_text=given
cd "$work" || exit 1
[ -d .terraform ] || [ "$1" = init ] || "$TG_TF_PATH" init > /dev/null || exit 1
exec "$TG_TF_PATH" "$@"
"""
MODULE = """\
terraform {
  backend "local" { path = "STATES/${NAME}.tfstate" }
}
variable "text" {}
resource "terraform_data" "thing" { input = var.text }
output "id" { value = terraform_data.thing.id }
"""
UNIT = 'terraform { source = "../../modules//thing" }\ninputs = { text = TEXT }\n'
NETWORK = UNIT.replace("TEXT", '"given"')
SERVICE = 'dependency "network" {\n  config_path = "../network"\nMOCKS}\n' + UNIT.replace(
    "TEXT", "dependency.network.outputs.id"
)


@pytest.fixture(params=["stand-in", "real"])
def machine(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Sandbox:
    """A machine with Terragrunt and the unit `network`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if request.param == "stand-in":
        (folder / "terragrunt").write_text(STAND_IN)
        (folder / "terragrunt").chmod(0o755)
    elif shutil.which("terragrunt") is None:
        pytest.skip("no terragrunt is on PATH")
    sandbox.variables["PATH"] = f"{folder}:{sandbox.variables['PATH']}"
    (tmp_path / "states").mkdir()
    module = MODULE.replace("STATES/${NAME}", str(tmp_path / "states" / "network"))
    sandbox.write("driftguard.yaml", "environments: [{path: live/*}]\n")
    sandbox.commit("units", {"modules/thing/main.tf": module, "live/network/terragrunt.hcl": NETWORK})
    return sandbox


def files_of(folder: Path) -> set[str]:
    return {os.path.relpath(path, folder) for path in folder.rglob("*") if ".git" not in path.parts}


def test_a_unit_is_planned_through_terragrunt_and_nothing_is_left_in_the_work_tree(machine: Sandbox) -> None:
    before = files_of(machine.repository)
    for _ in range(2):  # the second run finds Terragrunt's folder as the first left it
        found = machine.scan("--format", "json")
        environment = found.environment("network")
        assert environment["verdict"] == "pending", found.stderr
        assert [r["address"] for r in environment["resources"]] == ["terraform_data.thing"]
        assert "Terragrunt unit" in environment["closure_open"][0]
    assert files_of(machine.repository) == before
    assert list((machine.home.parent / "states").iterdir()) == []


@pytest.mark.parametrize("mocks", ["", '  mock_outputs = { id = "mock" }\n'])
def test_a_unit_without_the_outputs_of_another_is_unknown_and_names_it(machine: Sandbox, mocks: str) -> None:
    machine.commit("a service", {"live/service/terragrunt.hcl": SERVICE.replace("MOCKS", mocks)})
    error = machine.scan("--format", "json", "service").environment("service")["error"]
    assert error["kind"] == "dependency"
    assert "network" in error["message"]
    assert "terragrunt run -- apply" in error["message"]


def test_a_unit_that_is_not_planned_is_unknown(machine: Sandbox) -> None:
    excluded = 'exclude {\n  if = true\n  actions = ["all"]\n  no_run = true\n}\n'
    machine.commit("excluded", {"live/network/terragrunt.hcl": excluded + NETWORK})
    environment = machine.scan("--format", "json").environment("network")
    assert environment["verdict"] == "unknown"
    assert environment["error"]["kind"] == "partial"


def test_without_terragrunt_a_unit_is_unknown_with_the_remedy(sandbox: Sandbox) -> None:
    sandbox.variables["PATH"] = ":".join(
        folder for folder in sandbox.variables["PATH"].split(":") if not Path(folder, "terragrunt").exists()
    )
    sandbox.write("driftguard.yaml", "environments: [{path: live/*}]\n")
    sandbox.commit("a unit", {"live/network/terragrunt.hcl": NETWORK})
    error = sandbox.scan("--format", "json").environment("network")["error"]
    assert error["kind"] == "config"
    assert "Install Terragrunt" in error["message"]
