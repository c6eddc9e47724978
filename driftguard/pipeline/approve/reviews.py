"""The reviews of a range's commits: the pull requests that the forge names for them, and whether a merge is one."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Protocol

from driftguard.errors import ForgeFault
from driftguard.model import MergedRequest
from driftguard.pipeline.approve.commits import Range, Reviewed, put_on_branch
from driftguard.ports import History, Merges, ReviewReader


class OwnCommits(Protocol):
    """The commits that DriftGuard made itself."""

    def own_commits(self) -> AbstractSet[str]:
        """Every commit of a proposal's branch, of any environment."""
        ...


class Reviews:
    """The reviews of one repository; the forge is asked once for each commit.

    Args:
        own: their authors are known, whatever address they have.
    """

    def __init__(self, forge: ReviewReader, history: History, merges: Merges, own: OwnCommits) -> None:
        self._forge, self._history, self._merges, self._own = forge, history, merges, own
        self._asked: dict[tuple[str, bool], tuple[MergedRequest, ...]] = {}

    def of(self, commits: Range, *, owners: bool) -> Mapping[str, Reviewed]:
        """By commit of a range, the forge's record of it, and of those that a rebase put there with it.

        Args:
            owners: read the code owners, too.
        """
        reviews = {}
        for commit in commits.touching:
            try:
                reviews[commit.sha] = self._reviewed(commit.sha, owners)
            except ForgeFault as fault:
                reviews[commit.sha] = Reviewed(fault=str(fault).rstrip("."))
        return reviews

    def _reviewed(self, sha: str, owners: bool) -> Reviewed:
        requests = self._requests(sha, owners)
        on_branch: tuple[str, ...] = ()
        named: dict[str, frozenset[int]] = {}
        if any(request.merge_commit != sha and request.commit_count > 1 for request in requests):
            on_branch = tuple(c.sha for c, _ in self._history.first_parents(None, self._history.head))
            for request in requests:
                if request.merge_commit in on_branch:
                    last = on_branch.index(request.merge_commit)
                    rebased = on_branch[last : last + request.commit_count]
                    named |= {each: frozenset(r.number for r in self._requests(each, owners)) for each in rebased}
        reviewed = Reviewed(requests, on_branch, named)
        unlike = {}
        for request in requests:
            put = put_on_branch(request, reviewed)
            if sha in put:
                why = self._merges.difference(put[-1], put[0], request.head, request.head_ref)
                if why is not None:
                    unlike[request.number] = why
        return replace(reviewed, unlike=unlike)

    def _requests(self, sha: str, owners: bool) -> tuple[MergedRequest, ...]:
        if (sha, owners) not in self._asked:
            found = self._forge.merged_with(sha, self._history.ref, owners=owners)
            self._asked[sha, owners] = tuple(map(self._without_ours, found))
        return self._asked[sha, owners]

    def _without_ours(self, request: MergedRequest) -> MergedRequest:
        if not request.strangers:
            return request
        ours = self._own.own_commits()
        return replace(request, strangers={sha: who for sha, who in request.strangers.items() if sha not in ours})
