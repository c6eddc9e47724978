"""The entries of a first configuration: few globs that match exactly the environments found."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Sequence
from posixpath import basename, dirname

from driftguard.config.environment import usable_name
from driftguard.config.values import accepts
from driftguard.pipeline.directories import glob_pattern
from driftguard.pipeline.layout import RootModule

Written = dict[str, str | list[str]]
"""One entry of `environments`, by its keys."""

_Shape = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str | None]


def entries(roots: Sequence[RootModule], directories: Collection[str]) -> list[Written]:
    """Entries that match the roots and no other directory with Terraform files.

    Args:
        directories: all that hold Terraform files.
    """
    shapes: dict[_Shape, list[RootModule]] = {}
    for root in roots:
        shape = (root.each, root.workspaces, root.var_files, root.backend_file)
        shapes.setdefault(shape, []).append(root)
    written = []
    for alike in shapes.values():
        for entry in _paths([root.path for root in alike], directories):
            written.append(_combined(entry, alike[0]))
    return written


def entries_by_common_part(roots: Sequence[RootModule], directories: Collection[str]) -> list[Written]:
    """The same with names below what all roots have in common: where names of several entries would be equal."""
    lead = _fixed([root.path for root in roots])
    return [_called_below(lead, entry) for entry in entries(roots, directories)]


def _called_below(lead: str, entry: Written) -> Written:
    """An entry whose names begin right below a directory; as it is with several `*`, and where it has a name."""
    path = str(entry["path"])
    before, _, last = path.rpartition("/")
    if "name" in entry or "*" in before or _escaped(lead) != lead or not accepts("name", before or "x"):
        return entry
    below = before[len(lead) :].strip("/")
    name = "/".join(filter(None, (below, "{dir}" if last == "*" else last)))
    named: Written = {"path": path, "name": name}
    return _with_what_varies(named | entry)


def naming_entries(roots: Sequence[RootModule]) -> list[Written]:
    """An entry for each of some roots whose directory cannot give its environment a name: it writes one."""
    odd = (root for root in roots if root.path != "." and not accepts("name", basename(root.path)))
    return [_combined(_plain(root.path), root) for root in odd]


def plain_entries(roots: Sequence[RootModule]) -> list[Written]:
    """An entry for each root, called by its whole path: long, but never ambiguous."""
    return [_combined(_plain(root.path, whole=True), root) for root in roots]


def _combined(entry: Written, root: RootModule) -> Written:
    """An entry with its settings; a written name ends with what varies."""
    return _with_what_varies(entry | _settings(root))


def _with_what_varies(entry: Written) -> Written:
    varies = "/{var_file}" if "each" in entry else "/{workspace}" if "workspaces" in entry else ""
    return entry | {"name": f"{entry['name']}{varies}"} if "name" in entry else entry


def _settings(root: RootModule) -> Written:
    """The keys of an entry besides its path."""
    written: Written = {}
    if root.each:
        written["each"] = root.each[0] if len(root.each) == 1 else list(root.each)
        if root.backend_file is None:
            written["workspace"] = "{var_file}"
        else:
            written["backend_config"] = [root.backend_file]
    if root.var_files:
        written["var_files"] = list(root.var_files)
    if root.workspaces:
        written["workspaces"] = list(root.workspaces)
    return written


def _paths(paths: Sequence[str], directories: Collection[str]) -> Iterator[Written]:
    """Entries for directories that are run alike."""
    groups: dict[tuple[str, int], list[str]] = {}
    for path in paths:
        depth = path.count("/") + 1 if path != "." else 0
        groups.setdefault((path.split("/")[0] if depth > 1 else "", depth), []).append(path)
    for depth in sorted({depth for _, depth in groups}):
        for found in _unambiguous([found for key, found in sorted(groups.items()) if key[1] == depth]):
            yield from _together(found, directories)


def _unambiguous(groups: list[list[str]]) -> list[list[str]]:
    """The groups of paths; all as one where two paths would share a name, as prod/vpc and dev/vpc."""
    names = [_below(path, found) for found in groups for path in found]
    return groups if len(set(names)) == len(names) else [sorted(path for found in groups for path in found)]


def _below(path: str, group: Sequence[str]) -> str:
    """The default name of a path in the entry of its group."""
    if len(group) == 1:
        return basename(path)
    fixed = _fixed(group)
    return path[len(fixed) + 1 :] if fixed else path


def _fixed(group: Sequence[str]) -> str:
    """The directories that all paths of a group begin with."""
    parents = [f"/{dirname(path)}" for path in group]  # commonpath takes no mix of absolute and relative ones
    return posixpath.commonpath(parents).lstrip("/")


def _together(group: Sequence[str], directories: Collection[str]) -> Iterator[Written]:
    fixed, depth = _fixed(group), group[0].count("/") + 1
    if len(group) > 1 and depth > (fixed.count("/") + 1 if fixed else 0):
        stars = "/".join(["*"] * (depth - (fixed.count("/") + 1 if fixed else 0)))
        pattern = f"{_escaped(fixed)}/{stars}" if fixed else stars
        glob = glob_pattern(pattern)
        others = sorted({d for d in directories if glob.fullmatch(d)} - set(group))
        excluded = _excluded(others, group)
        if len(excluded) <= len(group) + 3 and "." not in others:
            yield {"path": pattern, **({"exclude": excluded} if excluded else {})}
            return
    for path in group:
        yield _plain(path)


def _excluded(others: Sequence[str], kept: Sequence[str]) -> list[str]:
    """Globs for the directories that a pattern matches besides those that count."""
    parents: dict[str, list[str]] = {}
    for path in others:
        parents.setdefault(dirname(path), []).append(path)
    globs: list[str] = []
    for parent, found in parents.items():
        alone = parent and len(found) > 1 and not any(dirname(path) == parent for path in kept)
        globs += [f"{_escaped(parent)}/*"] if alone else [_escaped(path) for path in found]
    return globs


def _plain(path: str, *, whole: bool = False) -> Written:
    """One directory; its name is written where the default would not be the wanted one."""
    wanted = path if whole else basename(path)
    written: Written = {"path": _escaped(path)}
    if path != "." and (whole or written["path"] != path or not accepts("name", wanted)):
        written["name"] = usable_name(path, wanted)
    return written


def _escaped(path: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)
