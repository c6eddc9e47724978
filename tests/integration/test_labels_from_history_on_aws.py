"""What a scan says where the state's history, the first scan or the layout of an environment matters, on AWS."""

from __future__ import annotations

import pytest

from driftguard.demo.cloud import Cloud, write_estate
from tests.integration.test_labels_on_aws import COMPUTED, FORM, JOBS, QUEUE, TIMEOUT, slower
from tests.support.aws import DIRECTORY, Shop, attribute, labels, resource, values
from tests.support.harness import Sandbox

pytestmark = [pytest.mark.terraform, pytest.mark.aws]


def test_drift_that_a_refresh_has_written_to_the_state_is_absorbed(shop: Shop) -> None:
    shop.settle(QUEUE)
    shop.set_timeout(99)
    shop.sandbox.terraform(DIRECTORY, "apply", "-refresh-only", "-auto-approve", "-input=false")
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "drifted")
    assert labels(found) == {JOBS: {TIMEOUT: "absorbed"}}
    assert (values(found, JOBS, TIMEOUT), attribute(found, JOBS, TIMEOUT)["certain"]) == ((99, 99, 30), True)
    assert found["drift_fingerprint"] is not None


def test_drift_that_a_failed_apply_has_written_to_the_state_is_absorbed(shop: Shop) -> None:
    shop.settle(QUEUE)
    shop.set_timeout(99)
    failing = 'resource "aws_iam_role_policy" "any" {\n  role   = "NAME-nobody"\n  policy = jsonencode({})\n}\n'
    waiting = QUEUE.removesuffix("}\n") + "  depends_on = [aws_iam_role_policy.any]\n}\n"
    shop.commit(waiting + failing)
    failed = shop.sandbox.terraform(DIRECTORY, "apply", "-auto-approve", "-input=false", check=False)
    assert "NoSuchEntity" in failed.stderr
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "diverged")
    assert labels(found) == {"aws_iam_role_policy.any": {"": "pending"}, JOBS: {TIMEOUT: "absorbed"}}
    assert values(found, JOBS, TIMEOUT) == (99, 99, 30)
    assert [r["certain"] for r in found["resources"]] == [True, True]


def test_a_resource_that_a_failed_apply_left_tainted_is_residue(shop: Shop) -> None:
    shop.settle(QUEUE)
    shop.sandbox.terraform(DIRECTORY, "taint", JOBS)
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "drifted")
    assert resource(found, JOBS)["action_reason"] == "replace_because_tainted"
    assert labels(found) == {JOBS: {"": "residue", **dict.fromkeys(COMPUTED, "derived")}}


def test_the_first_scan_is_certain_of_drift_and_not_of_what_is_pending(shop: Shop) -> None:
    shop.write(QUEUE)
    shop.apply()
    shop.tag_queue(owner="eve")
    shop.commit(slower(QUEUE, 60))
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "diverged")
    assert found["baseline"] == {"commit": None, "from": None}
    assert labels(found) == {JOBS: {"tags.owner": "drift", "tags_all.owner": "drift", TIMEOUT: "pending"}}
    assert attribute(found, JOBS, "tags.owner")["certain"] is True
    assert attribute(found, JOBS, TIMEOUT)["certain"] is False
    assert resource(found, JOBS)["certain"] is False


def test_a_given_baseline_makes_the_first_scan_certain(shop: Shop) -> None:
    shop.write(QUEUE)
    before = shop.apply()
    shop.commit(slower(QUEUE, 60))
    code, found = shop.scan("--baseline", before[:10])
    assert (code, found["verdict"]) == (2, "pending")
    assert found["baseline"] == {"commit": before, "from": "given"}
    assert labels(found) == {JOBS: {TIMEOUT: "pending"}}
    assert attribute(found, JOBS, TIMEOUT)["certain"] is True


def test_an_environment_of_tf_json_files_is_labelled_as_any_other(shop: Shop) -> None:
    text = """{"resource": {"aws_sqs_queue": {"jobs": {
      "name": "NAME-jobs", "visibility_timeout_seconds": 30, "tags": {"owner": "ada"}}}}}"""
    shop.write("# nothing here\n")
    shop.write(text, file="main.tf.json")
    shop.apply()
    assert shop.scan()[1]["verdict"] == "in_sync"
    shop.tag_queue(owner="eve")
    shop.write(text.replace("30", "60"), file="main.tf.json")
    shop.sandbox.commit("slow the queue down")
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "diverged")
    assert labels(found) == {JOBS: {"tags.owner": "drift", "tags_all.owner": "drift", TIMEOUT: "pending"}}


def test_workspaces_and_var_files_of_one_directory_are_environments_of_their_own(shop: Shop) -> None:
    variable = 'variable "timeout" {\n  type = number\n}\n'
    body = slower(QUEUE, 0).replace(" = 0", " = var.timeout").replace("NAME-jobs", "NAME-${terraform.workspace}")
    shop.write(variable + body)
    for region, seconds in (("eu", 30), ("us", 40)):
        shop.sandbox.write(f"{DIRECTORY}/{region}.tfvars", f"timeout = {seconds}\n")
    entry = "  - {path: environments/shop, name: shop-%s, workspace: %s, var_files: [%s.tfvars]}\n"
    shop.sandbox.write("driftguard.yaml", "environments:\n" + "".join(entry % (r, r, r) for r in ("eu", "us")))
    shop.sandbox.terraform(DIRECTORY, "init", "-input=false")
    for region in ("eu", "us"):
        shop.sandbox.terraform(DIRECTORY, "workspace", "new", region)
        shop.sandbox.terraform(DIRECTORY, "apply", "-auto-approve", f"-var-file={region}.tfvars")
    shop.sandbox.commit("two regions")
    clean = shop.sandbox.scan()
    assert (clean.code, clean.report["summary"]["in_sync"]) == (0, 2)
    shop.set_timeout(99, name="eu")
    shop.sandbox.commit("us is slower", {f"{DIRECTORY}/us.tfvars": "timeout = 60\n"})
    ran = shop.sandbox.scan()
    eu, us = ran.environment("shop-eu"), ran.environment("shop-us")
    assert (ran.code, eu["verdict"], us["verdict"]) == (2, "drifted", "pending")
    assert (eu["workspace"], us["workspace"], eu["path"]) == ("eu", "us", DIRECTORY)
    assert (labels(eu), values(eu, JOBS, TIMEOUT)) == ({JOBS: {TIMEOUT: "drift"}}, (30, 99, 30))
    assert (labels(us), values(us, JOBS, TIMEOUT)) == ({JOBS: {TIMEOUT: "pending"}}, (40, 40, 60))


def test_several_changes_of_the_example_estate_at_once(aws_sandbox: Sandbox, cloud: Cloud) -> None:
    sandbox = aws_sandbox
    sandbox.write(".gitignore", ".terraform/\n")
    sandbox.write("driftguard.yaml", "environments:\n  - {path: environments/*, env: [TF_VAR_payment_api_key]}\n")
    write_estate(sandbox.repository, cloud, ["dev"])
    sandbox.apply("environments/dev")
    sandbox.commit("the estate")
    clean = sandbox.scan()
    assert (clean.code, labels(clean.environment("dev"))) == (0, {"module.service.aws_iam_role.service": FORM})
    _change_outside(cloud)
    sandbox.replace("environments/dev/main.tf", "visibility_timeout_seconds = 60", "visibility_timeout_seconds = 90")
    sandbox.replace(
        "environments/dev/main.tf", "  payment_api_key = var", "  log_retention_days = 30\n\n  payment_api_key = var"
    )
    sandbox.commit("slower mails, older logs")
    ran = sandbox.scan()
    dev = ran.environment("dev")
    assert (ran.code, dev["verdict"]) == (2, "diverged")
    assert labels(dev) == {
        "module.network.aws_security_group.service": {"ingress[]": "drift"},
        "module.service.aws_cloudwatch_log_group.service": {"retention_in_days": "pending"},
        "module.service.aws_dynamodb_table.orders": {"tags.owner": "drift", "tags_all.owner": "drift"},
        "module.service.aws_iam_role.service": {"inline_policy[]": "noise"},
        "module.service.aws_iam_role_policy.service": {"policy": "derived"},
        'module.service.aws_sqs_queue.work["mails"]': {
            "tags.last-deployed": "noise",
            "tags_all.last-deployed": "noise",
            TIMEOUT: "conflict",
        },
        'module.service.aws_sqs_queue.work["orders"]': {"": "drift"},
        "module.service.aws_ssm_parameter.payment_api_key": {"value": "drift", "version": "noise"},
    }
    assert all(r["certain"] for r in dev["resources"])
    policy = attribute(dev, "module.service.aws_iam_role_policy.service", "policy")
    assert policy["causes"] == ["module.service.aws_sqs_queue.work"]
    assert [(o["name"], o["label"]) for o in dev["outputs"]] == [("queue_urls", "derived")]
    assert "planted-secret" not in ran.stdout + ran.stderr


def _change_outside(cloud: Cloud) -> None:
    sqs, ec2, tables = cloud.client("sqs"), cloud.client("ec2"), cloud.client("dynamodb")
    mails, orders = (sqs.get_queue_url(QueueName=f"shop-dev-{name}")["QueueUrl"] for name in ("mails", "orders"))
    sqs.set_queue_attributes(QueueUrl=mails, Attributes={"VisibilityTimeout": "61"})
    sqs.tag_queue(QueueUrl=mails, Tags={"last-deployed": "today"})
    sqs.delete_queue(QueueUrl=orders)
    arn = tables.describe_table(TableName="shop-dev-orders")["Table"]["TableArn"]
    tables.tag_resource(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "eve"}])
    groups = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["shop-dev-service"]}])
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=groups["SecurityGroups"][0]["GroupId"], IpPermissions=[ssh])
    name = "/shop-dev/payment-api-key"
    cloud.client("ssm").put_parameter(Name=name, Value="planted-secret", Type="SecureString", Overwrite=True)
