"""The agent as a real process while something it needs is away or wrong: it goes on, and nothing is lost or doubled."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from driftguard.adapters.sql.opening import open_ledger
from tests.contract.postgres_server import PostgresServer, server_or_skip
from tests.integration.test_agent import Running, page
from tests.support.harness import Sandbox
from tests.support.slack_double import SlackDouble
from tests.support.toy_estate import EstateOf, processes_of, until

_WRONG = "agent: {every: soon}\n"
_DEFECT = """
from driftguard.bootstrap.target import Target
from driftguard.bootstrap.agent import run_agent
from driftguard.scheduler import AgentOptions
from driftguard.cli.options import set_verbosity

def reported(due, report):
    raise RuntimeError("nobody expects this")

set_verbosity(0)
run_agent(Target(), AgentOptions(poll_seconds=1, health_port=0), write=print, on_run=reported)
"""


def port_of(agent: Running) -> int:
    """The port of its health page."""
    served = re.compile(r"served on 127\.0\.0\.1 port (\d+)")
    until(lambda: served.search("".join(agent.said)), f"the health page: {agent.said}")
    found = served.search("".join(agent.said))
    assert found is not None
    return int(found[1])


def metric(agent: Running, name: str) -> float:
    """What the agent tells of one series; 0 for one that is not there."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", page(port_of(agent), "/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def failures(agent: Running, kind: str) -> float:
    return metric(agent, f'driftguard_errors_total{{kind="{kind}"}}')


def healthy(agent: Running) -> bool:
    status, text = page(port_of(agent), "/healthz")
    assert bool(json.loads(text)["healthy"]) is (status == 200)
    return status == 200


@contextmanager
def agent_of(sandbox: Sandbox, *arguments: str, **variables: str) -> Iterator[Running]:
    """An agent that ends in order when a stop is requested, whatever goes on then, and leaves nothing running."""
    agent = Running(sandbox, "--health-port", "0", *arguments, **variables)
    try:
        yield agent
        assert agent.process.poll() is None, agent.said
    finally:
        code = agent.end(signal.SIGTERM)
    assert code == 0, agent.said
    assert "Traceback" not in "".join(agent.said)
    assert processes_of(sandbox) == {}


def route(slack: SlackDouble, channel: str) -> str:
    return f'slack: {{token_env: SLACK_BOT_TOKEN, api_url: "{slack.api_url}", routes: [{{channel: "#{channel}"}}]}}\n'


def try_now(sandbox: Sandbox) -> None:
    """Let what waits to be delivered be due, as if its wait were over."""
    file = sandbox.ledger_file()
    with closing(open_ledger(f"sqlite:///{file}")) as ledger:
        now = datetime.now(UTC)
        for waiting in ledger.alerts.undelivered():
            # What is due may be on its way: whoever delivers it must find it as it was read.
            if waiting.next_try_at and waiting.next_try_at > now:
                ledger.alerts.save(replace(waiting, next_try_at=now))


def send_again(sandbox: Sandbox, slack: SlackDouble) -> None:
    """Wait for the alert, which is tried in every pass."""

    def there() -> bool:
        try_now(sandbox)
        return bool(slack.messages("drift"))

    until(there, "the alert")


@pytest.fixture
def slack() -> Iterator[SlackDouble]:
    with SlackDouble(channels=("drift", "elsewhere")) as double:
        yield double


# --- Slack is away --------------------------------------------------------------------------------


@pytest.mark.further
def test_runs_continue_while_slack_is_away_and_the_alert_is_sent_once_when_it_is_back(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate = estate_of("blue")
    sandbox.commit("alerts", {"driftguard.yaml": route(slack, "drift")})
    estate.clouds["blue"].change("web", value="outside")
    with agent_of(sandbox, "--every", "1s", SLACK_BOT_TOKEN=slack.token) as agent:
        with slack.down():
            assert agent.wait_for(3)[1] == "1 environment, 1 drifted"
            assert "Slack could not be reached" in "".join(agent.said)
            assert metric(agent, "driftguard_alerts_waiting") == 1
            assert healthy(agent)
        send_again(sandbox, slack)
        agent.wait_for(len(agent.passes()) + 2)
        assert metric(agent, "driftguard_alerts_waiting") == 0
        assert metric(agent, 'driftguard_alerts_total{kind="message"}') == 1
        assert sum(failures(agent, kind) for kind in ("usage", "run", "defect")) == 0
    assert [call.outcome for call in slack.calls_of("chat.postMessage")] == ["ok"]


@pytest.mark.further
def test_an_agent_that_is_stopped_while_slack_is_away_leaves_the_alert_to_the_next_one(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate = estate_of("blue")
    sandbox.commit("alerts", {"driftguard.yaml": route(slack, "drift")})
    estate.clouds["blue"].change("web", value="outside")
    with slack.down(), agent_of(sandbox, SLACK_BOT_TOKEN=slack.token) as agent:
        agent.wait_for(1)
    with agent_of(sandbox, "--every", "1s", SLACK_BOT_TOKEN=slack.token):
        send_again(sandbox, slack)
    assert len(slack.messages("drift")) == 1


@pytest.mark.crash
def test_an_agent_that_is_stopped_in_the_middle_of_a_message_sends_it_once(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate = estate_of("blue")
    sandbox.commit("alerts", {"driftguard.yaml": route(slack, "drift")})
    estate.clouds["blue"].change("web", value="outside")
    first = Running(sandbox, SLACK_BOT_TOKEN=slack.token)
    with slack.block_after("chat.postMessage") as held:
        assert held.wait(), first.said
        first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(timeout=30) == 0
    with agent_of(sandbox, SLACK_BOT_TOKEN=slack.token) as agent:
        assert agent.wait_for(1) == ("start", "1 environment, 1 drifted")
    assert len(slack.messages("drift")) == 1


# --- the ledger is away ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    yield from server_or_skip()


@contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    """The server is away while the block runs."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def kinds(sandbox: Sandbox) -> Callable[[str], int]:
    """How often each kind of entry stands in the ledger, which is sound."""
    assert sandbox.run("ledger", "verify").code == 0
    entries = sandbox.run("history", "--format", "json", "--limit", "1000").report["entries"]
    return [entry["kind"] for entry in entries].count


def test_an_agent_outlives_an_outage_of_its_ledger_and_nothing_is_lost_or_doubled(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble, server: PostgresServer
) -> None:
    sandbox.variables |= {"LEDGER_URL": server.new_database(), "SLACK_BOT_TOKEN": slack.token}
    estate = estate_of("blue")
    sandbox.commit("a ledger", {"driftguard.yaml": "ledger: {url_env: LEDGER_URL}\n" + route(slack, "drift")})
    with agent_of(sandbox, "--every", "1s") as agent:
        assert agent.wait_for(1)[1] == "1 environment, 1 in sync"
        with stopped(server):
            before = len(agent.passes())
            estate.clouds["blue"].change("web", value="outside")
            until(lambda: failures(agent, "run") >= 2, f"passes that fail: {agent.said}")
            assert len(agent.passes()) <= before + 1
            assert "The run failed: The ledger" in "".join(agent.said)
        until(lambda: slack.messages("drift"), f"the alert: {agent.said}")
        agent.wait_for(len(agent.passes()) + 2)
        assert agent.passes()[-1][1] == "1 environment, 1 drifted"
        assert metric(agent, "driftguard_alerts_waiting") == 0
        assert healthy(agent)
    assert len(slack.messages("drift")) == 1
    assert "canary" not in "".join(agent.said)
    count = kinds(sandbox)
    assert count("alert_delivered") == 1
    # The server may have gone when a pass was recorded, but before it was said.
    assert count("run_finished") - len(agent.passes()) in (0, 1)


@pytest.mark.crash
def test_an_agent_that_is_stopped_while_its_ledger_is_away_ends_in_order(
    sandbox: Sandbox, estate_of: EstateOf, server: PostgresServer
) -> None:
    sandbox.variables["LEDGER_URL"] = server.new_database()
    estate_of("blue")
    sandbox.commit("a ledger", {"driftguard.yaml": "ledger: {url_env: LEDGER_URL}\n"})
    with stopped(server), agent_of(sandbox) as agent:
        until(lambda: failures(agent, "run") >= 1, f"a pass that fails: {agent.said}")
    with agent_of(sandbox) as agent:
        assert agent.wait_for(1) == ("start", "1 environment, 1 in sync")


# --- the configuration is wrong, or another ---------------------------------------------------------


def test_a_commit_that_makes_the_configuration_wrong_does_not_end_an_agent_and_the_next_one_corrects_it(
    sandbox: Sandbox, estate_of: EstateOf
) -> None:
    estate_of("blue", "green")
    with agent_of(sandbox, "--every", "1h") as agent:
        assert agent.wait_for(1) == ("start", "2 environments, 2 in sync")
        sandbox.commit("wrong", {"driftguard.yaml": _WRONG})
        until(lambda: failures(agent, "usage") >= 1, f"that it is said: {agent.said}")
        said = r"The run failed: driftguard\.yaml:1: .*every.* in 30 s, and at once at a new commit\."
        until(lambda: re.search(said, "".join(agent.said)), f"that it is said: {agent.said}")
        assert healthy(agent)  # not yet otherwise
        sandbox.commit("mended", {"driftguard.yaml": "agent: {every: 2h}\n"})
        assert agent.wait_for(2) == ("commit", "2 environments, 2 in sync")


@pytest.mark.further
def test_an_agent_starts_with_a_wrong_configuration_reports_it_and_looks_at_each_new_commit(
    sandbox: Sandbox, estate_of: EstateOf
) -> None:
    estate = estate_of("blue", "green")
    sandbox.commit("wrong", {"driftguard.yaml": _WRONG})
    with agent_of(sandbox, "--every", "1h") as agent:
        until(lambda: failures(agent, "usage") >= 1, f"that it is said: {agent.said}")
        estate.rewrite("green", '"one"', '"two"', "still wrong")
        until(lambda: failures(agent, "usage") >= 2, f"that the new commit is looked at: {agent.said}")
        sandbox.commit("mended", {"driftguard.yaml": "version: 1\n"})
        assert agent.wait_for(1) == ("start", "2 environments, 1 in sync, 1 pending")


@pytest.mark.crash
def test_an_agent_that_is_stopped_while_its_configuration_is_wrong_ends_in_order(
    sandbox: Sandbox, estate_of: EstateOf
) -> None:
    estate_of("blue")
    sandbox.commit("wrong", {"driftguard.yaml": _WRONG})
    with agent_of(sandbox) as agent:
        until(lambda: failures(agent, "usage") >= 1, f"that it is said: {agent.said}")


@pytest.mark.provider_process
@pytest.mark.crash
def test_a_route_that_a_commit_changes_is_used_by_the_next_run_and_a_stop_in_that_run_loses_nothing(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate = estate_of("blue", "green")
    sandbox.variables["SLACK_BOT_TOKEN"] = slack.token
    sandbox.commit("alerts", {"driftguard.yaml": route(slack, "drift")})
    estate.clouds["blue"].change("web", value="outside")
    with agent_of(sandbox, "--every", "1h") as agent:
        agent.wait_for(1)
        assert "blue" in slack.plain("drift")
        estate.clouds["green"].change("web", value="outside")
        estate.clouds["green"].faults(hang_on_read=True)
        sandbox.commit("another channel", {"driftguard.yaml": route(slack, "elsewhere")})
        until(lambda: any(" plan " in command for command in processes_of(sandbox).values()), "a plan that hangs")
    # The stop ended that pass before it could see green.
    estate.clouds["green"].faults()
    with agent_of(sandbox, "--every", "1h") as agent:
        assert agent.wait_for(1) == ("start", "2 environments, 2 drifted")
    assert "green" in slack.plain("elsewhere")
    assert "green" not in slack.plain("drift")


@pytest.mark.further
def test_a_changed_route_is_used_without_a_restart(sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble) -> None:
    estate = estate_of("blue")
    sandbox.variables["SLACK_BOT_TOKEN"] = slack.token
    sandbox.commit("alerts", {"driftguard.yaml": route(slack, "drift")})
    with agent_of(sandbox, "--every", "1h") as agent:
        assert agent.wait_for(1) == ("start", "1 environment, 1 in sync")
        estate.clouds["blue"].change("web", value="outside")
        sandbox.commit("another channel", {"driftguard.yaml": route(slack, "elsewhere")})
        assert agent.wait_for(2) == ("commit", "1 environment, 1 drifted")
        assert (len(slack.messages("drift")), len(slack.messages("elsewhere"))) == (0, 1)


# --- what else a pass can meet ----------------------------------------------------------------------


def test_a_defect_is_counted_like_every_other_failure_of_a_run(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate_of("blue")
    process = subprocess.Popen(
        [sys.executable, "-c", _DEFECT],
        cwd=sandbox.repository,
        env=sandbox.variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        port = int(first.rpartition(" ")[2].rstrip(".\n"))
        until(lambda: 'errors_total{kind="defect"} 1.0' in page(port, "/metrics")[1], "the defect")
        assert process.poll() is None
    finally:
        process.terminate()
        rest = process.communicate(timeout=30)[1]
    assert "A defect in DriftGuard (RuntimeError)" in rest
    assert process.returncode == 0


@pytest.mark.further
@pytest.mark.provider_process
def test_a_liveness_file_is_written_also_while_a_run_takes_long(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path
) -> None:
    estate_of("blue").clouds["blue"].faults(hang_on_read=True)
    alive = tmp_path / "alive"
    with agent_of(sandbox, "--liveness-file", str(alive)) as agent:
        until(lambda: any(" plan " in command for command in processes_of(sandbox).values()), "a plan that hangs")
        before = alive.read_text()
        until(lambda: alive.read_text() != before, "the next sign of life")
        assert agent.passes() == []
