"""Machines with Terragrunt, by a stand-in or the real program, and small repositories of units."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.support.harness import Ran, Sandbox

STANDIN = Path(__file__).with_name("terragrunt_standin.py")
RECORDINGS = Path(__file__).parents[1] / "fixtures" / "terragrunt" / "recordings.json"
RECORDED_REPOSITORY = RECORDINGS.with_name("repo")
REAL = shutil.which("terragrunt")
# With it set, what the stand-in lacks is asked of the real program and added to the recordings.
_RECORDING = "DRIFTGUARD_RECORD_TERRAGRUNT" in os.environ

MODULE = """\
variable "text" { default = "plain" }
resource "terraform_data" "thing" { input = var.text }
output "id" { value = terraform_data.thing.id }
output "text" { value = terraform_data.thing.output }
"""
ROOT = """\
remote_state {
  backend  = "http"
  generate = { path = "backend.tf", if_exists = "overwrite_terragrunt" }
  config = {
    address        = "${get_env("STATES")}/${path_relative_to_include()}"
    lock_address   = "${get_env("STATES")}/${path_relative_to_include()}"
    unlock_address = "${get_env("STATES")}/${path_relative_to_include()}"
  }
}
"""
INCLUDE = 'include "root" { path = find_in_parent_folders("root.hcl") }\n'
SOURCE = 'terraform { source = "${get_repo_root()}//modules/thing" }\n'
CONFIGURATION = """\
environments:
  - path: live/*
    env: [STATES]
"""


def unit(text: str = '"given"', more: str = "") -> str:
    """A unit of the module `thing`, which gets an expression as its text."""
    return f"{INCLUDE}{SOURCE}{more}inputs = {{ text = {text} }}\n"


def dependency(name: str, more: str = "") -> str:
    """A block that depends on the unit beside."""
    return f'dependency "{name}" {{\n  config_path = "../{name}"\n{more}}}\n'


class UnitMachine:
    """A machine whose repository holds units; their states lie behind an `http` backend.

    Args:
        states: the address of the states.
        real: whether the real program is used.
    """

    def __init__(self, sandbox: Sandbox, states: str, bin_folder: Path, *, real: bool) -> None:
        self.sandbox, self.real = sandbox, real
        sandbox.variables["STATES"] = states
        bin_folder.mkdir()
        program = bin_folder / "terragrunt"
        if real:
            assert REAL is not None
            program.symlink_to(REAL)
        else:
            recorder = REAL if _RECORDING and REAL else ""
            program.write_text(f"#!/bin/sh\nexec {sys.executable} -I -S {STANDIN} {RECORDINGS} '{recorder}' \"$@\"\n")
            program.chmod(0o755)
        sandbox.variables["PATH"] = f"{bin_folder}:{sandbox.variables['PATH']}"
        sandbox.write("driftguard.yaml", CONFIGURATION)
        sandbox.write("modules/thing/main.tf", MODULE)
        sandbox.write("live/root.hcl", ROOT)

    def commit(self, **units: str) -> str:
        """Commit units below `live`."""
        return self.sandbox.commit("units", {f"live/{name}/terragrunt.hcl": text for name, text in units.items()})

    def scan(self, *names: str) -> Ran:
        """A scan with its report as JSON."""
        return self.sandbox.scan(*names)

    def reconcile(self) -> Ran:
        """A reconcile with its report as JSON."""
        return self.sandbox.run("reconcile", "--format", "json")

    def output(self, name: str, output: str) -> object:
        """An output in the state of a unit below `live`."""
        with urllib.request.urlopen(f"{self.sandbox.variables['STATES']}/{name}") as answer:
            found: object = json.load(answer)["outputs"][output]["value"]
        return found

    def apply(self, *units: str) -> None:
        """Apply units of the work tree by hand, one after another."""
        variables = self.sandbox.variables
        program = shutil.which("terraform", path=variables["PATH"]) or ""
        for name in units:
            own = {"TG_TF_PATH": program, "TG_DOWNLOAD_DIR": str(self.sandbox.home / "by-hand" / name)}
            done = subprocess.run(
                ["terragrunt", "run", "--non-interactive", "--", "apply", "-auto-approve", "-input=false"],
                cwd=self.sandbox.repository / "live" / name,
                env={**variables, **own},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
