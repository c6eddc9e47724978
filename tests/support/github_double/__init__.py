"""A double of GitHub's REST API on loopback, backed by real bare git repositories, as strict as GitHub is."""

from __future__ import annotations

from tests.support.forge_server import Answer, Fault, Hang, LostAnswer, Request, Reset
from tests.support.github_double.faults import Refusal, primary_limit, refused, secondary_limit, unicorn
from tests.support.github_double.openapi import Description, Unavailable
from tests.support.github_double.server import GitHubDouble
from tests.support.github_double.store import Pull, Repository

__all__ = [
    "Answer",
    "Description",
    "Fault",
    "GitHubDouble",
    "Hang",
    "LostAnswer",
    "Pull",
    "Refusal",
    "Repository",
    "Request",
    "Reset",
    "Unavailable",
    "primary_limit",
    "refused",
    "secondary_limit",
    "unicorn",
]
