"""What Terragrunt 1.1.3 says in its log, and which directories are units."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from driftguard.adapters.process import Stop
from driftguard.adapters.terragrunt.engine import TerragruntPlanner, mocked_dependencies
from driftguard.adapters.terragrunt.program import log_messages
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind, ToolVersion, TreeEntry
from driftguard.pipeline.directories import find
from driftguard.pipeline.units import units, units_with_code, unknown_closure
from driftguard.ports import WorkingDirectory

MOCKED = (
    '{"time":"2026-11-27UTC19:21:12Z", "level":"warn", "msg":"Config /r/live/dev/database/terragrunt.hcl is a '
    "dependency of /r/live/dev/service/terragrunt.hcl that has no outputs, but mock outputs provided and returning "
    'those in dependency output."}'
)
HOOK = '{"time":"2026-11-27UTC19:21:32Z", "level":"info", "msg":"Executing hook: said"}'


def test_mocks_are_read_from_the_log_with_their_unit() -> None:
    log = "\n".join(log_messages(f"{HOOK}\n{MOCKED}\nno JSON\n"))
    assert log.splitlines()[0] == "Executing hook: said"
    assert log.splitlines()[-1] == "no JSON"
    assert mocked_dependencies(log) == ("/r/live/dev/database",)
    assert mocked_dependencies("Executing hook: said") == ()


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["live/root.hcl", "live/a/terragrunt.hcl", "live/b/terragrunt.hcl"], {"live/a", "live/b"}),
        (["live/terragrunt.hcl", "live/a/terragrunt.hcl", "live/_envcommon/x.hcl"], {"live/a"}),  # shared settings
        (["terragrunt.hcl", "live/a/b/terragrunt.hcl"], {"live/a/b"}),
        (["terragrunt.hcl"], {"."}),
        (["live/a/.terragrunt-cache/x/terragrunt.hcl", "live/terragrunt.stack.hcl", "main.tf"], set()),
    ],
)
def test_a_terragrunt_file_makes_a_unit_and_shared_settings_make_none(paths: list[str], expected: set[str]) -> None:
    assert units(paths) == expected


def test_every_file_of_the_repository_is_in_the_closure_of_a_unit_of_which_nothing_is_known() -> None:
    tree = {
        path: TreeEntry("100644", path)
        for path in ("live/a/terragrunt.hcl", "root.hcl", ".tofu-version", "ok/1", "m/a.tf")
    }
    closure = unknown_closure("live/a", tree, "ok/", "It was not asked.")
    assert set(closure.files) == tree.keys() - {"ok/1"}
    assert closure.open
    changed = unknown_closure("live/a", {**tree, "root.hcl": TreeEntry("100644", "2")}, "ok/", "It was not asked.")
    assert changed.init_key != closure.init_key
    assert changed.hash("tofu 1", "") != closure.hash("tofu 1", "")
    assert find(tree, ["live/*"]) == ["live/a"]


def test_an_end_without_a_plan_of_this_run_is_partial(tmp_path: Path) -> None:
    program = tmp_path / "terragrunt"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    work = WorkingDirectory(tmp_path, tmp_path / "data", tmp_path, {"PATH": os.environ["PATH"]})
    planner = TerragruntPlanner(ToolVersion("terraform", "1.11.4", "terraform"), tmp_path, Stop(), str(program))
    plan = tmp_path / "plan"
    plan.write_text("of an earlier run")
    with pytest.raises(EnvironmentFault) as fault:
        planner.plan(work, plan)
    assert fault.value.kind is ErrorKind.PARTIAL


def test_units_whose_code_runs_while_they_are_read_are_known_from_their_text() -> None:
    texts = {
        "live/a/terragrunt.hcl": b'include "root" { path = find_in_parent_folders("root.hcl") }',
        "live/b/terragrunt.hcl": b'inputs = { x = run_cmd("date") }',
        "live/c/terragrunt.hcl": b'terraform {\n  before_hook "lint" {}\n}',
        "live/d/terragrunt.hcl": b'inputs = { x = "run_cmd" }',
        "live/root.hcl": b'inputs = { x = sops_decrypt_file("x.yaml") }',
        "main.tf": b"run_cmd()",
    }
    directories = ["live/a", "live/b", "live/c", "live/d"]
    assert units_with_code(directories, texts, texts.__getitem__) == ["live/a", "live/b", "live/c"]
