"""Git submodules at their pins: fetched into our own mirror, read as part of the tree, laid out in work trees.

Nothing of a submodule's own configuration is executed; its URL is a commit's, so only hosts that the operator trusts
are asked: the repository's own, and those of `allow_hosts`.
"""

from __future__ import annotations

import configparser
import os
import posixpath
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import git

from driftguard.adapters.git.commands import attempt, commands, run, succeeds
from driftguard.adapters.git.locations import Location, locate
from driftguard.errors import DriftGuardError
from driftguard.model import TreeEntry

GITLINK: Final = "160000"
_DEEPEST: Final = 5
_NETWORK_SECONDS: Final = 120.0
_SCP_HOST: Final = re.compile(r"(?:[^@/]+@)?([A-Za-z0-9.-]+):(?!//)")

Lister = Callable[[str], Mapping[str, TreeEntry]]
"""Every file of a commit that the mirror holds."""


class Submodules:
    """The submodules of one repository.

    Args:
        mirror: our bare copy; commits of submodules are fetched into it too.
        location: the repository's own, whose credentials go to its own host alone.
        allow_hosts: globs of other hosts that may be asked.
    """

    def __init__(self, mirror: Path, location: Location, allow_hosts: Sequence[str] = ()) -> None:
        self._mirror, self._location, self.allow_hosts = mirror, location, tuple(allow_hosts)
        self._git = commands(mirror, GIT_DIR=str(mirror))
        self._refused: dict[tuple[str, str], str] = {}

    def expanded(self, tree: Mapping[str, TreeEntry], listed: Lister) -> tuple[dict[str, TreeEntry], dict[str, str]]:
        """A commit's files with those of its submodules, and why each submodule that lacks could not be fetched.

        Args:
            tree: the files of the commit; a submodule's own entry stays beside its files.
        """
        files, missing = dict(tree), dict[str, str]()
        waiting = [("", tree, self._location.source, 0)]
        while waiting:
            below, entries, base, depth = waiting.pop()
            pins = {path: entry.object_id for path, entry in entries.items() if entry.mode == GITLINK}
            urls = self._urls(entries) if pins else {}
            for path, pin in pins.items():
                whole = posixpath.join(below, path)
                url = _absolute(urls[path], base) if path in urls else None
                reason = "it is nested too deeply" if depth >= _DEEPEST else self._obtained(pin, url)
                if reason is not None:
                    missing[whole] = reason
                    continue
                inner = listed(pin)
                files |= {posixpath.join(whole, name): entry for name, entry in inner.items()}
                waiting.append((whole, inner, url or base, depth + 1))
        return files, missing

    def lay_out(self, tree: Mapping[str, TreeEntry], folder: Path) -> None:
        """Write the files of every submodule that was fetched into a work tree, exactly as they are pinned."""
        for path, entry in sorted(tree.items()):
            if entry.mode == GITLINK and self._has(entry.object_id):
                target = folder / path
                shutil.rmtree(target, ignore_errors=True)
                target.mkdir(parents=True, exist_ok=True)
                index = folder.with_name(f"{folder.name}.index")
                runner = plain(self._mirror, GIT_WORK_TREE=str(target), GIT_INDEX_FILE=str(index))
                try:
                    run(runner, "read-tree", entry.object_id)
                    run(runner, "checkout-index", "--all", "--force", "--quiet")
                finally:
                    index.unlink(missing_ok=True)

    def _obtained(self, pin: str, url: str | None) -> str | None:
        """Fetch a pinned commit unless it is there; why it cannot be had, or None."""
        if self._has(pin):
            return None
        if url is None:
            return "`.gitmodules` does not name its URL"
        key = (pin, url)
        if key not in self._refused:
            self._refused[key] = self._fetched(pin, url) or ""
        return self._refused[key] or None

    def _fetched(self, pin: str, url: str) -> str | None:
        host, own = host_of(url), host_of(self._location.source)
        if host != own and not any(fnmatchcase(host, pattern) for pattern in self.allow_hosts):
            where = host or "this machine's disk"
            return f"its URL leads to {where}; `allow_hosts` in the operator's file allows that"
        try:
            place = locate(url)
        except DriftGuardError as error:
            return str(error)
        credentials = self._location.variables() if host == own else place.credentials
        options = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        for wanted in (f"{pin}:refs/driftguard/modules/{pin}", f"+refs/heads/*:refs/driftguard/modules/of-{pin}/*"):
            attempt(
                self._git,
                "fetch",
                *options,
                "--",
                place.source,
                wanted,
                seconds=_NETWORK_SECONDS,
                variables=credentials,
            )
            if self._has(pin):
                return None
        return f"its commit {pin[:12]} could not be fetched from {place.display}"

    def _has(self, pin: str) -> bool:
        return succeeds(self._git, "cat-file", "-e", f"{pin}^{{commit}}")

    def _urls(self, entries: Mapping[str, TreeEntry]) -> dict[str, str]:
        """URLs by path, as `.gitmodules` of the same commit has them."""
        entry = entries.get(".gitmodules")
        if entry is None or not entry.mode.startswith("100"):
            return {}
        status, text, _ = attempt(self._git, "cat-file", "blob", entry.object_id)
        return dict(_submodules(text)) if status == 0 else {}


def plain(mirror: Path, **variables: str) -> git.Git:
    """Git on our mirror without the settings of the user or the machine: none of their filters runs on a checkout."""
    return commands(mirror, GIT_DIR=str(mirror), GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", **variables)


def _submodules(text: str) -> Iterator[tuple[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=False, comment_prefixes=("#", ";"))
    try:
        parser.read_string("\n".join(line.strip() for line in text.splitlines()))
    except configparser.Error:
        return
    for section in parser.sections():
        path, url = parser.get(section, "path", fallback=None), parser.get(section, "url", fallback=None)
        if path and url:
            yield path.strip('"'), url.strip('"')


def _absolute(url: str, base: str) -> str:
    """A URL as git reads it: one that begins with `./` or `../` stands relative to the repository's own."""
    if not url.startswith(("./", "../")):
        return url
    parts = urlsplit(base)
    if parts.scheme and parts.netloc:
        return parts._replace(path=posixpath.normpath(posixpath.join(parts.path, url))).geturl()
    before, colon, path = base.partition(":") if _SCP_HOST.match(base) else ("", "", base)
    where = path.removesuffix("/.git") if not colon else path
    return f"{before}{colon}{posixpath.normpath(posixpath.join(where, url))}"


def host_of(url: str) -> str:
    """The host of a URL; empty for a path on this machine."""
    match = _SCP_HOST.match(url)
    if match and "://" not in url:
        return match[1].lower()
    return (urlsplit(url).hostname or "").lower() if "://" in url else ""
