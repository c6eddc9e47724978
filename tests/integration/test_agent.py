"""The agent as a real process: passes, a commit that wakes it, signals, outages, and a restart after `kill -9`."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

import pytest

from tests.support.harness import Sandbox
from tests.support.slack_double import SlackDouble
from tests.support.toy_estate import EstateOf, processes_of, until


class Running:
    """An agent at work; every line that it says is kept."""

    def __init__(self, sandbox: Sandbox, *arguments: str, **variables: str) -> None:
        self.process = sandbox.start("agent", "--poll", "1s", *arguments, **variables)
        self.said: list[str] = []
        self.printed: list[str] = []
        streams = ((self.process.stderr, self.said), (self.process.stdout, self.printed))
        self._listeners = [threading.Thread(target=_keep, args=each, daemon=True) for each in streams]
        for listener in self._listeners:
            listener.start()

    def passes(self) -> list[tuple[str, str]]:
        """Each pass that ended: why it was made, and what it found."""
        return re.findall(r"^\S+Z (\w+): (.*)$", "".join(self.said), re.MULTILINE)

    def wait_for(self, passes: int) -> tuple[str, str]:
        until(lambda: len(self.passes()) >= passes or self.process.poll() is not None, f"pass {passes}: {self.said}")
        return self.passes()[passes - 1]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        for listener in self._listeners:
            listener.join(timeout=10)
        return code


def _keep(stream: IO[str], lines: list[str]) -> None:
    with stream:
        lines.extend(iter(stream.readline, ""))


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_agent_looks_by_the_clock_wakes_for_a_commit_and_ends_when_stopped(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path
) -> None:
    estate = estate_of("blue", "green")
    sandbox.commit("on a schedule", {"driftguard.yaml": "agent: {every: 1h}\n"})
    alive = tmp_path / "alive"
    agent = Running(sandbox, "--health-port", "0", "--liveness-file", str(alive))
    try:
        assert agent.wait_for(1) == ("start", "2 environments, 2 in sync")
        port = int(re.search(r"served on 127\.0\.0\.1 port (\d+)", "".join(agent.said))[1])  # type: ignore[index]
        status, text = page(port, "/healthz")
        assert (status, json.loads(text)["healthy"]) == (200, True)
        assert 'driftguard_environments{verdict="in_sync"} 2.0' in page(port, "/metrics")[1]
        assert page(port, "/")[0] == 404
        until(alive.exists, "a sign of life")

        estate.rewrite("green", '"one"', '"two"', "another value")
        assert agent.wait_for(2) == ("commit", "1 environment, 1 pending")  # blue's closure did not change
        sandbox.write("notes.txt", "nothing that an environment is made of\n")
        sandbox.commit("a note")

        estate.clouds["blue"].change("web", value="outside")
        agent.process.send_signal(signal.SIGHUP)
        assert agent.wait_for(3) == ("reload", "2 environments, 1 drifted, 1 pending")
        metrics = page(port, "/metrics")[1]
        assert 'driftguard_environments{verdict="drifted"} 1.0' in metrics
        assert 'driftguard_environment_verdict{environment="green",verdict="pending"} 1.0' in metrics
        assert re.search(r'driftguard_drift_age_seconds\{environment="blue"\} [0-9.]+', metrics)
    finally:
        assert agent.end() == 0
    assert processes_of(sandbox) == {}


def test_a_click_on_the_button_is_shown_in_the_message_before_the_next_run(
    sandbox: Sandbox, estate_of: EstateOf
) -> None:
    estate = estate_of("blue")
    with SlackDouble(channels=("drift",)) as slack:
        buttons = "app_token_env: SLACK_APP_TOKEN, may_ack: [U0ADA]"
        route = f"api_url: '{slack.api_url}', routes: [{{channel: '#drift'}}], {buttons}"
        text = f"agent: {{every: 1h}}\nslack: {{token_env: SLACK_BOT_TOKEN, {route}}}\n"
        sandbox.commit("alerts", {"driftguard.yaml": text})
        estate.clouds["blue"].change("web", value="outside")
        agent = Running(sandbox, SLACK_BOT_TOKEN=slack.token, SLACK_APP_TOKEN=slack.sockets.app_token)
        try:
            until(lambda: slack.messages("drift"), "an alert")
            slack.sockets.click("drift", slack.messages("drift")[0], "U0ADA")
            until(lambda: "Acknowledged by ada (Slack U0ADA)" in slack.plain("drift"), "the acknowledgement")
            (message,) = slack.messages("drift")
            until(lambda: slack.replies("drift", message.ts), "its line")
            lines = slack.replies("drift", message.ts)
            assert not [block for block in message.blocks if block["type"] == "actions"]
            assert [line.text for line in lines] == ["blue: acknowledged by ada (Slack U0ADA): by button in Slack"]
            assert len(agent.passes()) == 1
        finally:
            assert agent.end() == 0
        assert slack.sockets.app_token not in slack.everything + "".join(agent.said)


@pytest.mark.crash
def test_an_agent_that_is_killed_goes_on_where_it_was_and_sends_nothing_twice(
    sandbox: Sandbox, estate_of: EstateOf
) -> None:
    estate = estate_of("blue")
    with SlackDouble(channels=("drift",)) as slack:
        route = f'slack: {{token_env: SLACK_BOT_TOKEN, api_url: "{slack.api_url}", routes: [{{channel: "#drift"}}]}}\n'
        sandbox.commit("alerts", {"driftguard.yaml": route})
        estate.clouds["blue"].change("web", value="outside")
        first = Running(sandbox, SLACK_BOT_TOKEN=slack.token)
        until(lambda: slack.messages("drift"), "an alert")
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
        second = Running(sandbox, SLACK_BOT_TOKEN=slack.token)
        assert second.wait_for(1) == ("start", "1 environment, 1 drifted")
        assert second.end(signal.SIGINT) == 0
        assert len(slack.messages("drift")) == 1


def test_an_agent_survives_that_its_repository_is_away(sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path) -> None:
    estate_of("blue")
    bare = tmp_path / "origin.git"
    sandbox.git("clone", "--quiet", "--bare", ".", str(bare))
    sandbox.git("remote", "add", "origin", str(bare))
    away = tmp_path / "away.git"
    bare.rename(away)
    agent = Running(sandbox, "--repo", f"file://{bare}", "--health-port", "0")
    try:
        until(lambda: "The run failed" in "".join(agent.said), "a pass that fails")
        port = int(re.search(r"served on 127\.0\.0\.1 port (\d+)", "".join(agent.said))[1])  # type: ignore[index]
        assert 'driftguard_errors_total{kind="run"} 1.0' in page(port, "/metrics")[1]
        assert "Traceback" not in "".join(agent.said)
        away.rename(bare)
        agent.process.send_signal(signal.SIGHUP)  # sooner than its own next try
        # A state in a file of somebody's work tree cannot be seen from a URL.
        assert agent.wait_for(1) == ("start", "1 environment, 1 unknown")
    finally:
        assert agent.end() == 0


def test_an_agent_that_is_called_wrongly_reports_it_and_does_not_start(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate_of("blue")

    def refused(*arguments: str) -> Any:
        ran = sandbox.run("agent", *arguments)
        assert (ran.code, ran.stdout) == (64, "")
        return ran.stderr

    assert "--every 'soon' is not a duration; write 90s, 15m, 6h or 2d." in refused("--every", "soon")
    assert "does not exist" in refused("--repo", "/nowhere")
    operator = sandbox.home / "operator.yaml"
    assert "operator.yaml cannot be read" in refused("--config", str(operator))
    operator.write_text('agent: {every: 1h, cron: "0 * * * *"}\n')
    assert "has more than one of `every`, `cron` and `at`" in refused("--config", str(operator))
    operator.write_text("ledger: {url_env: NOWHERE}\n")
    assert "variable NOWHERE (ledger.url_env) with the ledger's URL is not set" in refused("--config", str(operator))
    assert "there is no branch 'gone'" in refused("--ref", "gone")


def resident_kib(process: int) -> int:
    """The memory that a process has in use."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)[1])  # type: ignore[index]


@pytest.mark.soak
def test_the_memory_of_an_agent_is_flat_over_500_runs(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate = estate_of("blue")
    agent = Running(sandbox, "--every", "1s")
    try:
        sizes = {}
        for number in (50, 500):
            # Drift that comes and goes, so that alerts, messages and plans are part of it.
            while len(agent.passes()) < number and agent.process.poll() is None:
                estate.clouds["blue"].change("web", value="one" if len(agent.passes()) % 4 < 2 else "outside")
                time.sleep(0.5)
            sizes[number] = resident_kib(agent.process.pid)
        assert sizes[500] < 1.15 * sizes[50], sizes
    finally:
        assert agent.end() == 0
