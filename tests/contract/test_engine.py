"""The engine contract: real Terraform, and the engine in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftguard.adapters.process import Stop
from driftguard.adapters.terraform.engine import TerraformApplier, TerraformPlanner
from driftguard.adapters.terraform.tool import find_tool
from driftguard.ports.engine import Applier
from tests.contract.engine_contract import Bench, EngineContract, working_directory
from tests.support.harness import Sandbox, Toy
from tests.support.memory_engine import MemoryEngine, MemoryStates


class TestMemoryEngine(EngineContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, toy: Toy) -> Bench:
        return Bench(MemoryEngine(MemoryStates()), working_directory(tmp_path, {}), toy)


class TestTerraformEngine(EngineContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, toy: Toy, sandbox: Sandbox) -> Bench:
        tool = find_tool("terraform", sandbox.variables["PATH"])
        engine = TerraformApplier(tool, tmp_path / "plugins", Stop())
        return Bench(engine, working_directory(tmp_path, sandbox.variables), toy)


def test_the_engine_of_a_scan_cannot_apply_or_unlock() -> None:
    forbidden = [name for name in vars(Applier) if not name.startswith("_")]
    assert forbidden == ["apply", "force_unlock"]
    assert not [name for name in forbidden if hasattr(TerraformPlanner, name)]
