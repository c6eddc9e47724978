"""A provider that quotes secrets in its errors: no value that Terraform knows as sensitive is stored or sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.integration.conftest import Estate
from tests.support.harness import Ran
from tests.support.seeds import one_quick

pytestmark = pytest.mark.terraform

OLD, NEW, OUTSIDE = 'old "value" & more', "new/value & more", "changed outside & more"
_BODY = """\
variable "secret" {{ {sensitive} }}

resource "toy_thing" "a" {{
  name   = "a"
  {assignment}
}}
"""
SOURCES = {
    # The variable is not declared as sensitive, and the provider's schema is what says so of the attribute.
    "literal": _BODY.format(sensitive='default = ""', assignment="secret = VALUE"),
    "variable": _BODY.format(sensitive="sensitive = true", assignment="secret = var.secret"),
    "passed on": _BODY.format(sensitive="", assignment="secret = var.secret"),
}


@pytest.fixture(params=one_quick(SOURCES, pytest.mark.further))
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Quoting:
    """An environment whose secret comes from one source, with alerts on standard output."""

    def __init__(self, estate: Estate, source: str) -> None:
        self.estate, self.source = estate, source
        env = "environments: [{path: environments/*, env: [TF_VAR_secret]}]\n" if source == "passed on" else ""
        estate.configure(f"policy: {{pending: apply, input: apply}}\n{env}")
        self.outputs: list[str] = []

    def merge(self, value: str) -> None:
        """Let the configuration want a secret."""
        body = SOURCES[self.source]
        self.estate.write(body.replace("VALUE", json.dumps(value)))
        if self.source == "variable":
            self.estate.sandbox.write("environments/dev/terraform.tfvars", f"secret = {json.dumps(value)}\n")
        # Without a lock file in git, a changed variable and a changed provider could not be distinguished.
        self.estate.sandbox.write("environments/dev/.terraform.lock.hcl", "# the provider is attached\n")
        self.estate.sandbox.commit(f"change {len(self.outputs)}")
        self.estate.sandbox.variables["TF_VAR_secret"] = value

    def reconcile(self) -> Ran:
        ran = self.estate.reconcile("-v")
        self.outputs += [ran.stdout, ran.stderr]
        return ran

    def leaks(self) -> list[str]:
        """Values that stand in what was printed, or in what is left on the machine besides git's own objects."""
        for arguments in (("status",), ("history", "--format", "json"), ("explain", "dev"), ("explain", "dev", "-v")):
            ran = self.estate.sandbox.run(*arguments)
            self.outputs += [ran.stdout, ran.stderr]
        left = [content for file, content in self.estate.sandbox.bytes_left().items() if "/repos/" not in str(file)]
        everything = "\n".join(self.outputs).encode() + b"\n".join(left)
        return [form for value in (OLD, NEW, OUTSIDE) for form in _forms(value) if form.encode() in everything]


def _forms(value: str) -> Iterator[str]:
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(json.dumps(value))[3:-3]
    yield quote(value, safe="")
    yield base64.b64encode(value.encode()).decode()


@pytest.fixture
def quoting(estate: Estate, source: str) -> Quoting:
    made = Quoting(estate, source)
    made.merge(OLD)
    assert made.reconcile().code == 0
    return made


def test_a_sensitive_value_in_an_error_of_a_plan_is_replaced(quoting: Quoting) -> None:
    quoting.estate.toy.faults(fail_read="away", echo_secret=True)
    ran = quoting.reconcile()
    error = ran.environment("dev")["error"]
    assert (ran.code, error["kind"]) == (1, "plan")
    assert "Sent (sensitive) as" in error["message"]
    assert quoting.leaks() == []


def test_a_sensitive_value_in_an_error_of_an_apply_is_replaced(quoting: Quoting) -> None:
    quoting.merge(NEW)
    quoting.estate.toy.faults(fail_update=["a"], echo_secret=True)
    ran = quoting.reconcile()
    reasons = ran.environment("dev")["decision"]["reasons"]
    assert ran.environment("dev")["decision"]["action"] == "hold"
    assert "Sent (sensitive) as" in " ".join(reasons), reasons
    assert quoting.leaks() == []


def test_a_value_that_is_only_in_the_state_is_replaced_before_the_first_plan_succeeds(quoting: Quoting) -> None:
    quoting.merge(NEW)  # the old value is in the state alone
    quoting.estate.toy.faults(fail_read="away", echo_secret=True)
    assert "Sent (sensitive) as" in quoting.reconcile().environment("dev")["error"]["message"]
    assert quoting.leaks() == []
