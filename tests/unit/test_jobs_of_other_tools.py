"""The ready jobs for other tools' pipelines: run with stand-ins of what they call, and the real `classify`."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from driftguard import onboarding
from driftguard.onboarding import ready_job
from tests.support.ci_jobs import BASH, ROOT, accepted_by_driftguard, lint_workflow

PAGE = ROOT / "docs" / "how-to" / "label-plans-of-other-tools.md"
DRIFTED = ROOT / "tests" / "fixtures" / "plans" / "outside_only.json"
CLASSIFIED = "drifted"


def documented() -> dict[str, Any]:
    """The files of the page by the name in their first line; tfaction's has none."""
    found = re.findall(r"```yaml\n(?:# (\S+)\n)?(.*?)```", PAGE.read_text(), re.DOTALL)
    return {name or "tfaction": yaml.safe_load(text) for name, text in found}


def scripts() -> dict[str, tuple[str, int]]:
    """Each job's script, and how it ends where something has drifted."""
    files = documented()
    [github] = [step for step in files[".github/workflows/drift.yml"]["jobs"]["classify"]["steps"] if names(step)]
    [atlantis] = [s["run"] for s in files["repos.yaml"]["workflows"]["driftguard"]["plan"]["steps"] if "run" in s]
    [digger] = [s["run"] for s in files["digger.yml"]["workflows"]["driftguard"]["plan"]["steps"] if "run" in s]
    [tfaction] = [step["run"] for step in files["tfaction"]["steps"] if "run" in step]
    return {
        "GitHub Actions": (github["run"], 2),
        "Atlantis": (atlantis, 0),
        "Digger": (digger, 0),
        "tfaction": (tfaction, 0),
        **{tool: (job_steps(tool)[-1]["run"], 2) for tool in onboarding._JOBS},
    }


def names(step: dict[str, Any]) -> bool:
    return step.get("name") == "Label the plan"


def job_steps(tool: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = yaml.safe_load(ready_job(tool))["jobs"]["classify"]["steps"]
    return steps


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Stand-ins of terraform, terragrunt, atmos and cdktf, which print the plan of a drifted environment.

    `show` needs the plan file that `plan` made; Terragrunt prints the plans of two units. `driftguard` is real, and
    notes its arguments.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    plan = shlex.quote(str(DRIFTED))
    show = f'tr -d "\\n" < {plan}; echo'
    terraform = (
        "#!/bin/sh\n"
        'case "$*" in\n'
        '*" -json "*) for file in "$@"; do :; done; [ -f "$file" ] || { echo "no plan file $file" >&2; exit 1; }\n'
        f'  {show}; [ "${{0##*/}}" = terragrunt ] && {{ {show}; }}; exit 0 ;;\n'
        "*plan*-out=tfplan*) touch tfplan ;;\n"
        '"providers schema -json") echo \'{"format_version": "1.0", "provider_schemas": {}}\' ;;\n'
        "*init*) ;;\n"
        '*) echo "unknown command: $*" >&2; exit 1 ;;\n'
        "esac\n"
    )
    for name in ("terraform", "terraform1.9.8", "terragrunt", "atmos"):
        program(folder / name, terraform)
    program(folder / "cdktf", '#!/bin/sh\n[ "$*" = synth ] && mkdir -p cdktf.out/stacks/STACK\n')
    stacks = '[ $# -gt 3 ] || exit 0; shift 3; for s in a b; do mkdir -p $s; (cd $s && "$@") || exit; done\n'
    program(folder / "terramate", f'#!/bin/sh\n[ "$*" = generate ] || [ "$1 $2 $3" = "run -X --" ] || exit 1\n{stacks}')
    notes = shlex.quote(str(folder / "calls"))
    command = f'"{sys.executable}" -P -c "from driftguard.cli import main; main()"'
    program(folder / "driftguard", f'#!/bin/sh\necho "$*" >> {notes}\nexec {command} "$@"\n')
    return folder


def program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


@pytest.mark.parametrize("tool", scripts())
def test_a_ready_job_labels_the_plan_of_its_tool(tool: str, programs: Path, tmp_path: Path) -> None:
    script, code = scripts()[tool]
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "driftguard.yaml").write_text("policy: {drift: alert}\n")
    for name in ("atlantis.tfplan", "digger.tfplan", "tfplan.binary"):  # made by the step before
        (folder / name).write_text("")
    variables = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "ATLANTIS_TERRAFORM_VERSION": "1.9.8",
        "PLANFILE": str(folder / "atlantis.tfplan"),
        "DIGGER_PLANFILE": str(folder / "digger.tfplan"),
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_WORKSPACE": str(folder),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "DRIFTGUARD_KEY": "a secret text of this repository",
    }
    shell = ["sh", "-c"] if tool == "Atlantis" else [*BASH, "-c"]
    done = subprocess.run([*shell, script], cwd=folder, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    units = 2 if tool in ("Terragrunt", "Terramate") else 1
    if tool == "GitHub Actions":
        assert f'<failure type="{CLASSIFIED}" message="{CLASSIFIED}: alert">' in (folder / "labels.xml").read_text()
    else:
        assert len(re.findall(rf" {CLASSIFIED} ", done.stdout)) == units, done.stdout + done.stderr
    assert "drift" in (folder / "summary.md").read_text()
    calls = (programs / "calls").read_text().splitlines()
    assert len(calls) == units
    for call in calls:
        accepted_by_driftguard(shlex.split(call), tool)


@pytest.mark.parametrize("tool", onboarding._JOBS)
def test_a_job_that_init_prints_is_a_workflow_that_installs_the_right_distribution(tool: str, tmp_path: Path) -> None:
    lint_workflow(ready_job(tool), tmp_path)
    assert job_steps(tool)[1]["run"] == 'pip install "driftguard-gitops @ $DRIFTGUARD_PACKAGE"'


def test_the_documented_workflow_passes_actionlint(tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n# \.github/workflows/drift\.yml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lint_workflow(text, tmp_path)
