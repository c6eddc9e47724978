"""The versions of a module in a registry, by the module registry protocol; nothing where it does not answer."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

import msgspec

_PUBLIC: Final = "registry.terraform.io"
_SECONDS: Final = 15.0
_MAX_BYTES: Final = 8_000_000


class _Discovery(msgspec.Struct):
    modules: str = msgspec.field(name="modules.v1")


class _Version(msgspec.Struct):
    version: str


class _Listed(msgspec.Struct):
    versions: list[_Version] = []


class _VersionsAnswer(msgspec.Struct):
    modules: list[_Listed]


def versions(source: str, variables: Mapping[str, str]) -> str | None:
    """A digest of the versions that a registry has of a module; None where that cannot be asked.

    Args:
        source: `[HOST/]NAMESPACE/NAME/SYSTEM`, with or without `//SUBDIRECTORY`.
        variables: those of Terraform's process: its tokens, and its configuration file.
    """
    parts = source.partition("//")[0].split("/")
    host, module = (parts[0], parts[1:]) if len(parts) == 4 else (_PUBLIC, parts)
    if len(module) != 3:
        return None
    with suppress(OSError, ValueError, http.client.HTTPException, msgspec.DecodeError):
        base = _named_by_the_configuration(host, variables) or _discovered(host)
        url = f"{base.rstrip('/')}/{'/'.join(quote(part, safe='') for part in module)}/versions"
        answer = msgspec.json.decode(_get(url, _token(host, variables)), type=_VersionsAnswer)
        found = sorted(version.version for listed in answer.modules for version in listed.versions)
        return hashlib.sha256("\n".join(found).encode()).hexdigest()
    return None


def _discovered(host: str) -> str:
    address = f"https://{host}/.well-known/terraform.json"
    return urljoin(address, msgspec.json.decode(_get(address, None), type=_Discovery).modules)


def _named_by_the_configuration(host: str, variables: Mapping[str, str]) -> str | None:
    """The address that a `host` block of Terraform's own configuration gives instead of discovery."""
    own = variables.get("TF_CLI_CONFIG_FILE") or f"{variables.get('HOME', '/nonexistent')}/.terraformrc"
    try:
        text = Path(own).read_text(errors="replace")
    except OSError:
        return None
    block = re.search(rf'^\s*host\s+"{re.escape(host)}"\s*\{{(.*?)^\}}', text, re.M | re.S)
    found = re.search(r'"modules\.v1"\s*[=:]\s*"([^"]+)"', block[1]) if block else None
    return found[1] if found else None


def _token(host: str, variables: Mapping[str, str]) -> str | None:
    return variables.get("TF_TOKEN_" + host.replace("-", "__").replace(".", "_"))


def _get(url: str, token: str | None) -> bytes:
    if urlsplit(url).scheme not in ("https", "http"):
        raise ValueError("not an address of a registry")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_SECONDS) as answer:
        content: bytes = answer.read(_MAX_BYTES)
    return content
