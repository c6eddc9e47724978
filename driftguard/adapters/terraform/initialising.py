"""What `terraform init` takes and leaves: backend settings, the key of what it was run for, and its record."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec

from driftguard.adapters.hcl.backends import ENDINGS, state_block
from driftguard.model import ToolVersion
from driftguard.ports import WorkingDirectory

_RECORD: Final = "terraform.tfstate"


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, without what follows a hyphen."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("-")[0])[:3])


def backend_files(work: WorkingDirectory) -> list[str]:
    """Backend settings as files: on the command line every user of the machine could read them."""
    if not isinstance(work.backend_config, Mapping):
        return list(work.backend_config)
    path = work.private / "backend.tfbackend.json"
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(dict(work.backend_config), stream)
    return [str(path)]


def init_key(tool: ToolVersion, closure_key: str, work: WorkingDirectory) -> str:
    """Of everything that `init` depends on: with an equal key it need not be run again."""
    config = work.backend_config
    parts = [str(tool), tool.path, closure_key, dict(config) if isinstance(config, Mapping) else list(config)]
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def takes_reconfigure(work: WorkingDirectory) -> bool:
    """Whether `init` gets `-reconfigure`, so that it asks for no migration of what an earlier one recorded.

    A `cloud` block refuses that option; there the record is deleted, which amounts to the same.
    """
    files = {}
    for path in work.directory.iterdir():
        if path.name.endswith(ENDINGS):
            with suppress(OSError):
                files[path.name] = path.read_bytes()
    block = state_block(files)
    if block is None or block.kind != "cloud":
        return True
    (work.data_dir / _RECORD).unlink(missing_ok=True)
    return False
