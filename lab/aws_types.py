"""Types of the AWS provider as the laboratory tries them: what creates one, and the calls that change it elsewhere.

In a body, `NAME` stands for a prefix that is unique in the cloud. In a call, a value that begins with `$` is the
attribute of that name in the state of the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

NETWORK: Final = """\
resource "aws_vpc" "net" {
  cidr_block = "10.7.0.0/16"
}
resource "aws_subnet" "one" {
  vpc_id            = aws_vpc.net.id
  cidr_block        = "10.7.1.0/24"
  availability_zone = "eu-central-1a"
}
resource "aws_subnet" "two" {
  vpc_id            = aws_vpc.net.id
  cidr_block        = "10.7.2.0/24"
  availability_zone = "eu-central-1b"
}
resource "aws_iam_role" "base" {
  name               = "NAME-base"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Action = "sts:AssumeRole", Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of boto3: the client's name, the method, and its arguments."""

    service: str
    method: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AwsType:
    """One resource type.

    Attributes:
        body: the arguments of the resource, which is called `it`.
        deleted: what deletes the object.
        tagged: what changes the tag `owner`; None for a type without tags.
        changed: what changes a plain attribute, by the attribute's path.
        nested: what changes a nested block, by its path.
        more: further resources that the object needs.
    """

    name: str
    body: str
    deleted: tuple[Call, ...]
    tagged: Call | None = None
    changed: Mapping[str, Call] = field(default_factory=dict)
    nested: Mapping[str, Call] = field(default_factory=dict)
    more: str = ""

    @property
    def address(self) -> str:
        return f"{self.name}.it"

    def text(self, prefix: str, *, tags: str = "ada") -> str:
        """Terraform text, with what it needs of its own."""
        tagged = f'\n  tags = {{ owner = "{tags}" }}' if self.tagged else ""
        return f'resource "{self.name}" "it" {{\n{self.body}{tagged}\n}}\n{self.more}'.replace("NAME", prefix)


def _tags(service: str, method: str, key: str, value: str, argument: str = "Tags") -> Call:
    return Call(service, method, {key: value, argument: [{"Key": "owner", "Value": "eve"}]})


def _ec2_tags() -> Call:
    return Call("ec2", "create_tags", {"Resources": ["$id"], "Tags": [{"Key": "owner", "Value": "eve"}]})


# An empty zip file, in a bucket: an attached provider has another working directory, so it finds no local file.
_CODE: Final = """\
resource "aws_s3_bucket" "code" {
  bucket = "NAME-code"
}
resource "aws_s3_bucket_object" "code" {
  bucket         = aws_s3_bucket.code.id
  key            = "code.zip"
  content_base64 = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="
}
"""

TWELVE: Final = (
    AwsType(
        "aws_instance",
        '  ami           = "ami-12c6146b"\n  instance_type = "t2.micro"\n  subnet_id     = aws_subnet.one.id',
        (Call("ec2", "terminate_instances", {"InstanceIds": ["$id"]}),),
        _ec2_tags(),
    ),
    AwsType(
        "aws_db_instance",
        '  identifier          = "NAME-db"\n  engine              = "mysql"\n  instance_class      = "db.t3.micro"\n'
        '  allocated_storage   = 10\n  username            = "root"\n  password            = "not-a-secret"\n'
        "  skip_final_snapshot = true",
        (Call("rds", "delete_db_instance", {"DBInstanceIdentifier": "$identifier", "SkipFinalSnapshot": True}),),
        _tags("rds", "add_tags_to_resource", "ResourceName", "$arn"),
        {
            "allocated_storage": Call(
                "rds", "modify_db_instance", {"DBInstanceIdentifier": "$identifier", "AllocatedStorage": 20}
            )
        },
    ),
    AwsType(
        "aws_dynamodb_table",
        '  name         = "NAME-table"\n  billing_mode = "PAY_PER_REQUEST"\n  hash_key     = "id"\n'
        '  attribute {\n    name = "id"\n    type = "S"\n  }',
        (Call("dynamodb", "delete_table", {"TableName": "$name"}),),
        _tags("dynamodb", "tag_resource", "ResourceArn", "$arn"),
    ),
    AwsType(
        "aws_s3_bucket",
        '  bucket = "NAME-bucket"\n  versioning {\n    enabled = false\n  }',
        (Call("s3", "delete_bucket", {"Bucket": "$id"}),),
        Call("s3", "put_bucket_tagging", {"Bucket": "$id", "Tagging": {"TagSet": [{"Key": "owner", "Value": "eve"}]}}),
        {},
        {
            "versioning": Call(
                "s3", "put_bucket_versioning", {"Bucket": "$id", "VersioningConfiguration": {"Status": "Enabled"}}
            )
        },
    ),
    AwsType(
        "aws_iam_role",
        '  name               = "NAME-role"\n  description        = "one"\n'
        '  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })',
        (Call("iam", "delete_role", {"RoleName": "$name"}),),
        _tags("iam", "tag_role", "RoleName", "$name"),
        {"description": Call("iam", "update_role", {"RoleName": "$name", "Description": "eve"})},
    ),
    AwsType(
        "aws_lambda_function",
        '  function_name = "NAME-function"\n  role          = aws_iam_role.base.arn\n'
        '  handler       = "index.handler"\n  runtime       = "nodejs14.x"\n'
        "  s3_bucket     = aws_s3_bucket_object.code.bucket\n  s3_key        = aws_s3_bucket_object.code.key",
        (Call("lambda", "delete_function", {"FunctionName": "$function_name"}),),
        Call("lambda", "tag_resource", {"Resource": "$arn", "Tags": {"owner": "eve"}}),
        {"timeout": Call("lambda", "update_function_configuration", {"FunctionName": "$function_name", "Timeout": 9})},
        more=_CODE,
    ),
    AwsType(
        "aws_lb",
        '  name               = "NAME-lb"\n  internal           = true\n  load_balancer_type = "application"\n'
        "  subnets            = [aws_subnet.one.id, aws_subnet.two.id]",
        (Call("elbv2", "delete_load_balancer", {"LoadBalancerArn": "$arn"}),),
        Call("elbv2", "add_tags", {"ResourceArns": ["$arn"], "Tags": [{"Key": "owner", "Value": "eve"}]}),
        {
            "idle_timeout": Call(
                "elbv2",
                "modify_load_balancer_attributes",
                {"LoadBalancerArn": "$arn", "Attributes": [{"Key": "idle_timeout.timeout_seconds", "Value": "90"}]},
            )
        },
    ),
    AwsType(
        "aws_lb_target_group",
        '  name     = "NAME-group"\n  port     = 80\n  protocol = "HTTP"\n  vpc_id   = aws_vpc.net.id\n'
        "  health_check {\n    interval = 30\n  }",
        (Call("elbv2", "delete_target_group", {"TargetGroupArn": "$arn"}),),
        Call("elbv2", "add_tags", {"ResourceArns": ["$arn"], "Tags": [{"Key": "owner", "Value": "eve"}]}),
        {},
        {
            "health_check": Call(
                "elbv2", "modify_target_group", {"TargetGroupArn": "$arn", "HealthCheckIntervalSeconds": 60}
            )
        },
    ),
    AwsType(
        "aws_network_interface",
        "  subnet_id = aws_subnet.one.id",
        (Call("ec2", "delete_network_interface", {"NetworkInterfaceId": "$id"}),),
        _ec2_tags(),
    ),
    AwsType(
        "aws_ecs_cluster",
        '  name = "NAME-cluster"',
        (Call("ecs", "delete_cluster", {"cluster": "$arn"}),),
        Call("ecs", "tag_resource", {"resourceArn": "$arn", "tags": [{"key": "owner", "value": "eve"}]}),
    ),
    AwsType(
        "aws_ecr_repository",
        '  name = "NAME-images"\n  image_scanning_configuration {\n    scan_on_push = false\n  }',
        (Call("ecr", "delete_repository", {"repositoryName": "$name", "force": True}),),
        _tags("ecr", "tag_resource", "resourceArn", "$arn", "tags"),
        {
            "image_tag_mutability": Call(
                "ecr", "put_image_tag_mutability", {"repositoryName": "$name", "imageTagMutability": "IMMUTABLE"}
            )
        },
        {
            "image_scanning_configuration": Call(
                "ecr",
                "put_image_scanning_configuration",
                {"repositoryName": "$name", "imageScanningConfiguration": {"scanOnPush": True}},
            )
        },
    ),
    AwsType(
        "aws_route53_zone",
        '  name    = "NAME.example.org"\n  comment = "one"',
        (Call("route53", "delete_hosted_zone", {"Id": "$zone_id"}),),
        Call(
            "route53",
            "change_tags_for_resource",
            {"ResourceType": "hostedzone", "ResourceId": "$zone_id", "AddTags": [{"Key": "owner", "Value": "eve"}]},
        ),
        {"comment": Call("route53", "update_hosted_zone_comment", {"Id": "$zone_id", "Comment": "eve"})},
    ),
)
