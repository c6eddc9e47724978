"""Badges as SVG: a label, the verdict in words and in a colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from driftguard.printable import one_line

# Dark enough for white letters: a contrast of 4.5 at least.
_COLOURS: Final[Mapping[str, str]] = {
    "in_sync": "#1a7f37",
    "pending": "#0a5cc2",
    "drifted": "#b02a00",
    "diverged": "#8e1a8e",
    "unknown": "#57606a",
}
_LABEL: Final = "driftguard"
_CHARACTER: Final = 6.6
_PAD: Final = 12


def badge_svg(text: str, verdict: str) -> str:
    """A badge: `driftguard`, and beside it a text in the colour of a verdict."""
    shown = one_line(text)
    left, right = round(len(_LABEL) * _CHARACTER) + _PAD, round(len(shown) * _CHARACTER) + _PAD
    title = f"{_LABEL}: {shown}"
    font = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" fill="#fff" text-anchor="middle"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f"aria-label={quoteattr(title)}><title>{escape(title)}</title>"
        f'<rect width="{left}" height="20" fill="#3d444d"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_COLOURS.get(verdict, "#57606a")}"/>'
        f'<g {font}><text x="{left / 2}" y="14">{_LABEL}</text>'
        f'<text x="{left + right / 2}" y="14">{escape(shown)}</text></g></svg>\n'
    )
