"""Placeholders in the texts of an entry, such as `{workspace}`; filled in for each environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

PLACEHOLDER: Final = re.compile(r"\{(name|path|dir|workspace|var_file|from(?:\.[A-Za-z0-9_-]+)+)\}")


def templated(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A check that a text with placeholders passes: what they give is checked once they are filled in."""

    def checked(value: Any) -> Any:
        return value if isinstance(value, str) and PLACEHOLDER.search(value) and value.isprintable() else check(value)

    return checked


def channel_filled(channel: str, values: Mapping[str, str]) -> str | None:
    """A channel with its placeholders filled in, by the letters that Slack takes; None where one has no value.

    An id (`{from.slack}` alone) is taken as it is.
    """
    if any(found[1] not in values for found in PLACEHOLDER.finditer(channel)):
        return None
    if not channel.startswith("#"):
        return PLACEHOLDER.sub(lambda found: values[found[1]], channel)
    return PLACEHOLDER.sub(lambda found: re.sub(r"[^a-z0-9_-]+", "-", values[found[1]].lower()), channel)
