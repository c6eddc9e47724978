"""The files that Terraform writes: a state's identity, and the members of a saved plan."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.ports import StateIdentity

LOCK_FILE: Final = ".terraform.lock.hcl"


class _StateObject(msgspec.Struct):
    mode: str = ""


class _StateHeader(msgspec.Struct):
    """The fields of a state that identify it; an encrypted one has no `resources`."""

    lineage: str | None = None
    serial: int | None = None
    resources: tuple[_StateObject, ...] | None = None
    outputs: dict[str, msgspec.Raw] = {}

    @property
    def empty(self) -> bool:
        return self.resources is not None and not self.outputs and all(o.mode == "data" for o in self.resources)


def identity_of(text: bytes) -> StateIdentity:
    """Lineage and serial of a state's text. Raises EnvironmentFault where it is no JSON."""
    if not text.strip():
        return StateIdentity(None, None, empty=True)
    try:
        header = msgspec.json.decode(text, type=_StateHeader)
    except msgspec.DecodeError:
        raise EnvironmentFault(
            ErrorKind.PLAN, "The state cannot be read as JSON; look at it with `terraform state pull`."
        ) from None
    serial = header.serial if header.lineage else None
    return StateIdentity(header.lineage or None, serial, empty=header.empty)


def identity_in_plan(plan_file: Path) -> StateIdentity | None:
    """The state's identity from the plan file, a zip: `tfstate` names the stored state, `tfstate-prev` holds it.

    The format is Terraform's own affair and may change or be encrypted (OpenTofu); None then.
    """
    refreshed, before = member(plan_file, "tfstate"), member(plan_file, "tfstate-prev")
    if refreshed is None or before is None:
        return None
    try:
        return replace(identity_of(refreshed), empty=identity_of(before).empty)
    except EnvironmentFault:
        return None


def lock_file_versions(directory: Path) -> Mapping[str, str]:
    """Versions of the providers in a directory's lock file, by their addresses; empty without one."""
    try:
        text = (directory / LOCK_FILE).read_text()
    except FileNotFoundError:
        return {}
    # Written by Terraform alone, always in this one form.
    return dict(re.findall(r'^provider "([^"]+)" \{\n  version\s*= "([^"]+)"', text, re.MULTILINE))


def member(plan_file: Path, name: str) -> bytes | None:
    """A member of the plan file, a zip; None where it is none."""
    try:
        with zipfile.ZipFile(plan_file) as archive:
            return archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
