"""Which alert goes to whom: shared causes, missing verdicts, pending commits, reminders, sinks other than Slack."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.integration.test_alert_delivery import let_pass
from tests.integration.test_alerts import AlertRuns, slack
from tests.support.harness import Sandbox
from tests.support.slack_double import SlackDouble
from tests.support.toy_estate import EstateOf

__all__ = ["slack"]


def test_many_environments_with_one_cause_share_a_message(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    names = [f"edge-{number:02}" for number in range(20)]
    estate = estate_of(*names)
    runs = AlertRuns(sandbox, slack)
    for cloud in estate.clouds.values():
        cloud.change("web", tags={"team": "eve"})
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}
    assert "Drift in 20 environments: toy_thing.web was changed outside Terraform" in slack.plain("drift")
    for name in names[:5]:
        estate.clouds[name].change("web", tags={"team": "core"})
    assert runs.reconcile(*names[:5]).report["alerts"]["waiting"] == 0
    assert len(runs.lines()) == 1  # not five
    assert "edge-00, edge-01" in runs.lines()[0]
    assert "15 of 20" in slack.plain("drift")


def test_a_missing_verdict_is_alerted_after_two_runs_and_resolved_when_the_plan_works(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    cloud = estate_of("blue").clouds["blue"]
    runs = AlertRuns(sandbox, slack)
    cloud.faults(fail_read="api error AccessDenied: not authorized")
    assert runs.reconcile().code == 1
    assert slack.messages("drift") == []
    assert runs.reconcile().code == 1
    assert "Unknown verdict in blue" in slack.plain("drift")
    assert runs.reconcile().code == 1
    assert runs.lines() == []
    cloud.faults()
    assert runs.reconcile().code == 0
    assert runs.lines() == [f"blue: The plan works again: in sync at {sandbox.git('rev-parse', 'HEAD')[:10]}."]


def test_pending_commits_on_hold_alert_their_authors_at_once_and_others_when_they_are_old(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate = estate_of("blue", "green")
    green = "environments: [{path: environments/*}, {path: environments/green, policy: {pending: apply}}]\n"
    runs = AlertRuns(sandbox, slack, "alerts: {pending_after: 2s}\n" + green)
    config = (sandbox.repository / "driftguard.yaml").read_text()
    route = '    - {channel: "#drift"}\n'
    authors = config.replace(route, '    - {authors: ["Ada*"], channel: "#leads"}\n' + route)
    sandbox.commit("authors have their own channel", {"driftguard.yaml": authors})
    assert runs.reconcile().code == 0
    estate.rewrite("blue", '"one"', '"two"', "blue: two")
    estate.rewrite("green", '"one"', '"two"', "green: two")
    assert runs.reconcile().report["alerts"]["sent"] == {"message": 1}
    assert "On hold in green: “green: two” is not applied" in slack.plain("leads")  # its state is somebody's file
    time.sleep(2.1)
    assert runs.reconcile().report["alerts"]["sent"] == {"message": 1}
    assert "Pending in blue: “blue: two” is not applied" in slack.plain("leads")
    assert runs.reconcile().report["alerts"]["sent"] == {}
    assert slack.messages("drift") == []
    for name in ("blue", "green"):
        estate.rewrite(name, '"two"', '"one"', f"{name}: back")
    assert runs.reconcile().code == 0
    for message in slack.messages("leads"):
        assert "reverted by a commit" in slack.replies("leads", message.ts)[-1].text


def test_reminders_come_once_each_and_escalate_to_another_channel(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    cloud = estate_of("prod-eu").clouds["prod-eu"]
    reminders = '[{after: 1s}, {after: 2s, channel: "#leads", mention: "<!here>"}, {after: 9d}]'
    runs = AlertRuns(sandbox, slack, f"alerts: {{reminders: {reminders}}}\n")
    cloud.change("web", value="outside")
    assert runs.reconcile().code == 2
    time.sleep(2.1)
    for _ in range(2):
        assert runs.reconcile().code == 2
    (line,) = runs.lines("prod-drift")  # both were due at once, and each is sent to its own channel
    assert line.startswith("prod-eu: still drifted after")
    assert len(slack.messages("leads")) == 1
    assert "<!here>" in slack.messages("leads")[0].text
    cloud.change("web", value="one")
    assert runs.reconcile().code == 0
    assert "is resolved" in slack.plain("prod-drift")
    assert "is resolved" in slack.plain("leads")


def test_drift_that_git_caught_up_with_reports_it(sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble) -> None:
    estate = estate_of("blue")
    runs = AlertRuns(sandbox, slack)
    assert runs.reconcile().code == 0
    estate.clouds["blue"].change("web", value="outside")
    assert runs.reconcile().code == 2
    head = estate.rewrite("blue", '"one"', '"outside"', "write it down")
    assert runs.reconcile().code == 0
    assert runs.lines()[-1].startswith(f"blue: Reality equals the configuration at {head[:10]} again")


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A machine that takes signed events; it answers the first with 503."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(
                ({k.lower(): v for k, v in self.headers.items()}, self.rfile.read(int(self.headers["Content-Length"])))
            )
            self.send_response(503 if len(got) == 1 else 204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are kept, not printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/alerts", got
    server.shutdown()
    server.server_close()


def test_a_machine_gets_signed_events_and_knows_a_repetition(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate_of("blue").clouds["blue"].change("web", value="outside")
    sandbox.commit("a webhook", {"driftguard.yaml": "alerts: {webhook: {url_env: HOOK, secret_env: HOOK_KEY}}\n"})
    with receiver() as (url, got):
        secrets = {"HOOK": url, "HOOK_KEY": "k3y"}
        ran = sandbox.run("reconcile", "--format", "json", **secrets)
        assert ran.report["alerts"] == {"sent": {}, "waiting": 1}
        let_pass(sandbox, timedelta(hours=2))
        ran = sandbox.run("reconcile", "--format", "json", **secrets)
        assert ran.report["alerts"] == {"sent": {"event": 1}, "waiting": 0}
        assert len(got) == 2
        assert got[0][0]["x-driftguard-delivery"] == got[1][0]["x-driftguard-delivery"]
        headers, body = got[1]
        signed = hmac.new(b"k3y", headers["x-driftguard-timestamp"].encode() + b"." + body, hashlib.sha256)
        assert headers["x-driftguard-signature"] == f"sha256={signed.hexdigest()}"
        event = json.loads(body)
        assert (event["event"], event["alert"]["about"], event["environment"]["name"]) == ("opened", "drift", "blue")


def test_an_incoming_webhook_gets_messages_and_standard_output_stays_for_programs(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    cloud = estate_of("blue").clouds["blue"]
    cloud.change("web", value="outside")
    ran = sandbox.run("reconcile", "--format", "json")
    assert ran.report["alerts"]["sent"] == {"event": 1}  # the output is JSON and nothing else
    assert "[warning] Drift in blue" in ran.stderr
    cloud.change("web", value="one")
    ran = sandbox.run("reconcile")
    assert "[resolved] blue: The value equals the configuration again" in ran.stdout

    sandbox.commit("a webhook", {"driftguard.yaml": "slack: {webhook_env: HOOK}\n"})
    cloud.change("web", value="outside again")
    ran = sandbox.run("reconcile", "--format", "json", HOOK=slack.webhook_url("drift"))
    assert ran.report["alerts"] == {"sent": {"event": 1}, "waiting": 0}
    assert "Drift in blue" in slack.plain("drift")
    assert slack.webhook_url("drift") not in ran.stdout + ran.stderr
