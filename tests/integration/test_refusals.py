"""What cannot work at all is refused in one clear sentence, before anything is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.harness import Ran, Sandbox
from tests.support.toy_estate import EstateOf, Wrapped


def refused(ran: Ran, code: int) -> str:
    """The one line that a refused command says, with `--quiet`."""
    assert (ran.code, ran.stdout) == (code, ""), ran.stderr
    assert ran.stderr.startswith("driftguard: ")
    assert ran.stderr.count("\n") == 1
    return ran.stderr


@pytest.mark.parametrize(
    ("text", "where", "expected"),
    [
        ("version: 1\nconcurrency: lots\n", "driftguard.yaml:2", "concurrency"),
        ("version: 1\n\nenvironment: x\n", "driftguard.yaml:3", "environment"),
        ("environments:\n  - path: environments/*\n  - path: environments/gone\n", "driftguard.yaml:3", "matches no"),
        ("environments:\n  - {path: environments/*, timeout: soon}\n", "driftguard.yaml:2", "timeout"),
        ("version: [\n", "driftguard.yaml:", "YAML"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_line_and_nothing_is_run(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path, text: str, where: str, expected: str
) -> None:
    estate_of("blue")
    sandbox.commit("configure", {"driftguard.yaml": text})
    wrapped = Wrapped(sandbox, tmp_path / "wrapped")
    said = refused(sandbox.scan("--quiet"), 64)
    assert where in said
    assert expected in said
    assert wrapped.calls() == []
    assert not (sandbox.home / ".local").exists()  # not even a ledger


def test_an_unknown_environment_is_refused_with_those_there_are(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate_of("blue", "green")
    said = refused(sandbox.scan("--quiet", "blue", "grene"), 64)
    assert "grene" in said
    assert "blue, green" in said


def test_a_terraform_that_is_not_there_is_named(sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path) -> None:
    estate_of("blue")
    sandbox.commit("another tool", {"driftguard.yaml": "terraform: {binary: terraform-0.99}\n"})
    assert "terraform.binary is 'terraform-0.99', and no such program is found" in refused(sandbox.scan("--quiet"), 1)

    other = tmp_path / "other-tool"
    other.write_text("#!/bin/sh\necho hello\n")
    other.chmod(0o755)
    sandbox.commit("no terraform", {"driftguard.yaml": f"terraform: {{binary: {other}}}\n"})
    assert "did not answer `version` as Terraform or OpenTofu does" in refused(sandbox.scan("--quiet"), 1)

    other.write_text("#!/no/such/interpreter\n")
    assert f"{other} could not be started" in refused(sandbox.scan("--quiet"), 1)


def test_what_one_environment_lacks_does_not_cost_the_others_their_verdicts(
    sandbox: Sandbox, estate_of: EstateOf
) -> None:
    estate_of("blue", "green", "red")
    sandbox.commit(
        "lacking",
        {
            "driftguard.yaml": """
environments:
  - path: environments/*
  - path: environments/green
    terraform: {binary: terraform-0.99}
  - path: environments/red
    var_files: [missing.tfvars]
"""
        },
    )
    ran = sandbox.scan("--quiet")
    assert ran.code == 1
    assert ran.environment("blue")["verdict"] == "in_sync"
    for name, word in (("green", "terraform-0.99"), ("red", "missing.tfvars")):
        lacking = ran.environment(name)
        assert (lacking["verdict"], lacking["error"]["kind"]) == ("unknown", "config")
        assert word in lacking["error"]["message"]
    assert sandbox.run("explain", "green", "--format", "json").report["error"]["kind"] == "config"


def test_a_machine_without_any_terraform_names_what_to_install(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path
) -> None:
    estate_of("blue")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").symlink_to(shutil.which("git") or "")
    python = tmp_path / "bin" / "python"  # an interpreter that the embedded Terraform is not installed beside
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    packages = f"{sandbox.variables['PYTHONPATH']}:{sysconfig.get_path('purelib')}"
    done = subprocess.run(
        [python, "-c", "from driftguard.cli import main; main()", "scan", "--quiet", "--format", "json"],
        cwd=sandbox.repository,
        env={**sandbox.variables, "PATH": str(tools), "PYTHONPATH": packages},
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = refused(Ran(done.returncode, done.stdout, done.stderr), 1)
    assert "No terraform or tofu is on PATH, and the embedded one is not installed" in said
    assert "pip install 'driftguard-gitops[embedded]'" in said
