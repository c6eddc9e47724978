"""The files of style and script, read once: nothing else is ever read for a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
#: What a static site needs: it has no script.
SITE: Final = ("app.css", "icon.svg")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file and its media type."""

    content: bytes
    type: str


def _read() -> Mapping[str, Asset]:
    found = sorted(files("driftguard.web").joinpath("static").iterdir(), key=lambda file: file.name)
    known = ((file, next((t for end, t in _TYPES.items() if file.name.endswith(end)), None)) for file in found)
    return {file.name: Asset(file.read_bytes(), type_) for file, type_ in known if type_ is not None}


ASSETS: Final[Mapping[str, Asset]] = _read()
