"""Fixtures around the GitHub double; a test module takes them with `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.forges.github import GitHubForge
from tests.support.github_double import Description, GitHubDouble, Unavailable
from tests.support.github_double.connecting import Connect, settings


@pytest.fixture(scope="session")
def github_description(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Description | Unavailable:
    """GitHub's own description, kept in pytest's cache; or why it cannot be had."""
    cache = getattr(pytestconfig, "cache", None)  # there is none with `-p no:cacheprovider`
    try:
        return Description.fetched(cache.mkdir("octokit-openapi") if cache else tmp_path_factory.mktemp("octokit"))
    except Unavailable as reason:
        return reason


@pytest.fixture
def github(tmp_path: Path, github_description: Description | Unavailable) -> Iterator[GitHubDouble]:
    """A double whose every request, and answer of its own, is checked against the description at the test's end."""
    with GitHubDouble(tmp_path / "github") as double:
        yield double
    if isinstance(github_description, Description):
        # Where GitHub leads to from a name that a repository had before is no part of the description.
        known = [asked for asked in double.requests if not asked.path.startswith("/repositories/")]
        faults = [fault for asked in known for fault in github_description.faults(asked)]
        faults += [fault for asked in known if not asked.fault for fault in github_description.answer_faults(asked)]
        assert not faults, "\n".join(faults)


@pytest.fixture
def connect_github(github: GitHubDouble) -> Connect:
    """Makes adapters with a token (the bot's) and changed settings, which write without a pause."""

    def connected(token: str | None = None, timeout_seconds: int = 5, **changes: Any) -> GitHubForge:
        environ = {"TOKEN": token or github.token}
        return GitHubForge(
            settings(github, **changes), environ, timeout_seconds=timeout_seconds, seconds_between_writes=0
        )

    return connected
