"""The AWS policies of docs/how-to/read-only-credentials.md, attached to roles in an AWS that checks them."""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from driftguard.demo.cloud import PACKAGED_PROVIDER, REGION, Cloud, loopback_override
from tests.support.harness import Ran, Sandbox

pytestmark = [pytest.mark.terraform, pytest.mark.aws, pytest.mark.provider_process]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "read-only-credentials.md"
BUCKET, TABLE = "acme-terraform-state", "acme-terraform-locks"
Policy = dict[str, Any]
_QUEUE = 'resource "aws_sqs_queue" "jobs" {{\n  name = "jobs"\n  tags = {{ round = "{round}" }}\n}}\n'
_ANYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


def policies() -> tuple[Policy, Policy, Policy]:
    """Of a scan, of an apply, and the statement for a lock table in place of the lock file."""
    found: list[Policy] = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)]
    scan, apply, lock_table = found
    return scan, apply, lock_table


def without(policy: Policy, sid: str) -> Policy:
    reduced = deepcopy(policy)
    reduced["Statement"] = [each for each in reduced["Statement"] if each["Sid"] != sid]
    assert len(reduced["Statement"]) == len(policy["Statement"]) - 1
    return reduced


def sids(policy: Policy) -> list[str]:
    return [each["Sid"] for each in policy["Statement"]]


class GuardedEstate:
    """An environment with one queue, in an AWS that checks every request against the caller's policies."""

    def __init__(self, sandbox: Sandbox, cloud: Cloud, *, table: bool) -> None:
        self.sandbox, self.cloud, self.table = sandbox, cloud, table
        self._iam = cloud.client("iam")
        location = {"LocationConstraint": REGION}
        cloud.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        if table:
            cloud.client("dynamodb").create_table(
                TableName=TABLE,
                KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        self.roles = {kind: self._role(kind) for kind in ("plan", "apply")}
        self._admin = self._user("admin", _ANYTHING)
        assume = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": list(self.roles.values())}
        self._own = self._user("driftguard", json.dumps({"Version": "2012-10-17", "Statement": [assume]}))
        sandbox.write(".gitignore", ".terraform/\n")
        sandbox.write("driftguard.yaml", "policy: {pending: apply, limits: {share: 100%}}\nalerts: {trail: false}\n")
        self.write(0)
        sandbox.apply("environments/prod")
        sandbox.commit("The queue")
        self.operator = sandbox.home.with_name("operator.yaml")
        self.operator.write_text(
            f"aws: {{plan_role_arn: '{self.roles['plan']}', apply_role_arn: '{self.roles['apply']}'}}\nconcurrency: 1\n"
        )
        self._guard(True)

    def write(self, round_: int) -> None:
        override = loopback_override(self.cloud.endpoint, "live/prod.tfstate", PACKAGED_PROVIDER)
        # Version 3 asks at its start whether the account has EC2-Classic; AWS's refusal is no error there, moto's is.
        override = override.replace('provider "aws" {\n', 'provider "aws" {\n  skip_get_ec2_platforms = true\n')
        if self.table:
            override = override.replace("use_lockfile = true", f'dynamodb_table = "{TABLE}"')
            override = override.replace(
                f'iam = "{self.cloud.endpoint}"\n    }}\n  }}',
                f'iam = "{self.cloud.endpoint}"\n      dynamodb = "{self.cloud.endpoint}"\n    }}\n  }}',
            )
        folder = "environments/prod"
        self.sandbox.write(f"{folder}/backend.tf", 'terraform {\n  backend "s3" {}\n}\n')
        self.sandbox.write(f"{folder}/loopback_override.tf", override)
        self.sandbox.write(f"{folder}/main.tf", _QUEUE.format(round=round_))

    def allow(self, kind: str, policy: Policy) -> None:
        """Give the role of plans or applies this policy and no other; the next run starts as a CI job does."""
        shutil.rmtree(self.sandbox.home / ".cache", ignore_errors=True)
        self._guard(False)
        self._iam.put_role_policy(RoleName=f"driftguard-{kind}", PolicyName="page", PolicyDocument=json.dumps(policy))
        self._guard(True)

    def reconcile(self, round_: int, policy: Policy) -> Ran:
        """Merge another tag of the queue, and reconcile with this policy of applies."""
        self.write(round_)
        self.sandbox.commit(f"Round {round_}")
        self.allow("apply", policy)
        return self.run("reconcile")

    def run(self, *arguments: str) -> Ran:
        return self.sandbox.run(
            *arguments, "--format", "json", "--config", str(self.operator),
            AWS_ENDPOINT_URL=self.cloud.endpoint,
            AWS_ACCESS_KEY_ID=self._own["AccessKeyId"],
            AWS_SECRET_ACCESS_KEY=self._own["SecretAccessKey"],
        )  # fmt: skip

    def round(self) -> str:
        """The tag that the queue has."""
        self._guard(False)
        queues = self.cloud.client("sqs")
        tags = queues.list_queue_tags(QueueUrl=queues.get_queue_url(QueueName="jobs")["QueueUrl"])["Tags"]
        self._guard(True)
        return str(tags["round"])

    def _guard(self, on: bool) -> None:
        """Switch moto's checks of policies on or off."""
        count = b"0" if on else b"inf"
        request = urllib.request.Request(
            f"{self.cloud.endpoint}/moto-api/reset-auth", data=count, headers={"Content-Type": "text/plain"}
        )
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()

    def _role(self, kind: str) -> str:
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        made = self._iam.create_role(
            RoleName=f"driftguard-{kind}",
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )
        return str(made["Role"]["Arn"])

    def _user(self, name: str, policy: str) -> dict[str, str]:
        self._iam.create_user(UserName=name)
        self._iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy)
        key: dict[str, str] = self._iam.create_access_key(UserName=name)["AccessKey"]
        return key


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Cloud]:
    """A cloud of this test's own: its checks hold for every caller."""
    with Cloud(tmp_path / "guarded.log") as cloud:
        yield cloud


def error_of(ran: Ran) -> tuple[str, str | None]:
    found = ran.environment("prod")
    return found["verdict"], (found["error"] or {}).get("kind")


@pytest.mark.parametrize("table", [False, True], ids=["lock_file", "lock_table"])
def test_the_policies_of_the_page_are_enough_and_nothing_in_them_is_too_much(
    aws_sandbox: Sandbox, guarded: Cloud, table: bool
) -> None:
    scan, apply, lock_table = policies()
    if table:
        lock_table["Statement"][0]["Resource"] = "*"  # moto compares no resources of DynamoDB
        apply["Statement"] = without(apply, "LockFile")["Statement"] + lock_table["Statement"]
    aws_sandbox.variables.update(guarded.environment())
    estate = GuardedEstate(aws_sandbox, guarded, table=table)
    estate.allow("plan", scan)

    ran = estate.run("scan")
    assert (ran.code, error_of(ran)) == (0, ("in_sync", None)), ran.stdout
    for sid in sids(scan):
        estate.allow("plan", without(scan, sid))
        ran = estate.run("scan")
        assert (ran.code, error_of(ran)) == (1, ("unknown", "denied")), (sid, ran.environment("prod")["error"])
    estate.allow("plan", scan)

    last = "Manage"  # a refusal in the middle of an apply leaves something behind, the others do not
    refused = [scan, *(without(apply, sid) for sid in sids(apply) if sid != last)]
    for number, policy in enumerate(refused, 1):
        ran = estate.reconcile(number, policy)
        found = ran.environment("prod")
        outcome = json.dumps([found["decision"], found["error"]])
        assert (ran.code in (1, 2), estate.round()) == (True, "0"), (sids(policy), outcome)
        assert re.search(r"AccessDenied|Forbidden|403", outcome), (sids(policy), outcome)
    ran = estate.reconcile(10, apply)
    assert (ran.code, estate.round()) == (0, "10"), ran.stdout
    ran = estate.reconcile(11, without(apply, last))
    assert (ran.code, estate.round()) == (2, "10"), ran.stdout
    (reason,) = ran.environment("prod")["decision"]["reasons"]
    assert reason.startswith("apply_failed")
    assert "403" in reason
