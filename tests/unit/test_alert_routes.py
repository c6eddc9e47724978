"""Routes: which sink an alert goes to, by environment, severity, owner, type, module and tag."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from driftguard.config import AlertSettings, Slack, load
from driftguard.errors import UsageError
from driftguard.model import Alert
from driftguard.pipeline.alert.routes import Routing
from driftguard.pipeline.alert.routing import plan
from tests.support.sample_alerts import Passes, drifted, outside, resource

WEB = 'module.app["a.b"].module.db.aws_db_instance.orders'
PAGER = {"name": "pager", "pagerduty_env": "KEY"}


def alert_of(name: str = "prod-eu", **more: Any) -> Alert:
    over_time = Passes()
    report = drifted(name, resource(WEB, outside("size", 1, 2)))
    (changed,) = report.resources
    changed = structs.replace(changed, type="aws_db_instance", tags={"team": "payments", "stage": "live"})
    (notice,) = over_time.look(structs.replace(report, resources=(changed,), owner="@acme/payments @ada", **more))
    return notice.alert


def routing(*routes: dict[str, Any], slack: dict[str, Any] | None = None, **pager: Any) -> Routing:
    rules = AlertSettings.model_validate({"routes": routes, "sinks": [{**PAGER, **pager}]})
    return Routing(rules, Slack.model_validate({"token_env": "T", **(slack or {})}))


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        ({"environments": "prod*"}, True),
        ({"environments": "dev*"}, False),
        ({"severity": ["critical"]}, False),
        ({"owners": ["@acme/*"]}, True),
        ({"owners": ["@bob"]}, False),
        ({"types": ["aws_db_*"]}, True),
        ({"types": ["aws_s3_*"]}, False),
        ({"modules": ["module.app"]}, True),
        ({"modules": ["module.app.module.db"]}, True),
        ({"modules": ["module.db"]}, False),
        ({"tags": {"team": "pay*"}}, True),
        ({"tags": {"team": "pay*", "stage": "test"}}, False),
        ({"tags": {"owner": "*"}}, False),
        ({"types": ["aws_db_*"], "owners": ["@bob"]}, False),
        ({"authors": ["*"]}, False),
    ],
)
def test_a_route_takes_an_alert_that_matches_every_key(choice: dict[str, Any], taken: bool) -> None:
    routes = routing({**choice, "sinks": ["pager"]}, {"sinks": ["slack:#rest"]})
    assert routes.targets(alert_of()) == (("pager",) if taken else ("slack:#rest",))


def test_routes_of_slack_come_after_those_of_alerts() -> None:
    slack = {"routes": [{"environments": "prod*", "channel": "#prod", "mention": "<!here>"}, {"channel": "#drift"}]}
    routes = routing({"environments": "prod-eu", "sinks": ["slack:#eu", "pager"]}, slack=slack)
    assert [routes.targets(alert_of(name)) for name in ("prod-eu", "prod-us", "dev")] == [
        ("slack:#eu", "pager"),
        ("slack:#prod",),
        ("slack:#drift",),
    ]


def test_a_sink_gets_what_routes_give_it_and_what_it_chooses_itself() -> None:
    route = {"environments": "prod*", "sinks": ["slack:#prod", "pager"]}
    first = [(d.sink, d.channel) for d in plan(Passes().look(drifted("prod-eu")), [], routing(route))]
    assert first == [("slack", "#prod")]
    assert routing(route, severity=["warning"]).wants("pager", alert_of())
    assert not routing(route, severity=["critical"]).wants("pager", alert_of())
    assert routing({"sinks": ["slack:#prod"]}).wants("pager", alert_of())


def test_an_alert_whose_route_has_another_first_sink_is_not_sent_to_slack() -> None:
    made = plan(Passes().look(drifted("prod-eu")), [], routing({"sinks": ["pager"]}))
    assert [(d.sink, d.body["event"]) for d in made] == [("pager", "opened")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("alerts: {routes: [{sinks: [pager]}]}", "routes alerts to pager, which is no sink"),
        ("alerts: {routes: [{sinks: ['slack:#x']}]}", "names slack:#x, which needs `slack"),
        ("alerts: {routes: [{sinks: []}]}", "driftguard.yaml:1"),
        ("alerts: {routes: [{sinks: ['#x']}]}", 'expected "slack:#channel"'),
        ("alerts: {routes: [{sinks: ['slack:#x'], mention: '@here'}]}", "pings nothing in Slack"),
        ("slack: {token_env: T}", "`slack` with a token needs `routes`"),
    ],
)
def test_a_route_that_leads_nowhere_is_refused_at_load(text: str, fault: str) -> None:
    with pytest.raises(UsageError, match=r"driftguard\.yaml") as caught:
        load(text.encode(), source="driftguard.yaml")
    assert fault in str(caught.value)


def test_routes_lose_the_sinks_that_the_operator_does_not_allow() -> None:
    text = """
slack: {token_env: AWS_TOKEN}
alerts:
  sinks: [{name: pager, pagerduty_env: TF_DATA_DIR}, {name: mail, apprise_env: MAIL}]
  routes: [{environments: a, sinks: ["slack:#x", pager]}, {sinks: [pager, mail]}]
"""
    settings = load(text.encode(), source="driftguard.yaml")
    assert [route.sinks for route in settings.alerts.routes] == [("mail",)]
    assert len(settings.refused) == 2
