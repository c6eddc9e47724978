"""Values of sensitive variables that Terraform does not mark: kept by `ignore_changes`, computed from one, replaced."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from driftguard.model.plan_document import PlanDocument
from driftguard.pipeline.classify.secrets import holds_one, secret_texts
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
        ({SECRET: 1}, True),
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
