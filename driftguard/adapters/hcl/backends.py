"""The block of a root module that names where its state lies: `backend` or `cloud`."""

from __future__ import annotations

from collections.abc import Mapping
from posixpath import basename

from driftguard.adapters.hcl.outline import outline
from driftguard.model.outlines import Outline

ENDINGS = (".tf", ".tf.json", ".tofu", ".tofu.json")


def state_block(files: Mapping[str, bytes]) -> Outline | None:
    """The `backend` or `cloud` block of a directory's Terraform files; None without one.

    That of an override file replaces any other, as in Terraform.

    Args:
        files: the contents by path; those that are no Terraform files count for nothing.
    """
    found: Outline | None = None
    for path in sorted(files, key=lambda path: (_overrides(path), path)):
        if path.endswith(ENDINGS):
            for settings in outline(path, files[path]).of("terraform"):
                found = next((block for block in settings.blocks if block.kind in ("backend", "cloud")), found)
    return found


def _overrides(path: str) -> bool:
    stem = basename(path).split(".", 1)[0]
    return stem == "override" or stem.endswith("_override")
