"""Assumed roles: one session for each environment and run, and errors as one sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.adapters.aws import RoleSessions, session_name
from driftguard.config import Aws
from driftguard.demo.cloud import REGION, Cloud
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind

PLAN, APPLY = "arn:aws:iam::123456789012:role/plan", "arn:aws:iam::123456789012:role/apply"
ROLES = Aws(plan_role_arn=PLAN, apply_role_arn=APPLY, external_id="acme", session_tags={"team": "infra"})
RUN = "20261123T120000-0a1b2c3d"


class Clock:
    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def surroundings(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)


@pytest.mark.usefixtures("surroundings")
def test_each_environment_and_purpose_has_a_session_of_its_own(cloud: Cloud) -> None:
    sessions = RoleSessions(RUN, Clock(), REGION)
    found = [
        sessions.variables(ROLES, environment, purpose, 600)
        for environment in ("dev", "prod")
        for purpose in ("plan", "apply")
    ]
    assert len({variables["AWS_SESSION_TOKEN"] for variables in found if variables}) == 4
    assert sessions.variables(ROLES, "dev", "plan", 600) == found[0]
    assert sessions.variables(Aws(), "dev", "plan", 600) is None


@pytest.mark.usefixtures("surroundings")
def test_the_session_carries_environment_and_run_into_the_audit_log(cloud: Cloud) -> None:
    import boto3

    variables = RoleSessions(RUN, Clock(), REGION).variables(ROLES, "prod-eu", "apply", 600)
    assert variables is not None
    identity = boto3.client(
        "sts",
        endpoint_url=cloud.endpoint,
        region_name=REGION,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables["AWS_SESSION_TOKEN"],
    ).get_caller_identity()
    assert identity["Arn"].endswith(f"assumed-role/apply/driftguard-prod-eu-{RUN}")


@pytest.mark.usefixtures("surroundings")
def test_a_session_that_ends_too_soon_is_replaced() -> None:
    clock = Clock()
    sessions = RoleSessions(RUN, clock, REGION)
    first = sessions.variables(ROLES, "dev", "plan", 600)
    clock.at += timedelta(minutes=49)
    assert sessions.variables(ROLES, "dev", "plan", 600) == first
    clock.at += timedelta(minutes=5)
    assert sessions.variables(ROLES, "dev", "plan", 600) != first


def test_without_credentials_the_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    settings = Aws(plan_role_arn=PLAN)
    with pytest.raises(EnvironmentFault, match="no AWS credentials") as caught:
        RoleSessions(RUN, Clock(), REGION).variables(settings, "dev", "plan", 600)
    assert caught.value.kind is ErrorKind.DENIED


def test_an_sts_that_cannot_be_reached_is_a_fault_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-c4nary")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    settings = Aws(plan_role_arn=PLAN)
    with pytest.raises(EnvironmentFault, match="STS did not answer") as caught:
        RoleSessions(RUN, Clock(), REGION).variables(settings, "dev", "plan", 600)
    assert "s3cr3t-c4nary" not in str(caught.value)


@given(st.text(min_size=1, max_size=200))
def test_a_sessions_name_is_one_that_sts_takes(environment: str) -> None:
    import re

    assert re.fullmatch(r"[\w+=,.@-]{2,64}", session_name(environment, RUN), re.ASCII)


def test_long_names_that_differ_late_stay_distinct() -> None:
    assert session_name("x" * 80 + "a", RUN) != session_name("x" * 80 + "b", RUN)
