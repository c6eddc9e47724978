"""Whether the commits that an apply would realise are approved.

Takes facts of git and the approval settings; gives an `Approvals`. Pure. What is approved is the whole range from the
approved point to head, or nothing of it: an apply does everything in the plan, so one commit holds all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, assert_never

from driftguard.model import Commit, MergedRequest, Review, Signature, SignedBy
from driftguard.model.reasons import Reason, ReasonName
from driftguard.model.words import plural


@dataclass(frozen=True, slots=True)
class Range:
    """The commits between the approved point and head.

    Attributes:
        is_ancestor: whether the approved point is an ancestor of head: False after history was rewritten; None without
            such a point.
        touching: first-parent commits after it that touch the closure or change the environment's settings, newest
            first. Without such a point: the newest commit that touched each file of the closure.
        returned: there were such commits, and head holds again exactly what was approved, as after a revert.
    """

    is_ancestor: bool | None
    touching: tuple[Commit, ...]
    returned: bool = False


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The forge's record of how a commit came onto the tracked branch.

    Attributes:
        requests: the merged pull requests that it names for the commit.
        on_branch: the tracked branch's first-parent commits, newest first, as far back as they were asked for.
        named: for the commits of a rebase, which pull requests the forge names for each: their numbers.
        unlike: by request number, why what its merge put on the branch is not what was approved.
        fault: why it could not be asked; None when it could.
    """

    requests: tuple[MergedRequest, ...] = ()
    on_branch: tuple[str, ...] = ()
    named: Mapping[str, frozenset[int]] = field(default_factory=dict)
    unlike: Mapping[int, str] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Approvals:
    """Whether an apply is approved.

    Attributes:
        reasons: why not, or on what it rests.
        by: who approved: for each commit its author and, where signatures are asked for, the signer.
    """

    approved: bool
    reasons: tuple[Reason, ...]
    by: tuple[Mapping[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.approved and not self.reasons:
            raise ValueError("a range that is not approved needs a reason: without one nothing would hold it")


def judge_approvals(
    require: Literal["merged", "signed", "reviewed"],
    commits: Range,
    signatures: Mapping[str, SignedBy],
    reviews: Mapping[str, Reviewed] | None = None,
    wanted: int = 1,
) -> Approvals:
    """Judge a range of commits.

    Args:
        require: what makes a commit approved.
        signatures: of each commit in the range, by its id; asked for only with `signed`.
        reviews: the forge's record of each commit in the range, by its id; None where no forge is configured.
        wanted: how many reviewers have to approve.
    """
    if commits.is_ancestor is False:
        rewritten = Reason(ReasonName.HISTORY_REWRITTEN, "the approved point is not an ancestor of head")
        return Approvals(False, (rewritten,))
    by = tuple(_who(commit, signatures.get(commit.sha)) for commit in commits.touching)
    count = len(commits.touching)
    match require:
        case "reviewed":
            missing = _unreviewed(commits, reviews, wanted)
            if missing:
                return Approvals(False, missing, by)
            return Approvals(True, (Reason(ReasonName.REVIEWED, f"{plural(count, 'commit')} by pull requests"),), by)
        case "signed":
            missing = _unsigned(commits, signatures)
            if missing:
                return Approvals(False, missing, by)
            return Approvals(True, (Reason(ReasonName.SIGNED, f"{plural(count, 'commit')} by known signers"),), by)
        case "merged":
            return Approvals(True, (Reason(ReasonName.MERGED, f"{plural(count, 'commit')} on the tracked branch"),), by)
        case _:
            assert_never(require)


def _unsigned(commits: Range, signatures: Mapping[str, SignedBy]) -> tuple[Reason, ...]:
    if commits.is_ancestor is None and not commits.touching:
        return (Reason(ReasonName.NOT_SIGNED, "no commit is known that made this environment"),)
    missing: list[Reason] = []
    for commit in commits.touching:
        signature = signatures.get(commit.sha, SignedBy(Signature.UNSIGNED))
        if signature.status is not Signature.GOOD:
            whose = f" by {signature.signer}" if signature.signer else ""
            what = f"{commit.sha[:10]} of {commit.author} is {signature.status}{whose}"
            missing.append(Reason(ReasonName.NOT_SIGNED, what))
    return tuple(missing)


def _unreviewed(commits: Range, reviews: Mapping[str, Reviewed] | None, wanted: int) -> tuple[Reason, ...]:
    if reviews is None:
        return (Reason(ReasonName.REVIEW_NOT_AVAILABLE, "no `forge` is configured that could be asked"),)
    if commits.is_ancestor is None and not commits.touching:
        return (Reason(ReasonName.NOT_REVIEWED, "no commit is known that made this environment"),)
    missing: dict[Reason, None] = {}
    for commit in commits.touching:
        why = _not_reviewed(commit, reviews.get(commit.sha, Reviewed()), wanted)
        if why is not None:
            missing.setdefault(Reason(ReasonName.NOT_REVIEWED, why))
    return tuple(missing)


def _not_reviewed(commit: Commit, reviewed: Reviewed, wanted: int) -> str | None:
    """Why a commit does not count as reviewed; None when it does."""
    what = f"{commit.sha[:10]} of {commit.author}"
    if reviewed.fault is not None:
        return f"{what} could not be checked: {reviewed.fault}"
    produced = [request for request in reviewed.requests if commit.sha in put_on_branch(request, reviewed)]
    if not produced:
        return f"{what} came with no pull request that the forge can name"
    if len(produced) > 1:
        return f"{what} came with several pull requests: {', '.join(f'#{r.number}' for r in produced)}"
    (request,) = produced
    if request.number in reviewed.unlike:
        return f"{what} is not #{request.number} as it was approved: {reviewed.unlike[request.number]}"
    return _not_approved(request, wanted)


def _not_approved(request: MergedRequest, wanted: int) -> str | None:
    """Why a merged pull request does not count as approved; None when it does."""
    if request.strangers:
        who = ", ".join(sorted(set(request.strangers.values())))
        return f"#{request.number} has commits of {who}, whom the forge knows no account of"
    # Forges take names without regard to case, and may spell one in two ways.
    own = {name.casefold() for name in (request.author, *request.authors)}
    on_the_last = [r for r in request.reviews if r.approves and r.commit == request.head and r.may_write]
    approving = {review.reviewer.casefold() for review in on_the_last} - own
    if len(approving) < wanted:
        approvals = f"{len(approving)} of {wanted} approvals on its last commit"
        return f"#{request.number} has {approvals}{_left_out(request, approving, own)}"
    unowned = sum(approving.isdisjoint(map(str.casefold, owners)) for owners in request.owned)
    if unowned:
        return f"#{request.number} lacks an owner's approval for {unowned} of CODEOWNERS' rules"
    return None


def _left_out(request: MergedRequest, approving: set[str], own: set[str]) -> str:
    """The approvals that do not count, and why; empty where there are none."""
    others = [r for r in request.reviews if r.approves and r.reviewer.casefold() not in approving]
    left_out = sorted({_why_not(review, request, own) for review in others})
    return f"; left out: {', '.join(left_out)}" if left_out else ""


def put_on_branch(request: MergedRequest, reviewed: Reviewed) -> tuple[str, ...]:
    """The commits that a pull request's merge put on the tracked branch, newest first: one, or those of a rebase."""
    if request.merge_commit in reviewed.on_branch:
        last = reviewed.on_branch.index(request.merge_commit)
        rebased = reviewed.on_branch[last : last + request.commit_count]
        # A squash puts one commit there, so that those before it belong to other requests: the forge names those.
        if rebased and all(request.number in reviewed.named.get(each, frozenset()) for each in rebased):
            return rebased
    return (request.merge_commit,)


def _why_not(review: Review, request: MergedRequest, own: set[str]) -> str:
    if review.reviewer.casefold() in own:
        return f"{review.reviewer} (an author)"
    return f"{review.reviewer} ({'an older commit' if review.commit != request.head else 'may not write'})"


def _who(commit: Commit, signature: SignedBy | None) -> dict[str, str]:
    who = {"commit": commit.sha, "author": commit.author, "subject": commit.subject}
    if signature is not None:
        who |= {"signature": signature.status.value, "signer": signature.signer or ""}
    return who
