"""The functions of Terraform that file names are made with, over values of which parts may be unknown.

A value is a text, a list, an object or a bool; `HOLE` stands for what is not known, in a text or alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from posixpath import basename, dirname
from typing import Any, Final

HOLE: Final = "\0"
"""Stands for what is not known, in a text or alone."""


def as_text(value: Any) -> str:
    """A value where Terraform wants a text; `HOLE` for what is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else HOLE


def _joined(separator: str, *lists: Any) -> str:
    items = [item for each in lists for item in (each if isinstance(each, list) else [HOLE])]
    return as_text(separator).join(map(as_text, items))


def _formatted(text: str, *given: Any) -> str:
    values = iter(given)

    def one(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        value = next(values, HOLE)
        if match[0] in ("%s", "%v", "%d") and isinstance(value, (str, bool)):
            return as_text(value)
        return HOLE

    return re.sub(r"%(?:%|[-+ #0-9.\[\]*]*[a-zA-Z])", one, text)


def _replaced(text: str, old: str, new: str) -> str:
    if HOLE in text + old + new or (len(old) > 1 and old[0] == old[-1] == "/"):
        return HOLE
    return text.replace(old, new)


def _dirname(path: str) -> str:
    before, hole, _ = path.partition(HOLE)
    if hole:  # what is not known may hold further directories
        return f"{before.rpartition('/')[0]}/{HOLE}" if "/" in before else HOLE
    return dirname(path.rstrip("/") if len(path) > 1 else path) or "."


def _of_whole(function: Callable[..., str]) -> Callable[..., str]:
    def called(*given: str) -> str:
        return HOLE if any(HOLE in each for each in given) else function(*given)

    return called


def _merged(*maps: Any) -> Any:
    return {k: v for each in maps for k, v in each.items()}


def _flattened(value: Any) -> Any:
    return [item for each in value for item in (_flattened(each) if isinstance(each, list) else [each])]


def _looked_up(values: Any, key: str, default: Any = HOLE) -> Any:
    if not isinstance(values, dict) or key == HOLE:
        return HOLE
    return values.get(key, default)


def _same(value: Any, *_: Any) -> Any:
    return value


def _unique(items: Any) -> Any:
    return [item for n, item in enumerate(items) if item not in items[:n]] if isinstance(items, list) else HOLE


def _pathexpand(path: str) -> str:
    return f"/~{path[1:]}" if path.startswith("~") else path


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "join": _joined,
    "format": _formatted,
    "replace": _replaced,
    "dirname": _dirname,
    "basename": _of_whole(lambda path: basename(path.rstrip("/"))),
    "pathexpand": _pathexpand,
    "trimsuffix": _of_whole(lambda text, end: text.removesuffix(end) if end else text),
    "trimprefix": lambda text, start: text.removeprefix(start) if HOLE not in start else HOLE,
    "trimspace": lambda text: text.strip(),
    "chomp": lambda text: text.rstrip("\r\n"),
    "trim": _of_whole(lambda text, of: text.strip(of)),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": _of_whole(lambda text: text.title()),
    "split": lambda by, text: text.split(by) if HOLE not in text + by else HOLE,
    "concat": lambda *lists: [item for each in lists for item in (each if isinstance(each, list) else [HOLE])],
    "flatten": _flattened,
    "compact": lambda items: [item for item in items if item],
    "merge": _merged,
    "lookup": _looked_up,
    "element": lambda items, n: items[int(n) % len(items)],
    "keys": lambda values: sorted(values) if isinstance(values, dict) else HOLE,
    "values": lambda values: [values[key] for key in sorted(values)] if isinstance(values, dict) else HOLE,
    "zipmap": lambda keys, values: dict(zip(map(as_text, keys), values, strict=True)),
    "one": lambda items: items[0] if isinstance(items, list) else HOLE,
    "setunion": lambda *sets: _unique([item for each in sets for item in each]),
    "sort": lambda items: sorted(items) if isinstance(items, list) else HOLE,
    "reverse": lambda items: items[::-1] if isinstance(items, list) else HOLE,
    **dict.fromkeys(("distinct", "toset"), _unique),
    **dict.fromkeys(("tostring", "tolist", "tomap", "sensitive", "nonsensitive", "ephemeralasnull"), _same),
}
