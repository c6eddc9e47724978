"""What the GitLab double keeps: accounts, projects, merge requests, and what people do with them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.github_double.git import BareRepository, Conflict
from tests.support.gitlab_double.faults import Refusal

GUEST, REPORTER, DEVELOPER, MAINTAINER = 10, 20, 30, 40


@dataclass(eq=False)
class User:
    """An account; its commits are known by any of its addresses, the first of which it writes with."""

    id: int
    username: str
    name: str
    addresses: list[str]
    state: str = "active"

    @property
    def author(self) -> tuple[str, str]:
        return self.name, self.addresses[0]


@dataclass(eq=False)
class Note:
    """A comment, or what GitLab says of what its author did."""

    id: int
    author: User
    body: str
    at: datetime
    system: bool = False


@dataclass(eq=False)
class Version:
    """What a source branch was after one push."""

    id: int
    head: str
    base: str
    at: datetime


@dataclass(eq=False)
class MergeRequest:
    """A merge request; `source` is None once its fork is gone."""

    id: int
    iid: int
    project: Project
    source: Project | None
    source_branch: str
    target_branch: str
    title: str
    description: str
    author: User
    at: datetime
    labels: list[str] = field(default_factory=list)
    remove_source_branch: bool = False
    state: str = "opened"
    versions: list[Version] = field(default_factory=list)
    approvals: dict[int, datetime] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    merge_commit: str | None = None
    squash_commit: str | None = None
    ended_by: User | None = None
    ended_at: datetime | None = None

    @property
    def head(self) -> str:
        return self.versions[-1].head

    def commits(self) -> list[str]:
        """Newest first."""
        return self.project.git.commits(self.versions[-1].base, self.head)[::-1]


@dataclass(eq=False)
class Project:
    """A project, with the roles of its members by account.

    Attributes:
        licensed: whether it has what GitLab Premium has: approval rules and code owners.
        tells_times: whether the server is new enough to tell when an approval was given.
        owned: for each rule of code owners that applies, who may approve it.
        resets: whether a push takes approvals away.
        protected: by branch or wildcard, the roles that may push (0: none) and whether a forced push is let through.
        needed: approvals that a merge request needs, where it is licensed.
    """

    id: int
    path: str
    git: BareRepository
    members: dict[int, int] = field(default_factory=dict)
    requests: dict[int, MergeRequest] = field(default_factory=dict)
    licensed: bool = False
    tells_times: bool = True
    owned: list[tuple[str, list[User]]] = field(default_factory=list)
    resets: bool = False
    protected: dict[str, tuple[list[int], bool]] = field(default_factory=dict)
    needed: int = 0

    def request(self, iid: int) -> MergeRequest:
        if iid not in self.requests:
            raise Refusal(404, "404 Not found")
        return self.requests[iid]


class Store:
    """Everything, behind one lock; its clock goes on by a second whenever something happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.projects: dict[int, Project] = {}
        self.renamed: dict[str, Project] = {}
        self._last_id = 0
        self._clock = datetime(2026, 1, 5, 9, 0, 0, 123000, UTC)

    def now(self) -> datetime:
        self._clock += timedelta(seconds=1)
        return self._clock

    def new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def user(self, username: str) -> User:
        if username not in self.users:
            made = User(self.new_id(), username, f"{username.title()} Ash", [f"{username}@example.com"])
            self.users[username] = made
        return self.users[username]

    def account(self, address: str) -> User | None:
        """Whose address it is."""
        return next((user for user in self.users.values() if address in user.addresses), None)

    def add_project(self, path: str) -> Project:
        number = self.new_id()
        made = self.projects[number] = Project(number, path, BareRepository(self.folder / f"{path}.git"))
        return made

    # --- merge requests --------------------------------------------------------------------------

    def open(
        self, project: Project, source: Project, author: User, source_branch: str, target_branch: str, title: str
    ) -> MergeRequest:
        """A new merge request, refused as GitLab would."""
        if source is project and source_branch == target_branch:
            raise Refusal(422, ["You can't use same project/branch for source and target"])
        for branch, place in ((source_branch, source), (target_branch, project)):
            if place.git.tip(branch) is None:
                raise Refusal(400, {"base": [f"Branch {branch} does not exist"]})
        for other in project.requests.values():
            same = (other.source, other.source_branch, other.target_branch) == (source, source_branch, target_branch)
            if same and other.state == "opened":
                raise Refusal(409, [f"Another open merge request already exists for this source branch: !{other.iid}"])
        iid = len(project.requests) + 1
        made = MergeRequest(
            self.new_id(), iid, project, source, source_branch, target_branch, title, "", author, self.now()
        )
        project.requests[iid] = made
        self._push(made)
        return made

    def see_pushes(self, project: Project, by: User | None = None) -> None:
        """Notice what was pushed since: new versions, and merge requests that somebody merged with git."""
        for request in project.requests.values():
            if request.state != "opened" or request.source is None:
                continue
            tip = request.source.git.tip(request.source_branch)
            if tip is not None and tip != request.head:
                self._push(request, by)
            main = project.git.tip(request.target_branch)
            if main is not None and request.commits() and project.git.contains(main, request.head):
                path = project.git.run("rev-list", "--first-parent", "--ancestry-path", f"{request.head}..{main}")
                on_branch = project.git.run("rev-list", "--first-parent", main).split()
                request.merge_commit = request.head if request.head in on_branch else path.split()[-1]
                self.end(request, "merged", by or request.author)

    def _push(self, request: MergeRequest, by: User | None = None) -> None:
        """A new version of a merge request."""
        source, project = request.source, request.project
        assert source is not None
        if source is not project:
            project.git.run(
                "fetch", "--quiet", str(source.git.path), f"+{request.source_branch}:refs/forks/{request.id}"
            )
        head = source.git.tip(request.source_branch)
        assert head is not None
        base = project.git.run("merge-base", head, request.target_branch)
        project.git.keep(f"refs/merge-requests/{request.iid}/head", head)
        if request.versions:
            count = len(project.git.commits(request.head, head)) or 1
            words = (
                f"added {count} commit{'s' if count > 1 else ''}\n\n<ul><li>{head[:8]}</li></ul>\n\n[Compare](/diffs)"
            )
            self.note(request, by or request.author, words, system=True)
            if project.resets:
                request.approvals.clear()
        request.versions.append(Version(self.new_id(), head, base, self.now()))

    def note(self, request: MergeRequest, by: User, body: str, *, system: bool = False) -> Note:
        made = Note(self.new_id(), by, body, self.now(), system)
        request.notes.append(made)
        return made

    def approve(self, request: MergeRequest, by: User) -> None:
        if by.id in request.approvals or request.state != "opened":
            raise Refusal(401, "401 Unauthorized")
        request.approvals[by.id] = self.now()
        self.note(request, by, "approved this merge request", system=True)

    def revoke(self, request: MergeRequest, by: User) -> None:
        if request.approvals.pop(by.id, None) is None:
            raise Refusal(404, "404 Not found")
        self.note(request, by, "unapproved this merge request", system=True)

    def end(self, request: MergeRequest, state: str, by: User) -> None:
        request.state, request.ended_by, request.ended_at = state, by, self.now()

    def merge(self, request: MergeRequest, by: User, how: str, *, squash: bool) -> str:
        """Press the button, with the project's merge method; the last commit of the target branch.

        Args:
            how: `merge`, `rebase_merge` (a merge commit on top of a rebased branch) or `ff`.
        """
        git, target = request.project.git, request.target_branch
        main = git.tip(target)
        assert main is not None
        if request.state != "opened":
            raise Refusal(405, "405 Method Not Allowed")
        head = request.head
        try:
            if squash:
                message, tree = f"{request.title}\n", git.merged_tree(main, head)
                head = request.squash_commit = _commit(git, tree, [main], message, request.author, by)
            if how != "merge" and not git.contains(head, main):
                raise Refusal(405, "405 Method Not Allowed")  # it has to be rebased first
            if how != "ff":
                message = f"Merge branch '{request.source_branch}' into '{target}'\n\nSee merge request !{request.iid}"
                tree = git.merged_tree(main, head)
                head = request.merge_commit = _commit(git, tree, [main, head], message, by, by)
        except Conflict:
            raise Refusal(406, "Branch cannot be merged") from None
        git.keep(f"refs/heads/{target}", head)
        self.end(request, "merged", by)
        if request.remove_source_branch and request.source is request.project:
            git.run("update-ref", "-d", f"refs/heads/{request.source_branch}")
        return head

    def rebase(self, request: MergeRequest, by: User) -> str:
        """Put the source branch on top of the target, which is a push; the new tip."""
        git = request.project.git
        main = git.tip(request.target_branch)
        assert main is not None
        git.keep("refs/heads/rebasing", main)
        tip = git.rebase("rebasing", request.head, by.author)
        git.run("update-ref", "-d", "refs/heads/rebasing")
        git.keep(f"refs/heads/{request.source_branch}", tip)
        self._push(request, by)
        return tip


def _commit(git: BareRepository, tree: str, parents: Sequence[str], message: str, author: User, by: User) -> str:
    given = [word for parent in parents for word in ("-p", parent)]
    return git.run(
        *("commit-tree", tree, *given, "-m", message),
        variables={
            "GIT_AUTHOR_NAME": author.name,
            "GIT_AUTHOR_EMAIL": author.addresses[0],
            "GIT_COMMITTER_NAME": by.name,
            "GIT_COMMITTER_EMAIL": by.addresses[0],
        },
    )
