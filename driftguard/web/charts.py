"""Charts as numbers: what the templates draw as SVG, without script and without style of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: The size of a chart, in the units of its view box.
WIDTH: Final = 1000
HEIGHT: Final = 240


@dataclass(frozen=True, slots=True)
class Area:
    """One band of a stacked chart: its points as SVG writes them, and its last value."""

    name: str
    points: str
    last: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: where it is and how long, in thousandths of the longest."""

    name: str
    value: int
    width: float


def areas(series: Mapping[str, Sequence[int]]) -> tuple[list[Area], int]:
    """Stacked bands, the first at the bottom, and the highest sum.

    Args:
        series: as many values for each name; the first is the oldest.
    """
    length = max((len(values) for values in series.values()), default=0)
    below = [0] * length
    sums = [sum(values[index] for values in series.values()) for index in range(length)]
    top = max(sums, default=0)
    found = []
    for name, values in series.items():
        above = [low + value for low, value in zip(below, values, strict=True)]
        outline = [_point(i, y, length, top) for i, y in enumerate(above)]
        outline += [_point(i, y, length, top) for i, y in reversed(list(enumerate(below)))]
        found.append(Area(name, " ".join(outline), values[-1] if values else 0))
        below = above
    return found, top


def bars(values: Sequence[tuple[str, int]]) -> list[Bar]:
    """Bars, each as long as its share of the longest."""
    top = max((value for _, value in values), default=0)
    return [Bar(name, value, round(1000 * value / top, 1) if top else 0.0) for name, value in values]


def _point(index: int, value: int, length: int, top: int) -> str:
    x = WIDTH * index / max(1, length - 1)
    y = HEIGHT - (HEIGHT * value / top if top else 0)
    return f"{x:.1f},{y:.1f}"
