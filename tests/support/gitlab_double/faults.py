"""What can go wrong between a client and GitLab, to be injected by tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.forge_server import Answer


@dataclass(eq=False)
class Refusal(Exception):
    """GitLab says no, in its two ways: `message` mostly, `error` where a parameter is wrong."""

    status: int
    said: Any
    key: str = "message"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        return {self.key: self.said}


def refused(status: int, said: Any) -> Answer:
    """A refusal as GitLab words it."""
    return Answer(status, json.dumps({"message": said}), content_type="application/json")


def limited(retry_after: str | None = "30", **headers: str) -> Answer:
    """The rate limit is used up; underscores in the names of headers stand for hyphens."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    if retry_after is not None:
        told["Retry-After"] = retry_after
    return Answer(429, "Retry later\n", told, content_type="text/plain")
