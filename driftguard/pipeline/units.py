"""Terragrunt units: which directories they are. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from posixpath import basename, dirname
from typing import Final

from driftguard.model import Closure, TreeEntry
from driftguard.model.units import UnitFacts, stack_of
from driftguard.model.versions import version_paths

_CODE: Final = re.compile(rb'\b(?:run_cmd|sops_decrypt_file)\s*\(|^\s*(?:before|after|error)_hook\s+"', re.M)
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


def unknown_closure(directory: str, tree: Mapping[str, TreeEntry], own: str, why: str) -> Closure:
    """The closure of a unit of which nothing is known: every file counts.

    Args:
        own: a prefix of paths that change no plan: approval files.
        why: one sentence.
    """
    files = {path: entry.object_id for path, entry in sorted(tree.items()) if not path.startswith(own)}
    return Closure(
        files=files,
        modules=(),
        remote_sources=(),
        init_key=hashlib.sha256("\0".join(f"{path} {id_}" for path, id_ in files.items()).encode()).hexdigest(),
        open=(f"{directory}: every file of the repository counts, because what the unit reads is not known: {why}",),
        version_files={path: tree[path].object_id for path in version_paths(directory) if path in tree},
        unit=UnitFacts(stack=stack_of(directory)),
    )


def units_with_code(directories: Collection[str], paths: Collection[str], read: Callable[[str], bytes]) -> list[str]:
    """The units whose files, or files above them or that they name, run code while they are read; sorted.

    Args:
        read: gives a file's content.
    """
    texts = {path: read(path) for path in paths if path.endswith(".hcl") and ".terragrunt-cache" not in path}
    running = {path for path, text in texts.items() if _CODE.search(text)}
    found = []
    for unit in directories:
        own = [path for path in texts if (dirname(path) or ".") == unit]
        named = [path for path in running if any(basename(path).encode() in texts[name] for name in own)]
        if running.intersection(own) or named:
            found.append(unit)
    return sorted(found)


def left_out_sentence(names: Sequence[str]) -> Iterator[str]:
    """That units are not planned because of their own `exclude`."""
    if names:
        subject = "1 unit is" if len(names) == 1 else f"{len(names)} units are"
        yield f"{subject} left out, because `exclude` covers `plan` there: {', '.join(names)}."
