"""Who owns an environment: its own `owner`, or the owners that CODEOWNERS has for the file that declares it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from posixpath import dirname
from typing import Final

from driftguard.config import EnvironmentSettings
from driftguard.model.codeowners import PLACES, parse, touched
from driftguard.pipeline.directories import is_terraform

_PLACES: Final = (*PLACES, ".gitlab/CODEOWNERS")


def with_owners(
    environments: Sequence[EnvironmentSettings], paths: Collection[str], read: Callable[[str], bytes | None]
) -> tuple[EnvironmentSettings, ...]:
    """The environments, those without `owner` with that of CODEOWNERS.

    Args:
        paths: every file of the commit.
        read: the contents of one of them.
    """
    place = next((place for place in _PLACES if place in paths), None)
    text = read(place) if place is not None else None
    if text is None or all(environment.owner for environment in environments):
        return tuple(environments)
    return tuple(_owned(environments, paths, text.decode(errors="replace")))


def _owned(
    environments: Sequence[EnvironmentSettings], paths: Collection[str], text: str
) -> Iterator[EnvironmentSettings]:
    try:
        rules = parse(text)
    except ValueError:  # a character that hides a rule from some readers: no owner is certain
        rules = ()
    declaring: dict[str, str] = {}
    for path in sorted(filter(is_terraform, paths), reverse=True):
        declaring[dirname(path) or "."] = path
    for environment in environments:
        file = declaring.get(environment.path)
        found = touched(rules, [file]) if file and not environment.owner else ()
        owners = [owner for rule in found for owner in rule.owners]
        yield replace(environment, owner=" ".join(owners)) if owners else environment
