"""Terraform's state lock in S3, taken under an id that is known before it is taken.

The lock is the very object that Terraform's S3 backend writes with `use_lockfile` (KEY.tflock, created only if it is
not there), so every Terraform respects it and `terraform force-unlock ID` releases it. Taking it ourselves
makes one lock span planning and applying, and distinguishes the lock of a crashed attempt from every other.
"""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from driftguard.errors import EnvironmentFault, TransientFault
from driftguard.model import ErrorKind
from driftguard.ports import Backend, LockInfo, StateLock, StateLocks

_POLL_SECONDS = 1.0
_DENIED = ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")
# Settings under which another Terraform might lock elsewhere, or reach the bucket in a way that we do not rebuild.
_NOT_REBUILT = ("dynamodb_table", "assume_role", "assume_role_with_web_identity", "sse_customer_key", "role_arn")


class S3StateLock(StateLock):
    """The lock of one state object."""

    def __init__(self, client: Any, bucket: str, key: str, put_options: Mapping[str, str]) -> None:
        self._client, self._bucket, self._key = client, bucket, f"{key}.tflock"
        self._path, self._put_options = f"{bucket}/{key}", put_options

    def take(self, lock_id: str, timeout_seconds: float) -> None:
        """Take the lock under an id, waiting for another holder up to the given time.

        Raises:
            TransientFault: another process holds it.
            EnvironmentFault: the bucket refuses.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self._put(lock_id):
            if time.monotonic() >= deadline:
                raise TransientFault(
                    ErrorKind.LOCKED,
                    f"The state is locked: {self.holder() or 'by an unknown process'}. The next run retries.",
                )
            time.sleep(_POLL_SECONDS)

    def release(self, lock_id: str) -> bool:
        """Delete the lock if it is the one with this id; whether it was."""
        holder = self.holder()
        if holder is None or holder.id != lock_id:
            return False
        self._call(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._key))
        return True

    def holder(self) -> LockInfo | None:
        """The holder of the lock; None if it is free."""
        try:
            text = self._call(lambda: self._client.get_object(Bucket=self._bucket, Key=self._key)["Body"].read())
        except FileNotFoundError:
            return None
        try:
            content = json.loads(text)
        except ValueError:
            content = {}
        return LockInfo(*(str(content.get(name, "")) for name in ("ID", "Who", "Operation", "Created")))

    def _put(self, lock_id: str) -> bool:
        content = {
            "ID": lock_id,
            "Operation": "OperationTypeApply",
            "Info": "DriftGuard",
            "Who": f"{getpass.getuser()}@{socket.gethostname()}",
            "Version": "driftguard",
            "Created": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "Path": self._path,
        }
        body = json.dumps(content).encode()

        def put() -> None:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._key,
                Body=body,
                ContentType="application/json",
                IfNoneMatch="*",
                **self._put_options,
            )

        try:
            self._call(put)
        except FileExistsError:
            holder = self.holder()
            return holder is not None and holder.id == lock_id  # our own put, whose answer was lost
        return True

    def _call(self, call: Callable[[], Any]) -> Any:
        """S3's answer; its errors become `FileExistsError`, `FileNotFoundError` or a fault of the environment."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise FileExistsError(self._key) from None
            if code in ("NoSuchKey", "404"):
                raise FileNotFoundError(self._key) from None
            kind = ErrorKind.DENIED if code in _DENIED else ErrorKind.LOCKED
            raise EnvironmentFault(kind, f"The state lock s3://{self._path}.tflock cannot be used: {code}.") from None
        except BotoCoreError as error:
            raise EnvironmentFault(
                ErrorKind.LOCKED, f"The state lock s3://{self._path}.tflock cannot be reached: {type(error).__name__}."
            ) from None


class S3StateLocks(StateLocks):
    """Locks of states in S3 that Terraform locks with a file (`use_lockfile`)."""

    def of(self, backend: Backend | None, workspace: str, environment: Mapping[str, str]) -> S3StateLock | None:
        """The lock of an initialised directory's state; None where it is not one that can be taken under our own id."""
        if backend is None or backend.type != "s3" or not backend.settings.get("use_lockfile"):
            return None
        settings = backend.settings
        if any(settings.get(name) for name in _NOT_REBUILT):
            return None
        bucket, key = state_object(settings, workspace)
        options: dict[str, str] = {}
        if kms_key := settings.get("kms_key_id"):
            options = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": str(kms_key)}
        elif settings.get("encrypt"):
            options = {"ServerSideEncryption": "AES256"}
        return S3StateLock(state_client(settings, environment), bucket, key, options)


def state_object(settings: Mapping[str, Any], workspace: str) -> tuple[str, str]:
    """The bucket and the key of a workspace's state."""
    bucket, key = str(settings["bucket"]), str(settings["key"])
    prefix = settings.get("workspace_key_prefix") or "env:"
    return bucket, key if workspace == "default" else f"{prefix}/{workspace}/{key}"


def state_client(settings: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    """An S3 client that reaches the bucket as the backend does, with the Terraform process's credentials."""
    import boto3
    from botocore.config import Config

    endpoints = settings.get("endpoints") or {}
    own_keys = settings.get("access_key") is not None
    session = boto3.session.Session(
        aws_access_key_id=settings.get("access_key") or environment.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=settings.get("secret_key") or environment.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=settings.get("token") if own_keys else environment.get("AWS_SESSION_TOKEN"),
        region_name=settings.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
        profile_name=settings.get("profile") or environment.get("AWS_PROFILE"),
    )
    path_style = settings.get("use_path_style") or settings.get("force_path_style")
    return session.client(
        "s3",
        endpoint_url=endpoints.get("s3")
        or environment.get("AWS_ENDPOINT_URL_S3")
        or environment.get("AWS_ENDPOINT_URL"),
        config=Config(
            s3={"addressing_style": "path" if path_style else "auto"},
            retries={"mode": "standard", "max_attempts": 4},
            connect_timeout=10,
            read_timeout=30,
        ),
    )
