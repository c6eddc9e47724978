"""What a scan says of changes made outside and of merged commits, on real Terraform and the real AWS provider."""

from __future__ import annotations

import pytest

from tests.support.aws import Shop, attribute, labels, resource, values

pytestmark = [pytest.mark.terraform, pytest.mark.aws]

QUEUE = """\
resource "aws_sqs_queue" "jobs" {
  name                       = "NAME-jobs"
  visibility_timeout_seconds = 30
  tags                       = { owner = "ada" }
}
"""
GROUP = """\
resource "aws_vpc" "net" {
  cidr_block = "10.1.0.0/16"
}

resource "aws_security_group" "web" {
  name   = "NAME-web"
  vpc_id = aws_vpc.net.id

  ingress {
    protocol    = "tcp"
    from_port   = 443
    to_port     = 443
    cidr_blocks = ["10.0.0.0/8"]
  }
}
"""
ROLE = """\
resource "aws_iam_role" "worker" {
  name               = "NAME-worker"
  path               = "/shop/"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}
"""
PARAMETER = """\
resource "aws_ssm_parameter" "key" {
  name  = "/NAME/key"
  type  = "SecureString"
  value = "not-a-secret"
}
"""
JOBS = "aws_sqs_queue.jobs"
COMPUTED = ("arn", "id", "kms_data_key_reuse_period_seconds", "name_prefix", "policy")  # of a new queue
TIMEOUT = "visibility_timeout_seconds"
FORM = {"noise": "no attributes"}  # the state says null where reality says {}, or the other way round


def slower(body: str, seconds: int) -> str:
    return body.replace(f"{TIMEOUT} = 30", f"{TIMEOUT} = {seconds}")


# --- changes made outside -----------------------------------------------------------------------


def test_an_untouched_environment_is_in_sync(shop: Shop) -> None:
    head = shop.settle(QUEUE)
    code, found = shop.scan()
    assert (code, found["verdict"]) == (0, "in_sync")
    assert (found["resources"], found["outputs"], found["commits"], found["error"]) == ([], [], [], None)
    assert (found["drift_fingerprint"], found["plan_fingerprint"]) == (None, None)
    assert found["baseline"] == {"commit": head, "from": "in_sync"}
    assert found["seconds"]["show"] == 0


def test_a_rule_opened_outside_is_drift_and_the_rule_that_was_there_is_not(shop: Shop) -> None:
    shop.settle(GROUP)
    ec2 = shop.cloud.client("ec2")
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [f"{shop.prefix}-web"]}])[
        "SecurityGroups"
    ]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[ssh])
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "drifted")
    assert labels(found) == {"aws_security_group.web": {"ingress[]": "drift"}, "aws_vpc.net": FORM}
    state, reality, desired = values(found, "aws_security_group.web", "ingress[]")
    assert (state, desired) == ("absent", "absent")
    assert (reality["from_port"], reality["cidr_blocks"]) == (22, ["0.0.0.0/0"])


def test_a_queue_deleted_outside_is_drift_with_reality_absent(shop: Shop) -> None:
    shop.settle(QUEUE)
    shop.delete_queue()
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "drifted")
    assert labels(found) == {JOBS: {"": "drift"}}
    assert values(found, JOBS, "") == ("present", "absent", "present")
    assert resource(found, JOBS)["actions"] == ["create"]


def test_a_change_outside_of_an_ignored_attribute_is_noise_listed_by_address(shop: Shop) -> None:
    ignoring = f"  lifecycle {{ ignore_changes = [{TIMEOUT}] }}\n}}\n"
    shop.settle(QUEUE.removesuffix("}\n") + ignoring)
    shop.set_timeout(99)
    code, found = shop.scan()
    assert (code, found["verdict"]) == (0, "in_sync")
    assert labels(found) == {JOBS: FORM}
    assert found["drift_fingerprint"] is None
    code, found = shop.scan("--noise")
    assert (code, found["verdict"]) == (0, "in_sync")
    assert labels(found) == {JOBS: {TIMEOUT: "noise"}}
    assert values(found, JOBS, TIMEOUT) == (30, 99, 99)


def test_null_in_the_state_and_empty_in_reality_are_noise(shop: Shop) -> None:
    shop.write(GROUP)
    shop.apply()
    code, found = shop.scan()
    assert (code, found["verdict"]) == (0, "in_sync")
    assert labels(found) == {"aws_security_group.web": FORM, "aws_vpc.net": FORM}
    code, found = shop.scan("--noise")
    assert (code, found["verdict"]) == (0, "in_sync")
    assert labels(found) == {"aws_security_group.web": FORM, "aws_vpc.net": FORM}


def test_a_secret_changed_outside_is_drift_that_shows_no_value(shop: Shop) -> None:
    shop.sandbox.variables["TF_VAR_key"] = "planted-secret-of-the-state"
    shop.sandbox.write("driftguard.yaml", "environments:\n  - {path: environments/*, env: [TF_VAR_key]}\n")
    variable = 'variable "key" {\n  type      = string\n  sensitive = true\n}\n'
    shop.settle(variable + PARAMETER.replace('"not-a-secret"', "var.key"))
    name, outside = f"/{shop.prefix}/key", "planted-secret-outside"
    shop.cloud.client("ssm").put_parameter(Name=name, Value=outside, Type="SecureString", Overwrite=True)
    ran = shop.sandbox.scan("-vv")
    found = ran.environment("shop")
    assert (ran.code, found["verdict"]) == (2, "drifted")
    address = "aws_ssm_parameter.key"
    assert labels(found) == {address: {"value": "drift", "version": "noise"}}
    assert values(found, address, "value") == ("(sensitive)",) * 3
    assert attribute(found, address, "value")["sensitive"] is True
    shown = [ran, shop.sandbox.run("scan", "-vv"), shop.sandbox.run("scan", "--format", "markdown")]
    shown += [shop.sandbox.run("explain", "shop"), shop.sandbox.run("history", "--format", "json")]
    assert not [text for one in shown for text in (one.stdout, one.stderr) if "planted-secret" in text]
    assert not [file for file, content in shop.sandbox.bytes_left().items() if b"planted-secret" in content]


def test_a_replacement_forced_by_a_change_outside_is_drift(shop: Shop) -> None:
    shop.settle(ROLE)
    iam, name = shop.cloud.client("iam"), f"{shop.prefix}-worker"
    iam.delete_role(RoleName=name)
    iam.create_role(RoleName=name, Path="/other/", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "drifted")
    address = "aws_iam_role.worker"
    assert resource(found, address)["actions"] == ["delete", "create"]
    assert values(found, address, "path") == ("/shop/", "/other/", "/shop/")
    assert attribute(found, address, "path")["forces_replacement"] is True
    computed = ("arn", "create_date", "id", "inline_policy", "managed_policy_arns", "tags_all", "unique_id")
    form = {"assume_role_policy": "noise"}  # its members stand in another order
    assert labels(found) == {address: {"path": "drift", **form, **dict.fromkeys(computed, "derived")}}
    assert attribute(found, address, "unique_id")["causes"] == [address]


# --- merged and not applied ---------------------------------------------------------------------


def test_a_merged_change_is_pending_with_its_commit(shop: Shop) -> None:
    before = shop.settle(QUEUE)
    head = shop.commit(slower(QUEUE, 60), "slow the queue down")
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "pending")
    assert labels(found) == {JOBS: {TIMEOUT: "pending"}}
    assert (resource(found, JOBS)["certain"], values(found, JOBS, TIMEOUT)) == (True, (30, 30, 60))
    assert [(c["sha"], c["subject"], c["author"]) for c in found["commits"]] == [(head, "slow the queue down", "Ada")]
    assert found["baseline"] == {"commit": before, "from": "in_sync"}
    assert found["drift_fingerprint"] is None


def test_a_change_outside_and_a_merged_one_of_different_attributes_are_two_labels(shop: Shop) -> None:
    shop.settle(QUEUE)
    shop.tag_queue(owner="eve")
    shop.commit(slower(QUEUE, 60))
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "diverged")
    assert labels(found) == {JOBS: {"tags.owner": "drift", "tags_all.owner": "drift", TIMEOUT: "pending"}}
    assert resource(found, JOBS)["labels"] == ["drift", "pending"]
    assert resource(found, JOBS)["certain"] is True


def test_both_on_one_attribute_with_different_values_is_a_conflict(shop: Shop) -> None:
    shop.settle(QUEUE)
    shop.set_timeout(99)
    shop.commit(slower(QUEUE, 60))
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "diverged")
    assert labels(found) == {JOBS: {TIMEOUT: "conflict"}}
    assert (values(found, JOBS, TIMEOUT), attribute(found, JOBS, TIMEOUT)["certain"]) == ((30, 99, 60), True)
    assert attribute(found, JOBS, TIMEOUT)["baseline"] == 30


def test_a_commit_that_takes_over_the_change_outside_is_adopted(shop: Shop) -> None:
    shop.settle(QUEUE)
    shop.set_timeout(99)
    before = shop.scan()[1]["baseline"]
    shop.commit(slower(QUEUE, 99))
    code, found = shop.scan("--noise", "--baseline", before["commit"])
    assert (code, found["verdict"]) == (0, "in_sync")
    assert labels(found) == {JOBS: {TIMEOUT: "adopted"}}
    assert (values(found, JOBS, TIMEOUT), attribute(found, JOBS, TIMEOUT)["certain"]) == ((30, 99, 99), True)


def test_an_adopted_change_is_listed_by_address_when_nothing_is_planned(shop: Shop) -> None:
    shop.settle(QUEUE)
    shop.set_timeout(99)
    head = shop.commit(slower(QUEUE, 99))
    code, found = shop.scan()
    assert (code, found["verdict"]) == (0, "in_sync")
    assert labels(found) == {JOBS: {"adopted": "no attributes"}}
    assert shop.scan()[1]["baseline"] == {"commit": head, "from": "in_sync"}


def test_a_resource_removed_from_the_code_is_pending(shop: Shop) -> None:
    shop.settle(QUEUE + PARAMETER)
    shop.commit(QUEUE)
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "pending")
    assert labels(found) == {"aws_ssm_parameter.key": {"": "pending"}}
    assert values(found, "aws_ssm_parameter.key", "") == ("present", "present", "absent")
    assert resource(found, "aws_ssm_parameter.key")["actions"] == ["delete"]


def test_a_moved_block_is_a_refactor(shop: Shop) -> None:
    shop.settle(QUEUE)
    moved = "moved {\n  from = aws_sqs_queue.jobs\n  to   = aws_sqs_queue.work\n}\n"
    shop.commit(QUEUE.replace('"jobs"', '"work"') + moved)
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "pending")
    assert labels(found) == {"aws_sqs_queue.work": {"": "refactor"}}
    work = resource(found, "aws_sqs_queue.work")
    assert (work["previous_address"], work["actions"]) == (JOBS, ["no-op"])


def test_an_import_block_is_a_refactor(shop: Shop) -> None:
    shop.settle(PARAMETER)
    attributes = {"VisibilityTimeout": "30", "MaximumMessageSize": "262144"}
    queue = shop.cloud.client("sqs").create_queue(
        QueueName=f"{shop.prefix}-jobs", Attributes=attributes, tags={"owner": "ada"}
    )
    shop.commit(f'{PARAMETER}\n{QUEUE}\nimport {{\n  to = {JOBS}\n  id = "{queue["QueueUrl"]}"\n}}\n')
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "pending")
    assert labels(found) == {JOBS: {"": "refactor"}, "aws_ssm_parameter.key": FORM}


def test_a_new_output_is_pending_though_no_resource_changes(shop: Shop) -> None:
    shop.settle(QUEUE)
    shop.commit(f'{QUEUE}\noutput "url" {{\n  value = {JOBS}.id\n}}\n')
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "pending")
    assert found["resources"] == []
    assert [(o["name"], o["label"], o["sensitive"], o["certain"]) for o in found["outputs"]] == [
        ("url", "pending", False, True)
    ]


def test_a_changed_key_of_for_each_is_one_pending_delete_and_one_pending_create(shop: Shop) -> None:
    many = 'resource "aws_sqs_queue" "many" {\n  for_each = toset(["a", "b"])\n  name     = "NAME-${each.key}"\n}\n'
    counted = 'resource "aws_sqs_queue" "counted" {\n  count = 2\n  name  = "NAME-${count.index}"\n}\n'
    shop.settle(many + counted)
    shop.commit(many.replace('["a", "b"]', '["a", "c"]') + counted.replace("count = 2", "count = 1"))
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "pending")
    assert labels(found) == {
        "aws_sqs_queue.counted[0]": FORM,
        "aws_sqs_queue.counted[1]": {"": "pending"},
        'aws_sqs_queue.many["a"]': FORM,
        'aws_sqs_queue.many["b"]': {"": "pending"},
        'aws_sqs_queue.many["c"]': {"": "pending"},
    }
    assert [r["actions"] for r in found["resources"]] == [["no-op"], ["delete"], ["no-op"], ["delete"], ["create"]]


def test_a_value_known_only_after_apply_is_derived_and_names_its_cause(shop: Shop) -> None:
    pointer = (
        f'resource "aws_ssm_parameter" "url" {{\n  name  = "/NAME/url"\n  type  = "String"\n  value = {JOBS}.id\n}}\n'
    )
    shop.settle(QUEUE + pointer)
    shop.commit(QUEUE.replace('"NAME-jobs"', '"NAME-jobs-2"') + pointer)
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "pending")
    assert labels(found) == {
        JOBS: {"name": "pending", **dict.fromkeys(COMPUTED, "derived")},
        "aws_ssm_parameter.url": {"value": "derived"},
    }
    assert resource(found, JOBS)["actions"] == ["delete", "create"]
    assert attribute(found, JOBS, "name")["forces_replacement"] is True
    assert attribute(found, JOBS, "arn")["causes"] == [JOBS]
    value = attribute(found, "aws_ssm_parameter.url", "value")
    assert (value["causes"], value["unknown"]) == ([JOBS], True)
