"""States that an apply could not store, and files that it left behind: real Terraform, S3 and http backends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import S3Estate
from tests.integration.test_reconcile import decision, thing
from tests.support.refusing import Refusing, refusing_http, refusing_s3
from tests.support.seeds import one_quick

pytestmark = pytest.mark.terraform

ACTING = "policy: {pending: apply, drift: revert, input: apply, backoff: {first: 1s, most: 1s}}\n"


@pytest.fixture
def estate(s3_estate: S3Estate) -> S3Estate:
    return s3_estate


class Refused:
    """An environment `dev` whose backend refuses to store a state on demand."""

    def __init__(self, estate: S3Estate, kind: str, refusing: Refusing) -> None:
        self.estate, self.refusing = estate, refusing
        self.backend = f'backend "http" {{\n  address = "{refusing.endpoint}/dev"\n}}\n'
        if kind == "s3":
            self.backend = estate.backend("dev").replace(estate.cloud.endpoint, refusing.endpoint)

    def merge(self, body: str) -> None:
        main = self.estate.toy.root_module(body, backend=self.backend)
        self.estate.sandbox.commit("Change dev", {"environments/dev/main.tf": main})

    def reason(self) -> dict[str, Any]:
        ran = self.estate.reconcile()
        assert "Traceback" not in ran.stderr
        found: dict[str, Any] = ran.environment("dev")["decision"]
        return found


@pytest.fixture(params=one_quick(["s3", "http"], pytest.mark.further))
def refused(request: pytest.FixtureRequest, estate: S3Estate) -> Iterator[Refused]:
    with ExitStack() as stack:
        backend = refusing_http() if request.param == "http" else refusing_s3(estate.cloud.endpoint)
        yield Refused(estate, request.param, stack.enter_context(backend))


def test_a_state_that_could_not_be_stored_is_kept_and_holds_until_it_is_pushed(refused: Refused) -> None:
    estate = refused.estate
    estate.configure(ACTING)
    refused.merge(thing("a", value="1"))
    assert estate.reconcile().code == 0

    refused.refusing.refuses = True
    refused.merge(thing("a", value="1") + thing("b"))
    found = refused.reason()
    assert (found["action"], found["reasons"][0].split(":")[0]) == ("hold", "state_not_written")
    (file,) = re.findall(r"terraform state push (\S+?)[`;]", found["reasons"][0])
    kept = Path(file)
    assert kept.is_relative_to(estate.sandbox.home / ".local/state/driftguard")
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert {r["name"] for r in json.loads(kept.read_text())["resources"]} == {"a", "b"}
    assert not list((estate.sandbox.home / ".cache").rglob("errored.tfstate"))

    refused.refusing.refuses = False
    for _ in range(2):  # the object exists and the state does not know it: nothing is created a second time
        found = refused.reason()
        assert found["reasons"][0] == f"state_not_written: it is kept on {_host(found)}: `terraform state push {file}`"
    scan = estate.sandbox.scan()
    assert decision(scan)[1][0] == "state_not_written"
    assert estate.toy.effects() == ["create a", "create b"]

    estate.sandbox.terraform("environments/dev", "init", "-input=false")
    estate.sandbox.terraform("environments/dev", "state", "push", file)
    ran = estate.reconcile()
    assert (ran.code, decision(ran)) == (0, ("none", ["in_sync"]))
    assert estate.toy.effects() == ["create a", "create b"]


def _host(found: dict[str, Any]) -> str:
    return str(found["reasons"][0]).split(" on ")[1].split(":")[0]


@pytest.mark.further
def test_a_retry_goes_on_without_a_state_that_could_not_be_stored(refused: Refused) -> None:
    estate = refused.estate
    estate.configure(ACTING)
    refused.refusing.refuses = True
    refused.merge(thing("a"))
    assert refused.reason()["reasons"][0].startswith("state_not_written")
    refused.refusing.refuses = False
    assert refused.reason()["reasons"][0].startswith("state_not_written")
    estate.toy.delete("a")
    assert estate.sandbox.run("retry", "dev").code == 0
    assert estate.reconcile().code == 0
    assert not refused.refusing.locks


LEAVES = '  provisioner "local-exec" {{\n    command = "echo \'value = \\"left\\"\' > {file}"\n  }}\n}}\n'


@pytest.mark.parametrize("file", one_quick(["../prod/left.auto.tfvars", "left.auto.tfvars"], pytest.mark.further))
def test_files_that_an_apply_leaves_are_part_of_no_other_plan(estate: S3Estate, file: str) -> None:
    estate.configure(f"concurrency: 1\n{ACTING}")
    variable = 'variable "value" {\n  default = "1"\n}\n'
    leaving = thing("a").replace("}\n", LEAVES.format(file=file))
    estate.write(f"{variable}{leaving}", environment="dev")
    estate.write(variable + thing("b").replace("}\n", "  value = var.value\n}\n"), environment="prod")
    estate.sandbox.commit("Add dev and prod")
    assert estate.reconcile("--format", "json").code == 0
    assert estate.toy.thing("b")["value"] == "1"
    estate.write(variable + leaving + thing("c").replace("}\n", "  value = var.value\n}\n"), environment="dev")
    estate.sandbox.commit("Add c to dev")
    assert estate.reconcile().code == 0
    assert (estate.toy.thing("b")["value"], estate.toy.thing("c")["value"]) == ("1", "1")
    assert sorted(estate.toy.effects()) == ["create a", "create b", "create c"]
