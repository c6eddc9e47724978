"""What Terragrunt 1.1.3 answers to `find` and `render`, as it was recorded, and the files that units name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.terragrunt.answers import found_units, rendered_unit
from driftguard.model.units import UnitDependency

RECORDED: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "terragrunt" / "answers.json").read_text()
)
ROOT = "/work-tree"


def answer(title: str) -> bytes:
    text = json.dumps(RECORDED[title]).replace("{repo}", ROOT).replace("{states}", "/states")
    return text.encode()


def test_units_are_found_with_their_dependencies_and_what_is_read_for_them() -> None:
    found = found_units(answer("find"))
    assert len(found) == 8
    service = found["dev/service"]
    assert service.dependencies == ("dev/database", "dev/network")
    assert service.reading == ("_envcommon/service.hcl", "root.hcl", "sizes.hcl")
    assert service.leaves == ("../modules/service/main.tf", "../modules/service/names/main.tf")  # asked in live/
    assert not any(unit.excluded for unit in found.values())


def test_a_unit_that_is_excluded_from_plan_is_known() -> None:
    found = found_units(answer("an excluded unit: find"))
    assert [unit.path for unit in found.values() if unit.excluded] == ["network"]


@pytest.mark.parametrize(
    ("exclude", "excluded"),
    [
        ({"if": True, "actions": ["all"]}, True),
        ({"if": True, "actions": ["all_except_output"]}, True),
        ({"if": False, "actions": ["all"]}, False),
        ({"if": True, "actions": ["apply"]}, False),
        ({"if": True, "actions": None, "no_run": True}, False),
    ],
)
def test_only_what_leaves_a_unit_out_of_plan_excludes_it(exclude: dict[str, Any], excluded: bool) -> None:
    listed = [{"type": "unit", "path": "a", "exclude": exclude}, {"type": "stack", "path": "s"}]
    assert [unit.excluded for unit in found_units(json.dumps(listed).encode()).values()] == [excluded]


def test_a_unit_is_rendered_with_its_module_its_var_files_and_its_hooks() -> None:
    unit = rendered_unit(answer("render service"), ROOT, "live/dev/service")
    assert unit.local_source == "modules/service"
    assert unit.var_files == ("live/dev/service/service.tfvars",)
    assert unit.runs == ("before_hook said",)
    assert unit.dependencies == (
        UnitDependency("database", "live/dev/database", {"url": "mock"}),
        UnitDependency("network", "live/dev/network", {"network_id": "mock"}),
    )
    assert not any(each.mocks_silently for each in unit.dependencies)


def test_no_input_of_a_unit_is_kept() -> None:
    assert b"s3cret-for-tests" in answer("render database")
    unit = rendered_unit(answer("render database"), ROOT, "live/dev/database")
    assert "s3cret" not in repr(unit)
    assert unit.local_source == "modules/database"


@pytest.mark.parametrize(
    ("source", "local"),
    [
        (None, "live/a"),
        ("../../modules//net", "modules/net"),
        ("/work-tree/modules//net", "modules/net"),
        ("/elsewhere//net", None),
        ("../../../out", None),
        ("git::ssh://git@github.com/acme/modules.git//net?ref=v1.0.0", None),
        ("github.com/acme/modules//net?ref=v1.0.0", None),
        ("tfr:///terraform-aws-modules/vpc/aws?version=5.0.0", None),
    ],
)
def test_a_source_lies_in_the_repository_or_elsewhere(source: str | None, local: str | None) -> None:
    text = json.dumps({"terraform": {"source": source}}).encode()
    assert rendered_unit(text, ROOT, "live/a").local_source == local


@pytest.mark.parametrize(
    ("block", "silent"),
    [
        ({"mock_outputs": {"id": "m"}}, False),
        ({"mock_outputs": {"id": "m"}, "mock_outputs_merge_strategy_with_state": "no_merge"}, False),
        ({"mock_outputs": {"id": "m"}, "mock_outputs_merge_strategy_with_state": "shallow"}, True),
        ({"mock_outputs": {"id": "m"}, "mock_outputs_merge_with_state": True}, True),
        ({"mock_outputs": {"id": "m"}, "enabled": False}, True),
        ({"mock_outputs": {"id": "m"}, "skip": True}, True),
        ({"enabled": False}, False),
    ],
)
def test_mocks_that_stand_in_without_a_word_are_known(block: dict[str, Any], silent: bool) -> None:
    text = json.dumps({"dependency": {"net": {"config_path": "../net/terragrunt.hcl", **block}}}).encode()
    (found,) = rendered_unit(text, ROOT, "live/a").dependencies
    assert found.path == "live/net"
    assert found.mocks_silently is silent
