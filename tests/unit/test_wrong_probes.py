"""The alert about a probe that an audit found wrong: once, until an operator ends it, and what it advises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from driftguard.config import AlertSettings
from driftguard.model import Alert, AlertEvent, AlertKind, AlertState, Severity, Verdict
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.alert.advice import decision, steps
from driftguard.pipeline.alert.guides import Guidance
from driftguard.pipeline.alert.lifecycle import follow
from driftguard.pipeline.alert.probes import found_wrong, providers_of, trusted_again
from driftguard.pipeline.alert.titles import title

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
AWS, TOY = "registry.terraform.io/hashicorp/aws", "registry.terraform.io/acme/toy"
PROD = EnvironmentReport(name="prod", path="environments/prod", verdict=Verdict.IN_SYNC)


def began(*before: Alert) -> tuple[Alert, ...]:
    found = found_wrong(PROD, [TOY, AWS], "A plan differs.", before, commit="c" * 40, run_id="r1", now=NOON)
    assert len(found.alerts) == len(found.notices)
    return found.alerts


def test_a_wrong_probe_is_one_critical_alert_that_names_its_providers() -> None:
    (alert,) = began()
    assert (alert.kind, alert.severity, alert.state) == (AlertKind.PROBE, Severity.CRITICAL, AlertState.OPEN)
    assert providers_of(alert) == {AWS, TOY}
    assert began(alert) == ()  # it stands already
    assert title([alert], [alert], NOON) == "Wrong probe in prod: an audit's plan differs from what the probe found"
    assert [step.command for step in steps(alert, 1, Guidance("main", {}, None))] == ["driftguard retry prod"]
    assert next(decision(alert)).startswith("Every environment that uses the provider is planned instead.")


def test_no_verdict_ends_it_and_an_operators_word_does() -> None:
    (alert,) = began()
    for verdict in Verdict:
        seen = EnvironmentReport(name="prod", path="environments/prod", verdict=verdict)
        after = follow(
            seen, [alert], commit="c" * 40, run_id="r2", now=NOON + timedelta(hours=1), rules=AlertSettings()
        )
        assert alert.id not in {each.id for each in after.alerts}
    ended = trusted_again(alert, run_id="r3", now=NOON + timedelta(hours=2))
    assert [each.state for each in ended.alerts] == [AlertState.RESOLVED]
    assert [notice.event for notice in ended.notices] == [AlertEvent.RESOLVED]
    (again,) = began(*ended.alerts)
    assert again.state is AlertState.OPEN
