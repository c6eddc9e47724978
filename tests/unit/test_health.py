"""Metrics, the health page over real HTTP on loopback, and the liveness file."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from driftguard import __version__
from driftguard.adapters.health import HealthServer, Heartbeat, LivenessFile
from driftguard.adapters.metrics import Metrics
from driftguard.errors import OperatorError
from driftguard.model import Action, Decision, EnvironmentResult, Fault, RunResult, Seconds, Verdict
from driftguard.model import ErrorKind as Kind
from driftguard.model.reasons import Reason
from driftguard.model.report import ProbeCounts, RunReport
from driftguard.report import run_report
from driftguard.scheduler import AgentState, healthy

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def environment(name: str, verdict: Verdict, *reasons: str, fault: Kind | None = None) -> EnvironmentResult:
    return EnvironmentResult(
        name=name,
        path=f"environments/{name}",
        workspace="default",
        verdict=verdict,
        closure_hash="c",
        baseline=None,
        decision=Decision(Action.ALERT, tuple(map(Reason.parse, reasons))),
        fault=Fault(fault, "No.") if fault else None,
        seconds=Seconds(init=0.0, plan=3.0, show=0.2, total=3.5),
    )


def report(*environments: EnvironmentResult, seconds: int = 42) -> RunReport:
    """A real report of a real shape."""
    started = NOON - timedelta(seconds=seconds)
    return run_report(RunResult("run", "repository", "main", "c" * 40, started, NOON, environments))


def observe(metrics: Metrics, *environments: EnvironmentResult, **others: Any) -> None:
    given: dict[str, Any] = {"drift_since": {}, "alerts_sent": {}, "alerts_waiting": 0, "now": NOON}
    metrics.observe(report(*environments), **(given | others))


def series(metrics: Metrics) -> dict[str, float]:
    """Every sample, read back by Prometheus' own parser."""
    return {
        sample.name + "".join(f" {label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_before_the_first_run_there_are_the_version_and_zeros(metrics: Metrics) -> None:
    seen = series(metrics)
    assert seen[f"driftguard_build_info version={__version__}"] == 1
    assert {seen[f"driftguard_environments verdict={verdict}"] for verdict in Verdict} == {0}
    assert {seen[f"driftguard_errors_total kind={kind}"] for kind in (*Kind, "usage", "run", "defect")} == {0}
    assert seen["driftguard_applies_total outcome=applied"] == 0
    assert "driftguard_last_pass_timestamp_seconds" not in seen


def test_a_run_shows_how_each_environment_was_looked_at(metrics: Metrics) -> None:
    probed = replace(environment("lab", Verdict.IN_SYNC), checked_by="probe", planned_at=NOON, cpu_seconds=0.25)
    observe(metrics, probed, environment("prod", Verdict.UNKNOWN))
    seen = series(metrics)
    assert seen["driftguard_environment_cpu_seconds checked_by=probe environment=lab"] == 0.25
    assert seen["driftguard_environment_cpu_seconds checked_by=plan environment=prod"] == 0
    assert seen["driftguard_environment_planned_timestamp_seconds environment=lab"] == NOON.timestamp()
    assert "driftguard_environment_planned_timestamp_seconds environment=prod" not in seen


def test_a_run_shows_verdicts_times_ages_and_alerts(metrics: Metrics) -> None:
    observe(
        metrics,
        environment("prod", Verdict.DRIFTED),
        environment("lab", Verdict.IN_SYNC),
        environment("stage", Verdict.IN_SYNC),
        drift_since={"prod": NOON - timedelta(hours=2)},
        alerts_sent={"drift": 2, "resolved": 1},
        alerts_waiting=3,
    )
    seen = series(metrics)
    assert [seen[f"driftguard_environments verdict={v}"] for v in Verdict] == [2, 1, 0, 0, 0]
    verdicts = [seen[f"driftguard_environment_verdict environment=prod verdict={v}"] for v in Verdict]
    assert verdicts == [0, 1, 0, 0, 0]
    assert seen["driftguard_drift_age_seconds environment=prod"] == 7200
    assert seen["driftguard_last_pass_timestamp_seconds"] == NOON.timestamp()
    assert (seen["driftguard_pass_seconds_count"], seen["driftguard_pass_seconds_sum"]) == (1, 42)
    assert seen["driftguard_environment_seconds_sum step=plan"] == 9
    assert seen["driftguard_environment_seconds_count step=total"] == 3
    assert (seen["driftguard_alerts_total kind=drift"], seen["driftguard_alerts_waiting"]) == (2, 3)


def test_a_step_that_was_left_out_is_not_a_fast_one(metrics: Metrics) -> None:
    observe(metrics, environment("prod", Verdict.IN_SYNC))
    assert "driftguard_environment_seconds_count step=init" not in series(metrics)


def test_counters_add_up_over_runs(metrics: Metrics) -> None:
    for _ in range(2):
        observe(
            metrics,
            environment("a", Verdict.IN_SYNC, "policy_apply", "applied"),
            environment("b", Verdict.PENDING, "apply_failed: the provider said no"),
            environment("c", Verdict.PENDING, "policy_alert", "windows: applied later"),
            environment("d", Verdict.UNKNOWN, fault=Kind.TIMEOUT),
            alerts_sent={"drift": 1},
        )
    metrics.failed("ledger")
    seen = series(metrics)
    assert seen["driftguard_applies_total outcome=applied"] == 2
    assert seen["driftguard_applies_total outcome=apply_failed"] == 2
    assert seen["driftguard_errors_total kind=timeout"] == 2
    assert seen["driftguard_errors_total kind=ledger"] == 1
    assert seen["driftguard_alerts_total kind=drift"] == 2


def test_probes_show_their_cost_their_share_and_how_often_they_were_wrong(metrics: Metrics) -> None:
    observe(metrics, environment("a", Verdict.IN_SYNC))
    assert "driftguard_probe_share" not in series(metrics)  # nothing was probed
    counts = ProbeCounts(looked=4, answered=2, differed=1, audited=1, wrong=1, false_alarms=1, cpu_seconds=0.5)
    both = [environment(name, Verdict.IN_SYNC) for name in ("a", "b", "c", "d")]
    metrics.observe(
        msgspec.structs.replace(report(*both), probe=counts),
        drift_since={},
        alerts_sent={},
        alerts_waiting=0,
        now=NOON,
    )
    metrics.observe_probe(ProbeCounts(looked=4, answered=4, cpu_seconds=0.25))  # a look between two runs
    shown = series(metrics)
    assert shown["driftguard_probe_share"] == 0.5
    names = ("seconds", "looks", "differences", "audits", "audits_wrong", "false_alarms")
    assert [shown[f"driftguard_probe_{name}_total"] for name in names] == [0.75, 8, 1, 1, 1, 1]


def test_an_environment_that_is_gone_disappears(metrics: Metrics) -> None:
    since = {"old": NOON}
    observe(metrics, environment("old", Verdict.DRIFTED), environment("prod", Verdict.IN_SYNC), drift_since=since)
    assert any("environment=old" in name for name in series(metrics))
    observe(metrics, environment("prod", Verdict.IN_SYNC), drift_since=since)
    seen = series(metrics)
    assert not any("environment=old" in name for name in seen)
    assert seen["driftguard_environments verdict=drifted"] == 0


def test_a_run_over_some_environments_keeps_the_others_and_forgets_only_what_is_gone(metrics: Metrics) -> None:
    observe(metrics, *[environment(name, Verdict.IN_SYNC) for name in ("a", "b", "gone")])
    observe(metrics, environment("a", Verdict.DIVERGED), environments={"a", "b"})
    seen = series(metrics)
    assert seen["driftguard_environment_verdict environment=a verdict=diverged"] == 1
    assert seen["driftguard_environment_verdict environment=b verdict=in_sync"] == 1
    assert not any("environment=gone" in name for name in seen)
    assert (seen["driftguard_environments verdict=in_sync"], seen["driftguard_environments verdict=diverged"]) == (1, 1)


def test_the_number_of_series_depends_only_on_the_environments_there_are(metrics: Metrics) -> None:
    counts = set()
    for number in range(50):
        observe(
            metrics,
            *[environment(f"e{number}-{each}", Verdict.DRIFTED) for each in range(3)],
            drift_since={f"e{number}-{each}": NOON for each in range(3)},
        )
        counts.add(len(series(metrics)))
    assert len(counts) == 1


def test_a_name_with_quotes_and_line_ends_stays_one_label(metrics: Metrics) -> None:
    observe(metrics, environment('a"b\\c\nd', Verdict.IN_SYNC))
    assert series(metrics)['driftguard_environment_verdict environment=a"b\\c\nd verdict=in_sync'] == 1


class Page:
    """A health page, and what it is to say."""

    def __init__(self) -> None:
        self.says: tuple[bool, str] | None = (True, "The next run starts at noon.")
        self.metrics = Metrics()
        self.server = HealthServer(0, self.metrics, self._healthy)

    def _healthy(self) -> tuple[bool, str]:
        assert self.says is not None
        return self.says

    def ask(self, path: str, method: str = "GET") -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def shared_page() -> Iterator[Page]:
    page = Page()
    yield page
    page.server.close()


@pytest.fixture
def page(shared_page: Page) -> Page:
    shared_page.says = (True, "The next run starts at noon.")
    return shared_page


@pytest.mark.parametrize(("well", "status"), [(True, 200), (False, 503)])
def test_the_health_page_answers_with_a_status_and_one_line(page: Page, well: bool, status: int) -> None:
    page.says = (well, 'No pass has ended since "noon".\nNone.')
    got, kind, body = page.ask("/healthz")
    assert (got, kind) == (status, "application/json")
    assert body.count(b"\n") == 1
    assert json.loads(body) == {"healthy": well, "message": 'No pass has ended since "noon".\nNone.'}


def test_the_metrics_are_served_in_the_text_format(page: Page) -> None:
    observe(page.metrics, environment("prod", Verdict.DRIFTED))
    status, kind, body = page.ask("/metrics?x=1")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'driftguard_environments{verdict="drifted"} 1.0' in body
    assert list(text_string_to_metric_families(body.decode()))


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/x", "/../etc/passwd"])
def test_there_is_nothing_else(page: Page, path: str) -> None:
    assert page.ask(path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_only_reading_is_answered(page: Page, method: str, path: str) -> None:
    status, _, body = page.ask(path, method)
    assert status == 405
    assert b"healthy" not in body
    assert b"driftguard_" not in body


def test_head_answers_without_a_body(page: Page) -> None:
    assert page.ask("/healthz", "HEAD")[0::2] == (200, b"")
    page.says = (False, "x")
    assert page.ask("/healthz", "HEAD")[0::2] == (503, b"")


def test_a_client_that_sends_nothing_does_not_keep_the_others_waiting(page: Page) -> None:
    with socket.create_connection(("127.0.0.1", page.server.port)):
        assert page.ask("/healthz")[0] == 200


def test_a_check_that_breaks_is_not_taken_for_well_and_the_page_goes_on(page: Page) -> None:
    page.says = None
    with pytest.raises(http.client.RemoteDisconnected):
        page.ask("/healthz")
    assert page.ask("/metrics")[0] == 200


def test_it_listens_on_loopback_only(page: Page) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", page.server.port), timeout=5)


def test_a_reader_never_sees_half_of_a_run(metrics: Metrics) -> None:
    names = [f"e{number}" for number in range(20)]
    observe(metrics, *[environment(name, Verdict.IN_SYNC) for name in names])
    stop = threading.Event()

    def work() -> None:
        verdicts = [Verdict.DRIFTED, Verdict.IN_SYNC]
        while not stop.is_set():
            verdicts.reverse()
            observe(metrics, *[environment(name, verdicts[0]) for name in names])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(50):
            seen = series(metrics)
            counts = {verdict: seen[f"driftguard_environments verdict={verdict}"] for verdict in Verdict}
            assert set(counts.values()) == {0, 20}
            for verdict, count in counts.items():
                each = {seen[f"driftguard_environment_verdict environment={n} verdict={verdict}"] for n in names}
                assert each == {count / 20}
    finally:
        stop.set()
        thread.join()


def test_a_port_in_use_is_reported_in_one_sentence(page: Page) -> None:
    with pytest.raises(OperatorError) as raised:
        HealthServer(page.server.port, page.metrics, lambda: (True, ""))
    assert str(raised.value) == (
        f"The health page cannot be served on 127.0.0.1 port {page.server.port} (Address already in use); "
        "choose another --health-port."
    )


def test_a_port_that_cannot_be_is_reported(metrics: Metrics) -> None:
    with pytest.raises(OperatorError, match="port 70000"):
        HealthServer(70000, metrics, lambda: (True, ""))


def test_a_closed_page_frees_its_port_and_its_thread() -> None:
    before = threading.active_count()
    page = Page()
    assert page.ask("/healthz")[0] == 200
    page.server.close()
    page.server.close()
    assert threading.active_count() == before
    again = HealthServer(page.server.port, page.metrics, lambda: (True, ""))
    again.close()


def test_the_liveness_file_holds_the_time_of_the_last_sign_of_life(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    file = LivenessFile(path)
    assert not path.exists()
    file.touch(NOON)
    file.touch(NOON + timedelta(minutes=1))
    assert path.read_text() == "2026-11-23T12:01:00+00:00\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_of_the_liveness_file_never_sees_half_of_it(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    file = LivenessFile(path)
    file.touch(NOON)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            file.touch(NOON)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert {path.read_text() for _ in range(2000)} == {"2026-11-23T12:00:00+00:00\n"}
    finally:
        stop.set()
        thread.join()


def test_a_liveness_file_in_no_folder_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="its folder does not exist"):
        LivenessFile(tmp_path / "missing" / "alive")


def test_a_liveness_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    file = LivenessFile(folder / "alive")
    folder.rmdir()
    with pytest.raises(OperatorError, match="probes will report the agent as unhealthy"):
        file.touch(NOON)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_heartbeat_continues_during_a_long_run_but_not_when_the_run_hangs_or_the_loop_does(tmp_path: Path) -> None:
    path, now = tmp_path / "alive", NOON
    quarter = timedelta(minutes=15)
    state = AgentState(NOON, NOON, NOON + quarter, quarter, running_since=NOON)
    asked = 0

    def well() -> bool:
        nonlocal asked
        asked += 1
        return healthy(state, now, quarter)[0]

    def beats() -> bool:
        """Whether the file is written when the heart has had time enough for that."""
        path.unlink()
        seen = asked
        until(lambda: path.exists() or asked > seen + 3)
        return path.exists()

    heart = Heartbeat(LivenessFile(path), well, lambda: now, every_seconds=0.02)
    try:
        until(path.exists)
        for minutes, alive in ((1, True), (100, True), (105, True), (106, False), (600, False)):
            now = NOON + timedelta(minutes=minutes)
            path.touch()
            assert beats() is alive, minutes
            assert not alive or path.read_text() in ("", now.isoformat() + "\n")
        now = NOON + timedelta(minutes=6)
        state = AgentState(NOON, NOON, NOON + quarter, quarter)  # no pass runs, and the loop does not look around
        path.touch()
        assert beats() is False
    finally:
        heart.close()
    heart.close()


def test_a_heartbeat_goes_on_when_the_file_cannot_be_written_and_reports_it_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    asked = 0

    def well() -> bool:
        nonlocal asked
        asked += 1
        return True

    file = LivenessFile(folder / "alive")
    folder.rmdir()
    heart = Heartbeat(file, well, lambda: NOON, every_seconds=0.01)
    try:
        until(lambda: asked > 5)
        assert len(caplog.messages) == 1
        assert "probes will report the agent as unhealthy" in caplog.text
        folder.mkdir()
        until((folder / "alive").exists)
    finally:
        heart.close()
    assert threading.active_count() == 1 or "heartbeat" not in {thread.name for thread in threading.enumerate()}


def slow_clients(port: int, count: int) -> list[socket.socket]:
    """Connections that began a request and never end it."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for client in clients:
        client.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
    return clients


def answers(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/healthz")
    return connection.getresponse().status


def is_ended(client: socket.socket) -> bool:
    client.settimeout(15)
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.further
def test_more_clients_than_are_served_end_the_oldest_ones() -> None:
    server = HealthServer(0, Metrics(), lambda: (True, "fine"))
    clients = slow_clients(server.port, 80)
    try:
        began = time.monotonic()
        assert answers(server.port) == 200
        assert all(is_ended(client) for client in clients[:40])
        assert time.monotonic() - began < 6, "they were ended, not left to their own timeout"
        assert len([t for t in threading.enumerate() if "process_request_thread" in t.name]) <= 34
    finally:
        for client in clients:
            client.close()
        server.close()


def test_a_client_that_sends_a_byte_now_and_then_is_ended_all_the_same() -> None:
    server = HealthServer(0, Metrics(), lambda: (True, "fine"))
    (client,) = slow_clients(server.port, 1)
    began = time.monotonic()
    try:
        client.settimeout(0.5)
        while time.monotonic() - began < 30:
            try:
                client.sendall(b"x")
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert 8 < time.monotonic() - began < 20
    finally:
        client.close()
        server.close()


_EXHAUSTED = """
import os, resource, socket, sys, time
from driftguard.adapters.health import HealthServer
from driftguard.adapters.metrics import Metrics
server = HealthServer(0, Metrics(), lambda: (True, "fine"))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
client = socket.create_connection(("127.0.0.1", server.port))
time.sleep(0.5)  # until it is accepted
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
os.close(held.pop())
waiting = socket.socket()  # takes the last descriptor, so that the server has none to accept with
waiting.connect(("127.0.0.1", server.port))
used = time.process_time()
time.sleep(2)
used = time.process_time() - used
for descriptor in held:
    os.close(descriptor)
waiting.settimeout(20)
waiting.sendall(b"GET /healthz HTTP/1.0\\r\\n\\r\\n")
print(waiting.recv(100).split(b"\\r")[0].decode(), used < 0.3, used)
"""


def test_the_exhaustion_of_descriptors_is_survived_without_a_busy_loop() -> None:
    done = subprocess.run([sys.executable, "-c", _EXHAUSTED], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("HTTP/1.0 200 OK True"), (done.stdout, done.stderr)
