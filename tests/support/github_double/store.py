"""What the GitHub double keeps, and the rules by which it changes."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.support.github_double.faults import Refusal
from tests.support.github_double.git import BareRepository, Conflict

_WRITERS = ("admin", "maintain", "write")
_LONGEST_TITLE, _LONGEST_BODY = 256, 65_536
_VERDICTS = ("APPROVED", "CHANGES_REQUESTED")


@dataclass
class User:
    """An account; `gone` once it was deleted."""

    id: int
    login: str
    type: str = "User"
    gone: bool = False

    @property
    def identity(self) -> tuple[str, str]:
        return self.login, f"{self.id}+{self.login}@users.noreply.github.com"


@dataclass
class Comment:
    """A comment on a pull request."""

    id: int
    user: User
    body: str
    at: datetime


@dataclass
class Review:
    """A review; `commit` stays what was reviewed."""

    id: int
    user: User
    state: str
    commit: str
    body: str
    at: datetime


@dataclass
class Protection:
    """Rules for a branch.

    Attributes:
        admins_too: administrators cannot bypass them.
        rules: of a ruleset, which every reader sees; without it the branch's own rules, for administrators only.
    """

    approvals: int = 1
    dismiss_stale: bool = False
    admins_too: bool = False
    force_push: bool = False
    rules: bool = False


@dataclass
class Pull:
    """A pull request with what its issue holds.

    Attributes:
        introduced: once it is merged, the commits that it brought to its base, as GitHub associates them.
        frozen: once it is merged, its own commits and files.
    """

    number: int
    id: int
    user: User
    head_repository: Repository | None
    head: str
    base: str
    title: str
    body: str
    head_sha: str
    base_sha: str
    created_at: datetime
    updated_at: datetime
    state: str = "open"
    closed_at: datetime | None = None
    closed_by: User | None = None
    merged_at: datetime | None = None
    merged_by: User | None = None
    merge_commit: str | None = None
    locked: bool = False
    labels: list[str] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    introduced: set[str] = field(default_factory=set)
    commits: list[str] = field(default_factory=list)
    files: list[tuple[str, str, str | None]] = field(default_factory=list)


@dataclass
class Repository:
    """A repository, its people and its pull requests."""

    id: int
    owner: User
    name: str
    git: BareRepository
    private: bool = True
    permissions: dict[str, str] = field(default_factory=dict)
    protections: dict[str, Protection] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    parent: Repository | None = None

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    def permission(self, user: User) -> str:
        """`admin`, `maintain`, `write`, `triage`, `read` or `none`."""
        own = "admin" if user is self.owner else None
        return own or self.permissions.get(user.login.casefold(), "none" if self.private else "read")

    def may_write(self, user: User) -> bool:
        return self.permission(user) in _WRITERS

    def pull(self, number: int) -> Pull:
        """A pull request as it is now that branches may have moved."""
        if number not in self.pulls:
            raise Refusal(404, "Not Found")
        pull = self.pulls[number]
        _follow(self, pull)
        return pull


@dataclass
class Team:
    """A team of an organisation; a secret one is seen by nobody outside."""

    organisation: str
    slug: str
    members: list[User]
    secret: bool = False


class Store:
    """Everything that GitHub keeps, guarded by one lock."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder, self._clock = folder, clock
        self._ids = itertools.count(1001)
        self.lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, Repository] = {}
        self.teams: dict[tuple[str, str], Team] = {}
        self.addresses: dict[str, User] = {}

    def now(self) -> datetime:
        return self._clock().replace(microsecond=0)

    def new_id(self) -> int:
        return next(self._ids)

    # --- accounts and repositories ---------------------------------------------------------------

    def user(self, login: str, type: str = "User") -> User:
        """An account, made when it is named for the first time; its commits are known by its address."""
        with self.lock:
            key = login.casefold()
            if key not in self.users:
                made = User(self.new_id(), login, type)
                self.users[key] = made
                self.addresses[made.identity[1]] = self.addresses[f"{key}@example.com"] = made
            return self.users[key]

    def by_address(self, address: str) -> User | None:
        """Whose commits carry an address."""
        found = self.addresses.get(address.casefold())
        return None if found is None or found.gone else found

    def add_repository(self, full_name: str, *, private: bool = True, parent: Repository | None = None) -> Repository:
        owner, _, name = full_name.partition("/")
        git = BareRepository(self._folder / f"{owner}-{name}.git")
        repository = Repository(self.new_id(), self.user(owner), name, git, private, parent=parent)
        self.repositories[full_name.casefold()] = repository
        return repository

    def rename(self, repository: Repository, full_name: str) -> None:
        owner, _, name = full_name.partition("/")
        del self.repositories[repository.full_name.casefold()]
        self.renamed[repository.full_name.casefold()] = repository
        repository.owner, repository.name = self.user(owner), name
        self.repositories[full_name.casefold()] = repository

    def network(self, repository: Repository) -> list[Repository]:
        """The repository and its forks."""
        return [other for other in self.repositories.values() if repository in (other, other.parent)]

    # --- pull requests ---------------------------------------------------------------------------

    def open_pull(self, repository: Repository, user: User, head: str, base: str, title: object, body: object) -> Pull:
        """Open a pull request as GitHub would, or refuse it as GitHub would."""
        source, branch = self._source(repository, head)
        if not isinstance(title, str) or not title.strip():
            raise _invalid({"resource": "PullRequest", "code": "missing_field", "field": "title"})
        if source is None or (head_sha := source.git.tip(branch)) is None:
            raise _invalid({"resource": "PullRequest", "field": "head", "code": "invalid"})
        base_sha = repository.git.tip(base)
        if base_sha is None:
            raise _invalid({"resource": "PullRequest", "field": "base", "code": "invalid"})
        self.check_texts(title, body)
        for pull in list(repository.pulls.values()):
            if (pull.head_repository, pull.head, pull.base) == (source, branch, base):
                _follow(repository, pull)
                if pull.state == "open":
                    said = f"A pull request already exists for {source.owner.login}:{branch}."
                    raise _invalid({"resource": "PullRequest", "code": "custom", "message": said})
        _fetch(repository, source, head_sha)
        if not repository.git.commits(base_sha, head_sha):
            said = f"No commits between {base} and {branch}"
            raise _invalid({"resource": "PullRequest", "code": "custom", "message": said})
        number = max(repository.pulls, default=0) + 1
        now = self.now()
        pull = Pull(
            *(number, self.new_id(), user, source, branch, base, title, str(body or "")),
            *(head_sha, base_sha, now, now),
        )
        repository.git.keep(f"refs/pull/{number}/head", head_sha)
        repository.pulls[number] = pull
        return pull

    def _source(self, repository: Repository, head: str) -> tuple[Repository | None, str]:
        owner, colon, branch = head.partition(":")
        if not colon:
            return repository, head
        for other in self.network(repository):
            if other.owner.login.casefold() == owner.casefold():
                return other, branch
        return None, branch

    def check_texts(self, title: object, body: object) -> None:
        """Refuse texts that are too long, as GitHub counts."""
        if isinstance(title, str) and len(title) > _LONGEST_TITLE:
            raise _invalid(
                {
                    "resource": "Issue",
                    "code": "custom",
                    "field": "title",
                    "message": "title is too long (maximum is 256 characters)",
                }
            )
        if isinstance(body, str) and len(body) > _LONGEST_BODY:
            raise _invalid(
                {
                    "resource": "Issue",
                    "code": "unprocessable",
                    "field": "data",
                    "message": "body is too long (maximum is 65536 characters)",
                }
            )

    def set_state(self, pull: Pull, user: User, state: str) -> None:
        """Close or reopen a pull request."""
        if pull.merged_at is not None:
            if state == "open":
                raise _invalid({"resource": "PullRequest", "field": "state", "code": "invalid"})
            return
        if state != pull.state:
            pull.state, pull.updated_at = state, self.now()
            pull.closed_at, pull.closed_by = (self.now(), user) if state == "closed" else (None, None)

    def comment(self, pull: Pull, user: User, body: object) -> Comment:
        if not isinstance(body, str) or not body.strip():
            raise _invalid({"resource": "IssueComment", "code": "missing_field", "field": "body"})
        self.check_texts("", body)
        made = Comment(self.new_id(), user, body, self.now())
        pull.comments.append(made)
        return made

    def review(self, repository: Repository, pull: Pull, user: User, state: str, body: str) -> Review:
        """Review the pull request as it is now."""
        if state in _VERDICTS and user is pull.user:
            verb = "approve" if state == "APPROVED" else "request changes on"
            raise Refusal(422, "Unprocessable Entity", (f"Can not {verb} your own pull request",))
        if repository.permission(user) == "none":
            raise Refusal(404, "Not Found")
        made = Review(self.new_id(), user, state, pull.head_sha, body, self.now())
        pull.reviews.append(made)
        return made

    def merge(self, repository: Repository, pull: Pull, user: User, how: str, *, bypass: bool) -> str:
        """Merge as GitHub's button does: `merge`, `squash` or `rebase`; the last commit on the base."""
        if not repository.may_write(user):
            raise Refusal(403, "Resource not accessible by personal access token")
        if pull.state != "open":
            raise Refusal(405, "Pull Request is not mergeable")
        self._check_protection(repository, pull, user, bypass)
        git, old = repository.git, repository.git.tip(pull.base)
        assert old is not None
        own = git.commits(old, pull.head_sha)
        pull.files = git.files(old, pull.head_sha)
        try:
            if how == "merge":
                title = f"Merge pull request #{pull.number} from {repository.owner.login}/{pull.head}\n\n{pull.title}"
                made = git.merge(pull.base, pull.head_sha, title, user.identity)
            elif how == "squash":
                made = git.squash(pull.base, pull.head_sha, f"{pull.title} (#{pull.number})", pull.user.identity)
            else:
                made = git.rebase(pull.base, pull.head_sha, user.identity)
        except Conflict:
            raise Refusal(405, "Pull Request is not mergeable") from None
        pull.commits = own
        pull.introduced = {*git.commits(old, made), *own}
        pull.state, pull.merge_commit = "closed", made
        pull.merged_at = pull.closed_at = pull.updated_at = self.now()
        pull.merged_by = pull.closed_by = user
        return made

    def _check_protection(self, repository: Repository, pull: Pull, user: User, bypass: bool) -> None:
        rules = repository.protections.get(pull.base)
        if rules is None or (bypass and not rules.admins_too and repository.permission(user) == "admin"):
            return
        verdicts = {
            review.user.login: review.state
            for review in pull.reviews
            if review.state in (*_VERDICTS, "DISMISSED") and repository.may_write(review.user)
        }
        if "CHANGES_REQUESTED" in verdicts.values():
            raise Refusal(405, "Changes have been requested by a reviewer with write access.")
        if list(verdicts.values()).count("APPROVED") < rules.approvals:
            needed = f"At least {rules.approvals} approving review is required by reviewers with write access."
            raise Refusal(405, needed)


def trial(pull: Pull) -> str:
    """The commit in which GitHub tries the merge of an open pull request; it is on no branch."""
    return hashlib.sha1(f"{pull.base_sha}+{pull.head_sha}".encode()).hexdigest()


def _follow(repository: Repository, pull: Pull) -> None:
    """Let an open pull request follow its branches, which tests push to."""
    if pull.state != "open":
        return
    source = pull.head_repository
    tip = source.git.tip(pull.head) if source is not None else None
    now = datetime.now(UTC).replace(microsecond=0)
    if source is None or tip is None:
        pull.state, pull.closed_at, pull.updated_at = "closed", now, now
        return
    if tip != pull.head_sha:
        _fetch(repository, source, tip)
        repository.git.keep(f"refs/pull/{pull.number}/head", tip)
        pull.head_sha, pull.updated_at = tip, now
        pull.base_sha = repository.git.tip(pull.base) or pull.base_sha
        rules = repository.protections.get(pull.base)
        if rules is not None and rules.dismiss_stale:
            for review in pull.reviews:
                if review.state == "APPROVED":
                    review.state = "DISMISSED"
    _notice_a_push(repository, pull, now)


def _notice_a_push(repository: Repository, pull: Pull, now: datetime) -> None:
    """A pull request whose commits somebody pushed to its base counts as merged."""
    git, base = repository.git, repository.git.tip(pull.base)
    if base is None or not git.contains(base, pull.head_sha):
        return
    line = git.run("rev-list", "--first-parent", "--reverse", f"{pull.base_sha}..{base}").split()
    pull.merge_commit = next((commit for commit in line if git.contains(commit, pull.head_sha)), pull.head_sha)
    pull.commits = git.commits(pull.base_sha, pull.head_sha)
    pull.files = git.files(pull.base_sha, pull.head_sha)
    pull.introduced = {*pull.commits, pull.merge_commit}
    pull.state, pull.merged_at, pull.closed_at, pull.updated_at = "closed", now, now, now


def _fetch(repository: Repository, source: Repository, commit: str) -> None:
    if source is not repository:
        repository.git.run("fetch", "--quiet", str(source.git.path), f"+{commit}:refs/fork/{commit}")


def _invalid(error: dict[str, str]) -> Refusal:
    return Refusal(422, "Validation Failed", (dict(error),))
