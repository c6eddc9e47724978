"""Further types of the AWS provider that the laboratory tries, from services that an estate of any size uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lab.aws_types import AwsType, Call

_EVE: Final = [{"Key": "owner", "Value": "eve"}]


def _ec2(name: str, body: str, method: str, argument: str, **more: Any) -> AwsType:
    """A type of the EC2 service, which is tagged and deleted by its id."""
    tag = Call("ec2", "create_tags", {"Resources": ["$id"], "Tags": _EVE})
    return AwsType(name, body, (Call("ec2", method, {argument: "$id"}),), tag, **more)


def _other(
    name: str,
    body: str,
    service: str,
    delete: tuple[str, Mapping[str, Any]],
    tag: tuple[str, Mapping[str, Any]] | None = None,
    **more: tuple[str, Mapping[str, Any]],
) -> AwsType:
    """A type of another service; further keywords are attributes that a call changes."""
    changed = {path: Call(service, *call) for path, call in more.items()}
    tagged = Call(service, *tag) if tag is not None else None
    return AwsType(name, body, (Call(service, *delete),), tagged, changed)


FURTHER: Final = (
    _ec2("aws_vpc", '  cidr_block = "10.8.0.0/16"', "delete_vpc", "VpcId"),
    _ec2("aws_subnet", '  vpc_id     = aws_vpc.net.id\n  cidr_block = "10.7.9.0/24"', "delete_subnet", "SubnetId"),
    _ec2("aws_internet_gateway", "", "delete_internet_gateway", "InternetGatewayId"),
    _ec2("aws_route_table", "  vpc_id = aws_vpc.net.id", "delete_route_table", "RouteTableId"),
    _ec2(
        "aws_security_group",
        '  name   = "NAME-wall"\n  vpc_id = aws_vpc.net.id\n  ingress {\n    protocol    = "tcp"\n'
        '    from_port   = 443\n    to_port     = 443\n    cidr_blocks = ["10.0.0.0/8"]\n  }',
        "delete_security_group",
        "GroupId",
        nested={
            "ingress": Call(
                "ec2",
                "authorize_security_group_ingress",
                {"GroupId": "$id", "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.0.0.0/8"},
            )
        },
    ),
    _ec2(
        "aws_ebs_volume", '  availability_zone = "eu-central-1a"\n  size              = 8', "delete_volume", "VolumeId"
    ),
    _ec2("aws_vpc_dhcp_options", '  domain_name = "example.org"', "delete_dhcp_options", "DhcpOptionsId"),
    _ec2("aws_network_acl", "  vpc_id = aws_vpc.net.id", "delete_network_acl", "NetworkAclId"),
    _ec2(
        "aws_customer_gateway",
        '  bgp_asn    = 65000\n  ip_address = "172.0.0.1"\n  type       = "ipsec.1"',
        "delete_customer_gateway",
        "CustomerGatewayId",
    ),
    _ec2("aws_eip", "  vpc = true", "release_address", "AllocationId"),
    _ec2("aws_launch_template", '  name = "NAME-template"', "delete_launch_template", "LaunchTemplateId"),
    _ec2("aws_ec2_transit_gateway", '  description = "one"', "delete_transit_gateway", "TransitGatewayId"),
    _other(
        "aws_sqs_queue",
        '  name = "NAME-queue"',
        "sqs",
        ("delete_queue", {"QueueUrl": "$id"}),
        ("tag_queue", {"QueueUrl": "$id", "Tags": {"owner": "eve"}}),
        visibility_timeout_seconds=(
            "set_queue_attributes",
            {"QueueUrl": "$id", "Attributes": {"VisibilityTimeout": "77"}},
        ),
    ),
    _other(
        "aws_sns_topic",
        '  name = "NAME-topic"',
        "sns",
        ("delete_topic", {"TopicArn": "$arn"}),
        ("tag_resource", {"ResourceArn": "$arn", "Tags": _EVE}),
        display_name=(
            "set_topic_attributes",
            {"TopicArn": "$arn", "AttributeName": "DisplayName", "AttributeValue": "eve"},
        ),
    ),
    _other(
        "aws_ssm_parameter",
        '  name  = "/NAME/parameter"\n  type  = "String"\n  value = "one"',
        "ssm",
        ("delete_parameter", {"Name": "$name"}),
        ("add_tags_to_resource", {"ResourceType": "Parameter", "ResourceId": "$name", "Tags": _EVE}),
        value=("put_parameter", {"Name": "$name", "Value": "eve", "Overwrite": True}),
    ),
    _other(
        "aws_kms_key",
        '  description = "one"',
        "kms",
        ("schedule_key_deletion", {"KeyId": "$id", "PendingWindowInDays": 7}),
        ("tag_resource", {"KeyId": "$id", "Tags": [{"TagKey": "owner", "TagValue": "eve"}]}),
        description=("update_key_description", {"KeyId": "$id", "Description": "eve"}),
    ),
    _other(
        "aws_cloudwatch_log_group",
        '  name              = "NAME-logs"\n  retention_in_days = 7',
        "logs",
        ("delete_log_group", {"logGroupName": "$name"}),
        ("tag_log_group", {"logGroupName": "$name", "tags": {"owner": "eve"}}),
        retention_in_days=("put_retention_policy", {"logGroupName": "$name", "retentionInDays": 30}),
    ),
    _other(
        "aws_cloudwatch_metric_alarm",
        '  alarm_name          = "NAME-alarm"\n  comparison_operator = "GreaterThanThreshold"\n'
        '  evaluation_periods  = 2\n  metric_name         = "CPUUtilization"\n  namespace           = "AWS/EC2"\n'
        '  period              = 120\n  statistic           = "Average"\n  threshold           = 80',
        "cloudwatch",
        ("delete_alarms", {"AlarmNames": ["$alarm_name"]}),
        ("tag_resource", {"ResourceARN": "$arn", "Tags": _EVE}),
    ),
    _other(
        "aws_kinesis_stream",
        '  name        = "NAME-stream"\n  shard_count = 1',
        "kinesis",
        ("delete_stream", {"StreamName": "$name"}),
        ("add_tags_to_stream", {"StreamName": "$name", "Tags": {"owner": "eve"}}),
        retention_period=(
            "increase_stream_retention_period",
            {"StreamName": "$name", "RetentionPeriodHours": 48},
        ),
    ),
    _other(
        "aws_secretsmanager_secret",
        '  name        = "NAME-secret"\n  description = "one"',
        "secretsmanager",
        ("delete_secret", {"SecretId": "$id", "ForceDeleteWithoutRecovery": True}),
        ("tag_resource", {"SecretId": "$id", "Tags": _EVE}),
        description=("update_secret", {"SecretId": "$id", "Description": "eve"}),
    ),
    _other(
        "aws_iam_policy",
        '  name   = "NAME-policy"\n  policy = jsonencode({\n    Version   = "2012-10-17"\n'
        '    Statement = [{ Action = "s3:ListBucket", Effect = "Allow", Resource = "*" }]\n  })',
        "iam",
        ("delete_policy", {"PolicyArn": "$arn"}),
        ("tag_policy", {"PolicyArn": "$arn", "Tags": _EVE}),
    ),
    _other(
        "aws_iam_user",
        '  name = "NAME-user"',
        "iam",
        ("delete_user", {"UserName": "$name"}),
        ("tag_user", {"UserName": "$name", "Tags": _EVE}),
        path=("update_user", {"UserName": "$name", "NewPath": "/eve/"}),
    ),
    _other(
        "aws_iam_group",
        '  name = "NAME-group"',
        "iam",
        ("delete_group", {"GroupName": "$name"}),
        None,
        path=("update_group", {"GroupName": "$name", "NewPath": "/eve/"}),
    ),
    _other(
        "aws_db_subnet_group",
        '  name       = "NAME-subnets"\n  subnet_ids = [aws_subnet.one.id, aws_subnet.two.id]',
        "rds",
        ("delete_db_subnet_group", {"DBSubnetGroupName": "$id"}),
        ("add_tags_to_resource", {"ResourceName": "$arn", "Tags": _EVE}),
    ),
    _other(
        "aws_db_parameter_group",
        '  name   = "NAME-parameters"\n  family = "mysql8.0"',
        "rds",
        ("delete_db_parameter_group", {"DBParameterGroupName": "$id"}),
        ("add_tags_to_resource", {"ResourceName": "$arn", "Tags": _EVE}),
    ),
    _other(
        "aws_efs_file_system",
        '  creation_token = "NAME-files"',
        "efs",
        ("delete_file_system", {"FileSystemId": "$id"}),
        ("tag_resource", {"ResourceId": "$id", "Tags": _EVE}),
    ),
    _other(
        "aws_glue_catalog_database",
        '  name        = "name_catalog"\n  description = "one"',
        "glue",
        ("delete_database", {"Name": "$name"}),
        None,
        description=("update_database", {"Name": "$name", "DatabaseInput": {"Name": "$name", "Description": "eve"}}),
    ),
    _other(
        "aws_cognito_user_pool",
        '  name = "NAME-pool"',
        "cognito-idp",
        ("delete_user_pool", {"UserPoolId": "$id"}),
        ("tag_resource", {"ResourceArn": "$arn", "Tags": {"owner": "eve"}}),
    ),
    _other(
        "aws_api_gateway_rest_api",
        '  name        = "NAME-api"\n  description = "one"',
        "apigateway",
        ("delete_rest_api", {"restApiId": "$id"}),
        ("tag_resource", {"resourceArn": "$arn", "tags": {"owner": "eve"}}),
        description=(
            "update_rest_api",
            {"restApiId": "$id", "patchOperations": [{"op": "replace", "path": "/description", "value": "eve"}]},
        ),
    ),
    _other(
        "aws_ecs_task_definition",
        '  family                = "NAME-task"\n'
        '  container_definitions = jsonencode([{ name = "one", image = "one", memory = 64, essential = true }])',
        "ecs",
        ("deregister_task_definition", {"taskDefinition": "$arn"}),
        ("tag_resource", {"resourceArn": "$arn", "tags": [{"key": "owner", "value": "eve"}]}),
    ),
)
