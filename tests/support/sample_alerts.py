"""Alerts as one pass after the other makes them of reports, for golden texts and the picture in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from driftguard.config import AlertSettings
from driftguard.model import (
    Acknowledgement,
    Action,
    Alert,
    AlertState,
    AttributeChange,
    Classification,
    Commit,
    Confidence,
    Decision,
    EnvironmentResult,
    ErrorKind,
    Fault,
    Label,
    Message,
    Notice,
    ObjectTrace,
    ResourceChange,
    Trace,
    Verdict,
    Written,
)
from driftguard.model.reasons import Reason
from driftguard.model.report import ABSENT_VALUE, DecisionReport, EnvironmentReport
from driftguard.pipeline.alert.guides import Guidance, Guide
from driftguard.pipeline.alert.lifecycle import acknowledged, follow
from driftguard.pipeline.alert.text import message_of
from driftguard.report import environment_report
from driftguard.sealed import ABSENT, PRESENT, Sealed, reveal

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
REPOSITORY = "git@github.com:acme/infra.git"
HEAD = "9c41f0d2a7b3e5c86d1f0a2b4c6d8e0f12345678"
RESIZE = Commit("4be1c90a57f24d0c8a6b3e1f9d7c5a2b0e8f6d41", "Grace Hopper", NOON, "web: larger machines for the sale")
_RULES = {Label.RESIDUE: "tainted object", Label.REFACTOR: "moved from aws_sqs_queue.old"}


def change(
    path: str,
    label: Label,
    state: Any,
    reality: Any,
    desired: Any,
    *,
    secret: bool = False,
    forces_replacement: bool = False,
    certain: bool = True,
    unknown: bool = False,
) -> AttributeChange:
    """One changed attribute."""
    return AttributeChange(
        path=path,
        label=label,
        state=Sealed(state, secret=secret),
        reality=Sealed(reality, secret=secret),
        desired=Sealed(desired, secret=secret),
        baseline=None,
        rule=_RULES.get(label, ""),
        certain=certain,
        forces_replacement=forces_replacement,
        unknown=unknown,
    )


def outside(path: str, before: Any, after: Any) -> AttributeChange:
    """An attribute that was changed outside from what git wants."""
    return change(path, Label.DRIFT, before, after, before)


DELETED = change("", Label.DRIFT, PRESENT, ABSENT, PRESENT)


def resource(address: str, *attributes: AttributeChange) -> ResourceChange:
    """One changed resource."""
    labels = frozenset(attribute.label for attribute in attributes)
    kind = address.split("[")[0].split(".")[-2]
    return ResourceChange(
        address, kind, "registry.terraform.io/hashicorp/aws", _planned(attributes), labels, True, attributes
    )


def _planned(attributes: Sequence[AttributeChange]) -> tuple[str, ...]:
    """Terraform's words for what a plan does to a resource."""
    if any(attribute.label is Label.RESIDUE for attribute in attributes):
        return ("delete", "create")
    for attribute in (a for a in attributes if not a.path):
        if reveal(attribute.desired, "") == ABSENT_VALUE:
            return ("delete",)
        if reveal(attribute.reality, "") == ABSENT_VALUE:
            return ("create",)
    return ("delete", "create") if any(a.forces_replacement for a in attributes) else ("update",)


def report(
    name: str,
    verdict: Verdict,
    *resources: ResourceChange,
    action: Action = Action.ALERT,
    reasons: Sequence[str] = (),
    commits: Sequence[Commit] = (),
    fault: Fault | None = None,
    fingerprint: str | None = None,
    closure_hash: str = "c1",
) -> EnvironmentReport:
    """One environment of a JSON report."""
    drifted = any({Label.DRIFT, Label.ABSORBED, Label.CONFLICT} & changed.labels for changed in resources)
    return environment_report(
        EnvironmentResult(
            name=name,
            path=f"environments/{name}",
            workspace="default",
            verdict=verdict,
            closure_hash=closure_hash,
            baseline=None,
            decision=Decision(action, tuple(map(Reason.parse, reasons))),
            classification=None
            if verdict is Verdict.UNKNOWN
            else Classification(verdict, resources, (), (fingerprint or "f1") if drifted else None, "p1"),
            commits=tuple(commits),
            fault=fault,
        )
    )


@dataclass
class Passes:
    """One environment after another look, with the alerts and notices that follow.

    Attributes:
        alerts: as the ledger keeps them, by id, in the order in which they began.
        notices: every one, oldest first.
    """

    rules: AlertSettings = field(default_factory=AlertSettings)
    now: datetime = NOON
    alerts: dict[str, Alert] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    passes: int = 0

    def look(self, *environments: EnvironmentReport, after: timedelta = timedelta(minutes=15)) -> list[Notice]:
        """One pass over environments; what it gave to tell."""
        if self.passes:
            self.now += after
        self.passes += 1
        sent: list[Notice] = []
        for environment in environments:
            before = [alert for alert in self.alerts.values() if alert.environment == environment.name]
            followed = follow(
                environment, before, commit=HEAD, run_id=f"run-{self.passes}", now=self.now, rules=self.rules
            )
            self.alerts |= {alert.id: alert for alert in followed.alerts}
            sent += followed.notices
        self.notices += sent
        return sent

    def standing(self) -> list[Alert]:
        """The alerts that were sent and are not resolved."""
        return [alert for alert in self.alerts.values() if alert.state is AlertState.OPEN]


def in_sync(name: str, **more: Any) -> EnvironmentReport:
    """A report in which nothing is to be done."""
    return report(name, Verdict.IN_SYNC, action=Action.NONE, reasons=["in_sync"], **more)


def drifted(name: str, *resources: ResourceChange, **more: Any) -> EnvironmentReport:
    """A report of drift that is only alerted."""
    return report(name, Verdict.DRIFTED, *resources, reasons=["policy_alert: drift"], **more)


def unknown(name: str, kind: ErrorKind, message: str) -> EnvironmentReport:
    """A report of an environment that could not be planned."""
    return report(name, Verdict.UNKNOWN, reasons=[f"unknown: {kind.value}"], fault=Fault(kind, message))


def changed_by(
    address: str,
    principal: str,
    event: str,
    *,
    source_ip: str = "203.0.113.7",
    via: str = "console",
    confidence: str = Confidence.RESOURCE_AND_FIELD,
) -> Trace:
    """CloudTrail's event of a change, as an alert keeps it."""
    at = datetime(2026, 11, 23, 11, 41, 8, tzinfo=UTC)
    return Trace(address, event, at, principal, source_ip, via, confidence)


WRITTEN_BY = Written(
    commit="7d2e91c4b08a4f6e9d3c5b7a1e0f2d4c6b8a9071",
    author="Ada Lovelace",
    date=datetime(2026, 3, 2, 10, 15, tzinfo=UTC),
    subject="assets: keep old versions for the auditors",
    path="environments/prod-eu/storage.tf",
    line=12,
)


# --- the messages that documentation and golden texts show -----------------------------------------

ASSETS = "aws_s3_bucket.assets"
ONCALL = "<!subteam^S0PLATFORM>"
RUN = "https://ci.example.org/acme/infra/runs/4711"
_HELD = "limit_destroys: 2 of at most 0"


_APPLY = "git switch main && git pull && cd environments/{} && terraform init && terraform apply"
GUIDANCE = Guidance(
    "main",
    {name: Guide(apply=_APPLY.format(name)) for name in ("prod-eu", "staging")},
    "https://wiki.example.org/runbooks/{type}",
)


@dataclass(frozen=True)
class Sample:
    """Alerts that one message shows, with what else it is made of."""

    alerts: Sequence[Alert]
    notices: Sequence[Notice]
    now: datetime
    more: Mapping[str, Any] = field(default_factory=dict)

    def message(self) -> Message:
        """It in words."""
        return message_of(self.alerts, now=self.now, repository=REPOSITORY, guidance=GUIDANCE, **self.more)


def drift_of_one_attribute() -> Sample:
    over_time = Passes()
    over_time.look(drifted("prod-eu", resource(ASSETS, outside("versioning[0].enabled", True, False))))
    (alert,) = over_time.standing()
    eve = changed_by(ASSETS, "eve (SSO AdministratorAccess)", "PutBucketVersioning")
    trace = ObjectTrace(changed_by=eve, written_by=WRITTEN_BY)
    return Sample(
        [replace(alert, traces={ASSETS: trace})], over_time.notices, NOON, {"mention": ONCALL, "run_url": RUN}
    )


def deleted_outside() -> Sample:
    over_time = Passes()
    over_time.look(drifted("prod-eu", resource("module.orders.aws_sqs_queue.dead_letters", DELETED)))
    (alert,) = over_time.standing()
    address = "module.orders.aws_sqs_queue.dead_letters"
    who = changed_by(
        address, "deploy/ci-cleanup", "DeleteQueue", source_ip="", via="sdk", confidence=Confidence.RESOURCE
    )
    return Sample(
        [replace(alert, traces={address: ObjectTrace(changed_by=who)})],
        over_time.notices,
        NOON,
        {"mention": ONCALL},
    )


def diverged_with_conflict() -> Sample:
    ssh = {"cidr_blocks": ["0.0.0.0/0"], "description": "", "from_port": 22, "protocol": "tcp", "to_port": 22}
    resize = change("instance_type", Label.CONFLICT, "m5.large", "m5.2xlarge", "m5.xlarge")
    key = change("key_name", Label.PENDING, "2024", "2024", "2026", forces_replacement=True)
    password = change("user_data", Label.DRIFT, "old", "new", "old", secret=True)
    over_time = Passes()
    over_time.look(
        report(
            "prod-eu",
            Verdict.DIVERGED,
            resource("aws_instance.web", resize, key, password),
            resource("aws_security_group.web", outside("ingress[]", "absent", ssh)),
            resource("aws_s3_bucket.sale", change("", Label.PENDING, ABSENT, ABSENT, PRESENT)),
            action=Action.HOLD,
            reasons=["conflict: aws_instance.web instance_type", "mixed_with_drift: aws_security_group.web"],
            commits=[
                RESIZE,
                Commit(
                    "7d2e91c4b08a4f6e9d3c5b7a1e0f2d4c6b8a9071",
                    "Ada Lovelace",
                    NOON,
                    "sale: a bucket for <campaigns> & friends",
                ),
            ],
        )
    )
    note = "CloudTrail shows nothing for it yet; delivery can lag 15 minutes."
    (alert,) = over_time.standing()
    return Sample([replace(alert, traces={"aws_security_group.web": ObjectTrace(note=note)})], over_time.notices, NOON)


def forty_of_one_cause() -> Sample:
    over_time = Passes()
    tags = resource("aws_s3_bucket.logs", outside("tags.owner", "core", "absent"))
    over_time.look(*(drifted(f"edge-{number:02}", tags) for number in range(1, 41)))
    return Sample(over_time.standing(), over_time.notices, NOON)


def some_of_forty_resolved() -> Sample:
    over_time = Passes()
    tags = resource("aws_s3_bucket.logs", outside("tags.owner", "core", "absent"))
    over_time.look(*(drifted(f"edge-{number:02}", tags) for number in range(1, 41)))
    over_time.look(*(in_sync(f"edge-{number:02}") for number in range(1, 38)))
    return Sample(tuple(over_time.alerts.values()), over_time.notices[-37:], over_time.now)


def resolved() -> Sample:
    before = drift_of_one_attribute()
    over_time = Passes(alerts={alert.id: alert for alert in before.alerts}, passes=1)
    over_time.look(in_sync("prod-eu"), after=timedelta(hours=2))
    return Sample(tuple(over_time.alerts.values()), over_time.notices, over_time.now, before.more)


def cannot_be_judged() -> Sample:
    denied = (
        "AccessDenied: not authorized to perform s3:GetBucketTagging\n  with aws_s3_bucket.assets, storage.tf line 12"
    )
    over_time = Passes()
    for _ in range(2):
        over_time.look(unknown("staging", ErrorKind.DENIED, denied))
    return Sample(over_time.standing(), over_time.notices, over_time.now)


def held_for_a_person() -> Sample:
    smaller = resource("aws_db_instance.orders", change("", Label.PENDING, PRESENT, PRESENT, ABSENT))
    larger = resource(
        "module.web.aws_launch_template.web",
        change("instance_type", Label.PENDING, "m5.large", "m5.large", "m5.xlarge"),
    )
    over_time = Passes()
    over_time.look(
        report(
            "prod-eu",
            Verdict.PENDING,
            smaller,
            larger,
            action=Action.HOLD,
            reasons=[_HELD, "protected: aws_db_instance.orders"],
            commits=[RESIZE],
        )
    )
    return Sample(over_time.standing(), over_time.notices, NOON, {"meant_for": NOON - timedelta(hours=20)})


def long_drift() -> Sample:
    many = [
        resource(f'module.shop["{place}"].aws_instance.web[{index}]', outside("ebs_optimized", True, False))
        for place in ("berlin", "paris", "vienna")
        for index in range(11)
    ]
    over_time = Passes()
    over_time.look(drifted("prod-eu", *many))
    return Sample(over_time.standing(), over_time.notices, NOON)


def data_deleted_outside() -> Sample:
    over_time = Passes()
    tags = resource("aws_s3_bucket.logs", outside("tags.owner", "core", "eve"))
    over_time.look(drifted("prod-eu", resource("aws_db_instance.orders", DELETED), tags))
    (alert,) = over_time.standing()
    who = changed_by("aws_db_instance.orders", "eve (SSO AdministratorAccess)", "DeleteDBInstance")
    arn = "arn:aws:rds:eu-west-1:123456789012:db:orders"
    trace = ObjectTrace(changed_by=who, arn=arn)
    return Sample([replace(alert, traces={"aws_db_instance.orders": trace})], over_time.notices, NOON)


def replaced_by_a_revert() -> Sample:
    zone = change("availability_zone", Label.DRIFT, "eu-west-1a", "eu-west-1b", "eu-west-1a", forces_replacement=True)
    over_time = Passes()
    over_time.look(drifted("prod-eu", resource("aws_db_instance.orders", zone)))
    (alert,) = over_time.standing()
    arn = "arn:aws:rds:eu-west-1:123456789012:db:orders"
    return Sample([replace(alert, traces={"aws_db_instance.orders": ObjectTrace(arn=arn)})], over_time.notices, NOON)


_REFUSED = "Error: creating EC2 instance: InsufficientInstanceCapacity\n\n  with aws_instance.web, on web.tf line 3"


def _larger(*reasons: str) -> EnvironmentReport:
    web = resource("aws_instance.web", change("instance_type", Label.PENDING, "m5.large", "m5.large", "m5.xlarge"))
    return report("prod-eu", Verdict.PENDING, web, action=Action.HOLD, reasons=reasons, commits=[RESIZE])


def failed_apply() -> Sample:
    over_time = Passes()
    over_time.look(_larger(f"apply_failed: {_REFUSED}"))
    return Sample(over_time.standing(), over_time.notices, NOON)


def failed_apply_in_the_next_run() -> Sample:
    over_time = Passes()
    over_time.look(_larger(f"apply_failed: {_REFUSED}"))
    over_time.look(_larger("backoff: until 2026-11-23 18:00 UTC"), after=timedelta(hours=3))
    return Sample(over_time.standing(), over_time.notices, over_time.now)


def environment_removed() -> Sample:
    over_time = Passes()
    gone = Fault(ErrorKind.CONFIG, "Its directory was removed from git.")
    over_time.look(report("old-eu", Verdict.UNKNOWN, reasons=["environment_removed"], fault=gone))
    return Sample(over_time.standing(), over_time.notices, NOON)


def proposed_pull_request() -> Sample:
    return _proposed("https://github.com/acme/infra/pull/12")


def proposed_branch() -> Sample:
    return _proposed("driftguard/prod-eu/0123abcd-revert")


def _proposed(where: str) -> Sample:
    over_time = Passes()
    over_time.look(
        report(
            "prod-eu",
            Verdict.DRIFTED,
            resource(ASSETS, outside("versioning[0].enabled", True, False)),
            action=Action.PROPOSE,
            reasons=["policy_propose", f"proposed: {where}"],
        )
    )
    return Sample(over_time.standing(), over_time.notices, NOON)


def not_applied_for_days() -> Sample:
    over_time = Passes()
    pending = structs.replace(_larger("policy_alert: pending"), decision=_ALERT_ONLY)
    for _ in range(3):
        over_time.look(pending, after=timedelta(days=1))
    return Sample(over_time.standing(), over_time.notices, over_time.now)


_ALERT_ONLY = DecisionReport("alert", ("policy_alert: pending",))


def drift_open_for_days() -> Sample:
    before = drift_of_one_attribute()
    over_time = Passes(alerts={alert.id: alert for alert in before.alerts}, passes=1)
    assets = resource(ASSETS, outside("versioning[0].enabled", True, False))
    over_time.look(drifted("prod-eu", assets), after=timedelta(days=3))
    return Sample(over_time.standing(), over_time.notices, over_time.now, before.more)


def equal_rules_of_a_group() -> Sample:
    rules = [outside(f"ingress[{n}].description", "office", "") for n in range(20)]
    more = [outside("tags.cost", 0, "absent"), outside("revoke_rules_on_delete", False, True)]
    over_time = Passes()
    over_time.look(drifted("prod-eu", resource("aws_security_group.web", *rules, *more)))
    return Sample(over_time.standing(), over_time.notices, NOON)


def left_behind_by_a_failed_apply() -> Sample:
    over_time = Passes()
    over_time.look(drifted("prod-eu", resource("aws_instance.web", change("", Label.RESIDUE, "a", "a", "a"))))
    return Sample(over_time.standing(), over_time.notices, NOON)


def state_is_locked() -> Sample:
    over_time = Passes()
    locked = "Error acquiring the state lock: held by ci@runner-7 since 2026-11-23 11:58 UTC (OperationTypeApply)"
    for _ in range(2):
        over_time.look(unknown("prod-eu", ErrorKind.LOCKED, locked))
    return Sample(over_time.standing(), over_time.notices, over_time.now)


def certificate_is_due() -> Sample:
    over_time = Passes()
    due = change(
        "validity_end_time", Label.INPUT, "2026-11-01", "2026-11-01", None, forces_replacement=True, unknown=True
    )
    renewed = report(
        "prod-eu",
        Verdict.PENDING,
        resource("tls_self_signed_cert.web", due),
        action=Action.HOLD,
        reasons=["limit_replaces: 1 of at most 0"],
    )
    over_time.look(renewed)
    return Sample(over_time.standing(), over_time.notices, NOON)


def comes_and_goes() -> Sample:
    over_time = Passes()
    count = resource("aws_ecs_service.web", outside("desired_count", 2, 5))
    for found in (drifted("prod-eu", count), in_sync("prod-eu")) * 3:
        over_time.look(found)
    return Sample(over_time.standing(), over_time.notices, over_time.now)


def became_worse() -> Sample:
    over_time = Passes()
    tags = resource("aws_s3_bucket.logs", outside("tags.owner", "core", "eve"))
    over_time.look(drifted("prod-eu", tags))
    gone = resource("aws_db_instance.orders", DELETED)
    over_time.look(drifted("prod-eu", tags, gone, fingerprint="f2"), after=timedelta(hours=3))
    return Sample(over_time.standing(), over_time.notices, over_time.now, {"mention": ONCALL})


def acknowledged_drift() -> Sample:
    over_time = Passes()
    over_time.look(drifted("prod-eu", resource(ASSETS, outside("versioning[0].enabled", True, False))))
    (alert,) = over_time.standing()
    word = Acknowledgement("ada", NOON, "fixed with the release of Tuesday", NOON + timedelta(days=2))
    after = acknowledged(alert, word, "ack")
    return Sample(after.alerts, after.notices, NOON + timedelta(hours=1))


SAMPLES = (
    comes_and_goes,
    acknowledged_drift,
    became_worse,
    drift_of_one_attribute,
    deleted_outside,
    diverged_with_conflict,
    forty_of_one_cause,
    some_of_forty_resolved,
    resolved,
    cannot_be_judged,
    held_for_a_person,
    long_drift,
    data_deleted_outside,
    replaced_by_a_revert,
    failed_apply,
    failed_apply_in_the_next_run,
    environment_removed,
    proposed_pull_request,
    proposed_branch,
    not_applied_for_days,
    drift_open_for_days,
    equal_rules_of_a_group,
    left_behind_by_a_failed_apply,
    state_is_locked,
    certificate_is_due,
)
