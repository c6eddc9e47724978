"""The ledger in S3 when requests fail, answers are lost, and jobs die: on moto, through a proxy that does the harm."""

from __future__ import annotations

import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.demo.cloud import STATE_BUCKET, Cloud, make_state_bucket
from driftguard.errors import OperatorError, UsageError
from tests.contract.ledger_contract import scanned

_APPEND = """
import sys
from datetime import UTC, datetime
from driftguard.adapters.sql.opening import open_ledger
from driftguard.errors import OperatorError
from driftguard.model import Entry, EntryKind
url, lock_seconds, *names = sys.argv[1:]
ledger = open_ledger(url, lock_seconds=float(lock_seconds))
for name in names:
    try:
        ledger.append(Entry(EntryKind.SCANNED, datetime(2026, 3, 1, tzinfo=UTC), "run-1", name, {}))
        print("recorded", name, flush=True)
    except OperatorError as error:
        print(error, flush=True)
ledger.close()
"""


class Harm(Enum):
    """What can happen to a request."""

    LOSE_ANSWER = "S3 does it, and the connection breaks before the answer"
    CUT_ANSWER = "the connection breaks in the middle of the answer"
    MEETS_ANOTHER = "ConditionalRequestConflict"
    DENIED = "AccessDenied"
    FAILS = "InternalError"
    HOLD_REQUEST = "it waits before S3 has it"
    HOLD_ANSWER = "S3 does it, and the answer waits"


_REFUSALS = {Harm.MEETS_ANOTHER: 409, Harm.DENIED: 403, Harm.FAILS: 500}


class Line:
    """The line between a job and S3.

    Attributes:
        harm: what to do to a request with this method and this kind of object ("ledger" or "lock").
        seen: method, kind of object and S3's status of each request that got through.
        held: set when a request is held; it goes on when `go` is set.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.harm: Callable[[str, str], Harm | None] = lambda method, kind: None
        self.ignored = ""  # the condition that the store does not know
        self.seen: list[tuple[str, str, int]] = []
        self.held, self.go = threading.Event(), threading.Event()

    def once(self, harm: Harm, method: str, kind: str = "ledger") -> None:
        """Harm the next request of this sort."""
        left = [harm]
        self.harm = lambda m, k: left.pop() if left and (m, k) == (method, kind) else None

    def always(self, harm: Harm, method: str, kind: str = "ledger") -> None:
        """Harm every request of this sort."""
        self.harm = lambda m, k: harm if (m, k) == (method, kind) else None

    def in_turn(self, harms: dict[tuple[str, str], list[Harm | None]]) -> None:
        """Harm the next requests of some sorts, each with the first of its list that is left."""
        self.harm = lambda m, k: harms[m, k].pop(0) if harms.get((m, k)) else None

    def count(self, method: str, kind: str) -> int:
        """How many requests of this sort S3 has done."""
        return sum(1 for m, k, status in self.seen if (m, k) == (method, kind) and status < 300)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    line: Line

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = "lock" if self.path.partition("?")[0].endswith(".lock") else "ledger"
        harm = self.line.harm(self.command, kind)
        if harm in _REFUSALS:
            self._answer(_REFUSALS[harm], {}, f"<Error><Code>{harm.value}</Code></Error>".encode())
            return
        if harm is Harm.HOLD_REQUEST:
            self._hold()
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("host", "expect", self.line.ignored)
        }
        headers.setdefault("Content-Type", "application/octet-stream")  # urllib would call it a form
        try:
            with urlopen(Request(self.line.target + self.path, body or None, headers, method=self.command)) as answer:
                status, answered, said = answer.status, dict(answer.headers), answer.read()
        except OSError as error:
            status, answered, said = error.code, dict(error.headers), error.read()  # type: ignore[attr-defined]
        self.line.seen.append((self.command, kind, status))
        if harm is Harm.HOLD_ANSWER:
            self._hold()
        if harm is Harm.LOSE_ANSWER:
            self.close_connection = True
            return
        self._answer(status, answered, said, cut=harm is Harm.CUT_ANSWER)

    def _hold(self) -> None:
        self.line.held.set()
        self.line.go.wait(60)

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = headers.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    do_GET = do_HEAD = do_PUT = do_DELETE = _pass_on

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""

    def handle(self) -> None:
        """A job that was killed has left its connection."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True


@pytest.fixture
def s3(cloud: Cloud) -> Any:
    make_state_bucket(cloud)
    return cloud.client("s3")


@pytest.fixture
def line(cloud: Cloud, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a job that is killed leaves its copy
    line = Line(cloud.endpoint)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"line": line}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    for name, value in {**cloud.environment(), "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    yield line
    line.go.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(line: Line) -> str:
    return f"s3://{STATE_BUCKET}/ledgers/{uuid.uuid4().hex}"


@pytest.fixture
def opening() -> Iterator[Callable[..., SqlLedger]]:
    opened: list[SqlLedger] = []

    def opening(url: str, **limits: float) -> SqlLedger:
        opened.append(open_ledger(url, **limits))
        return opened[-1]

    yield opening
    for ledger in opened:
        ledger.close()


Opening = Callable[..., SqlLedger]


def objects(s3: Any, url: str) -> list[str]:
    """What stands in the bucket for a ledger, without the common beginning."""
    prefix = url.removeprefix(f"s3://{STATE_BUCKET}/")
    listed = s3.list_objects_v2(Bucket=STATE_BUCKET, Prefix=prefix).get("Contents", [])
    return [item["Key"].removeprefix(prefix) for item in listed]


def job(url: str, lock_seconds: float, *names: str) -> subprocess.Popen[str]:
    """Another process that records an entry for each name, and prints what came of it."""
    program = [sys.executable, "-c", _APPEND, url, str(lock_seconds), *names]
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True)


def names_in(ledger: SqlLedger) -> list[str | None]:
    assert ledger.verify() == ()
    return [entry.environment for entry in ledger.entries()]


def test_opening_and_reading_create_nothing(url: str, s3: Any, opening: Opening) -> None:
    ledger = opening(url)
    assert names_in(ledger) == []
    assert ledger.baseline("dev") is None
    ledger.close()
    assert objects(s3, url) == []


def test_two_that_opened_an_empty_ledger_write_into_the_same_one(url: str, opening: Opening) -> None:
    first, second = opening(url), opening(url)
    first.append(scanned("first"))
    second.append(scanned("second"))
    assert first.key() == second.key()
    assert names_in(opening(url)) == ["first", "second"]


def test_reading_needs_no_right_to_write(url: str, line: Line, opening: Opening) -> None:
    opening(url).append(scanned("dev"))
    line.harm = lambda method, kind: None if method in ("GET", "HEAD") else Harm.DENIED
    assert names_in(opening(url)) == ["dev"]


def test_the_local_copy_is_readable_by_its_owner_only(
    url: str, opening: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opening(url).append(scanned())
    (folder,) = tmp_path.iterdir()
    before = os.umask(0)
    try:
        opening(url).append(scanned())
    finally:
        os.umask(before)
    folders = list(tmp_path.iterdir())
    assert folder in folders
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for folder in folders for path in folder.iterdir()} == {0o600}


# --- two jobs ---------------------------------------------------------------------------------------


@pytest.mark.crash
def test_two_racing_jobs_lose_nothing(url: str, opening: Opening) -> None:
    wanted = {name: [f"{name}-{number}" for number in range(25)] for name in ("one", "two")}
    jobs = [job(url, 60, *names) for names in wanted.values()]
    said = [job.communicate(timeout=90)[0].splitlines() for job in jobs]
    assert said == [[f"recorded {name}" for name in names] for names in wanted.values()]
    found = names_in(opening(url))
    assert len(found) == 50
    for name, names in wanted.items():
        assert [one for one in found if str(one).startswith(name)] == names


@pytest.mark.parametrize("harm", [Harm.HOLD_REQUEST, Harm.HOLD_ANSWER])
def test_a_job_that_is_killed_in_its_upload_loses_nothing_that_was_recorded(
    url: str, line: Line, s3: Any, cloud: Cloud, opening: Opening, monkeypatch: pytest.MonkeyPatch, harm: Harm
) -> None:
    opening(url).append(scanned("before"))
    line.once(harm, "PUT")
    dead = job(url, 2, "dead")
    assert line.held.wait(30)
    dead.send_signal(signal.SIGKILL)
    assert dead.communicate()[0] == ""
    assert objects(s3, url) == ["", ".lock"]

    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    after = opening(url, lock_seconds=2, wait_seconds=30)
    after.append(scanned("after"))
    recorded = ["before", "dead", "after"] if harm is Harm.HOLD_ANSWER else ["before", "after"]
    assert names_in(after) == recorded
    line.go.set()  # the request of the dead arrives now
    time.sleep(0.5)
    assert names_in(opening(url)) == recorded
    assert objects(s3, url) == [""]


@pytest.mark.crash
def test_jobs_that_are_killed_at_any_moment_lose_nothing_reported_as_recorded(url: str, opening: Opening) -> None:
    said: list[str] = []
    for round_ in range(5):
        running = job(url, 1, *(f"{round_}-{number}" for number in range(1000)))
        assert running.stdout is not None
        said += [running.stdout.readline().strip() for _ in range(round_ + 1)]
        time.sleep(0.013 * round_)
        running.send_signal(signal.SIGKILL)
        said += running.communicate()[0].splitlines()
    found = names_in(opening(url))
    # At most the one that was on its way is there without having been said.
    assert len(said) <= len(found) <= len(said) + 5
    assert {f"recorded {name}" for name in found} >= set(said)
    last = opening(url, lock_seconds=1, wait_seconds=30)
    last.append(scanned("last"))
    assert names_in(last) == [*found, "last"]


def test_a_job_that_was_stopped_until_another_went_on_is_refused_and_can_go_on_after_it(
    url: str, line: Line, cloud: Cloud, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening(url).append(scanned("before"))
    line.once(Harm.HOLD_REQUEST, "PUT")
    stopped = job(url, 2, "refused", "anew")
    assert line.held.wait(30)
    stopped.send_signal(signal.SIGSTOP)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    other = opening(url, lock_seconds=2, wait_seconds=30)
    other.append(scanned("other"))
    line.go.set()
    stopped.send_signal(signal.SIGCONT)
    first, second = stopped.communicate(timeout=30)[0].splitlines()
    assert "was written by another job that took over this one's lock" in first
    assert second == "recorded anew"
    assert names_in(opening(url)) == ["before", "other", "anew"]


@pytest.mark.further
def test_a_slow_job_is_not_taken_for_dead_and_the_waiting_one_reports_it(
    url: str, line: Line, cloud: Cloud, opening: Opening, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    opening(url).append(scanned("before"))
    line.once(Harm.HOLD_REQUEST, "PUT")
    slow = job(url, 1.5, "slow")
    assert line.held.wait(30)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    other = opening(url, lock_seconds=1.5)
    threading.Timer(7, line.go.set).start()
    with caplog.at_level(logging.WARNING, "driftguard"):
        other.append(scanned("other"))
    assert slow.communicate(timeout=30)[0] == "recorded slow\n"
    assert names_in(other) == ["before", "slow", "other"]
    assert caplog.messages == [f"Another job writes the ledger {url}; waiting for it up to 300 s."]


def test_a_job_steps_back_in_one_sentence_when_the_other_does_not_end(
    url: str, line: Line, cloud: Cloud, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.once(Harm.HOLD_REQUEST, "PUT")
    slow = job(url, 60, "slow")
    assert line.held.wait(30)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    other = opening(url, wait_seconds=1)
    with pytest.raises(OperatorError, match=r"was not free for 1 s, so nothing was recorded. Run again when the other"):
        other.append(scanned("other"))
    line.go.set()
    assert slow.communicate(timeout=30)[0] == "recorded slow\n"
    other.append(scanned("other"))
    assert names_in(opening(url)) == ["slow", "other"]


# --- many threads -----------------------------------------------------------------------------------


def together(ledger: SqlLedger, line: Line, names: list[str], meanwhile: Callable[[], None]) -> list[str]:
    """Record one entry, and each name by a thread of its own while that is on its way; what came of each."""

    def record(name: str) -> str:
        try:
            ledger.append(scanned(name))
        except OperatorError as error:
            return str(error)
        return "recorded"

    line.held.clear()
    line.go.clear()
    line.once(Harm.HOLD_REQUEST, "PUT")
    with ThreadPoolExecutor(len(names) + 1) as pool:
        first = pool.submit(record, "first")
        assert line.held.wait(30)
        rest = [pool.submit(record, name) for name in names]
        time.sleep(0.5)
        meanwhile()
        line.go.set()
        assert first.result() == "recorded"
        return [future.result() for future in rest]


def test_threads_that_come_during_an_upload_share_the_next_one(url: str, line: Line, opening: Opening) -> None:
    ledger = opening(url)
    names = [f"thread-{number}" for number in range(16)]
    assert together(ledger, line, names, lambda: None) == ["recorded"] * 16
    assert line.count("PUT", "ledger") == 2
    found = names_in(opening(url))
    assert found[0] == "first"
    assert sorted(map(str, found[1:])) == sorted(names)


@pytest.mark.further
def test_all_that_shared_an_upload_that_failed_hear_it_and_no_user_reads_it(
    url: str, line: Line, opening: Opening
) -> None:
    ledger = opening(url)
    said = together(ledger, line, ["a", "b", "c"], lambda: line.always(Harm.FAILS, "PUT"))
    assert len(said) == 3
    assert all("refused by S3 (InternalError), so nothing more is recorded or applied" in one for one in said)
    assert names_in(ledger) == ["first"]
    line.harm = lambda method, kind: None
    ledger.append(scanned("again"))
    assert names_in(ledger) == names_in(opening(url)) == ["first", "again"]


def test_a_thread_whose_own_transaction_fails_takes_no_user_with_it(url: str, s3: Any, opening: Opening) -> None:
    ledger = opening(url)
    ledger.append(scanned("before"))

    def record(number: int) -> None:
        if number % 2:
            with pytest.raises(TypeError):
                ledger.append(scanned("bad", data={"a set is not JSON"}))
        else:
            ledger.append(scanned("good"))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(record, range(6)))
    record(1)
    assert names_in(ledger) == names_in(opening(url)) == ["before", "good", "good", "good"]
    assert objects(s3, url) == [""]


def test_a_reader_that_does_not_end_sees_one_moment_and_keeps_no_writer_waiting(
    url: str, s3: Any, opening: Opening
) -> None:
    ledger, other = opening(url, wait_seconds=5), opening(url)
    ledger.append(scanned("first"))
    count = "SELECT count(*) FROM entries"
    with ledger._database.reading() as connection:
        assert connection.exec_driver_sql(count).scalar() == 1
        other.append(scanned("second"))
        ledger.append(scanned("third"))
        assert connection.exec_driver_sql(count).scalar() == 1
        assert names_in(ledger) == ["first", "second", "third"]
    assert objects(s3, url) == [""]
    assert names_in(opening(url)) == ["first", "second", "third"]


def test_what_s3_did_not_accept_is_never_read_also_beside_a_reader(url: str, line: Line, opening: Opening) -> None:
    ledger = opening(url, wait_seconds=30)
    ledger.append(scanned("first"))
    line.always(Harm.FAILS, "PUT", "ledger")
    with ledger._database.reading():
        with pytest.raises(OperatorError, match=r"refused by S3 \(InternalError\)"):
            ledger.append(scanned("refused"))
        assert names_in(ledger) == ["first"]
    line.harm = lambda method, kind: None
    ledger.append(scanned("second"))
    assert names_in(ledger) == names_in(opening(url)) == ["first", "second"]


def test_a_copy_is_kept_only_as_long_as_it_is_read(
    url: str, opening: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ledger = opening(url)
    (folder,) = tmp_path.iterdir()
    with ledger._database.reading():
        for name in "abc":
            ledger.append(scanned(name))
        assert len(list(folder.glob("*.db"))) == 2
    assert len(list(folder.glob("*.db"))) == 1
    with pytest.raises(TypeError):
        ledger.append(scanned("bad", data={"a set is not JSON"}))
    assert len(list(folder.glob("*.db"))) == 1
    ledger.close()
    assert list(tmp_path.iterdir()) == []


# --- requests that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ledger", "lock"])
@pytest.mark.parametrize("harm", [Harm.LOSE_ANSWER, Harm.MEETS_ANOTHER, Harm.FAILS])
def test_a_write_that_went_wrong_once_is_recorded_once(
    url: str, line: Line, s3: Any, opening: Opening, harm: Harm, kind: str
) -> None:
    ledger = opening(url)
    for name in ("first", "second", "third"):
        line.once(harm, "PUT", kind)
        ledger.append(scanned(name))
    assert names_in(opening(url)) == ["first", "second", "third"]
    assert line.count("PUT", "ledger") == 3
    assert objects(s3, url) == [""]


def test_a_lock_whose_release_was_not_answered_is_released(url: str, line: Line, s3: Any, opening: Opening) -> None:
    ledger = opening(url)
    line.once(Harm.LOSE_ANSWER, "DELETE", "lock")
    ledger.append(scanned("first"))
    assert objects(s3, url) == [""]
    ledger.append(scanned("second"))
    assert names_in(opening(url)) == ["first", "second"]


def test_a_write_is_looked_for_until_s3_states_whether_it_arrived(url: str, line: Line, opening: Opening) -> None:
    ledger = opening(url)
    ledger.append(scanned("first"))
    # boto3 repeats the write, which is refused as the first one arrived, and asks four times what is there.
    line.in_turn({("PUT", "ledger"): [Harm.LOSE_ANSWER], ("HEAD", "ledger"): [Harm.LOSE_ANSWER] * 5})
    ledger.append(scanned("second"))
    assert line.count("PUT", "ledger") == 2
    assert names_in(ledger) == names_in(opening(url)) == ["first", "second"]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (Harm.LOSE_ANSWER, r"cannot be reached \(ConnectionClosedError\)"),
        (Harm.DENIED, r"was refused by S3 \(403\)"),
    ],
)
def test_a_write_of_which_cannot_be_known_to_have_arrived_is_not_called_lost(
    url: str, line: Line, opening: Opening, harm: Harm, words: str
) -> None:
    ledger = opening(url)
    ledger.append(scanned("first"))
    line.in_turn({("PUT", "ledger"): [Harm.LOSE_ANSWER], ("HEAD", "ledger"): [harm] * 100})
    sentence = (
        rf"{words}, so nothing more is recorded or applied; what was written last may not have been recorded\. \S"
    )
    with pytest.raises(OperatorError, match=sentence):
        ledger.append(scanned("second"))
    line.harm = lambda method, kind: None
    assert names_in(ledger) == ["first"]  # as far as this one knows
    ledger.append(scanned("third"))
    assert names_in(ledger) == names_in(opening(url)) == ["first", "second", "third"]


def test_a_renewal_that_arrived_unnoticed_does_not_cost_the_lock(
    url: str, line: Line, s3: Any, opening: Opening
) -> None:
    ledger = opening(url, lock_seconds=3)
    line.in_turn(
        {
            ("PUT", "ledger"): [Harm.HOLD_REQUEST],
            ("PUT", "lock"): [None, Harm.LOSE_ANSWER],
            ("HEAD", "lock"): [Harm.DENIED],
        }
    )
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(ledger.append, scanned("first"))
        deadline = time.monotonic() + 20
        while line.count("PUT", "lock") < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        line.go.set()
        writing.result()
    assert line.count("PUT", "lock") >= 3
    assert objects(s3, url) == [""]


def test_a_download_that_broke_off_is_begun_again(url: str, line: Line, opening: Opening) -> None:
    opening(url).append(scanned("dev"))
    line.once(Harm.CUT_ANSWER, "GET")
    assert names_in(opening(url)) == ["dev"]
    assert line.count("GET", "ledger") >= 2


@pytest.mark.further
def test_what_s3_did_not_accept_is_not_read_either(url: str, line: Line, opening: Opening) -> None:
    ledger = opening(url)
    ledger.append(scanned("first"))
    line.always(Harm.FAILS, "PUT")
    said = r"refused by S3 \(InternalError\), .* what was written last may not have been recorded\. Run again"
    with pytest.raises(OperatorError, match=said):
        ledger.append(scanned("second"))
    assert names_in(ledger) == ["first"]
    line.harm = lambda method, kind: None
    ledger.append(scanned("third"))
    assert names_in(ledger) == names_in(opening(url)) == ["first", "third"]


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_job_without_the_rights_is_reported_with_the_missing_ones(
    url: str, line: Line, opening: Opening, method: str
) -> None:
    line.always(Harm.DENIED, method, "lock" if method == "PUT" else "ledger")
    rights = (
        r"Allow s3:GetObject, s3:PutObject and s3:DeleteObject on it and on its \.lock, s3:ListBucket on the bucket"
    )
    with pytest.raises(OperatorError, match=rf"refused by S3 \(AccessDenied\).*{rights} to the identity") as found:
        opening(url).append(scanned())
    assert "may not have been recorded" not in str(found.value)


def test_a_job_without_credentials_is_reported(url: str, opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        OperatorError, match=r"cannot be used without AWS credentials.*Give this process a role or keys"
    ):
        opening(url)


def test_a_job_without_a_network_is_reported(url: str, opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OperatorError, match=r"cannot be reached \(EndpointConnectionError\).*Check the network"):
        opening(url)


def test_a_url_with_credentials_is_refused_and_not_repeated() -> None:
    with pytest.raises(
        UsageError, match=r"names no object; nothing was run. Set ledger.url to s3://BUCKET/KEY"
    ) as found:
        open_ledger("s3://key:geheim@bucket/ledger")
    assert "geheim" not in str(found.value)


@pytest.mark.parametrize("condition", ["If-None-Match", "If-Match"])
def test_a_store_that_ignores_conditions_is_refused_before_anything_is_recorded(
    url: str, line: Line, s3: Any, opening: Opening, condition: str
) -> None:
    line.ignored = condition.lower()
    ledger = opening(url, lock_seconds=1.0)  # the refusal leaves a lock behind
    with pytest.raises(OperatorError, match=f"ignores the condition {condition} of a write"):
        ledger.append(scanned("lost"))
    assert "" not in objects(s3, url)  # no ledger was written
    line.ignored = ""
    ledger.append(scanned("kept"))
    assert names_in(ledger) == ["kept"]


def test_every_object_is_encrypted_as_the_url_asks(url: str, s3: Any, opening: Opening) -> None:
    key = f"arn:aws:kms:{s3.meta.region_name}:123456789012:key/1234"
    ledger = opening(f"{url}?encryption=aws:kms&kms_key_id={key}")
    ledger.append(scanned("a"))
    name = url.removeprefix(f"s3://{STATE_BUCKET}/")
    found = s3.head_object(Bucket=STATE_BUCKET, Key=name)
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key)


@pytest.mark.parametrize(
    "options", ["encryption=none", "kms_key_id=x", "encryption=AES256&kms_key_id=x", "sse=aws:kms"]
)
def test_an_unknown_option_of_the_url_is_refused(options: str) -> None:
    with pytest.raises(UsageError, match="an option that is not known; nothing was run"):
        open_ledger(f"s3://{STATE_BUCKET}/ledger?{options}")
