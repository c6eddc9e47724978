"""Any git server as a forge: a pushed branch is the request, and merging it with git is the approval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from driftguard.model import Proposal, ProposalState, PullRequest, RequestState
from driftguard.ports import Branches, History, RequestReader, RequestWriter

_LONGEST: Final = 60_000


class PlainForge(RequestReader, RequestWriter):
    """Requests without a service: the state of a request is read from the branches.

    Args:
        branches: of the server; history: the tracked branch at head.
        known: the newest proposal that a branch of ours belongs to; None for one of no proposal.
        write: prints a request, which has no page.
    """

    longest_title = 200
    longest_body = _LONGEST

    def __init__(
        self,
        branches: Branches,
        history: History,
        known: Callable[[str], Proposal | None],
        write: Callable[[str], None],
    ) -> None:
        self._branches, self._history, self._known, self._write = branches, history, known, write

    def requests(self, branch: str) -> tuple[PullRequest, ...]:
        """The request that a branch is; empty for a branch of no proposal, or one that was never pushed."""
        proposal = self._known(branch)
        if proposal is None:
            return ()
        base, commit = proposal.base, next(each.commit for each in proposal.branches if each.name == branch)
        there = self._branches.listed(branch).get(branch)
        state = RequestState.OPEN
        if self._is_merged(commit):
            state = RequestState.MERGED
        elif there is None and proposal.state is ProposalState.OPENING:
            return ()  # it was never pushed
        elif there is None and self._branches.listed(base).get(base) == self._history.head:
            state = RequestState.CLOSED  # deleted without having been merged: a reviewer's no
        return (_request(branch, base, state, there or commit),)

    def open_requests(self, prefix: str) -> tuple[PullRequest, ...]:
        """The preferred branches of proposals that are on the server and not merged."""
        found = []
        for branch in self._branches.listed(prefix):
            proposal = self._known(branch)
            if proposal is None or branch != proposal.preferred.name or self._is_merged(proposal.preferred.commit):
                continue
            found.append(_request(branch, proposal.base, RequestState.OPEN, proposal.preferred.commit))
        return tuple(found)

    def open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Print the request, with the commands to approve or to refuse it."""
        self._print(branch, base, title, body)
        return _request(branch, base, RequestState.OPEN, "", title, body)

    def update(self, number: int, title: str, body: str) -> None:
        """Nothing: there is no page to change, the alert has the changes, and the commands stay as they are."""

    def comment(self, number: int, text: str, mark: str) -> None:
        """Print the text."""
        self._write(f"{text}\n")

    def close(self, number: int) -> None:
        """Nothing: the caller deletes its branch."""

    def compare_url(self, base: str, branch: str) -> str | None:
        """None: there is no page."""
        return None

    def _is_merged(self, commit: str) -> bool:
        return self._history.is_ancestor(commit, self._history.head)

    def _print(self, branch: str, base: str, title: str, body: str) -> None:
        self._write(
            f"{title}\n\n{body}\nTo approve it:\n"
            f"  git fetch origin {branch} && git switch {base} && git merge --no-edit FETCH_HEAD && git push\n"
            f"To refuse it:\n  git push origin --delete {branch}\n"
        )


def _request(branch: str, base: str, state: RequestState, head: str, title: str = "", body: str = "") -> PullRequest:
    # One request for each branch, so it needs no number of its own.
    return PullRequest(0, branch, base, state, title, body, "", head)
