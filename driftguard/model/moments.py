"""Recorded moments, and a clock that was wrong when they were recorded."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

# More than clocks of machines that keep time differ by.
TOLERANCE: Final = timedelta(hours=1)


def is_ahead(recorded: datetime, now: datetime) -> bool:
    """Whether a recorded moment lies so far after now that the clock which gave it was wrong.

    What was to last from such a moment on, an approval or an acknowledgement, does not count: its end is wrong as well.
    """
    return recorded - now > TOLERANCE
