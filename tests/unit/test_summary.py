"""The Markdown of a run, and the texts of requests, as committed; the summary by severity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from driftguard.cli.summary import markdown
from driftguard.model import Action, ErrorKind, Label, Verdict
from driftguard.model.report import EnvironmentReport, RunReport
from driftguard.pipeline.alert.tracing import with_alerts
from driftguard.pipeline.propose.text import RequestContent, body, title
from tests.support.sample_alerts import (
    ASSETS,
    DELETED,
    RESIZE,
    change,
    drift_of_one_attribute,
    drifted,
    in_sync,
    outside,
    report,
    resource,
    unknown,
)
from tests.unit.test_alert_messages import GOLDEN, held_to
from tests.unit.test_proposal_texts import proposal


def run_report(*environments: EnvironmentReport) -> RunReport:
    summary = {verdict.value: sum(e.verdict == verdict for e in environments) for verdict in Verdict}
    return RunReport(
        repository="acme/infra", ref="main", commit="4be1c90a57f", summary=summary, environments=environments
    )


def fleet() -> RunReport:
    larger = change("instance_type", Label.PENDING, "m5.large", "m5.large", "m5.xlarge")
    arn = change("arn", Label.PENDING, "old", "old", None, unknown=True)
    return run_report(
        in_sync("dev"),
        report("pending-eu", Verdict.PENDING, resource("aws_instance.web", larger, arn), commits=[RESIZE]),
        unknown("broken", ErrorKind.DENIED, "AccessDenied: s3:GetBucketTagging\n  on storage.tf"),
        drifted("assets", resource(ASSETS, outside("versioning[0].enabled", True, False), outside("tags.n", 1, 0))),
        report(
            "prod-eu",
            Verdict.DRIFTED,
            resource("aws_db_instance.orders", DELETED),
            action=Action.PROPOSE,
            reasons=["policy_propose", "proposed: https://github.com/acme/infra/pull/12"],
        ),
        in_sync("test"),
    )


def test_the_committed_summary_is_what_the_code_writes() -> None:
    alerts = [replace(alert, environment="assets") for alert in drift_of_one_attribute().alerts]
    held_to(GOLDEN / "summary.md", markdown(with_alerts(fleet(), alerts, {})))


def test_the_worst_environment_stands_first_and_those_in_sync_on_one_line() -> None:
    lines = markdown(fleet()).splitlines()
    rows = [line.split(" | ")[0] for line in lines if line.startswith("| ") and "---" not in line]
    assert rows[:5] == ["| environment", "| prod-eu", "| broken", "| assets", "| pending-eu"]
    assert lines[-1] == "2 environments in sync: dev, test"


def test_a_summary_names_deletions_requests_and_what_is_known_after_apply() -> None:
    text = markdown(fleet())
    assert "an apply re-creates aws_db_instance.orders, empty; aws_db_instance.orders deleted outside Terraform" in text
    assert "[request](https://github.com/acme/infra/pull/12)" in text
    assert "arn old → (known after apply)" in text
    assert "null" not in text
    assert "Grace Hopper" in text
    assert "tags.n is 0, configured 1" in text


REQUESTS = {
    "request_revert": (drifted("prod-eu", resource(ASSETS, outside("versioning[0].enabled", True, False))), "revert"),
    "request_adopt": (drifted("prod-eu", resource(ASSETS, outside("versioning[0].enabled", True, False))), "adopt"),
    "request_that_replaces": (
        drifted(
            "prod-eu",
            resource(
                "aws_db_instance.orders",
                change("availability_zone", Label.DRIFT, "a", "b", "a", forces_replacement=True),
            ),
        ),
        "revert",
    ),
    "request_that_creates_anew": (drifted("prod-eu", resource("aws_db_instance.orders", DELETED)), "revert"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_committed_requests_are_what_the_code_writes(name: str) -> None:
    found, choice = REQUESTS[name]
    about = RequestContent("prod-eu", found, [f"{'+'.join(r.actions)} {r.address}" for r in found.resources])
    made = proposal(choice)
    held_to(GOLDEN / f"{name}.md", f"# {title(about, made, 256)}\n\n{body(about, made, 65_536)}")
