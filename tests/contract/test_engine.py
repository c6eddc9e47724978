"""The engine contract: real Terraform, and the engine in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from driftguard.adapters.process import Stop
from driftguard.adapters.terraform.engine import TerraformApplier, TerraformPlanner
from driftguard.adapters.terraform.tool import find_tool
from driftguard.ports.engine import Applier
from tests.contract.engine_contract import Bench, EngineContract, working_directory
from tests.support.harness import Toy
from tests.support.memory_engine import MemoryEngine, MemoryStates


class TestMemoryEngine(EngineContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, toy: Toy) -> Bench:
        return Bench(MemoryEngine(MemoryStates()), working_directory(tmp_path, {}), toy)


class TestTerraformEngine(EngineContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, toy: Toy, toy_configuration: Path) -> Bench:
        variables = {"PATH": os.environ["PATH"], "TF_CLI_CONFIG_FILE": str(toy_configuration), "HOME": str(tmp_path)}
        tool = find_tool("terraform", os.environ["PATH"])
        engine = TerraformApplier(tool, tmp_path / "plugins", Stop())
        return Bench(engine, working_directory(tmp_path, variables), toy)


def test_the_engine_of_a_scan_cannot_apply_or_unlock() -> None:
    forbidden = [name for name in vars(Applier) if not name.startswith("_")]
    assert forbidden == ["apply", "force_unlock"]
    assert not [name for name in forbidden if hasattr(TerraformPlanner, name)]
