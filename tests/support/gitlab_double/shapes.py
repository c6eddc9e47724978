"""What the double knows, in the shapes that were recorded of GitLab."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.gitlab_double.store import MergeRequest, Note, Project, Store, User, Version

_FOLDER = Path(__file__).parents[2] / "fixtures" / "gitlab"


@cache
def _text(name: str) -> str:
    return (_FOLDER / f"{name}.json").read_text()


def recorded(shape_name: str, /, **known: Any) -> dict[str, Any]:
    """A recorded answer with what is known filled in; it has to have those fields."""
    shape: dict[str, Any] = json.loads(_text(shape_name))
    assert known.keys() <= shape.keys(), known.keys() - shape.keys()
    return {**shape, **known}


class Shapes:
    """Answers about what is kept; `web` is the address of the pages."""

    def __init__(self, store: Store, web: str) -> None:
        self.store, self.web = store, web

    def user(self, user: User | None) -> dict[str, Any] | None:
        if user is None:
            return None
        known = {"id": user.id, "username": user.username, "name": user.name, "state": user.state}
        return recorded("user_basic", **known, avatar_url=None, web_url=f"{self.web}/{user.username}")

    def project(self, project: Project) -> dict[str, Any]:
        address = f"{self.web}/{project.path}"
        return recorded("project", id=project.id, path_with_namespace=project.path, web_url=address)

    def request(self, request: MergeRequest, *, basic: bool = False) -> dict[str, Any]:
        """A merge request, as in lists where `basic`."""
        merged, closed = request.state == "merged", request.state == "closed"
        by, at = self.user(request.ended_by), _time(request.ended_at)
        known = {
            "id": request.id,
            "iid": request.iid,
            "project_id": request.project.id,
            "title": request.title,
            "description": request.description,
            "state": request.state,
            "created_at": _time(request.at),
            "updated_at": _time(request.ended_at or request.at),
            "merged_by": by if merged else None,
            "merge_user": by if merged else None,
            "merged_at": at if merged else None,
            "closed_by": by if closed else None,
            "closed_at": at if closed else None,
            "target_branch": request.target_branch,
            "source_branch": request.source_branch,
            "user_notes_count": sum(not note.system for note in request.notes),
            "author": self.user(request.author),
            "reviewers": [],
            "source_project_id": request.source.id if request.source is not None else None,
            "target_project_id": request.project.id,
            "labels": sorted(request.labels),
            "sha": request.head,
            "merge_commit_sha": request.merge_commit,
            "squash_commit_sha": request.squash_commit,
            "should_remove_source_branch": request.remove_source_branch,
            "force_remove_source_branch": request.remove_source_branch,
            "squash": request.squash_commit is not None,
            "web_url": f"{self.web}/{request.project.path}/-/merge_requests/{request.iid}",
        }
        if basic:
            return recorded("merge_request_basic", **known)
        base = request.versions[-1].base
        refs = {"base_sha": base, "head_sha": request.head, "start_sha": base}
        return recorded("merge_request", **known, diff_refs=refs)

    def note(self, request: MergeRequest, note: Note) -> dict[str, Any]:
        return recorded(
            "note",
            id=note.id,
            body=note.body,
            author=self.user(note.author),
            created_at=_time(note.at),
            updated_at=_time(note.at),
            system=note.system,
            noteable_id=request.id,
            noteable_iid=request.iid,
            project_id=request.project.id,
        )

    def commit(self, project: Project, sha: str) -> dict[str, Any]:
        commit = project.git.commit(sha)
        return recorded(
            "commit",
            id=sha,
            short_id=sha[:8],
            parent_ids=list(commit.parents),
            title=commit.message.partition("\n")[0],
            message=commit.message,
            author_name=commit.author[0],
            author_email=commit.author[1],
            committer_name=commit.committer[0],
            committer_email=commit.committer[1],
            web_url=f"{self.web}/{project.path}/-/commit/{sha}",
        )

    def version(self, request: MergeRequest, version: Version) -> dict[str, Any]:
        return recorded(
            "version",
            id=version.id,
            head_commit_sha=version.head,
            base_commit_sha=version.base,
            start_commit_sha=version.base,
            created_at=_time(version.at),
            merge_request_id=request.id,
        )

    def approvals(self, request: MergeRequest) -> dict[str, Any]:
        project, users = request.project, {user.id: user for user in self.store.users.values()}
        given = []
        for number, at in request.approvals.items():
            one: dict[str, Any] = {"user": self.user(users[number])}
            given.append({**one, "approved_at": _time(at)} if project.tells_times else one)
        known = {"approved": bool(given), "approved_by": given}
        if project.licensed:
            return recorded("approvals", **known, id=request.id, iid=request.iid, state=request.state)
        return recorded("approvals_free" if project.tells_times else "approvals_without_times", **known)

    def approval_state(self, request: MergeRequest) -> dict[str, Any]:
        shape = recorded("approval_state")
        (rule,) = shape["rules"]
        rules = [{**rule, "name": "All Members", "rule_type": "any_approver", "eligible_approvers": [], "users": []}]
        for pattern, users in request.project.owned:
            owners = [self.user(user) for user in users]
            rules.append({**rule, "name": pattern, "eligible_approvers": owners, "users": owners})
        return {**shape, "rules": rules}

    def member(self, user: User, role: int) -> dict[str, Any]:
        basic = self.user(user)
        assert basic is not None
        return recorded("member", **basic, access_level=role)

    def people(self, request: MergeRequest, first: int, after: str | None) -> dict[str, Any]:
        """Whose commits it has: committers of all, authors of a page of them."""
        commits = [request.project.git.commit(sha) for sha in request.commits()]
        start = int(after or 0)
        shown, committers = commits[start : start + first], dict[str, None]()
        for commit in commits:
            account = self.store.account(commit.committer[1])
            if account is not None and len(commit.parents) < 2:
                committers[account.username] = None
        nodes = []
        for commit in shown:
            account = self.store.account(commit.author[1])
            nodes.append({"author": {"username": account.username} if account is not None else None})
        more = start + first < len(commits)
        return {
            "committers": {
                "nodes": [{"username": name} for name in list(committers)[:first]],
                "pageInfo": {"hasNextPage": len(committers) > first},
            },
            "commits": {"nodes": nodes, "pageInfo": {"hasNextPage": more, "endCursor": str(start + first)}},
        }


def _time(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
