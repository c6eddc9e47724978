"""One environment of AWS types in a cloud on loopback: Terraform by hand, DriftGuard, and the calls of others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from driftguard.demo.cloud import REGION, Cloud
from lab.aws_types import NETWORK, AwsType, Call
from tests.support.harness import Sandbox

FOLDER: Final = "environments/types"
# Names of the provider's endpoints; that of `elbv2` is `elb`.
_SERVICES: Final = (
    *("dynamodb", "ec2", "ecr", "ecs", "elb", "iam", "lambda", "rds", "route53", "s3", "s3control", "sts"),
    *("cloudwatch", "cloudwatchevents", "cloudwatchlogs", "kinesis", "kms", "secretsmanager", "sns", "sqs", "ssm"),
    *("stepfunctions", "efs", "glue", "athena", "cognitoidp", "apigateway", "autoscaling", "acm", "firehose"),
)


# What providers from version 4 on name otherwise, or have besides.
_PATH_STYLE: Final = {True: "s3_use_path_style", False: "s3_force_path_style"}
_LATER_SERVICES: Final = ("elbv2",)
_RENAMED_IN: Final = 4


def root(endpoint: str, version: str) -> str:
    """The text that points a root module's AWS provider at a cloud on loopback; the state is a local file."""
    later = int(version.split(".")[0]) >= _RENAMED_IN
    services = (*_SERVICES, *(_LATER_SERVICES if later else ()))
    endpoints = "\n".join(f'    {service} = "{endpoint}"' for service in services)
    return f"""\
terraform {{
  required_providers {{
    aws = {{
      source  = "hashicorp/aws"
      version = "{version}"
    }}
  }}
}}

provider "aws" {{
  region                      = "{REGION}"
  {_PATH_STYLE[later]:27} = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true

  endpoints {{
{endpoints}
  }}
}}
"""


class AwsSite:
    """A repository with one environment that holds one object of each of some types.

    Args:
        prefix: begins the name of everything in the cloud.
    """

    def __init__(self, sandbox: Sandbox, cloud: Cloud, prefix: str, version: str) -> None:
        self.sandbox, self.cloud, self.prefix = sandbox, cloud, prefix
        sandbox.write(".gitignore", ".terraform/\n*.tfstate*\n")
        sandbox.write(f"{FOLDER}/provider.tf", root(cloud.endpoint, version))
        sandbox.write(f"{FOLDER}/network.tf", NETWORK.replace("NAME", prefix))

    def write(self, types: Iterable[AwsType], *, tags: str = "ada") -> None:
        """Write one object of each type into the work tree."""
        for type_ in types:
            self.sandbox.write(f"{FOLDER}/{type_.name}.tf", type_.text(self.prefix, tags=tags))

    def created(self, types: Iterable[AwsType]) -> dict[str, str]:
        """Apply one object of each type; why not, by the type's name, for those that this cloud cannot create.

        They are taken out of the work tree again.
        """
        self.write(types)
        self.sandbox.terraform(FOLDER, "init", "-input=false")
        options = ("-input=false", "-auto-approve", "-json")
        done = self.sandbox.terraform(FOLDER, "apply", *options, check=False)
        failed = {}
        for line in done.stdout.splitlines():
            message = json.loads(line) if line.startswith("{") else {}
            diagnostic = message.get("diagnostic", {})
            if diagnostic.get("severity") == "error":
                address = str(diagnostic.get("address", ""))
                failed[address.split(".")[0]] = str(diagnostic["summary"]).split("\n")[0][:160]
        for name in failed:
            (self.sandbox.repository / FOLDER / f"{name}.tf").unlink(missing_ok=True)
        return failed

    def leave_out(self, type_: AwsType) -> None:
        """Forget one type's object, in the configuration and in the state."""
        (self.sandbox.repository / FOLDER / f"{type_.name}.tf").unlink()
        self.sandbox.terraform(FOLDER, "state", "rm", type_.address)
        self.sandbox.commit(f"without {type_.name}")

    def settled(self) -> dict[str, Any]:
        """Apply and merge what is left; the report of the scan after it."""
        self.sandbox.apply(FOLDER)
        self.sandbox.commit("types")
        return self.scan()

    def scan(self) -> dict[str, Any]:
        """The environment's report."""
        return self.sandbox.scan().environment("types")

    def state(self) -> dict[str, Mapping[str, Any]]:
        """The attributes of each object in the state, by address."""
        raw = json.loads((self.sandbox.repository / FOLDER / "terraform.tfstate").read_text())
        managed = [r for r in raw["resources"] if r["mode"] == "managed"]
        return {f"{r['type']}.{r['name']}": r["instances"][0]["attributes"] for r in managed}

    def call(self, call: Call, attributes: Mapping[str, Any]) -> None:
        """Make one call, as another tool would."""
        getattr(self.cloud.client(call.service), call.method)(**_filled(call.arguments, attributes))


def _filled(value: Any, attributes: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(inner, attributes) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, attributes) for inner in value]
    return attributes[value[1:]] if isinstance(value, str) and value.startswith("$") else value
