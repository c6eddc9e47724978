"""Our bare copy of a repository, which holds the tracked branch and every commit that was ever its head."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import git

from driftguard.adapters.git.commands import commands, run
from driftguard.adapters.git.locations import Location
from driftguard.adapters.git.partial import complete
from driftguard.errors import OperatorError, UsageError

_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "gc.auto": "0",  # a baseline's commit stays, also when its branch was rewritten
    "gc.pruneExpire": "never",
    "maintenance.auto": "false",
}


def open_mirror(folder: Path) -> git.Git:
    """The mirror in a folder, made if need be. The caller holds the mirror's lock."""
    if not (folder / "HEAD").exists():
        scratch = folder.with_name(f"{folder.name}.part")
        for remains in (folder, scratch):
            shutil.rmtree(remains, ignore_errors=True)
        runner = commands(folder.parent)
        run(runner, "init", "--quiet", "--bare", "--template=", str(scratch))
        for name, value in _SETTINGS.items():
            run(runner, "config", "--file", str(scratch / "config"), name, value)
        scratch.rename(folder)
    for left_by_a_killed_run in (*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock")):
        left_by_a_killed_run.unlink(missing_ok=True)
    # Named outright: `safe.bareRepository` may forbid git to find a bare repository by itself.
    return commands(folder, GIT_DIR=str(folder))


def fetch(mirror: git.Git, folder: Path, location: Location, ref: str | None, seconds: float) -> tuple[str, str]:
    """Bring the tracked branch up to date; its name and the commit at its head.

    Raises:
        UsageError: there is no such branch.
        OperatorError: the repository cannot be reached or read.
    """
    remote = {"about": location.display, "seconds": seconds, "variables": location.variables()}
    listed = run(
        mirror, "ls-remote", "--symref", "--", location.source, "HEAD", "refs/heads/*", **remote,  # type: ignore[arg-type]
    )  # fmt: skip
    default, branches, detached = _advertised(listed)
    branch = ref or default
    if branch is None and detached:  # no branch to track, only a commit
        wanted, branch = "HEAD", "HEAD"
    elif branch in branches:
        wanted = f"refs/heads/{branch}"
    else:
        known = ", ".join(sorted(branches)[:20]) or "none: the repository is empty"
        raise UsageError(f"there is no branch {branch or 'HEAD'!r} in {location.display}; branches: {known}.")
    # By digest, because `a` and `a/b` cannot both be refs, and a branch may be deleted and another take its place.
    kept = f"refs/driftguard/{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    options = ["--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
    # A clone without history, as CI makes them, is fetched as it is; what it gets later is fetched later.
    options.append("--unshallow" if (folder / "shallow").exists() else "--update-shallow")
    asked = ["fetch", *options, "--", location.source, f"+{wanted}:{kept}"]
    try:
        run(mirror, *asked, **remote)  # type: ignore[arg-type]
    except OperatorError:
        if not complete(mirror, location.source, seconds):
            raise
        run(mirror, *asked, **remote)  # type: ignore[arg-type]
    return branch, run(mirror, "rev-parse", "--verify", f"{kept}^{{commit}}").strip()


def remote_head(location: Location, ref: str | None, seconds: float) -> str | None:
    """The commit at the tracked branch's head as the remote has it now; None without such a branch.

    Raises:
        OperatorError: the repository cannot be reached or read.
    """
    wanted = f"refs/heads/{ref}" if ref and ref != "HEAD" else "HEAD"
    listed = run(
        commands(Path("/")),
        "ls-remote",
        "--",
        location.source,
        wanted,
        about=location.display,
        seconds=seconds,
        variables=location.variables(),
    )
    return next((value for value, name in _pairs(listed) if name == wanted), None)


def _advertised(listed: str) -> tuple[str | None, set[str], bool]:
    """The default branch, all branches, and whether there is a head that is no branch."""
    default, branches, detached = None, set(), False
    for value, name in _pairs(listed):
        if name == "HEAD" and value.startswith("ref: "):
            default = value.removeprefix("ref: refs/heads/")
        elif name == "HEAD":
            detached = default is None
        else:
            branches.add(name.removeprefix("refs/heads/"))
    return default, branches, detached


def _pairs(listed: str) -> Iterator[tuple[str, str]]:
    for line in listed.split("\n"):
        value, tab, name = line.partition("\t")
        if tab:
            yield value, name
