"""The files of one commit as a directory of modules: paths, symbolic links, submodules, and the tool's own twins.

Takes a tree and a reader of links; gives paths. Pure, but for the reading of links.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from posixpath import dirname, join, normpath
from typing import Final

from driftguard.model import TreeEntry
from driftguard.pipeline.directories import is_terraform
from driftguard.ports import SourceReader

LINK: Final = "120000"
SUBMODULE: Final = "160000"
_MAX_LINKS: Final = 40
_TWINS: Final = ((".tofu", ".tf"), (".tofu.json", ".tf.json"))


class TreeWalk:
    """The paths of one commit.

    Args:
        own: a prefix of paths that count only where they are named themselves: approval files change no plan.
        product: `terraform` does not read `.tofu` files, `tofu` reads them in place of their `.tf` twins; None for a
            tool that is not known yet: all of them count.
    """

    def __init__(
        self, tree: Mapping[str, TreeEntry], reader: SourceReader, own: str, product: str | None = None
    ) -> None:
        self.tree, self._reader, self._own, self._product = tree, reader, own, product
        self.paths = sorted(tree)
        self.terraform_directories = {dirname(path) for path in self.paths if self.is_read(path)}
        self.pins = {path: tree[path].object_id for path in self.paths if tree[path].mode == SUBMODULE}
        self.submodules = tuple(path for path in self.pins if next(self.under(f"{path}/"), None) is None)

    def is_read(self, path: str) -> bool:
        """Whether the tool reads a file as configuration."""
        return is_terraform(path) and not self._shadowed(path)

    def _shadowed(self, path: str) -> bool:
        """Whether the tool leaves a file out: of the other tool, or because its own twin is there."""
        for own, other in _TWINS:
            if path.endswith(own):
                return self._product == "terraform"
            if path.endswith(other):
                return self._product == "tofu" and path.removesuffix(other) + own in self.tree
        return False

    def only_product(self, directory: str) -> str | None:
        """`tofu` where a directory holds files of OpenTofu only; None otherwise."""
        prefix = f"{directory}/" if directory else ""
        read = (path for path in self.under(prefix) if dirname(path) == directory and is_terraform(path))
        return "tofu" if all(path.endswith((".tofu", ".tofu.json")) for path in read) else None

    def submodule(self, path: str) -> str | None:
        """The submodule without content that a path lies in."""
        return next((name for name in self.submodules if f"{path}/".startswith(f"{name}/")), None)

    def resolved(self, path: str) -> tuple[str, list[str]]:
        """A path with the symbolic links on its way resolved, and those links."""
        passed: list[str] = []
        while len(passed) < _MAX_LINKS:
            parts = path.split("/")
            links = ("/".join(parts[: n + 1]) for n in range(len(parts)))
            link = next((p for p in links if p in self.tree and self.tree[p].mode == LINK), None)
            if link is None:
                break
            passed.append(link)
            target = normpath(join(dirname(link), self._reader.link_target(self.tree[link].object_id)))
            path = normpath(join(target, path[len(link) :].lstrip("/")))
        return path, passed

    def dangles(self, link: str) -> str | None:
        """Where a symbolic link leads that has no target in this commit; None for one that has."""
        target = self.resolved(link)[0]
        there = target in self.tree or target == "." or next(self.under(f"{target}/"), None) is not None
        return None if there else target

    def below(self, directory: str) -> Iterator[str]:
        """Files in a directory and below it, without subdirectories that are modules of their own."""
        for path in self.under(f"{directory}/" if directory else ""):
            skipped = path.startswith(self._own) or self._shadowed(path)
            if not skipped and not self._in_another_module(path, directory):
                yield path

    def under(self, prefix: str) -> Iterator[str]:
        """Every path that begins with a prefix, sorted."""
        index = bisect_left(self.paths, prefix)
        while index < len(self.paths) and self.paths[index].startswith(prefix):
            yield self.paths[index]
            index += 1

    def _in_another_module(self, path: str, directory: str) -> bool:
        parent = dirname(path)
        while parent != directory:
            if parent in self.terraform_directories:
                return True
            parent = dirname(parent)
        return False

    def is_there(self, path: str) -> bool:
        """Whether a path leads to a file or a directory of the commit."""
        return next(iter(self.mentioned(path)), None) is not None

    def mentioned(self, path: str) -> Iterator[tuple[str, str]]:
        """A file, or all files of a directory, with the symbolic links that lead there; pairs of path and object id."""
        path, links = self.resolved(path)
        for link in links:
            yield link, self.tree[link].object_id
        submodule = self.submodule(path)
        if submodule or path in self.tree:
            found = submodule or path
            yield found, self.tree[found].object_id
            return
        for name in self.under("" if path in ("", ".") else f"{path}/"):
            yield name, self.tree[name].object_id

    def outside_approvals(self, directory: str) -> Iterator[tuple[str, str]]:
        """Everything below a directory, as far as nothing is known of what counts there."""
        for path, object_id in self.mentioned(directory):
            if not path.startswith(self._own):
                yield path, object_id
