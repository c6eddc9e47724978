"""Pull requests, what approves them, and what the source would have to say for reality to be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


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
        ended_by, ended_at: who merged or closed it, and when (UTC); None where it is open or the forge does not tell.
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
        author: who opened it; authors: everybody whom the forge knows as an author of one of its commits.
        head: the last commit of its branch, before the merge.
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
    owned: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True, slots=True)
class Departure:
    """One resource instance whose reality departed from what its source says.

    Attributes:
        desired, reality: the whole object as JSON values; None where it does not exist.
        attributes: the top-level attributes that departed; empty where the object itself is gone.
        sensitive: those of them that hold something secret: it is never written down.
    """

    address: str
    type: str
    desired: Mapping[str, Any] | None = field(repr=False)
    reality: Mapping[str, Any] | None = field(repr=False)
    attributes: frozenset[str]
    sensitive: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something that reality says cannot be written into the source.

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
    """The files that say what reality is, by path from the repository's root; or why they cannot be made.

    Either `files` or `refusals` is empty: half of an adoption would not be in sync.
    """

    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    refusals: tuple[Refusal, ...] = ()
