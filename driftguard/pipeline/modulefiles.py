"""The files of one directory as a module: its own, those that its source mentions, and the modules that it calls.

Takes the files of a commit and a reader of blobs; gives `ModuleFiles`. Where a file cannot be understood, too much
counts, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from posixpath import dirname, join, normpath

from driftguard.model import Move
from driftguard.pipeline import floating
from driftguard.pipeline.treewalk import LINK, SUBMODULE, TreeWalk
from driftguard.ports import SourceReader


@dataclass(slots=True)
class ModuleFiles:
    """One directory as a module: its own files and what they refer to."""

    files: dict[str, str] = field(default_factory=dict)
    local: list[str] = field(default_factory=list)
    remote: list[str] = field(default_factory=list)
    root_paths: set[str] = field(default_factory=set)
    init_facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    mentioned: set[str] = field(default_factory=set)
    moves: list[Move] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    root_reads: set[str] = field(default_factory=set)
    templates: set[str] = field(default_factory=set)
    computed: bool = False
    uses_providers: bool = False


class ModuleReader:
    """The modules of one commit; each directory is read once.

    Args:
        own_names: names of the repository itself, such as `acme/infra`.
    """

    def __init__(self, walk: TreeWalk, reader: SourceReader, own_names: frozenset[str]) -> None:
        self._walk, self._reader, self._own_names = walk, reader, own_names
        self._modules: dict[str, ModuleFiles] = {}

    def module(self, directory: str) -> ModuleFiles:
        """A directory, from the repository's root (`` is the root)."""
        module = self._modules.get(directory)
        if module is None:
            module = self._modules[directory] = self._read_module(directory)
        return module

    def _read_module(self, directory: str) -> ModuleFiles:
        module = ModuleFiles()
        sources = []
        for path in self._walk.below(directory):
            module.files.update(self._walk.mentioned(path))
            if dirname(path) == directory and self._walk.is_read(path):
                entry = self._walk.tree.get(self._walk.resolved(path)[0])
                if entry is not None and entry.mode not in (LINK, SUBMODULE):
                    sources.append((path, entry.object_id))
        known = self._reader.facts(sources)
        for path, object_id in sources:
            facts = known[object_id]
            if facts.init_facts not in ("", "[]"):
                module.init_facts.append(facts.init_facts)
            module.computed = module.computed or facts.computed
            module.uses_providers = module.uses_providers or facts.uses_providers
            module.moves += floating.module_moves(directory, facts.modules)
            module.moves += floating.data_moves(directory, facts.outside, self._own_names)
            self._read_by_literals(module, directory, facts.reads)
            module.templates |= set(facts.templates)
            if facts.problem:
                module.warnings.append(f"{path}{facts.problem}")
            for call in facts.modules:
                self._refer(module, directory, call.source or "")
            module.root_paths.update(facts.root_paths)
            for mentioned in facts.paths:
                self._mention(module, normpath(join(directory, mentioned)), mentioned.startswith("."))
        return module

    def _read_by_literals(self, module: ModuleFiles, directory: str, reads: Sequence[str]) -> None:
        """Take note of literal paths that are read: those of the module are looked up, those of the root are kept."""
        for read in reads:
            base, _, relative = read.partition(":")
            path = normpath(join(directory, relative))
            if base == "root":
                module.root_reads.add(relative)
            elif not path.startswith("..") and not self._walk.is_there(path):
                module.absent.add(path)

    def _mention(self, module: ModuleFiles, path: str, is_path: bool) -> None:
        """What source names by a path may be a file, a directory of files, or a module whose source is computed."""
        named = dict(self._walk.mentioned(path))
        module.files.update(named)
        module.mentioned |= named.keys()
        target = self._walk.resolved(path)[0]
        if is_path and target in self._walk.terraform_directories and target not in module.local:
            module.local.append(target)

    def _refer(self, module: ModuleFiles, directory: str, source: str) -> None:
        where = directory or "."
        if "${" in source or "%{" in source:
            self._refer_computed(module, directory, source)
            return
        if not source.startswith(("./", "../")):
            if source:
                module.remote.append(source)
            return
        target, links = self._walk.resolved(normpath(join(directory, source)))
        module.files.update((link, self._walk.tree[link].object_id) for link in links)
        target = "" if target == "." else target
        submodule = self._walk.submodule(target)
        if target.startswith(("../", "/")) or target == "..":
            module.warnings.append(f"{where}: the module {source} lies outside of the repository.")
        elif submodule:
            module.files[submodule] = self._walk.tree[submodule].object_id
        elif target not in self._walk.terraform_directories:
            module.warnings.append(f"{where}: the module {source} has no Terraform files at this commit.")
        else:
            module.local.append(target)

    def _refer_computed(self, module: ModuleFiles, directory: str, source: str) -> None:
        """A module source that Terraform computes: everything below its literal beginning counts."""
        prefix = re.split(r"[$%]\{", source, maxsplit=1)[0].rpartition("/")[0]
        reach = f"every module below {prefix}/ counts" if prefix else "what its expression gives counts"
        module.computed = True
        where = directory or "."
        module.warnings.append(f"{where}: the module source {source} is computed by Terraform; {reach}.")
        if prefix.startswith("."):
            below = normpath(join(directory, prefix))
            module.local += [
                name
                for name in sorted(self._walk.terraform_directories)
                if below == "." or f"{name}/".startswith(f"{below}/")
            ]
