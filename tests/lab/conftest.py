"""A provider and a state store for the laboratory's tests, and histories that are written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.configuration import Configuration, Resource
from lab.history import History
from lab.provider import Provider
from lab.schema import Attribute, Type
from lab.site import Site
from lab.statestore import StateStore
from lab.values import Dice

# Gives a history that was applied and seen in sync, from the attributes of its only type and its resources.
Given = Callable[..., History]


class Least(Dice):
    """Draws the least every time: for histories that are written out."""

    def number(self, least: int, most: int) -> int:
        return least


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider(tmp_path_factory.mktemp("lab") / "provider") as running:
        yield running


@pytest.fixture(scope="session")
def store() -> Iterator[StateStore]:
    with StateStore() as running:
        yield running


@pytest.fixture
def given(tmp_path: Path, provider: Provider) -> Given:
    def begun(attributes: tuple[Attribute, ...], *resources: Resource, baseline: bool = True) -> History:
        site = Site(tmp_path, provider, {"lab_t": Type("lab_t", attributes)})
        history = History(site, Least(), Configuration(resources=resources))
        assert history.begin(baseline=baseline) == []
        return history

    return begun


@pytest.fixture
def given_types(tmp_path: Path, provider: Provider) -> Given:
    """Gives a history with one resource of each of some types, all with the same further arguments."""

    def begun(types: tuple[Type, ...], **arguments: str) -> History:
        site = Site(tmp_path, provider, {kind.name: kind for kind in types})
        resources = tuple(Resource(f"r{n}", kind.name, {"name": f"r{n}", **arguments}) for n, kind in enumerate(types))
        history = History(site, Twice(), Configuration(resources=resources))
        assert history.begin() == []
        return history

    return begun


class Twice(Least):
    """Draws the least, and something else with every second choice."""

    def __init__(self) -> None:
        self._drawn = 0

    def choice(self, options: Sequence[Any]) -> Any:
        self._drawn += 1
        return options[self._drawn % len(options)]
