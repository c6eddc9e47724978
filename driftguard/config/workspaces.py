"""Workspaces of an entry: their names, or globs against the list of the backend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

from driftguard.config import values as v
from driftguard.config.placeholders import templated

DEFAULT: Final = "default"
"""The workspace that every backend has, used or not; a glob leaves it out."""


class Listing(NamedTuple):
    """The workspaces of a backend.

    Attributes:
        names: as the backend lists them; where it could not be asked, those that are known from earlier.
        fault: why it could not be asked, one sentence; None where it was.
    """

    names: Sequence[str]
    fault: str | None = None


def _workspace_or_glob(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.~$&+:=@*?\[\]!-]{1,90}", value) or value[0] == "-":
        v.expected("the name of a Terraform workspace, such as default or eu, or a glob over names, such as eu-*")
    return value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 90}
WorkspaceGlobs = Annotated[
    tuple[Annotated[str, BeforeValidator(templated(_workspace_or_glob))], ...],
    BeforeValidator(_listed),
    WithJsonSchema(
        {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}], "title": "name or glob of workspaces, or list of them"}
    ),
]


def spelled_out(wanted: Sequence[str], listing: Listing) -> list[tuple[str, str | None]]:
    """The workspaces that names and globs mean, in order, each with why it cannot be planned.

    A glob that matches nothing stands for itself: an environment that cannot be planned, never none at all.
    """
    found: dict[str, str | None] = {name: None for name in wanted if not v.is_glob(name)}
    for glob in (each for each in wanted if v.is_glob(each)):
        names = sorted(name for name in listing.names if fnmatchcase(name, glob) and name != DEFAULT)
        for name in names:
            found.setdefault(name, listing.fault)
        if not names:
            listed = ", ".join(sorted(listing.names)) or "none"
            nothing = f"`workspaces: {glob}` matches no workspace of the backend, which has {listed}. Correct the glob."
            found[glob] = listing.fault or nothing
    return list(found.items())
