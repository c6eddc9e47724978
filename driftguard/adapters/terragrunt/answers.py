"""What `terragrunt find` and `terragrunt render` print, as values; inputs, with their secrets, are never decoded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from posixpath import join, normpath
from typing import Any, Final

import msgspec

from driftguard.model.units import FoundUnit, RenderedUnit, UnitDependency

UNIT_FILE: Final = "terragrunt.hcl"
STACK_FILE: Final = "terragrunt.stack.hcl"
_PLAN: Final = frozenset({"plan", "all", "all_except_output"})
_HOOKS: Final = ("before_hook", "after_hook", "error_hook")
_REMOTE: Final = re.compile(r"[a-z0-9+.-]+::|[a-z0-9+.-]+://|git@|(?:github|gitlab)\.com/|bitbucket\.org/", re.I)


class _Exclude(msgspec.Struct):
    applies: bool | None = msgspec.field(name="if", default=None)
    actions: list[str] | None = None


class _Found(msgspec.Struct):
    type: str
    path: str
    dependencies: list[str] = []
    reading: list[str] = []
    exclude: _Exclude | None = None


class _Hook(msgspec.Struct):
    pass


class _ExtraArguments(msgspec.Struct):
    required_var_files: list[str] | None = None
    optional_var_files: list[str] | None = None


class _Terraform(msgspec.Struct):
    source: str | None = None
    extra_arguments: dict[str, _ExtraArguments] = {}
    before_hook: dict[str, _Hook] = {}
    after_hook: dict[str, _Hook] = {}
    error_hook: dict[str, _Hook] = {}


class _Dependency(msgspec.Struct):
    config_path: str | None = None
    enabled: bool | None = None
    skip: bool | None = None
    mock_outputs: Any = None
    mock_outputs_merge_strategy_with_state: str | None = None
    mock_outputs_merge_with_state: bool | None = None


class _Paths(msgspec.Struct):
    paths: list[str] | None = None


class _Rendered(msgspec.Struct):
    terraform: _Terraform | None = None
    dependency: dict[str, _Dependency] = {}
    dependencies: _Paths | None = None
    terraform_version_constraint: str = ""


def found_units(text: bytes) -> Mapping[str, FoundUnit]:
    """The units of `find --json` at a repository's root, by their directories.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    found = {}
    for each in msgspec.json.decode(text, type=list[_Found]):
        if each.type != "unit":
            continue
        path = normpath(each.path)
        read = sorted({normpath(name) for name in each.reading})
        found[path] = FoundUnit(
            path=path,
            dependencies=tuple(sorted({normpath(name) for name in each.dependencies})),
            reading=tuple(name for name in read if not _leaves(name)),
            leaves=tuple(name for name in read if _leaves(name)),
            excluded=each.exclude is not None and _is_excluded(each.exclude),
        )
    return found


def rendered_unit(text: bytes, root: str, unit: str) -> RenderedUnit:
    """A unit of `render --json`.

    Args:
        root: the absolute path of the work tree that it was asked in.
        unit: its directory, from the repository's root.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    given = msgspec.json.decode(text, type=_Rendered)
    terraform = given.terraform or _Terraform()
    files = [f for each in terraform.extra_arguments.values() for f in _var_files(each)]
    placed = [_in_tree(root, unit, name) for name in files]
    return RenderedUnit(
        source=terraform.source,
        local_source=_local(terraform.source, root, unit),
        var_files=tuple(sorted({path for path in placed if path is not None})),
        leaves=tuple(sorted(name for name, path in zip(files, placed, strict=True) if path is None)),
        dependencies=tuple(_dependencies(given, root, unit)),
        requires=given.terraform_version_constraint,
        runs=tuple(f"{kind} {name}" for kind in _HOOKS for name in sorted(getattr(terraform, kind))),
    )


def _is_excluded(exclude: _Exclude) -> bool:
    return bool(exclude.applies) and bool(_PLAN.intersection(exclude.actions or ()))


def _var_files(arguments: _ExtraArguments) -> Iterator[str]:
    yield from arguments.required_var_files or ()
    yield from arguments.optional_var_files or ()


def _dependencies(given: _Rendered, root: str, unit: str) -> Iterator[UnitDependency]:
    for name, each in sorted(given.dependency.items()):
        if each.config_path is None:
            continue
        merge = each.mock_outputs_merge_strategy_with_state
        if merge is None:
            merge = "shallow" if each.mock_outputs_merge_with_state else ""
        yield UnitDependency(
            name=name,
            path=_unit_path(root, unit, each.config_path),
            mocks=each.mock_outputs,
            merge="" if merge == "no_merge" else merge,
            unread=each.enabled is False or bool(each.skip),
        )


def _unit_path(root: str, unit: str, written: str) -> str | None:
    return _in_tree(root, unit, written.removesuffix(f"/{UNIT_FILE}"))


def _local(source: str | None, root: str, unit: str) -> str | None:
    """The directory of a module that lies in the repository."""
    if source is None:
        return unit
    if _REMOTE.match(source.removeprefix("file://")):
        return None
    return _in_tree(root, unit, source.removeprefix("file://").replace("//", "/").partition("?")[0])


def _in_tree(root: str, unit: str, path: str) -> str | None:
    """A path from the repository's root; None for one outside of it."""
    whole = normpath(join(root, unit, path))
    if whole == normpath(root):
        return "."
    before = f"{normpath(root)}/"
    return whole.removeprefix(before) if whole.startswith(before) else None


def _leaves(path: str) -> bool:
    return path == ".." or path.startswith(("../", "/"))
