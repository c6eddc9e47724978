"""`doctor` predicts what a scan would fail on, in one screen, and a scan that cannot run ends with the same causes."""

from __future__ import annotations

from typing import Any

import pytest

from driftguard.demo.cloud import REGION, Cloud
from tests.support.harness import Sandbox
from tests.support.layouts import CODE, LOCK, PARTIAL, S3, call
from tests.support.seeds import one_quick

ONE_SCREEN = 50


def checks(sandbox: Sandbox, **variables: str) -> dict[str, dict[str, Any]]:
    """The checks of doctor by their subject, the first of each."""
    found: dict[str, dict[str, Any]] = {}
    for check in sandbox.run("doctor", "--format", "json", **variables).report["checks"]:
        found.setdefault(check["check"], check)
    return found


def estate(sandbox: Sandbox, count: int, text: str, **more: str) -> list[str]:
    for number in range(count):
        sandbox.write(f"live/e{number:03}/main.tf", text.replace("KEY", f"e{number:03}"))
        for name, content in more.items():
            sandbox.write(f"live/e{number:03}/{name}", content)
    sandbox.commit("the estate", {"driftguard.yaml": 'environments: [{path: "live/*"}]\n'})
    return [f"e{number:03}" for number in range(count)]


@pytest.mark.parametrize("count", one_quick((60, 500), pytest.mark.further))
def test_environments_that_fail_alike_are_one_line_of_doctor_and_of_a_scan(sandbox: Sandbox, count: int) -> None:
    names = estate(sandbox, count, 'terraform {\n  required_version = "~> 9.9"\n  backend "local" {}\n}\n' + CODE)
    ran = sandbox.run("doctor")
    assert ran.code == 1
    assert len(ran.stdout.splitlines()) <= ONE_SCREEN
    assert f"{count} of {count} environments: ~> 9.9 (required_version) is required; here:" in " ".join(
        ran.stdout.split()
    )
    predicted = checks(sandbox)
    assert predicted["versions"]["environments"] == names
    assert predicted["lock files"]["environments"] == names
    assert predicted["prediction"]["detail"].startswith(f"0 of {count} environments can be planned")

    scanned = sandbox.run("scan")
    assert scanned.code == 1
    assert len(scanned.stdout.splitlines()) <= ONE_SCREEN
    assert len(scanned.stderr.splitlines()) <= ONE_SCREEN
    (cause,) = sandbox.scan("e00*").report["causes"]
    assert cause["message"] == predicted["versions"]["detail"].partition(": ")[2]
    assert cause["remedy"] == predicted["versions"]["remedy"]
    assert cause["environments"] == names[:10]


def test_each_cause_is_one_line_with_its_remedy_and_its_environments(sandbox: Sandbox) -> None:
    sandbox.write("live/backend/main.tf", PARTIAL + CODE)
    sandbox.write("live/backend-given/main.tf", PARTIAL + CODE)
    sandbox.write("live/values/main.tf", S3 + 'variable "a" {}\nvariable "b" {}\nvariable "c" { default = 1 }\n')
    sandbox.write("live/values/terraform.tfvars", "a = 1\n")
    sandbox.write("live/values/x.auto.tfvars.json", '{"d": 1}')
    sandbox.write("live/floating/main.tf", S3.replace("KEY", "f") + call("git::https://example.org/m.git?ref=main"))
    sandbox.write("live/floating/.terraform.lock.hcl", LOCK)
    sandbox.write("live/reads/main.tf", S3.replace("KEY", "r") + 'locals {\n  x = file("made.json")\n}\n')
    sandbox.write("live/asks/main.tf", S3.replace("KEY", "a"))
    sandbox.write("live/links/main.tf", S3.replace("KEY", "l"))
    (sandbox.repository / "live/links/shared.tf").symlink_to("../../gone.tf")
    sandbox.write("accounts/new/main.tf", S3.replace("KEY", "n"))
    sandbox.write("grunt/prod/terragrunt.hcl", "# terragrunt\n")
    sandbox.commit(
        "estate",
        {
            "driftguard.yaml": 'environments:\n  - path: "live/*"\n'
            "  - {path: live/backend-given, backend_config: {bucket: b, key: k}}\n"
            "  - {path: live/asks, env: [TF_VAR_nowhere]}\n"
        },
    )
    found = checks(sandbox)
    expected = {
        "backend": (False, ["backend"], "backend_config"),
        "variables": (False, ["asks"], "TF_VAR_nowhere"),
        "contents": (False, ["links"], "gone.tf"),
        "files not in git": (False, ["reads"], "live/reads/made.json"),
        "floating modules": (True, ["floating"], "ref=main"),
        "lock files": (True, ["backend", "backend-given"], ".terraform.lock.hcl"),
        "uncovered": (True, [], "accounts/new"),
        "Terragrunt": (True, [], "grunt/prod"),
    }
    assert {
        check: (found[check]["good"], found[check]["environments"], text in str(found[check]))
        for check, (_, _, text) in expected.items()
    } == {check: (good, names, True) for check, (good, names, _) in expected.items()}
    assert all(found[check]["remedy"] for check in expected)
    every = sandbox.run("doctor", "--format", "json").report["checks"]
    assert [c["detail"] for c in every if c["environments"] == ["values"]] == [
        "1 of 7 environments: no value for the variable b"
    ]


def test_roles_and_permissions_are_asked_once_for_all_that_share_them(sandbox: Sandbox, cloud: Cloud) -> None:
    backend = (
        'terraform {\n  backend "s3" {\n    bucket = "BUCKET"\n    key    = "KEY"\n'
        f'    region = "{REGION}"\n    endpoints = {{ s3 = "{cloud.endpoint}" }}\n  }}\n}}\n'
    )
    cloud.client("s3").create_bucket(Bucket="predicted", CreateBucketConfiguration={"LocationConstraint": REGION})
    estate(sandbox, 5, backend.replace("BUCKET", "predicted"))
    credentials = cloud.environment()
    assert "permissions" not in checks(sandbox, **credentials)  # readable: nothing is there yet
    sandbox.commit("another bucket", {"live/e000/main.tf": backend.replace("BUCKET", "no-such-bucket")})
    found = checks(sandbox, **credentials)["permissions"]
    assert (found["good"], found["environments"]) == (False, ["e000"])
    assert "does not exist" in found["detail"]
    without = checks(sandbox, AWS_EC2_METADATA_DISABLED="true")["permissions"]
    assert (without["good"], len(without["environments"])) == (True, 5)


def test_roles_that_cannot_be_assumed_for_one_reason_are_one_line(sandbox: Sandbox) -> None:
    for name in ("a", "b"):
        sandbox.write(f"live/{name}/main.tf", "locals {}\n")
        sandbox.write(f"accounts/{name}.json", f'{{"name": "{name}", "id": "{ord(name):012d}"}}')
    entry = '- {path: "live/*", from: {file: "accounts/*.json", name: ".name"}, workspace: "{from.name}", '
    entry += 'aws: {plan_role_arn: "arn:aws:iam::{from.id}:role/plan"}}'
    sandbox.commit("roles of accounts", {"driftguard.yaml": f"environments:\n  {entry}\n"})
    checks = sandbox.run("doctor", "--format", "json").report["checks"]
    assert [len(check["environments"]) for check in checks if check["check"] == "roles"] == [4]


@pytest.mark.parametrize("arn", ["arn:aws:iam::123456789012:role/plan"])
def test_a_role_that_cannot_be_assumed_is_one_line(sandbox: Sandbox, arn: str) -> None:
    estate(sandbox, 5, S3)
    configuration = f'environments: [{{path: "live/*"}}]\naws: {{plan_role_arn: "{arn}", region: eu-west-1}}\n'
    sandbox.commit("a role", {"driftguard.yaml": configuration})
    found = checks(sandbox, AWS_EC2_METADATA_DISABLED="true")
    assert (found["roles"]["good"], len(found["roles"]["environments"])) == (False, 5)
    assert arn in found["roles"]["detail"]


def test_environments_names_what_moves_without_a_commit_once(sandbox: Sandbox) -> None:
    names = estate(sandbox, 20, S3 + CODE)
    ran = sandbox.run("environments", "--format", "json")
    assert [bool(item["closure_open"]) for item in ran.report["environments"]] == [True] * len(names)
    (note,) = [line for line in ran.stderr.splitlines() if line.startswith("note: live/")]
    assert "no .terraform.lock.hcl is committed" in note
    assert "the same in 19 other environments" in note
