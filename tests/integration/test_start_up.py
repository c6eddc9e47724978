"""What a command does not use is not loaded: the larger part of a short command is the loading of libraries."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.sql.opening import open_ledger
from driftguard.model import Alert, AlertKind, AlertState, Entry, EntryKind, Severity
from driftguard.model.report import EnvironmentReport
from tests.support.harness import Sandbox

PROGRAM = """
import sys
from driftguard.cli import main
try:
    main(sys.argv[1:])
finally:
    print(chr(10).join(sys.modules), file=sys.stderr)
"""
CLOUDS = ["boto3", "botocore", "moto"]
FORGES = ["github", "gitlab", "jwt", "cryptography", "requests", "urllib3"]
SINKS = ["slack_sdk", "apprise"]
SOURCE = ["hcl2", "lark", "python_terraform"]
DATABASES = ["sqlalchemy", "alembic", "psycopg"]
OTHERS = ["git", "gitdb", "schedule", "prometheus_client", "asyncio", "rich", "jinja2", "starlette"]
STAGES = ["driftguard.pipeline.run", "driftguard.pipeline.classify", "driftguard.pipeline.apply", "driftguard.hcledit"]
SCAN: dict[str, Any] = {
    "name": "dev",
    "verdict": "in_sync",
    "baseline": {"commit": None, "from": None},
    "error": None,
    "decision": {"action": "none", "reasons": []},
    "resources": [],
    "outputs": [],
    "commit": "c" * 40,
}


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A machine whose ledger knows an environment, and whose driftguard prints the modules that it has loaded."""
    made = Sandbox(tmp_path / "home", {}, [sys.executable, "-c", PROGRAM])
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    made.commit(
        "first",
        {
            "driftguard.yaml": f"version: 1\nledger: {{url: {url}}}\n",
            "environments/dev/main.tf": "terraform {}\n",
        },
    )
    with closing(open_ledger(url)) as ledger:
        now = datetime.now(UTC)
        scanned = Entry(EntryKind.SCANNED, now, "run-1", "dev", SCAN)
        alert = Alert(
            *("a1", "dev", AlertKind.DRIFT, AlertState.OPEN, Severity.WARNING, "f1", "c1"),
            now,
            now,
            EnvironmentReport(),
        )
        ledger.alerts.record("dev", [scanned], lambda before: ([alert], []))
    return made


def loaded(sandbox: Sandbox, *arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends, and the packages that they stand in."""
    ran = sandbox.run(*arguments)
    assert ran.code == 0, ran.stderr
    modules = ran.stderr.split()
    return {".".join(module.split(".")[: depth + 1]) for module in modules for depth in range(module.count(".") + 1)}


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["status", "--format", "json"],
        ["history"],
        ["explain", "dev"],
        ["ack", "d*", "--reason", "known", "--until", "2d"],
        ["silence", "dev", "--reason", "migration", "--until", "4h"],
    ],
)
def test_a_command_that_needs_the_ledger_alone_loads_nothing_to_act_with(sandbox: Sandbox, command: list[str]) -> None:
    modules = loaded(sandbox, *command)
    assert "driftguard.adapters.sql.reading" in modules
    unused = {*CLOUDS, *FORGES, *SINKS, *SOURCE, *DATABASES, *OTHERS, *STAGES}
    assert modules & unused == set()


def test_a_version_is_printed_without_the_configuration(sandbox: Sandbox) -> None:
    modules = loaded(sandbox, "--version")
    assert modules & {"pydantic", "yaml", "driftguard.config", "driftguard.adapters", "driftguard.pipeline"} == set()


def test_a_command_that_reads_the_source_loads_no_cloud_no_forge_and_no_sink(sandbox: Sandbox) -> None:
    modules = loaded(sandbox, "environments", "--quiet")
    assert "driftguard.adapters.hcl.facts" in modules
    assert modules & {*CLOUDS, *FORGES, *SINKS, "alembic", "psycopg"} == set()
