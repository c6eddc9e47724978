"""`workspaces` as a glob: the environments that the backend lists, on real Terraform with states in S3."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Estate, S3Estate
from tests.integration.test_reconcile import thing
from tests.support.harness import Ran
from tests.support.toy_estate import verdicts

pytestmark = pytest.mark.terraform

GLOB = "environments: [{path: environments/dev, workspaces: 'eu-*'}]\nalerts: {trail: false}\n"
DEV = "environments/dev"


def new_workspace(estate: Estate, name: str) -> None:
    """A workspace with the thing applied in it."""
    estate.sandbox.terraform(DEV, "workspace", "new", name)
    estate.sandbox.terraform(DEV, "apply", "-input=false", "-auto-approve")


@pytest.fixture
def workspaces(s3_estate: S3Estate) -> S3Estate:
    """Two workspaces that the glob matches, and one that it does not."""
    s3_estate.write(thing("a").replace('"a"\n', "terraform.workspace\n"))
    s3_estate.sandbox.write(".gitignore", ".terraform/\n")
    s3_estate.configure(GLOB)
    s3_estate.sandbox.terraform(DEV, "init", "-input=false")
    for name in ("eu-1", "eu-2", "us"):
        new_workspace(s3_estate, name)
    s3_estate.sandbox.commit("The lock file")
    return s3_estate


def error_of(ran: Ran, name: str) -> str:
    error = ran.environment(name)["error"]
    assert error["kind"] == "config"
    return str(error["message"])


def test_a_glob_stands_for_the_workspaces_of_the_backend_and_a_new_one_is_scanned(workspaces: S3Estate) -> None:
    ran = workspaces.sandbox.scan()
    assert (ran.code, verdicts(ran.report)) == (0, {"dev/eu-1": "in_sync", "dev/eu-2": "in_sync"})
    assert {e["workspace"] for e in ran.report["environments"]} == {"eu-1", "eu-2"}
    assert ran.report["uncovered"] == [{"path": DEV, "workspace": "us"}]
    new_workspace(workspaces, "eu-3")
    workspaces.toy.change("eu-3", value="outside")
    ran = workspaces.sandbox.scan()
    assert (ran.code, verdicts(ran.report)["dev/eu-3"]) == (2, "drifted")


def test_a_backend_that_cannot_be_listed_is_unknown_and_no_environment_counts_as_removed(workspaces: S3Estate) -> None:
    assert workspaces.sandbox.scan().code == 0
    workspaces.sandbox.replace(f"{DEV}/main.tf", f'"{workspaces.bucket}"', f'"{workspaces.bucket}-gone"')
    workspaces.sandbox.commit("Another bucket")
    ran = workspaces.reconcile()
    assert (ran.code, verdicts(ran.report)) == (1, {"dev/eu-1": "unknown", "dev/eu-2": "unknown"})
    assert error_of(ran, "dev/eu-1").startswith(f"The workspaces of {DEV} cannot be listed, so none is planned: ")
    assert "environment_removed" not in ran.stdout


def test_a_backend_without_workspaces_is_unknown_from_its_first_scan(estate: Estate) -> None:
    estate.write(thing("a"))
    estate.configure(GLOB)
    ran = estate.sandbox.scan()
    (found,) = ran.report["environments"]
    assert (ran.code, found["verdict"], found["path"]) == (1, "unknown", DEV)
    assert "workspaces not supported" in error_of(ran, found["name"])


@pytest.mark.further
def test_a_glob_that_matches_nothing_is_reported_and_is_not_no_environment(workspaces: S3Estate) -> None:
    workspaces.configure(GLOB.replace("eu-*", "asia-*"))
    ran = workspaces.sandbox.scan()
    (found,) = ran.report["environments"]
    assert (ran.code, found["verdict"]) == (1, "unknown")
    assert "matches no workspace of the backend, which has default, eu-1, eu-2, us" in error_of(ran, found["name"])
