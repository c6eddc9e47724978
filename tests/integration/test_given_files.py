"""`files` of the operator's file: what is made before Terraform runs is copied into the work tree and counts."""

from __future__ import annotations

from pathlib import Path

from tests.support.harness import Sandbox, Toy

CODE = """\
terraform {
  required_providers {
    toy = { source = "driftguard/toy" }
  }
}

variable "value" {}

resource "toy_thing" "web" {
  name  = "web"
  value = var.value
}
"""


def test_files_of_the_operator_are_copied_before_init_and_are_part_of_the_closure(
    sandbox: Sandbox, toy: Toy, tmp_path: Path
) -> None:
    given = tmp_path / "made" / "dev"
    given.mkdir(parents=True)
    (given / "provider.tf").write_text(f'provider "toy" {{\n  folder = "{toy.folder}"\n}}\n')
    (given / "bucket.auto.tfvars").write_text('value = "one"\n')
    files = {"environments/dev/main.tf": CODE, ".gitignore": "*.tfstate*\n.terraform/\nprovider.tf\n*.tfvars\n"}
    for path, text in files.items():
        sandbox.write(path, text)
    for file in given.iterdir():
        sandbox.write(f"environments/dev/{file.name}", file.read_text())
    sandbox.apply("environments/dev")
    for file in given.iterdir():
        (sandbox.repository / "environments/dev" / file.name).unlink()
    sandbox.commit("estate")

    (without,) = sandbox.scan().report["environments"]
    assert without["error"]["kind"] in ("plan", "init", "config")

    entry = f"environments: [{{path: 'environments/*', files: {{from: '{tmp_path}/made/{{name}}'}}}}]\n"
    assert sandbox.operator_file is not None
    sandbox.operator_file.write_text(entry)
    (found,) = sandbox.scan().report["environments"]
    assert (found["verdict"], found["error"]) == ("in_sync", None)
    assert not (sandbox.repository / "environments/dev/provider.tf").exists()  # the user's own work tree is left alone

    (given / "bucket.auto.tfvars").write_text('value = "two"\n')
    (moved,) = sandbox.scan().report["environments"]
    assert moved["closure_hash"] != found["closure_hash"]
    assert (moved["verdict"], moved["commits"]) == ("pending", [])  # no commit did it

    (given / "bucket.auto.tfvars").unlink()
    (given / "provider.tf").unlink()
    given.rmdir()
    (gone,) = sandbox.scan().report["environments"]
    assert gone["error"]["kind"] == "config"
    assert str(given) in gone["error"]["message"]


def test_files_of_a_commit_name_no_folder_of_the_machine(sandbox: Sandbox, toy: Toy, tmp_path: Path) -> None:
    sandbox.write("environments/dev/main.tf", toy.root_module(""))
    entry = f"environments: [{{path: 'environments/*', files: {{from: '{tmp_path}'}}}}]\n"
    sandbox.commit("estate", {"driftguard.yaml": entry})
    ran = sandbox.scan()
    assert "`environments.files` counts in the operator's file only" in " ".join(ran.report["warnings"])
    assert ran.report["environments"][0]["error"] is None
