"""The answers of GitLab's API, as far as they are read."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct


class User(Struct):
    """An account."""

    id: int
    username: str
    name: str = ""


class DiffRefs(Struct):
    """What a merge request's newest version compares."""

    head_sha: str | None = None


class MergeRequest(Struct):
    """A merge request; `iid` is its number in the project, and `locked` is being merged right now."""

    iid: int
    state: Literal["opened", "closed", "locked", "merged"]
    title: str
    web_url: str
    source_branch: str
    target_branch: str
    target_project_id: int
    source_project_id: int | None  # none once the fork is gone
    description: str | None = None
    author: User | None = None
    sha: str | None = None
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    merge_user: User | None = None  # from GitLab 14.7; `merged_by` before
    merged_by: User | None = None
    merged_at: datetime | None = None
    closed_by: User | None = None
    closed_at: datetime | None = None
    diff_refs: DiffRefs | None = None  # only of a single one

    @property
    def ends_with(self) -> str:
        """The commit that its merge put last on the target branch: a merge, a squash, or its own last one."""
        return self.merge_commit_sha or self.squash_commit_sha or self.sha or ""


class Note(Struct):
    """A comment; a `system` one is written by GitLab about an action of its author."""

    body: str
    system: bool
    created_at: datetime
    author: User | None = None


class RequestCommit(Struct):
    """One commit of a merge request."""

    id: str
    author_name: str = ""
    author_email: str = ""
    committer_name: str = ""
    committer_email: str = ""
    message: str = ""


class GivenApproval(Struct):
    """One approval; older servers give no time."""

    user: User | None
    approved_at: datetime | None = None


class ApprovalList(Struct):
    """The approvals that stand: those that were taken back or reset are gone."""

    approved_by: list[GivenApproval]


class DiffVersion(Struct):
    """The source branch after one push."""

    id: int
    head_commit_sha: str
    created_at: datetime


class Member(Struct):
    """One account's role in a project, inherited or not; 30 is Developer.

    Attributes:
        state: of the account: `active` unless it may do nothing any more.
        membership_state: `active` unless it is still to be confirmed; not every server has it.
    """

    access_level: int
    state: str = "active"
    membership_state: str = "active"


class ApprovalRule(Struct):
    """One approval rule of a merge request."""

    rule_type: str
    eligible_approvers: list[User]


class ApprovalState(Struct):
    """The approval rules of a merge request."""

    rules: list[ApprovalRule]


class Account(Struct):
    """An account, in GraphQL."""

    username: str


class Page(Struct, rename="camel"):
    """Whether a list of GraphQL goes on, and after what."""

    has_next_page: bool
    end_cursor: str | None = None


class Authored(Struct):
    """A commit's account, where its author's address is one of an account."""

    author: Account | None


class AuthoredPage(Struct, rename="camel"):
    """Some commits' accounts."""

    nodes: list[Authored]
    page_info: Page


class Committers(Struct, rename="camel"):
    """The accounts that added commits."""

    nodes: list[Account]
    page_info: Page


class People(Struct):
    """The accounts of a merge request's commits; None where the commits are gone."""

    commits: AuthoredPage | None
    committers: Committers | None


class ProjectPeople(Struct, rename="camel"):
    """The same, within its project."""

    merge_request: People | None


class PeopleAnswer(Struct):
    """The same, within the answer."""

    project: ProjectPeople | None
