"""The JSON objects of GitHub's answers, with the fields that clients read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.support.github_double.store import Comment, Pull, Repository, Review, Store, User, trial


class Shapes:
    """Makes answers; `api` and `web` are the addresses of the API and of the pages."""

    def __init__(self, store: Store, api: str, web: str) -> None:
        self._store, self._api, self._web = store, api, web

    def user(self, user: User | None) -> dict[str, Any] | None:
        if user is None or user.gone:
            return None
        return {
            "login": user.login,
            "id": user.id,
            "node_id": f"U_{user.id}",
            "type": user.type,
            "site_admin": False,
            "url": f"{self._api}/users/{user.login}",
            "html_url": f"{self._web}/{user.login}",
        }

    def repository(self, repository: Repository) -> dict[str, Any]:
        return {
            "id": repository.id,
            "node_id": f"R_{repository.id}",
            "name": repository.name,
            "full_name": repository.full_name,
            "owner": self.user(repository.owner),
            "private": repository.private,
            "fork": repository.parent is not None,
            "default_branch": "main",
            "url": self._address(repository),
            "html_url": f"{self._web}/{repository.full_name}",
        }

    def pull(self, repository: Repository, pull: Pull) -> dict[str, Any]:
        """As lists show it: without who merged it, and without counts."""
        here = self._address(repository)
        return {
            "id": pull.id,
            "node_id": f"PR_{pull.id}",
            "number": pull.number,
            "state": pull.state,
            "locked": pull.locked,
            "draft": False,
            "title": pull.title,
            "body": pull.body or None,
            # Unlike elsewhere, GitHub puts its ghost here for an account that is gone.
            "user": self.user(pull.user) or self.user(self._store.user("ghost")),
            "labels": [self._label(repository, name) for name in pull.labels],
            "created_at": _time(pull.created_at),
            "updated_at": _time(pull.updated_at),
            "closed_at": _time(pull.closed_at),
            "merged_at": _time(pull.merged_at),
            "merge_commit_sha": pull.merge_commit or (trial(pull) if pull.state == "open" else None),
            "head": self._side(pull.head_repository, pull.head, pull.head_sha),
            "base": self._side(repository, pull.base, pull.base_sha),
            "url": f"{here}/pulls/{pull.number}",
            "issue_url": f"{here}/issues/{pull.number}",
            "commits_url": f"{here}/pulls/{pull.number}/commits",
            "comments_url": f"{here}/issues/{pull.number}/comments",
            "html_url": f"{self._web}/{repository.full_name}/pull/{pull.number}",
        }

    def whole_pull(self, repository: Repository, pull: Pull) -> dict[str, Any]:
        """As it is shown alone."""
        return {
            **self.pull(repository, pull),
            "merged": pull.merged_at is not None,
            "merged_by": self.user(pull.merged_by),
            "mergeable": None if pull.state != "open" else True,
            "comments": len(pull.comments),
            "review_comments": 0,
            "commits": len(self.commits_of(repository, pull)),
            "changed_files": len(self.files_of(repository, pull)),
            "maintainer_can_modify": False,
        }

    def issue(self, repository: Repository, pull: Pull) -> dict[str, Any]:
        here = self._address(repository)
        return {
            "id": pull.id + 1_000_000,
            "number": pull.number,
            "state": pull.state,
            "title": pull.title,
            "body": pull.body or None,
            "user": self.user(pull.user),
            "labels": [self._label(repository, name) for name in pull.labels],
            "closed_at": _time(pull.closed_at),
            "closed_by": self.user(pull.closed_by),
            "comments": len(pull.comments),
            "pull_request": {"url": f"{here}/pulls/{pull.number}", "merged_at": _time(pull.merged_at)},
            "url": f"{here}/issues/{pull.number}",
            "html_url": f"{self._web}/{repository.full_name}/pull/{pull.number}",
        }

    def comment(self, repository: Repository, pull: Pull, comment: Comment) -> dict[str, Any]:
        return {
            "id": comment.id,
            "body": comment.body,
            "user": self.user(comment.user),
            "created_at": _time(comment.at),
            "updated_at": _time(comment.at),
            "url": f"{self._address(repository)}/issues/comments/{comment.id}",
            "issue_url": f"{self._address(repository)}/issues/{pull.number}",
            "html_url": f"{self._web}/{repository.full_name}/pull/{pull.number}#issuecomment-{comment.id}",
        }

    def review(self, repository: Repository, pull: Pull, review: Review) -> dict[str, Any]:
        return {
            "id": review.id,
            "user": self.user(review.user),
            "body": review.body,
            "state": review.state,
            "commit_id": review.commit,
            "submitted_at": _time(review.at),
            "pull_request_url": f"{self._address(repository)}/pulls/{pull.number}",
            "html_url": f"{self._web}/{repository.full_name}/pull/{pull.number}#pullrequestreview-{review.id}",
        }

    def commit(self, repository: Repository, sha: str) -> dict[str, Any]:
        kept = repository.git.commit(sha)

        def person(name: str, address: str) -> dict[str, str]:
            return {"name": name, "email": address, "date": kept.date}

        def account(name: str, address: str) -> dict[str, Any] | None:
            if address == "noreply@github.com":
                return self.user(self._store.user("web-flow"))
            return self.user(self._store.by_address(address))

        return {
            "sha": sha,
            "node_id": f"C_{sha}",
            "commit": {
                "author": person(*kept.author),
                "committer": person(*kept.committer),
                "message": kept.message,
                "tree": {"sha": kept.tree},
            },
            "author": account(*kept.author),
            "committer": account(*kept.committer),
            "parents": [{"sha": parent} for parent in kept.parents],
            "url": f"{self._address(repository)}/commits/{sha}",
            "html_url": f"{self._web}/{repository.full_name}/commit/{sha}",
        }

    def commits_of(self, repository: Repository, pull: Pull) -> list[str]:
        """The commits of a pull request, oldest first."""
        return pull.commits or repository.git.commits(pull.base_sha, pull.head_sha)

    def files_of(self, repository: Repository, pull: Pull) -> list[tuple[str, str, str | None]]:
        """Status, name and previous name of the files of a pull request."""
        return pull.files or repository.git.files(pull.base_sha, pull.head_sha)

    def address_by_id(self, repository: Repository) -> str:
        """Where GitHub leads whoever asks for a repository by a name that it had before."""
        return f"{self._api}/repositories/{repository.id}"

    def _side(self, repository: Repository | None, branch: str, sha: str) -> dict[str, Any]:
        owner = repository.owner if repository else None
        return {
            "label": f"{owner.login if owner else 'unknown repository'}:{branch}",
            "ref": branch,
            "sha": sha,
            "user": self.user(owner),
            "repo": self.repository(repository) if repository else None,
        }

    def _label(self, repository: Repository, name: str) -> dict[str, Any]:
        return {"id": len(name), "name": name, "color": "ededed", "default": False, "description": ""}

    def _address(self, repository: Repository) -> str:
        return f"{self._api}/repos/{repository.full_name}"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
