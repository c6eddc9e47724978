"""Large plans as `terraform show -json` prints them, made of resources like AWS's."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

Json = dict[str, Any]

_ACCOUNT = "123456789012"
_REGION = "eu-central-1"


class _Object(NamedTuple):
    """One resource in the three views of a plan, and what is planned for it."""

    state: Json
    reality: Json
    desired: Json | None
    actions: list[str]
    unknown: Json
    replace_paths: list[list[str]]


def plan_text(resources: int, *, changed_every: int, per_block: int) -> bytes:
    """A plan in which every n-th resource changes, in one of six ways, with all the parts that repeat its values.

    Args:
        per_block: how many resources are instances of one block of the configuration.
    """
    changes, drift, planned, prior = [], [], [], []
    for number in range(resources):
        identity = _identity(number, per_block)
        attributes = _attributes(identity)
        if number % changed_every:
            planned_object = _Object(attributes, attributes, attributes, ["no-op"], {}, [])
        else:
            planned_object = _changed(number // changed_every % 6, attributes)
        state, reality, desired, actions, unknown, replace_paths = planned_object
        change = _change(actions, reality, desired, unknown)
        if replace_paths:
            change["replace_paths"] = replace_paths
        changes.append({**identity, "change": change})
        if state != reality:
            drift.append({**identity, "change": _change(["update"], state, reality, {})})
        stored = {key: value for key, value in identity.items() if key != "module_address"}
        if desired is not None:
            planned.append({**stored, "schema_version": 0, "values": desired})
        prior.append({**stored, "schema_version": 0, "values": reality})
    plan = {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "planned_values": {"root_module": {"child_modules": [{"address": "module.app", "resources": planned}]}},
        "resource_drift": drift,
        "resource_changes": changes,
        "prior_state": {
            "format_version": "1.0",
            "terraform_version": "1.11.4",
            "values": {"root_module": {"child_modules": [{"address": "module.app", "resources": prior}]}},
        },
        "configuration": _configuration(resources, per_block),
        "complete": True,
        "errored": False,
    }
    return json.dumps(plan, separators=(",", ":")).encode()


def _block(number: int, per_block: int) -> tuple[str, str]:
    """Type and name of the block that a resource is an instance of."""
    types = ("aws_sqs_queue", "aws_cloudwatch_log_group", "aws_iam_role", "aws_security_group")
    block = number // per_block
    return types[block % 4], f"part{block}"


def _identity(number: int, per_block: int) -> Json:
    kind, name = _block(number, per_block)
    return {
        "address": f'module.app.{kind}.{name}["k{number}"]',
        "module_address": "module.app",
        "mode": "managed",
        "type": kind,
        "name": name,
        "index": f"k{number}",
        "provider_name": "registry.terraform.io/hashicorp/aws",
    }


def _attributes(identity: Json) -> Json:
    kind, name = identity["type"], f"shop-{identity['index']}"
    tags = {"environment": "prod", "owner": f"team-{name}", "managed-by": "terraform"}
    common: Json = {"id": name, "name": name, "tags": tags, "tags_all": tags}
    if kind == "aws_sqs_queue":
        return {
            **common,
            "arn": f"arn:aws:sqs:{_REGION}:{_ACCOUNT}:{name}",
            "delay_seconds": 0,
            "fifo_queue": False,
            "kms_master_key_id": "",
            "max_message_size": 262144,
            "redrive_policy": _text({"deadLetterTargetArn": "arn:aws:sqs:x:1:dead", "maxReceiveCount": 3}),
        }
    if kind == "aws_cloudwatch_log_group":
        arn = f"arn:aws:logs:{_REGION}:{_ACCOUNT}:log-group:{name}"
        return {**common, "arn": arn, "kms_key_id": None, "name_prefix": None, "retention_in_days": 30}
    if kind == "aws_iam_role":
        principal = {"Service": "ecs-tasks.amazonaws.com"}
        statement = [{"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": principal}]
        return {
            **common,
            "arn": f"arn:aws:iam::{_ACCOUNT}:role/{name}",
            "assume_role_policy": _text({"Statement": statement, "Version": "2012-10-17"}),
            "inline_policy": [],
            "max_session_duration": 3600,
        }
    rule = {"cidr_blocks": ["10.0.0.0/8"], "description": "https", "from_port": 443, "protocol": "tcp", "to_port": 443}
    return {
        **common,
        "arn": f"arn:aws:ec2:{_REGION}:{_ACCOUNT}:security-group/{name}",
        "egress": [],
        "ingress": [rule, {**rule, "description": "http", "from_port": 80, "to_port": 80}],
        "vpc_id": "vpc-0123456789abcdef0",
    }


def _changed(way: int, before: Json) -> _Object:
    elsewhere = {**before, "tags": {**before["tags"], "owner": "someone"}}
    elsewhere["tags_all"] = elsewhere["tags"]
    match way:
        case 0:  # changed outside, to be reverted
            return _Object(before, elsewhere, before, ["update"], {}, [])
        case 1:  # changed by a commit
            return _Object(before, before, elsewhere, ["update"], {}, [])
        case 2:  # replaced, with values that are known only after apply
            wanted = {key: value for key, value in before.items() if key not in ("arn", "id")}
            wanted["name"] += "-new"
            return _Object(before, before, wanted, ["delete", "create"], {"arn": True, "id": True}, [["name"]])
        case 3:  # removed from the configuration
            return _Object(before, before, None, ["delete"], {}, [])
        case 4:  # changed outside, and the configuration ignores it
            return _Object(before, elsewhere, elsewhere, ["no-op"], {}, [])
        case _:  # both, in different places
            committed = {**before, "tags": {**before["tags"], "cost-center": "4711"}}
            return _Object(before, elsewhere, committed, ["update"], {"tags_all": True}, [])


def _change(actions: list[str], before: Json, after: Json | None, unknown: Json) -> Json:
    return {
        "actions": actions,
        "before": before,
        "after": after,
        "after_unknown": unknown,
        "before_sensitive": {"tags": {}, "tags_all": {}},
        "after_sensitive": {"tags": {}, "tags_all": {}} if after is not None else False,
    }


def _configuration(resources: int, per_block: int) -> Json:
    blocks = []
    for number in range(0, resources, per_block):
        kind, name = _block(number, per_block)
        expressions = {"name": {"references": ["each.key"]}, "tags": {"references": ["var.tags"]}}
        blocks.append(
            {
                "address": f"{kind}.{name}",
                "mode": "managed",
                "type": kind,
                "name": name,
                "provider_config_key": "aws",
                "expressions": expressions,
                "schema_version": 0,
                "for_each_expression": {"references": ["var.names"]},
            }
        )
    call = {"source": "../../modules/app", "expressions": {"tags": {"references": ["local.tags"]}}}
    return {"root_module": {"module_calls": {"app": {**call, "module": {"resources": blocks}}}}}


def _text(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"))
