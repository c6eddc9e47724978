"""One small environment in the AWS cloud on loopback, and what a report says of it in a form that tests compare."""

from __future__ import annotations

from typing import Any

from driftguard.demo.cloud import PACKAGED_PROVIDER, Cloud, loopback_override, make_state_bucket
from tests.support.harness import Sandbox

DIRECTORY = "environments/shop"
Labels = dict[str, dict[str, str]]


class Shop:
    """An environment called `shop` on one test's own machine, in the cloud that all tests share.

    Args:
        prefix: begins the name of everything that the test makes in the cloud.
    """

    def __init__(self, sandbox: Sandbox, cloud: Cloud, prefix: str) -> None:
        self.sandbox, self.cloud, self.prefix = sandbox, cloud, prefix
        make_state_bucket(cloud)
        sandbox.write(".gitignore", ".terraform/\n")
        sandbox.write(f"{DIRECTORY}/backend.tf", 'terraform {\n  backend "s3" {}\n}\n')
        override = loopback_override(cloud.endpoint, f"{prefix}/terraform.tfstate", PACKAGED_PROVIDER)
        sandbox.write(f"{DIRECTORY}/loopback_override.tf", override)

    def write(self, body: str, file: str = "main.tf") -> None:
        """Write the environment's resources; `NAME` in the text becomes the test's own prefix."""
        self.sandbox.write(f"{DIRECTORY}/{file}", body.replace("NAME", self.prefix))

    def commit(self, body: str, message: str = "change the shop") -> str:
        """Merge other resources without applying them; the commit."""
        self.write(body)
        return self.sandbox.commit(message)

    def settle(self, body: str) -> str:
        """Apply resources, merge them, and have them seen in sync, which sets the baseline; the commit."""
        self.write(body)
        commit = self.apply()
        scanned = self.sandbox.scan()
        assert (scanned.code, scanned.environment("shop")["verdict"]) == (0, "in_sync"), scanned.stdout + scanned.stderr
        return commit

    def apply(self) -> str:
        """Apply what stands in the work tree and merge it, the lock file included; the commit."""
        self.sandbox.apply(DIRECTORY)
        return self.sandbox.commit("the shop")

    def scan(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Scan; the exit code and the environment's report."""
        ran = self.sandbox.scan(*arguments)
        return ran.code, ran.environment("shop")

    # --- what others do outside of Terraform ----------------------------------------------------

    def queue_url(self, name: str = "jobs") -> str:
        found: str = self.cloud.client("sqs").get_queue_url(QueueName=f"{self.prefix}-{name}")["QueueUrl"]
        return found

    def tag_queue(self, name: str = "jobs", **tags: str) -> None:
        self.cloud.client("sqs").tag_queue(QueueUrl=self.queue_url(name), Tags=tags)

    def set_timeout(self, seconds: int, name: str = "jobs") -> None:
        attributes = {"VisibilityTimeout": str(seconds)}
        self.cloud.client("sqs").set_queue_attributes(QueueUrl=self.queue_url(name), Attributes=attributes)

    def delete_queue(self, name: str = "jobs") -> None:
        self.cloud.client("sqs").delete_queue(QueueUrl=self.queue_url(name))


def labels(environment: dict[str, Any]) -> Labels:
    """Address to attribute path to label; a resource that is listed without attributes has its own labels."""
    found: Labels = {}
    for resource in environment["resources"]:
        attributes = {attribute["path"]: attribute["label"] for attribute in resource["attributes"]}
        found[resource["address"]] = attributes or dict.fromkeys(resource["labels"], "no attributes")
        assert not attributes or sorted(set(attributes.values())) == resource["labels"]
    return found


def resource(environment: dict[str, Any], address: str) -> dict[str, Any]:
    """One resource of a report."""
    found: dict[str, Any] = next(r for r in environment["resources"] if r["address"] == address)
    return found


def attribute(environment: dict[str, Any], address: str, path: str) -> dict[str, Any]:
    """One attribute of a report."""
    found: dict[str, Any] = next(a for a in resource(environment, address)["attributes"] if a["path"] == path)
    return found


def values(environment: dict[str, Any], address: str, path: str) -> tuple[Any, Any, Any]:
    """S, R and D of one attribute of a report."""
    found = attribute(environment, address, path)
    return found["state"], found["reality"], found["desired"]
