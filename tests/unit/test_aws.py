"""Assumed roles: one session for each environment, purpose and run, and what went wrong as one clear sentence."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.adapters.aws.roles import RoleSessions, session_name
from driftguard.config import Aws
from driftguard.demo.cloud import REGION, Cloud
from driftguard.errors import EnvironmentFault, TransientFault
from driftguard.model import ErrorKind

PLAN, APPLY = "arn:aws:iam::123456789012:role/plan", "arn:aws:iam::123456789012:role/apply"
ROLES = Aws(plan_role_arn=PLAN, apply_role_arn=APPLY, external_id="acme", session_tags={"team": "infra"})
RUN = "20261123T120000-0a1b2c3d"
OWN_SECRET = "own-s3cr3t-c4nary"
REFUSAL = "User: arn:aws:iam::123456789012:user/x is not authorized, token c4nary-in-text"


class Clock:
    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.at


class Sts:
    """An STS on loopback that answers each AssumeRole with one error, or with sessions as long as it is told.

    Attributes:
        asked: the parameters of every call.
        error: HTTP status and code to answer with.
        lasts: how long its sessions last, whatever is asked for.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.error: tuple[int, str] | None = None
        self.lasts: timedelta | None = None
        self.gate: Callable[[], object] = lambda: None
        sts = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, answer = sts.answer(dict(parse_qsl(body)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def answer(self, asked: dict[str, str]) -> tuple[int, bytes]:
        self.asked.append(asked)
        number = len(self.asked)
        self.gate()
        if self.error is not None:
            status, code = self.error
            text = f"<ErrorResponse><Error><Code>{code}</Code><Message>{REFUSAL}</Message></Error></ErrorResponse>"
            return status, text.encode()
        ends = datetime.now(UTC) + (self.lasts or timedelta(seconds=int(asked["DurationSeconds"])))
        credentials = (
            f"<AccessKeyId>ASIA{number:016}</AccessKeyId><SecretAccessKey>role-s3cr3t-{number}</SecretAccessKey>"
            f"<SessionToken>token-{number}</SessionToken><Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
        )
        result = f"<AssumeRoleResult><Credentials>{credentials}</Credentials></AssumeRoleResult>"
        return 200, f"<AssumeRoleResponse>{result}</AssumeRoleResponse>".encode()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without any AWS settings of its own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    return monkeypatch


@pytest.fixture
def identity(machine: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine whose process has AWS credentials."""
    machine.setenv("AWS_ACCESS_KEY_ID", "own")
    machine.setenv("AWS_SECRET_ACCESS_KEY", OWN_SECRET)
    return machine


@pytest.fixture
def moto(identity: pytest.MonkeyPatch, cloud: Cloud) -> Cloud:
    identity.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    return cloud


@pytest.fixture
def sts(identity: pytest.MonkeyPatch) -> Iterator[Sts]:
    running = Sts()
    identity.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{running.server.server_port}")
    thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield running
    finally:
        running.server.shutdown()
        thread.join()
        running.server.server_close()


def sessions_of(clock: Clock | None = None, region: str | None = REGION) -> RoleSessions:
    return RoleSessions(RUN, clock or Clock(), region)


def fault_of(settings: Aws = ROLES, region: str | None = REGION) -> EnvironmentFault:
    """The fault of a role that cannot be assumed; it holds no secret and nothing of AWS's own text."""
    with pytest.raises(EnvironmentFault) as caught:
        sessions_of(region=region).variables(settings, "prod", "plan", 600)
    for secret in (OWN_SECRET, "c4nary-in-text", "acme"):
        assert secret not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert str(caught.value).startswith(f"{PLAN} cannot be assumed for the plan of prod")
    return caught.value


# --- on moto -------------------------------------------------------------------------------------


def test_each_environment_and_purpose_has_a_session_of_its_own(moto: Cloud) -> None:
    sessions = sessions_of()
    one_role = Aws(plan_role_arn=PLAN, apply_role_arn=PLAN)
    asked = [
        (settings, name, purpose) for settings in (ROLES, one_role) for name in "ab" for purpose in ("plan", "apply")
    ]
    found = [sessions.variables(*each, 600) for each in asked]
    assert all(set(each or ()) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} for each in found)
    # `plan` of both settings is the same role for the same environment and purpose.
    assert len({each["AWS_SESSION_TOKEN"] for each in found if each}) == 6
    assert [sessions.variables(*each, 600) for each in asked] == found


def test_the_session_carries_environment_and_run_into_the_audit_log(moto: Cloud) -> None:
    variables = sessions_of().variables(ROLES, "prod-eu", "apply", 600)
    assert variables is not None
    identity = boto3.client(
        "sts",
        endpoint_url=moto.endpoint,
        region_name=REGION,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables["AWS_SESSION_TOKEN"],
    ).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::123456789012:assumed-role/apply/driftguard-prod-eu-{RUN}"


def test_nothing_but_the_answer_holds_the_credentials(moto: Cloud) -> None:
    before = dict(os.environ)
    sessions = sessions_of()
    variables = sessions.variables(ROLES, "dev", "plan", 600)
    assert variables is not None
    assert dict(os.environ) == before
    shown = repr(sessions) + repr(vars(sessions))
    assert not [value for value in variables.values() if value in shown]
    kept = dict(variables)
    variables.clear()
    assert sessions.variables(ROLES, "dev", "plan", 600) == kept


# --- how long a session lasts --------------------------------------------------------------------


def test_a_session_is_replaced_when_it_ends_before_the_process_may(sts: Sts) -> None:
    clock = Clock()
    sessions = sessions_of(clock)
    first = sessions.variables(ROLES, "dev", "plan", 600)
    clock.at += timedelta(minutes=48)
    assert sessions.variables(ROLES, "dev", "plan", 600) == first
    clock.at += timedelta(minutes=2)
    assert sessions.variables(ROLES, "dev", "plan", 600) != first
    assert len(sts.asked) == 2


def test_a_session_too_short_for_the_process_is_new_for_each_one(sts: Sts) -> None:
    short = Aws(plan_role_arn=PLAN, duration=timedelta(minutes=15))
    sessions = sessions_of()
    found = [sessions.variables(short, "dev", "plan", 1200) for _ in range(3)]
    assert len({str(each) for each in found}) == len(sts.asked) == 3


def test_a_session_that_sts_grants_for_less_is_not_used_beyond_that(sts: Sts) -> None:
    sts.lasts = timedelta(minutes=15)
    clock = Clock()
    sessions = sessions_of(clock)
    first = sessions.variables(ROLES, "dev", "plan", 600)
    clock.at += timedelta(minutes=6)
    assert sessions.variables(ROLES, "dev", "plan", 600) != first


def test_a_clock_that_is_behind_does_not_make_a_session_last_longer(sts: Sts) -> None:
    clock = Clock()
    clock.at -= timedelta(days=1)
    sessions = sessions_of(clock)
    first = sessions.variables(ROLES, "dev", "plan", 600)
    clock.at += timedelta(minutes=55)
    assert sessions.variables(ROLES, "dev", "plan", 600) != first


# --- many at once --------------------------------------------------------------------------------


def test_one_environment_asks_once_and_environments_do_not_wait_for_one_another(sts: Sts) -> None:
    all_four = threading.Barrier(4)
    sts.gate = lambda: all_four.wait(20)  # passes only if four calls are under way at the same time
    sessions = sessions_of()
    names = ["a", "b", "c", "d"] * 2
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: sessions.variables(ROLES, name, "plan", 600), names))
    assert found[:4] == found[4:]
    assert len({str(each) for each in found}) == len(sts.asked) == 4


# --- what STS is asked ---------------------------------------------------------------------------


def test_sts_is_asked_for_just_what_the_settings_state(sts: Sts) -> None:
    settings = ROLES.model_copy(update={"session_tags": {"team": "infra", "cost": "7"}})
    sessions_of().variables(settings, "dev", "apply", 600)
    sessions_of().variables(Aws(plan_role_arn=PLAN, duration=timedelta(hours=2)), "dev", "plan", 600)
    common = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleSessionName": f"driftguard-dev-{RUN}"}
    tags = {"Tags.member.1.Key": "cost", "Tags.member.1.Value": "7", "Tags.member.2.Key": "team"}
    full = {"RoleArn": APPLY, "DurationSeconds": "3600", "ExternalId": "acme", "Tags.member.2.Value": "infra"}
    assert sts.asked == [{**common, **tags, **full}, {**common, "RoleArn": PLAN, "DurationSeconds": "7200"}]


def test_without_a_role_for_the_purpose_nothing_is_asked(sts: Sts) -> None:
    assert sessions_of().variables(Aws(), "dev", "plan", 600) is None
    assert sessions_of().variables(Aws(plan_role_arn=PLAN), "dev", "apply", 600) is None
    assert sts.asked == []


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (403, "AccessDenied", ErrorKind.DENIED, "trust policy"),
        (403, "ExpiredToken", ErrorKind.DENIED, "have expired"),
        (400, "ExpiredTokenException", ErrorKind.DENIED, "have expired"),
        (403, "InvalidClientTokenId", ErrorKind.DENIED, "does not accept the credentials"),
        (403, "SignatureDoesNotMatch", ErrorKind.DENIED, "clock"),
        (403, "RegionDisabledException", ErrorKind.CONFIG, "aws.region"),
        (400, "ValidationError", ErrorKind.CONFIG, "aws.duration"),
        (400, "PackedPolicyTooLarge", ErrorKind.CONFIG, "aws.session_tags"),
    ],
)
def test_a_refusal_is_asked_once_and_states_what_to_check(
    sts: Sts, status: int, code: str, kind: ErrorKind, words: str
) -> None:
    sts.error = (status, code)
    fault = fault_of()
    assert (fault.kind, type(fault)) == (kind, EnvironmentFault)
    assert code in str(fault)
    assert words in str(fault)
    assert len(sts.asked) == 1


def test_a_denied_role_names_only_what_was_asked_for(sts: Sts) -> None:
    sts.error = (403, "AccessDenied")
    with_all, plain = str(fault_of()), str(fault_of(Aws(plan_role_arn=PLAN)))
    assert "the credentials of this process (from environment variables)" in plain
    assert "sts:TagSession" in with_all
    assert "aws.external_id" in with_all
    assert "sts:TagSession" not in plain
    assert "aws.external_id" not in plain


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(400, "Throttling", ErrorKind.THROTTLED), (503, "ServiceUnavailable", ErrorKind.TIMEOUT)],
)
def test_what_passes_by_itself_is_tried_three_times_and_then_left_to_the_next_run(
    sts: Sts, status: int, code: str, kind: ErrorKind
) -> None:
    sts.error = (status, code)
    fault = fault_of()
    assert (fault.kind, type(fault)) == (kind, TransientFault)
    assert len(sts.asked) == 3


def test_an_sts_that_cannot_be_reached_is_left_to_the_next_run(identity: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        identity.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{closed.getsockname()[1]}")
        fault = fault_of()
    assert (fault.kind, type(fault)) == (ErrorKind.TIMEOUT, TransientFault)


def test_after_a_failure_the_next_call_asks_again(sts: Sts) -> None:
    sessions = sessions_of()
    sts.error = (403, "AccessDenied")
    with pytest.raises(EnvironmentFault):
        sessions.variables(ROLES, "dev", "plan", 600)
    sts.error = None
    assert sessions.variables(ROLES, "dev", "plan", 600)


def test_without_credentials_the_sentence_reports_it(machine: pytest.MonkeyPatch) -> None:
    fault = fault_of()
    assert (fault.kind, type(fault)) == (ErrorKind.DENIED, EnvironmentFault)
    assert "no AWS credentials" in str(fault)


def test_a_process_whose_own_credentials_are_broken_does_not_blame_the_role(
    machine: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    breakages = {
        "AWS_PROFILE": ("nowhere", "ProfileNotFound"),
        "AWS_WEB_IDENTITY_TOKEN_FILE": (str(tmp_path / "gone"), "FileNotFoundError"),
        "AWS_ACCESS_KEY_ID": ("half", "PartialCredentialsError"),
    }
    for name, (value, word) in breakages.items():
        with machine.context() as patch:
            patch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/own")
            patch.setenv(name, value)
            fault = fault_of()
        assert fault.kind is ErrorKind.DENIED
        assert f"the AWS credentials of this process cannot be used ({word})" in str(fault)
        assert "trust policy" not in str(fault)


def test_a_missing_region_is_asked_for(sts: Sts) -> None:
    fault = fault_of(region=None)
    assert fault.kind is ErrorKind.CONFIG
    assert "Set aws.region" in str(fault)
    assert sessions_of(region=None).variables(ROLES.model_copy(update={"region": REGION}), "dev", "plan", 600)


# --- session names -------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=80))
def test_a_sessions_name_is_one_that_sts_takes(environment: str, run: str) -> None:
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", session_name(environment, run), re.ASCII)


_NAMES = st.from_regex(r"[\w.][\w./@+: -]{0,90}", fullmatch=True)


@given(_NAMES, _NAMES)
def test_two_environments_of_a_run_never_share_a_name(one: str, other: str) -> None:
    assert (session_name(one, RUN) == session_name(other, RUN)) == (one == other)


def test_an_ordinary_name_stays_as_it_is_and_a_long_one_keeps_its_run() -> None:
    assert session_name("prod-eu", RUN) == f"driftguard-prod-eu-{RUN}"
    long = session_name("x" * 80 + "a", RUN)
    assert long.endswith(RUN)
    assert long != session_name("x" * 80 + "b", RUN)
    assert session_name("eu/prod", RUN) != session_name("eu-prod", RUN)
