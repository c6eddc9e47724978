"""Applies in workspaces of a platform: exactly what was approved is confirmed, and all else is discarded.

They run against a double, and against a real server where TFE_URL, TFE_TOKEN and TFE_ORGANIZATION are given.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_platform_scans import write
from tests.support.forge_server import LostAnswer
from tests.support.harness import Ran, Sandbox, kill
from tests.support.tfe_double.place import PlatformAccess
from tests.support.tfe_double.plans import plan
from tests.support.tfe_double.running import Prepared
from tests.support.tfe_double.server import PlatformDouble
from tests.support.tfe_double.store import Planned, Run

SHORT = "policy: {pending: apply, input: apply, lease: 1s}\n"
APPLY = "policy: {pending: apply, input: apply}\n"


def reconcile(machine: Sandbox, *arguments: str, **variables: str) -> tuple[Ran, dict[str, Any]]:
    ran = machine.run("reconcile", "--format", "json", *arguments, **variables)
    return ran, ran.environment("prod")


def test_an_apply_is_a_run_that_is_confirmed_after_its_plan_was_compared(
    sandbox: Sandbox, access: PlatformAccess
) -> None:
    workspace = access.workspace()
    sandbox.write("driftguard.yaml", APPLY)
    write(sandbox, access, workspace, "one")
    ran, found = reconcile(sandbox)
    assert (ran.code, found["verdict"], found["decision"]["action"]) == (0, "in_sync", "apply"), ran.stdout
    by_status = sorted(run["attributes"]["status"] for run in access.runs(workspace))
    assert by_status == ["applied", "planned_and_finished", "planned_and_finished"]

    # A variable of the workspace is another one: an input, whose values the baseline's run shows.
    access.set_variable(workspace, "size", "large")
    ran = sandbox.run("scan", "--format", "json")
    found = ran.environment("prod")
    (resource,) = found["resources"]
    assert (found["verdict"], resource["labels"]) == ("pending", ["derived", "input"]), found
    ran, found = reconcile(sandbox)
    assert (ran.code, found["verdict"]) == (0, "in_sync"), ran.stdout
    assert not access.read(workspace)["attributes"]["locked"]


# --- what only a double can arrange ---------------------------------------------------------------


class Estate:
    """A machine, a double whose plans are prepared, and one workspace.

    Attributes:
        value: what the plan sets, until it was applied.
    """

    def __init__(self, sandbox: Sandbox, double: PlatformDouble, prepared: Prepared) -> None:
        self.sandbox, self.double, self.prepared = sandbox, double, prepared
        self.value = "one"
        prepared.answer = self.planned
        self.workspace = double.add("prod")
        self.access = PlatformAccess(double.host, double.token, double.organization, double)
        sandbox.write("driftguard.yaml", APPLY)
        write(sandbox, self.access, "prod", "one")

    def planned(self, files: bytes, stored: bytes) -> Planned:
        return plan(self.value, ("no-op",) if stored else ("create",))

    def confirmable(self) -> list[Run]:
        return [run for run in self.double.store.runs.values() if not run.plan_only]

    def confirmed(self) -> int:
        return len(self.double.made("POST", "/actions/apply"))


@pytest.fixture
def prepared(sandbox: Sandbox, loopback_certificate: tuple[Path, ssl.SSLContext], tmp_path: Path) -> Iterator[Estate]:
    terraform = Prepared(lambda files, stored: plan())
    with PlatformDouble(terraform, loopback_certificate[1]) as double:
        made = Estate(sandbox, double, terraform)
        made.access.log_in(sandbox, loopback_certificate[0])
        yield made


def test_a_run_whose_plan_is_not_the_approved_one_is_discarded(prepared: Estate) -> None:
    answers = iter(["one"])
    prepared.prepared.answer = lambda files, stored: plan(next(answers, "another"), ("create",))
    ran, found = reconcile(prepared.sandbox)
    assert found["decision"]["reasons"] == ["plan_changed"], ran.stdout
    assert [run.status for run in prepared.confirmable()] == ["discarded"]
    assert prepared.confirmed() == 0


@pytest.mark.further
def test_a_confirmation_whose_answer_was_lost_is_not_repeated(prepared: Estate) -> None:
    prepared.double.fail("POST /api/v2/runs/{id}/actions/{action}", LostAnswer())
    ran, found = reconcile(prepared.sandbox)
    assert (found["verdict"], found["decision"]["action"]) == ("in_sync", "apply"), ran.stdout
    assert prepared.confirmed() == 1


@pytest.mark.further
def test_a_run_that_waits_for_a_decision_is_held_and_confirmed_after_it(prepared: Estate) -> None:
    prepared.double.store.after_plan = ["policy_checking", "policy_override"]
    ran, found = reconcile(prepared.sandbox)
    (run,) = prepared.confirmable()
    (reason,) = found["decision"]["reasons"]
    assert found["decision"]["action"] == "hold", ran.stdout
    assert reason.startswith("waits_on_platform: ")
    assert reason.endswith(f"/runs/{run.id}")
    ran, found = reconcile(prepared.sandbox)
    assert prepared.confirmable() == [run]
    run.status = "policy_checked"  # an operator overrides it on the platform
    ran, found = reconcile(prepared.sandbox)
    assert (found["verdict"], found["decision"]["action"]) == ("in_sync", "apply"), ran.stdout
    assert run.status == "applied"


@pytest.mark.further
def test_a_run_that_waits_is_discarded_once_nothing_would_confirm_it(prepared: Estate) -> None:
    prepared.double.store.after_plan = ["policy_checking", "policy_override"]
    reconcile(prepared.sandbox)
    prepared.sandbox.commit("Alert only", {"driftguard.yaml": "policy: {pending: alert}\n"})
    _, found = reconcile(prepared.sandbox)
    assert found["decision"]["action"] == "alert"
    assert [run.status for run in prepared.confirmable()] == ["discarded"]


@pytest.mark.parametrize("settings", [{"auto_apply": True}, {"vcs": {"identifier": "acme/infra"}}])
def test_a_workspace_that_applies_by_itself_is_only_watched(prepared: Estate, settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        setattr(prepared.workspace, name, value)
    _, found = reconcile(prepared.sandbox)
    assert found["decision"]["action"] == "hold"
    assert found["decision"]["reasons"][0].startswith("applied_elsewhere: the workspace prod has ")
    assert prepared.confirmable() == []


@pytest.mark.further
def test_variables_of_the_workspace_and_its_sets_are_part_of_the_closure(prepared: Estate) -> None:
    own = {"key": "size", "value": "small", "category": "terraform"}
    prepared.workspace.variables = [own]
    prepared.double.store.variable_sets["varset-1"] = (
        [prepared.workspace.id],
        [{"key": "PASSWORD", "sensitive": True}],
    )

    def scanned() -> tuple[str, list[str]]:
        found = prepared.sandbox.run("scan", "--format", "json").environment("prod")
        return found["closure_hash"], found["closure_open"]

    first = scanned()
    assert first[1] == []
    own["value"] = "large"
    second = scanned()
    assert second[0] != first[0]
    prepared.double.store.variable_sets["varset-1"][1][0]["version-id"] = "2"
    assert scanned()[0] != second[0]
    prepared.workspace.variables_are_hidden, prepared.workspace.version = True, "latest"
    reasons = scanned()[1]
    assert any("cannot be read" in reason for reason in reasons)
    assert any("Terraform latest" in reason for reason in reasons)


def test_each_tfe_makes_an_environment_of_every_workspace_that_the_block_selects(prepared: Estate) -> None:
    for name, tags in (("net-a", ["net"]), ("net-b", ["net", "eu"]), ("other", [])):
        prepared.double.add(name, tags=tags)
    block = prepared.access.block("prod").replace('name = "prod"', 'tags = ["net"]')
    files = {
        "live/net/main.tf": f"terraform {{{block}}}\n",
        "driftguard.yaml": "environments:\n  - {path: live/*, each: tfe}\n",
    }
    prepared.sandbox.commit("Add", files)
    found = prepared.sandbox.run("scan", "--format", "json").report["environments"]
    assert [(each["name"], each["verdict"]) for each in found] == [("net/net-a", "pending"), ("net/net-b", "pending")]
    assert {run.workspace.name for run in prepared.double.store.runs.values()} == {"net-a", "net-b"}


def test_doctor_names_what_a_platform_keeps_from_being_planned_or_applied(prepared: Estate) -> None:
    prepared.workspace.auto_apply = True
    write(prepared.sandbox, prepared.access, "missing", "one", environment="stage")
    checks = prepared.sandbox.run("doctor", "--format", "json").report["checks"]
    found = {
        (check["good"], *check["environments"]): check["detail"] for check in checks if check["check"] == "platform"
    }
    assert "auto-apply" in found[True, "prod"]
    assert "missing" in found[False, "stage"]


# --- crashes --------------------------------------------------------------------------------------


def killed_at(estate: Estate, reached: threading.Event, release: threading.Event) -> None:
    """Start a reconciler, and kill it once the platform has come to a point; the platform goes on."""
    process = estate.sandbox.start("reconcile", "--format", "json")
    assert reached.wait(60), process.communicate()
    kill(process)
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    release.set()


@pytest.mark.crash
def test_a_run_that_a_dead_reconciler_left_is_discarded_and_another_is_made(prepared: Estate) -> None:
    reached, release, asked = threading.Event(), threading.Event(), iter(range(9))

    def answer(files: bytes, stored: bytes) -> Planned:
        if next(asked) == 1:  # the run that would be confirmed
            reached.set()
            release.wait(60)
        return prepared.planned(files, stored)

    prepared.sandbox.commit("Short leases", {"driftguard.yaml": SHORT})
    prepared.prepared.answer = answer
    killed_at(prepared, reached, release)
    found = settled(prepared.sandbox)
    assert found["verdict"] == "in_sync"
    assert [run.status for run in prepared.confirmable()] == ["discarded", "applied"]
    assert prepared.confirmed() == 1


@pytest.mark.crash
def test_a_run_that_a_dead_reconciler_confirmed_is_seen_to_its_end(prepared: Estate) -> None:
    reached, release = threading.Event(), threading.Event()

    def hold(run: Run) -> None:
        reached.set()
        release.wait(60)

    prepared.sandbox.commit("Short leases", {"driftguard.yaml": SHORT})
    prepared.double.store.before_confirm = hold
    killed_at(prepared, reached, release)
    found = settled(prepared.sandbox)
    assert found["verdict"] == "in_sync"
    assert [run.status for run in prepared.confirmable()] == ["applied"]
    assert prepared.confirmed() == 1


def settled(machine: Sandbox) -> dict[str, Any]:
    """The environment once later runs have dealt with what the dead one left."""
    for _ in range(10):
        _, found = reconcile(machine)
        if found["error"] is None:
            return found
        assert found["error"]["kind"] == "locked", found["error"]
        time.sleep(0.5)
    raise AssertionError(found)


@pytest.mark.further
def test_an_environment_on_a_platform_is_planned_where_the_probe_is_on(prepared: Estate) -> None:
    operator = prepared.sandbox.operator_file
    assert operator is not None
    operator.write_text("allow_env: ['*']\n")
    reconcile(prepared.sandbox)
    ran, found = reconcile(prepared.sandbox)
    assert (ran.code, found["verdict"], found["checked_by"]) == (0, "in_sync", "plan"), ran.stdout
    assert len([run for run in prepared.double.store.runs.values() if run.plan_only]) == 3
