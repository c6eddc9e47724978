"""Small repositories after the shapes of the field, each with the environments that are planted in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

S3 = 'terraform {\n  backend "s3" {\n    bucket = "state"\n    key    = "KEY"\n  }\n}\n'
PARTIAL = 'terraform {\n  backend "s3" {}\n}\n'
PROVIDER = 'provider "toy" {}\n'
CODE = 'resource "toy_thing" "a" {\n  name = "a"\n}\n'
LOCK = '# This file is maintained automatically by "terraform init".\n'
CLOUD = 'terraform {\n  cloud {\n    organization = "acme"\n    workspaces {\n      name = "net"\n    }\n  }\n}\n'
REMOTE = 'terraform {\n  backend "remote" {\n    workspaces {\n      prefix = "net-"\n    }\n  }\n}\n'


def call(source: str) -> str:
    """A module call."""
    return f'module "m" {{\n  source = "{source}"\n}}\n'


@dataclass(frozen=True)
class Sample:
    """One repository.

    Attributes:
        planted: names of its environments, sorted.
        mentions: texts that `init` prints.
    """

    files: Mapping[str, str]
    planted: tuple[str, ...]
    mentions: tuple[str, ...] = field(default=())


def roots(*directories: str, text: str = S3 + CODE) -> dict[str, str]:
    """A root module in each directory, with a state of its own."""
    return {f"{directory}/main.tf": text.replace("KEY", directory) for directory in directories}


MODULES = {"modules/vpc/main.tf": CODE, "modules/app/main.tf": PROVIDER + CODE}
HCL = "# terragrunt\n"

SAMPLES: Mapping[str, Sample] = {
    # directory per environment
    "environments": Sample({**roots("environments/dev", "environments/prod"), **MODULES}, ("dev", "prod")),
    "envs": Sample({**roots("envs/dev", "envs/prod", "envs/stage"), **MODULES}, ("dev", "prod", "stage")),
    "top": Sample({**roots("dev", "prod"), **MODULES}, ("dev", "prod")),
    "one_root": Sample({"main.tf": S3 + CODE}, ("root",)),
    "one_below": Sample({"terraform/main.tf": S3 + CODE, "terraform/modules/x/main.tf": CODE}, ("terraform",)),
    "nested": Sample(roots("infra/aws/dev", "infra/aws/prod"), ("dev", "prod")),
    "by_lock_file": Sample(
        {"a/main.tf": CODE, "a/.terraform.lock.hcl": LOCK, "b/main.tf": CODE, "b/.terraform.lock.hcl": LOCK}, ("a", "b")
    ),
    "by_provider": Sample({"a/main.tf": PROVIDER + call("../net"), "net/main.tf": PROVIDER + CODE}, ("a",), ("net",)),
    "called_test": Sample(roots("environments/dev", "environments/test"), ("dev", "test")),
    "json": Sample({"a/main.tf.json": '{"terraform": {"backend": {"s3": {"key": "a"}}}}'}, ("a",)),
    "tofu": Sample({"a/main.tofu": S3 + CODE, "b/main.tofu": S3 + CODE}, ("a", "b")),
    # live/ENV/COMPONENT and its kin
    "live": Sample(
        {**roots("live/prod/vpc", "live/prod/app", "live/dev/vpc"), **MODULES}, ("dev/vpc", "prod/app", "prod/vpc")
    ),
    "live_regions": Sample(
        roots("live/prod/eu/vpc", "live/prod/us/vpc", "live/dev/eu/vpc"), ("dev/eu/vpc", "prod/eu/vpc", "prod/us/vpc")
    ),
    "live_depths": Sample(roots("live/prod/vpc", "live/dev/vpc", "live/global"), ("dev/vpc", "global", "prod/vpc")),
    "stage_first": Sample({**roots("prod/vpc", "prod/app", "dev/vpc"), **MODULES}, ("dev/vpc", "prod/app", "prod/vpc")),
    "stage_first_unique": Sample(
        roots("prod/vpc", "prod/app", "shared/dns", "shared/iam"), ("app", "dns", "iam", "vpc")
    ),
    "two_clouds": Sample(
        roots("aws/live/prod", "aws/live/dev", "gcp/live/prod", "gcp/live/dev"),
        ("aws/live/dev", "aws/live/prod", "gcp/live/dev", "gcp/live/prod"),
    ),
    "module_beside": Sample({**roots("live/prod", "live/dev"), "live/common/main.tf": CODE}, ("dev", "prod")),
    "component_modules_inside": Sample(
        {**roots("live/prod", "live/dev"), "live/prod/modules/x/main.tf": CODE, "live/dev/modules/x/main.tf": CODE},
        ("dev", "prod"),
    ),
    "components": Sample(
        {**roots("components/vpc", "components/eks"), "components/eks/charts/main.tf": CODE}, ("eks", "vpc")
    ),
    "components_in_modules": Sample({**roots("modules/net", "modules/db"), "modules/lib/main.tf": CODE}, ("db", "net")),
    "called_module_with_lock": Sample(
        {**roots("prod"), "prod/x.tf": call("../net"), "net/main.tf": CODE, "net/.terraform.lock.hcl": LOCK}, ("prod",)
    ),
    "examples": Sample(
        {
            **roots("prod"),
            "modules/a/main.tf": CODE,
            "modules/a/examples/full/main.tf": S3 + call("../.."),
            "examples/x/main.tf": PROVIDER + CODE,
            "tests/y/main.tf": PROVIDER + CODE,
        },
        ("prod",),
        ("below examples/", "below tests/"),
    ),
    "module_tests": Sample(
        {**roots("prod"), "mod/main.tf": CODE, "mod/test/main.tf": PROVIDER + call(".."), "mod/test/a_test.go": "//"},
        ("prod",),
        ("a test",),
    ),
    "fixtures": Sample({**roots("prod"), "spec/fixtures/a/main.tf": S3}, ("prod",), ("below fixtures/",)),
    "module_folders": Sample(
        {
            **roots("prod"),
            **{f"{m}/x/main.tf": PROVIDER for m in ("tf-modules", "Modules", "modules_v2")},
            "platform/main.tf": PROVIDER,
            "prod/remote.tf": call("git::https://git.example.org/acme/infra.git//platform?ref=v1.0.0"),
        },
        ("prod",),
        ("below modules/", "platform"),
    ),
    "sample_folders": Sample(
        {**roots("prod"), **{f"{s}/x/main.tf": S3 for s in ("Examples", "test-fixtures", "integration_tests")}},
        ("prod",),
        ("below test-fixtures/",),
    ),
    "vendored": Sample({**roots("prod"), "third_party/m/main.tf": CODE}, ("prod",)),
    "odd_names": Sample({**roots("a b", "c[1]"), "d/main.tf": CODE}, ("a b", "c_1-")),
    # one directory, many var files
    "var_files": Sample(
        {"infra/main.tf": S3 + CODE, "infra/vars/dev.tfvars": "", "infra/vars/prod.tfvars": "", **MODULES},
        ("infra/dev", "infra/prod"),
    ),
    "var_files_beside": Sample(
        {"main.tf": S3 + CODE, "dev.tfvars": "", "prod.tfvars": "", "terraform.tfvars": ""}, ("dev", "prod")
    ),
    "var_files_common": Sample(
        {"i/main.tf": S3, "i/env/common.tfvars": "", "i/env/dev.tfvars": "", "i/env/prod.tfvars": ""},
        ("i/dev", "i/prod"),
    ),
    "var_files_backends": Sample(
        {
            "i/main.tf": PARTIAL,
            **{f"i/vars/{name}.tfvars": "" for name in ("dev", "prod")},
            **{f"i/backends/{name}.tfbackend": "" for name in ("dev", "prod")},
        },
        ("i/dev", "i/prod"),
    ),
    "var_files_many_directories": Sample(
        {
            **roots("stacks/net", "stacks/db"),
            **{f"stacks/{s}/vars/{n}.tfvars": "" for s in ("net", "db") for n in ("dev", "prod")},
        },
        ("db/dev", "db/prod", "net/dev", "net/prod"),
    ),
    "one_var_file": Sample({"a/main.tf": S3, "a/prod.tfvars": ""}, ("a/prod",)),
    "automatic_var_files": Sample({"a/main.tf": S3, "a/terraform.tfvars": "", "a/x.auto.tfvars": ""}, ("a",)),
    # var files in other folders
    "var_files_in_folders": Sample(
        {"main.tf": S3 + CODE, "env/dev/terraform.tfvars": "", "env/prod/terraform.tfvars": ""}, ("dev", "prod")
    ),
    "var_files_with_a_backend_file_each": Sample(
        {
            "tf/main.tf": PARTIAL,
            **{f"tf/env/{name}/{name}.tfvars": "" for name in ("dev", "prod")},
            **{f"tf/env/{name}/backend.hcl": "" for name in ("dev", "prod")},
        },
        ("tf/dev", "tf/prod"),
    ),
    "var_files_by_region": Sample(
        {"infra/main.tf": S3, **{f"infra/vars/{name}.tfvars": "" for name in ("eu/dev", "eu/prod", "us/prod")}},
        ("infra/eu/dev", "infra/eu/prod", "infra/us/prod"),
    ),
    "var_files_beside_the_code": Sample(
        {"terraform/main.tf": S3, "environments/dev.tfvars": "", "environments/prod.tfvars": ""},
        ("terraform/dev", "terraform/prod"),
    ),
    "var_files_by_component": Sample(
        {
            **roots("components/app", "components/net"),
            **{f"envs/{name}.tfvars": "" for name in ("dev/app", "dev/net", "prod/app", "prod/net")},
        },
        ("app/dev", "app/prod", "net/dev", "net/prod"),
    ),
    "var_files_of_directories": Sample(
        {**roots("live/dev", "live/prod"), "config/dev.tfvars": "", "config/prod.tfvars": ""}, ("dev", "prod")
    ),
    "var_file_above": Sample(
        {**roots("live/prod/vpc", "live/prod/app", "live/dev/vpc"), "live/prod/env.tfvars": ""},
        ("dev/vpc", "prod/app", "prod/vpc"),
    ),
    "var_files_json": Sample(
        {"i/main.tf": S3, "i/params/dev.tfvars.json": "{}", "i/params/prod.tfvars.json": "{}"}, ("i/dev", "i/prod")
    ),
    # workspaces
    "workspaces_of_a_variable": Sample(
        {
            "main.tf": S3
            + 'variable "size" {\n  default = { dev = 1, prod = 2 }\n}\n'
            + "locals {\n  env = terraform.workspace\n  n = lookup(var.size, local.env, 1)\n}\n"
        },
        ("dev", "prod"),
    ),
    "workspaces_by_files": Sample(
        {
            "main.tf": S3 + 'locals {\n  c = yamldecode(file("${path.module}/conf/${terraform.workspace}.yaml"))\n}\n',
            "conf/dev.yaml": "a: 1\n",
            "conf/prod.yaml": "a: 1\n",
        },
        ("dev", "prod"),
    ),
    "workspaces_that_are_not_named": Sample(
        {"main.tf": S3 + 'locals {\n  n = terraform.workspace == "prod" ? 3 : 1\n}\n'},
        ("root",),
        ("depends on `terraform.workspace`",),
    ),
    "workspaces": Sample(
        {
            "infra/main.tf": S3 + CODE,
            "infra/l.tf": "locals {\n  size = { dev = 1, prod = 3 }\n  n = local.size[terraform.workspace]\n}\n",
        },
        ("infra/dev", "infra/prod"),
    ),
    "workspaces_lookup": Sample(
        {
            "main.tf": S3
            + "locals {\n  c = {\n    eu = { a = 1 }\n    us = {}\n  }\n  x = lookup(local.c, terraform.workspace)\n}\n"
        },
        ("eu", "us"),
    ),
    # what others run
    "terragrunt": Sample(
        {
            "live/terragrunt.hcl": HCL,
            "live/prod/vpc/terragrunt.hcl": HCL,
            "live/dev/vpc/terragrunt.hcl": HCL,
            **MODULES,
        },
        (),
        ("Terragrunt", "live/prod/vpc", "driftguard classify -"),
    ),
    "terragrunt_beside": Sample(
        {**roots("bootstrap"), "live/prod/terragrunt.hcl": HCL, "root.hcl": HCL}, ("bootstrap",), ("Terragrunt",)
    ),
    "atmos": Sample(
        {
            "atmos.yaml": "",
            "stacks/prod.yaml": "",
            "stacks/catalog/vpc.yaml": "",
            "components/terraform/vpc/main.tf": CODE,
            "components/terraform/vpc/providers.tf": 'variable "x" {}\n',
        },
        (),
        ("Atmos", "stacks/prod.yaml", "driftguard classify plan.json"),
    ),
    "atmos_of_other_folders": Sample(
        {
            "rootfs/usr/local/etc/atmos/atmos.yaml": "stacks: {base_path: conf/stacks}\n"
            "components: {terraform: {base_path: tf}}\n",
            "conf/stacks/orgs/acme/prod.yaml": "",
            "conf/stacks/mixins/eu.yaml": "",
            "tf/vpc/main.tf": PROVIDER + CODE,
            **roots("bootstrap"),
        },
        ("bootstrap",),
        ("Atmos stacks (1: conf/stacks/orgs/acme/prod.yaml)", "a component of Atmos"),
    ),
    "terramate": Sample(
        {
            "stacks/prod/stack.tm.hcl": 'stack {\n  name = "prod"\n}\n',
            "stacks/prod/_terramate_generated_backend.tf": S3,
            "stacks/new/stack.tm.hcl": 'stack {\n  name = "new"\n}\n',
            "stacks/new/main.tf": CODE,
        },
        ("prod",),
        ("Terramate", "stacks/new", "terramate generate"),
    ),
    "cdktf_committed": Sample(
        {
            "cdktf.json": "{}",
            "cdktf.out/stacks/net/cdk.tf.json": '{"terraform": {"backend": {"local": {"path": "x"}}}}',
            "cdktf.out/stacks/app/cdk.tf.json": '{"resource": {"terraform_data": {"a": {}}}}',
        },
        ("app", "net"),
    ),
    "cdktf_ignored": Sample({"cdktf.json": "{}", "main.py": ""}, (), ("CDKTF", "driftguard classify plan.json")),
    "remote_json": Sample(
        {"net/main.tf.json": '{"terraform": [{"backend": [{"remote": [{"workspaces": [{"name": "n"}]}]}]}]}'},
        ("net",),
        ("execution mode is remote",),
    ),
    "cloud": Sample({"net/main.tf": CLOUD + CODE}, ("net",), ("HCP Terraform", "driftguard classify plan.json")),
    "remote": Sample({"net/main.tf": REMOTE + CODE}, ("net",), ("execution mode is remote",)),
    "partial_backends": Sample(
        roots("a", "b", text=PARTIAL + CODE), ("a", "b"), ("Backend settings are missing in a, b",)
    ),
    "only_modules": Sample(MODULES, (), ("No environment found",)),
}
