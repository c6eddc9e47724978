"""Terraform files of a repository, each git blob parsed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from driftguard.adapters.hcl.facts import CachingReader
from driftguard.model import SourceFacts
from driftguard.model.expressions import Definitions
from driftguard.ports import Repository, SourceReader


class BlobReader(SourceReader):
    """Reads blobs through the repository's mirror and keeps their contents in a cache between runs."""

    def __init__(self, repository: Repository, cache: CachingReader) -> None:
        self._repository, self._cache = repository, cache

    def facts(self, sources: Sequence[tuple[str, str]]) -> Mapping[str, SourceFacts]:
        """The facts of each blob by its id; `sources` are pairs of a path and a blob's id."""
        unknown = {object_id: path for path, object_id in sources if self._cache.known(object_id) is None}
        for object_id, content in self._repository.read(list(unknown)):
            self._cache.read(object_id, unknown[object_id], content)
        return {object_id: self._cache.known(object_id) or SourceFacts() for _, object_id in sources}

    def templates(self, object_ids: Sequence[str]) -> Mapping[str, SourceFacts]:
        """What each blob, a template, reads by itself."""
        unknown = [object_id for object_id in object_ids if self._cache.known_template(object_id) is None]
        for object_id, content in self._repository.read(unknown):
            self._cache.read_template(object_id, content)
        return {object_id: self._cache.known_template(object_id) or SourceFacts() for object_id in object_ids}

    def definitions(self, sources: Sequence[tuple[str, str]]) -> Mapping[str, Definitions]:
        """The definitions of each blob by its id; `sources` are pairs of a path and a blob's id."""
        unknown = {object_id: path for path, object_id in sources if self._cache.known_definitions(object_id) is None}
        for object_id, content in self._repository.read(list(unknown)):
            self._cache.read_definitions(object_id, unknown[object_id], content)
        return {object_id: self._cache.known_definitions(object_id) or Definitions() for _, object_id in sources}

    def lfs_missing(self, object_ids: Sequence[str]) -> Mapping[str, str]:
        """Those of the blobs that are pointers of Git LFS, and why their content is not here."""
        return self._repository.lfs_missing(object_ids)

    def link_target(self, object_id: str) -> str:
        """The path that a symbolic link's blob holds."""
        return next(iter(self._repository.read([object_id])))[1].decode(errors="surrogateescape")
