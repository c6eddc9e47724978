"""Remediation by merge request on GitLab, full circle."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Estate
from tests.integration.test_proposals import reasons
from tests.integration.test_reconcile import decision, thing
from tests.support.gitlab_double import GitLabDouble, LostAnswer
from tests.support.gitlab_double.store import MergeRequest
from tests.support.harness import Ran

pytestmark = pytest.mark.terraform
pytest_plugins = ["tests.support.gitlab_double.fixtures"]

DEVELOPER = 30


class GitLabTeam:
    """An estate whose team works on GitLab; DriftGuard reads the work tree and pushes to its origin."""

    def __init__(self, estate: Estate, gitlab: GitLabDouble, policy: str) -> None:
        self.estate, self.sandbox, self.toy, self.gitlab = estate, estate.sandbox, estate.toy, gitlab
        self.project = gitlab.add_project()
        for name in ("ada", "bob"):
            gitlab.allow(self.project, name, DEVELOPER)
        self.sandbox.git("remote", "add", "origin", str(self.project.git.path))
        self.sandbox.commit("An empty repository")
        self.sandbox.git("push", "--quiet", "origin", "HEAD:main")
        self.sandbox.git("switch", "--quiet", "--create", "first")
        estate.write(thing("a", value="git"))
        estate.configure(
            f"policy: {policy}\nalerts: {{trail: false}}\n"
            f"forge: {{kind: gitlab, repository: acme/infra, token_env: TOKEN, url: {gitlab.url}}}\n"
        )
        self.sandbox.apply("environments/dev")
        self.sandbox.commit("applied", {".gitignore": ".terraform/\n"})
        self.merge("first", "bob")
        assert self.reconcile().code == 0

    def merge(self, branch: str, *reviewers: str) -> None:
        """Ada merges the branch that is checked out by a merge request."""
        self.sandbox.git("push", "--quiet", "origin", branch)
        self.sandbox.git("switch", "--quiet", "main")
        request = self.gitlab.open(self.project, "ada", branch)
        for name in reviewers:
            self.gitlab.approve(request, name)
        self.gitlab.merge(request, "ada")

    def reconcile(self) -> Ran:
        self.sandbox.git("pull", "--quiet", "--ff-only", "origin", "main")
        return self.estate.reconcile(TOKEN=self.gitlab.token)

    def request(self) -> MergeRequest:
        """The newest merge request."""
        return self.project.requests[max(self.project.requests)]


@pytest.mark.parametrize("squash", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_drift_becomes_a_merge_request_whose_merge_is_applied(
    estate: Estate, gitlab: GitLabDouble, squash: bool
) -> None:
    team = GitLabTeam(estate, gitlab, "{drift: propose}")
    team.toy.change("a", value="outside")
    gitlab.fail("POST /projects/{id}/merge_requests", LostAnswer())
    for _ in range(2):
        ran = team.reconcile()
        assert decision(ran) == ("propose", ["policy_propose", "proposed"])
    request = team.request()
    assert (len(team.project.requests), request.labels) == (2, ["driftguard"])  # the first is the team's own
    assert "merge_requests/new?" in request.description
    gitlab.merge(request, "ada", squash=squash)
    ran = team.reconcile()
    assert (ran.code, decision(ran)) == (0, ("apply", ["approved", "merged", "applied"]))
    assert "Applied: dev is in sync" in request.notes[-1].body


def test_a_merge_request_that_a_person_closed_stays_closed(estate: Estate, gitlab: GitLabDouble) -> None:
    team = GitLabTeam(estate, gitlab, "{drift: propose}")
    team.toy.change("a", value="outside")
    team.reconcile()
    gitlab.close(team.request(), "bob")
    for _ in range(2):
        ran = team.reconcile()
        assert decision(ran) == ("propose", ["policy_propose", "acknowledged"])
        assert "closed by bob" in str(reasons(ran))
    assert len(team.project.requests) == 2  # the first is the team's own


def test_reviewed_merges_are_applied_and_others_held(estate: Estate, gitlab: GitLabDouble) -> None:
    team = GitLabTeam(estate, gitlab, "{pending: apply, approval: {require: reviewed}}")

    def change(value: str, *reviewers: str) -> None:
        team.sandbox.git("switch", "--quiet", "--create", f"change-{value}")
        team.estate.write(thing("a", value=value))
        team.sandbox.commit(f"Say {value}")
        team.merge(f"change-{value}", *reviewers)

    change("two", "bob")
    ran = team.reconcile()
    assert (ran.code, decision(ran)) == (0, ("apply", ["policy_apply", "reviewed", "applied"])), reasons(ran)
    change("three")
    ran = team.reconcile()
    assert decision(ran) == ("hold", ["not_reviewed"])
    assert team.toy.thing("a")["value"] == "two"
