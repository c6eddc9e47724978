"""Scans beside each other and beside other things: what they cost, what they leave alone, how they end early."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Sandbox
from tests.support.seeds import one_quick
from tests.support.toy_estate import (
    EstateOf,
    Wrapped,
    end_all,
    error,
    private_folders,
    processes_of,
    snapshot,
    until,
    verdicts,
)


def test_terraform_runs_no_more_often_than_it_must(sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path) -> None:
    estate = estate_of("blue")
    wrapped = Wrapped(sandbox, tmp_path / "wrapped")
    assert sandbox.scan().code == 0
    assert wrapped.commands() == ["init", "plan"]

    assert sandbox.scan().code == 0
    calls = wrapped.calls("plan")
    assert "-detailed-exitcode" in calls[0]
    assert "-json" in calls[0]
    assert "-lock=false" in calls[0]
    assert wrapped.commands() == ["plan"], "a clean environment costs one process"

    sandbox.commit("nothing that Terraform reads", {"README.md": "hello"})
    assert sandbox.scan().code == 0
    assert wrapped.commands() == ["plan"], "another commit, another work tree, the same initialised data"

    estate.clouds["blue"].change("web", value="outside")
    assert sandbox.scan().code == 2
    assert wrapped.commands() == ["plan", "show"], "drift: the baseline's code is head's, so one plan decides"
    estate.clouds["blue"].change("web", value="one")

    estate.rewrite("blue", '"core"', '"platform"', "only tags")
    assert sandbox.scan().code == 2
    assert wrapped.commands() == ["plan", "show", "init", "plan", "show"], "the baseline's plan has its own data"
    assert sandbox.scan().code == 2
    assert wrapped.commands() == ["plan", "show", "plan", "show"]

    sandbox.write("environments/blue/.terraform.lock.hcl", "# checked\n" + estate.applied.lock_file)
    sandbox.commit("another lock file")
    assert sandbox.scan().code == 2
    assert wrapped.commands() == ["init", "plan", "show", "plan", "show"]


def test_two_scans_of_one_repository_at_the_same_time_are_both_right(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate = estate_of("blue", "green")
    estate.clouds["green"].change("web", value="outside")
    running = [sandbox.start("scan", "--format", "json") for _ in range(2)]
    for process in running:
        report, said = process.communicate(timeout=120)
        assert process.returncode == 2, said
        assert verdicts(json.loads(report)) == {"blue": "in_sync", "green": "drifted"}
    assert sandbox.run("ledger", "verify").code == 0
    assert private_folders(sandbox) == []


@pytest.mark.further
def test_environments_run_as_many_at_a_time_as_the_configuration_allows(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path
) -> None:
    names = ("a", "b", "c")
    estate = estate_of(*names)
    together = tmp_path / "together"
    together.mkdir()
    count = f'mkdir "{together}/$$"; ls "{together}" | wc -l >> "{tmp_path}/at-once"'
    trick = f'if [ "$1" = plan ]; then {count}; "$REAL" "$@"; code=$?; rmdir "{together}/$$"; exit $code; fi'
    Wrapped(sandbox, tmp_path / "wrapped", trick)
    for cloud in estate.clouds.values():
        cloud.faults(read_seconds=1.5)
    for setting, most in (("1", 1), ("3", 3)):
        (tmp_path / "at-once").unlink(missing_ok=True)
        sandbox.commit(f"concurrency {setting}", {"driftguard.yaml": f"concurrency: {setting}\n"})
        ran = sandbox.scan()
        assert (ran.code, verdicts(ran.report)) == (0, dict.fromkeys(names, "in_sync"))
        assert max(int(line) for line in (tmp_path / "at-once").read_text().split()) == most


def test_what_surrounds_the_process_does_not_reach_terraform(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path
) -> None:
    estate = estate_of("blue")
    sandbox.write("environments/blue/variables.tf", 'variable "value" {\n  default = "one"\n}\n')
    estate.rewrite("blue", 'value = "one"', "value = var.value")
    log = tmp_path / "terraform.log"
    hostile: dict[str, Any] = {
        "TF_CLI_ARGS": "-no-such-option",
        "TF_CLI_ARGS_plan": "-destroy",
        "TF_LOG": "TRACE",
        "TF_LOG_PATH": str(log),
        "TF_WORKSPACE": "other",
        "TF_VAR_value": "surrounding",
        "TF_DATA_DIR": str(tmp_path / "elsewhere"),
        "TF_REATTACH_PROVIDERS": "nonsense",
        "GIT_DIR": str(tmp_path),
    }
    ran = sandbox.scan(**hostile)
    assert (ran.code, verdicts(ran.report)) == (0, {"blue": "in_sync"}), ran.stderr
    assert not log.exists()
    assert not (tmp_path / "elsewhere").exists()
    ran = sandbox.scan(TF_CLI_CONFIG_FILE=str(tmp_path / "no-such-file"))
    assert (ran.code, verdicts(ran.report)) == (0, {"blue": "in_sync"}), ran.stdout

    sandbox.commit(
        "let one in", {"driftguard.yaml": "environments:\n  - {path: environments/*, env: [TF_VAR_value]}\n"}
    )

    def value() -> tuple[str, str, str]:
        attribute = sandbox.scan(**hostile).environment("blue")["resources"][0]["attributes"][-1]
        return attribute["path"], attribute["label"], attribute["desired"]

    assert value() == ("value", "pending", "surrounding")  # the commit that lets it in changed what is wanted
    assert sandbox.scan(TF_VAR_value="one").code == 0
    assert value() == ("value", "input", "surrounding")


def test_a_workspace_has_its_own_state_and_var_files(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate = estate_of("blue")
    folder = "environments/blue"
    state = estate.state_file("blue")
    for workspace in ("eu", "us"):
        sandbox.write(f"{folder}/terraform.tfstate.d/{workspace}/terraform.tfstate", state.read_text())
        sandbox.write(f"{folder}/{workspace}.tfvars", 'value = "one"\n')
    state.unlink()
    sandbox.write(f"{folder}/variables.tf", 'variable "value" {}\n')
    estate.rewrite("blue", 'value = "one"', "value = var.value")
    sandbox.commit(
        "two workspaces",
        {
            "driftguard.yaml": "environments:\n"
            f"  - {{path: {folder}, name: eu, workspace: eu, var_files: [eu.tfvars]}}\n"
            f"  - {{path: {folder}, name: us, workspace: us, var_files: [us.tfvars]}}\n"
        },
    )
    ran = sandbox.scan()
    assert (ran.code, verdicts(ran.report)) == (0, {"eu": "in_sync", "us": "in_sync"}), ran.stdout
    assert [e["workspace"] for e in ran.report["environments"]] == ["eu", "us"]

    sandbox.commit("only eu", {f"{folder}/eu.tfvars": 'value = "two"\n'})
    ran = sandbox.scan()
    assert (ran.code, verdicts(ran.report)) == (2, {"eu": "pending", "us": "in_sync"})


def test_a_local_state_is_read_where_it_lies_and_every_file_of_the_user_stays_as_it_is(
    sandbox: Sandbox, estate_of: EstateOf
) -> None:
    estate = estate_of("blue", "green")
    estate.clouds["green"].change("web", value="outside")
    sandbox.write("environments/blue/main.tf", "not merged, and not even valid {")
    before = snapshot(sandbox.repository)
    ran = sandbox.run_in(sandbox.repository / "environments", "scan", "--format", "json")
    assert (ran.code, verdicts(ran.report)) == (2, {"blue": "in_sync", "green": "drifted"})
    assert snapshot(sandbox.repository) == before

    ran = sandbox.scan("--repo", f"file://{sandbox.repository}")
    assert (ran.code, verdicts(ran.report)) == (1, {"blue": "unknown", "green": "unknown"})
    for environment in ran.report["environments"]:
        assert environment["error"]["kind"] == "config"
        assert "keeps its state in a local file" in error(environment)
        assert error(environment).count(". ") == 0  # one sentence
    assert snapshot(sandbox.repository) == before


@pytest.mark.provider_process
@pytest.mark.parametrize("number", one_quick([signal.SIGTERM, signal.SIGINT]))
def test_a_scan_that_is_asked_to_stop_reports_it_and_leaves_nothing(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path, number: signal.Signals
) -> None:
    estate = estate_of("blue", "green")
    sandbox.commit("one at a time", {"driftguard.yaml": "concurrency: 1\n"})
    wrapped = Wrapped(sandbox, tmp_path / "wrapped")
    estate.clouds["blue"].faults(hang_on_read=True)
    running = sandbox.start("scan", "--format", "json")
    until(lambda: any("launcher.py" in command for command in processes_of(sandbox).values()), "a provider")
    until(lambda: wrapped.calls("plan"), "a plan")
    time.sleep(1.5)  # it hangs by now
    asked = time.monotonic()
    running.send_signal(number)
    report, said = running.communicate(timeout=60)
    assert time.monotonic() - asked < 20
    assert running.returncode == 1, said
    environments = json.loads(report)["environments"]
    assert [(e["name"], e["verdict"], e["error"]["kind"]) for e in environments] == [
        ("blue", "unknown", "interrupted"),
        ("green", "unknown", "interrupted"),
    ]
    assert "was interrupted; the next run looks again" in environments[0]["error"]["message"]
    assert "stopped before this environment's turn" in environments[1]["error"]["message"]
    assert processes_of(sandbox) == {}
    assert private_folders(sandbox) == []
    assert len(wrapped.calls("plan")) == 1  # nothing new was begun

    estate.clouds["blue"].faults()
    assert sandbox.scan().code == 0


@pytest.mark.provider_process
def test_a_scan_that_is_killed_is_cleaned_up_after_by_the_next(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path
) -> None:
    estate = estate_of("blue", "green")
    assert sandbox.scan().code == 0
    estate.clouds["green"].change("web", value="outside")
    wrapped = Wrapped(sandbox, tmp_path / "wrapped", 'if [ "$1" = show ]; then sleep 3; fi')
    with sandbox.start("scan", "--format", "json") as running:
        until(lambda: wrapped.calls("show"), "a plan whose values are being read")
        running.kill()
    try:
        left = private_folders(sandbox)
        assert len(left) == 1
        assert left[0].stat().st_mode & 0o777 == 0o700
        assert list(left[0].rglob("plan")), "the plan file was there when the run was killed"

        ran = sandbox.scan()
        assert (ran.code, verdicts(ran.report)) == (2, {"blue": "in_sync", "green": "drifted"}), ran.stdout
        assert private_folders(sandbox) == []
        verified = sandbox.run("ledger", "verify")
        assert (verified.code, verified.stderr) == (0, "")
        until(lambda: processes_of(sandbox) == {}, "the end of what the killed run had begun")
    finally:
        end_all(sandbox)


def test_a_reader_that_hangs_up_is_no_reason_for_a_traceback(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate_of("blue")
    running = sandbox.start("scan", "--format", "json")
    assert running.stdout is not None
    running.stdout.close()
    _, said = running.communicate(timeout=60)
    assert "Traceback" not in said
    assert "Exception" not in said
