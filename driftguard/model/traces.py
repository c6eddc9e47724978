"""Who changed what outside Terraform: drifted objects, CloudTrail's events, and which event fits which object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from driftguard.model.sources import Written

# Where CloudTrail's service differs from the word after `aws_` in a resource's type; the longest prefix wins.
_SERVICES: Final = {
    "acm": "acm",
    "alb": "elasticloadbalancing",
    "ami": "ec2",
    "api_gateway": "apigateway",
    "apigatewayv2": "apigateway",
    "appautoscaling": "autoscaling",
    "autoscaling": "autoscaling",
    "cloudwatch": "monitoring",
    "cloudwatch_event": "events",
    "cloudwatch_log": "logs",
    "cloudwatch_query": "logs",
    "cognito_identity": "cognito-identity",
    "cognito": "cognito-idp",
    "codestarconnections": "codestar-connections",
    "customer_gateway": "ec2",
    "db": "rds",
    "default": "ec2",
    "docdb": "rds",
    "ebs": "ec2",
    "efs": "elasticfilesystem",
    "egress_only_internet_gateway": "ec2",
    "eip": "ec2",
    "elasticsearch": "es",
    "elb": "elasticloadbalancing",
    "flow_log": "ec2",
    "instance": "ec2",
    "internet_gateway": "ec2",
    "key_pair": "ec2",
    "kinesis_firehose": "firehose",
    "launch_configuration": "autoscaling",
    "launch_template": "ec2",
    "lb": "elasticloadbalancing",
    "load_balancer": "elasticloadbalancing",
    "main_route_table_association": "ec2",
    "msk": "kafka",
    "nat_gateway": "ec2",
    "neptune": "rds",
    "network_acl": "ec2",
    "network_interface": "ec2",
    "opensearch": "es",
    "placement_group": "ec2",
    "rds": "rds",
    "route": "ec2",
    "route53": "route53",
    "route53_resolver": "route53resolver",
    "route_table": "ec2",
    "s3control": "s3",
    "security_group": "ec2",
    "service_discovery": "servicediscovery",
    "sfn": "states",
    "spot": "ec2",
    "ssoadmin": "sso",
    "subnet": "ec2",
    "volume_attachment": "ec2",
    "vpc": "ec2",
    "vpn": "ec2",
    "wafv2": "wafv2",
}


#: How a note begins that the next run adds to.
INCOMPLETE_NOTE: Final = "CloudTrail was not asked to the end"


class Confidence(StrEnum):
    """How well an event fits a drifted object, best first."""

    RESOURCE_AND_FIELD = "resource and changed field"
    RESOURCE = "resource"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class DriftedObject:
    """One AWS object that was changed outside Terraform, with what CloudTrail may call it.

    Attributes:
        names: what an event may mention (name, id, URL, ARN), the best one to ask for first; never a secret.
        region: from its ARN or its attributes; None for a global service's object or where neither has one.
        paths: names of the changed top-level attributes, sorted.
        absent: deleted outside Terraform.
        maintenance_window: the weekly time in which AWS maintains it, such as `sun:05:00-sun:06:00`.
    """

    address: str
    type: str
    names: tuple[str, ...]
    region: str | None
    paths: tuple[str, ...]
    absent: bool
    maintenance_window: str | None = None

    @property
    def arn(self) -> str | None:
        """Its ARN; None where it has none."""
        return next((name for name in self.names if name.startswith("arn:")), None)

    @property
    def service(self) -> str:
        """The service whose events concern this type, as in `service.amazonaws.com`."""
        words = self.type.removeprefix("aws_").split("_")
        for count in range(len(words), 0, -1):
            if (found := _SERVICES.get("_".join(words[:count]))) is not None:
                return found
        return words[0]


@dataclass(frozen=True, slots=True)
class TrailEvent:
    """One CloudTrail event, without any value of its request.

    Attributes:
        name: e.g. `PutBucketTagging`; a version at its end (Lambda's `20170331v2`) is kept.
        source: e.g. `s3.amazonaws.com`.
        at: in UTC.
        principal: who, readable; see `Trace`.
        session: the role or permission set that the credentials belong to; None for long-lived identities.
        console: whether it was done in the AWS console.
        resources: the names and ARNs that the event mentions, as far as they are known to name something.
        fields: the keys of its request, at every depth; never their values.
        error: the error's code; None for a call that succeeded.
        role_session: the name of the assumed role's session.
        region: where CloudTrail recorded it; None if the event does not name it.
        account: whose session it is, as the event names it.
        by_service: done by an AWS service itself, on behalf of no principal.
    """

    id: str
    name: str
    source: str
    at: datetime
    principal: str
    session: str | None
    source_ip: str
    user_agent: str
    console: bool
    resources: tuple[str, ...]
    fields: tuple[str, ...]
    read_only: bool
    error: str | None
    role_session: str | None
    region: str | None = None
    account: str | None = None
    by_service: bool = False

    @property
    def service(self) -> str:
        """The source without its domain, e.g. `s3`."""
        return self.source.split(".")[0]

    @property
    def action(self) -> str:
        """The name without a version at its end, e.g. `TagResource` for `TagResource20170331v2`."""
        return re.sub(r"\d{4}_?\d{2}_?\d{2}(?:v\d+)?$", "", self.name)


def own_session(event: TrailEvent, roles: AbstractSet[str]) -> bool:
    """Whether an event is DriftGuard's own: only by the role of its session; a name or a user agent proves nothing.

    Args:
        roles: the roles that DriftGuard assumes, each as `ACCOUNT:NAME`: another account's may have the same name.
    """
    return event.session is not None and f"{event.account}:{event.session}" in roles


def role_key(arn: str) -> str:
    """A role as `ACCOUNT:NAME`, from its ARN; names are unique in an account whatever their paths."""
    parts = arn.split(":")
    return f"{parts[4] if len(parts) > 5 else ''}:{arn.rpartition('/')[2]}"


@dataclass(frozen=True, slots=True)
class Trace:
    """The event that most likely changed one object.

    Attributes:
        event: its name.
        principal: an IAM user's name; `role/session`; `user (SSO PermissionSet)`; `root`; a service;
            `name (federated)`; with ` (source identity NAME)` where a session has one, which roles cannot change.
        via: `console`, `terraform`, `cli`, `sdk`, `service`, `api`; `aws` for a service itself.
        confidence: a `Confidence`; any other text only where a newer DriftGuard wrote it.
        paths: the changed attributes that the event proves; empty where it proves none, or before that was recorded.
    """

    address: str
    event: str
    at: datetime
    principal: str
    source_ip: str
    via: str
    confidence: str
    paths: tuple[str, ...] = ()

    @property
    def names(self) -> bool:
        """Whether the evidence is enough to name the principal: the event names the resource."""
        return self.confidence in (Confidence.RESOURCE_AND_FIELD, Confidence.RESOURCE)


class ObjectTrace(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an alert keeps of one object's origin.

    Attributes:
        changed_by: the event that most likely changed it; None where none is known.
        changed_paths: the changed attributes that `changed_by` was found for.
        note: why `changed_by` is not known, in one sentence.
        written_by: the newest change of its block in git.
        arn: of the object, where the cloud gives it one.
    """

    changed_by: Trace | None = None
    changed_paths: tuple[str, ...] = ()
    note: str | None = None
    written_by: Written | None = None
    arn: str | None = None


@dataclass(frozen=True, slots=True)
class TraceFindings:
    """Who changed what.

    Attributes:
        traces: by address.
        notes: sentences on what is not known.
        reasons: why no event is known, by the address of each object without a trace.
    """

    traces: Mapping[str, Trace]
    notes: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
