"""The words by which services refuse for a rate limit, whatever status they give it: GitHub's is often 403."""

from __future__ import annotations

import re
from typing import Final

#: Where a service names no time: "a few minutes", its limits count by the minute.
WAIT_SECONDS: Final = 60.0

_WORDS: Final = re.compile(
    r"rate.?limit(?:s|ed|ing)?\b.{0,40}?(?:exceeded|hit|reached)|exceeded.{0,40}?rate.?limit|secondary (?:rate )?limit"
    r"|being rate.?limited|rate.?limit.?exceeded|abuse (?:detection|rate)|too many requests|requested too many times"
    r"|submitted too quickly|error: 429\b",
    re.IGNORECASE,
)


def is_rate_limit(text: str) -> bool:
    """Whether a refusal's words are those of a rate limit and not those of a missing permission."""
    return _WORDS.search(text) is not None
