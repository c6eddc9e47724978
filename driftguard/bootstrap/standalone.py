"""A first configuration for a work tree."""

from __future__ import annotations

from pathlib import Path

from driftguard import config


def first_configuration(folder: Path) -> tuple[str, int]:
    """A commented first `driftguard.yaml` for a work tree, and how many environments it finds there."""
    skipped = {".git", ".terraform"}
    found = {
        file.parent.relative_to(folder).as_posix()
        for pattern in ("*.tf", "*.tf.json")
        for file in folder.rglob(pattern)
        if not skipped & set(file.relative_to(folder).parts)
    }
    environments = sorted(directory for directory in found if "modules" not in Path(directory).parts)
    return config.template(environments), len(environments)
