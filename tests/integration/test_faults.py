"""What goes wrong in one environment is said of that one, exactly and clearly; the others get their verdicts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Sandbox
from tests.support.toy_estate import EstateOf, Wrapped, error, private_folders, processes_of, until, verdicts


def test_broken_code_in_one_environment_leaves_the_others_their_verdicts(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate = estate_of("blue", "broken", "green", "misspelt")
    estate.clouds["green"].change("web", value="outside")
    sandbox.replace("environments/broken/main.tf", 'name  = "web"', "name  =")
    sandbox.write("environments/misspelt/more.tf", 'resource "toy_thing" "b" {\n  nmae = "b"\n}\n')
    sandbox.commit("oops")
    ran = sandbox.scan()
    assert ran.code == 1
    assert verdicts(ran.report) == {"blue": "in_sync", "broken": "unknown", "green": "drifted", "misspelt": "unknown"}
    broken = ran.environment("broken")
    assert broken["error"]["kind"] == "init"
    assert "main.tf:13: Invalid expression" in error(broken)
    assert "environments/broken/main.tf:13 could not be parsed" in " ".join(broken["warnings"])  # nor its dependencies
    misspelt = ran.environment("misspelt")
    assert misspelt["error"]["kind"] == "plan"
    assert 'more.tf:2: Unsupported argument: An argument named "nmae" is not expected here' in error(misspelt)


@pytest.mark.provider_process
def test_a_provider_that_hangs_is_ended_in_time_with_nothing_left_of_it(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate = estate_of("blue", "stuck")
    estate.clouds["stuck"].faults(hang_on_read=True)
    sandbox.commit(
        "a short patience",
        {"driftguard.yaml": "environments:\n  - path: environments/*\n  - {path: environments/stuck, timeout: 3s}\n"},
    )
    started = time.monotonic()
    ran = sandbox.scan()
    assert time.monotonic() - started < 3 + 5 + 60  # its time, the grace after the interrupt, a busy machine
    assert ran.code == 1
    assert verdicts(ran.report) == {"blue": "in_sync", "stuck": "unknown"}
    stuck = ran.environment("stuck")
    assert stuck["error"]["kind"] == "timeout"
    assert "`terraform plan` did not finish within 3 seconds" in error(stuck)
    assert "`timeout`" in error(stuck)
    assert processes_of(sandbox) == {}
    assert private_folders(sandbox) == []
    assert list(sandbox.home.rglob("*.lock.info")) == []

    estate.clouds["stuck"].faults()
    assert sandbox.scan().code == 0  # and nothing of it stands in the way of the next run


def test_a_provider_that_fails_to_read_is_never_taken_for_a_deletion(sandbox: Sandbox, estate_of: EstateOf) -> None:
    said = {
        "denied": "api error AccessDenied: User is not authorized to perform: toy:GetThing",
        "throttled": "api error ThrottlingException: Rate exceeded",
        "plan": "internal failure 17",
    }
    estate = estate_of("blue", *said)
    for kind, message in said.items():
        estate.clouds[kind].faults(fail_read=message)
    ran = sandbox.scan()
    assert (ran.code, ran.report["summary"]["unknown"], ran.environment("blue")["verdict"]) == (1, 3, "in_sync")
    for kind, message in said.items():
        failing = ran.environment(kind)
        assert failing["error"]["kind"] == kind
        assert "toy_thing.web" in error(failing)
        assert message in error(failing)


def test_plan_json_that_cannot_be_used_is_unknown(sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path) -> None:
    broken = {
        "cut": ("plan", "could not be read", 'echo \'{"format_version": "1.2", \'; exit 0'),
        "deferred": (
            "partial",
            "whole environment",
            '"$REAL" "$@" | sed s/\'"complete":true\'/\'"complete":false\'/; exit',
        ),
        "early": ("partial", "whole environment", '"$REAL" "$@" | sed s/\'"errored":false\'/\'"errored":true\'/; exit'),
        "failing": (
            "plan",
            "`terraform show` failed with exit code 1: it went wrong",
            "echo it went wrong >&2; exit 1",
        ),
        "foreign": ("plan", "could not be read", 'echo \'{"format_version": "99.0"}\'; exit 0'),
        "silent": ("plan", "could not be read", "exit 0"),
    }
    estate = estate_of("blue", "green", *broken)
    for cloud in estate.clouds.values():
        cloud.change("web", value="outside")
    tricks = "\n".join(f'"show "*/{name}) {trick};;' for name, (_, _, trick) in broken.items())
    Wrapped(sandbox, tmp_path / "wrapped", f'case "$1 $PWD" in\n{tricks}\nesac')
    ran = sandbox.scan()
    unknown = dict.fromkeys(broken, "unknown")
    assert (ran.code, verdicts(ran.report)) == (1, {"blue": "drifted", "green": "drifted", **unknown})
    for name, (kind, said, _) in broken.items():
        assert ran.environment(name)["error"]["kind"] == kind, name
        assert said in error(ran.environment(name))


def test_a_state_that_moves_is_planned_once_more_and_then_unknown(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path
) -> None:
    estate = estate_of("blue", "green")
    estate.clouds["green"].change("web", value="outside")
    apply = 'sed -i "s/\\"serial\\": [0-9]*/\\"serial\\": $(date +%s%N)/"'
    trick = f"""
case "$1 $PWD" in "plan "*/green)
  "$REAL" "$@"; code=$?
  [ -e "{tmp_path}/still" ] && exit $code
  [ -e "{tmp_path}/once" ] && touch "{tmp_path}/still"
  {apply} "{estate.state_file("green")}"
  exit $code;;
esac"""
    wrapped = Wrapped(sandbox, tmp_path / "wrapped", trick)
    ran = sandbox.scan()
    assert (ran.code, verdicts(ran.report)) == (1, {"blue": "in_sync", "green": "unknown"})
    assert ran.environment("green")["error"]["kind"] == "state_moved"
    assert "twice in a row" in error(ran.environment("green"))
    assert sorted(wrapped.commands()) == ["init", "init", "plan", "plan", "plan"]  # two of green, no values read

    (tmp_path / "once").touch()
    ran = sandbox.scan("green")
    assert (ran.code, verdicts(ran.report)) == (2, {"green": "drifted"})
    assert wrapped.commands() == ["plan", "plan", "show"]


def test_variables_that_an_environment_asks_for_and_that_are_not_set_are_named(
    sandbox: Sandbox, estate_of: EstateOf
) -> None:
    estate_of("blue", "green")
    sandbox.commit(
        "ask for variables",
        {
            "driftguard.yaml": "environments:\n  - path: environments/*\n"
            "  - {path: environments/green, env: [TF_VAR_missing, TF_VAR_there]}\n"
        },
    )
    ran = sandbox.scan(TF_VAR_there="x")
    assert (ran.code, verdicts(ran.report)) == (1, {"blue": "in_sync", "green": "unknown"})
    assert ran.environment("green")["error"]["kind"] == "config"
    assert "TF_VAR_missing" in error(ran.environment("green"))
    assert "TF_VAR_there" not in error(ran.environment("green"))


def test_a_commit_pushed_during_a_scan_waits_for_the_next(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path
) -> None:
    estate = estate_of("blue")
    assert sandbox.scan().code == 0
    wrapped = Wrapped(sandbox, tmp_path / "wrapped")
    estate.clouds["blue"].faults(read_seconds=2)
    running = sandbox.start("scan", "--format", "json")
    until(lambda: wrapped.calls("plan"), "a plan")
    second = estate.rewrite("blue", 'value = "one"', 'value = "two"')
    report, said = running.communicate(timeout=60)
    estate.clouds["blue"].faults()
    assert f'"commit": "{estate.commit}"' in report, said
    assert (running.returncode, '"verdict": "in_sync"' in report) == (0, True)

    ran = sandbox.scan()
    assert (ran.code, ran.report["commit"], verdicts(ran.report)) == (2, second, {"blue": "pending"})
    assert [commit["sha"] for commit in ran.environment("blue")["commits"]] == [second]


def moved_and_changed(sandbox: Sandbox) -> dict[str, Any]:
    """The report of an environment whose directory a commit moved and changed."""
    sandbox.git("mv", "environments", "live")
    sandbox.replace("live/blue/main.tf", 'value = "one"', 'value = "two"')
    sandbox.commit("move and change")
    ran = sandbox.scan()
    blue = ran.environment("blue")
    assert (ran.code, blue["verdict"], blue["error"]) == (2, "pending", None)
    return blue


def test_a_moved_directory_is_compared_with_that_of_the_baseline(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate = estate_of("blue")
    assert sandbox.scan().code == 0
    sandbox.write("driftguard.yaml", "environments:\n  - path: live/*\n")
    blue = moved_and_changed(sandbox)
    assert blue["baseline"] == {"commit": estate.commit, "from": "in_sync"}
    assert [(r["labels"], r["certain"]) for r in blue["resources"]] == [(["derived", "pending"], True)]
    assert blue["warnings"] == []


def test_a_baseline_commit_without_the_directory_leaves_labels_uncertain(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate = estate_of("blue")
    assert sandbox.scan().code == 0
    # The operator's file is part of no commit, so there is none in which the environment lies elsewhere.
    assert sandbox.operator_file is not None
    sandbox.operator_file.write_text("environments:\n  - path: live/*\n")
    blue = moved_and_changed(sandbox)
    assert blue["baseline"] == {"commit": estate.commit, "from": "in_sync"}
    assert [(r["labels"], r["certain"]) for r in blue["resources"]] == [(["derived", "pending"], False)]
    assert "live/blue is not part of it" in " ".join(blue["warnings"])
