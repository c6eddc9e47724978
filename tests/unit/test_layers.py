"""Rules of the house that imports alone can show; the arrows between layers are held by import-linter."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    "prometheus_client": ["adapters/health.py"],
    "schedule": ["scheduler/"],
    "github": ["adapters/forges/github"],
    "gitlab": ["adapters/forges/gitlab"],
    "jwt": ["adapters/forges/github_access.py"],
    "slack_sdk": ["adapters/slack/"],
    "moto": ["demo/cloud.py"],
    "cronsim": ["config/cron.py"],
    "pydantic": ["config/"],
    "yaml": ["config/", "pipeline/approve/approval_file.py"],
    "platformdirs": ["config/"],
    "typer": ["cli/"],
    "rich": ["cli/"],
    "subprocess": ["adapters/process.py", "adapters/supervise.py", "demo/cloud.py"],
}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_for_an_outside_thing_is_known_where_it_belongs(library: str) -> None:
    users = {file.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*.py") if library in imports(file)}
    assert users
    assert not [user for user in users if not user.startswith(tuple(LIBRARIES[library]))]


def test_only_the_configuration_reads_the_processs_environment() -> None:
    readers = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    # The git adapter takes the variables of a surrounding git away.
    assert readers == {"config/surroundings.py", "adapters/git/commands.py", "adapters/git/environment.py"}


def test_a_pure_stage_reads_no_clock() -> None:
    contracts = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [stages] = [contract["source_modules"] for contract in contracts if "no clock" in contract["name"]]
    paths = [PACKAGE.parent / stage.replace(".", "/") for stage in stages]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")])]
    readings = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today")
        if ast.unparse(node.value).split(".")[-1] in ("datetime", "date")
    ]
    assert files
    assert readings == []
