"""GitLab as a forge (python-gitlab): merge requests of one project, each opened, updated and closed once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, Final
from urllib.parse import urlencode

from driftguard.adapters.forges.gitlab_access import Conflict, GitLabAccess
from driftguard.adapters.forges.gitlab_protection import protection
from driftguard.adapters.forges.gitlab_reviews import GitLabReviews, merged_requests
from driftguard.adapters.forges.gitlab_shapes import MergeRequest, Note
from driftguard.config.forge import Forge
from driftguard.errors import ForgeFault
from driftguard.model import BranchProtection, MergedRequest, PullRequest, RequestState
from driftguard.ports import HostedForge, ReviewReader

_TIMEOUT_SECONDS: Final = 15.0
_MAX_NOTE: Final = 1_000_000
_STATES: Final = {
    "opened": RequestState.OPEN,
    "locked": RequestState.OPEN,
    "closed": RequestState.CLOSED,
    "merged": RequestState.MERGED,
}
# GitLab executes lines like `/merge` (it drops carriage returns first), whatever the origin of the text.
_QUICK_ACTION: Final = re.compile(r"^(\r*)/(?=[A-Za-z])", re.MULTILINE)
_INERT_ACTION: Final = re.compile(r"^\\/(?=[A-Za-z])", re.MULTILINE)


class GitLabForge(HostedForge):
    """Requests and reviews on gitlab.com and self-managed GitLab, with an access token."""

    longest_title = 255
    longest_body = 1_048_576

    def __init__(
        self,
        settings: Forge,
        environ: Mapping[str, str],
        *,
        stopping: Callable[[], bool] = lambda: False,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        """Read the token; nothing is asked of GitLab yet.

        Args:
            environ: where the variable is that the settings name.
            stopping: whether a stop was requested: no further request is made then.
            timeout_seconds: for one request; reading is tried three times.

        Raises:
            OperatorError: there is no token.
        """
        self._access = GitLabAccess(settings, environ, stopping, timeout_seconds)
        self._label = settings.label

    @property
    def reviews(self) -> ReviewReader:
        """GitLab as far as reviews are read."""
        return GitLabReviews(self._access)

    def caveat(self) -> str | None:
        """Nothing: GitLab starts pipelines for every account that pushes."""
        return None

    def token(self) -> str:
        """What git may fetch and push with, under any user name."""
        return self._access.token()

    def requests(self, branch: str) -> tuple[PullRequest, ...]:
        """Every merge request from one branch, newest first; forks left out."""
        what = f"list the merge requests from {branch}"
        return tuple(map(_converted, self._own(what, source_branch=branch, state="all")))

    def open_requests(self, prefix: str) -> tuple[PullRequest, ...]:
        """Open merge requests from branches with a prefix, oldest first; forks left out."""
        what = "list the open merge requests"
        found = [request for state in ("opened", "locked") for request in self._own(what, state=state)]
        # One may have been locked between the two questions.
        numbered = {request.iid: request for request in found if request.source_branch.startswith(prefix)}
        return tuple(_converted(numbered[iid]) for iid in sorted(numbered))

    def open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a merge request with its label; the open one from this branch, as it is, where there is one.

        Raises:
            ValueError: the title or the body is longer than GitLab takes.
        """
        self._check_lengths(title, body)
        what = f"open a merge request from {branch} into {base}"
        wanted = {
            "source_branch": branch,
            "target_branch": base,
            "title": title,
            "description": _inert(body),
            "remove_source_branch": False,
            "labels": self._label,
        }
        try:
            return _converted(self._access.post(what, "merge_requests", wanted, MergeRequest))
        except Conflict as conflict:
            if not conflict.exists:
                raise
            return self._found_after(conflict, branch, base)
        except ForgeFault as fault:
            if not fault.perhaps_done:
                raise
            return self._found_after(fault, branch, base)

    def update(self, number: int, title: str, body: str) -> None:
        """Change the title and the text, where they differ."""
        self._check_lengths(title, body)
        what = f"update merge request !{number}"
        request = self._access.get(what, f"merge_requests/{number}", MergeRequest)
        if (request.title, _as_written(request.description)) != (title.strip(), _as_written(body)):
            self._access.put(what, f"merge_requests/{number}", {"title": title, "description": _inert(body)})

    def comment(self, number: int, text: str, mark: str) -> None:
        """Comment, unless a comment of ours holds the mark already."""
        text = _inert(text if mark in text else f"{text}\n\n{mark}")
        if len(text) > _MAX_NOTE:
            raise ValueError(f"GitLab takes {_MAX_NOTE} characters of comment; these are {len(text)}")
        if self._commented(number, mark):
            return
        what = f"comment on merge request !{number}"
        try:
            self._access.post(what, f"merge_requests/{number}/notes", {"body": text}, Note)
        except ForgeFault as fault:
            if not fault.perhaps_done or not self._commented_after(fault, number, mark):
                raise

    def close(self, number: int) -> None:
        """Close it without merging; nothing if it is closed or merged."""
        what = f"close merge request !{number}"
        request = self._access.get(what, f"merge_requests/{number}", MergeRequest)
        if _STATES[request.state] is RequestState.OPEN:
            self._access.put(what, f"merge_requests/{number}", {"state_event": "close"})

    def compare_url(self, base: str, branch: str) -> str | None:
        """GitLab's page for opening a merge request from a branch."""
        query = urlencode({"merge_request[source_branch]": branch, "merge_request[target_branch]": base})
        return f"{self._access.web}/{self._access.name}/-/merge_requests/new?{query}"

    def merged_with(self, commit: str, base: str, *, owners: bool = False) -> tuple[MergedRequest, ...]:
        """The merged requests into `base` that GitLab names for a commit, by number."""
        return merged_requests(self._access, commit, base, owners=owners)

    def protection(self, branch: str) -> BranchProtection:
        """How far GitLab protects a branch."""
        return protection(self._access, branch)

    def _check_lengths(self, title: str, body: str) -> None:
        if len(title) > self.longest_title or len(body) > self.longest_body:
            raise ValueError(
                f"GitLab takes {self.longest_title} characters of title and {self.longest_body} of text; "
                f"these are {len(title)} and {len(body)}"
            )

    def _own(self, what: str, **query: Any) -> list[MergeRequest]:
        """The merge requests from branches of the project itself, newest first."""
        project = self._access.project()
        found = self._access.each(
            what, "merge_requests", MergeRequest, scope="all", order_by="created_at", sort="desc", **query
        )
        own = [request for request in found if request.source_project_id == project == request.target_project_id]
        return sorted(own, key=lambda request: request.iid, reverse=True)

    def _found_after(self, fault: ForgeFault, branch: str, base: str) -> PullRequest:
        """The open merge request whose opening was not answered or not needed; the fault itself when it is not there.

        It is looked for once: one that is opened later is found by the next run.
        """
        try:
            found = self._own(f"find the open merge request from {branch}", source_branch=branch, state="all")
        except ForgeFault:
            raise fault from None
        for request in found:
            if request.target_branch == base and _STATES[request.state] is RequestState.OPEN:
                return _converted(request)
        raise fault

    def _commented(self, number: int, mark: str) -> bool:
        """Whether a comment of ours there holds the mark."""
        what, us = f"read the comments of merge request !{number}", self._access.user()
        notes = self._access.each(what, f"merge_requests/{number}/notes", Note, order_by="created_at", sort="asc")
        return any(
            mark in note.body and not note.system and note.author is not None and note.author.id == us for note in notes
        )

    def _commented_after(self, fault: ForgeFault, number: int, mark: str) -> bool:
        try:
            return self._commented(number, mark)
        except ForgeFault:
            raise fault from None


def _inert(text: str) -> str:
    """A text whose lines GitLab does not take for commands; it renders no backslash before a slash."""
    return _QUICK_ACTION.sub(r"\1\\/", text)


def _as_written(text: str | None) -> str:
    """A text as it was before it was made inert, without what GitLab drops of it."""
    return _INERT_ACTION.sub("/", (text or "").replace("\r", "")).rstrip()


def _converted(request: MergeRequest) -> PullRequest:
    state = _STATES[request.state]
    by, at = None, None
    if state is RequestState.MERGED:
        by, at = request.merge_user or request.merged_by, request.merged_at
    elif state is RequestState.CLOSED:
        by, at = request.closed_by, request.closed_at
    return PullRequest(
        number=request.iid,
        branch=request.source_branch,
        base=request.target_branch,
        state=state,
        title=request.title,
        body=_as_written(request.description),
        url=request.web_url,
        head=request.sha or "",
        merge_commit=(request.ends_with or None) if state is RequestState.MERGED else None,
        ended_by=by.username if by is not None else None,
        ended_at=at.astimezone(UTC) if at is not None else None,
    )
