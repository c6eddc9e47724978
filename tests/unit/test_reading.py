"""The reading test: what any alert shows on a phone, and what each line of a channel names."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from driftguard.adapters.plain import as_text
from driftguard.adapters.slack.blocks import render
from driftguard.config import AlertSettings, Slack
from driftguard.model import (
    Action,
    Alert,
    AlertEvent,
    Commit,
    Delivery,
    DeliveryKind,
    Label,
    Message,
    ObjectTrace,
    Verdict,
)
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.alert.routes import Routing
from driftguard.pipeline.alert.routing import plan
from driftguard.pipeline.alert.text import message_of
from driftguard.pipeline.consequences import destructive
from driftguard.sealed import ABSENT, PRESENT
from tests.support.sample_alerts import (
    DELETED,
    GUIDANCE,
    NOON,
    RESIZE,
    SAMPLES,
    Passes,
    Sample,
    change,
    changed_by,
    in_sync,
    report,
    resource,
)
from tests.unit.test_alert_messages import as_slack_shows

_WIDTH = 45
_DESTROYS = re.compile(r"\b(destroys?|re-creates?)\b")
_VALUES = st.sampled_from(["a", "b" * 90, "", 0, False, True, 42, ["x", "y"], {"k": "v"}, "absent"])
_TYPES = st.sampled_from(["aws_s3_bucket", "aws_db_instance", "toy_thing", "aws_security_group", "aws_sqs_queue"])
_MODULES = st.sampled_from(["", "module.shop.", 'module.network["eu-west-1"].module.private.'])
_EXISTENCE = (
    DELETED,
    change("", Label.PENDING, ABSENT, ABSENT, PRESENT),
    change("", Label.PENDING, PRESENT, PRESENT, ABSENT),
)


@st.composite
def attributes(draw: st.DrawFn) -> Any:
    label = draw(st.sampled_from([Label.DRIFT, Label.ABSORBED, Label.PENDING, Label.CONFLICT, Label.INPUT]))
    one, other, third = draw(st.permutations(["a", "b", "c"]) | st.tuples(_VALUES, _VALUES, _VALUES))
    values = {
        Label.DRIFT: (one, other, one),
        Label.CONFLICT: (one, other, third),
    }.get(label, (one, one, other))
    path = draw(st.sampled_from(["size", "tags.owner", "ingress[0].cidr_blocks", "versioning[0].enabled"]))
    return change(path, label, *values, forces_replacement=draw(st.booleans()))


@st.composite
def reports(draw: st.DrawFn) -> EnvironmentReport:
    changed = []
    for number in range(draw(st.integers(1, 6))):
        address = f"{draw(_MODULES)}{draw(_TYPES)}.main[{number}]"
        found = [draw(st.sampled_from(_EXISTENCE))] if draw(st.booleans()) else draw(st.lists(attributes(), min_size=1))
        changed.append(resource(address, *found))
    verdict = draw(st.sampled_from([Verdict.DRIFTED, Verdict.DIVERGED, Verdict.PENDING]))
    commits = [RESIZE, replace(RESIZE, sha="0" * 40, author="Ada " * 9, subject="x " * 60)]
    reasons = draw(
        st.lists(
            st.sampled_from(
                [
                    "policy_alert: drift",
                    "apply_failed: Error: quota exceeded\n\n  on main.tf",
                    "limit_destroys: 2 of at most 0",
                    "backoff: until noon",
                    "flapping",
                    "proposed: https://github.com/acme/infra/pull/1",
                    "proposed: driftguard/x",
                ]
            ),
            max_size=2,
        )
    )
    some: Sequence[Commit] = commits[: draw(st.integers(0, 2))]
    action = draw(st.sampled_from([Action.ALERT, Action.HOLD, Action.PROPOSE]))
    return report("prod-eu", verdict, *changed, action=action, reasons=reasons, commits=some)


def opened(found: EnvironmentReport) -> list[Alert]:
    over_time = Passes()
    over_time.look(found)
    over_time.look(found, after=timedelta(days=2))
    who = changed_by("x", "somebody-with-a-long-name (SSO AdministratorAccess)", "ModifyDBInstance")
    return [
        replace(alert, traces={r.address: ObjectTrace(changed_by=who) for r in found.resources})
        for alert in over_time.standing()
    ]


def phone_lines(text: str) -> int:
    return max(1, math.ceil(len(text) / _WIDTH))


def first_screen(message: Message) -> str:
    """What stands above the first thing to do, and that, as a phone wraps it."""
    shown = as_slack_shows(message).partition("\n\n# ")[2].splitlines()
    lines: list[str] = []
    for line in shown:
        lines.append(line)
        if line.startswith("• "):
            break
    return "\n".join(lines)


def held(message: Message, alerts: Sequence[Alert]) -> None:
    """The rules of reading, for one open alert."""
    first = first_screen(message)
    *above, action = first.splitlines()
    assert action.startswith("• "), first
    # Backticks, and the underscores around a line, are no characters on a phone.
    assert sum(phone_lines(re.sub(r"`|^_|_$", "", line)) for line in above) + 1 <= 8, first
    assert len(message.steps) <= 3
    for step in message.steps:
        assert (step.command is None) != (step.url is None)
        assert not re.search(r"\bENV\b", step.command or "")
    assert "ENV`" not in as_slack_shows(message)
    for alert in alerts:
        assert len(alerts) > 1 or alert.environment in message.title
    if any(destructive(alert.report.resources) for alert in alerts[:1]):
        assert _DESTROYS.search(message.title), message.title
    for line in as_text(message).splitlines():
        if "→" in line:
            assert "on apply" in line or "known after apply" in line, line


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(reports())
def test_any_alert_is_read_on_a_phones_first_screen(found: EnvironmentReport) -> None:
    alerts = opened(found)
    for alert in alerts:
        held(message_of([alert], now=NOON + timedelta(days=2), guidance=GUIDANCE), [alert])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.__name__))
def test_each_kind_of_message_is_read_on_a_phones_first_screen(sample: Callable[[], Sample]) -> None:
    shown = sample()
    message = shown.message()
    if message.resolution is None:
        held(message, [a for a in shown.alerts if a.resolution is None])
    assert render(message)[0].splitlines() == [render(message)[0]]


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(st.lists(reports(), min_size=2, max_size=4), st.booleans())
def test_every_line_that_a_channel_gets_names_the_environment(found: list[EnvironmentReport], slack: bool) -> None:
    rules = AlertSettings.model_validate({"reminders": [{"after": "1h"}]})
    over_time = Passes(rules=rules)
    deliveries: dict[str, Delivery] = {}
    where = {"token_env": "T", "routes": [{"channel": "#drift"}]} if slack else {"webhook_env": "T"}
    routing = Routing(rules, Slack.model_validate(where))
    first = report("prod-eu", Verdict.DRIFTED, resource("toy_thing.web", DELETED))
    for number, each in enumerate([*found, first, in_sync("prod-eu"), first]):
        each = structs.replace(each, drift_fingerprint=f"f{number % len(found)}")
        for delivery in plan(over_time.look(each, after=timedelta(hours=2)), list(deliveries.values()), routing):
            sent = replace(delivery, reference="C1/1") if delivery.kind is DeliveryKind.MESSAGE else delivery
            deliveries[sent.id] = sent
    lines = [str(d.body.get("line") or "") for d in deliveries.values() if not d.body.get("file")]
    assert [line for line in lines if line and not line.startswith("prod-eu: ")] == []
    assert any(lines)


def test_a_reminder_repeats_the_worst_and_for_how_long() -> None:
    rules = AlertSettings.model_validate({"reminders": [{"after": "1d"}]})
    over_time = Passes(rules=rules)
    gone = report("prod-eu", Verdict.DRIFTED, resource("aws_db_instance.orders", DELETED))
    over_time.look(gone)
    reminded = [n for n in over_time.look(gone, after=timedelta(days=2)) if n.event is AlertEvent.REMINDED]
    worst = "aws_db_instance.orders was deleted outside Terraform; an apply re-creates it, empty"
    assert [notice.line for notice in reminded] == [f"still drifted after 2 days: {worst}."]


def test_a_failed_apply_stays_one_until_it_is_resolved() -> None:
    failing = report("prod-eu", Verdict.PENDING, *(), action=Action.HOLD, reasons=["apply_failed: quota exceeded"])
    waiting = report("prod-eu", Verdict.PENDING, *(), action=Action.HOLD, reasons=["backoff"])
    over_time = Passes()
    over_time.look(failing)
    over_time.look(waiting)
    (alert,) = over_time.standing()
    assert (alert.failure, alert.severity.value) == ("quota exceeded", "warning")
    assert message_of([alert], now=over_time.now).title == "Failed apply in prod-eu: quota exceeded"
    # A partial apply may leave drift behind: the environment's failed apply is still one.
    over_time.look(report("prod-eu", Verdict.DRIFTED, resource("toy_thing.web", DELETED), action=Action.HOLD))
    (drift,) = over_time.standing()
    assert (drift.kind.value, drift.failure) == ("drift", "quota exceeded")
    over_time.look(in_sync("prod-eu"))
    over_time.look(waiting)
    assert [alert.failure for alert in over_time.alerts.values() if alert.resolution is None] == [None]
