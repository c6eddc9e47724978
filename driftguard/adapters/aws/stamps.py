"""What changes whenever a stored state is written: digests of a file and of a row, of an object in S3 its ETag."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from driftguard.adapters.aws.statelock import state_client, state_object
from driftguard.adapters.sql.states import pg_stamp
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.ports import ProbeSubject, StateStamps

_ABSENT: Final = "absent"
# Settings under which Terraform reaches the bucket in a way that is not rebuilt here.
_NOT_REBUILT: Final = ("assume_role", "assume_role_with_web_identity", "sse_customer_key", "role_arn")


class BackendStamps(StateStamps):
    """Stamps of states. Safe to share between threads; one client for each way to reach a bucket."""

    def __init__(self) -> None:
        self._clients: dict[tuple[object, ...], Any] = {}
        self._guard = threading.Lock()

    def of(self, subject: ProbeSubject) -> str | None:
        """The stamp of a local state, or of one in S3 or PostgreSQL; None for any other backend.

        An ETag or a digest is stricter than lineage and serial: a state edited by hand under its old serial differs.

        Raises:
            EnvironmentFault: the bucket or the server refuses, or cannot be reached.
        """
        if subject.backend is None or subject.backend.type == "local":
            return None if subject.state_file is None else _digest(subject.state_file)
        settings = subject.backend.settings
        if subject.backend.type == "pg":
            return pg_stamp(settings, subject.work.workspace, subject.variables)
        if subject.backend.type != "s3" or any(settings.get(name) for name in _NOT_REBUILT):
            return None
        return self._head(settings, subject)

    def _head(self, settings: Mapping[str, Any], subject: ProbeSubject) -> str | None:
        from botocore.exceptions import BotoCoreError, ClientError

        bucket, key = state_object(settings, subject.work.workspace)
        try:
            found = self._client(settings, subject.variables).head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in ("404", "NoSuchKey", "NotFound"):
                return _ABSENT
            raise EnvironmentFault(ErrorKind.DENIED, f"s3://{bucket}/{key} cannot be read: {code}.") from None
        except BotoCoreError as error:
            name = type(error).__name__
            raise EnvironmentFault(ErrorKind.PLAN, f"s3://{bucket}/{key} cannot be reached: {name}.") from None
        etag = found.get("ETag")
        return f"{etag} {found.get('VersionId', '')}" if etag else None

    def _client(self, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
        ways = ("region", "access_key", "secret_key", "token", "profile", "use_path_style", "force_path_style")
        aws = tuple(sorted((k, v) for k, v in environment.items() if k.startswith("AWS_")))
        way = (*(str(settings.get(name)) for name in ways), str(settings.get("endpoints")), aws)
        with self._guard:
            if way not in self._clients:
                self._clients[way] = state_client(settings, environment)
            return self._clients[way]


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return _ABSENT
