"""Schemas of providers: fetched once for each version, only where a list changes, and never at the cost of a scan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.schemas import FolderSchemas
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.model.plan_document import PlanDocument, read_document
from driftguard.pipeline.provider_schemas import schemas_of, types_with_lists
from driftguard.ports import WorkingDirectory
from tests.support.memory_engine import MemoryEngine, MemoryStates

AWS = "registry.terraform.io/hashicorp/aws"
PORTS = {"attributes": {"ports": {"type": ["set", "string"], "optional": True}}}
OUTPUT = {"format_version": "1.0", "provider_schemas": {AWS: {"resource_schemas": {"aws_wall": {"block": PORTS}}}}}


class Engine(MemoryEngine):
    """Has the AWS provider, and counts how often its schemas are asked for."""

    def __init__(self, versions: Mapping[str, str], answer: Any = OUTPUT) -> None:
        super().__init__(MemoryStates())
        self.asked, self._versions, self._answer = 0, versions, answer

    def providers(self, work: WorkingDirectory) -> Mapping[str, str]:
        return self._versions

    def schemas(self, work: WorkingDirectory) -> bytes:
        self.asked += 1
        if isinstance(self._answer, EnvironmentFault):
            raise self._answer
        return json.dumps(self._answer).encode()


def document(provider: str = AWS, actions: tuple[str, ...] = ("update",), **values: Any) -> PlanDocument:
    change = {"actions": list(actions), "before": values, "after": values, "after_unknown": {}}
    item = {
        "address": "aws_wall.one",
        "mode": "managed",
        "type": "aws_wall",
        "name": "one",
        "provider_name": provider,
        "change": change,
    }
    plan = {"format_version": "1.2", "terraform_version": "1.11.4", "resource_changes": [item]}
    return read_document(json.dumps(plan).encode())


@pytest.fixture
def work(tmp_path: Path) -> WorkingDirectory:
    return WorkingDirectory(tmp_path, tmp_path, tmp_path, {})


def is_set(engine: Engine, work: WorkingDirectory, cache: FolderSchemas) -> bool | None:
    schemas, warning = schemas_of(document(ports=["443"]), engine, work, cache)
    assert warning is None
    shape = schemas.shape(AWS, "aws_wall") if schemas else None
    ports = shape.at("ports") if shape else None
    return ports.is_set if ports else None


def test_schemas_are_fetched_once_for_each_version(work: WorkingDirectory, tmp_path: Path) -> None:
    engine, cache = Engine({AWS: "5.1.0"}), FolderSchemas(tmp_path / "schemas")
    assert [is_set(engine, work, cache) for _ in range(3)] == [True, True, True]
    assert engine.asked == 1
    newer = Engine({AWS: "5.2.0"})
    assert [is_set(newer, work, cache) for _ in range(2)] == [True, True]
    assert newer.asked == 1


def test_a_provider_without_a_version_is_asked_each_time(work: WorkingDirectory, tmp_path: Path) -> None:
    engine, cache = Engine({}), FolderSchemas(tmp_path / "schemas")
    assert [is_set(engine, work, cache) for _ in range(2)] == [True, True]
    assert engine.asked == 2


def test_a_broken_file_in_the_cache_is_written_anew(work: WorkingDirectory, tmp_path: Path) -> None:
    cache = FolderSchemas(tmp_path / "schemas")
    assert is_set(Engine({AWS: "5.1.0"}), work, cache)
    (file,) = (tmp_path / "schemas").iterdir()
    file.write_bytes(file.read_bytes()[:20])
    engine = Engine({AWS: "5.1.0"})
    assert [is_set(engine, work, cache) for _ in range(2)] == [True, True]
    assert engine.asked == 1


def test_a_cache_that_cannot_be_written_costs_no_scan(work: WorkingDirectory, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert is_set(Engine({AWS: "5.1.0"}), work, FolderSchemas(tmp_path / "file/schemas"))


@pytest.mark.parametrize("answer", [EnvironmentFault(ErrorKind.PLAN, "no plugins"), {"format_version": "1.0"}])
def test_schemas_that_cannot_be_read_are_a_warning(work: WorkingDirectory, tmp_path: Path, answer: Any) -> None:
    engine = Engine({AWS: "5.1.0"}, answer)
    schemas, warning = schemas_of(document(ports=["443"]), engine, work, FolderSchemas(tmp_path / "schemas"))
    assert schemas is None
    assert warning is not None
    assert warning.startswith("The schemas of the providers could not be read (")


def test_an_interrupt_is_no_warning(work: WorkingDirectory, tmp_path: Path) -> None:
    engine = Engine({AWS: "5.1.0"}, EnvironmentFault(ErrorKind.INTERRUPTED, "stopped"))
    with pytest.raises(EnvironmentFault):
        schemas_of(document(ports=["443"]), engine, work, FolderSchemas(tmp_path / "schemas"))


@pytest.mark.parametrize(
    ("plan", "needed"),
    [
        (document(ports=["443"]), {AWS: {"aws_wall"}}),
        (document(rule=[{"port": 443}]), {AWS: {"aws_wall"}}),
        (document(ports=[], name="one"), {}),
        (document(ports=["443"], actions=("no-op",)), {}),
        (document(provider="terraform.io/builtin/terraform", ports=["443"]), {}),
    ],
)
def test_schemas_are_needed_where_a_changed_object_has_a_list(plan: PlanDocument, needed: Any) -> None:
    assert types_with_lists(plan) == needed
