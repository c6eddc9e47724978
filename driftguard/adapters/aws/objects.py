"""One object in S3 that several processes write in turn, with conditional requests."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from driftguard.errors import OperatorError

log = logging.getLogger(__name__)

_INITIAL_POLL_SECONDS, _MAX_POLL_SECONDS = 0.1, 1.0
_SILENT_SECONDS: Final = 5.0
# S3 asks to repeat what met another request on the same object: its own one with a lost answer, for example.
_REPEAT_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
# Before each look at what became of a write that was not answered.
_LOOKS_AFTER_SECONDS: Final = (0.0, 1.0, 3.0)
_DOWNLOADS: Final = 3
# The tag of no object.
_NO_TAG: Final = '"00000000000000000000000000000000"'
_MARK: Final = "driftguard-write"
_MET_ANOTHER: Final = ("ConditionalRequestConflict", "OperationAborted", "409")
_MISSING: Final = ("NoSuchKey", "404", "NotFound")
_DENIED: Final = ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "Forbidden")
# Without s3:ListBucket, S3 answers "denied" instead of "not found" for an object that does not exist.
_PERMISSIONS: Final = (
    "s3:GetObject, s3:PutObject and s3:DeleteObject on it and on its .lock, s3:ListBucket on the bucket"
)


@dataclass(frozen=True, slots=True)
class Version:
    """What an object holds, and the tag that names just this content."""

    body: bytes
    tag: str


class SharedObject:
    """An object at `s3://bucket/key`; credentials, region and endpoint come from boto3's own chain.

    Args:
        lock_seconds: a lock that was not renewed for so long counts as left behind by a process that died; its
            holder renews it in a third of that.
        encryption: arguments of each write for S3's encryption; without them the bucket's own default holds.

    Every method raises OperatorError, in one sentence, when S3 refuses or cannot be reached.
    """

    def __init__(
        self, bucket: str, key: str, *, lock_seconds: float = 60.0, encryption: Mapping[str, str] | None = None
    ) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        self.name = f"s3://{bucket}/{key}"
        self._bucket, self._key, self.lock_seconds = bucket, key, lock_seconds
        self._conditions_hold = False
        self._encryption = dict(encryption or {})
        config = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=10, read_timeout=60)
        try:
            self._client = boto3.session.Session().client("s3", config=config)
        except (BotoCoreError, ValueError, OSError) as error:  # no such profile, a broken file or endpoint
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
        from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

        for left in reversed(range(_DOWNLOADS)):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key, **wanted)
            try:
                return answer["Body"].read(), answer["ETag"]
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):  # boto3 repeats only the request
                if not left:
                    raise
        raise AssertionError("unreachable")

    def write(self, body: bytes, before: str) -> str:
        """Replace the content whose tag is `before` (empty: none yet); the new tag.

        Raises:
            OperatorError: the write was refused, or another job wrote meanwhile, so nothing was replaced; or there
                was no response, so the outcome is unknown, which the message states.
        """
        try:
            tag = self.put(self._key, body, before)
        except _Unanswered as error:
            raise OperatorError(
                f"The ledger {self.name} {error.what}, so nothing more is recorded or applied; what was written last "
                f"may not have been recorded. {error.advice}"
            ) from None
        if tag is None:
            raise OperatorError(
                f"The ledger {self.name} was written by another job that took over this one's lock, so nothing more is "
                "recorded or applied; what this one wrote last may not have been recorded. Run again."
            )
        return tag

    @contextmanager
    def turn(self, wait_seconds: float) -> Iterator[None]:
        """Be the only writer, while this process is alive.

        The lock only makes other jobs wait: each write is safe by its tag, with or without the lock.

        Raises:
            OperatorError: another job held the lock for longer than that.
        """
        lock = self._wait_for_lock(wait_seconds)
        if not self._conditions_hold:
            self._check_conditions(lock)
        over = threading.Event()
        renewal = threading.Thread(target=lock.keep, args=(over,), name="driftguard-ledger-lock", daemon=True)
        renewal.start()
        try:
            yield
        finally:
            over.set()
            renewal.join()
            lock.release()

    def _check_conditions(self, lock: _Lock) -> None:
        """Find out, once in each process, whether the store honours conditions: by writes that it has to refuse.

        They go to the lock, which is this process's own: a store that takes them overwrites nothing else. Without
        conditions two jobs overwrite each other's entries, and each of several jobs holds the lock.

        Raises:
            OperatorError: it does not.
        """
        for ignored, condition in (("If-None-Match", {"IfNoneMatch": "*"}), ("If-Match", {"IfMatch": _NO_TAG})):
            try:
                self._call(
                    lambda wanted=condition: self._client.put_object(  # type: ignore[misc]
                        Bucket=self._bucket, Key=lock.key, Body=b"{}", **self._encryption, **wanted
                    )
                )
            except _Conflict:
                continue
            lock.release()
            raise OperatorError(
                f"The store of the ledger {self.name} ignores the condition {ignored} of a write, so that jobs would "
                "overwrite each other's entries; nothing was recorded or applied. Use a store that honours conditional "
                "writes, such as Amazon S3, or set ledger.url to a PostgreSQL database."
            )
        self._conditions_hold = True

    def _wait_for_lock(self, wait_seconds: float) -> _Lock:
        lock = _Lock(self, self._key)
        started, poll_seconds, logged = time.monotonic(), _INITIAL_POLL_SECONDS, False
        while not lock.take():
            waited = time.monotonic() - started
            if waited >= wait_seconds:
                raise OperatorError(
                    f"The ledger {self.name} was not free for {wait_seconds:g} s, so nothing was recorded. "
                    "Run again when the other job is done."
                )
            if waited >= _SILENT_SECONDS and not logged:
                log.warning("Another job writes the ledger %s; waiting for it up to %g s.", self.name, wait_seconds)
                logged = True
            time.sleep(min(poll_seconds, wait_seconds - waited))
            poll_seconds = min(poll_seconds * 1.5, _MAX_POLL_SECONDS)
        return lock

    def age(self, key: str) -> tuple[float, str] | None:
        """How many seconds ago an object was written, by S3's own clock on both sides, and its tag."""
        found = self._call(lambda: self._client.head_object(Bucket=self._bucket, Key=key))
        if found is None:
            return None
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        return (now - found["LastModified"]).total_seconds(), str(found["ETag"])

    def delete(self, key: str, tag: str) -> None:
        """Delete an object if its tag is still that one."""
        with suppress(_Conflict):
            self._call(lambda: self._client.delete_object(Bucket=self._bucket, Key=key, IfMatch=tag))

    def put(self, key: str, body: bytes, before: str, mark: str | None = None) -> str | None:
        """Write an object if its tag is still that one (empty: there is none yet); the new tag, or None if it is not.

        A request whose response was lost may have taken effect, and its repetition is then refused because of its
        condition: the mark in the object shows that.

        Args:
            mark: identifies the writer of the object; a new one by default.

        Raises:
            OperatorError: it was not written.
            _Unanswered: it was not answered, and is not there as far as can be seen; it may have been written.
        """
        mark = mark or secrets.token_hex(16)
        wanted = {"IfMatch": before} if before else {"IfNoneMatch": "*"}
        try:
            answer = self._call(
                lambda: self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, Metadata={_MARK: mark}, **self._encryption, **wanted
                )
            )
            return None if answer is None else str(answer["ETag"])
        except (_Conflict, _Unanswered) as error:
            lost = isinstance(error, _Unanswered)
            tag = self._written_after_all(key, mark, patiently=lost)
            if tag is None and lost:
                raise
            return tag

    def _written_after_all(self, key: str, mark: str, *, patiently: bool) -> str | None:
        """The tag of what bears the mark; None where it is not there, `patiently` also not a while later."""
        unanswered: _Unanswered | None = None
        for pause_seconds in _LOOKS_AFTER_SECONDS:
            time.sleep(pause_seconds)
            try:
                found = self._call(lambda: self._client.head_object(Bucket=self._bucket, Key=key))
            except _Unanswered as error:
                unanswered = error
                continue
            except _ObjectRefused as error:  # the outcome of the write stays unknown
                raise _Unanswered(self.name, error.what, error.advice) from None
            unanswered = None
            if found is not None and found.get("Metadata", {}).get(_MARK) == mark:
                return str(found["ETag"])
            if not patiently:
                break
        if unanswered is not None:
            raise unanswered
        return None

    def _call(self, call: Callable[[], Any]) -> Any:
        """S3's answer; None for what is not there."""
        for pause_seconds in _REPEAT_SECONDS:
            try:
                return self._once(call)
            except _MetAnother:
                time.sleep(pause_seconds)
        try:
            return self._once(call)
        except _MetAnother:
            raise _Conflict from None

    def _once(self, call: Callable[[], Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

        try:
            return call()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            metadata = error.response.get("ResponseMetadata", {})
            status = metadata.get("HTTPStatusCode", 500)
            if status == 412:
                raise _Conflict from None
            if code in _MET_ANOTHER:
                raise _MetAnother from None
            if status == 304:
                raise _NotModified from None
            if code in _MISSING:
                return None
            # boto3 repeats requests itself: the one that was refused may not be the only one that arrived.
            kind = _Unanswered if status >= 500 or metadata.get("RetryAttempts") else _ObjectRefused
            raise kind(self.name, f"was refused by S3 ({code})", _advice(code)) from None
        except (NoCredentialsError, PartialCredentialsError):
            advice = "Give this process a role or keys in one of the ways that the AWS command line knows."
            raise _ObjectRefused(self.name, "cannot be used without AWS credentials", advice) from None
        except BotoCoreError as error:
            advice = "Check the network, the region and this process's AWS credentials, and run again."
            raise _Unanswered(self.name, f"cannot be reached ({type(error).__name__})", advice) from None


def _advice(code: str) -> str:
    """What to do about an error code of S3."""
    if code in _DENIED:
        return f"Allow {_PERMISSIONS} to the identity of this process."
    if code == "NoSuchBucket":
        return "Create the bucket, or set ledger.url to another one."
    return "Run again; if it stays, look at the bucket."


class _Lock:
    """The lock: an object beside the shared one, at `key`."""

    def __init__(self, shared: SharedObject, key: str) -> None:
        self._shared, self.key = shared, f"{key}.lock"
        self._holder = secrets.token_hex(16)
        self._tag: str | None = None
        self._written = 0.0

    def take(self) -> bool:
        """Whether this job has the lock now; an expired lock is taken over."""
        if self._write(""):
            return True
        found = self._shared.age(self.key)
        return found is not None and found[0] >= self._shared.lock_seconds and self._write(found[1])

    def keep(self, over: threading.Event) -> None:
        """Renew the lock until `over`, or until another job has it."""
        while not over.wait(self._shared.lock_seconds / 3):
            with suppress(OperatorError):  # the next time may do; until then the lock grows old
                if not self._write(self._tag or ""):
                    return

    def release(self) -> None:
        """Release the lock, unless another job has it."""
        # Not every S3-compatible store honours the condition; the age of the lock is a weaker check.
        if self._tag is not None and time.monotonic() - self._written < self._shared.lock_seconds / 2:
            with suppress(OperatorError):  # all is recorded, and the lock grows old by itself
                self._shared.delete(self.key, self._tag)

    def _write(self, before: str) -> bool:
        started = time.monotonic()
        # The time makes each content, and so each tag, a new one.
        body = json.dumps({"holder": self._holder, "at": datetime.now(UTC).isoformat()}).encode()
        # What bears this holder's name is ours, also when an earlier answer was lost and never looked for.
        self._tag = self._shared.put(self.key, body, before, self._holder)
        self._written = started
        return self._tag is not None


class _ObjectRefused(OperatorError):
    """S3 refused or failed a request.

    Attributes:
        what: the reason, as a part of the sentence; `advice` is the next sentence.
    """

    def __init__(self, name: str, what: str, advice: str) -> None:
        super().__init__(f"The ledger {name} {what}, so nothing more is recorded or applied. {advice}")
        self.what, self.advice = what, advice


class _Unanswered(_ObjectRefused):
    """S3 did not respond; the outcome of the request is unknown."""


class _Conflict(Exception):
    """The object is not the one that the request was meant for."""


class _MetAnother(Exception):
    """S3 was busy with another request on the same object; nothing was done."""


class _NotModified(Exception):
    """The object is still the one that is known."""
