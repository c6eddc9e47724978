"""The token of a platform: from the variables or the credentials file of the operator, by the host that it is for.

A token is never looked up by anything but its host, so that a commit that names another host gets none.
Source: https://developer.hashicorp.com/terraform/cli/config/config-file#credentials
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from driftguard.adapters.hcl.outline import outline
from driftguard.config import token_variable
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind

_RC_FILES: Final = (".terraformrc", ".tofurc")
_LOGIN_FILES: Final = (".terraform.d/credentials.tfrc.json", ".config/opentofu/credentials.tfrc.json")


def token_of(host: str, variables: Mapping[str, str]) -> str:
    """The token of a host.

    Args:
        host: the platform's name, with a port where it has one.
        variables: those of the environment's Terraform: `TF_TOKEN_…`, `TF_CLI_CONFIG_FILE`, HOME.

    Raises:
        EnvironmentFault: `config`: the operator gave none for this host.
    """
    wanted = token_variable(host)
    for name, value in variables.items():
        if name.lower() == wanted.lower() and value.strip():
            return value.strip()
    for found, token in _of_files(variables):
        if found.lower() == host.lower() and token:
            return token
    raise EnvironmentFault(
        ErrorKind.CONFIG,
        f"There is no token for {host}, so nothing was asked there. Set {wanted}, or run `terraform login {host}` as "
        "the user of DriftGuard. A token of the repository's file does not count.",
    )


def _of_files(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Hosts and tokens of the credentials files, in the order in which they count."""
    home = Path(variables.get("HOME") or "/nonexistent")
    given = variables.get("TF_CLI_CONFIG_FILE")
    for file in [Path(given)] if given else [home / name for name in _RC_FILES]:
        with suppress(OSError):
            for block in outline("config.tf", file.read_bytes()).of("credentials"):
                yield "".join(block.labels[:1]), block.literal("token") or ""
    for name in () if given else _LOGIN_FILES:  # Terraform does not read them beside a file of the variable
        with suppress(OSError, ValueError):
            loaded = json.loads((home / name).read_bytes())
            found = loaded.get("credentials") if isinstance(loaded, dict) else None
            for host, entry in found.items() if isinstance(found, dict) else ():
                yield str(host), str(entry.get("token") or "") if isinstance(entry, dict) else ""
