"""Fixtures around the GitLab double; a test module takes them with `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.forges.gitlab import GitLabForge
from tests.support.gitlab_double import GitLabDouble
from tests.support.gitlab_double.connecting import Connect, settings


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[GitLabDouble]:
    with GitLabDouble(tmp_path / "gitlab") as double:
        yield double


@pytest.fixture
def connect_gitlab(gitlab: GitLabDouble) -> Connect:
    """Makes adapters with a token (the bot's) and changed settings."""

    def connected(token: str | None = None, timeout_seconds: float = 5, **changes: Any) -> GitLabForge:
        return GitLabForge(
            settings(gitlab, **changes), {"TOKEN": token or gitlab.token}, timeout_seconds=timeout_seconds
        )

    return connected
