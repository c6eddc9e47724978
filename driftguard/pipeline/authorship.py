"""The author of a block: the newest commit that changed it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import cache
from posixpath import basename, dirname
from typing import Any, Final

import msgspec

from driftguard.errors import OperatorError
from driftguard.model import Block, Written
from driftguard.pipeline.declared import declared
from driftguard.ports import Blame, BlockReader, Repository
from driftguard.sealed import mask

_SECONDS: Final = 60.0


class Authorship:
    """Authors of blocks at one commit. Every directory is read once and every block looked up once; thread-safe.

    Args:
        seconds: limit of all answers together, since alerts wait for them; after that every author is unknown.
    """

    def __init__(
        self, repository: Repository, blame: Blame, reader: BlockReader, commit: str, *, seconds: float = _SECONDS
    ) -> None:
        self._repository, self._blame, self._reader, self._commit = repository, blame, reader, commit
        self._left_seconds = seconds
        self._guard = threading.Lock()
        self._blocks_of = cache(self._read)
        self._author_of = cache(self._ask)

    def written_by(self, root: str, address: str) -> Written | None:
        """The newest change of the block that declares a resource; None where that cannot be told.

        Args:
            root: the environment's directory.
        """
        with self._guard:
            if self._left_seconds <= 0:
                return None
            started = time.monotonic()
            try:
                block = declared(address, root, self._blocks_of)
                return None if block is None else self._author_of(block)
            except OperatorError:  # a damaged mirror, which the next fetch reports
                return None
            finally:
                self._left_seconds -= time.monotonic() - started

    def as_json(self, root: str, address: str) -> Mapping[str, Any] | None:
        """The same, as an alert keeps it."""
        written = self.written_by(root, address)
        found: dict[str, Any] | None = msgspec.to_builtins(written) if written is not None else None
        return found

    def _ask(self, block: Block) -> Written | None:
        commit = self._blame.newest_change(self._commit, block.path, block.line, block.last_line)
        if commit is None:
            return None
        return Written(commit.sha, mask(commit.author), commit.date, mask(commit.subject), block.path, block.line)

    def _read(self, directory: str) -> tuple[Block, ...]:
        tree = self._repository.tree(self._commit)
        paths = [path for path in tree if dirname(path) == ("" if directory == "." else directory)]
        paths = [path for path in paths if path.endswith(".tf") and tree[path].mode.startswith("100")]
        paths.sort(key=_overrides)  # what a file declares stands before what another one overrides
        contents = self._repository.read([tree[path].object_id for path in paths])
        return tuple(
            block
            for path, (_, source) in zip(paths, contents, strict=True)
            for block in self._reader.blocks(path, source)
        )


def _overrides(path: str) -> bool:
    return basename(path) == "override.tf" or path.endswith("_override.tf")
