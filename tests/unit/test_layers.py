"""Rules of the house that imports alone can show; the arrows between layers are held by import-linter."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.unit.test_habits import MODULES, loaded_by

PACKAGE = Path(__file__).resolve().parents[2] / "driftguard"

# Each library for an outside thing, and the only files that may know it.
LIBRARIES = {
    "git": ["adapters/git/"],
    "hcl2": ["adapters/hcl/"],
    "python_terraform": ["adapters/terraform/"],
    "sqlalchemy": ["adapters/sql/"],
    "alembic": ["adapters/sql/"],
    "boto3": ["adapters/aws/", "demo/cloud.py"],
    "botocore": ["adapters/aws/", "demo/cloud.py"],
    "prometheus_client": ["adapters/metrics.py"],
    "schedule": ["scheduler/"],
    "github": ["adapters/forges/github"],
    "gitlab": ["adapters/forges/gitlab"],
    "jwt": ["adapters/forges/github_access.py"],
    "slack_sdk": ["adapters/slack/"],
    "starlette": ["web/"],
    "uvicorn": ["web/server.py"],
    "jinja2": ["web/rendering.py"],
    "markupsafe": ["web/rendering.py"],
    "moto": ["demo/cloud.py"],
    "cronsim": ["config/cron.py"],
    "pydantic": ["config/"],
    "yaml": ["config/", "pipeline/approve/approval_file.py"],
    "platformdirs": ["config/"],
    "typer": ["cli/"],
    "rich": ["cli/"],
    "subprocess": ["adapters/process.py", "adapters/supervise.py", "demo/cloud.py", "probe/processes.py"],
}


@cache
def parsed() -> dict[str, ast.Module]:
    """Each file of the package, by its path there."""
    return {file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text()) for file in PACKAGE.rglob("*.py")}


@cache
def imports() -> dict[str, set[str]]:
    """The top-level packages that each file imports anywhere."""
    return {path: set(imported(tree)) for path, tree in parsed().items()}


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_for_an_outside_thing_is_known_where_it_belongs(library: str) -> None:
    users = {path for path, libraries in imports().items() if library in libraries}
    assert users
    assert not [user for user in users if not user.startswith(tuple(LIBRARIES[library]))]


def test_only_the_configuration_reads_the_processs_environment() -> None:
    readers = {
        path
        for path, tree in parsed().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    # The git adapter takes the variables of a surrounding git away.
    assert readers == {"config/surroundings.py", "adapters/git/commands.py", "adapters/git/environment.py"}


def pure_modules() -> set[str]:
    """Files of the stages that are pure by contract, and of every module of the package that they load."""
    contracts = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [stages] = [contract["source_modules"] for contract in contracts if "no clock" in contract["name"]]
    places = [stage.removeprefix("driftguard.").replace(".", "/") for stage in stages]
    beginnings = tuple(f"{place}{end}" for place in places for end in (".py", "/"))
    waiting = [path for path in parsed() if path.startswith(beginnings)]
    found: set[str] = set()
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting += {MODULES[module] for module in loaded_by(path)} - found
    return found


def test_neither_a_pure_stage_nor_a_module_that_it_loads_reads_a_clock() -> None:
    readings = [
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path in pure_modules()
        for node in ast.walk(parsed()[path])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter")
    ]
    assert readings == []
    assert {"pipeline/decide/conditions.py", "pipeline/classify/rules.py", "model/reasons.py"} <= pure_modules()
