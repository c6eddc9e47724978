"""Merged pull requests on GitHub: their authors, their reviews, and the owners of the files that they touch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from driftguard.adapters.forges.github_access import GitHubAccess, retry_after
from driftguard.errors import ForgeFault
from driftguard.model import MergedRequest, Review
from driftguard.model.codeowners import PLACES, OwnerRule, parse, touched
from driftguard.ports import ReviewReader

if TYPE_CHECKING:
    from github.Commit import Commit
    from github.PullRequest import PullRequest as Pull
    from github.Repository import Repository

_COUNTED: Final = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})
_WRITERS: Final = frozenset({"admin", "maintain", "write"})
# GitHub's account in the place of deleted ones.
_GONE: Final = "ghost"
# The committer of commits made on GitHub's own pages.
_WEB: Final = "web-flow"
_WEB_ADDRESS: Final = "noreply@github.com"
_CO_AUTHOR: Final = re.compile(r"^co-authored-by:[^<\n]*<([^>\n]+)>\s*$", re.IGNORECASE | re.MULTILINE)
_NOREPLY: Final = re.compile(r"(?:\d+\+)?([^@+]+)@users\.noreply\.")


class GitHubReviews(ReviewReader):
    """Reads reviews on GitHub, and nothing else."""

    def __init__(self, access: GitHubAccess) -> None:
        self._access = access

    def merged_with(self, commit: str, base: str, *, owners: bool = False) -> tuple[MergedRequest, ...]:
        """The merged requests into `base` that GitHub names for a commit, by number."""
        return merged_requests(self._access, commit, base, owners=owners)


def merged_requests(access: GitHubAccess, commit: str, base: str, *, owners: bool) -> tuple[MergedRequest, ...]:
    """The merged pull requests into `base` that GitHub names for a commit, by number.

    Raises:
        ForgeFault: something could not be read, so what was approved is unknown.
    """
    from github.PaginatedList import PaginatedList
    from github.PullRequest import PullRequest

    what = f"list the pull requests of {commit[:12]}"
    with access.asking(what):
        repository = access.repository()
        listed = PaginatedList(PullRequest, repository.requester, f"{repository.url}/commits/{commit}/pulls")
        numbers = sorted(
            pull.number
            for pull in access.each(what, listed)
            if pull.merged_at is not None and pull.base.ref == base and pull.base.repo.id == repository.id
        )
    return tuple(_MergedPull(access, repository, number).request(owners=owners) for number in numbers)


class _MergedPull:
    """Reads one merged pull request, as far as needed."""

    def __init__(self, access: GitHubAccess, repository: Repository, number: int) -> None:
        self._access, self._repository = access, repository
        self._what = f"read pull request #{number}"
        with access.asking(self._what):
            self._pull: Pull = repository.get_pull(number)
        self._reviewers: list[str] = []

    def request(self, *, owners: bool) -> MergedRequest:
        pull = self._pull
        with self._access.asking(self._what):
            commits = self._commits()
            return MergedRequest(
                number=pull.number,
                url=pull.html_url,
                base=pull.base.ref,
                author=pull.user.login if pull.user is not None else _GONE,
                authors=tuple(dict.fromkeys(name for commit in commits for name in _people(commit))),
                head=pull.head.sha,
                merge_commit=pull.merge_commit_sha or "",
                commit_count=pull.commits,
                reviews=self._reviews(),
                head_ref=f"refs/pull/{pull.number}/head",
                owned=self._owned() if owners else (),
                strangers={commit.sha: who for commit in commits for who in _strangers(commit)},
            )

    def _commits(self) -> list[Commit]:
        commits = list(self._access.each(self._what, self._pull.get_commits()))
        self._all_listed("commits", len(commits), self._pull.commits)
        return commits

    def _reviews(self) -> tuple[Review, ...]:
        newest: dict[str, tuple[str, str, bool]] = {}
        gone: set[str] = set()
        for review in self._access.each(self._what, self._pull.get_reviews()):
            if review.state not in _COUNTED:
                continue
            login = review.user.login if review.user is not None else _GONE
            if review.user is None:
                gone.add(login)
            newest[login] = (login, review.commit_id or "", review.state == "APPROVED")
        self._reviewers = list(newest)
        return tuple(
            Review(login, commit, approves, login not in gone and self._may_write(login))
            for login, commit, approves in newest.values()
        )

    def _may_write(self, login: str) -> bool:
        from github import UnknownObjectException

        self._access.go_on(self._what)
        try:
            return self._repository.get_collaborator_permission(login) in _WRITERS
        except UnknownObjectException:
            return False

    def _owned(self) -> tuple[frozenset[str], ...]:
        rulesets = [rules for commit in self._bases() if (rules := self._rules(commit))]
        if not rulesets:
            return ()
        files = list(self._access.each(self._what, self._pull.get_files()))
        self._all_listed("files", len(files), self._pull.changed_files)
        # A file that was moved away is taken from the owners of its old path.
        paths = {path for file in files for path in (file.filename, file.previous_filename) if path}
        owned = [rule for rules in rulesets for rule in touched(rules, sorted(paths)) if rule.owners]
        # The same rule of two versions of the file asks once.
        distinct = {(rule.pattern.pattern, rule.owners): rule for rule in owned}
        return tuple(self._logins(rule) for rule in distinct.values())

    def _bases(self) -> tuple[str, ...]:
        """The commits whose rules count: the one that the merge was made onto.

        That is the first parent of the merge. A rebase puts several commits on the branch, of which only the last one
        is named, so its first parent may hold rules that the pull request itself brought. Then the commit that the
        pull request was last compared with counts, too.
        """
        compared, merge = self._pull.base.sha, self._pull.merge_commit_sha
        if merge is None:
            return (compared,)
        parents = [parent.sha for parent in self._repository.get_git_commit(merge).parents]
        if len(parents) > 1 or (parents and self._pull.commits == 1):
            return (parents[0],)
        return tuple(dict.fromkeys((*parents, compared)))

    def _rules(self, base: str) -> tuple[OwnerRule, ...]:
        """The rules of a commit; empty where it has none.

        Raises:
            ForgeFault: the file is too long for GitHub to give it, or can be read in more than one way.
        """
        from github import UnknownObjectException

        for place in PLACES:
            try:
                found = self._repository.get_contents(place, ref=base)
            except UnknownObjectException:
                continue
            if isinstance(found, list):
                continue
            if found.encoding != "base64":
                raise ForgeFault(
                    f"{place} at {base[:12]} is too long for GitHub to give it, so the code owners of pull "
                    f"request #{self._pull.number} are unknown. Shorten it."
                )
            try:
                return parse(found.decoded_content.decode("utf-8", errors="replace"))
            except ValueError as error:
                raise ForgeFault(
                    f"{place} at {base[:12]}: {error}, so the code owners of pull request #{self._pull.number} are "
                    "unknown. Remove the character; until then the pull request approves nothing."
                ) from None
        # "Not found" is also the answer to a credential that may not read files: it may not read this either.
        self._repository.get_git_commit(base)
        return ()

    def _logins(self, rule: OwnerRule) -> frozenset[str]:
        logins: set[str] = set()
        for owner in rule.owners:
            name = owner.removeprefix("@")
            if owner == name:
                continue  # the login of an e-mail address is unknown
            organisation, slash, team = name.partition("/")
            if slash:
                logins.update(self._members(organisation, team))
            else:
                logins.add(name)
        # Logins ignore case, and CODEOWNERS may spell one in another.
        spelled = {login.casefold(): login for login in self._reviewers}
        return frozenset(spelled.get(login.casefold(), login) for login in logins)

    def _members(self, organisation: str, team: str) -> list[str]:
        """The logins of a team; empty where it may not be read."""
        from github import GithubException
        from github.NamedUser import NamedUser
        from github.PaginatedList import PaginatedList

        address = f"/orgs/{organisation}/teams/{team}/members"
        members = PaginatedList(NamedUser, self._repository.requester, address)
        try:
            return [member.login for member in self._access.each(self._what, members)]
        except GithubException as error:
            if error.status in (403, 404) and retry_after(error) is None:
                return []
            raise

    def _all_listed(self, what: str, listed: int, expected: int) -> None:
        if listed < expected:
            raise ForgeFault(
                f"GitHub lists only {listed} of the {expected} {what} of pull request #{self._pull.number}, so "
                "what was approved is unknown. Approve this range in another way, and merge less at once."
            )


def _strangers(commit: Commit) -> list[str]:
    """The author and the committer of a commit without an account: they may be a reviewer, too."""
    written = commit.commit
    people: list[str] = [written.author.email or written.author.name] if commit.author is None else []
    if commit.committer is None and written.committer.email != _WEB_ADDRESS:
        people.append(written.committer.email or written.committer.name)
    return people


def _people(commit: Commit) -> list[str]:
    """The authors of a commit, by login where GitHub knows one, else by address."""
    written = commit.commit
    people = [account.login for account in (commit.author, commit.committer) if account is not None]
    people += _strangers(commit)
    for address in _CO_AUTHOR.findall(written.message or ""):
        known = _NOREPLY.match(address.strip())
        people.append(known[1] if known else address.strip())
    return [name for name in people if name and name != _WEB]
