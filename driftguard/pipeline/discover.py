"""From a commit's tree to environments and their closures; no file is read whose blob was read before.

Takes a tree and a reader of blobs; gives directories and `Closure` values. Promises that every file that can change an
environment's plan is in its closure; where a file cannot be understood, too much is in it, with a warning.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import dirname, join, normpath

from driftguard.errors import EnvironmentFault
from driftguard.model import Closure, ErrorKind, Move, TreeEntry
from driftguard.model.expressions import Definitions, Node
from driftguard.model.versions import version_paths
from driftguard.pipeline import floating
from driftguard.pipeline.directories import glob_pattern, is_terraform
from driftguard.pipeline.filearguments import (
    ModuleDefinitions,
    Named,
    automatic,
    named_files,
    template_reads,
    value_of,
)
from driftguard.pipeline.modulefiles import ModuleFiles, ModuleReader
from driftguard.pipeline.treewalk import LINK, SUBMODULE, TreeWalk
from driftguard.ports import SourceReader

_LOCK_FILE = ".terraform.lock.hcl"
# In the canonical text of facts, or in that of a file that could not be parsed.
_REQUIRED = re.compile(r'required_version"?\s*[:=]\s*(?:\\?")+([^"\\]+)')


@dataclass(frozen=True, slots=True)
class RootInputs:
    """A root module, and where its variables and its workspace get their values.

    Attributes:
        directory: from the repository's root (`` is the root).
        var_files: relative to the directory.
        variables: values from the environment (`TF_VAR_*`), by name.
    """

    directory: str
    var_files: Sequence[str]
    workspace: str
    variables: Mapping[str, str]


class Closures:
    """Closures at one commit; a module that many environments reach is walked once.

    Args:
        own: a prefix of paths that count only where they are named themselves: approval files change no plan.
        missing: submodules whose content is not there, and why, by path.
        product: `terraform` or `tofu`, which do not read the same files; None where that is not known.
        own_names: names of the repository itself, such as `acme/infra`.
    """

    def __init__(
        self,
        tree: Mapping[str, TreeEntry],
        reader: SourceReader,
        own: str,
        missing: Mapping[str, str] | None = None,
        *,
        product: str | None = None,
        own_names: frozenset[str] = frozenset(),
    ) -> None:
        self._reader, self._missing = reader, missing or {}
        self._walk = TreeWalk(tree, reader, own, product)
        self._tree = tree
        self._modules = ModuleReader(self._walk, reader, own_names)
        self._matches: dict[str, dict[str, str]] = {}
        self._definitions: dict[str, ModuleDefinitions] = {}
        self._automatic: dict[str, Sequence[str]] = {}

    def closure(
        self,
        directory: str,
        *,
        var_files: Sequence[str] = (),
        extra_files: Sequence[str] = (),
        files: Sequence[str] = (),
        workspace: str = "default",
        variables: Mapping[str, str] | None = None,
        elsewhere: Sequence[str] = (),
        given: Mapping[str, str] | None = None,
    ) -> Closure | None:
        """One environment's closure; None if the directory holds no Terraform files at this commit.

        Args:
            var_files: relative to the directory.
            extra_files: globs from the repository's root.
            files: further files relative to the directory, such as backend configuration.
            variables: values of the root module's variables from the environment (`TF_VAR_*`), by name.
            given: files that lie in no commit and will be there, by path, with digests of their contents.
            elsewhere: files that only other environments name; no part of it, unless its code mentions them.

        Raises:
            EnvironmentFault: a var file or other named file does not exist.
        """
        root = "" if directory == "." else directory
        if root not in self._walk.terraform_directories:
            return None
        reached = self._reached(root)
        module = RootInputs(root, var_files, workspace, variables or {})
        named = self._computed(module, reached, always=bool(elsewhere)) + self._values(module)
        named += self._templates(root, reached, named)
        included = self._own_files(reached, () if any(_reasons(named)) else elsewhere)
        given = given or {}
        in_git = _in_git(root, (*var_files, *files), given)
        included.update(self._named_files(root, reached, in_git, extra_files, named))
        included.update(self._pinned(included))
        version_files = self._version_files(directory)
        included.update(version_files)
        moves = tuple(self._moves(root, reached, {*included, *given}))
        dangling = dict(self._dangling(included))
        return Closure(
            files=dict(sorted(included.items())),
            modules=tuple(sorted(name or "." for name in reached if name != root)),
            remote_sources=_remote(reached),
            init_key=self._init_key(root, reached, given, named),
            warnings=_warnings(reached),
            open=(*_reasons(named), *(move.sentence for move in moves)),
            missing=(*self._not_there(included), *_unreadable(dangling)),
            requires=_requires(reached),
            version_files=version_files,
            moves=moves,
            dangling=_leading_nowhere(dangling),
            absent=tuple(sorted(self._absent(root, reached) - given.keys())),
            given=given,
            product=self._walk.only_product(root),
        )

    def _moves(self, root: str, reached: Mapping[str, ModuleFiles], included: Collection[str]) -> Iterator[Move]:
        """What changes without a commit."""
        for name in sorted(reached):
            yield from reached[name].moves
        uses_providers = any(module.uses_providers or module.remote for module in reached.values())
        if uses_providers and join(root, _LOCK_FILE) not in included:
            yield floating.provider_move(root)

    def _dangling(self, included: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The symbolic links without a target in this commit, and where they lead."""
        for path in included:
            entry = self._tree.get(path)
            target = self._walk.dangles(path) if entry is not None and entry.mode == LINK else None
            if target is not None:
                yield path, target

    def _absent(self, root: str, reached: Mapping[str, ModuleFiles]) -> set[str]:
        """The literal paths that expressions read and that are not in git."""
        found = set[str]().union(*(module.absent for module in reached.values()))
        for relative in {path for module in reached.values() for path in module.root_reads}:
            path = normpath(join(root, relative))
            if not path.startswith("..") and not self._walk.is_there(path):
                found.add(path)
        return found

    def _version_files(self, directory: str) -> dict[str, str]:
        """The version files above a directory, nearest first."""
        return {path: self._tree[path].object_id for path in version_paths(directory) if path in self._tree}

    def _reached(self, root: str) -> dict[str, ModuleFiles]:
        """The root module and every module that it calls, by directory."""
        reached: dict[str, ModuleFiles] = {}
        queue = [root]
        while queue:
            current = queue.pop()
            if current not in reached:
                reached[current] = self._modules.module(current)
                queue.extend(reached[current].local)
        return reached

    def _init_key(
        self, root: str, reached: Mapping[str, ModuleFiles], given: Mapping[str, str], named: Sequence[Named]
    ) -> str:
        lock_file = self._tree.get(join(root, _LOCK_FILE))
        parts = [lock_file.object_id if lock_file else ""]
        parts += [digest for path, digest in sorted(given.items()) if is_terraform(path) or path.endswith(_LOCK_FILE)]
        parts += [f"{name}\n{fact}" for name in sorted(reached) for fact in reached[name].init_facts]
        parts += sorted(each.source for each in named if each.source)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _pinned(self, included: Mapping[str, str]) -> dict[str, str]:
        """The submodules in which files of a closure lie: a commit that moves a pin names only the submodule."""
        return {
            path: pin
            for path, pin in self._walk.pins.items()
            if any(name.startswith(f"{path}/") for name in included) or path in included
        }

    def _not_there(self, included: Mapping[str, str]) -> Iterator[str]:
        for path in sorted(set(self._walk.submodules) & included.keys()):
            why = self._missing.get(path, "it has no files at its pinned commit")
            yield f"The git submodule {path} is not there: {why}."
        blobs = [object_id for path, object_id in included.items() if path not in self._walk.pins]
        absent = self._reader.lfs_missing(blobs)
        for path in sorted(name for name, object_id in included.items() if object_id in absent):
            yield f"{path} is a Git LFS pointer: {absent[included[path]]}."

    @staticmethod
    def _own_files(reached: Mapping[str, ModuleFiles], elsewhere: Sequence[str]) -> dict[str, str]:
        """Object ids by path of the modules' own files, without those that only other environments name."""
        mentioned = frozenset[str]().union(*(module.mentioned for module in reached.values()))
        others = set(elsewhere) - mentioned
        own = (found for module in reached.values() for found in module.files.items())
        return {path: object_id for path, object_id in own if path not in others}

    def _named_files(
        self,
        root: str,
        reached: Mapping[str, ModuleFiles],
        files: Sequence[str],
        extra_files: Sequence[str],
        named: Sequence[Named],
    ) -> dict[str, str]:
        """Object ids by path of everything that is named."""
        included: dict[str, str] = {}
        for name in files:
            included.update(self._named(root, name))
        for path in {normpath(join(root, p)) for m in reached.values() for p in m.root_paths}:
            included.update(self._walk.mentioned(path))
        for pattern in extra_files:
            included.update(self._matching(pattern))
        for each in named:
            if each.path is not None:
                included.update(
                    self._walk.outside_approvals(each.path) if each.whole else self._walk.mentioned(each.path)
                )
        return included

    def _computed(self, root: RootInputs, reached: Mapping[str, ModuleFiles], *, always: bool) -> list[Named]:
        """What expressions name as files; nothing is parsed where every path is a literal, unless `always`."""
        if not always and not any(module.computed for module in reached.values()):
            return []
        given: dict[str, Node] = {name: ["v", value] for name, value in root.variables.items()}
        for path in self._var_files(root):
            given |= self._define([path])[path].values
        return named_files(root.directory, self._defined, given=given, workspace=root.workspace, tree=self)

    def _var_files(self, root: RootInputs) -> Iterator[str]:
        """The files that give the root module's variables their values, in Terraform's order."""
        directory = root.directory
        if directory not in self._automatic:
            names = [path[len(directory) :].lstrip("/") for path in self._walk.below(directory)]
            self._automatic[directory] = automatic(names)
        for name in (*self._automatic[directory], *root.var_files):
            path = self._walk.resolved(normpath(join(directory, name)))[0]
            if path in self._tree:
                yield path

    def _values(self, root: RootInputs) -> list[Named]:
        """What the values of variables name, whatever they are used for."""
        sources = [(path, self._tree[path].object_id) for path in self._var_files(root)]
        facts = self._reader.facts(sources).values() if sources else ()
        texts = {path for each in facts for path in each.root_paths} | {v for v in root.variables.values() if "/" in v}
        return [named for text in sorted(texts) if (named := value_of(text, root.directory))]

    def _templates(self, root: str, reached: Mapping[str, ModuleFiles], named: Sequence[Named]) -> list[Named]:
        """What the templates read by themselves that are named in source."""
        paths = {each.path for each in named if each.template and each.path}
        for directory, module in reached.items():
            for base, _, path in (each.partition(":") for each in module.templates):
                paths.add(normpath(join(directory if base == "module" else root, path)))
        targets = {self._walk.resolved(path)[0] for path in paths}
        blobs = {path: self._tree[path].object_id for path in targets if path in self._tree}
        found = self._reader.templates(list(blobs.values())) if blobs else {}
        return [each for path, blob in sorted(blobs.items()) for each in template_reads(path, found[blob], root)]

    def below(self, directory: str) -> list[str]:
        """The files below a directory (`` is the root), relative to it."""
        prefix = f"{directory}/" if directory else ""
        return [path[len(prefix) :] for path in self._walk.under(prefix)]

    def _defined(self, directory: str) -> ModuleDefinitions:
        if directory not in self._definitions:
            paths = [
                path for path in self._walk.below(directory) if dirname(path) == directory and self._walk.is_read(path)
            ]
            self._definitions[directory] = ModuleDefinitions(self._define(paths))
        return self._definitions[directory]

    def _define(self, paths: Sequence[str]) -> dict[str, Definitions]:
        entries = {path: self._tree.get(self._walk.resolved(path)[0]) for path in paths}
        sources = [(path, e.object_id) for path, e in entries.items() if e and e.mode not in (LINK, SUBMODULE)]
        found = self._reader.definitions(sources)
        return {path: found[object_id] for path, object_id in sources}

    def _matching(self, pattern: str) -> Mapping[str, str]:
        if pattern not in self._matches:
            glob = glob_pattern(pattern)
            self._matches[pattern] = {
                name: object_id
                for path in self._walk.paths
                if glob.fullmatch(path)
                for name, object_id in self._walk.mentioned(path)
            }
        return self._matches[pattern]

    def _named(self, root: str, name: str) -> Iterator[tuple[str, str]]:
        path = normpath(join(root, name))
        found = dict(self._walk.mentioned(path))
        if self._walk.resolved(path)[0] not in found:
            raise EnvironmentFault(
                ErrorKind.CONFIG, f"{path} is named in the configuration and is not part of this commit."
            )
        yield from found.items()


def _in_git(root: str, names: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """Those of some files, relative to a directory, that are not given otherwise."""
    return [name for name in names if normpath(join(root, name)) not in given]


def _reasons(named: Sequence[Named]) -> Iterator[str]:
    """Why it is not known which files expressions name."""
    return (each.reason for each in named if each.reason is not None)


def _unreadable(dangling: Mapping[str, str]) -> Iterator[str]:
    """Why an environment cannot be planned with symbolic links that lead to nothing: of files that Terraform reads."""
    for link, target in dangling.items():
        if is_terraform(link) or link.endswith((".tfvars", ".tfvars.json")):
            yield f"The symbolic link {link} leads to {target}, which is not in git."


def _remote(reached: Mapping[str, ModuleFiles]) -> tuple[str, ...]:
    """Every module source outside of the repository, sorted."""
    return tuple(sorted({source for module in reached.values() for source in module.remote}))


def _warnings(reached: Mapping[str, ModuleFiles]) -> tuple[str, ...]:
    """What was read too widely, by module."""
    return tuple(warning for name in sorted(reached) for warning in reached[name].warnings)


def _leading_nowhere(dangling: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each symbolic link that leads nowhere."""
    return tuple(f"{link} leads to {target}, which is not in git." for link, target in dangling.items())


def _requires(reached: Mapping[str, ModuleFiles]) -> tuple[str, ...]:
    """Every `required_version` of modules, sorted."""
    facts = (fact for module in reached.values() for fact in module.init_facts)
    return tuple(sorted({found for fact in facts for found in _REQUIRED.findall(fact)}))
