"""A double of GitLab's REST API on loopback, backed by real bare git repositories, which answers in recorded shapes."""

from __future__ import annotations

from tests.support.forge_server import Answer, Fault, Hang, LostAnswer, Request, Reset
from tests.support.gitlab_double.faults import Refusal, limited, refused
from tests.support.gitlab_double.server import GitLabDouble
from tests.support.gitlab_double.store import MergeRequest, Project, User

__all__ = [
    "Answer",
    "Fault",
    "GitLabDouble",
    "Hang",
    "LostAnswer",
    "MergeRequest",
    "Project",
    "Refusal",
    "Request",
    "Reset",
    "User",
    "limited",
    "refused",
]
