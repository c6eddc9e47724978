"""The protection of a branch, as its forge reports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BranchProtection:
    """How far a branch is protected; None for each fact that the forge does not report.

    Attributes:
        direct_push: whether commits reach the branch without a request.
        force_push: whether its history can be rewritten.
        approvals: reviews that a request needs.
        dismisses_stale: whether a push to a request takes its reviews away.
        bypass: whether administrators, or others, are exempt.
    """

    direct_push: bool | None = None
    force_push: bool | None = None
    approvals: int | None = None
    dismisses_stale: bool | None = None
    bypass: bool | None = None


OPEN_BRANCH = BranchProtection(True, True, 0, False, True)
"""A branch without any protection."""
