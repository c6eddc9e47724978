"""Random moments and histories: one in `make test`, the others in `make check`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def one_quick(values: Iterable[object]) -> list[Any]:
    """Values of a parameter of which the first one runs with `make test` and the others with `make check` only."""
    first, *others = values
    return [first, *(pytest.param(value, marks=pytest.mark.crash) for value in others)]
