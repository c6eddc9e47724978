"""A double of GitHub's REST API on loopback, backed by real bare git repositories, as strict as GitHub is."""

from __future__ import annotations

from tests.world.forge_server import Answer, Fault, Hang, LostAnswer, Request, Reset
from tests.world.github_double.faults import Refusal, primary_limit, refused, secondary_limit, unicorn
from tests.world.github_double.openapi import Description, Unavailable
from tests.world.github_double.server import GitHubDouble
from tests.world.github_double.store import Pull, Repository

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
