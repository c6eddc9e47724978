"""Which event did it: names of drifted objects, how well events fit them, and when nobody is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from driftguard.model.traces import Confidence, DriftedObject, ObjectTrace, TraceFindings, TrailEvent
from driftguard.pipeline.changes import origin
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.pipeline.maintenance import was_open
from driftguard.pipeline.trace import match, objects_of
from driftguard.pipeline.trailcalls import Reach, known_calls, reach
from tests.support.plans import KEY, plan, resource

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SAME_COMMIT = Evidence(has_baseline=True, closure_changed=False, state_written=False)
ARN = "arn:aws:sqs:eu-central-1:123456789012:shop-jobs"
URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/shop-jobs"
QUEUE = DriftedObject("aws_sqs_queue.jobs", "aws_sqs_queue", ("shop-jobs", URL, ARN), "eu-central-1", ("tags",), False)
MAILS = replace(QUEUE, address="aws_sqs_queue.mails", names=("shop-mails",), paths=("visibility_timeout_seconds",))


def drifted(type_: str, *paths: str, name: str = "the-thing", absent: bool = False) -> DriftedObject:
    return DriftedObject(f"{type_}.x", type_, (name,), None, paths, absent)


def event(name: str, *, minutes_ago: float = 30, source: str = "sqs", **more: Any) -> TrailEvent:
    given_: dict[str, Any] = {
        "id": f"{name}-{minutes_ago}-{sorted(more.items(), key=str)}",
        "name": name,
        "source": f"{source}.amazonaws.com",
        "at": NOW - timedelta(minutes=minutes_ago),
        "principal": "eve",
        "session": None,
        "source_ip": "198.51.100.7",
        "user_agent": "",
        "console": False,
        "resources": ("shop-jobs",),
        "fields": (),
        "read_only": False,
        "error": None,
        "role_session": None,
        "region": "eu-central-1",
    }
    return TrailEvent(**(given_ | more))


def matched(
    *events: TrailEvent,
    objects: Iterable[DriftedObject] = (QUEUE,),
    own: Callable[[TrailEvent], bool] = lambda _: False,
) -> TraceFindings:
    return match(tuple(objects), events, own=own, now=NOW)


def confidence(item: DriftedObject, found: TrailEvent) -> Confidence | None:
    trace = matched(found, objects=[item]).traces.get(item.address)
    return Confidence(trace.confidence) if trace else None


# --- objects -------------------------------------------------------------------------------------


def test_an_object_carries_every_name_that_an_event_may_call_it_by_and_no_sensitive_one() -> None:
    state = {"id": URL, "name": "shop-jobs", "arn": ARN, "url": URL, "tags": {"owner": "ada"}, "delay_seconds": 0}
    document = plan(
        resource(
            "aws_sqs_queue.jobs",
            state=state,
            reality={**state, "tags": {"owner": "eve"}, "delay_seconds": 5},
            desired=state,
        ),
        resource(
            "aws_db_instance.main",
            state={"identifier": "canary-name", "id": "db-ABCDEF", "tags": {}},
            reality={"identifier": "canary-name", "id": "db-ABCDEF", "tags": {"a": "b"}},
            desired={"identifier": "canary-name", "id": "db-ABCDEF", "tags": {}},
            sensitive={"identifier": True},
        ),
    )
    database, queue = objects_of(document, classify(document, SAME_COMMIT, KEY))
    assert queue == DriftedObject(
        "aws_sqs_queue.jobs", "aws_sqs_queue", ("shop-jobs", URL, ARN), "eu-central-1", ("delay_seconds", "tags"), False
    )
    assert database.names == ("db-ABCDEF",)
    assert (queue.service, database.service) == ("sqs", "rds")


def test_a_name_that_looks_like_a_credential_is_not_asked_for() -> None:
    state = {"id": "AKIA" + "Q" * 16, "name": "deployer", "status": "Active"}
    document = plan(resource("aws_iam_access_key.a", state=state, reality={**state, "status": "Off"}, desired=state))
    (key,) = objects_of(document, classify(document, SAME_COMMIT, KEY))
    assert key.names == ("deployer",)


def test_an_object_deleted_outside_is_known_by_the_names_it_had() -> None:
    state = {"id": "sg-0123456789abcdef0", "name": "web", "availability_zone": "eu-west-1b"}
    document = plan(resource("aws_security_group.web", state=state, reality=None, desired=state))
    (group,) = objects_of(document, classify(document, SAME_COMMIT, KEY))
    assert group == DriftedObject(
        "aws_security_group.web", "aws_security_group", ("sg-0123456789abcdef0", "web"), "eu-west-1", (), True
    )


def test_a_deletion_that_the_state_has_already_absorbed_is_known_by_the_configured_name() -> None:
    document = plan(resource("aws_s3_bucket.a", state=None, desired={"bucket": "shop-assets"}, actions=["create"]))
    evidence = Evidence(has_baseline=True, closure_changed=False, state_written=True)
    (bucket,) = objects_of(document, classify(document, evidence, KEY))
    assert (bucket.names, bucket.absent) == (("shop-assets",), True)


def test_only_what_was_changed_outside_is_looked_for() -> None:
    tags, more = {"bucket": "shop-assets", "tags": {"a": "1"}}, {"bucket": "shop-assets", "tags": {"a": "2"}}
    document = plan(
        resource("aws_s3_bucket.merged", state=tags, desired=more),
        resource("google_storage_bucket.a", state=tags, reality=more, desired=tags),
        resource("aws_s3_bucket.same", state=tags),
    )
    evidence = Evidence(has_baseline=True, closure_changed=True, state_written=False)
    assert objects_of(document, classify(document, evidence, KEY)) == ()


@pytest.mark.parametrize(
    ("type_", "service"),
    [
        ("aws_sqs_queue", "sqs"),
        ("aws_s3_bucket_versioning", "s3"),
        ("aws_security_group", "ec2"),
        ("aws_vpc_security_group_ingress_rule", "ec2"),
        ("aws_instance", "ec2"),
        ("aws_dynamodb_table", "dynamodb"),
        ("aws_iam_role", "iam"),
        ("aws_db_instance", "rds"),
        ("aws_rds_cluster", "rds"),
        ("aws_lb_listener", "elasticloadbalancing"),
        ("aws_alb", "elasticloadbalancing"),
        ("aws_route53_record", "route53"),
        ("aws_route_table", "ec2"),
        ("aws_cloudwatch_log_group", "logs"),
        ("aws_cloudwatch_metric_alarm", "monitoring"),
    ],
)
def test_a_type_shows_its_service(type_: str, service: str) -> None:
    assert drifted(type_).service == service


# --- confidence ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (drifted("aws_s3_bucket", "tags"), event("PutBucketTagging", source="s3")),
        (drifted("aws_s3_bucket", "tags_all"), event("DeleteBucketTagging", source="s3")),
        (drifted("aws_sqs_queue", "tags"), event("UntagQueue")),
        (drifted("aws_lambda_function", "tags"), event("TagResource20170331v2", source="lambda")),
        (drifted("aws_instance", "tags"), event("CreateTags", source="ec2")),
        (drifted("aws_db_instance", "tags"), event("AddTagsToResource", source="rds")),
        (drifted("aws_s3_bucket", "tags"), event("TagResources", source="tagging")),
        (drifted("aws_security_group", "ingress"), event("AuthorizeSecurityGroupIngress", source="ec2")),
        (drifted("aws_security_group", "ingress"), event("RevokeSecurityGroupIngress", source="ec2")),
        (drifted("aws_security_group", "egress"), event("ModifySecurityGroupRules", source="ec2")),
        (drifted("aws_s3_bucket_versioning", "versioning_configuration"), event("PutBucketVersioning", source="s3")),
        (drifted("aws_s3_bucket", "policy"), event("PutBucketPolicy", source="s3")),
        (drifted("aws_iam_role", "assume_role_policy"), event("UpdateAssumeRolePolicy", source="iam")),
        (drifted("aws_iam_role", "managed_policy_arns"), event("AttachRolePolicy", source="iam")),
        (
            drifted("aws_sqs_queue", "visibility_timeout_seconds"),
            event("SetQueueAttributes", fields=("VisibilityTimeout",)),
        ),
        (
            drifted("aws_sqs_queue", "max_message_size"),
            event("SetQueueAttributes", fields=("MaximumMessageSize", "queueUrl")),
        ),
        (
            drifted("aws_db_instance", "instance_class"),
            event("ModifyDBInstance", source="rds", fields=("dBInstanceClass",)),
        ),
        (
            drifted("aws_db_instance", "ca_cert_identifier"),
            event("ModifyDBInstance", source="rds", fields=("cACertificateIdentifier",)),
        ),
        (
            drifted("aws_lambda_function", "timeout"),
            event("UpdateFunctionConfiguration20150331v2", source="lambda", fields=("timeout",)),
        ),
        (
            drifted("aws_instance", "vpc_security_group_ids"),
            event("ModifyInstanceAttribute", source="ec2", fields=("instanceId", "groupSet", "items", "groupId")),
        ),
        (drifted("aws_autoscaling_group", "desired_capacity"), event("SetDesiredCapacity", source="autoscaling")),
        (drifted("aws_cloudwatch_log_group", "retention_in_days"), event("PutRetentionPolicy", source="logs")),
        (drifted("aws_route53_record", "records"), event("ChangeResourceRecordSets", source="route53")),
        (drifted("aws_kms_key", "enable_key_rotation"), event("DisableKeyRotation", source="kms")),
        (drifted("aws_sqs_queue", absent=True), event("DeleteQueue")),
        (drifted("aws_instance", absent=True), event("TerminateInstances", source="ec2")),
        (drifted("aws_kms_key", absent=True), event("ScheduleKeyDeletion", source="kms")),
        (drifted("aws_security_group_rule", absent=True), event("RevokeSecurityGroupIngress", source="ec2")),
        (drifted("aws_s3_bucket_policy", absent=True), event("DeleteBucketPolicy", source="s3")),
    ],
    ids=lambda value: value.name if isinstance(value, TrailEvent) else value.type,
)
def test_an_event_fits_the_attribute_it_changes(item: DriftedObject, found: TrailEvent) -> None:
    assert confidence(item, replace(found, resources=("the-thing",))) is Confidence.RESOURCE_AND_FIELD


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (drifted("aws_sqs_queue", "tags"), event("SetQueueAttributes", fields=("attributes", "VisibilityTimeout"))),
        (drifted("aws_sqs_queue", "delay_seconds"), event("SetQueueAttributes", fields=("VisibilityTimeout",))),
        (drifted("aws_api_gateway_stage", "tags"), event("UpdateStage", source="apigateway")),
        (drifted("aws_security_group", "ingress"), event("AuthorizeSecurityGroupEgress", source="ec2")),
        (drifted("aws_instance", "instance_type"), event("StopInstances", source="ec2", fields=("instanceId",))),
        (drifted("aws_route_table", "route"), event("AssociateRouteTable", source="ec2")),
        (drifted("aws_s3_bucket", "policy"), event("PutBucketTagging", source="s3")),
        (drifted("aws_db_instance", "instance_class"), event("RebootDBInstance", source="rds")),
        (drifted("aws_sqs_queue", "delay_seconds"), event("DeleteQueue")),
        (drifted("aws_s3_bucket", absent=True), event("DeleteBucketTagging", source="s3")),
        (drifted("aws_iam_role", absent=True), event("DeleteRolePolicy", source="iam")),
    ],
    ids=lambda value: value.name if isinstance(value, TrailEvent) else value.type,
)
def test_an_event_that_cannot_have_made_the_change_proves_nothing(item: DriftedObject, found: TrailEvent) -> None:
    assert confidence(item, replace(found, resources=("the-thing",))) is None
    assert confidence(item, replace(found, resources=())) is None


@pytest.mark.parametrize(
    ("item", "found"),
    [
        # Whoever creates an object names every attribute; it is no sign that this one was changed.
        (drifted("aws_sqs_queue", "tags"), event("CreateQueue", fields=("tags", "queueName"))),
        (drifted("aws_cloudwatch_metric_alarm", "threshold"), event("PutMetricAlarm", source="monitoring")),
        (drifted("aws_sns_topic", "display_name"), event("SetTopicAttributes", source="sns")),
        (drifted("aws_db_instance", "instance_class"), event("ModifyDBInstance", source="rds")),  # keys not recorded
        (drifted("aws_iam_role_policy", absent=True), event("DeleteRole", source="iam")),
        (drifted("aws_lb_listener", absent=True), event("DeleteListener", source="elasticloadbalancing")),
    ],
    ids=lambda value: value.name if isinstance(value, TrailEvent) else value.type,
)
def test_an_event_that_may_have_made_the_change_fits_the_resource(item: DriftedObject, found: TrailEvent) -> None:
    fits = confidence(item, replace(found, resources=("the-thing",)))
    assert fits in (Confidence.RESOURCE, Confidence.RESOURCE_AND_FIELD)
    assert (fits is Confidence.RESOURCE_AND_FIELD) == (item.type == "aws_lb_listener")


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (drifted("aws_sqs_queue", "delay_seconds"), event("ReshapeQueue", fields=("DelaySeconds",))),
        (drifted("aws_glue_job", "timeout"), event("UpdateJob", source="glue", fields=("timeout",))),
        (drifted("aws_eks_cluster", absent=True), event("DeleteEverything", source="eks")),
    ],
    ids=lambda value: value.name if isinstance(value, TrailEvent) else value.type,
)
def test_of_a_call_that_is_not_known_only_the_time_is_evidence_and_no_author_is_named(
    item: DriftedObject, found: TrailEvent
) -> None:
    trace = matched(replace(found, resources=("the-thing",)), objects=[item]).traces[item.address]
    assert (trace.confidence, trace.names) == (Confidence.TIME, False)


def test_a_trace_names_the_changed_attributes_that_its_event_proves() -> None:
    item = drifted("aws_sqs_queue", "delay_seconds", "tags", "visibility_timeout_seconds")
    found = event("SetQueueAttributes", fields=("VisibilityTimeout", "DelaySeconds"), resources=("the-thing",))
    trace = matched(found, objects=[item]).traces[item.address]
    assert trace.paths == ("delay_seconds", "visibility_timeout_seconds")
    (line, *_) = origin(ObjectTrace(changed_by=trace, changed_paths=item.paths), "changed")
    assert line.endswith("(the event names the resource and `delay_seconds`, `visibility_timeout_seconds`, not `tags`)")


def test_the_table_knows_more_than_sixty_calls_that_aws_has() -> None:
    known = known_calls()
    assert sum(len(calls) for calls in known.values()) >= 100
    loader = Loader()
    models = {"elasticloadbalancing": ("elb", "elbv2"), "monitoring": ("cloudwatch",)}
    # CloudTrail writes some calls of S3 in its own way.
    of_s3 = {
        *("PutBucketPublicAccessBlock", "DeleteBucketPublicAccessBlock", "PutAccelerateConfiguration"),
        *("PutBucketLifecycle", "PutBucketNotification"),
    }
    for service, calls in known.items():
        operations: set[str] = set()
        for name in models.get(service, (service,)):
            operations |= set(loader.load_service_model(name, "service-2")["operations"])
        assert set(calls) - operations - (of_s3 if service == "s3" else set()) == set(), service


@given(
    st.sampled_from(sorted((s, c) for s, calls in known_calls().items() for c in calls)),
    st.lists(st.sampled_from(["tags", "policy", "delaySeconds", "Attributes", "x"]), max_size=3),
    st.sampled_from(["tags", "policy", "delay_seconds", "name", "port", "an_attribute_that_no_call_names"]),
)
def test_a_call_that_is_known_never_proves_by_luck(call: tuple[str, str], fields: list[str], attribute: str) -> None:
    found = reach(*call, fields, attribute)
    assert found is not Reach.UNKNOWN
    if attribute == "an_attribute_that_no_call_names":
        assert found is not Reach.PROVEN
    if attribute == "tags" and "tags" not in fields:
        assert found in (Reach.IMPOSSIBLE, Reach.POSSIBLE)
    assert reach("unheard-of", call[1], fields, attribute) in (Reach.UNKNOWN, reach("ec2", "CreateTags", [], attribute))


# --- maintenance and services --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "hours", "open_"),
    [
        ("mon:05:00-mon:06:00", 24, True),  # NOW is a Monday, 12:00
        ("mon:05:00-mon:06:00", 5, False),
        ("sun:23:30-mon:00:30", 12, True),
        ("sun:23:30-mon:00:30", 11, False),
        ("mon:11:30-mon:12:30", 1, True),
        ("mon:12:30-mon:13:30", 24, False),
        ("Tue:05:00-Tue:06:00", 24 * 7, True),
        ("tue:05:00-tue:06:00", 24 * 6, False),
        ("7:05:00", 24 * 7, False),
        ("xyz:05:00-xyz:06:00", 24 * 7, False),
        ("", 24 * 7, False),
    ],
)
def test_a_maintenance_window_between_two_looks_is_known(window: str, hours: float, open_: bool) -> None:
    assert was_open(window, NOW - timedelta(hours=hours), NOW) is open_


def test_without_an_event_a_maintenance_window_is_named() -> None:
    state = {"identifier": "orders", "engine_version": "15.4", "maintenance_window": "mon:05:00-mon:06:00"}
    changed = {**state, "engine_version": "15.7"}
    document = plan(resource("aws_db_instance.orders", state=state, reality=changed, desired=state))
    (database,) = objects_of(document, classify(document, SAME_COMMIT, KEY))
    found = match([database], [], own=lambda _: False, now=NOW, since=NOW - timedelta(hours=24))
    assert found.reasons == {
        "aws_db_instance.orders": "CloudTrail shows nothing for aws_db_instance.orders yet; its maintenance window "
        "(mon:05:00-mon:06:00 UTC) was in that time, in which AWS itself upgrades and applies pending modifications."
    }
    for since in (NOW - timedelta(hours=1), None):
        quiet = match([database], [], own=lambda _: False, now=NOW, since=since).reasons
        assert "maintenance" not in quiet["aws_db_instance.orders"]


def test_each_object_without_a_trace_has_its_own_reason() -> None:
    found = matched(objects=[QUEUE, MAILS]).reasons
    assert {address: address in reason for address, reason in found.items()} == {
        "aws_sqs_queue.jobs": True,
        "aws_sqs_queue.mails": True,
    }


def test_a_change_by_an_aws_service_itself_is_reported_as_such() -> None:
    item = drifted("aws_autoscaling_group", "desired_capacity")
    found = event(
        "SetDesiredCapacity",
        source="autoscaling",
        principal="autoscaling.amazonaws.com",
        by_service=True,
        resources=("the-thing",),
    )
    trace = matched(found, objects=[item]).traces[item.address]
    assert trace.via == "aws"
    (line, *_) = origin(ObjectTrace(changed_by=trace, changed_paths=item.paths), "changed")
    assert line.startswith("Probably changed by the AWS service autoscaling.amazonaws.com itself, 2026-11-23 11:30 UTC")


def test_the_newest_of_the_most_confident_wins_whatever_the_order() -> None:
    events = [
        event("SetQueueAttributes", minutes_ago=1, principal="newest"),
        event("TagQueue", minutes_ago=5, principal="ada"),
        event("TagQueue", minutes_ago=50, principal="old"),
    ]
    for order in (events, events[::-1]):
        trace = matched(*order).traces[QUEUE.address]
        assert (trace.principal, trace.event, trace.at) == ("ada", "TagQueue", NOW - timedelta(minutes=5))
    assert not matched(events[0]).traces  # it cannot have changed tags


def test_what_reads_failed_came_later_or_is_our_own_did_nothing() -> None:
    ours = event("TagQueue", role_session="driftguard-prod-1")
    found = matched(
        event("TagQueue", read_only=True),
        event("TagQueue", error="AccessDenied"),
        event("TagQueue", minutes_ago=-30),
        ours,
        own=lambda e: e is ours,
    )
    assert found.traces == {}
    assert found.notes == ("CloudTrail shows nothing for aws_sqs_queue.jobs yet; delivery can lag 15 minutes.",)


def test_a_clock_a_little_behind_hides_nothing() -> None:
    assert matched(event("TagQueue", minutes_ago=-1)).traces


def test_a_name_of_another_service_or_region_is_another_object_and_an_arn_is_not() -> None:
    assert not matched(event("TagTopic", source="sns")).traces
    assert not matched(event("TagQueue", region="us-east-1")).traces
    assert matched(event("TagQueue", region=None)).traces
    assert matched(event("TagResource", source="sns", resources=(ARN,))).traces


def test_no_user_deletes_by_tagging() -> None:
    gone = replace(QUEUE, absent=True, paths=())
    assert not matched(event("TagQueue"), objects=[gone]).traces
    assert matched(event("TagQueue"), event("DeleteQueue", minutes_ago=60), objects=[gone]).traces


# --- time only -----------------------------------------------------------------------------------


def test_the_only_one_who_wrote_to_the_service_is_named_by_time_alone() -> None:
    unnamed = event("TagQueue", resources=())
    trace = matched(unnamed, event("RunInstances", source="ec2", principal="bob")).traces[QUEUE.address]
    assert (trace.principal, trace.confidence) == ("eve", Confidence.TIME)


def test_two_who_wrote_to_the_service_are_both_left_in_peace() -> None:
    assert not matched(event("TagQueue", resources=()), event("TagQueue", resources=(), principal="bob")).traces
    # bob's call is explained by the other queue; that he was there is enough.
    found = matched(
        event("SetQueueAttributes", resources=(), principal="eve"),
        event("TagQueue", principal="bob"),
        objects=[QUEUE, MAILS],
    )
    assert set(found.traces) == {QUEUE.address}


def test_an_event_that_explains_one_object_states_nothing_of_another() -> None:
    found = matched(event("TagQueue"), objects=[QUEUE, MAILS])
    assert set(found.traces) == {QUEUE.address}


def test_by_time_alone_no_user_deleted_without_a_deletion_and_no_creation_changed_anything() -> None:
    gone = replace(QUEUE, absent=True, paths=())
    assert not matched(event("TagQueue", resources=()), objects=[gone]).traces
    assert matched(event("DeleteQueue", resources=()), objects=[gone]).traces
    assert not matched(event("CreateQueue", resources=("another",))).traces


# --- what is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "console", "ip", "via"),
    [
        ("Mozilla/5.0 (X11)", True, "198.51.100.7", "console"),
        ("AWS Internal", True, "AWS Internal", "console"),
        ("aws-cli/2.19.4 exec-env/CloudShell", True, "198.51.100.7", "cli"),
        ("APN/1.0 HashiCorp/1.0 Terraform/1.11.4 aws-sdk-go-v2/1.36", False, "198.51.100.7", "terraform"),
        ("Boto3/1.44.5 md/Botocore#1.44.5", False, "198.51.100.7", "sdk"),
        ("aws-sdk-java/2.30", True, "198.51.100.7", "console"),
        ("autoscaling.amazonaws.com", False, "autoscaling.amazonaws.com", "service"),
        ("curl/8.5.0", False, "198.51.100.7", "api"),
    ],
)
def test_a_trace_shows_by_which_way_it_was_done(agent: str, console: bool, ip: str, via: str) -> None:
    trace = matched(event("TagQueue", user_agent=agent, console=console, source_ip=ip)).traces[QUEUE.address]
    assert (trace.via, trace.source_ip) == (via, ip)


def test_many_objects_without_a_trace_make_one_note() -> None:
    many = [replace(QUEUE, address=f"aws_sqs_queue.q[{n}]", names=(f"queue-{n}",)) for n in range(40)]
    (note,) = matched(objects=many).notes
    assert note.startswith("CloudTrail shows nothing for 40 resources (aws_sqs_queue.q[0], ")
    assert note.endswith("delivery can lag 15 minutes.")
    assert matched(objects=()).notes == ()


_EVENTS = st.builds(
    event,
    st.sampled_from(["TagQueue", "SetQueueAttributes", "DeleteQueue", "CreateQueue", "AddPermission"]),
    minutes_ago=st.integers(-60, 600),
    principal=st.sampled_from(["eve", "bob", "ours"]),
    resources=st.sampled_from([(), ("shop-jobs",), ("shop-mails",), (ARN,), ("other",)]),
    read_only=st.booleans(),
    error=st.sampled_from([None, "AccessDenied"]),
)


@given(st.lists(_EVENTS, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_events_and_their_repetition_change_nothing(events: list[TrailEvent], random: Any) -> None:
    def ours(e: TrailEvent) -> bool:
        return e.principal == "ours"

    found = matched(*events, objects=[QUEUE, MAILS], own=ours)
    shuffled = events * 2
    random.shuffle(shuffled)
    assert matched(*shuffled, objects=[MAILS, QUEUE], own=ours).traces == found.traces
    assert len(found.traces) + len(found.notes) == 2
    assert not [t for t in found.traces.values() if t.principal == "ours"]
    possible = {(e.name, e.at, e.principal) for e in events if not e.read_only and e.error is None}
    assert {(t.event, t.at, t.principal) for t in found.traces.values()} <= possible
