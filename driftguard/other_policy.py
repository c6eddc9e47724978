"""The policy of `driftguard backtest`: from a file, or from a file of a branch."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from driftguard import config
from driftguard.adapters.git.repository import GitRepository, open_repository
from driftguard.bootstrap.target import Target
from driftguard.errors import UsageError
from driftguard.pipeline.backtest import OtherPolicy
from driftguard.pipeline.commitfiles import resolved


def other_policy(target: Target, policy: str, repository: GitRepository) -> OtherPolicy:
    """The policy in a file, or with `BRANCH:PATH` in a file of a branch. The operator's file wins over it.

    A file that lists `environments` gives each of them its policy, and the others none; one that does not gives its
    policy to all.

    Args:
        repository: opened at the tracked branch.

    Raises:
        UsageError: there is no such file, or it is no configuration.
    """
    branch, colon, path = policy.partition(":")
    if not colon or Path(policy).exists():
        try:
            content = Path(policy).read_bytes()
        except (OSError, ValueError) as error:
            raise UsageError(f"--policy {policy} cannot be read: {_why(error)}. Nothing was replayed.") from None
        return _of_file(target, policy, content, repository)
    cache = config.directories().cache
    with closing(open_repository(target.repo, cache, branch, token=target.git_token())) as other:
        content_at = other.file(other.head, path)
        if content_at is None:
            raise UsageError(f"--policy {policy}: the branch {branch} has no file {path}. Nothing was replayed.")
        return _of_file(target, policy, content_at, other)


def _why(error: OSError | ValueError) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is no path"


def _of_file(target: Target, name: str, content: bytes, repository: GitRepository) -> OtherPolicy:
    operator = str(target.config) if target.config else None
    settings = config.load(content, source=name, operator_text=target.operator_text(), operator_source=operator)
    if settings.written_by("environments") != "repository":
        return OtherPolicy(name, otherwise=settings.policy)
    environments = resolved(settings, repository, repository.head)
    return OtherPolicy(name, {each.name: each.policy for each in environments})
