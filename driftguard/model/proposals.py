"""Pull requests, their approvals, and the source edits that would match reality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from driftguard.model.moments import is_ahead


class RequestState(StrEnum):
    """How far a pull request is."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One pull request (GitLab's merge request) from one of our branches.

    Attributes:
        number: what people call it by; GitLab's `iid`.
        branch, base: where it comes from and where it goes.
        head: the commit at the head of its branch, as the forge knows it.
        merge_commit: the commit that its merge made; None unless it is merged.
        ended_by, ended_at: who merged or closed it, and when (UTC); None if it is open or the forge does not report it.
    """

    number: int
    branch: str
    base: str
    state: RequestState
    title: str
    body: str
    url: str
    head: str
    merge_commit: str | None = None
    ended_by: str | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """One person's newest verdict on a pull request.

    Attributes:
        commit: what was reviewed.
        approves: approved, and neither dismissed nor taken back.
        may_write: whether the reviewer may push to the repository, by the forge's word now.
    """

    reviewer: str
    commit: str
    approves: bool
    may_write: bool


@dataclass(frozen=True, slots=True)
class MergedRequest:
    """A merged pull request that the forge names for a commit of the tracked branch.

    Attributes:
        author: who opened it; authors: every author of its commits that the forge knows.
        strangers: by commit of its branch, an address of its author or committer that no account has.
        head: the last commit of its branch, before the merge; head_ref: where the forge's git server keeps it.
        merge_commit: the commit of the tracked branch that the merge ended with.
        commit_count: how many commits its branch had: a rebase puts as many on the tracked branch.
        reviews: each reviewer's newest verdict.
        owned: for each of CODEOWNERS' rules that its files touch, the logins that may approve it; empty unless asked.
    """

    number: int
    url: str
    base: str
    author: str
    authors: tuple[str, ...]
    head: str
    merge_commit: str
    commit_count: int
    reviews: tuple[Review, ...]
    head_ref: str
    owned: tuple[frozenset[str], ...] = ()
    strangers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Departure:
    """One resource instance whose reality departed from its source.

    Attributes:
        desired, reality: the whole object as JSON values; None where it does not exist.
        attributes: the top-level attributes that departed; empty where the object itself is gone.
        sensitive: those of them that hold a secret: it is never adopted.
    """

    address: str
    type: str
    desired: Mapping[str, Any] | None = field(repr=False)
    reality: Mapping[str, Any] | None = field(repr=False)
    attributes: frozenset[str]
    sensitive: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why a value of reality cannot be adopted into the source.

    Attributes:
        path, line: where the value comes from (from the repository's root, counted from 1), where that is known.
        why: a sentence that goes on after the place; it holds no value.
    """

    address: str
    attribute: str
    why: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Adoption:
    """The edited files that match reality, by path from the repository's root; or the reasons against.

    Either `files` or `refusals` is empty: half of an adoption would not be in sync.
    """

    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    refusals: tuple[Refusal, ...] = ()


class ProposalState(StrEnum):
    """How far a proposal is.

    `opening` and `closing` are recorded before the forge is asked, so that a crash leaves no duplicate. `merged` waits
    for its outcome; `acknowledged` was closed by a person without merging; `done` and `void` are ends after a merge.
    """

    OPENING = "opening"
    OPEN = "open"
    MERGED = "merged"
    CLOSING = "closing"
    CLOSED = "closed"
    ACKNOWLEDGED = "acknowledged"
    DONE = "done"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class ProposedBranch:
    """One branch of a proposal.

    Attributes:
        choice: `revert` or `adopt`.
        commit: what it is to point at; replaces: what we may have left it at before, newest first.
    """

    choice: str
    name: str
    commit: str
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal for one environment.

    Attributes:
        id: of the approval file that its revert adds.
        branches: the preferred one, which the pull request is for, and the other where there is one.
        base: the branch that it is to be merged into.
        commit, closure_hash: what it was computed for.
        number, url: of the pull request; None before there is one.
        shown: digest of the title and text that the pull request has.
        refused: the reasons why reality cannot be adopted, if any.
        reason: why it ended, or why it was made anew; by, ended_at: who ended it, and when.
        merge_commit: what its merge made on the tracked branch, if the forge reports it.
    """

    id: str
    state: ProposalState
    branches: tuple[ProposedBranch, ...]
    base: str
    drift_fingerprint: str | None
    plan_fingerprint: str
    closure_hash: str
    commit: str
    proposed_at: datetime
    expires_at: datetime
    number: int | None = None
    url: str | None = None
    shown: str | None = None
    refused: tuple[str, ...] = ()
    reason: str | None = None
    by: str | None = None
    ended_at: datetime | None = None
    merge_commit: str | None = None

    def has_expired(self, now: datetime) -> bool:
        """Whether it approves nothing any more; nor does one that was made under a clock that was ahead."""
        return now >= self.expires_at or is_ahead(self.proposed_at, now)

    @property
    def preferred(self) -> ProposedBranch:
        """The branch that is opened as the pull request."""
        return self.branches[0]
