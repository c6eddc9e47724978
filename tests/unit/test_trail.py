"""CloudTrail is asked little, at its pace, with the right credentials; what it says is read without its secrets."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from driftguard.adapters.aws.trail import CloudTrail, account_of, client_of, parse
from driftguard.model.traces import Confidence, DriftedObject, TrailEvent, own_session, role_key
from driftguard.pipeline.trace import match

RECORDED = Path(__file__).parents[1] / "fixtures" / "cloudtrail"
REGION = "eu-central-1"
SINCE, UNTIL = datetime(2026, 11, 23, 9, 0, tzinfo=UTC), datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s3cr3t-c4nary", "AWS_REGION": REGION}
QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/"


def page(name: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads((RECORDED / f"{name}.json").read_text())["Events"]
    return events


def thing(type_: str, *names: str, paths: tuple[str, ...] = (), absent: bool = False) -> DriftedObject:
    region = None if type_.startswith("aws_iam") else REGION
    return DriftedObject(f"{type_}.{names[0].strip('/')}", type_, names, region, paths, absent)


BUCKET = thing("aws_s3_bucket", "shop-assets", "arn:aws:s3:::shop-assets", paths=("tags", "tags_all"))
QUEUE = thing("aws_sqs_queue", "shop-jobs", f"{QUEUE_URL}shop-jobs", paths=("visibility_timeout_seconds",))
MAILS = thing("aws_sqs_queue", "shop-mails", f"{QUEUE_URL}shop-mails", absent=True)
GROUP = thing("aws_security_group", "sg-0123456789abcdef0", paths=("ingress",))
SECRET = thing("aws_ssm_parameter", "/shop/key", paths=("value",))
SHOP = (BUCKET, QUEUE, MAILS, GROUP, SECRET)


class FakeTime:
    """Seconds that pass only by sleeping."""

    def __init__(self) -> None:
        self.seconds, self.slept, self._lock = 1000.0, list[float](), threading.Lock()

    def clock(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.seconds += seconds
            self.slept.append(seconds)


class Stubbed:
    """A client of boto3's that holds each request to the API model, and to what is expected of it."""

    def __init__(self) -> None:
        self.regions: list[str] = []
        self.time = FakeTime()
        self.client = client_of(KEYS, REGION)
        self.stub = Stubber(self.client)
        self.stub.activate()

    def connect(self, variables: Mapping[str, str], region: str) -> Any:
        self.regions.append(region)
        return self.client

    def trail(self, pages: int = 10, **limits: Any) -> CloudTrail:
        own = read("shop", "TagQueue")
        roles = frozenset({f"{own.account}:{own.session}"})
        return CloudTrail(
            clock=self.time.clock,
            sleep=self.time.sleep,
            connect=self.connect,
            pages=pages,
            own_roles=roles,
            **limits,
        )

    def expect(
        self,
        attribute: tuple[str, str],
        events: list[dict[str, Any]],
        since: datetime = SINCE,
        until: datetime = UNTIL,
        token: str | None = None,
        next_token: str | None = None,
    ) -> None:
        asked: dict[str, Any] = {
            "LookupAttributes": [{"AttributeKey": attribute[0], "AttributeValue": attribute[1]}],
            "StartTime": since,
            "EndTime": until,
            "MaxResults": 50,
        }
        if token:
            asked["NextToken"] = token
        answer: dict[str, Any] = {"Events": [e | {"EventTime": _moment(e)} for e in events]}
        if next_token:
            answer["NextToken"] = next_token
        self.stub.add_response("lookup_events", answer, asked)

    def refuse(self, code: str, times: int = 1) -> None:
        for _ in range(times):
            self.stub.add_client_error("lookup_events", code, "User: canary-in-text is not authorized", 400)


def _moment(event: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(event["EventTime"], UTC)


WRITES = ("ReadOnly", "false")


@pytest.fixture
def stubbed() -> Iterator[Stubbed]:
    made = Stubbed()
    yield made
    made.stub.assert_no_pending_responses()


# --- reading -------------------------------------------------------------------------------------


def read(page_name: str, event_name: str, *names: str) -> TrailEvent:
    (found,) = (parse(e, names) for e in page(page_name) if e["EventName"] == event_name)
    return found


def test_an_event_shows_who_what_when_and_from_where() -> None:
    assert read("shop", "PutBucketTagging", "shop-assets") == TrailEvent(
        id="d71f7000-0000-4000-8000-000000000001",
        name="PutBucketTagging",
        source="s3.amazonaws.com",
        at=datetime(2026, 11, 23, 9, 12, 4, tzinfo=UTC),
        principal="eve",
        session=None,
        source_ip="198.51.100.7",
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0",
        console=True,
        resources=("shop-assets", "arn:aws:s3:::shop-assets"),
        fields=("Host", "Tagging", "bucketName", "tagging"),
        read_only=False,
        error=None,
        role_session=None,
        region=REGION,
        account="123456789012",
    )


@pytest.mark.parametrize(
    ("where", "event", "principal", "session", "role_session", "console"),
    [
        ("shop", "SetQueueAttributes", "ada@example.com (SSO PowerUser)", "PowerUser", "ada@example.com", False),
        ("shop", "AuthorizeSecurityGroupIngress", "oncall/bob", "oncall", "bob", True),
        ("shop", "PutParameter", "ci-deploy/GitHubActions", "ci-deploy", "GitHubActions", False),
        ("shop", "DeleteQueue", "root", None, None, True),
        ("principals", "TagResource20170331v2", "eve", None, None, False),
        ("principals", "UpdateStack", "root", None, None, True),
        ("principals", "TerminateInstances", "autoscaling.amazonaws.com", None, None, False),
        (
            *("principals", "DeleteSecurityGroup"),
            *("ada@example.com (SSO PowerUser) through cloudformation.amazonaws.com", "PowerUser", "ada@example.com"),
            False,
        ),
        ("principals", "PutRolePolicy", "dan (federated)", None, None, False),
        (
            *("principals", "UpdateFunctionConfiguration20150331v2"),
            *("ada@example.com (SSO PowerUser)", "PowerUser", "ada@example.com", True),
        ),
    ],
)
def test_principals_are_named_as_people_know_them(
    where: str, event: str, principal: str, session: str | None, role_session: str | None, console: bool
) -> None:
    found = read(where, event)
    assert (found.principal, found.session, found.role_session) == (principal, session, role_session)
    assert found.console is console


def test_a_source_identity_stands_behind_the_role_that_it_came_through() -> None:
    issuer = {"type": "Role", "userName": "oncall", "arn": "arn:aws:iam::123456789012:role/oncall"}
    identity = {
        "type": "AssumedRole",
        "arn": "arn:aws:sts::123456789012:assumed-role/oncall/shared",
        "sessionContext": {"sessionIssuer": issuer, "sourceIdentity": "ada@example.com"},
    }
    found = parse({"CloudTrailEvent": json.dumps({"userIdentity": identity})})
    assert found.principal == "oncall/shared (source identity ada@example.com)"
    assert (found.account, found.session, found.by_service) == ("123456789012", "oncall", False)
    through = {**identity, "invokedBy": "cloudformation.amazonaws.com"}
    assert parse({"CloudTrailEvent": json.dumps({"userIdentity": through})}).principal == (
        "oncall/shared (source identity ada@example.com) through cloudformation.amazonaws.com"
    )


@pytest.mark.parametrize(
    ("record", "principal"),
    [
        # As AWS documents non-API events of services: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/
        (
            {
                "eventType": "AwsServiceEvent",
                "eventSource": "kms.amazonaws.com",
                "eventName": "RotateKey",
                "userIdentity": {"accountId": "123456789012", "invokedBy": "AWS Internal"},
            },
            "kms.amazonaws.com",
        ),
        ({"userIdentity": {"type": "AWSService", "invokedBy": "rds.amazonaws.com"}}, "rds.amazonaws.com"),
        ({"eventType": "AwsServiceEvent", "userIdentity": None}, "an AWS service"),
    ],
)
def test_what_a_service_did_by_itself_is_its_own(record: dict[str, Any], principal: str) -> None:
    found = parse({"Username": "somebody", "CloudTrailEvent": json.dumps(record)})
    assert (found.principal, found.by_service, found.session) == (principal, True, None)


@pytest.mark.parametrize("name", ["shop", "principals", "broken"])
def test_no_value_of_a_request_is_kept_but_the_names_of_known_objects(name: str) -> None:
    known = ("shop-jobs", "worker", "extra-not-there")
    found = [parse(event, known) for event in page(name)]
    assert "canary" not in repr(found).lower()
    assert "203.0.113.9/32" not in repr(found)
    assert "ASIAEXAMPLE" not in repr(found)
    if name == "shop":
        assert [e.name for e in found if "shop-jobs" in e.resources] == ["TagQueue", "SetQueueAttributes"]


def test_keys_of_a_request_are_kept_at_every_depth_without_those_that_users_choose() -> None:
    assert {"attributes", "VisibilityTimeout", "queueUrl"} == set(read("shop", "SetQueueAttributes").fields) - {
        "Policy"
    }
    function = read("principals", "UpdateFunctionConfiguration20150331v2")
    assert function.fields == ("environment", "functionName", "timeout", "variables")


def test_a_name_inside_of_a_tag_mentions_nothing() -> None:
    raw = {
        "CloudTrailEvent": json.dumps(
            {"requestParameters": {"tags": [{"key": "for", "value": "shop-jobs"}], "name": "other"}}
        )
    }
    assert parse(raw, ["shop-jobs"]).resources == ()
    assert parse(raw, ["other"]).resources == ("other",)


def test_what_looks_like_a_credential_is_kept_nowhere() -> None:
    key = "AKIA" + "Q" * 16
    record = {
        "userIdentity": {"type": "IAMUser", "userName": f"eve {key}"},
        "userAgent": f"tool token={key}",
        "requestParameters": {key: "x", "userName": "eve"},
    }
    raw = {"Resources": [{"ResourceName": key}, {"ResourceName": "eve"}], "CloudTrailEvent": json.dumps(record)}
    found = parse(raw)
    assert key not in repr(found)
    assert (found.resources, found.fields) == (("eve",), ("userName",))


def test_a_record_that_is_no_json_leaves_the_outer_fields() -> None:
    (found,) = (parse(event) for event in page("broken"))
    assert (found.name, found.principal, found.read_only) == ("PutBucketPolicy", "eve", False)
    assert (found.resources, found.fields, found.error) == (("shop-assets",), (), None)
    assert found.at == datetime(2026, 11, 23, 10, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"CloudTrailEvent": "[1, 2]", "Resources": None, "EventTime": "not a time"},
        {"CloudTrailEvent": '{"userIdentity": 7, "requestParameters": "text", "resources": {}}'},
        {"CloudTrailEvent": "[" * 100_000},
        {"CloudTrailEvent": '{"userIdentity": {"type": "AssumedRole"}}', "EventTime": 1e30},
    ],
)
def test_whatever_comes_is_read(raw: dict[str, Any]) -> None:
    assert parse(raw).principal == "unknown"


def ours(event: TrailEvent) -> bool:
    """Whether an event is of the role that DriftGuard assumes in these recordings."""
    own = read("shop", "TagQueue")
    return own_session(event, frozenset({role_key(f"arn:aws:iam::{own.account}:role/ci/{own.session}")}))


def test_our_own_sessions_are_known_by_their_role_and_by_nothing_else() -> None:
    own = read("shop", "TagQueue")
    assert own.role_session == "driftguard-prod-20261123T093000-0a1b2c3d"
    assert ours(own)
    for other in ("another-role", str(own.session), f"210987654321:{own.session}", f"{own.account}:another-role"):
        assert not own_session(own, frozenset({other}))
    others = [parse(e) for e in page("shop") if e["EventName"] != "TagQueue"]
    assert len(others) == 7
    assert not [e for e in others if ours(e)]
    agent = "aws-sdk-go-v2/1.36 DriftGuard/0.1"
    assert not ours(replace(others[0], role_session="driftguard-prod", user_agent=agent))


# --- asking --------------------------------------------------------------------------------------


def test_many_objects_are_traced_by_one_question(stubbed: Stubbed) -> None:
    stubbed.expect(WRITES, page("shop"))
    events, note = stubbed.trail().events(SHOP, SINCE, UNTIL, KEYS, None)
    assert note is None
    assert [e.at for e in events] == sorted((e.at for e in events), reverse=True)
    found = match(SHOP, events, own=ours, now=UNTIL)
    told = {a: (t.principal, t.event, t.via, t.confidence) for a, t in found.traces.items()}
    exact = Confidence.RESOURCE_AND_FIELD
    assert told == {
        BUCKET.address: ("eve", "PutBucketTagging", "console", exact),
        QUEUE.address: ("ada@example.com (SSO PowerUser)", "SetQueueAttributes", "cli", exact),
        MAILS.address: ("root", "DeleteQueue", "console", exact),
        GROUP.address: ("oncall/bob", "AuthorizeSecurityGroupIngress", "console", exact),
        SECRET.address: ("ci-deploy/GitHubActions", "PutParameter", "terraform", exact),
    }
    assert found.notes == ()
    assert "canary" not in repr((events, found)).lower()


def of(*names: str) -> list[dict[str, Any]]:
    return [event for event in page("shop") if event["EventName"] in names]


def test_a_few_objects_are_asked_for_by_name_and_only_what_that_leaves_open_by_the_window(stubbed: Stubbed) -> None:
    stubbed.expect(("ResourceName", "shop-assets"), of("PutBucketTagging", "GetBucketTagging"))
    events, _ = stubbed.trail().events([BUCKET], SINCE, UNTIL, KEYS, None)
    assert [e.name for e in events] == ["PutBucketTagging"]
    stubbed.stub.assert_no_pending_responses()
    # CloudTrail does not index queues: their names give nothing.
    stubbed.expect(("ResourceName", "shop-jobs"), [])
    stubbed.expect(WRITES, of("SetQueueAttributes", "PutParameter"))
    events, _ = stubbed.trail().events([QUEUE], SINCE, UNTIL, KEYS, None)
    assert [e.resources for e in events if e.name == "SetQueueAttributes"] == [(f"{QUEUE_URL}shop-jobs", "shop-jobs")]


def test_a_failed_call_or_our_own_leaves_the_question_open(stubbed: Stubbed) -> None:
    stubbed.expect(("ResourceName", "shop-assets"), of("PutBucketVersioning", "TagQueue"))
    stubbed.expect(WRITES, of("PutBucketTagging"))
    events, _ = stubbed.trail().events([BUCKET], SINCE, UNTIL, KEYS, None)
    assert "PutBucketTagging" in [e.name for e in events]


def test_pages_follow_one_another_at_two_a_second(stubbed: Stubbed) -> None:
    first, second, third = page("shop")[:3], page("shop")[3:6], page("shop")[6:]
    stubbed.expect(WRITES, first, next_token="a")
    stubbed.expect(WRITES, second, token="a", next_token="b")
    stubbed.expect(WRITES, third, token="b")
    events, note = stubbed.trail().events(SHOP, SINCE, UNTIL, KEYS, None)
    assert len(events) == 7  # one of eight reads
    assert note is None
    assert stubbed.time.slept == [pytest.approx(0.5)] * 2


def test_what_one_environment_learned_serves_the_others(stubbed: Stubbed) -> None:
    stubbed.expect(WRITES, page("shop"))
    trail = stubbed.trail()
    first, _ = trail.events(SHOP, SINCE, UNTIL, KEYS, None)
    again, _ = trail.events(SHOP, SINCE, UNTIL + timedelta(minutes=3), KEYS, None)
    assert again == first
    # Few objects, but the window is known: no name is asked for. Names are found that the first one did not look for.
    topic = replace(QUEUE, address="aws_sqs_queue.b", names=(f"{QUEUE_URL}shop-jobs",))
    (other,), _ = trail.events([topic], SINCE + timedelta(minutes=18), SINCE + timedelta(minutes=22), KEYS, None)
    assert other.resources == topic.names
    stubbed.stub.assert_no_pending_responses()
    # An environment that was last seen clean earlier asks for the time before only.
    stubbed.expect(WRITES, [], since=SINCE - timedelta(hours=2), until=SINCE)
    longer, note = trail.events(SHOP, SINCE - timedelta(hours=2), UNTIL, KEYS, None)
    assert (longer, note) == (first, None)
    # One that comes a while later asks for what came since.
    stubbed.expect(WRITES, page("principals")[:1], since=UNTIL, until=UNTIL + timedelta(hours=1))
    trail.events(SHOP, SINCE, UNTIL + timedelta(hours=1), KEYS, None)


def test_pages_are_bounded_for_each_account_and_region_and_a_cut_is_reported(stubbed: Stubbed) -> None:
    stubbed.expect(WRITES, page("shop")[:2], next_token="a")
    stubbed.expect(WRITES, page("shop")[2:4], token="a", next_token="b")
    trail = stubbed.trail(pages=2)
    events, note = trail.events(SHOP, SINCE, UNTIL, KEYS, None)
    assert len(events) == 3  # one of four reads
    assert note == (
        "CloudTrail in eu-central-1 has more than the 2 pages that one run reads: "
        "what was done before 2026-11-23 09:31 UTC may be missing."
    )
    assert trail.events(SHOP, SINCE, UNTIL, KEYS, None) == (events, note)
    # Another region has pages of its own.
    stubbed.expect(WRITES, [])
    away = [replace(item, region="us-west-2") for item in SHOP]
    assert trail.events(away, SINCE, UNTIL, KEYS, None) == ((), None)
    assert stubbed.regions == [REGION, "us-west-2"]


def test_names_leave_half_of_the_pages_to_the_window(stubbed: Stubbed) -> None:
    trail = stubbed.trail(pages=4)
    for item in (QUEUE, MAILS):
        stubbed.expect(("ResourceName", item.names[0]), [])
    stubbed.expect(WRITES, page("shop"))
    events, note = trail.events([QUEUE, MAILS, GROUP], SINCE, UNTIL, KEYS, None)
    assert (len(events), note) == (7, None)


def test_global_services_are_asked_where_they_log(stubbed: Stubbed) -> None:
    role = thing("aws_iam_role", "worker", paths=("inline_policy",))
    stubbed.expect(("ResourceName", "worker"), [e for e in page("principals") if e["EventName"] == "PutRolePolicy"])
    events, _ = stubbed.trail().events([role], SINCE, UNTIL, KEYS, None)
    assert stubbed.regions == ["us-east-1"]
    trace = match([role], events, own=ours, now=UNTIL).traces[role.address]
    assert (trace.principal, trace.via, trace.confidence) == ("dan (federated)", "api", Confidence.RESOURCE_AND_FIELD)
    stubbed.expect(("ResourceName", "worker"), [])
    stubbed.expect(WRITES, [])
    stubbed.trail().events([role], SINCE, UNTIL, KEYS, "us-gov-east-1")
    assert stubbed.regions[1:] == ["us-gov-west-1"]


def test_no_more_than_what_cloudtrail_keeps_is_asked_for(stubbed: Stubbed) -> None:
    kept = UNTIL - timedelta(days=90) + timedelta(hours=1)
    stubbed.expect(WRITES, [], since=kept)
    assert stubbed.trail().events(SHOP, UNTIL - timedelta(days=400), UNTIL, KEYS, None) == ((), None)
    assert stubbed.trail().events(SHOP, UNTIL, UNTIL, KEYS, None) == ((), None)
    assert stubbed.trail().events([], SINCE, UNTIL, KEYS, None) == ((), None)


# --- not being told ------------------------------------------------------------------------------


def test_a_refusal_is_one_sentence_and_is_not_asked_for_again(stubbed: Stubbed) -> None:
    stubbed.refuse("AccessDeniedException")
    trail = stubbed.trail()
    for _ in range(3):
        assert trail.events(SHOP, SINCE, UNTIL, KEYS, None) == (
            (),
            "CloudTrail could not be asked in eu-central-1: "
            "AccessDeniedException, cloudtrail:LookupEvents is not allowed.",
        )


def test_what_one_identity_may_not_ask_is_asked_by_the_next_and_not_reported_to_the_first(stubbed: Stubbed) -> None:
    # Two roles of one account, as their key ids tell.
    one, other = ({**KEYS, "AWS_ACCESS_KEY_ID": f"ASIAQNZGKIQY56JQ7WM{letter}"} for letter in "LM")
    assert account_of(one["AWS_ACCESS_KEY_ID"]) == account_of(other["AWS_ACCESS_KEY_ID"]) == "account 029608264753"
    trail = stubbed.trail()
    stubbed.refuse("AccessDeniedException")
    assert trail.events(SHOP, SINCE, UNTIL, one, None)[0] == ()
    stubbed.expect(WRITES, page("shop"))
    assert len(trail.events(SHOP, SINCE, UNTIL, other, None)[0]) == 7
    assert trail.events(SHOP, SINCE, UNTIL, one, None)[0] == ()


def test_a_throttled_question_is_repeated_and_given_up_in_the_end_for_everybody(stubbed: Stubbed) -> None:
    stubbed.refuse("ThrottlingException", times=2)
    stubbed.expect(WRITES, page("shop"))
    assert len(stubbed.trail().events(SHOP, SINCE, UNTIL, KEYS, None)[0]) == 7
    assert stubbed.time.slept == [0.5] * 4 + [0.5] * 8  # 2 and 4 seconds, in steps that a stop can end
    stubbed.refuse("ThrottlingException", times=4)
    trail = stubbed.trail()
    for _ in range(2):
        events, note = trail.events(SHOP, SINCE, UNTIL, KEYS, None)
        assert events == ()
        assert note == "CloudTrail could not be asked in eu-central-1: API rate limit exceeded (ThrottlingException)."


def test_a_throttled_later_page_keeps_the_pages_before_it(stubbed: Stubbed) -> None:
    stubbed.expect(WRITES, page("shop")[:4], next_token="a")
    stubbed.refuse("ThrottlingException", times=4)
    events, note = stubbed.trail().events(SHOP, SINCE, UNTIL, KEYS, None)
    assert len(events) == 3
    assert "rate limit exceeded" in (note or "")


OUT_OF_TIME = "CloudTrail was not asked to the end: one run reads it for at most 5 s; the next run continues."


def test_a_wait_that_goes_beyond_the_time_of_a_run_is_not_begun_and_the_rest_is_one_note(stubbed: Stubbed) -> None:
    trail = stubbed.trail(budget_seconds=5)
    stubbed.expect(WRITES, page("shop")[:4], next_token="a")
    stubbed.refuse("ThrottlingException", times=2)
    events, note = trail.events(SHOP, SINCE, UNTIL, KEYS, None)
    assert (len(events), note) == (3, OUT_OF_TIME)  # what was told before counts
    assert sum(stubbed.time.slept) == pytest.approx(0.5 + 2)
    # Other regions and accounts are not asked either, and say the same, so that it is one note for all of them.
    for variables in ({**KEYS, "AWS_REGION": "eu-west-1"}, {**KEYS, "AWS_ACCESS_KEY_ID": "AKIDOTHER"}):
        assert trail.events([replace(QUEUE, region=None)], SINCE, UNTIL, variables, None)[1] == OUT_OF_TIME
    stubbed.stub.assert_no_pending_responses()
    # The next pass asks again.
    stubbed.expect(WRITES, page("shop"))
    assert stubbed.trail(budget_seconds=5).events(SHOP, SINCE, UNTIL, KEYS, None)[1] is None


def test_pages_at_their_pace_end_with_the_time_of_a_run(stubbed: Stubbed) -> None:
    tokens = [f"t{number}" for number in range(11)]
    for number in range(10):  # two a second
        token = tokens[number - 1] if number else None
        stubbed.expect(WRITES, page("shop")[:1], token=token, next_token=tokens[number])
    _, note = stubbed.trail(pages=500, budget_seconds=5).events(SHOP, SINCE, UNTIL, KEYS, None)
    assert note == OUT_OF_TIME
    assert stubbed.time.seconds == pytest.approx(1004.5)


@pytest.mark.parametrize(("throttled", "answers"), [(True, 0), (False, 1)])
def test_a_stop_ends_a_wait_within_half_a_second(stubbed: Stubbed, throttled: bool, answers: int) -> None:
    if throttled:
        stubbed.refuse("ThrottlingException")
    for _ in range(answers):
        stubbed.expect(WRITES, page("shop")[:4], next_token="a")
    trail = stubbed.trail(stopping=lambda: stubbed.time.seconds > 1000.0)
    events, note = trail.events(SHOP, SINCE, UNTIL, KEYS, None)
    assert note == "CloudTrail was not asked to the end: DriftGuard is stopping; the next run continues."
    assert (len(events), stubbed.time.slept) == (3 * answers, [0.5])
    assert trail.events(SHOP, SINCE, UNTIL, {**KEYS, "AWS_ACCESS_KEY_ID": "AKIDOTHER"}, None) == ((), note)


def test_the_probe_states_whether_it_can_be_asked_and_what_to_allow(stubbed: Stubbed) -> None:
    stubbed.stub.add_response("lookup_events", {"Events": []}, {"MaxResults": 1})
    assert stubbed.trail().probe(KEYS, "eu-west-1") == "can be asked in eu-west-1"
    stubbed.refuse("AccessDeniedException")
    assert stubbed.trail().probe(KEYS, None) == (
        "cannot be asked: AccessDeniedException; allow cloudtrail:LookupEvents to the plan role; alerts name no author"
    )
    assert stubbed.trail().probe({}, None).startswith("cannot be asked: no AWS region is known")


def test_without_a_region_nothing_is_asked(stubbed: Stubbed) -> None:
    nowhere = replace(QUEUE, region=None)
    events, note = stubbed.trail().events([nowhere], SINCE, UNTIL, {"AWS_ACCESS_KEY_ID": "x"}, None)
    assert events == ()
    assert note == "CloudTrail could not be asked about aws_sqs_queue.shop-jobs: no AWS region is known."


# --- over the wire -------------------------------------------------------------------------------


class Wire:
    """A CloudTrail on loopback that answers every question with the same page."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.under_way = 0
        self.most_under_way = 0
        self.gate: Callable[[], object] = lambda: None
        lock, wire = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    wire.asked.append((self.headers["Authorization"], body))
                    wire.under_way += 1
                    wire.most_under_way = max(wire.most_under_way, wire.under_way)
                wire.gate()
                with lock:
                    wire.under_way -= 1
                answer = json.dumps({"Events": page("shop")} if wire.status == 200 else {}).encode()
                self.send_response(wire.status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def variables(self, key: str = "AKIDEXAMPLE") -> dict[str, str]:
        return {**KEYS, "AWS_ACCESS_KEY_ID": key, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.server_port}"}


@pytest.fixture
def wire() -> Iterator[Wire]:
    running = Wire()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield running
    finally:
        running.server.shutdown()
        thread.join()
        running.server.server_close()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine whose own process has credentials that no environment is to be asked with."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OWNKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    return monkeypatch


@pytest.mark.usefixtures("machine")
def test_each_environment_asks_with_its_own_credentials(wire: Wire) -> None:
    time = FakeTime()
    trail = CloudTrail(clock=time.clock, sleep=time.sleep)
    for key in ("AKIDONE", "AKIDTWO"):
        events, note = trail.events(SHOP, SINCE, UNTIL, wire.variables(key), None)
        assert (len(events), note) == (7, None)
    assert [authorization.split("Credential=")[1].split("/")[0] for authorization, _ in wire.asked] == [
        "AKIDONE",
        "AKIDTWO",
    ]
    assert [f"/{REGION}/cloudtrail/" in authorization for authorization, _ in wire.asked] == [True, True]


def test_a_profile_of_the_environments_own_files_is_used(
    wire: Wire, machine: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text("[acme]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = x\n")
    variables = {
        "AWS_PROFILE": "acme",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_ENDPOINT_URL": wire.variables()["AWS_ENDPOINT_URL"],
    }
    assert CloudTrail().probe(variables, REGION) == f"can be asked in {REGION}"
    assert "Credential=AKIDPROFILE/" in wire.asked[0][0]
    assert CloudTrail().probe({**variables, "AWS_PROFILE": "gone"}, REGION) == (
        "cannot be asked: there are no AWS credentials to ask with (ProfileNotFound); alerts name no author"
    )


@pytest.mark.usefixtures("machine")
def test_credentials_that_terraform_does_not_see_are_not_used(wire: Wire) -> None:
    variables = {name: value for name, value in wire.variables().items() if "KEY" not in name}
    events, note = CloudTrail().events(SHOP, SINCE, UNTIL, variables | {"AWS_EC2_METADATA_DISABLED": "true"}, None)
    assert (events, wire.asked) == ((), [])
    assert note == (
        "CloudTrail could not be asked in eu-central-1: there are no AWS credentials to ask with (NoCredentialsError)."
    )


@pytest.mark.usefixtures("machine")
def test_forty_environments_at_once_ask_one_account_once_and_one_at_a_time(wire: Wire) -> None:
    time = FakeTime()
    trail = CloudTrail(clock=time.clock, sleep=time.sleep)

    def ask(number: int) -> int:
        item = replace(QUEUE, address=f"aws_sqs_queue.q{number}", names=(f"queue-{number % 3}",))
        return len(trail.events([item], SINCE, UNTIL, wire.variables(), None)[0])

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(40))) == {7}
    assert wire.most_under_way == 1
    assert len(wire.asked) == 3  # one question for each name
    assert sum(time.slept) == pytest.approx(0.5 * (len(wire.asked) - 1))


@pytest.mark.usefixtures("machine")
def test_slow_answers_of_many_accounts_end_with_the_time_of_a_run(wire: Wire) -> None:
    time = FakeTime()
    wire.gate = lambda: time.sleep(25)
    trail = CloudTrail(clock=time.clock, sleep=time.sleep)
    notes = [trail.events(SHOP, SINCE, UNTIL, wire.variables(f"AKID{n}"), None)[1] for n in range(6)]
    rest = "CloudTrail was not asked to the end: one run reads it for at most 60 s; the next run continues."
    assert notes == [None] * 3 + [rest] * 3
    assert len(wire.asked) == 3


@pytest.mark.usefixtures("machine")
def test_what_else_a_run_does_between_two_questions_takes_nothing_from_their_time(wire: Wire) -> None:
    time = FakeTime()
    trail = CloudTrail(clock=time.clock, sleep=time.sleep)
    for key in ("AKIDONE", "AKIDTWO"):
        assert trail.events(SHOP, SINCE, UNTIL, wire.variables(key), None)[1] is None
        time.sleep(300)


@pytest.mark.usefixtures("machine")
def test_accounts_do_not_wait_for_one_another(wire: Wire) -> None:
    both = threading.Barrier(2)
    wire.gate = lambda: both.wait(20)
    trail = CloudTrail()
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(trail.events, SHOP, SINCE, UNTIL, wire.variables(key), None) for key in ("A1", "B2")]
        assert [len(each.result()[0]) for each in asked] == [7, 7]


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("status", [500, 501, 503])
def test_an_endpoint_without_cloudtrail_is_reported_and_not_asked_twice(wire: Wire, status: int) -> None:
    wire.status = status
    trail = CloudTrail()
    for _ in range(2):
        events, note = trail.events(SHOP, SINCE, UNTIL, wire.variables(), None)
        assert events == ()
        assert note == f"CloudTrail could not be asked in eu-central-1: AWS did not answer ({status})."
    assert len(wire.asked) == 1


@pytest.mark.usefixtures("machine")
def test_a_network_that_is_down_is_reported_once_for_all_environments() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        variables = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        events, note = CloudTrail().events(SHOP, SINCE, UNTIL, variables, None)
    assert events == ()
    assert note == "CloudTrail could not be asked in eu-central-1: AWS did not answer (EndpointConnectionError)."


@pytest.mark.parametrize("key", ["", "testing", "AKIDEXAMPLE", "AKIA0000000000000000", "profile default"])
def test_a_key_id_that_names_no_account_stands_for_itself(key: str) -> None:
    assert account_of(key) == key
