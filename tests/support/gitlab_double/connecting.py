"""The settings with which the adapter finds the double."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from driftguard.adapters.forges.gitlab import GitLabForge
from driftguard.config.forge import Forge
from tests.support.gitlab_double import GitLabDouble

Connect = Callable[..., GitLabForge]


def settings(gitlab: GitLabDouble, **changes: Any) -> Forge:
    """What stands under `forge`, for `acme/infra` and the variable TOKEN unless told otherwise."""
    plain: dict[str, Any] = {"kind": "gitlab", "repository": "acme/infra", "token_env": "TOKEN", "url": gitlab.url}
    return Forge(**{**plain, **changes})
