"""Merged requests on GitLab: the commits that they made, their authors and their approvals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeVar

from driftguard.adapters.forges.gitlab_access import GitLabAccess
from driftguard.adapters.forges.gitlab_shapes import (
    ApprovalList,
    ApprovalState,
    DiffVersion,
    GivenApproval,
    Member,
    MergeRequest,
    Note,
    PeopleAnswer,
    RequestCommit,
    User,
)
from driftguard.errors import ForgeFault
from driftguard.model import MergedRequest, Review
from driftguard.ports import ReviewReader

_T = TypeVar("_T")
_DEVELOPER: Final = 30
# GitLab's account in the place of deleted ones.
_GONE: Final = "ghost"
# GitLab's own words, which are the same in every language it speaks.
_APPROVED: Final = "approved this merge request"
_PEOPLE: Final = """
query($path: ID!, $iid: String!, $after: String) {
  project(fullPath: $path) {
    mergeRequest(iid: $iid) {
      committers(first: 100) { nodes { username } pageInfo { hasNextPage } }
      commits(first: 100, after: $after) { nodes { author { username } } pageInfo { hasNextPage endCursor } }
    }
  }
}
"""
_PUSHED: Final = re.compile(r"added \d+ (?:new )?commits?\b")
_CO_AUTHOR: Final = re.compile(r"^co-authored-by:\s*([^<\n]*)<([^>\n]+)>\s*$", re.IGNORECASE | re.MULTILINE)
_NOREPLY: Final = re.compile(r"(?:(\d+)-)?([^@+]+)@users\.noreply\.")


class GitLabReviews(ReviewReader):
    """Reads reviews on GitLab, and nothing else."""

    def __init__(self, access: GitLabAccess) -> None:
        self._access = access

    def merged_with(self, commit: str, base: str, *, owners: bool = False) -> tuple[MergedRequest, ...]:
        """The merged requests into `base` that GitLab names for a commit, by number."""
        return merged_requests(self._access, commit, base, owners=owners)


def merged_requests(access: GitLabAccess, commit: str, base: str, *, owners: bool) -> tuple[MergedRequest, ...]:
    """The merged requests into `base` that GitLab names for a commit, by number.

    Raises:
        ForgeFault: something could not be read, so what was approved is unknown.
    """
    what = f"list the merge requests of {commit[:12]}"
    project = access.project()
    numbers = sorted(
        request.iid
        for request in access.each(what, f"repository/commits/{commit}/merge_requests", MergeRequest)
        if request.state == "merged" and request.target_branch == base and request.target_project_id == project
    )
    return tuple(_MergedOnGitLab(access, number).request(owners=owners) for number in numbers)


class _MergedOnGitLab:
    """Reads one merged request, as far as needed."""

    def __init__(self, access: GitLabAccess, number: int) -> None:
        self._access, self._path = access, f"merge_requests/{number}"
        self._what = f"read merge request !{number}"
        self._request = access.get(self._what, self._path, MergeRequest)
        self._approvals = access.get(self._what, f"{self._path}/approvals", ApprovalList).approved_by
        self._notes = [note for note in self._each("notes", Note) if note.system]

    def request(self, *, owners: bool) -> MergedRequest:
        request, refs = self._request, self._request.diff_refs
        head = (refs.head_sha if refs is not None else None) or request.sha or ""
        commits = self._each("commits", RequestCommit)
        return MergedRequest(
            number=request.iid,
            url=request.web_url,
            base=request.target_branch,
            author=request.author.username if request.author is not None else _GONE,
            authors=self._authors(commits),
            head=head,
            merge_commit=request.ends_with,
            commit_count=len(commits),
            reviews=self._reviews(head),
            head_ref=f"refs/merge-requests/{request.iid}/head",
            owned=self._owned() if owners else (),
        )

    def _authors(self, commits: Sequence[RequestCommit]) -> tuple[str, ...]:
        """Its opener, everyone who pushed to it, and its commits' authors: by account, and as the commits name them.

        An author without an account (a co-author, an unknown address) may still be one of the approvers by name.
        """
        people = [self._request.author.username] if self._request.author is not None else []
        people += self._accounts()
        people += [note.author.username for note in self._notes if note.author and _PUSHED.match(note.body)]
        named = [name for commit in commits for name in _named(commit)]
        known = {name.casefold() for name in named}
        approvers = [approval.user for approval in self._approvals if approval.user is not None]
        people += [user.username for user in approvers if _is_among(user, known)]
        return tuple(dict.fromkeys(name for name in (*people, *named) if name))

    def _accounts(self) -> list[str]:
        """The accounts of its commits, which GitLab finds by addresses that only it knows."""
        found: list[str] = []
        after: str | None = None
        while True:
            variables = {"iid": str(self._request.iid), "after": after}
            project = self._access.query(self._what, _PEOPLE, variables, PeopleAnswer).project
            people = project.merge_request if project is not None else None
            if people is None or people.commits is None or people.committers is None:
                raise ForgeFault(
                    f"GitLab does not give the authors of merge request !{self._request.iid}, so it is unknown who "
                    "may approve it. Check that the token of `forge` has the scope `api`."
                )
            if people.committers.page_info.has_next_page:
                raise ForgeFault(
                    f"Merge request !{self._request.iid} has commits of more than 100 people, which is more than is "
                    "looked through. Approve this range in another way."
                )
            found += [account.username for account in people.committers.nodes]
            found += [commit.author.username for commit in people.commits.nodes if commit.author is not None]
            page = people.commits.page_info
            if not page.has_next_page:
                return found
            if page.end_cursor in (None, after):
                raise ForgeFault(f"GitLab's list of the commits of merge request !{self._request.iid} does not end.")
            after = page.end_cursor

    def _reviews(self, head: str) -> tuple[Review, ...]:
        """An approval is of the branch at its time: a later push makes it one of an older commit."""
        versions = sorted(self._each("versions", DiffVersion), key=lambda version: (version.created_at, version.id))
        reviews = []
        for approval in self._approvals:
            if approval.user is None:
                continue
            commit = _approved(self._when(approval), versions, head)
            reviews.append(
                Review(approval.user.username, commit, approves=True, may_write=self._may_write(approval.user))
            )
        return tuple(reviews)

    def _when(self, approval: GivenApproval) -> datetime | None:
        """The time of an approval that stands; None where GitLab does not give it."""
        if approval.approved_at is not None or approval.user is None:
            return approval.approved_at
        given = [
            note.created_at
            for note in self._notes
            if note.body == _APPROVED and note.author is not None and note.author.id == approval.user.id
        ]
        return max(given, default=None)

    def _may_write(self, user: User) -> bool:
        try:
            member = self._access.get(self._what, f"members/all/{user.id}", Member)
        except ForgeFault as fault:
            if fault.missing:
                return False
            raise
        return member.access_level >= _DEVELOPER and member.state == member.membership_state == "active"

    def _owned(self) -> tuple[frozenset[str], ...]:
        """The code owners' rules. Without a licence for them they are unknown, so that no approval suffices."""
        try:
            state = self._access.get(self._what, f"{self._path}/approval_state", ApprovalState)
        except ForgeFault as fault:
            if fault.missing:
                return (frozenset(),)
            raise
        return tuple(
            frozenset(user.username for user in rule.eligible_approvers)
            for rule in state.rules
            if rule.rule_type == "code_owner"
        )

    def _each(self, what: str, kind: type[_T]) -> list[_T]:
        return list(self._access.each(self._what, f"{self._path}/{what}", kind))


def _approved(at: datetime | None, versions: Sequence[DiffVersion], head: str) -> str:
    """The commit that was approved at a time; empty where that is unknown.

    Args:
        versions: oldest first.
        head: the last commit of the branch, as the merge request has it.
    """
    if at is None or not versions:
        return ""
    newest = versions[-1]
    if at > newest.created_at:
        return head if newest.head_commit_sha == head else ""
    before = [version.head_commit_sha for version in versions[:-1] if version.created_at < at]
    # The same commit was approved when it was to be merged elsewhere: that is not what was merged.
    return before[-1] if before and before[-1] != head else ""


def _named(commit: RequestCommit) -> list[str]:
    """Everyone whom a commit names, by name and by address."""
    co_authors = [word.strip() for pair in _CO_AUTHOR.findall(commit.message) for word in pair]
    return [
        name
        for name in (
            commit.author_name,
            commit.author_email,
            commit.committer_name,
            commit.committer_email,
            *co_authors,
        )
        if name
    ]


def _is_among(user: User, known: set[str]) -> bool:
    """Whether one of the names and addresses is an account's, as far as can be seen from outside GitLab."""
    if user.name.casefold() in known or user.username.casefold() in known:
        return True
    hidden = [match for match in map(_NOREPLY.match, known) if match]
    return any(match[1] == str(user.id) or match[2] == user.username.casefold() for match in hidden)
