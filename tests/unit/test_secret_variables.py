"""Values of sensitive variables that Terraform does not mark: kept by `ignore_changes`, computed from one, replaced."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from driftguard.adapters.hcl.sources import Configuration
from driftguard.model.plan_configuration import ConfigurationReferences
from driftguard.model.plan_document import PlanDocument
from driftguard.pipeline.classify.secrets import holds_one, masked_texts, secret_texts
from tests.support.harness import COMMAND

SECRET = "hunter2-secret"


def kept_by_ignore_changes(*, sensitive: bool) -> dict[str, Any]:
    """Terraform 1.11's own plan of a replaced `terraform_data` whose `input` is ignored and whose variable changed."""
    before = {"id": "1", "input": SECRET, "output": SECRET, "triggers_replace": "1"}
    change = {
        "actions": ["delete", "create"],
        "before": before,
        "after": {"input": SECRET, "triggers_replace": "2"},
        "after_unknown": {"id": True, "output": True},
        "before_sensitive": {},
        "after_sensitive": {},
        "replace_paths": [["triggers_replace"]],
    }
    item = {"address": "terraform_data.a", "mode": "managed", "type": "terraform_data", "name": "a", "change": change}
    variables = {"v": {"default": SECRET, **({"sensitive": True} if sensitive else {})}, "t": {"default": "2"}}
    return {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "complete": True,
        "variables": {"v": {"value": SECRET}, "t": {"value": "2"}},
        "resource_changes": [{**item, "provider_name": "terraform.io/builtin/terraform"}],
        "configuration": {"root_module": {"variables": variables}},
    }


@pytest.mark.parametrize("sensitive", [True, False])
def test_the_value_of_a_sensitive_variable_is_sealed_wherever_it_stands(tmp_path: Path, sensitive: bool) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(kept_by_ignore_changes(sensitive=sensitive)))
    done = subprocess.run([*COMMAND, "classify", str(plan), "--format", "json"], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert (SECRET in done.stdout) is not sensitive


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (SECRET, True),
        (f"https://user:{SECRET}@host", True),
        ({"a": [{"b": SECRET}]}, True),
        ({SECRET: 1}, False),
        ("latest", False),
        ("test", True),
        (None, False),
        (7, False),
    ],
)
def test_a_short_secret_counts_only_as_a_whole_text(value: object, held: bool) -> None:
    assert holds_one(value, frozenset({SECRET, "test"})) is held
    assert not holds_one(value, frozenset())


def test_variables_that_are_not_declared_as_sensitive_seal_nothing() -> None:
    for sensitive, texts in ((True, {SECRET}), (False, set())):
        content = json.dumps(kept_by_ignore_changes(sensitive=sensitive)).encode()
        assert secret_texts(msgspec.json.decode(content, type=PlanDocument)) == texts


# --- what an expression reaches -----------------------------------------------------------------------

MAIN = """
variable "v" {
  sensitive = true
}
variable "plain" {}
locals {
  s    = sensitive("a text")
  both = "${local.s}-x"
  bare = nonsensitive(local.unknown)
}
module "m" {
  source = "./m"
  given  = var.v
  other  = var.plain
}
resource "toy_thing" "a" {
  of_variable = var.v
  of_local    = local.both
  of_output   = module.m.declared
  of_module   = module.m.passed
  of_call     = "x${sensitive(var.plain)}"
  of_plain    = var.plain
  of_other    = module.m.other
  of_bare     = local.bare
  of_word     = "sensitive(v)"
}
"""
MODULE = """
variable "given" {}
variable "other" {}
output "declared" {
  value     = var.other
  sensitive = true
}
output "passed" {
  value = var.given
}
output "other" {
  value = var.other
}
resource "toy_thing" "inner" {
  value = var.given
  plain = var.other
}
"""
REACHING = {"of_variable", "of_local", "of_output", "of_module", "of_call"}
NOT_REACHING = {"of_plain", "of_other", "of_bare", "of_word", "not_there"}


@pytest.mark.parametrize("attribute", sorted(REACHING | NOT_REACHING))
def test_an_expression_reaches_a_secret_through_locals_modules_and_calls(attribute: str) -> None:
    read = Configuration("e", {"e/main.tf": MAIN.encode(), "e/m/main.tf": MODULE.encode()})
    assert read.is_secret("toy_thing.a", attribute) is (attribute in REACHING)
    assert read.is_secret('module.m.toy_thing.inner["x"]', "value")
    assert not read.is_secret("module.m.toy_thing.inner", "plain")


def test_the_plans_own_configuration_reaches_what_is_declared_as_sensitive() -> None:
    inner = {
        "variables": {"given": {}, "declared": {"sensitive": True}},
        "outputs": {"o": {"sensitive": True, "expression": {"constant_value": 1}}, "p": {"expression": {}}},
        "resources": [
            {
                "address": "t.b",
                "expressions": {
                    "given": {"references": ["var.given"]},
                    "declared": {"references": ["var.declared"]},
                },
            }
        ],
    }
    root = {
        "variables": {"v": {"sensitive": True}, "w": {}},
        "module_calls": {"m": {"module": inner, "expressions": {"given": {"references": ["var.v"]}}}},
        "resources": [
            {
                "address": "t.a",
                "expressions": {
                    "v": {"references": ["var.v"]},
                    "w": {"references": ["var.w"]},
                    "o": {"references": ["module.m.o", "module.m"]},
                    "p": {"references": ["module.m.p", "module.m"]},
                },
            }
        ],
    }
    content = json.dumps({"format_version": "1.2", "configuration": {"root_module": root}}).encode()
    references = ConfigurationReferences(msgspec.json.decode(content, type=PlanDocument))
    assert {name for name in "vwop" if references.reached("t.a", name).secret} == {"v", "o"}
    assert references.reached("module.m.t.b", "given").secret
    assert references.reached("module.m.t.b", "declared").secret


def test_texts_below_a_mask_are_those_of_its_places() -> None:
    value = {"a": "a long secret", "b": ["short", "another secret"], "c": "no secret at all"}
    masks = [{"a": True, "b": [False, True]}, False, {"d": True}]
    assert masked_texts([value, None], masks) == {"a long secret", "another secret"}
