"""How far GitHub protects a branch: its rulesets, which every reader sees, and the older rules of the branch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from driftguard.adapters.forges.github_access import GitHubAccess
from driftguard.errors import ForgeFault
from driftguard.model import OPEN_BRANCH, BranchProtection

if TYPE_CHECKING:
    from github.Repository import Repository

_T = TypeVar("_T")


class _Branch(Struct):
    protected: bool


class _Parameters(Struct):
    required_approving_review_count: int = 0
    dismiss_stale_reviews_on_push: bool = False


class _BranchRule(Struct):
    type: str
    parameters: _Parameters | None = None


class _Switch(Struct, frozen=True):
    enabled: bool = False


class _Reviews(Struct):
    required_approving_review_count: int = 0
    dismiss_stale_reviews: bool = False
    bypass_pull_request_allowances: dict[str, list[Any]] = {}


class _Classic(Struct):
    required_pull_request_reviews: _Reviews | None = None
    enforce_admins: _Switch = _Switch()
    allow_force_pushes: _Switch = _Switch()


def protection(access: GitHubAccess, branch: str) -> BranchProtection:
    """The protection of a branch; what only an administrator may see is None for other credentials.

    Raises:
        ForgeFault: GitHub was not reached, or the branch may not be seen.
    """
    what, name = f"read the protection of {branch}", quote(branch, safe="")
    with access.asking(what):
        repository = access.repository()
        protected = _read(repository, f"branches/{name}", _Branch).protected
        rules = _read(repository, f"rules/branches/{name}", list[_BranchRule])
    by_rules = _of_rules(rules)
    try:
        with access.asking(what):
            return _stricter(by_rules, _of_branch(_read(repository, f"branches/{name}/protection", _Classic)))
    except ForgeFault as fault:
        if not (fault.missing or fault.denied):
            raise
    if rules or not protected:
        return by_rules
    return BranchProtection()  # protected by rules that this credential may not see


def _read(repository: Repository, path: str, kind: type[_T]) -> _T:
    _, found = repository.requester.requestJsonAndCheck("GET", f"{repository.url}/{path}")
    return msgspec.convert(found, kind)


def _of_rules(rules: list[_BranchRule]) -> BranchProtection:
    """The protection that rulesets give; they do not report who is exempt."""
    if not rules:
        return OPEN_BRANCH
    kinds = {rule.type for rule in rules}
    requests = [rule.parameters or _Parameters() for rule in rules if rule.type == "pull_request"]
    return BranchProtection(
        direct_push=not kinds & {"pull_request", "update"},
        force_push="non_fast_forward" not in kinds,
        approvals=max((each.required_approving_review_count for each in requests), default=0),
        dismisses_stale=any(each.dismiss_stale_reviews_on_push for each in requests),
        bypass=None,
    )


def _of_branch(found: _Classic) -> BranchProtection:
    """The protection that the branch's own rules give."""
    reviews = found.required_pull_request_reviews
    exempt = reviews is not None and any(reviews.bypass_pull_request_allowances.values())
    return BranchProtection(
        direct_push=reviews is None,
        force_push=found.allow_force_pushes.enabled,
        approvals=reviews.required_approving_review_count if reviews else 0,
        dismisses_stale=reviews.dismiss_stale_reviews if reviews else False,
        bypass=exempt or not found.enforce_admins.enabled,
    )


def _stricter(rules: BranchProtection, branch: BranchProtection) -> BranchProtection:
    """Both hold: a push has to satisfy the rulesets and the branch's own rules."""
    if rules is OPEN_BRANCH:
        return branch
    return BranchProtection(
        direct_push=bool(rules.direct_push and branch.direct_push),
        force_push=bool(rules.force_push and branch.force_push),
        approvals=max(rules.approvals or 0, branch.approvals or 0),
        dismisses_stale=bool(rules.dismisses_stale or branch.dismisses_stale),
        bypass=branch.bypass if branch.bypass is False else None,
    )
