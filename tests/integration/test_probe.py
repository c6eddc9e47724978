"""The probe on real Terraform: what it finds, what it must never miss, and what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Ran, Sandbox, Toy
from tests.support.toy_estate import BODY, Applied, ToyEstate, Wrapped, processes_of, until

pytestmark = [pytest.mark.terraform, pytest.mark.provider_process]

OPERATOR = "allow_env: ['*']\nallow_hosts: [127.0.0.1, localhost]\nprobe: {audit: AUDIT}\n"


def switch_on(sandbox: Sandbox, *, audit: str = "0%") -> None:
    assert sandbox.operator_file is not None
    sandbox.operator_file.write_text(OPERATOR.replace("AUDIT", audit))


@pytest.fixture
def estate(sandbox: Sandbox, toy: Toy, tmp_path: Path) -> ToyEstate:
    """Two environments whose plans are recorded: an in-sync one is probed by the next run."""
    applied = Applied.make(sandbox, toy)
    shutil.rmtree(sandbox.repository / "environments")
    made = ToyEstate(sandbox, tmp_path / "clouds", applied, ("a", "b"))
    switch_on(sandbox)
    assert reconcile(sandbox).code == 0  # initialises
    assert looked(reconcile(sandbox)) == {"a": "plan in_sync", "b": "plan in_sync"}  # records
    return made


def reconcile(sandbox: Sandbox, *arguments: str, **variables: str) -> Ran:
    return sandbox.run("reconcile", "--format", "json", *arguments, **variables)


def looked(ran: Ran) -> dict[str, str]:
    """How each environment was looked at, and its verdict."""
    return {e["name"]: f"{e['checked_by']} {e['verdict']}" for e in ran.report["environments"]}


PROBED = {"a": "probe in_sync", "b": "probe in_sync"}


def test_environments_in_sync_are_probed_and_a_drifted_one_is_planned_once(estate: ToyEstate) -> None:
    sandbox = estate.sandbox
    first = reconcile(sandbox)
    assert (first.code, looked(first)) == (0, PROBED)
    planned_at = first.environment("a")["planned_at"]
    assert planned_at is not None
    estate.clouds["b"].change("web", value="two")
    found = reconcile(sandbox)
    assert looked(found) == {"a": "probe in_sync", "b": "plan drifted"}
    again = reconcile(sandbox)
    assert (again.code, looked(again)) == (2, {"a": "probe in_sync", "b": "probe drifted"})
    same = ("resources", "drift_fingerprint", "plan_fingerprint", "decision", "baseline")
    assert [again.environment("b")[key] for key in same] == [found.environment("b")[key] for key in same]
    assert again.environment("a")["planned_at"] == planned_at
    estate.clouds["b"].change("web", value="one")
    assert looked(reconcile(sandbox)) == {"a": "probe in_sync", "b": "plan in_sync"}
    assert looked(reconcile(sandbox)) == PROBED


def test_a_probe_that_confirms_the_last_report_leaves_a_row_and_no_entry(estate: ToyEstate) -> None:
    sandbox = estate.sandbox
    reports = entries(sandbox, "scanned")
    time.sleep(1.1)  # moments are shown in seconds
    for _ in range(2):
        assert looked(reconcile(sandbox)) == PROBED
    assert entries(sandbox, "scanned") == reports
    assert [entry["data"]["probed"] for entry in entries(sandbox, "run_finished")[-2:]] == [2, 2]
    seen = sandbox.run("status", "--format", "json").environment("a")
    assert (seen["checked_by"], seen["at"] > reports[-1]["at"]) == ("probe", True)
    before = seen["at"]
    estate.clouds["a"].change("web", value="two")
    reconcile(sandbox)  # drift is a report of its own; confirmed, it is no news
    reconcile(sandbox)
    (found,) = entries(sandbox, "scanned")[len(reports) :]
    assert (found["environment"], found["data"]["verdict"]) == ("a", "drifted")
    assert found["data"]["looked_before"][:19] == before[:19]  # when the change had not been made yet
    assert sandbox.run("status", "--format", "json").environment("a")["checked_by"] == "probe"


def entries(sandbox: Sandbox, kind: str) -> list[dict[str, Any]]:
    listed = sandbox.run("history", "--format", "json", "--limit", "500").report["entries"]
    return [entry for entry in listed if entry["kind"] == kind]


def delete_it(estate: ToyEstate) -> None:
    estate.clouds["a"].delete("web")


def add_a_tag(estate: ToyEstate) -> None:
    estate.clouds["a"].change("web", tags={"team": "core", "owner": ""})


def change_a_secret(estate: ToyEstate) -> None:
    estate.clouds["a"].change("web", secret="changed")


def merge_a_change(estate: ToyEstate) -> None:
    estate.rewrite("a", '"one"', '"three"')


def write_the_state(estate: ToyEstate) -> None:
    state = json.loads(estate.state_file("a").read_text())
    state["resources"][0]["instances"][0]["attributes"]["value"] = "edited under its old serial"
    estate.state_file("a").write_text(json.dumps(state))


def let_it_fall_due(estate: ToyEstate) -> None:
    estate.clouds["a"].faults(renew_after=time.time() - 1)


@pytest.mark.parametrize(
    "change",
    [
        delete_it,
        *(
            pytest.param(change, marks=pytest.mark.crash)
            for change in (let_it_fall_due, add_a_tag, change_a_secret, merge_a_change, write_the_state)
        ),
    ],
)
def test_what_a_plan_would_notice_is_planned(estate: ToyEstate, change: Callable[[ToyEstate], None]) -> None:
    assert looked(reconcile(estate.sandbox)) == PROBED
    change(estate)
    found = looked(reconcile(estate.sandbox))
    assert (found["a"].split()[0], found["b"]) == ("plan", "probe in_sync")
    assert found["a"] != "plan in_sync" or change is write_the_state  # a refresh finds the truth again


@pytest.mark.crash
def test_a_variable_that_terraform_sees_is_part_of_the_key(estate: ToyEstate) -> None:
    estate.sandbox.commit("variables", {"driftguard.yaml": "environments: [{path: environments/*, env: [TF_VAR_x]}]\n"})
    reconcile(estate.sandbox, TF_VAR_x="1")
    reconcile(estate.sandbox, TF_VAR_x="1")
    assert looked(reconcile(estate.sandbox, TF_VAR_x="1")) == PROBED
    assert looked(reconcile(estate.sandbox, TF_VAR_x="2")) == {"a": "plan in_sync", "b": "plan in_sync"}


@pytest.mark.crash
def test_a_cache_of_the_provider_does_not_outlive_a_look(estate: ToyEstate) -> None:
    estate.clouds["a"].faults(cache=True)
    assert looked(reconcile(estate.sandbox)) == PROBED
    estate.clouds["a"].change("web", value="two")
    assert looked(reconcile(estate.sandbox))["a"] == "plan drifted"


@pytest.mark.crash
def test_a_configuration_that_fails_ends_the_look(estate: ToyEstate) -> None:
    estate.clouds["a"].faults(fail_configure="no credentials")
    found = reconcile(estate.sandbox)
    assert looked(found) == {"a": "plan unknown", "b": "probe in_sync"}
    estate.clouds["a"].faults()
    assert looked(reconcile(estate.sandbox))["b"] == "probe in_sync"


def test_what_a_probe_cannot_see_keeps_an_environment_out_and_is_named(estate: ToyEstate) -> None:
    main = "environments/a/main.tf"
    estate.sandbox.commit(
        "x", {main: (estate.sandbox.repository / main).read_text() + 'output "o" { value = path.cwd }\n'}
    )
    for _ in range(3):
        assert looked(reconcile(estate.sandbox))["a"].startswith("plan")
    listed = estate.sandbox.run("environments", "--why-not-probed")
    line = len((estate.sandbox.repository / main).read_text().splitlines())
    assert f"{main}:{line}: path.cwd" in listed.stdout
    assert listed.code == 0


def test_two_aliases_of_one_provider_are_kept_apart(sandbox: Sandbox, toy: Toy, tmp_path: Path) -> None:
    other = Toy(tmp_path / "other")
    alias = f'provider "toy" {{\n  alias  = "other"\n  folder = "{other.folder}"\n}}\n'
    second = 'resource "toy_thing" "second" {\n  provider = toy.other\n  name = "second"\n  value = "one"\n}\n'
    sandbox.commit(
        "x", {"environments/a/main.tf": toy.root_module(BODY + alias + second), ".gitignore": "*.tfstate*\n"}
    )
    sandbox.apply("environments/a")
    sandbox.commit("lock file")
    switch_on(sandbox)
    reconcile(sandbox)
    assert looked(reconcile(sandbox)) == {"a": "plan in_sync"}
    assert looked(reconcile(sandbox)) == {"a": "probe in_sync"}
    other.change("second", value="two")
    assert looked(reconcile(sandbox)) == {"a": "plan drifted"}


@pytest.mark.crash
def test_a_provider_that_is_not_the_one_of_the_lock_file_is_refused(estate: ToyEstate) -> None:
    lock = "environments/a/.terraform.lock.hcl"
    text = (estate.sandbox.repository / lock).read_text()
    start = text.index('"h1:') + 4
    estate.sandbox.commit("a wrong checksum", {lock: text[:start] + "A" * 43 + "=" + text[text.index('"', start) :]})
    found = reconcile(estate.sandbox)
    assert looked(found) == {"a": "plan unknown", "b": "probe in_sync"}
    assert found.environment("a")["error"]["kind"] == "init"


def test_an_audit_that_finds_a_probe_wrong_ends_probes_of_that_provider(estate: ToyEstate) -> None:
    thing = estate.clouds["a"].thing("web")
    estate.clouds["a"].faults(stale={"web": thing})  # as a provider would that answers a probe from a cache
    estate.clouds["a"].change("web", value="two")
    assert looked(reconcile(estate.sandbox)) == PROBED  # wrong, and only an audit can know
    switch_on(estate.sandbox, audit="100%")
    audited = reconcile(estate.sandbox)
    assert looked(audited)["a"] == "plan drifted"
    assert any("a as its last plan did" in text and "cannot be probed" in text for text in audited.report["warnings"])
    counts = audited.report["probe"]
    assert (counts["looked"], counts["audited"], counts["wrong"], counts["answered"]) == (2, 2, 1, 0)
    assert "Wrong probe in a: an audit's plan differs from what the probe found" in audited.stdout + audited.stderr
    assert "driftguard retry a" in audited.stdout + audited.stderr
    switch_on(estate.sandbox)
    after = reconcile(estate.sandbox)
    assert looked(after) == {"a": "plan drifted", "b": "plan in_sync"}
    assert "Wrong probe" not in after.stdout  # it is an alert, once
    # Another machine has its own records, and the ledger: it does not probe the provider either.
    shutil.rmtree(next(estate.sandbox.home.rglob("probe")))
    reconcile(estate.sandbox)
    assert looked(reconcile(estate.sandbox)) == {"a": "plan drifted", "b": "plan in_sync"}
    # An operator's word ends it.
    estate.clouds["a"].faults()
    assert estate.sandbox.run("retry", "a").code == 0
    ended = reconcile(estate.sandbox)
    assert "a: Probed again, by `driftguard retry`." in ended.stdout + ended.stderr
    assert looked(reconcile(estate.sandbox)) == {"a": "probe drifted", "b": "probe in_sync"}


@pytest.mark.crash
def test_a_change_between_a_probe_and_its_audit_proves_nothing(estate: ToyEstate, tmp_path: Path) -> None:
    sandbox, flag, thing = estate.sandbox, tmp_path / "flag", estate.clouds["a"].folder / "web.json"
    trick = f'[ "$1" = plan ] && [ -e "{flag}" ] && sed -i s/one/two/ "{thing}"'
    Wrapped(sandbox, tmp_path / "bin", trick)
    reconcile(sandbox)
    reconcile(sandbox)
    assert looked(reconcile(sandbox)) == PROBED
    flag.touch()
    switch_on(sandbox, audit="100%")
    audited = reconcile(sandbox)
    assert looked(audited) == {"a": "plan drifted", "b": "plan in_sync"}
    assert not [text for text in audited.report["warnings"] if "cannot be probed" in text]
    flag.unlink()
    switch_on(sandbox)
    reconcile(sandbox)
    assert looked(reconcile(sandbox)) == {"a": "probe drifted", "b": "probe in_sync"}


@pytest.mark.crash
def test_a_scan_probes_only_when_asked_and_off_switches_it_off(estate: ToyEstate) -> None:
    assert looked(estate.sandbox.scan()) == {"a": "plan in_sync", "b": "plan in_sync"}
    assert looked(estate.sandbox.scan("--probe")) == PROBED
    assert looked(reconcile(estate.sandbox, "--no-probe")) == {"a": "plan in_sync", "b": "plan in_sync"}
    estate.sandbox.commit("off", {"driftguard.yaml": "probe: off\n"})
    assert looked(reconcile(estate.sandbox)) == PROBED  # the operator's file wins
    assert estate.sandbox.operator_file is not None
    estate.sandbox.operator_file.write_text("allow_env: ['*']\n")
    assert looked(reconcile(estate.sandbox)) == {"a": "plan in_sync", "b": "plan in_sync"}


@pytest.mark.crash
def test_an_old_plan_is_made_anew(estate: ToyEstate) -> None:
    assert estate.sandbox.operator_file is not None
    estate.sandbox.operator_file.write_text("allow_env: ['*']\nprobe: {audit: 0%, max_age: 1s}\n")
    time.sleep(1.1)
    assert looked(reconcile(estate.sandbox)) == {"a": "plan in_sync", "b": "plan in_sync"}


@pytest.mark.crash
def test_a_watching_agent_finds_drift_between_its_runs(estate: ToyEstate) -> None:
    sandbox = estate.sandbox
    sandbox.commit("watch", {"driftguard.yaml": "agent: {every: 2h, watch: 2s}\n"})
    reconcile(sandbox)  # records the plans of this configuration
    running = sandbox.start("agent", "--poll", "1h")
    try:
        until(lambda: runs(sandbox) == 4, "the agent's first run")
        estate.clouds["b"].change("web", value="two")
        until(lambda: runs(sandbox) == 5, "a run of what changed")
        time.sleep(5)
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.communicate()
    assert runs(sandbox) == 5  # drift that stays is no difference
    found = sandbox.run("status", "--format", "json").report["environments"]
    assert {e["name"]: e["verdict"] for e in found} == {"a": "in_sync", "b": "drifted"}


def runs(sandbox: Sandbox) -> int:
    """The runs in the ledger that have ended."""
    return len(entries(sandbox, "run_finished"))


@pytest.mark.crash
@pytest.mark.parametrize("when", ["configuring", "reading"])
def test_a_run_killed_in_a_probe_leaves_no_process_socket_or_secret(estate: ToyEstate, when: str) -> None:
    sandbox, cloud = estate.sandbox, estate.clouds["a"]
    cloud.change("web", secret="a-secret-that-must-not-stay")
    reconcile(sandbox)
    reconcile(sandbox)
    cloud.faults(**({"configure_seconds": 30} if when == "configuring" else {"hang_on_read": True}))
    folders = set(Path(os.environ.get("TMPDIR", "/tmp")).glob("dg-*"))
    running = sandbox.start("reconcile")
    until(lambda: len([c for c in processes_of(sandbox).values() if "toy" in c]) >= 1, "a probe")
    time.sleep(0.5)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    until(lambda: not [c for c in processes_of(sandbox).values() if "guardian" in c or "launcher" in c], "the end")
    left = set(Path(os.environ.get("TMPDIR", "/tmp")).glob("dg-*")) - folders
    until(lambda: not any(folder.exists() for folder in left), "the folders' end")
    kept: dict[Path, Any] = {p: c for p, c in sandbox.bytes_left().items() if "probe" in p.parts}
    assert kept
    assert not [path for path, content in kept.items() if b"a-secret-that-must-not-stay" in content]
