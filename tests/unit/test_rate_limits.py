"""A rate limit is recognised by its words, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from driftguard.adapters.process import Completed
from driftguard.adapters.ratelimits import is_rate_limit
from driftguard.adapters.terraform.diagnostics import Diagnostics, fault_from
from driftguard.model import ErrorKind

# As services word them.
LIMITS = [
    "You have triggered an abuse detection mechanism. Please retry your request again later.",
    "API rate limit exceeded for user ID 1. (But here's the good news: Authenticated requests get a higher limit.)",
    "GET https://api.github.com/orgs/acme: 403 API rate limit of 5000 still exceeded until 2026-11-28 [reset in 3m]",
    "You have exceeded a secondary rate limit and have been temporarily blocked from content creation.",
    "was submitted too quickly",
    "This endpoint has been requested too many times. Try again later.",
    "Error 403: Quota exceeded for quota metric 'Queries', rateLimitExceeded",
    "fatal: unable to access 'https://example.org/infra.git/': The requested URL returned error: 429",
    "429 Too Many Requests",
    "You are being rate limited.",
]
OTHERS = [
    "Resource not accessible by integration",
    "The requested URL returned error: 403",
    "expected rate_limit to be in the range (10 - 20000)",
    "rate limit must be greater than 10",
    "Forbidden",
    "403 Forbidden - Your account was suspended",
]


@pytest.mark.parametrize("text", LIMITS)
def test_the_words_of_a_rate_limit_are_known(text: str) -> None:
    assert is_rate_limit(text)
    assert kind_of(f"Error: 403 Forbidden: {text}") is ErrorKind.THROTTLED


@pytest.mark.parametrize("text", OTHERS)
def test_other_refusals_are_no_rate_limit(text: str) -> None:
    assert not is_rate_limit(text)
    assert kind_of(text) is not ErrorKind.THROTTLED


def kind_of(stderr: str) -> ErrorKind:
    done = Completed(1, stderr, timed_out=False, interrupted=False, killed=False, seconds=1.0)
    return fault_from(ErrorKind.PLAN, "terraform plan", done, Diagnostics(), 60).kind
