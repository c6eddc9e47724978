"""From a commit's tree to environments and their closures; no file is read whose blob was read before.

Takes a tree and a reader of blobs; gives directories and `Closure` values. Promises that every file that can change an
environment's plan is in its closure; where a file cannot be understood, too much is in it, with a warning.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from posixpath import dirname, join, normpath

from driftguard.errors import EnvironmentFault
from driftguard.model import Closure, ErrorKind, SourceFacts, TreeEntry

_LINK, _SUBMODULE = "120000", "160000"
_LOCK_FILE = ".terraform.lock.hcl"
_MOST_LINKS = 8

Facts = Callable[[Sequence[tuple[str, str]]], Mapping[str, SourceFacts]]
"""Facts of Terraform files: takes pairs of path and object id, gives facts by object id."""


def find(tree: Mapping[str, TreeEntry], include: Sequence[str], exclude: Sequence[str] = ()) -> list[str]:
    """Directories that directly hold Terraform files and match a glob of `include` and none of `exclude`, sorted.

    `*` and `?` stay within one path component, `**` spans any number of them, `.` is the root.
    """
    wanted = [_glob(pattern) for pattern in include]
    unwanted = [_glob(pattern) for pattern in exclude]
    directories = {dirname(path) or "." for path in tree if _is_terraform(path)}
    return sorted(
        d for d in directories if any(g.fullmatch(d) for g in wanted) and not any(g.fullmatch(d) for g in unwanted)
    )


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    pattern = normpath(pattern)
    text = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern):
        text += {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or (
            part.replace("[!", "[^") if part.startswith("[") and part.endswith("]") else re.escape(part)
        )
    return re.compile(text)


def _is_terraform(path: str) -> bool:
    return path.endswith((".tf", ".tf.json", ".tofu", ".tofu.json"))


@dataclass(slots=True)
class _Module:
    """One directory as a module: its own files and what they refer to."""

    files: dict[str, str] = field(default_factory=dict)
    local: list[str] = field(default_factory=list)
    remote: list[str] = field(default_factory=list)
    init_facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Closures:
    """Closures at one commit; a module that many environments reach is walked once.

    Args:
        link_target: the text of a symbolic link, by its object id.
    """

    def __init__(self, tree: Mapping[str, TreeEntry], facts: Facts, link_target: Callable[[str], str]) -> None:
        self._tree, self._facts, self._link_target = tree, facts, link_target
        self._paths = sorted(tree)
        self._terraform_directories = {dirname(path) for path in self._paths if _is_terraform(path)}
        self._modules: dict[str, _Module] = {}

    def closure(
        self,
        directory: str,
        *,
        var_files: Sequence[str] = (),
        extra_files: Sequence[str] = (),
        files: Sequence[str] = (),
    ) -> Closure | None:
        """One environment's closure; None if the directory holds no Terraform files at this commit.

        Args:
            var_files: relative to the directory.
            extra_files: globs from the repository's root.
            files: further files relative to the directory, such as backend configuration.

        Raises:
            EnvironmentFault: a var file or other named file does not exist.
        """
        root = "" if directory == "." else directory
        if root not in self._terraform_directories:
            return None
        reached: dict[str, _Module] = {}
        queue = [root]
        while queue:
            current = queue.pop()
            if current not in reached:
                reached[current] = self._module(current)
                queue.extend(reached[current].local)
        included = {path: entry for module in reached.values() for path, entry in module.files.items()}
        for name in (*var_files, *files):
            included.update(self._named(root, name))
        for pattern in extra_files:
            glob = _glob(pattern)
            included.update((p, self._tree[p].object_id) for p in self._paths if glob.fullmatch(p))
        lock_file = self._tree.get(join(root, _LOCK_FILE))
        parts = [lock_file.object_id if lock_file else ""]
        parts += [f"{name}\n{fact}" for name in sorted(reached) for fact in reached[name].init_facts]
        return Closure(
            files=dict(sorted(included.items())),
            modules=tuple(sorted(name or "." for name in reached if name != root)),
            remote_sources=tuple(sorted({source for module in reached.values() for source in module.remote})),
            init_key=hashlib.sha256("\0".join(parts).encode()).hexdigest(),
            warnings=tuple(warning for name in sorted(reached) for warning in reached[name].warnings),
        )

    def _named(self, root: str, name: str) -> Iterator[tuple[str, str]]:
        path = normpath(join(root, name))
        entry = self._tree.get(path)
        if entry is None:
            raise EnvironmentFault(
                ErrorKind.CONFIG, f"{path} is named in the configuration and is not part of this commit."
            )
        yield path, entry.object_id
        yield from self._followed(path, entry)

    def _module(self, directory: str) -> _Module:
        module = self._modules.get(directory)
        if module is None:
            module = self._modules[directory] = self._read_module(directory)
        return module

    def _read_module(self, directory: str) -> _Module:
        module = _Module()
        for path in self._below(directory):
            entry = self._tree[path]
            module.files[path] = entry.object_id
            module.files.update(self._followed(path, entry))
        sources = [(p, i) for p, i in module.files.items() if _is_terraform(p) and self._tree[p].mode != _LINK]
        known = self._facts(sources)
        for _, object_id in sources:
            facts = known[object_id]
            if facts.init_facts not in ("", "[]"):
                module.init_facts.append(facts.init_facts)
            if facts.problem:
                module.warnings.append(facts.problem)
            for call in facts.modules:
                self._refer(module, directory, call.source or "")
            for mentioned in facts.paths:
                module.files.update(self._mentioned(normpath(join(directory, mentioned))))
        return module

    def _refer(self, module: _Module, directory: str, source: str) -> None:
        if not source.startswith(("./", "../")):
            if source:
                module.remote.append(source)
            return
        target = normpath(join(directory, source))
        target = "" if target == "." else self._resolved_directory(target)
        if target.startswith("../") or target == "..":
            module.warnings.append(f"{directory or '.'}: the module {source} lies outside of the repository.")
        elif target not in self._terraform_directories:
            module.warnings.append(f"{directory or '.'}: the module {source} has no Terraform files at this commit.")
        else:
            module.local.append(target)

    def _resolved_directory(self, path: str) -> str:
        """A directory with the symbolic links on its way resolved."""
        for _ in range(_MOST_LINKS):
            parts = path.split("/")
            links = ("/".join(parts[: n + 1]) for n in range(len(parts)))
            link = next((p for p in links if p in self._tree and self._tree[p].mode == _LINK), None)
            if link is None:
                break
            target = normpath(join(dirname(link), self._link_target(self._tree[link].object_id)))
            path = normpath(join(target, path[len(link) :].lstrip("/")))
        return path

    def _below(self, directory: str) -> Iterator[str]:
        """Files in a directory and below it, without subdirectories that are modules of their own."""
        prefix = f"{directory}/" if directory else ""
        for path in self._paths[bisect_left(self._paths, prefix) :]:
            if not path.startswith(prefix):
                break
            if not self._in_another_module(path, directory):
                yield path

    def _in_another_module(self, path: str, directory: str) -> bool:
        parent = dirname(path)
        while parent != directory:
            if parent in self._terraform_directories:
                return True
            parent = dirname(parent)
        return False

    def _followed(self, path: str, entry: TreeEntry) -> Iterator[tuple[str, str]]:
        """What a symbolic link leads to."""
        if entry.mode == _LINK:
            yield from self._mentioned(self._resolved_directory(path))

    def _mentioned(self, path: str) -> Iterator[tuple[str, str]]:
        """A file, or all files of a directory, that source refers to by a literal path."""
        if path in self._tree:
            yield path, self._tree[path].object_id
            return
        prefix = f"{path}/"
        for found in self._paths[bisect_left(self._paths, prefix) :]:
            if not found.startswith(prefix):
                return
            yield found, self._tree[found].object_id
