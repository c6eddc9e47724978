"""Runs git through GitPython: a known environment, bounded time, errors in one sentence without a credential."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

# GitPython refuses to be imported where git is missing; asked to be quiet, it fails when git is first run.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import git

from driftguard.adapters.git.environment import ALWAYS
from driftguard.adapters.ratelimits import is_rate_limit
from driftguard.errors import OperatorError
from driftguard.sealed import mask

LOCAL_SECONDS = 600.0

_SENTENCES = (
    (r"did not complete in", "it did not answer in time: check the network"),
    (r"lazy fetching disabled|promisor remote|repository corruption",
     "it is a partial clone that lacks objects: clone it without `--filter` (actions/checkout: remove `filter`)"),
    (r"dubious ownership", "it belongs to another user: run as that user, or add it to git's safe.directory"),
    (r"Host key verification failed", "its SSH host key is not known: add it to known_hosts"),
    (r"Could not resolve host|Connection refused|timed out|unreachable|Failed to connect|reset by peer"
     r"|Connection closed|unable to connect", "it cannot be reached: check the network"),
    (r"Authentication failed|could not read (?:Username|Password)|Permission denied \(|error: 40[13]\b|access denied",
     "it refuses our credentials: check the token or key"),
    (r"Permission denied", "some of its files may not be read by this user"),
    (r"not found|does not exist|does not appear to be a git repository|not a git repository",
     "there is no such repository, or these credentials may not see it"),
    (r"No space left on device", "the disk is full: make room in the cache folder"),
)  # fmt: skip


def commands(folder: Path, **variables: str) -> git.Git:
    """What runs git in a folder, with these variables on top of the known ones."""
    runner = git.Git(str(folder))
    runner.update_environment(**ALWAYS, **variables)
    return runner


def run(
    runner: git.Git,
    command: str,
    *arguments: str,
    about: str | None = None,
    seconds: float = LOCAL_SECONDS,
    variables: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run one git command; its output, undecodable bytes as `\\xNN` so that every name can be printed and hashed.

    Args:
        about: what an error names: the location, for one.

    Raises:
        OperatorError: git failed; the message holds no credential.
    """
    status, output, error = _execute(runner, [command, *arguments], seconds, variables, stdin)
    if status != 0:
        raise OperatorError(_sentence(command, about, error))
    return output


def attempt(
    runner: git.Git,
    command: str,
    *arguments: str,
    seconds: float = LOCAL_SECONDS,
    variables: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> tuple[int, str, str]:
    """Run one git command whose failure is an answer; its status, output and words, which may hold a credential."""
    return _execute(runner, [command, *arguments], seconds, variables, stdin)


def succeeds(runner: git.Git, command: str, *arguments: str) -> bool:
    """Whether git answers a question with yes; False also for a commit that does not exist."""
    return _execute(runner, [command, *arguments], LOCAL_SECONDS, None, None)[0] == 0


def _execute(
    runner: git.Git, command: list[str], seconds: float, variables: Mapping[str, str] | None, stdin: str | None
) -> tuple[int, str, str]:
    with tempfile.TemporaryFile() as given:
        given.write((stdin or "").encode())
        given.seek(0)
        try:
            status, output, error = runner.execute(
                [runner.GIT_PYTHON_GIT_EXECUTABLE or "git", *command],
                istream=given,
                env=dict(variables or {}),
                kill_after_timeout=seconds,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        except git.GitCommandNotFound:
            raise OperatorError("git is not installed, or not on PATH. Install git 2.30 or newer.") from None
    return status, _text(output), _text(error)


def _text(words: bytes | str) -> str:
    return words if isinstance(words, str) else words.decode(errors="backslashreplace")


def _sentence(command: str, about: str | None, error: str) -> str:
    words = " ".join(mask(error).split())
    of = f" of {mask(about)}" if about else ""
    if is_rate_limit(words):  # GitHub's comes with 403, which else is about credentials
        return f"git {command}{of} failed: its rate limit is exceeded. Nothing was run; the next run retries."
    for pattern, sentence in _SENTENCES:
        if re.search(pattern, words, re.I):
            return f"git {command}{of} failed: {sentence}. Nothing was run."
    return f"git {command}{of} failed: {words[:500].rstrip('.') or 'no output'}. Nothing was run."
