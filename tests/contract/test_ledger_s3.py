"""The ledger as an object in S3, on moto, which enforces the conditions of requests."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import Engine, create_engine

from driftguard.adapters.aws.objects import SharedObject
from driftguard.adapters.sql import SqlLedger, open_ledger
from driftguard.demo.cloud import STATE_BUCKET, Cloud, make_state_bucket
from driftguard.errors import OperatorError, UsageError
from tests.contract.ledger_contract import scanned
from tests.contract.shared_ledger_contract import Opened, SharedLedgerContract


@pytest.fixture
def s3(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    make_state_bucket(cloud)
    for name, value in {**cloud.environment(), "AWS_ENDPOINT_URL": cloud.endpoint}.items():
        monkeypatch.setenv(name, value)
    return cloud.client("s3")


@pytest.fixture
def url(s3: Any) -> str:
    return f"s3://{STATE_BUCKET}/ledgers/{uuid.uuid4().hex}"


def key_of(url: str) -> str:
    return url.removeprefix(f"s3://{STATE_BUCKET}/")


class TestS3Ledger(SharedLedgerContract):
    @pytest.fixture
    def disarm(self) -> list[str]:
        return [f"DROP TRIGGER IF EXISTS entries_refuse_{verb}" for verb in ("update", "delete")]

    @pytest.fixture
    def opened(self, ledger: SqlLedger, url: str, s3: Any, tmp_path: Path) -> Opened:
        @contextmanager
        def engine() -> Iterator[Engine]:
            file = tmp_path / "object.db"
            file.write_bytes(zlib.decompress(s3.get_object(Bucket=STATE_BUCKET, Key=key_of(url))["Body"].read()))
            found = create_engine(f"sqlite:///{file}")
            try:
                yield found
            finally:
                found.dispose()
                s3.put_object(Bucket=STATE_BUCKET, Key=key_of(url), Body=zlib.compress(file.read_bytes()))
                with suppress(OperatorError):
                    ledger.append()  # whoever writes sees what is there now

        return engine


def test_two_jobs_at_once_lose_nothing(url: str) -> None:
    first, second = open_ledger(url), open_ledger(url)
    for number in range(5):
        first.append(scanned(f"first-{number}"))
        second.append(scanned(f"second-{number}"))
    third = open_ledger(url)
    assert len(third.entries()) == 10
    assert third.verify() == ()
    for ledger in (first, second, third):
        ledger.close()


def test_nothing_of_a_ledger_stays_on_the_runner_and_no_lock_in_the_bucket(
    url: str, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ledger = open_ledger(url)
    ledger.append(scanned())
    ledger.close()
    assert list(tmp_path.iterdir()) == []
    listed = s3.list_objects_v2(Bucket=STATE_BUCKET, Prefix=key_of(url))["Contents"]
    assert [item["Key"] for item in listed] == [key_of(url)]


def test_a_job_that_is_killed_in_its_turn_keeps_the_next_waiting_only_so_long(url: str) -> None:
    open_ledger(url).append(scanned("before"))
    program = (
        "import sys, time\n"
        "from driftguard.adapters.aws.objects import SharedObject\n"
        "with SharedObject(*sys.argv[1:]).turn(1):\n"
        "    print('taken', flush=True)\n"
        "    time.sleep(60)\n"
    )
    dead = subprocess.Popen(
        [sys.executable, "-c", program, STATE_BUCKET, key_of(url)], stdout=subprocess.PIPE, text=True
    )
    assert dead.stdout is not None
    assert dead.stdout.readline() == "taken\n"
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    dead.stdout.close()
    with (
        pytest.raises(OperatorError, match=r"was not free for 1 s.*Run again when the other job is done"),
        SharedObject(STATE_BUCKET, key_of(url), lock_seconds=60).turn(1),
    ):
        pass
    with SharedObject(STATE_BUCKET, key_of(url), lock_seconds=2).turn(10):
        pass


def test_a_job_that_was_taken_for_dead_writes_nothing_any_more(url: str) -> None:
    shared = SharedObject(STATE_BUCKET, key_of(url))
    seen = shared.write(b"one", "")
    other = SharedObject(STATE_BUCKET, key_of(url))
    newest = other.write(b"two", seen)
    with pytest.raises(OperatorError, match=r"was written by another job that took this one for dead"):
        shared.write(b"three", seen)
    found = shared.read(None)
    assert found is not None
    assert (found.body, found.tag) == (b"two", newest)
    assert shared.read(newest) is None


class _LosesAnswers(BaseHTTPRequestHandler):
    """Passes requests on to S3, and loses its answers to the first writes."""

    target = ""
    lost = 0

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "expect")}
        headers.setdefault("Content-Type", "application/octet-stream")  # urllib would call it a form
        request = Request(self.target + self.path, body or None, headers, method=self.command)
        try:
            with urlopen(request) as answer:
                status, answered, said = answer.status, answer.headers, answer.read()
        except OSError as error:
            status, answered, said = error.code, error.headers, error.read()  # type: ignore[attr-defined]
        if self.command == "PUT" and type(self).lost < 2:
            type(self).lost += 1
            self.close_connection = True
            return
        self.send_response_only(status)
        for name, value in answered.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", answered.get("Content-Length", str(len(said))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_GET = do_HEAD = do_PUT = do_DELETE = _pass_on

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


@pytest.fixture
def lossy(cloud: Cloud, s3: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_LosesAnswers]]:
    handler = type("Handler", (_LosesAnswers,), {"target": cloud.endpoint, "lost": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    yield handler
    server.shutdown()
    server.server_close()


def test_a_write_whose_answer_was_lost_is_done_once(url: str, lossy: type[_LosesAnswers]) -> None:
    shared = SharedObject(STATE_BUCKET, key_of(url))
    tag = shared.write(b"one", "")
    assert lossy.lost > 0
    found = shared.read(None)
    assert found is not None
    assert (found.body, found.tag) == (b"one", tag)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://no-such-bucket-here/ledger", r"s3://no-such-bucket-here/ledger was refused by S3 \(NoSuchBucket\)"),
        ("s3://bucket", r"names no object; nothing was run. Set ledger.url to s3://BUCKET/KEY"),
    ],
)
def test_a_ledger_that_cannot_be_is_one_sentence(s3: Any, url: str, sentence: str) -> None:
    with pytest.raises((OperatorError, UsageError), match=sentence):
        open_ledger(url)


def test_a_ledger_that_is_deleted_in_between_is_not_begun_anew(url: str, s3: Any) -> None:
    ledger = open_ledger(url)
    ledger.append(scanned())
    s3.delete_object(Bucket=STATE_BUCKET, Key=key_of(url))
    with pytest.raises(OperatorError, match=r"was deleted while this job used it.*Restore the object"):
        ledger.append(scanned())
    ledger.close()


def test_a_bucket_that_is_away_is_one_sentence(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = open_ledger(url)
    ledger.append(scanned())
    monkeypatch.setattr(ledger._database._remote._shared, "_client", away())  # type: ignore[union-attr]
    started = time.monotonic()
    with pytest.raises(OperatorError, match=r"cannot be reached \(EndpointConnectionError\)"):
        ledger.append(scanned())
    assert time.monotonic() - started < 60
    ledger.close()


def away() -> Any:
    """A client whose endpoint nobody listens on."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", endpoint_url="http://127.0.0.1:9", config=Config(retries={"total_max_attempts": 1}))
