"""What alerts say: golden texts, and any report within Slack's limits, without markup or secrets from outside."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from slack_sdk import WebClient

from driftguard.adapters.plain import as_text
from driftguard.adapters.slack.blocks import render
from driftguard.model import (
    Action,
    Alert,
    AlertEvent,
    AttributeChange,
    Classification,
    Commit,
    Decision,
    EnvironmentResult,
    ErrorKind,
    Fault,
    Label,
    Message,
    ObjectTrace,
    ResourceChange,
    Trace,
    Verdict,
    Written,
)
from driftguard.model.reasons import Reason, ReasonName
from driftguard.model.report import CommitReport, DecisionReport
from driftguard.pipeline.alert.text import event_json, message_of
from driftguard.report import environment_report
from driftguard.sealed import ABSENT, PRESENT, Sealed
from tests.support import slack_double
from tests.support.sample_alerts import (
    NOON,
    REPOSITORY,
    SAMPLES,
    Passes,
    Sample,
    change,
    changed_by,
    drift_of_one_attribute,
    drifted,
    in_sync,
    outside,
    resource,
)
from tests.support.seeds import one_quick
from tests.support.slack_double import SlackDouble, render_text
from tests.support.slack_double.content import Content, message_content

pytest_plugins = ["tests.support.slack_double.fixtures"]

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SECRET = "canary-3f9d"


# --- golden texts --------------------------------------------------------------------------------


def as_slack_shows(message: Message) -> str:
    """The notification's text, then the message as a reader sees it."""
    text, blocks = render(message)
    shown = slack_double.Message("C1", "1", text, "U1", None, blocks=blocks)
    return f"{text}\n\n{render_text(shown)}\n"


def golden(sample: Sample) -> str:
    message = sample.message()
    parts = {"Slack": as_slack_shows(message), "plain text": as_text(message)}
    if message.details:
        parts["the file in the thread"] = message.details
    return "\n".join(f"=== {title} ===\n{text}" for title, text in parts.items())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.__name__))
def test_the_committed_messages_are_what_the_code_writes(sample: Callable[[], Sample]) -> None:
    held_to(GOLDEN / f"{sample.__name__}.txt", golden(sample()))


def test_the_committed_event_is_what_the_code_writes() -> None:
    sample = drift_of_one_attribute()
    event = event_json(sample.alerts[0], AlertEvent.OPENED, "", sample.now)
    held_to(GOLDEN / "event.json", json.dumps(event, indent=2, ensure_ascii=False) + "\n")


def held_to(file: Path, text: str) -> None:
    if os.environ.get("DRIFTGUARD_WRITE_DOCS"):
        file.write_text(text)
    assert file.read_text() == text


def test_every_golden_text_belongs_to_a_sample() -> None:
    texts = {file.name for file in GOLDEN.iterdir() if file.suffix == ".txt"}
    assert texts == {f"{sample.__name__}.txt" for sample in SAMPLES}


# --- any report ----------------------------------------------------------------------------------

_HOSTILE = (
    "<!channel>",
    "<!here|here>",
    "<@U0SOMEONE>",
    "<!subteam^S0TEAM>",
    "<https://evil.example|click>",
    "```",
    "`*bold* _it_ ~no~`",
    "&amp;<>&lt;",
    "\u202eevil\u202c",
    "\u05e9\u05dc\u05d5\u05dd",
    "\N{PILE OF POO}" * 90,
    "\x00\x1b[31m\x7f\r\n\t",
    "a" * 5000,
    "&" * 3000,
    "x\n" * 500,
    "",
    "absent",
    "\ud800",
)
TEXT = st.one_of(st.sampled_from(_HOSTILE), st.text(max_size=40))
# Names and subjects come from files and git, which are text that can be encoded.
NAME = TEXT.map(lambda text: text.encode(errors="replace").decode())
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), NAME),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAME, inner, max_size=4),
    max_leaves=12,
)


def deep(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = {"in": [value]}
    return value


def sealed() -> st.SearchStrategy[Sealed]:
    return st.one_of(
        VALUE.map(Sealed), st.sampled_from([ABSENT, PRESENT]).map(Sealed), st.just(Sealed(SECRET, secret=True))
    )


ATTRIBUTES = st.builds(
    AttributeChange,
    path=st.one_of(st.just(""), NAME),
    label=st.sampled_from(list(Label)),
    state=sealed(),
    reality=sealed(),
    desired=sealed(),
    baseline=st.none(),
    rule=NAME,
    certain=st.booleans(),
    unknown=st.booleans(),
    forces_replacement=st.booleans(),
)
RESOURCES = st.builds(
    ResourceChange,
    address=NAME,
    type=NAME,
    provider=NAME,
    actions=st.just(("update",)),
    labels=st.frozensets(st.sampled_from(list(Label)), min_size=1, max_size=3),
    certain=st.booleans(),
    attributes=st.lists(ATTRIBUTES, max_size=4).map(tuple),
)
COMMITS = st.builds(
    Commit, sha=st.text("0123456789abcdef", min_size=40, max_size=40), author=NAME, date=st.just(NOON), subject=NAME
)
REASON = st.builds(Reason, st.sampled_from([*ReasonName, "of_a_newer_version"]), NAME)


@st.composite
def reports(draw: st.DrawFn) -> EnvironmentResult:
    """Any report that says that something is wrong."""
    verdict = draw(st.sampled_from([v for v in Verdict if v is not Verdict.IN_SYNC]))
    # Many resources are one resource many times: what counts is their number.
    some = draw(st.lists(RESOURCES, min_size=1, max_size=4))
    many = some * draw(st.sampled_from([1, 1, 3, 60]))
    unknown = verdict is Verdict.UNKNOWN
    return EnvironmentResult(
        name=draw(NAME),
        path=draw(NAME),
        workspace="default",
        verdict=verdict,
        closure_hash="c1",
        baseline=None,
        decision=Decision(draw(st.sampled_from(list(Action))), tuple(draw(st.lists(REASON, max_size=4)))),
        classification=None if unknown else Classification(verdict, tuple(many), (), "f1", "p1"),
        commits=() if unknown else tuple(draw(st.lists(COMMITS, max_size=14))),
        fault=Fault(ErrorKind.PLAN, draw(NAME)) if unknown else None,
    )


TRACES = st.builds(
    ObjectTrace,
    changed_by=st.none()
    | st.builds(
        Trace,
        address=NAME,
        event=NAME,
        at=st.just(NOON),
        principal=NAME,
        source_ip=NAME,
        via=st.sampled_from(["console", "sdk", "new"]),
        confidence=st.sampled_from(["resource and changed field", "resource", "time", "new"]),
    ),
    note=st.none() | NAME,
    written_by=st.none()
    | st.builds(Written, commit=NAME, author=NAME, date=st.just(NOON), subject=NAME, path=NAME, line=st.integers(1)),
)


@st.composite
def shown(draw: st.DrawFn) -> tuple[list[Alert], Message]:
    """Alerts about any reports, and the message that shows them."""
    over_time = Passes()
    report = environment_report(draw(reports()))
    copies = [
        report,
        *(structs.replace(report, name=f"{report.name}-{n}") for n in range(draw(st.sampled_from([0, 0, 0, 2, 40])))),
    ]
    for _ in range(2):
        over_time.look(*copies, after=timedelta(days=2))
    for copy in copies if draw(st.booleans()) else copies[: draw(st.integers(0, 1))]:
        over_time.look(in_sync(copy.name))
    traces = {resource.address: draw(TRACES) for resource in report.resources[:3]}
    alerts = [replace(alert, traces=traces) for alert in over_time.alerts.values()]
    message = message_of(
        alerts,
        now=over_time.now,
        meant_for=draw(st.sampled_from([None, NOON - timedelta(days=1)])),
        repository=draw(st.sampled_from([REPOSITORY, "https://git.example.org/<!channel>/x|y", "/srv/<here>"])),
        run_url=draw(st.sampled_from([None, "https://ci.example.org/1", "https://ci.example.org/|<!here>"])),
        mention=draw(st.sampled_from([None, "<!here>", "<!channel> <b> & more"])),
    )
    return alerts, message


# What the configuration and the forge may put into a message; everything else comes from outside.
OWN_MARKUP = re.compile(
    r"<!here>|<!channel>|<!date\^\d+\^[^<>]+>|<https://ci\.example\.org/1\|This run>"
    r"|<https://(?:github\.com/acme/infra|git\.example\.org/%3C%21channel%3E/x%7Cy)/commit/[0-9a-f]{40}\|[0-9a-f]{10}>"
)


def accepted(message: Message) -> Content:
    """A message's content as a strict Slack takes it; raises where it refuses."""
    text, blocks = render(message)
    return message_content({"channel": "C1", "text": text, "blocks": json.loads(json.dumps(blocks))})


# Drawing and rendering a message costs more than any look at it, so one draw serves three properties.
@pytest.mark.parametrize("examples", one_quick((25, 100), pytest.mark.further))
def test_any_message_is_accepted_inert_complete_and_free_of_secrets(examples: int) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    settings(max_examples=examples, suppress_health_check=slow)(given(shown())(accepted_inert_and_complete))()


def accepted_inert_and_complete(drawn: tuple[list[Alert], Message]) -> None:
    alerts, message = drawn
    slack_accepts_it_and_nothing_from_outside_is_markup(message)
    nothing_sensitive_is_in_it(alerts, message)
    its_first_line_names_the_event_and_its_last_the_time(message)


def slack_accepts_it_and_nothing_from_outside_is_markup(message: Message) -> None:
    content = accepted(message)
    assert content.unescaped == []
    assert [found for found in content.markup if not OWN_MARKUP.fullmatch(found)] == []
    mentions = [found for found in content.markup if found in ("<!here>", "<!channel>")]
    assert len(mentions) <= 2 * bool(message.mention and not message.resolution)


def nothing_sensitive_is_in_it(alerts: list[Alert], message: Message) -> None:
    events = [event_json(alert, AlertEvent.OPENED, "", NOON) for alert in alerts[:3]]
    everything = [*render(message), as_text(message), message.details, events]
    assert SECRET not in json.dumps(everything, ensure_ascii=False, default=str)


def its_first_line_names_the_event_and_its_last_the_time(message: Message) -> None:
    text, blocks = render(message)
    assert blocks[0]["type"] == "header"
    assert text[0] == blocks[0]["text"]["text"][0]
    assert text[0] in "🔵🟠🔴✅"
    assert blocks[-1]["type"] == "context"
    assert all("\n" not in line for line in (text, blocks[0]["text"]["text"]))
    if message.decision:
        assert any("*What happens next" in str(block) for block in blocks)


def drift_of(environments: int, resources: int) -> Message:
    """The alert about the same drift of some resources in each of some environments."""
    over_time = Passes()
    many = [resource(f"toy_thing.web[{n}]", outside("value", "one", "&" * 300)) for n in range(resources)]
    one = drifted("environment", *many)
    over_time.look(*(structs.replace(one, name=f"environment-{n:04}") for n in range(environments)))
    message = message_of(over_time.standing(), now=NOON)
    accepted(message)
    return message


def test_thousands_of_resources_are_counted_and_not_listed() -> None:
    message = drift_of(environments=2, resources=3000)
    assert message.title == "Drift in 2 environments: 3000 resources were changed outside Terraform"
    assert "toy_thing.web[0]`  changed outside Terraform; 199 more alike" in as_slack_shows(message)
    assert "… and 2800 more resources" in as_slack_shows(message)


def test_hundreds_of_environments_are_counted_and_not_listed() -> None:
    message = drift_of(environments=300, resources=2)
    assert message.title == "Drift in 300 environments: 2 resources were changed outside Terraform"
    assert "and 259 more" in as_slack_shows(message)


def test_the_fullest_message_has_room_for_what_happens_next() -> None:
    long = "&" * 500
    webs = [resource(f"toy_thing.{long}[{n}]", *(outside(f"{long}{m}", long, n) for m in range(9))) for n in range(9)]
    full = structs.replace(
        drifted("blue", *webs),
        path=long,
        commits=tuple(CommitReport(f"{n:040}", long, "", long) for n in range(20)),
        decision=DecisionReport("hold", (f"uncertain: {long}",) * 9),
    )
    over_time = Passes()
    over_time.look(full)
    message = message_of(
        over_time.standing(), now=NOON, repository=REPOSITORY, mention="<!here>", run_url=f"https://a/{long[:200]}"
    )
    shown = as_slack_shows(message)
    assert accepted(message).unescaped == []
    for said in ("What happens next", "driftguard explain", "Commits", "This run", "&…\n"):
        assert said in shown
    assert 11_000 < slack_double.message_size(render(message)[1]) < slack_double.MAX_MESSAGE


@pytest.mark.parametrize("depth", [3, 50, 150])
def test_a_deep_value_is_shown_to_a_certain_depth(depth: int) -> None:
    over_time = Passes()
    over_time.look(drifted("blue", resource("toy_thing.web", outside("value", "one", deep(depth)))))
    message = message_of(over_time.standing(), now=NOON)
    accepted(message)
    assert "bottom" not in as_text(message)


def test_a_long_value_is_cut_so_that_what_differs_is_shown() -> None:
    policy = (
        '{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::assets/*","Principal":%s}]}'
    )
    opened = outside("policy", policy % '{"AWS":"arn:aws:iam::1:root"}', policy % '"*"')
    over_time = Passes()
    over_time.look(drifted("blue", resource("aws_s3_bucket_policy.assets", opened)))
    line = as_text(message_of(over_time.standing(), now=NOON))
    assert '"Principal":{"AWS":"arn:aws:iam::1:root"}' in line
    assert '"Principal":"*"' in line


def test_what_only_follows_from_a_change_is_not_reported_beside_it() -> None:
    follows = change("id", Label.DERIVED, "a", "a", None, unknown=True)
    drift = outside("value", "one", "two")
    over_time = Passes()
    over_time.look(drifted("blue", resource("toy_thing.web", follows, drift), resource("toy_thing.only", follows)))
    assert message_of(over_time.standing(), now=NOON).worst == (
        ("toy_thing.web", "value is two, configured one"),
        ("toy_thing.only", "id a → (known after apply)"),
    )


# --- through Slack's own client ------------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.__name__))
def test_slacks_own_client_delivers_it(sample: Callable[[], Sample], double: SlackDouble) -> None:
    text, blocks = render(sample().message())
    WebClient(token=double.token, base_url=double.api_url).chat_postMessage(channel="#drift", text=text, blocks=blocks)
    assert double.unescaped == []
    assert len(double.messages("drift")) == 1


@pytest.mark.parametrize("hostile", [text for text in _HOSTILE if text.isascii() or text.isprintable()])
def test_hostile_text_in_every_place_arrives_as_text(hostile: str, double: SlackDouble) -> None:
    said = outside("value", "one", hostile)
    over_time = Passes()
    over_time.look(structs.replace(drifted("blue", resource("toy_thing.web", said)), path=hostile))
    trace = ObjectTrace(changed_by=changed_by("toy_thing.web", hostile, hostile))
    alerts = [replace(alert, traces={"toy_thing.web": trace}) for alert in over_time.standing()]
    text, blocks = render(message_of(alerts, now=NOON, mention=hostile.replace("<!here|here>", "")))
    WebClient(token=double.token, base_url=double.api_url).chat_postMessage(channel="#drift", text=text, blocks=blocks)
    assert double.unescaped == []
    own = {"<!channel>", "<@U0SOMEONE>", "<!subteam^S0TEAM>"} & {hostile}  # as the configured mention only
    assert double.markup.count(hostile) == 2 * len(own)


def test_a_message_states_how_the_environment_was_looked_at() -> None:
    (alert,) = drift_of_one_attribute().alerts
    report = structs.replace(alert.report, checked_by="probe", planned_at="2026-11-23T11:40:00Z", cpu_seconds=0.11)
    shown = as_slack_shows(message_of([replace(alert, report=report)], now=NOON))
    assert "checked by probe, planned 2026-11-23 11:40 UTC, 0.1 CPU s" in shown
    event = event_json(replace(alert, report=report), AlertEvent.OPENED, "", NOON)["environment"]
    assert (event["checked_by"], event["planned_at"], event["cpu_seconds"]) == ("probe", report.planned_at, 0.11)
