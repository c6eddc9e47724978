"""The author of a block: the newest commit that changed it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import cache
from posixpath import basename, dirname
from typing import Final

from driftguard.config import EnvironmentSettings
from driftguard.errors import OperatorError
from driftguard.hcledit.source import Parser
from driftguard.model import Written
from driftguard.pipeline.declared import LocatedBlock, declared
from driftguard.ports import Blame, BlockAuthors, Repository
from driftguard.sealed import mask

_SECONDS: Final = 60.0
# Longer files are generated; parsing them would hold up the alerts.
_MAX_BYTES: Final = 400_000


class Authorship:
    """Authors of blocks at one commit. Every directory is read once and every block looked up once; thread-safe.

    Args:
        seconds: limit of all answers together, since alerts wait for them; after that every author is unknown.
    """

    def __init__(
        self, repository: Repository, blame: Blame, parser: Parser, commit: str, *, seconds: float = _SECONDS
    ) -> None:
        self._repository, self._blame, self._parser, self._commit = repository, blame, parser, commit
        self._left_seconds = seconds
        self._guard = threading.Lock()
        self._blocks_of = cache(self._read)
        self._author_of = cache(self._ask)

    def written_by(self, root: str, address: str) -> Written | None:
        """The newest change of the block that declares a resource; None if that is not known.

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

    def _ask(self, declaration: LocatedBlock) -> Written | None:
        path, block = declaration.path, declaration.block
        commit = self._blame.newest_change(self._commit, path, block.line, block.last_line)
        if commit is None:
            return None
        return Written(commit.sha, mask(commit.author), commit.date, mask(commit.subject), path, block.line)

    def _read(self, directory: str) -> tuple[LocatedBlock, ...]:
        tree = self._repository.tree(self._commit)
        paths = [path for path in tree if dirname(path) == ("" if directory == "." else directory)]
        paths = [path for path in paths if path.endswith(".tf") and tree[path].mode.startswith("100")]
        paths.sort(key=_overrides)  # what a file declares stands before what another one overrides
        contents = self._repository.read([tree[path].object_id for path in paths])
        sources = zip(paths, contents, strict=True)
        return tuple(block for path, (_, source) in sources for block in located_blocks(self._parser, path, source))


def located_blocks(parser: Parser, path: str, source: bytes) -> tuple[LocatedBlock, ...]:
    """The blocks of a file; empty for one that cannot be parsed, is written as JSON, or is longer than people write."""
    if len(source) > _MAX_BYTES or not path.endswith(".tf"):
        return ()
    try:
        file = parser.hcl(source.decode("utf-8-sig"))
    except ValueError:
        return ()
    return tuple(LocatedBlock(path, block) for block in file.blocks)


def _overrides(path: str) -> bool:
    return basename(path) == "override.tf" or path.endswith("_override.tf")


class EnvironmentAuthors(BlockAuthors):
    """The authors of blocks at one commit, by environment."""

    def __init__(self, environments: Mapping[str, EnvironmentSettings], authorship: Authorship) -> None:
        self._environments, self._authorship = environments, authorship

    def written_by(self, environment: str, address: str) -> Written | None:
        """See `BlockAuthors.written_by`."""
        return self._authorship.written_by(self._environments[environment].path, address)
