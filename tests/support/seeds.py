"""Many cases of one thing: one in `make test`, the others in `make check`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def one_quick(values: Iterable[object], mark: pytest.MarkDecorator = pytest.mark.crash) -> list[Any]:
    """Values of a parameter of which the first one runs with `make test` and the others with `make check` only.

    Args:
        mark: why not with `make test`: `crash`, or `further` where nothing is killed.
    """
    first, *others = values
    return [first, *(pytest.param(value, marks=mark) for value in others)]
