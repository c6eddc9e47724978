"""Who wrote the block that reality departed from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from posixpath import dirname
from typing import Any

import msgspec

from driftguard.adapters.git import GitRepository
from driftguard.adapters.hcl import blocks
from driftguard.errors import OperatorError
from driftguard.model import Block, Written
from driftguard.pipeline.declared import declared
from driftguard.sealed import mask


class Authorship:
    """Authors of blocks at one commit; every directory is read once."""

    def __init__(self, repository: GitRepository, commit: str) -> None:
        self._repository, self._commit = repository, commit
        self._blocks_of = cache(self._read)

    def written_by(self, root: str, address: str) -> Written | None:
        """The newest change of the block that declares a resource; None where that cannot be told.

        Args:
            root: the environment's directory.
        """
        block = declared(address, root, self._blocks_of)
        if block is None:
            return None
        try:
            commit = self._repository.newest_change(self._commit, block.path, block.line, block.last_line)
        except OperatorError:
            return None
        if commit is None:
            return None
        return Written(commit.sha, mask(commit.author), commit.date, mask(commit.subject), block.path, block.line)

    def as_json(self, root: str, address: str) -> Mapping[str, Any] | None:
        """The same, as an alert keeps it."""
        written = self.written_by(root, address)
        found: dict[str, Any] | None = msgspec.to_builtins(written) if written is not None else None
        return found

    def _read(self, directory: str) -> tuple[Block, ...]:
        tree = self._repository.tree(self._commit)
        paths = [path for path in tree if dirname(path) == ("" if directory == "." else directory)]
        paths = [path for path in paths if path.endswith(".tf") and tree[path].mode.startswith("100")]
        contents = self._repository.read([tree[path].object_id for path in paths])
        return tuple(block for path, (_, source) in zip(paths, contents, strict=True) for block in blocks(path, source))
