"""AWS credentials for one environment's Terraform process: roles assumed for it, and seen by nothing else."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from driftguard.config import Aws
from driftguard.errors import EnvironmentFault, TransientFault
from driftguard.model import ErrorKind

_LONGEST_SESSION_NAME = 64
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})


@dataclass(frozen=True, slots=True)
class _Credentials:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime

    def variables(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }


class RoleSessions:
    """Sessions of assumed roles for one run, each for one environment and purpose.

    The identity that assumes is the one of this process (boto3's default chain). Thread-safe.

    Args:
        run_id: part of every session's name, so that audit logs can be matched with the ledger.
        now: the time.
        region: whose STS endpoint is asked where the settings name none.
    """

    def __init__(self, run_id: str, now: Callable[[], datetime], region: str | None) -> None:
        self._run_id, self._now, self._region = run_id, now, region
        self._sessions: dict[tuple[str, str], _Credentials] = {}
        self._guard = threading.Lock()

    def variables(
        self, settings: Aws, environment: str, purpose: str, needed_for_seconds: float
    ) -> dict[str, str] | None:
        """The environment variables of an assumed session; None where no role is configured for the purpose.

        Args:
            purpose: `plan` or `apply`.
            needed_for_seconds: a session that ends earlier is replaced by a new one.

        Raises:
            EnvironmentFault: the role cannot be assumed.
        """
        role = settings.apply_role_arn if purpose == "apply" else settings.plan_role_arn
        if role is None:
            return None
        with self._guard:
            held = self._sessions.get((environment, role))
            enough = timedelta(seconds=min(needed_for_seconds, settings.duration.total_seconds() / 2))
            if held is None or held.expires_at - self._now() < enough:
                held = self._sessions[environment, role] = self._assume(settings, role, environment)
        return held.variables()

    def _assume(self, settings: Aws, role: str, environment: str) -> _Credentials:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        request: dict[str, Any] = {
            "RoleArn": role,
            "RoleSessionName": session_name(environment, self._run_id),
            "DurationSeconds": int(settings.duration.total_seconds()),
        }
        if settings.external_id is not None:
            request["ExternalId"] = settings.external_id
        if settings.session_tags:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(settings.session_tags.items())]
        limits = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=10, read_timeout=20)
        try:
            client = boto3.session.Session(region_name=settings.region or self._region).client("sts", config=limits)
            answer = client.assume_role(**request)["Credentials"]
        except ClientError as error:
            raise _fault(str(error.response.get("Error", {}).get("Code", "")), role) from None
        except NoCredentialsError:
            raise EnvironmentFault(
                ErrorKind.DENIED, f"{role} cannot be assumed: this process has no AWS credentials to do it with."
            ) from None
        except BotoCoreError as error:
            raise EnvironmentFault(
                ErrorKind.DENIED, f"{role} cannot be assumed: STS did not answer ({type(error).__name__})."
            ) from None
        return _Credentials(
            answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], answer["Expiration"]
        )


def session_name(environment: str, run_id: str) -> str:
    """A role session's name: environment and run, at most 64 characters of those that STS allows."""
    readable = re.sub(r"[^\w+=,.@-]+", "-", environment, flags=re.ASCII)
    name = f"driftguard-{readable}-{run_id}"
    if len(name) <= _LONGEST_SESSION_NAME and readable == environment:
        return name
    digest = hashlib.sha256(environment.encode()).hexdigest()[:8]
    room = _LONGEST_SESSION_NAME - len(f"driftguard--{digest}-{run_id}")
    return f"driftguard-{readable[: max(room, 0)]}-{digest}-{run_id}"[:_LONGEST_SESSION_NAME]


def _fault(code: str, role: str) -> EnvironmentFault:
    if code in _THROTTLED:
        return TransientFault(ErrorKind.THROTTLED, f"{role} could not be assumed yet: STS asks to slow down ({code}).")
    return EnvironmentFault(
        ErrorKind.DENIED,
        f"{role} cannot be assumed ({code}). Check the role's trust policy, its external id and its longest session.",
    )
