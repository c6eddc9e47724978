"""Stamps of states that a real Terraform keeps in a real PostgreSQL server."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from driftguard.adapters.sql.states import pg_stamp
from driftguard.errors import EnvironmentFault
from tests.contract.postgres_server import PostgresServer

pytestmark = [
    pytest.mark.terraform,
    pytest.mark.skipif(importlib.util.find_spec("psycopg") is None, reason="psycopg is not installed"),
]

ROOT = """
terraform {
  backend "pg" {}
}
variable "x" {}
resource "terraform_data" "a" { input = var.x }
"""


def test_each_write_of_a_state_gives_another_stamp(server: PostgresServer, tmp_path: Path) -> None:
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CHECKPOINT_DISABLE": "1"}
    variables["PG_CONN_STR"] = f"{server.new_database()}?sslmode=disable"
    (tmp_path / "main.tf").write_text(ROOT)

    def terraform(*arguments: str) -> None:
        subprocess.run(["terraform", *arguments], cwd=tmp_path, env=variables, check=True, capture_output=True)

    terraform("init")
    assert pg_stamp({}, "default", variables) == "absent"
    terraform("apply", "-auto-approve", "-var=x=1")
    first = pg_stamp({}, "default", variables)
    assert first == pg_stamp({"conn_str": variables["PG_CONN_STR"]}, "default", {})
    terraform("plan", "-var=x=1")
    assert pg_stamp({}, "default", variables) == first
    terraform("apply", "-auto-approve", "-var=x=2")
    assert pg_stamp({}, "default", variables) not in (first, "absent", None)
    assert pg_stamp({}, "another", variables) == "absent"
    with pytest.raises(EnvironmentFault, match=r"PostgreSQL \(127\.0\.0\.1\) cannot be read: UndefinedTable"):
        pg_stamp({"schema_name": "elsewhere"}, "default", variables)


@pytest.mark.parametrize(
    ("address", "more"),
    [
        ("", {}),
        ("postgres://user@/states", {}),
        ("postgres://host/states", {}),
        ("postgres://user@host/", {}),
        ("host=h user=u dbname=d service=s", {}),
        ("no address", {}),
        ("postgres://user@host/states", {"PGHOST": "other"}),
    ],
)
def test_an_address_that_other_variables_complete_has_no_stamp(address: str, more: dict[str, str]) -> None:
    assert pg_stamp({}, "default", {"PG_CONN_STR": address, **more}) is None
