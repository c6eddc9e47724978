"""The GitHub action with the real driftguard, on real Terraform."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.ci_jobs import Action
from tests.support.harness import Sandbox, Toy
from tests.support.toy_estate import BODY

pytestmark = pytest.mark.terraform


def test_a_job_with_a_drifted_environment_has_outputs_a_summary_and_the_asked_for_colour(
    sandbox: Sandbox, toy: Toy, tmp_path: Path
) -> None:
    for name in ("dev", "prod"):
        cloud = Toy(toy.folder / name)
        sandbox.write(f"environments/{name}/main.tf", cloud.root_module(BODY))
        sandbox.apply(f"environments/{name}")
    sandbox.commit("estate")
    Toy(toy.folder / "prod").change("web", value="two")
    program = tmp_path / "driftguard"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -c "from driftguard.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    inputs = {"repository": str(sandbox.repository), "ref": "main", "fail-on": "divergence"}
    job = Action(tmp_path / "job", program, inputs, sandbox.variables)
    done = job.run()
    assert done.returncode == 2, done.stderr
    assert (job.outputs["verdict"], job.outputs["drifted"]) == ("drifted", '["prod"]')
    report = json.loads(Path(job.outputs["report"]).read_text())
    assert {e["name"]: e["verdict"] for e in report["environments"]} == {"dev": "in_sync", "prod": "drifted"}
    assert "toy_thing.web" in job.summary.read_text()
