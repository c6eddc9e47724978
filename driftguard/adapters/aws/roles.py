"""AWS credentials for one environment's Terraform process: roles assumed for it, and seen by nothing else."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct, convert

from driftguard.config import Aws
from driftguard.errors import EnvironmentFault, TransientFault
from driftguard.model import ErrorKind

_MAX_SESSION_NAME: Final = 64
_MAX_RUN: Final = 32
_SPARE: Final = timedelta(minutes=1)
_THROTTLED: Final = frozenset(
    {"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException"}
    | {"TooManyRequestsException", "RequestLimitExceeded", "SlowDown"}
)
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN_IDENTITY: Final = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure"}
    | {"IncompleteSignature", "MissingAuthenticationToken", "InvalidIdentityToken", "InvalidAccessKeyId"}
)
# Where botocore found the credentials (`credentials.method`), in words.
_ORIGINS: Final = {
    "env": "environment variables",
    "shared-credentials-file": "the AWS credentials file",
    "config-file": "the AWS config file",
    "custom-process": "a credential process",
    "iam-role": "the instance's role",
    "container-role": "the container's role",
    "assume-role": "a role of the AWS profile",
    "assume-role-with-web-identity": "a web identity",
    "sso": "AWS IAM Identity Center",
}


class _Keys(Struct, frozen=True, rename="pascal"):
    """STS's `Credentials`."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expiration: datetime

    def __repr__(self) -> str:
        return f"_Keys(expiration={self.expiration})"


class _Assumed(Struct, frozen=True, rename="pascal"):
    credentials: _Keys


@dataclass(slots=True)
class _Slot:
    """The session of one environment, purpose and role; the lock lets others wait for the one call that fills it."""

    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    ends_at: datetime | None = None


class RoleSessions:
    """Sessions of assumed roles for one run, each for one environment and purpose.

    The identity that assumes is the one of this process (boto3's default chain, looked up once). Thread-safe;
    environments do not wait for one another.

    Args:
        run_id: part of every session's name, so that audit logs can be matched with the ledger.
        now: the time, aware.
        region: whose STS endpoint is asked where the settings name none; None leaves it to boto3.
    """

    def __init__(self, run_id: str, now: Callable[[], datetime], region: str | None) -> None:
        self._run_id, self._now, self._region = run_id, now, region
        self._slots: dict[tuple[str, str, str], _Slot] = {}
        self._guard = threading.Lock()
        self._own: Any = None
        self._identity: Any = None
        self._clients: dict[str | None, Any] = {}

    def variables(
        self, settings: Aws, environment: str, purpose: str, needed_for_seconds: float
    ) -> dict[str, str] | None:
        """The environment variables of an assumed session; None where no role is configured for the purpose.

        Ask right before each Terraform process: a session that cannot last as long as the process may is replaced,
        every time where even a new one cannot.

        Args:
            purpose: `plan` or `apply`.
            needed_for_seconds: how long the process may run.

        Raises:
            EnvironmentFault: the role cannot be assumed; `TransientFault` where it is expected to work later.
        """
        role = settings.apply_role_arn if purpose == "apply" else settings.plan_role_arn
        if role is None:
            return None
        with self._guard:
            slot = self._slots.setdefault((environment, purpose, role), _Slot())
        with slot.lock:
            needed = timedelta(seconds=needed_for_seconds) + _SPARE
            if slot.ends_at is None or slot.ends_at - self._now() < needed:
                asked_at = self._now()
                answer = self._assume(settings, role, environment, purpose)
                # Our own clock decides as well: one that is behind must not make a session seem to last longer.
                slot.ends_at = min(answer.expiration, asked_at + settings.duration)
                slot.variables = {
                    "AWS_ACCESS_KEY_ID": answer.access_key_id,
                    "AWS_SECRET_ACCESS_KEY": answer.secret_access_key,
                    "AWS_SESSION_TOKEN": answer.session_token,
                }
            return dict(slot.variables)

    def _assume(self, settings: Aws, role: str, environment: str, purpose: str) -> _Keys:
        """A new session."""
        from botocore.exceptions import BotoCoreError, ClientError

        request: dict[str, Any] = {
            "RoleArn": role,
            "RoleSessionName": session_name(environment, self._run_id),
            "DurationSeconds": int(settings.duration.total_seconds()),
        }
        if settings.external_id is not None:
            request |= {"ExternalId": settings.external_id}
        if settings.session_tags:
            request |= {"Tags": [{"Key": key, "Value": value} for key, value in sorted(settings.session_tags.items())]}
        what = f"{role} cannot be assumed for the {purpose} of {environment}"
        client, origin = self._ready(settings.region or self._region, what)
        try:
            return convert(client.assume_role(**request), _Assumed).credentials
        except (BotoCoreError, ClientError) as error:
            raise _fault(error, what, origin, settings) from None

    def _ready(self, region: str | None, what: str) -> tuple[Any, str]:
        """A client of STS and where its credentials come from, made sure of before the role is asked for.

        Apart from the call itself, so that what fails in this process's own identity is not blamed on the role.
        """
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        limits = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=15)
        try:
            with self._guard:  # a boto3 session is not safe to share; its clients and credentials are
                self._own = self._own or boto3.session.Session()
                self._identity = self._identity or self._own.get_credentials()
                if self._identity is not None and region not in self._clients:
                    self._clients[region] = self._own.client("sts", region_name=region, config=limits)
            if self._identity is not None:
                self._identity.get_frozen_credentials()
                return self._clients[region], _ORIGINS.get(self._identity.method, self._identity.method)
        except (BotoCoreError, ClientError, OSError, ValueError) as error:
            raise _passing_fault(error, what) or EnvironmentFault(
                ErrorKind.DENIED,
                f"{what}: the AWS credentials of this process cannot be used ({_word(error)}). "
                "Check its AWS profile, its AWS files or whatever else gives it credentials.",
            ) from None
        raise EnvironmentFault(
            ErrorKind.DENIED,
            f"{what}: this process has no AWS credentials to do it with. "
            "Give it some in one of the ways that the AWS command line knows.",
        )


def session_name(environment: str, run_id: str) -> str:
    """A role session's name: environment and run, at most 64 characters of those that STS allows.

    A name that has to be changed for that ends in a digest, so that two environments never share one.
    """
    run = _fitting(run_id, _MAX_RUN)
    return f"driftguard-{_fitting(environment, _MAX_SESSION_NAME - len(f'driftguard--{run}'))}-{run}"


def _fitting(text: str, room: int) -> str:
    readable = re.sub(r"[^\w+=,.@-]+", "-", text, flags=re.ASCII)
    if readable == text and len(text) <= room:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{readable[: room - len(digest) - 1]}={digest}"


def _word(error: Exception) -> str:
    """STS's error code, or the class of what went wrong; never a text, which might hold a secret."""
    response = getattr(error, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    return code if re.fullmatch(r"[\w.:-]{1,80}", code) else type(error).__name__


def _passing_fault(error: Exception, what: str) -> TransientFault | None:
    """The fault if it is one of load or of the network; None for any other."""
    from botocore import exceptions as aws

    response = getattr(error, "response", None)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(response, dict) else 0
    word = _word(error)
    if word in _THROTTLED or status == 429:
        return TransientFault(ErrorKind.THROTTLED, f"{what} yet: AWS asks to slow down ({word}). The next run retries.")
    unreachable = isinstance(error, aws.ConnectionError | aws.HTTPClientError) and not isinstance(error, aws.SSLError)
    if unreachable or status >= 500:
        return TransientFault(ErrorKind.TIMEOUT, f"{what} now: AWS did not answer ({word}). The next run retries.")
    return None


def _fault(error: Exception, what: str, origin: str, settings: Aws) -> EnvironmentFault:
    """STS's refusal, or what kept the call from it, as one fault with what to check."""
    from botocore import exceptions as aws

    passing = _passing_fault(error, what)
    if passing is not None:
        return passing
    word = _word(error)
    own = f"the credentials of this process (from {origin})"
    if word in _EXPIRED:
        return EnvironmentFault(ErrorKind.DENIED, f"{what}: {own} have expired ({word}). Renew them.")
    if word in _UNKNOWN_IDENTITY:
        return EnvironmentFault(
            ErrorKind.DENIED, f"{what}: AWS does not accept {own} ({word}). Check them, and this machine's clock."
        )
    if word.startswith("AccessDenied"):
        external = "the external id in aws.external_id" if settings.external_id else "no external id, as none is set"
        tags = " and sts:TagSession" if settings.session_tags else ""
        return EnvironmentFault(
            ErrorKind.DENIED,
            f"{what}: AWS refuses it to {own} ({word}). Check that the role exists, that its trust policy and the "
            f"policies of that identity allow sts:AssumeRole{tags}, and that the role asks for {external}.",
        )
    if isinstance(error, aws.NoRegionError):
        return EnvironmentFault(
            ErrorKind.CONFIG, f"{what}: no AWS region is known. Set aws.region, or AWS_REGION for this process."
        )
    if word == "RegionDisabledException":
        return EnvironmentFault(
            ErrorKind.CONFIG, f"{what}: STS is switched off in that region ({word}). Set aws.region to another one."
        )
    if isinstance(error, aws.ClientError | aws.ParamValidationError):
        return EnvironmentFault(
            ErrorKind.CONFIG,
            f"{what}: STS does not accept the request ({word}). Check aws.duration (at most what the role allows, "
            "and 1h where a role assumes a role), aws.external_id and aws.session_tags.",
        )
    return EnvironmentFault(
        ErrorKind.INTERNAL, f"{what}: STS cannot be asked ({word}). Check the AWS endpoint, proxy and CA bundle."
    )
