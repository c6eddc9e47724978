"""What can go wrong between a client and GitHub, to be injected by tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.forge_server import Answer


@dataclass(eq=False)
class Refusal(Exception):
    """GitHub says no."""

    status: int
    message: str
    errors: tuple[dict[str, Any] | str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        said: dict[str, Any] = {"message": self.message, "documentation_url": "https://docs.github.com/rest"}
        if self.errors:
            said["errors"] = list(self.errors)
        return said


def refused(status: int, message: str, **headers: str) -> Answer:
    """A refusal as GitHub words it; underscores in the names of headers stand for hyphens."""
    body = json.dumps({"message": message, "documentation_url": "https://docs.github.com/rest"})
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def secondary_limit(seconds: int | None = 30, status: int = 403) -> Answer:
    """Too much at once; without seconds GitHub names no time."""
    headers = {} if seconds is None else {"retry_after": str(seconds)}
    message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    return refused(status, message, **headers)


def primary_limit(reset_in_seconds: int = 1200, status: int = 403) -> Answer:
    """The hour's requests are used up."""
    answer = refused(
        status, "API rate limit exceeded for user ID 1.", x_ratelimit_limit="5000", x_ratelimit_remaining="0"
    )
    return replace(answer, reset_in_seconds=reset_in_seconds)


def unicorn(status: int = 502) -> Answer:
    """The page of an overloaded GitHub."""
    return Answer(status, "<html><title>Unicorn! &middot; GitHub</title></html>", content_type="text/html")
