"""Several reconcilers on one ledger: each change is made once, none ends on hold, and all of them converge."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from driftguard.demo.cloud import STATE_BUCKET, Cloud, make_state_bucket
from tests.contract.postgres_server import PostgresServer, postgres_server, server_programs
from tests.support.pgbouncer import pgbouncer
from tests.support.race import race
from tests.support.seeds import one_quick

SOAK_RUNS = int(os.environ.get("DRIFTGUARD_RACE_RUNS", "50"))
BACKENDS = ("sqlite", "postgresql", "pgbouncer", "s3")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer | None]:
    programs = server_programs()
    if programs is None:
        yield None
        return
    with postgres_server(programs) as running:
        yield running


@pytest.fixture
def ledger_url(
    request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    if request.param == "s3":
        make_state_bucket(cloud)
        for name, value in {**cloud.environment(), "AWS_ENDPOINT_URL": cloud.endpoint}.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{STATE_BUCKET}/ledgers/{uuid.uuid4().hex}"
        return
    server = request.getfixturevalue("server")
    if server is None:
        pytest.skip("PostgreSQL's server programs (initdb, pg_ctl) are not on this machine")
    with ExitStack() as stack:
        url = server.new_database()
        if request.param == "pgbouncer":
            if not (shutil.which("pgbouncer") or Path("/usr/sbin/pgbouncer").exists()):
                pytest.skip("PgBouncer is not on this machine")
            url = stack.enter_context(pgbouncer(url))
        yield url


@pytest.mark.parametrize("seed", one_quick(range(3)))
def test_three_reconcilers_at_once_apply_once_and_none_is_uncertain(tmp_path: Path, seed: int) -> None:
    assert race(tmp_path, seed) == []


@pytest.mark.soak
@pytest.mark.parametrize("ledger_url", BACKENDS, indirect=True)
@pytest.mark.parametrize("seed", range(3, 3 + SOAK_RUNS))
def test_three_reconcilers_at_once_apply_once_and_none_is_uncertain_soak(
    tmp_path: Path, ledger_url: str, seed: int
) -> None:
    assert race(tmp_path, seed, ledger_url) == []
