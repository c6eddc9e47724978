"""A cloud or a state that cannot be reached, refuses or is busy: unknown with the right kind, never deleted."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from driftguard.demo.cloud import STATE_BUCKET, Cloud, make_state_bucket
from tests.support.aws import DIRECTORY, Shop
from tests.support.faulty import Faulty
from tests.support.toy_estate import BODY, EstateOf, ToyEstate, Wrapped, error, s3_backend, state_with, verdicts

_UNREACHABLE = "http://127.0.0.1:9"


class Remote:
    """Environments `local`, whose state lies beside it, and `remote`, whose state lies in S3."""

    def __init__(self, estate: ToyEstate, cloud: Cloud) -> None:
        self.estate, self.sandbox, self.storage = estate, estate.sandbox, cloud.client("s3")
        self.endpoint, self.key = cloud.endpoint, f"remote-{uuid.uuid4().hex[:8]}/terraform.tfstate"
        make_state_bucket(cloud)
        self.sandbox.variables.update(cloud.environment())
        self.put(estate.applied.state)
        estate.state_file("remote").unlink()
        self.state_at(cloud.endpoint)

    def put(self, state: str, suffix: str = "") -> None:
        self.storage.put_object(Bucket=STATE_BUCKET, Key=self.key + suffix, Body=state.encode())

    def state_at(self, endpoint: str) -> None:
        """Merge code that looks for the state elsewhere."""
        backend = s3_backend(endpoint, self.key)
        body = self.estate.clouds["remote"].root_module(BODY, backend=backend)
        self.sandbox.commit("another place", {"environments/remote/main.tf": body})

    def fault(self) -> dict[str, Any]:
        """What a scan says of `remote`, given that it cannot be judged while `local` can."""
        ran = self.sandbox.scan()
        assert (ran.code, verdicts(ran.report)) == (1, {"local": "in_sync", "remote": "unknown"}), ran.stdout
        return ran.environment("remote")


@pytest.fixture
def remote(estate_of: EstateOf, cloud: Cloud) -> Remote:
    return Remote(estate_of("local", "remote"), cloud)


def test_a_state_that_another_user_locks_is_scanned_all_the_same(remote: Remote, tmp_path: Path) -> None:
    lock = {"ID": "6f2a", "Operation": "OperationTypeApply", "Who": "eve@laptop", "Version": "1.11.4"}
    remote.put(json.dumps(lock), ".tflock")
    wrapped = Wrapped(remote.sandbox, tmp_path / "wrapped")
    ran = remote.sandbox.scan("remote")
    assert (ran.code, verdicts(ran.report)) == (0, {"remote": "in_sync"}), ran.stdout
    assert wrapped.commands() == ["init", "plan"]

    remote.estate.clouds["remote"].change("web", value="outside")
    ran = remote.sandbox.scan()
    assert (ran.code, verdicts(ran.report)) == (2, {"local": "in_sync", "remote": "drifted"})
    assert sorted(wrapped.commands()) == ["init", "plan", "plan", "show", "state"]
    kept = remote.storage.get_object(Bucket=STATE_BUCKET, Key=f"{remote.key}.tflock")["Body"].read()
    assert json.loads(kept) == lock


def test_a_remote_state_that_moves_while_it_is_planned_is_unknown(remote: Remote, tmp_path: Path) -> None:
    remote.estate.clouds["remote"].change("web", value="outside")
    put = f"import boto3, sys; boto3.client('s3', endpoint_url='{remote.endpoint}').put_object"
    mover = tmp_path / "mover.py"
    mover.write_text(
        f"{put}(Bucket='{STATE_BUCKET}', Key='{remote.key}', Body=open(sys.argv[1], 'rb').read())\n",
    )
    newer = tmp_path / "newer.json"
    newer.write_text(state_with(remote.estate.applied.state, serial=77))
    trick = f'if [ "$1" = state ]; then "{sys.executable}" "{mover}" "{newer}"; fi'
    wrapped = Wrapped(remote.sandbox, tmp_path / "wrapped", trick)
    ran = remote.sandbox.scan("remote")
    # The second plan starts from what was written meanwhile, and nothing moves any more.
    assert (ran.code, verdicts(ran.report)) == (2, {"remote": "drifted"}), ran.stdout
    assert wrapped.commands() == ["init", "plan", "state", "plan", "state", "show"]


def test_a_state_that_cannot_be_reached_is_unknown(remote: Remote) -> None:
    assert remote.sandbox.scan().code == 0
    remote.state_at(_UNREACHABLE)
    found = remote.fault()
    assert found["error"]["kind"] == "init"
    assert "connection refused" in error(found)


def test_a_state_that_refuses_our_credentials_is_denied(remote: Remote) -> None:
    with Faulty(403, "AccessDenied", "Access Denied", s3=True) as service:
        remote.state_at(service.endpoint)
        found = remote.fault()
        assert found["error"]["kind"] == "denied"
        assert "HeadObject" in error(found)  # which has no body, so no code but the status
        assert "403" in error(found)


def test_a_state_behind_a_busy_service_is_throttled(remote: Remote) -> None:
    with Faulty(503, "SlowDown", "Please reduce your request rate.", s3=True) as service:
        remote.state_at(service.endpoint)
        found = remote.fault()
        assert found["error"]["kind"] == "throttled"
        assert "SlowDown" in error(found)
        assert len(service.requests) < 10


def test_a_damaged_state_is_not_read_as_nothing_applied(remote: Remote) -> None:
    assert remote.sandbox.scan().code == 0
    remote.put('{"version": 4, "serial": ')
    found = remote.fault()
    assert found["error"]["kind"] == "plan"


@pytest.mark.aws
@pytest.mark.provider_process
def test_a_service_of_aws_that_refuses_or_is_busy_is_never_taken_for_a_deletion(shop: Shop) -> None:
    override = f"{DIRECTORY}/loopback_override.tf"
    shop.sandbox.replace(override, 'provider "aws" {', 'provider "aws" {\n  max_retries = 1')
    shop.settle('resource "aws_sqs_queue" "jobs" {\n  name = "NAME-jobs"\n}\n')
    good = (shop.sandbox.repository / override).read_text()
    for status, code, message, kind in (
        (403, "AccessDenied", "User: arn:aws:iam::1:user/ada is not authorized to perform: sqs", "denied"),
        (403, "InvalidClientTokenId", "The security token included in the request is invalid.", "denied"),
        (400, "Throttling", "Rate exceeded", "throttled"),
    ):
        with Faulty(status, code, message) as service:
            sqs = f'    sqs            = "{shop.cloud.endpoint}"'
            shop.sandbox.write(override, good)
            shop.sandbox.replace(override, sqs, sqs.replace(shop.cloud.endpoint, service.endpoint))
            shop.sandbox.commit(f"an endpoint that answers {code}")
            exit_code, found = shop.scan()
            assert service.requests
        assert (exit_code, found["error"]["kind"]) == (1, kind), found
        assert code in error(found)
