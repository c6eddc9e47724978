"""Where the schemas of providers are kept, so that each version's is fetched once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class SchemaCache(Protocol):
    """Keeps the schemas of resource types, as JSON, by the provider's address and version.

    What cannot be kept or read is as if it had never been kept.
    """

    def read(self, provider: str, version: str, types: Collection[str]) -> Mapping[str, bytes] | None:
        """The schemas of those of the types that the provider has; None where nothing is kept of this version."""
        ...

    def keep(self, provider: str, version: str, schemas: Mapping[str, bytes]) -> None:
        """Keep the schemas of all resource types of one version of a provider."""
        ...
