"""Placeholders in the texts of an entry, such as `{workspace}`; filled in for each environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

PLACEHOLDER: Final = re.compile(r"\{(name|path|dir|workspace|var_file|from(?:\.[A-Za-z0-9_-]+)+)\}")


def templated(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A check that a text with placeholders passes: what they give is checked once they are filled in."""

    def checked(value: Any) -> Any:
        return value if isinstance(value, str) and PLACEHOLDER.search(value) and value.isprintable() else check(value)

    return checked
