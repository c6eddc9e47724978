"""Whether the commits that an apply would realise are approved.

Takes facts of git and the approval settings; gives an `Approvals`. Pure. What is approved is the whole range from the
baseline to head, or nothing of it: an apply does everything that the plan says, so one commit holds all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from driftguard.model import Commit, Signature, SignedBy


@dataclass(frozen=True, slots=True)
class Range:
    """The commits between the baseline and head.

    Attributes:
        baseline_is_ancestor: False after history was rewritten; None without a baseline.
        touching: first-parent commits after the baseline that touch the closure, newest first. Without a baseline:
            the newest commit that touched each file of the closure.
    """

    baseline_is_ancestor: bool | None
    touching: tuple[Commit, ...]


@dataclass(frozen=True, slots=True)
class Approvals:
    """Whether an apply is approved.

    Attributes:
        reasons: stable names with details: why not, or on what it rests.
        by: who approved: for each commit its author and, where signatures are asked for, the signer.
    """

    approved: bool
    reasons: tuple[str, ...]
    by: tuple[Mapping[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.approved and not self.reasons:
            raise ValueError("what is not approved says why: without a reason nothing would hold it")


def judge_approvals(
    require: Literal["merged", "signed", "reviewed"], commits: Range, signatures: Mapping[str, SignedBy]
) -> Approvals:
    """Judge a range of commits.

    Args:
        require: what makes a commit approved.
        signatures: of each commit in the range, by its id; asked for only with `signed`.
    """
    if commits.baseline_is_ancestor is False:
        return Approvals(False, ("history_rewritten: the baseline is not an ancestor of head",))
    by = tuple(_who(commit, signatures.get(commit.sha)) for commit in commits.touching)
    match require:
        case "reviewed":
            return Approvals(False, ("review_not_available: approval by review cannot be checked yet",), by)
        case "signed":
            missing = _unsigned(commits, signatures)
            if missing:
                return Approvals(False, missing, by)
            return Approvals(True, (f"signed: {len(commits.touching)} commits by known signers",), by)
        case "merged":
            return Approvals(True, (f"merged: {len(commits.touching)} commits on the tracked branch",), by)
        case _:
            assert_never(require)


def _unsigned(commits: Range, signatures: Mapping[str, SignedBy]) -> tuple[str, ...]:
    if commits.baseline_is_ancestor is None and not commits.touching:
        return ("not_signed: no commit is known that made this environment",)
    missing = []
    for commit in commits.touching:
        signature = signatures.get(commit.sha, SignedBy(Signature.UNSIGNED))
        if signature.status is not Signature.GOOD:
            whose = f" by {signature.signer}" if signature.signer else ""
            missing.append(f"not_signed: {commit.sha[:10]} of {commit.author} is {signature.status}{whose}")
    return tuple(missing)


def _who(commit: Commit, signature: SignedBy | None) -> dict[str, str]:
    who = {"commit": commit.sha, "author": commit.author, "subject": commit.subject}
    if signature is not None:
        who |= {"signature": signature.status.value, "signer": signature.signer or ""}
    return who
