"""The settings with which the adapter finds the double."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from driftguard.adapters.forges.github import GitHubForge
from driftguard.config.forge import Forge
from tests.support.github_double import GitHubDouble

Connect = Callable[..., GitHubForge]


def settings(github: GitHubDouble, **changes: Any) -> Forge:
    """What stands under `forge`, for `acme/infra` and the variable TOKEN unless told otherwise."""
    plain: dict[str, Any] = {"kind": "github", "repository": "acme/infra", "token_env": "TOKEN", "url": github.url}
    return Forge(**{**plain, **changes})
