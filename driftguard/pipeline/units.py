"""Terragrunt units: which directories they are, and their closures. Pure.

What a unit reads is decided by functions of Terragrunt (`find_in_parent_folders`, `read_terragrunt_config`,
dependencies' outputs), so its closure is open: every file of the repository counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from posixpath import basename, dirname, join
from typing import Final

from driftguard.model import Closure, TreeEntry
from driftguard.model.versions import version_paths

UNIT_FILE: Final = "terragrunt.hcl"


def units(paths: Collection[str]) -> frozenset[str]:
    """The directories that are units; one with others below it only shares settings. `.` is the root."""
    found = {dirname(path) for path in paths if basename(path) == UNIT_FILE and ".terragrunt-cache" not in path}
    above = set()
    for unit in found:
        while unit:
            unit = dirname(unit)
            above.add(unit)
    return frozenset(unit or "." for unit in found - above)


def unit_closure(directory: str, tree: Mapping[str, TreeEntry], own: str) -> Closure:
    """The closure of a unit.

    Args:
        own: a prefix of paths that change no plan: approval files.
    """
    files = {path: entry.object_id for path, entry in sorted(tree.items()) if not path.startswith(own)}
    return Closure(
        files=files,
        modules=(),
        remote_sources=(join(directory, UNIT_FILE),),  # what is planned is not the text of the unit alone
        init_key=hashlib.sha256("\0".join(f"{path} {id_}" for path, id_ in files.items()).encode()).hexdigest(),
        open=(f"{directory} is a Terragrunt unit: every file of the repository counts, and outputs of other units.",),
        version_files={path: tree[path].object_id for path in version_paths(directory) if path in tree},
    )
