"""How far GitLab protects a branch: its protected branches, and the approvals of the project where it has them."""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec import Struct

from driftguard.adapters.forges.gitlab_access import GitLabAccess
from driftguard.errors import ForgeFault
from driftguard.model import OPEN_BRANCH, BranchProtection

_NO_ACCESS = 0


class _Access(Struct):
    access_level: int | None = None


class _Protected(Struct):
    name: str
    push_access_levels: list[_Access] = []
    allow_force_push: bool = False


class _Approvals(Struct):
    reset_approvals_on_push: bool = False


class _ApprovalNeed(Struct):
    approvals_required: int = 0


def protection(access: GitLabAccess, branch: str) -> BranchProtection:
    """The protection of a branch; approvals are None where the project has none (GitLab Free).

    Raises:
        ForgeFault: GitLab was not reached, or the token may not ask.
    """
    what = f"read the protection of {branch}"
    protected = access.each(what, "protected_branches", _Protected)
    found = [each for each in protected if fnmatchcase(branch, each.name)]
    if not found:
        return OPEN_BRANCH
    # Where several match, GitLab lets through what any of them allows.
    pushes = any(level.access_level != _NO_ACCESS for each in found for level in each.push_access_levels)
    forced = any(each.allow_force_push for each in found)
    approvals, resets = _approvals(access)
    return BranchProtection(pushes, forced and pushes, approvals, resets, bypass=False)


def _approvals(access: GitLabAccess) -> tuple[int | None, bool | None]:
    """How many approvals a merge request needs, and whether a push resets them; None twice on GitLab Free."""
    try:
        settings = access.get("read the approval settings", "approvals", _Approvals)
        rules = list(access.each("read the approval rules", "approval_rules", _ApprovalNeed))
    except ForgeFault as fault:
        if fault.missing or fault.denied:
            return None, None
        raise
    return max((rule.approvals_required for rule in rules), default=0), settings.reset_approvals_on_push
