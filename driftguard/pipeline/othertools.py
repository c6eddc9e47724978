"""What of a repository other tools run: Terragrunt's units, Atmos's stacks, apps of CDKTF, Terramate's stacks. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from posixpath import basename, dirname, join, normpath
from typing import Any, Final

from driftguard.config.generating import UNREADABLE, parsed
from driftguard.pipeline.varfolders import with_parents

ATMOS_FILES: Final = ("atmos.yaml", "atmos.yml")
_CATALOGS: Final = frozenset({"catalog", "mixins", "schemas", "workflows"})
_STACK: Final = re.compile(r"^\s*stack\s*\{", re.M)

Read = Callable[[str], bytes]
"""Gives the content of a file of the repository."""


class OtherTools:
    """What other tools run in a repository, by paths and a few files.

    Args:
        paths: every file, without those of samples and those that are generated.
        read: gives a file's content.
    """

    def __init__(self, paths: Collection[str], read: Read) -> None:
        self._paths, self._read = sorted(paths), read
        self._atmos = [_Atmos(path, read(path)) for path in self._paths if basename(path) in ATMOS_FILES]

    def units(self) -> list[str]:
        """Terragrunt's units: its directories without others below them, which only share settings."""
        units = {dirname(p) for p in self._paths if basename(p) in ("terragrunt.hcl", "terragrunt.stack.hcl")}
        parents = {above for unit in units for above in ("", *with_parents(dirname(unit))) if unit}
        return [unit or "." for unit in sorted(units - parents)]

    def stacks(self) -> list[str]:
        """Atmos's stacks."""
        folders = {folder for atmos in self._atmos for folder in atmos.stacks}
        found = [p for p in self._paths if p.endswith((".yaml", ".yml")) and _is_below(p, folders)]
        return [p for p in found if not _CATALOGS & set(p.split("/")) and not basename(p).startswith("_")]

    def is_component(self, directory: str) -> bool:
        """Whether a directory is a component of Atmos, which gets its backend and its variables from stacks."""
        return any(_is_below(directory, atmos.components) for atmos in self._atmos)

    def apps(self, made: Collection[str]) -> list[str]:
        """CDKTF's apps whose output is not in git.

        Args:
            made: directories with a `cdk.tf.json`.
        """
        apps = [dirname(p) or "." for p in self._paths if basename(p) == "cdktf.json"]
        return [a for a in apps if not any(_is_below(d, {a}) for d in made)]

    def terramate_stacks(self) -> frozenset[str]:
        """Terramate's stacks."""
        settings = (p for p in self._paths if p.endswith((".tm", ".tm.hcl")))
        return frozenset(dirname(p) or "." for p in settings if _STACK.search(self._read(p).decode("utf-8", "replace")))


class _Atmos:
    """The folders that an `atmos.yaml` names; below the repository's root where it lies elsewhere, as in a rootfs."""

    def __init__(self, path: str, content: bytes) -> None:
        try:
            found: Any = parsed(path, content)
        except UNREADABLE:
            found = None
        base = str(_at(found, "base_path") or "")
        here = dirname(path) if base in (".", "./") or "/usr/" not in f"/{path}" else ""
        root = normpath(join(here, base.removeprefix("/") if not base.startswith(("/", "$", "!")) else ""))
        self.stacks = _folders(root, _at(found, "stacks", "base_path") or "stacks")
        self.components = _folders(root, _at(found, "components", "terraform", "base_path") or "components/terraform")


def _folders(root: str, folder: object) -> frozenset[str]:
    return frozenset({normpath(join(root, str(folder).lstrip("/")))})


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _is_below(path: str, folders: Collection[str]) -> bool:
    return any(folder == "." or path.startswith(f"{folder}/") for folder in folders)
