"""The closures of Terragrunt units: what Terragrunt reports, the files that their texts name, their modules'."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from posixpath import dirname, join, normpath, relpath
from typing import Any, Final

from driftguard.config import EnvironmentSettings
from driftguard.model import Closure, Move, TreeEntry
from driftguard.model.expressions import Definitions, FileReference
from driftguard.model.units import FoundUnit, RenderedUnit, UnitFacts, stack_of
from driftguard.model.versions import version_paths
from driftguard.pipeline import floating
from driftguard.pipeline.discover import Closures
from driftguard.pipeline.filearguments import Named, named
from driftguard.pipeline.hclfunctions import HOLE
from driftguard.pipeline.references import CHECKOUT, Scope, ScopeFunctions, paths_of
from driftguard.pipeline.stacks import StackUnit
from driftguard.pipeline.units import UNIT_FILE
from driftguard.ports import BlobContents, SourceReader

_LOCK_FILE: Final = ".terraform.lock.hcl"
_CODE: Final = re.compile(rb"\b(run_cmd|sops_decrypt_file)\s*\(")
_REGULAR: Final = ("100644", "100755")


@dataclass(frozen=True, slots=True)
class UnitSources:
    """What the closures of the units of one commit are made from.

    Attributes:
        modules: closures of plain modules at the commit.
        own: a prefix of paths that change no plan: approval files.
    """

    tree: Mapping[str, TreeEntry]
    reader: SourceReader
    blobs: BlobContents
    modules: Closures
    own: str


def closure_of_unit(
    around: UnitSources,
    settings: EnvironmentSettings,
    found: FoundUnit,
    unit: RenderedUnit,
    made: StackUnit | None = None,
) -> Closure:
    """The closure of a unit.

    Args:
        made: how a stack makes it; None for one that lies in git.

    Raises:
        EnvironmentFault: its module's closure cannot be known.
    """
    tree, directory = around.tree, settings.path
    module, reasons = _module(around, settings, unit)
    basis = module or Closure(files={}, modules=(), remote_sources=(), init_key="")
    own = found.path if made is None else made.source
    written = list(_named(around, found, own))
    versions = _files(around, version_paths(directory))
    beside = (*unit.var_files, *(made.files if made is not None else ()))
    files = {**basis.files, **versions, **_files(around, [*_below(around, own or directory), *found.reading, *beside])}
    for each in written:
        files.update(_meant(around, each))
    moves = tuple(_moves(tree, own or directory, unit, module))
    reasons += (sentence for sentence in basis.open if sentence not in {move.sentence for move in basis.moves})
    reasons += (move.sentence for move in moves)
    reasons += (each.reason for each in written if each.reason is not None)
    reasons += _outside(found, unit, own)
    return replace(
        basis,
        files=dict(sorted(files.items())),
        modules=tuple(sorted({*basis.modules, *_own_module(unit, directory)})),
        remote_sources=tuple(sorted({*basis.remote_sources, *_remote(unit)})),
        init_key=hashlib.sha256("\0".join(f"{p} {i}" for p, i in sorted(files.items())).encode()).hexdigest(),
        open=tuple(dict.fromkeys(reasons)),
        requires=tuple(sorted({*basis.requires, *filter(None, [unit.requires])})),
        version_files=versions,
        moves=moves,
        unit=_facts(around, found, unit, own),
    )


def _moves(tree: Mapping[str, TreeEntry], directory: str, unit: RenderedUnit, module: Closure | None) -> Iterator[Move]:
    """What of a unit changes without a commit: a lock file beside it fixes its providers."""
    locked = join(directory, _LOCK_FILE) in tree
    if module is not None:
        yield from (move for move in module.moves if move.kind != "provider" or not locked)
    elif unit.source is not None and not locked:
        yield floating.provider_move(directory)


def _files(around: UnitSources, paths: Iterable[str]) -> Mapping[str, str]:
    """Object ids of those of some paths that are files of the commit."""
    return {path: around.tree[path].object_id for path in paths if path in around.tree}


def _outside(found: FoundUnit, unit: RenderedUnit, own: str | None) -> Iterator[str]:
    """Why files that are not known, or lie outside of the repository, open the closure."""
    if own is None:
        yield f"{found.path}: what its stack makes it from is not known."
    for path in found.leaves:
        yield f"{found.path}: it reads {path}, which lies outside of the repository."
    for path in unit.leaves:
        yield f"{found.path}: the var file {path} lies outside of the repository."


def _module(around: UnitSources, settings: EnvironmentSettings, unit: RenderedUnit) -> tuple[Closure | None, list[str]]:
    """The closure of a unit's module; None with the reasons that open it where that is not known."""
    if unit.local_source is None:
        source = unit.source or ""
        if floating.is_pinned(source):
            return None, []
        return None, [f"{settings.path}: the source {source} is not pinned, so its code changes without a commit."]
    found = around.modules.closure(unit.local_source, workspace=settings.workspace, extra_files=settings.extra_files)
    if found is None:
        return None, [f"{settings.path}: its source {unit.local_source} holds no Terraform files at this commit."]
    return found, []


def _facts(around: UnitSources, found: FoundUnit, unit: RenderedUnit, own: str | None) -> UnitFacts:
    tree = around.tree
    read = {tree[path].object_id for path in _texts(found, own) if path in tree}
    calls = {name for _, text in around.blobs.read(sorted(read)) for name in _runs(text)}
    after = {*found.dependencies, *(each.path for each in unit.dependencies if each.path is not None)}
    return UnitFacts(
        excluded=found.excluded,
        dependencies=unit.dependencies,
        after=tuple(sorted(after)),
        runs=tuple(sorted({*unit.runs, *calls})),
        stack=stack_of(found.path),
    )


def _runs(text: bytes) -> Iterator[str]:
    """The functions of a text that run code."""
    return (name.decode() for name in _CODE.findall(text))


def _own_module(unit: RenderedUnit, directory: str) -> Sequence[str]:
    return () if unit.local_source in (None, directory) else (str(unit.local_source),)


def _remote(unit: RenderedUnit) -> Sequence[str]:
    return (unit.source,) if unit.local_source is None and unit.source is not None else ()


def _below(around: UnitSources, directory: str) -> Iterator[str]:
    """The files of a unit's directory, which Terragrunt copies beside the module."""
    prefix = "" if directory == "." else f"{directory}/"
    return (p for p in around.tree if p.startswith(prefix) and not p.startswith(around.own))


# --- what its files name ---------------------------------------------------------------------------


def _named(around: UnitSources, found: FoundUnit, own: str | None) -> Iterator[Named]:
    """What a unit's own files and those that it includes name as files.

    Args:
        own: the directory in git that its files lie in; None where that is not known.
    """
    tree, directory = around.tree, found.path
    texts = (path for path in _texts(found, own) if path in tree and tree[path].mode in _REGULAR)
    sources = [(path, tree[path].object_id) for path in texts]
    known = around.reader.definitions(sources)
    for path, object_id in sources:
        definitions = known[object_id]
        if definitions.problem is not None:
            yield Named(dirname(path), True, f"{definitions.problem} What it names as files is not known.")
        for reference in definitions.references:
            there = path if own is None or path != _file_of(own) else _file_of(directory)
            yield from _of_reference(around, directory, there, definitions, reference)


def _texts(found: FoundUnit, own: str | None) -> list[str]:
    """The files in Terragrunt's language that are read for a unit."""
    return [path for path in dict.fromkeys((_file_of(own or found.path), *found.reading)) if path.endswith(".hcl")]


def _file_of(directory: str) -> str:
    return normpath(join(directory, UNIT_FILE))


def _of_reference(
    around: UnitSources, unit: str, path: str, definitions: Definitions, reference: FileReference
) -> Iterator[Named]:
    """What one file function names: relative to the unit, or to the file that it stands in."""
    for base in dict.fromkeys((unit, dirname(path) or ".")):
        scope = Scope(
            directory=base,
            root="" if base == "." else base,
            workspace=HOLE,
            tree=around.modules,
            locals=definitions.locals,
            functions=TerragruntFunctions(unit, base, path, around.tree),
        )
        for text in paths_of(reference, scope):
            meant = named(text, path, reference, scope)
            if meant is not None and (meant.reason is None or base == unit):
                yield meant


def _meant(around: UnitSources, each: Named) -> Mapping[str, str]:
    """The files that a name stands for, with their object ids."""
    tree, path = around.tree, each.path
    if path is None:
        return {}
    if path in tree:
        return {path: tree[path].object_id}
    return {name: tree[name].object_id for name in _below(around, path or ".")} if each.whole else {}


@dataclass(frozen=True, slots=True)
class TerragruntFunctions(ScopeFunctions):
    """The functions of Terragrunt that file names are made with, for one file that is read for a unit.

    Attributes:
        base: the directory that its expressions are evaluated for: the unit's, or the file's own.
    """

    unit: str
    base: str
    file: str
    tree: Mapping[str, TreeEntry]

    def named(self, function: str) -> Callable[..., Any] | None:
        """One of them."""
        included = dirname(self.file) or "."
        known: dict[str, Callable[..., Any]] = {
            "find_in_parent_folders": self._above,
            "get_terragrunt_dir": lambda: _absolute(self.base),
            "get_original_terragrunt_dir": lambda: _absolute(self.unit),
            "get_parent_terragrunt_dir": lambda *_: self._of_include(_absolute(included)),
            "get_repo_root": lambda: CHECKOUT,
            "get_path_to_repo_root": lambda: relpath(".", self.base),
            "get_path_from_repo_root": lambda: self.base,
            "path_relative_to_include": lambda *_: self._of_include(relpath(self.unit, included)),
            "path_relative_from_include": lambda *_: self._of_include(relpath(included, self.unit)),
        }
        return known.get(function)

    def _above(self, name: str, fallback: str = HOLE) -> str:
        directory = self.base
        while directory not in ("", "."):
            directory = dirname(directory)
            if join(directory, name) in self.tree:
                return join(CHECKOUT, directory, name)
        return fallback

    def _of_include(self, value: str) -> str:
        """A value that only holds in a file that is included."""
        return HOLE if normpath(join(self.unit, UNIT_FILE)) == self.file else value


def _absolute(directory: str) -> str:
    return CHECKOUT if directory == "." else join(CHECKOUT, directory)
