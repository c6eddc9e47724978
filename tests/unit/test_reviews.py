"""Approval by review: a commit counts only with a pull request that others approved as it was merged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from driftguard.model import Commit, MergedRequest, Review
from driftguard.model.reasons import Reason, ReasonName
from driftguard.pipeline.approve.commits import Approvals, Range, Reviewed, judge_approvals

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
C1, C2, C3, OLD = ("1" * 40, "2" * 40, "3" * 40, "0" * 40)
COMMIT = Commit(C1, "Ada", NOON, "Change")
APPROVING = Review("bob", "head", approves=True, may_write=True)
REQUEST = MergedRequest(
    number=7,
    url="https://forge.example/7",
    base="main",
    author="ada",
    authors=("ada",),
    head="head",
    merge_commit=C1,
    commit_count=1,
    reviews=(APPROVING,),
    head_ref="refs/pull/7/head",
)


def judged(said: Reviewed | None, *, wanted: int = 1, commits: tuple[Commit, ...] = (COMMIT,)) -> Approvals:
    reviews = None if said is None else dict.fromkeys((commit.sha for commit in commits), said)
    return judge_approvals("reviewed", Range(True, commits), {}, reviews, wanted)


def why(said: Reviewed | None, *, wanted: int = 1) -> str:
    approvals = judged(said, wanted=wanted)
    assert not approvals.approved
    (reason,) = approvals.reasons
    return str(reason)


def test_a_pull_request_that_another_person_approved_as_it_was_merged_is_an_approval() -> None:
    assert judged(Reviewed((REQUEST,))) == Approvals(
        True,
        (Reason(ReasonName.REVIEWED, "1 commit by pull requests"),),
        ({"commit": C1, "author": "Ada", "subject": "Change"},),
    )


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (replace(REQUEST, reviews=()), "#7 has 0 of 1 approvals on its last commit"),
        (replace(REQUEST, reviews=(replace(APPROVING, commit="older"),)), "left out: bob (an older commit)"),
        (replace(REQUEST, reviews=(replace(APPROVING, may_write=False),)), "left out: bob (may not write)"),
        (replace(REQUEST, reviews=(replace(APPROVING, approves=False),)), "#7 has 0 of 1 approvals"),
        (replace(REQUEST, reviews=(replace(APPROVING, reviewer="ada"),)), "left out: ada (an author)"),
        (replace(REQUEST, authors=("ada", "bob")), "left out: bob (an author)"),
        (replace(REQUEST, owned=(frozenset({"eve"}),)), "lacks an owner's approval for 1 of CODEOWNERS' rules"),
        (replace(REQUEST, owned=(frozenset(),)), "lacks an owner's approval"),
        (replace(REQUEST, merge_commit=OLD), "came with no pull request"),
        (replace(REQUEST, strangers={OLD: "x@y.example"}), "#7 has commits of x@y.example, whom the forge knows no"),
    ],
)
def test_anything_missing_holds_and_is_named(request_: MergedRequest, sentence: str) -> None:
    assert sentence in why(Reviewed((request_,)))


def test_a_merge_that_holds_something_else_than_its_request_is_not_reviewed() -> None:
    assert "is not #7 as it was approved: it holds more" in why(Reviewed((REQUEST,), unlike={7: "it holds more"}))
    assert judged(Reviewed((REQUEST,), unlike={8: "it holds more"})).approved


def test_an_owners_approval_counts_for_its_rule() -> None:
    owned = replace(REQUEST, owned=(frozenset({"bob", "eve"}), frozenset({"bob"})))
    assert judged(Reviewed((owned,))).approved


def test_the_same_reviewer_counts_once() -> None:
    twice = replace(REQUEST, reviews=(APPROVING, APPROVING))
    assert "1 of 2 approvals" in why(Reviewed((twice,)), wanted=2)
    two = replace(REQUEST, reviews=(APPROVING, replace(APPROVING, reviewer="eve")))
    assert judged(Reviewed((two,)), wanted=2).approved


def test_a_direct_push_a_missing_answer_and_an_ambiguous_one_hold() -> None:
    assert "came with no pull request" in why(Reviewed())
    assert "came with several pull requests: #7, #8" in why(Reviewed((REQUEST, replace(REQUEST, number=8))))
    assert "could not be checked: GitHub is away" in why(Reviewed((REQUEST,), fault="GitHub is away"))
    assert why(None).startswith("review_not_available")


def test_one_commit_without_review_holds_all() -> None:
    other = replace(COMMIT, sha=C2)
    reviews = {C1: Reviewed((REQUEST,)), C2: Reviewed()}
    approvals = judge_approvals("reviewed", Range(True, (COMMIT, other)), {}, reviews)
    assert (approvals.approved, len(approvals.reasons)) == (False, 1)
    assert C2[:10] in approvals.reasons[0].detail


REBASED = replace(REQUEST, merge_commit=C1, commit_count=2)
ON_BRANCH = (C1, C2, C3)


def test_each_commit_of_a_rebase_came_with_its_pull_request() -> None:
    second = replace(COMMIT, sha=C2)
    named = {C1: frozenset({7}), C2: frozenset({7})}
    assert judged(Reviewed((REBASED,), ON_BRANCH, named), commits=(second,)).approved


@pytest.mark.parametrize(
    "said",
    [
        Reviewed((REBASED,), ON_BRANCH, {C1: frozenset({7}), C2: frozenset({8})}),  # it came with another
        Reviewed((REBASED,), ON_BRANCH, {C1: frozenset({7})}),  # the forge does not name it for both
        Reviewed((replace(REBASED, commit_count=1),), ON_BRANCH, {C1: frozenset({7}), C2: frozenset({7})}),
        Reviewed((REBASED,), (C1, C3, C2), {C1: frozenset({7}), C2: frozenset({7}), C3: frozenset({7})}),
        Reviewed((REBASED,), (C3, C2), {C1: frozenset({7}), C2: frozenset({7})}),  # its merge is not on the branch
    ],
)
def test_a_commit_that_only_stands_near_a_merge_did_not_come_with_it(said: Reviewed) -> None:
    assert not judged(said, commits=(replace(COMMIT, sha=C2),)).approved


def test_without_a_known_commit_nothing_is_reviewed() -> None:
    assert not judge_approvals("reviewed", Range(None, ()), {}, {}).approved
    assert not judge_approvals("reviewed", Range(False, ()), {}, {}).approved
