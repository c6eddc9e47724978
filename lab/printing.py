"""Values as a report shows them, in one form for both sides of a comparison."""

from __future__ import annotations

import json
from typing import Any, Final

from lab.configuration import Moment
from lab.truth import ABSENT
from lab.wire import UNKNOWN

HIDDEN: Final = '"(sensitive)"'
_MOMENT: Final = '"a moment"'


def printed(value: Any) -> str:
    """A value on one line: elements in one order, numbers as their digits, `absent` for what is not there."""
    if isinstance(value, Moment):
        return _MOMENT
    if value is ABSENT:
        return '"absent"'
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if value is UNKNOWN:
        return None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((_plain(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(int(value) if float(value).is_integer() and not isinstance(value, int) else value)
    return value
