"""Partial clones: what they lack is fetched from the server that promised it, into our own mirror."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import git

from driftguard.adapters.git.commands import attempt, commands, run
from driftguard.adapters.git.locations import Location, locate
from driftguard.errors import OperatorError

# What of a clone's own settings decides how its server is reached, as actions/checkout and people write it there.
_REACHING: Final = re.compile(r"(?:http|credential|url)\..*|core\.sshcommand", re.I)


def promisor(source: str) -> tuple[Location, Mapping[str, str]] | None:
    """The server that promised a partial clone's objects, and variables with its settings; None for a whole clone.

    Args:
        source: the git directory of a local repository.
    """
    if not Path(source, "config").is_file():
        return None
    runner = commands(Path(source), GIT_DIR=source)
    names = attempt(runner, "config", "--name-only", "--get-regexp", r"^remote\..*\.promisor$")[1].split()
    for name in names:
        remote = name.removeprefix("remote.").removesuffix(".promisor")
        url = attempt(runner, "config", f"remote.{remote}.url")[1].strip()
        if url:
            place = locate(url)
            return place, _settings(runner, place)
    return None


def complete(mirror: git.Git, source: str, seconds: float) -> bool:
    """Fetch the branches of a partial clone's server into the mirror, so that the clone itself need not have them.

    False for a whole clone, of which nothing is fetched.

    Raises:
        OperatorError: the server cannot be reached; the message names what to change in the clone.
    """
    found = promisor(source)
    if found is None:
        return False
    place, variables = found
    kept = "refs/driftguard/promised"
    options = ["--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--prune"]
    try:
        span = f"+refs/heads/*:{kept}/*"
        run(
            mirror,
            "fetch",
            *options,
            "--",
            place.source,
            span,
            about=place.display,
            seconds=seconds,
            variables=variables,
        )
    except OperatorError as error:
        raise OperatorError(
            f"{source} is a partial clone, and what it lacks could not be fetched: {error} Clone it without "
            "`--filter` (actions/checkout: remove `filter`), or give its server's credentials to this process."
        ) from None
    return True


def _settings(runner: git.Git, place: Location) -> dict[str, str]:
    """The settings as variables, which no other user of the machine sees, with the credentials of the address."""
    listed = attempt(runner, "config", "--null", "--get-regexp", ".*")[1]
    pairs = [item.partition("\n")[::2] for item in listed.split("\0") if _REACHING.fullmatch(item.partition("\n")[0])]
    if place.credentials:
        pairs.append((place.credentials.get("GIT_CONFIG_KEY_0", ""), place.credentials.get("GIT_CONFIG_VALUE_0", "")))
    variables = {"GIT_CONFIG_COUNT": str(len(pairs))}
    for number, (key, value) in enumerate(pairs):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables
