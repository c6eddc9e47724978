"""One object in S3 that several processes write in turn, with conditional requests."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from driftguard.errors import OperatorError

_POLL_SECONDS: Final = 0.5
_MARK: Final = "driftguard-write"
_CONFLICT: Final = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_MISSING: Final = ("NoSuchKey", "404", "NotFound")
_DENIED: Final = ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "Forbidden")
_PERMISSIONS: Final = "s3:GetObject, s3:PutObject and s3:DeleteObject on it and on its .lock"


@dataclass(frozen=True, slots=True)
class Version:
    """What an object holds, and the tag that names just this content."""

    body: bytes
    tag: str


class SharedObject:
    """An object at `s3://bucket/key`; credentials, region and endpoint come from boto3's own chain.

    Args:
        lock_seconds: a lock that is older counts as left behind by a process that died.

    Every method raises OperatorError, in one sentence, when S3 refuses or cannot be reached.
    """

    def __init__(self, bucket: str, key: str, *, lock_seconds: float = 60.0) -> None:
        import boto3
        from botocore.config import Config

        self.name = f"s3://{bucket}/{key}"
        self._bucket, self._key, self.lock_seconds = bucket, key, lock_seconds
        config = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=10, read_timeout=60)
        try:
            self._client = boto3.session.Session().client("s3", config=config)
        except Exception as error:  # noqa: BLE001 - a profile that does not exist, a broken file: all mean the same
            raise OperatorError(
                f"The ledger {self.name} cannot be opened ({type(error).__name__}): check the AWS profile and files of "
                "this process; nothing was run."
            ) from None

    def read(self, known: str | None) -> Version | None:
        """The content, or None where it is still the one with the tag `known`; an empty one where there is none yet."""
        wanted = {"IfNoneMatch": known} if known else {}
        try:
            answer = self._call(lambda: self._get(wanted))
        except _NotModified:
            return None
        if answer is None and known:
            raise OperatorError(
                f"The ledger {self.name} was deleted while this job used it, so nothing more is recorded or applied. "
                "Restore the object from its versions, and run again."
            )
        if answer is None:
            return Version(b"", "") if known is None else None
        return Version(*answer)

    def _get(self, wanted: dict[str, str]) -> tuple[bytes, str]:
        answer = self._client.get_object(Bucket=self._bucket, Key=self._key, **wanted)
        return answer["Body"].read(), answer["ETag"]

    def write(self, body: bytes, before: str) -> str:
        """Replace the content whose tag is `before` (empty: none yet); the new tag.

        Raises:
            OperatorError: it was written by somebody else in the meantime; nothing was replaced.
        """
        tag = self._put(self._key, body, before)
        if tag is None:
            raise OperatorError(
                f"The ledger {self.name} was written by another job that took this one for dead, so nothing more is "
                "recorded or applied. Run again."
            )
        return tag

    @contextmanager
    def turn(self, wait_seconds: float) -> Iterator[None]:
        """Be the only writer.

        Raises:
            OperatorError: another one did not end its turn in time.
        """
        holder = secrets.token_hex(16)
        deadline = time.monotonic() + wait_seconds
        while not self._take(holder):
            if time.monotonic() >= deadline:
                raise OperatorError(
                    f"The ledger {self.name} was not free for {wait_seconds:g} s, so nothing was recorded. "
                    "Run again when the other job is done."
                )
            time.sleep(_POLL_SECONDS)
        taken = time.monotonic()
        try:
            yield
        finally:
            if time.monotonic() - taken < self.lock_seconds / 2:  # later it may be another one's
                with suppress(OperatorError):  # it is recorded all the same, and the lock grows old by itself
                    self._call(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._lock))

    @property
    def _lock(self) -> str:
        return f"{self._key}.lock"

    def _take(self, holder: str) -> bool:
        body = json.dumps({"holder": holder, "taken": datetime.now(UTC).isoformat()}).encode()
        if self._put(self._lock, body, "") is not None:
            return True
        found = self._call(lambda: self._client.head_object(Bucket=self._bucket, Key=self._lock))
        if found is None:
            return False
        # By S3's own clock on both sides, because the clocks of two jobs may differ.
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        if (now - found["LastModified"]).total_seconds() < self.lock_seconds:
            return False
        return self._put(self._lock, body, found["ETag"]) is not None

    def _put(self, key: str, body: bytes, before: str) -> str | None:
        """Write if the tag is still that one; the new tag, or None if it is not.

        A request whose answer was lost may have been done: its mark in the object tells.
        """
        mark = secrets.token_hex(16)
        wanted = {"IfMatch": before} if before else {"IfNoneMatch": "*"}
        try:
            answer = self._call(
                lambda: self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, Metadata={_MARK: mark}, **wanted
                )
            )
            return None if answer is None else str(answer["ETag"])
        except (_Conflict, OperatorError) as error:
            found = self._call(lambda: self._client.head_object(Bucket=self._bucket, Key=key))
            if found is not None and found.get("Metadata", {}).get(_MARK) == mark:
                return str(found["ETag"])
            if isinstance(error, OperatorError):
                raise
            return None

    def _call(self, call: Callable[[], Any]) -> Any:
        """S3's answer; None for what is not there."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if code in _CONFLICT or status == 412:
                raise _Conflict from None
            if status == 304:
                raise _NotModified from None
            if code in _MISSING:
                return None
            raise OperatorError(self._refused(code)) from None
        except BotoCoreError as error:
            raise OperatorError(
                f"The ledger {self.name} cannot be reached ({type(error).__name__}), so nothing more is recorded or "
                "applied. Check the network, the region and this process's AWS credentials, and run again."
            ) from None

    def _refused(self, code: str) -> str:
        if code in _DENIED:
            advice = f"Allow {_PERMISSIONS} to the identity of this process."
        elif code == "NoSuchBucket":
            advice = "Create the bucket, or set ledger.url to another one."
        else:
            advice = "Run again; if it stays, look at the bucket."
        return f"The ledger {self.name} was refused by S3 ({code}), so nothing more is recorded or applied. {advice}"


class _Conflict(Exception):
    """The object is not the one that the request was meant for."""


class _NotModified(Exception):
    """The object is still the one that is known."""
