"""The forge (GitHub, GitLab, a plain git server): reading requests, writing requests, reviews of merged ones.

A request is a pull request, or a merge request on GitLab. Every method raises `ForgeFault` when the outcome is unknown.
"""

from __future__ import annotations

from typing import Protocol

from driftguard.model import BranchProtection, MergedRequest, PullRequest


class RequestReader(Protocol):
    """Reads the pull requests of one repository."""

    def requests(self, branch: str) -> tuple[PullRequest, ...]:
        """Every pull request from one branch of the repository itself, in whatever state, newest first."""
        ...

    def open_requests(self, prefix: str) -> tuple[PullRequest, ...]:
        """Open pull requests from branches of the repository itself that begin with a prefix, oldest first."""
        ...

    def compare_url(self, base: str, branch: str) -> str | None:
        """The page where one click opens a pull request from a branch; None where the forge has none."""
        ...


class RequestWriter(Protocol):
    """Opens, updates and closes pull requests of one repository.

    Attributes:
        longest_title, longest_body: the limits of the forge, in characters.
    """

    longest_title: int
    longest_body: int

    def open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request; the one that is open from this branch already, as it is, where there is one."""
        ...

    def update(self, number: int, title: str, body: str) -> None:
        """Give an open pull request another title and text."""
        ...

    def comment(self, number: int, text: str, mark: str) -> None:
        """Comment on a pull request, unless one of our comments there holds the mark (an HTML comment) already."""
        ...

    def close(self, number: int) -> None:
        """Close a pull request without merging it; nothing if it is closed or merged."""
        ...


class RequestForge(RequestReader, RequestWriter, Protocol):
    """Both: what a proposal needs of the forge."""


class ReviewReader(Protocol):
    """Reads the reviews of merged pull requests."""

    def merged_with(self, commit: str, base: str, *, owners: bool = False) -> tuple[MergedRequest, ...]:
        """The merged pull requests into `base` that the forge names for a commit.

        Args:
            owners: read the code owners, too.
        """
        ...


class ProtectionReader(Protocol):
    """Reads how far a branch is protected."""

    def protection(self, branch: str) -> BranchProtection:
        """The protection of a branch, as far as the credential may see it."""
        ...


class HostedForge(RequestForge, ReviewReader, ProtectionReader, Protocol):
    """A service that hosts repositories: requests, reviews, protection, and a token for git."""

    @property
    def reviews(self) -> ReviewReader:
        """The same service as far as it reads: nothing that it holds opens or changes a request."""
        ...

    def caveat(self) -> str | None:
        """What the credential cannot do although its permissions suffice, in one clause; None where there is nothing.

        Raises:
            ForgeFault: the service does not name the owner of the credential.
        """
        ...

    def token(self) -> str:
        """What git may fetch and push with, asked for each command: it may expire."""
        ...
