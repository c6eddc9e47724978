"""GitHub as a forge (PyGithub): pull requests of one repository, each opened, updated and closed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from driftguard.adapters.forges.access import AGAIN
from driftguard.adapters.forges.github_access import GitHubAccess, refusal_text
from driftguard.adapters.forges.github_protection import protection
from driftguard.adapters.forges.github_reviews import GitHubReviews, merged_requests
from driftguard.config.forge import Forge
from driftguard.errors import ForgeFault
from driftguard.model import BranchProtection, MergedRequest, PullRequest, RequestState
from driftguard.ports import HostedForge, ReviewReader

if TYPE_CHECKING:
    from github.IssueComment import IssueComment
    from github.NamedUser import NamedUser
    from github.PullRequest import PullRequest as Pull
    from github.Repository import Repository

_TIMEOUT_SECONDS: Final = 15
# GitHub asks for a second between writing requests.
_SECONDS_BETWEEN_WRITES: Final = 1.0


class GitHubForge(HostedForge):
    """Requests and reviews on github.com and GitHub Enterprise, with a token or as a GitHub App."""

    longest_title = 256
    longest_body = 65_536

    def __init__(
        self,
        settings: Forge,
        environ: Mapping[str, str],
        *,
        stopping: Callable[[], bool] = lambda: False,
        timeout_seconds: int = _TIMEOUT_SECONDS,
        seconds_between_writes: float = _SECONDS_BETWEEN_WRITES,
    ) -> None:
        """Read the credentials; nothing is asked of GitHub yet.

        Args:
            environ: where the variables are that the settings name.
            stopping: whether a stop was requested: no further request is made then.
            timeout_seconds: for one request; reading is tried three times.

        Raises:
            OperatorError: a credential is not there or not what it should be.
        """
        self._access = GitHubAccess(settings, environ, stopping, timeout_seconds, seconds_between_writes)
        self._label = settings.label
        self._us: tuple[str | None] | None = None

    @property
    def reviews(self) -> ReviewReader:
        """GitHub as far as reviews are read."""
        return GitHubReviews(self._access)

    def caveat(self) -> str | None:
        """That GitHub starts no checks for what the token of a workflow's job opens; None for another credential."""
        if self._access.login() is not None:
            return None
        return (
            "no check starts on pull requests of this token, which is a workflow's own (GITHUB_TOKEN): use a GitHub App"
        )

    def token(self) -> str:
        """What git may fetch and push with; an app's is renewed before it expires."""
        return self._access.token()

    def requests(self, branch: str) -> tuple[PullRequest, ...]:
        """Every pull request from one branch, newest first; forks left out."""
        what = f"list the pull requests from {branch}"
        with self._access.asking(what):
            repository = self._access.repository()
            return tuple(self._with_end(pull) for pull in self._pulls(what, repository, branch, "all"))

    def open_requests(self, prefix: str) -> tuple[PullRequest, ...]:
        """Open pull requests from branches with a prefix, oldest first; forks left out."""
        what = "list the open pull requests"
        with self._access.asking(what):
            repository = self._access.repository()
            pulls = repository.get_pulls(state="open", sort="created", direction="asc")
            return tuple(
                _converted(pull)
                for pull in self._access.each(what, pulls)
                if pull.head.ref.startswith(prefix) and _own(pull)
            )

    def open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request and label it; the open one from this branch, as it is, where there is one.

        Raises:
            ValueError: the title or the body is longer than GitHub takes.
        """
        self._check_lengths(title, body)
        what = f"open a pull request from {branch} into {base}"
        with self._access.asking(what):
            repository = self._access.repository()
        try:
            with self._access.asking(what, writes=True):
                pull = self._created(repository, branch, base, title, body)
        except ForgeFault as fault:
            if not fault.perhaps_done:
                raise
            pull = self._found_after(fault, repository, branch, base)
        if pull is None:
            pull = self._open_one(repository, branch, base)
        if pull is None:
            raise ForgeFault(
                f"A pull request from {branch} into {base} is open already by GitHub's answer, but it lists none. "
                f"{AGAIN}"
            )
        with self._access.asking(what, writes=True):
            found = _converted(pull)
        self._set_label(pull)
        return found

    def update(self, number: int, title: str, body: str) -> None:
        """Change the title and the text, where they differ."""
        self._check_lengths(title, body)
        what = f"update pull request #{number}"
        with self._access.asking(what):
            pull = self._access.repository().get_pull(number)
        if (pull.title, _lines(pull.body)) != (title, _lines(body)):
            with self._access.asking(what, writes=True):
                pull.edit(title=title, body=body)

    def comment(self, number: int, text: str, mark: str) -> None:
        """Comment, unless a comment of ours holds the mark already."""
        text = text if mark in text else f"{text}\n\n{mark}"
        self._check_lengths("", text)
        what = f"comment on pull request #{number}"
        with self._access.asking(what):
            pull = self._access.repository().get_pull(number)
        if self._commented(what, pull, mark):
            return
        try:
            with self._access.asking(what, writes=True):
                pull.create_issue_comment(text)
        except ForgeFault as fault:
            if not fault.perhaps_done or not self._commented_after(fault, what, pull, mark):
                raise

    def close(self, number: int) -> None:
        """Close it without merging; nothing if it is closed or merged."""
        what = f"close pull request #{number}"
        with self._access.asking(what):
            pull = self._access.repository().get_pull(number)
            if pull.state != "open":
                return
        with self._access.asking(what, writes=True):
            pull.edit(state="closed")

    def compare_url(self, base: str, branch: str) -> str | None:
        """GitHub's page for opening a pull request from a branch."""
        return f"{self._access.web}/{self._access.name}/compare/{quote(base)}...{quote(branch)}?expand=1"

    def merged_with(self, commit: str, base: str, *, owners: bool = False) -> tuple[MergedRequest, ...]:
        """The merged pull requests into `base` that GitHub names for a commit, by number."""
        return merged_requests(self._access, commit, base, owners=owners)

    def protection(self, branch: str) -> BranchProtection:
        """How far GitHub protects a branch, as far as the credential may see it."""
        return protection(self._access, branch)

    def _check_lengths(self, title: str, body: str) -> None:
        if len(title) > self.longest_title or len(body) > self.longest_body:
            raise ValueError(
                f"GitHub takes {self.longest_title} characters of title and {self.longest_body} of text; "
                f"these are {len(title)} and {len(body)}"
            )

    def _pulls(self, what: str, repository: Repository, branch: str, state: str) -> list[Pull]:
        """The pull requests from a branch of the repository itself, newest first."""
        pulls = repository.get_pulls(
            state=state, head=f"{repository.owner.login}:{branch}", sort="created", direction="desc"
        )
        # GitHub ignores a `head` that it does not understand, and one account may have forks of its own repository.
        return [pull for pull in self._access.each(what, pulls) if pull.head.ref == branch and _own(pull)]

    def _open_one(self, repository: Repository, branch: str, base: str) -> Pull | None:
        what = f"find the open pull request from {branch}"
        with self._access.asking(what):
            pulls = self._pulls(what, repository, branch, "open")
            return next((pull for pull in pulls if pull.base.ref == base), None)

    def _created(self, repository: Repository, branch: str, base: str, title: str, body: str) -> Pull | None:
        """The new pull request; None where there is an open one already."""
        from github import GithubException

        try:
            return repository.create_pull(base, branch, title=title, body=body)
        except GithubException as error:
            reason = refusal_text(error)
            if error.status == 422 and "already exists" in reason:
                return None
            if error.status == 422 and "head: invalid" in reason:
                raise ForgeFault(
                    f"GitHub opened no pull request from {branch}, because it does not know that branch. "
                    "The next run retries; check that `forge.push_url` leads to the same repository.",
                    missing=True,
                ) from None
            raise

    def _found_after(self, fault: ForgeFault, repository: Repository, branch: str, base: str) -> Pull:
        """The pull request whose opening was not answered; the fault itself when it is not there (yet)."""
        try:
            pull = self._open_one(repository, branch, base)
        except ForgeFault:
            raise fault from None
        if pull is None:
            raise fault
        return pull

    def _set_label(self, pull: Pull) -> None:
        """Without the label (the credential may lack the permission) the pull request is as good."""
        try:
            with self._access.asking(f"label pull request #{pull.number}", writes=True):
                names = [found.name for found in pull.labels]
                if self._label not in names:
                    pull.as_issue().edit(labels=[*names, self._label])
        except ForgeFault:
            return

    def _with_end(self, pull: Pull) -> PullRequest:
        """A pull request with the login that ended it, which lists do not hold."""
        by: NamedUser | None = None
        if pull.merged_at is not None:
            by = pull.merged_by
        elif pull.state == "closed":
            by = pull.as_issue().closed_by
        return _converted(pull, by.login if by is not None else None)

    def _commented(self, what: str, pull: Pull, mark: str) -> bool:
        if self._us is None:
            self._us = (self._access.login(),)
        with self._access.asking(what):
            comments = self._access.each(what, pull.get_issue_comments())
            return any(mark in (comment.body or "") and self._is_ours(comment) for comment in comments)

    def _commented_after(self, fault: ForgeFault, what: str, pull: Pull, mark: str) -> bool:
        try:
            return self._commented(what, pull, mark)
        except ForgeFault:
            raise fault from None

    def _is_ours(self, comment: IssueComment) -> bool:
        if comment.user is None or self._us is None:
            return False
        us = self._us[0]
        # An Actions job may not read its own login; only bots comment as a bot.
        return comment.user.type == "Bot" if us is None else comment.user.login.casefold() == us.casefold()


def _own(pull: Pull) -> bool:
    """Whether it comes from the repository itself, not from a fork (whose repository may be gone)."""
    return pull.head.repo is not None and pull.head.repo.id == pull.base.repo.id


def _lines(text: str | None) -> str:
    return (text or "").replace("\r\n", "\n")


def _converted(pull: Pull, ended_by: str | None = None) -> PullRequest:
    merged = pull.merged_at is not None
    state = RequestState.MERGED if merged else RequestState.CLOSED if pull.state == "closed" else RequestState.OPEN
    return PullRequest(
        number=pull.number,
        branch=pull.head.ref,
        base=pull.base.ref,
        state=state,
        title=pull.title,
        body=_lines(pull.body),
        url=pull.html_url,
        head=pull.head.sha,
        # Of a request that is not merged it is GitHub's trial of the merge.
        merge_commit=pull.merge_commit_sha if merged else None,
        ended_by=ended_by,
        ended_at=pull.merged_at if merged else pull.closed_at,
    )
