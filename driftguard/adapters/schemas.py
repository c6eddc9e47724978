"""The schemas of providers in a folder: one zip file for each version, with one member for each resource type.

The schemas of a large provider have 20 MB; a scan reads those of the few types that change.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

from driftguard.adapters.folders import folder_name
from driftguard.ports import SchemaCache


class FolderSchemas(SchemaCache):
    """Keeps schemas below a folder that is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, provider: str, version: str, types: Collection[str]) -> Mapping[str, bytes] | None:
        """The schemas of those of the types that the provider has; None where no readable file is kept."""
        try:
            with zipfile.ZipFile(self._file(provider, version)) as archive:
                return {name: archive.read(name) for name in archive.namelist() if name in types}
        except (OSError, zipfile.BadZipFile):
            return None

    def keep(self, provider: str, version: str, schemas: Mapping[str, bytes]) -> None:
        """Write one version's file; it appears whole or, on a full disk, not at all."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=self._folder)
            try:
                with (
                    os.fdopen(descriptor, "wb") as stream,
                    zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
                ):
                    for type_, schema in schemas.items():
                        archive.writestr(type_, schema)
                Path(name).replace(self._file(provider, version))
            finally:
                Path(name).unlink(missing_ok=True)

    def _file(self, provider: str, version: str) -> Path:
        return self._folder / f"{folder_name(f'{provider}/{version}')}.zip"
