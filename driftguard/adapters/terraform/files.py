"""The files that Terraform writes: a state's identity, and the members of a saved plan."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec

from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.ports import StateIdentity


class _StateHeader(msgspec.Struct):
    lineage: str | None = None
    serial: int | None = None


def identity_of(text: bytes) -> StateIdentity:
    """Lineage and serial of a state's text. Raises EnvironmentFault where it is no JSON."""
    if not text.strip():
        return StateIdentity(None, None)
    try:
        header = msgspec.json.decode(text, type=_StateHeader)
    except msgspec.DecodeError:
        raise EnvironmentFault(
            ErrorKind.PLAN, "The state cannot be read as JSON; look at it with `terraform state pull`."
        ) from None
    return StateIdentity(header.lineage, header.serial) if header.lineage else StateIdentity(None, None)


def identity_in_plan(plan_file: Path) -> StateIdentity | None:
    """The state's identity from the plan file, a zip whose `tfstate` member is the state it was made from.

    The format is Terraform's own affair and may change or be encrypted (OpenTofu); None then.
    """
    state = member(plan_file, "tfstate")
    try:
        return None if state is None else identity_of(state)
    except EnvironmentFault:
        return None


def member(plan_file: Path, name: str) -> bytes | None:
    """A member of the plan file, a zip; None where it is none."""
    try:
        with zipfile.ZipFile(plan_file) as archive:
            return archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
