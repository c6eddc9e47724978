"""The action and the CI jobs in deploy/: their shells, run with a driftguard that only ends, give the right colour."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from driftguard.config import Forge
from tests.support.ci_jobs import ACTION, ROOT, Action, accepted_by_driftguard, stub_arguments, stub_driftguard

DEPLOY = ROOT / "deploy"


def parsed(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text())


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    return stub_driftguard(tmp_path / "bin")


def environment(stub: Path, **variables: str) -> dict[str, str]:
    return {"PATH": f"{stub}:/usr/local/bin:/usr/bin:/bin", "HOME": str(stub.parent), **variables}


def action(stub: Path, inputs: dict[str, str] | None = None, **variables: str) -> Action:
    return Action(stub.parent / "job", stub / "driftguard", inputs or {}, variables)


def report_of(folder: Path, **verdicts: str) -> str:
    """A report with the verdicts of environments, as a file."""
    found = [{"name": name, "verdict": verdict} for name, verdict in verdicts.items()]
    file = folder / "made.json"
    file.write_text(json.dumps({"version": 1, "environments": found}))
    return str(file)


# --- action.yml ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "code", "worst", "drifted"),
    [
        ({"dev": "in_sync", "prod": "in_sync"}, 0, "in_sync", []),
        ({"dev": "in_sync", "prod": "pending"}, 2, "pending", []),
        ({"dev": "pending", "prod": "drifted"}, 2, "drifted", ["prod"]),
        ({"dev": "drifted", "prod": "diverged"}, 2, "diverged", ["dev", "prod"]),
        ({"dev": "unknown", "prod": "diverged", "eu": "drifted"}, 1, "unknown", ["prod", "eu"]),
        ({}, 0, "in_sync", []),
    ],
)
def test_the_action_gives_the_worst_verdict_the_drifted_environments_and_the_report(
    stub: Path, verdicts: dict[str, str], code: int, worst: str, drifted: list[str]
) -> None:
    used = action(stub, CODE=str(code), REPORT=report_of(stub.parent, **verdicts))
    used.run()
    outputs = used.outputs
    assert (outputs["verdict"], json.loads(outputs["drifted"])) == (worst, drifted)
    assert Path(outputs["report"]).read_text() == (stub.parent / "made.json").read_text()


@pytest.mark.parametrize("code", [1, 64])
def test_a_run_without_a_report_is_unknown_and_never_that_of_an_earlier_step(stub: Path, code: int) -> None:
    earlier = action(stub, CODE="0", REPORT=report_of(stub.parent, dev="in_sync"))
    assert earlier.run().returncode == 0
    used = action(stub, CODE=str(code))
    assert used.run().returncode == code
    assert used.outputs == {"verdict": "unknown", "drifted": "[]", "report": ""}


@pytest.mark.parametrize(
    ("fail_on", "codes"),
    [
        ("unknown", {0: 0, 2: 0, 1: 1, 64: 64}),
        ("divergence", {0: 0, 2: 2, 1: 1, 64: 64}),
        ("never", {0: 0, 2: 0, 1: 0, 64: 64}),
    ],
)
def test_the_action_is_red_for_what_fail_on_names_and_always_for_wrong_usage(
    stub: Path, fail_on: str, codes: dict[int, int]
) -> None:
    for code, ends_with in codes.items():
        done = action(stub, {"fail-on": fail_on}, CODE=str(code)).run()
        assert done.returncode == ends_with
        assert ("::warning title=DriftGuard::" in done.stdout) == (code != 0 and ends_with == 0)


@pytest.mark.parametrize("wrong", [{"command": "agent"}, {"fail-on": "drift"}, {"command": "scan; id"}])
def test_the_action_refuses_a_command_or_a_policy_that_it_does_not_have(stub: Path, wrong: dict[str, str]) -> None:
    done = action(stub, wrong, CODE="0").run()
    assert done.returncode == 64
    assert "::error title=DriftGuard::command is scan or reconcile" in done.stdout
    assert not (stub / "arguments").exists()


def test_the_action_starts_driftguard_with_a_command_line_that_it_accepts(stub: Path) -> None:
    inputs = {
        "command": "reconcile",
        "environments": "prod*\n  d*",
        "repository": "a folder",
        "ref": "main",
        "operator": 'ledger: {url: "s3://acme/ledger"}',
    }
    used = action(stub, inputs, CODE="0")
    assert used.run().returncode == 0
    called = stub_arguments(stub)
    accepted_by_driftguard(called, "action.yml")
    given = dict(zip(called[3::2], called[4::2], strict=True))
    assert called[:3] == ["reconcile", "prod*", "d*"]
    assert (given["--repo"], given["--ref"], given["--format"]) == ("a folder", "main", "json")
    assert Path(given["--config"]).read_text() == f"{inputs['operator']}\n"


def test_the_action_without_inputs_scans_the_checkout(stub: Path) -> None:
    assert action(stub, CODE="0").run().returncode == 0
    called = stub_arguments(stub)
    accepted_by_driftguard(called, "action.yml")
    assert called[:3] == ["scan", "--repo", "."]
    assert {"--ref", "--config"}.isdisjoint(called)


@pytest.mark.parametrize(("extras", "ending"), [("", ""), ("embedded,postgres", "[embedded,postgres]")])
def test_the_action_installs_itself_and_nothing_by_name(stub: Path, extras: str, ending: str) -> None:
    used = action(stub, {"extras": extras}, CODE="0")
    used.run()
    assert used.installed() == [f"{ROOT}{ending}"]


def test_the_action_names_an_old_python(stub: Path) -> None:
    old = stub / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    used = action(stub, {"python": str(old)}, CODE="0")
    done = used.run()
    assert (done.returncode, used.installed()) == (1, [])
    assert "Use actions/setup-python before this step" in done.stdout


def test_a_cancelled_job_interrupts_driftguard_and_waits_for_it(stub: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    used = action(stub, CODE="0", WAITS=str(ready))
    subprocess.run(**used.command(used.step("Install DriftGuard")), check=True)
    with subprocess.Popen(**used.command(used.step("Run DriftGuard")), stdout=subprocess.PIPE, text=True) as shell:
        for _ in range(400):
            if ready.exists():
                break
            time.sleep(0.05)
        shell.send_signal(signal.SIGINT)
        output, _ = shell.communicate(timeout=30)
    assert "told to stop" in output
    assert shell.returncode != 0


# --- the workflow that uses it ---------------------------------------------------------------------------


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parsed("github/driftguard.yml")["jobs"]["reconcile"]["steps"]
    return found


def test_the_workflow_uses_the_action_with_inputs_that_it_has() -> None:
    [used] = [step for step in steps() if step.get("uses", "").startswith("acme/driftguard@")]
    inputs = yaml.safe_load(ACTION.read_text())["inputs"]
    assert used["with"].keys() <= inputs.keys()
    assert used["with"]["command"] == "reconcile"
    assert used["with"]["fail-on"] == "${{ vars.DRIFTGUARD_FAIL_ON || 'unknown' }}"


def test_the_workflow_does_not_start_without_the_operators_file(stub: Path) -> None:
    first = steps()[0]
    assert first["if"] == "${{ vars.DRIFTGUARD_OPERATOR == '' }}"
    done = subprocess.run(["bash", "-e", "-c", first["run"]], env=environment(stub), capture_output=True, text=True)
    assert done.returncode != 0
    assert "The variable DRIFTGUARD_OPERATOR is empty" in done.stdout


def test_the_workflow_explains_that_its_own_token_starts_no_checks() -> None:
    text = (DEPLOY / "github/driftguard.yml").read_text()
    comment = " ".join(re.findall(r"^# ?(.*)$", text, re.MULTILINE))
    assert "GitHub starts no workflow for what a workflow's own GITHUB_TOKEN pushes or opens" in comment
    assert "change `contents` and `pull-requests` below to `write`" in comment


def test_the_workflow_hands_over_what_pull_requests_need_and_no_more() -> None:
    text = (DEPLOY / "github/driftguard.yml").read_text()
    job = yaml.safe_load(text)

    given = next(step["env"] for step in job["jobs"]["reconcile"]["steps"] if "acme/driftguard" in step.get("uses", ""))
    named = re.search(r"^#   (forge: .*)$", text, re.MULTILINE)
    assert named is not None
    forge = Forge(**yaml.safe_load(named[1])["forge"])
    assert forge.app is not None
    assert {forge.app.key_env, "GITHUB_TOKEN"} <= set(given)


# --- the other services ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "fail_on_divergence", "colour"),
    [(0, "", "green"), (2, "", "orange"), (2, "true", "red"), (1, "", "red"), (64, "", "red")],
)
def test_the_gitlab_job_is_orange_while_divergence_remains(
    stub: Path, code: int, fail_on_divergence: str, colour: str
) -> None:
    job = parsed("gitlab/driftguard.gitlab-ci.yml")["driftguard"]
    variables = environment(
        stub, CODE=str(code), DRIFTGUARD_FAIL_ON_DIVERGENCE=fail_on_divergence, AWS_ID_TOKEN="token", TMPDIR=str(stub)
    )
    done = subprocess.run(["sh", "-e", "-c", *job["script"]], env=variables, capture_output=True, text=True)
    allowed = job["allow_failure"]["exit_codes"]
    found = "green" if done.returncode == 0 else "orange" if done.returncode in allowed else "red"
    assert found == colour


@pytest.mark.parametrize(
    ("code", "fail_on_divergence", "is_green"),
    [(0, "", True), (2, "", True), (2, "true", False), (1, "", False), (64, "", False)],
)
def test_the_travis_build_is_red_for_what_could_not_be_judged_and_for_divergence_only_if_asked(
    stub: Path, tmp_path: Path, code: int, fail_on_divergence: str, is_green: bool
) -> None:
    repository, head = travis_clone(tmp_path / "clone")
    variables = environment(
        stub,
        CODE=str(code),
        DRIFTGUARD_OPERATOR="dmVyc2lvbjogMQo=",
        DRIFTGUARD_FAIL_ON_DIVERGENCE=fail_on_divergence,
        TRAVIS_BRANCH="main",
        TRAVIS_COMMIT=head,
        TMPDIR=str(stub),
    )
    done = travis_script(repository, variables)
    assert (done.returncode == 0) == is_green, done.stderr
    called = stub_arguments(stub)
    accepted_by_driftguard(called, ".travis.yml")
    assert Path(called[called.index("--config") + 1]).read_text() == "version: 1\n"
    branch = subprocess.run(
        ["git", "rev-parse", "main"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert branch == head


def test_the_travis_build_does_not_start_without_the_operators_file(stub: Path, tmp_path: Path) -> None:
    repository, head = travis_clone(tmp_path / "clone")
    done = travis_script(repository, environment(stub, CODE="0", TRAVIS_BRANCH="main", TRAVIS_COMMIT=head))
    assert done.returncode != 0
    assert "DRIFTGUARD_OPERATOR: is empty" in done.stderr
    assert not (stub / "arguments").exists()


def travis_clone(folder: Path) -> tuple[Path, str]:
    """A clone as Travis CI leaves it: a detached head, and no branch; the head."""
    folder.mkdir()

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=other")
    git("commit", "--quiet", "--allow-empty", "--message", "estate")
    head = git("rev-parse", "HEAD")
    git("checkout", "--quiet", "--detach")
    git("branch", "--quiet", "-D", "other")
    return folder, head


def travis_script(repository: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    [script] = parsed("travis/.travis.yml")["script"]
    return subprocess.run(["bash", "-c", script], cwd=repository, env=variables, capture_output=True, text=True)


@pytest.mark.parametrize("code", [0, 2, 1, 64])
def test_the_jenkins_step_ends_with_the_code_of_driftguard_that_the_pipeline_judges(stub: Path, code: int) -> None:
    text = (DEPLOY / "jenkins/Jenkinsfile").read_text()
    [script] = re.findall(r"'''(.*?)'''", text, re.DOTALL)
    variables = environment(stub, CODE=str(code), DRIFTGUARD_REPO="r", DRIFTGUARD_REF="main", DRIFTGUARD_OPERATOR="o")
    done = subprocess.run(["sh", "-xe", "-c", script.replace("\\\\", "\\")], env=variables, capture_output=True)
    assert done.returncode == code
    accepted_by_driftguard(stub_arguments(stub), "Jenkinsfile")
    judged = re.sub(r"\s+", " ", text)
    assert "if (code == 2 && env.DRIFTGUARD_FAIL_ON_DIVERGENCE != 'true') { unstable(" in judged
    assert "} else if (code != 0) { error(" in judged
