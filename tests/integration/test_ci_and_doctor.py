"""What a CI job shows on its page, and what `driftguard doctor` says of where alerts go."""

from __future__ import annotations

from pathlib import Path

from tests.support.harness import Sandbox
from tests.support.slack_double import SlackDouble
from tests.support.toy_estate import EstateOf


def test_doctor_states_where_alerts_go_and_sends_a_test_message_when_asked(
    sandbox: Sandbox, estate_of: EstateOf
) -> None:
    estate_of("blue")
    ran = sandbox.run("doctor", "--slack")
    assert ran.code == 0
    assert "standard output, as neither `slack` nor `alerts.webhook` is" in " ".join(ran.stdout.split())

    with SlackDouble(channels=("drift", "leads")) as slack:
        sandbox.commit(
            "alerts",
            {
                "driftguard.yaml": "slack:\n"
                f"  {{token_env: TOKEN, api_url: '{slack.api_url}', routes: [{{channel: '#drift'}}]}}\n"
                "alerts: {reminders: [{after: 1d, channel: '#leads'}, {after: 2d}]}\n"
            },
        )
        ran = sandbox.run("doctor", TOKEN=slack.token)
        assert ran.code == 0
        assert "Slack: #drift, #leads" in ran.stdout
        assert slack.calls == []  # nothing is sent unasked

        ran = sandbox.run("doctor", "--slack", TOKEN=slack.token)
        assert (ran.code, [len(slack.messages(name)) for name in ("drift", "leads")]) == (0, [1, 1])
        assert "posted to #leads" in ran.stdout

        slack.channel("leads").archived = True
        ran = sandbox.run("doctor", "--slack", TOKEN=slack.token)
        assert ran.code == 1
        assert "is_archived" in ran.stdout
        assert "Name another channel" in " ".join(ran.stdout.split())

        ran = sandbox.run("doctor", "--slack", TOKEN="xoxb-not-the-one")
        assert ran.code == 1
        assert "invalid_auth" in ran.stdout
        assert "xoxb-not-the-one" not in ran.stdout + ran.stderr

        ran = sandbox.run("doctor", "--slack")
        assert ran.code == 1
        assert "the environment variable TOKEN is not set" in " ".join(ran.stdout.split())


def test_a_ci_job_shows_the_run_on_its_page_and_alerts_link_to_it(
    sandbox: Sandbox, estate_of: EstateOf, tmp_path: Path
) -> None:
    estate = estate_of("blue")
    page = tmp_path / "summary.md"
    page.write_text("from an earlier step\n")
    job = {
        "GITHUB_STEP_SUMMARY": str(page),
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/infra",
        "GITHUB_RUN_ID": "42",
    }
    estate.clouds["blue"].change("web", value="outside")
    ran = sandbox.run("reconcile", **job)
    assert ran.code == 2
    text = page.read_text()
    assert text.startswith("from an earlier step\n### DriftGuard: 1 drifted\n")
    assert "| toy_thing.web | drift | value is outside, configured one |" in text
    assert "https://github.com/acme/infra/actions/runs/42" in ran.stdout

    page.unlink()
    page.mkdir()  # cannot be written
    ran = sandbox.run("scan", **job)
    assert ran.code == 2
    assert "could not be written" in ran.stderr
