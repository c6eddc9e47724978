"""What the tests of several contracts share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.postgres_server import PostgresServer, server_or_skip


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    yield from server_or_skip()
