"""Remediation by pull request on GitHub, full circle: every request is checked against GitHub's own description."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import Estate
from tests.integration.test_proposals import expire_leases, reasons
from tests.integration.test_reconcile import decision, thing
from tests.support.github_double import GitHubDouble, LostAnswer, Pull, Refusal, Repository, Reset, refused
from tests.support.harness import Ran

pytestmark = pytest.mark.terraform
pytest_plugins = ["tests.support.github_double.fixtures"]

OPEN = "POST /repos/{owner}/{repo}/pulls"
LIST = "GET /repos/{owner}/{repo}/pulls"
COMMENT = "POST /repos/{owner}/{repo}/issues/{issue_number}/comments"
CLOSE = "PATCH /repos/{owner}/{repo}/pulls/{pull_number}"


# One way of merging in `make test`, the others in `make soak`; test_github_reviews.py knows all of them.
HOW = pytest.mark.parametrize(
    "how",
    ["rebase", pytest.param("merge", marks=pytest.mark.soak), pytest.param("squash", marks=pytest.mark.soak)],
)


class GitHubTeam:
    """An estate whose team works on GitHub; DriftGuard reads the work tree and pushes to its origin."""

    def __init__(self, estate: Estate, github: GitHubDouble, policy: str, *, forge: str = "") -> None:
        self.estate, self.sandbox, self.toy, self.github = estate, estate.sandbox, estate.toy, github
        self.repository: Repository = github.add_repository()
        for login in ("ada", "bob"):
            github.allow(self.repository, login, "write")
        self.sandbox.git("remote", "add", "origin", str(self.repository.git.path))
        reviewed = "require: reviewed" in policy
        if reviewed:
            self.sandbox.commit("An empty repository")
            self.publish()
            as_ada(self)
            self.sandbox.git("switch", "--quiet", "--create", "first")
        estate.write(thing("a", value="git", tags={"owner": "core"}))
        estate.configure(
            f"policy: {policy}\nalerts: {{trail: false}}\n"
            f"forge: {{kind: github, repository: acme/infra, token_env: TOKEN, url: {github.url}{forge}}}\n"
        )
        self.sandbox.apply("environments/dev")
        self.sandbox.commit("applied", {".gitignore": ".terraform/\n"})
        if reviewed:
            self.merge_reviewed("first")
        else:
            self.publish()
        assert self.reconcile().code == 0

    def publish(self) -> None:
        self.sandbox.git("push", "--quiet", "origin", "HEAD:main")

    def merge_reviewed(self, branch: str) -> None:
        """Ada merges the branch that is checked out by a pull request that Bob approved."""
        self.sandbox.git("push", "--quiet", "origin", branch)
        self.sandbox.git("switch", "--quiet", "main")
        pull = self.github.open_pull(self.repository, "ada", branch)
        self.github.review(self.repository, pull.number, "bob")
        self.merge(pull)

    def reconcile(self) -> Ran:
        self.sandbox.git("pull", "--quiet", "--ff-only", "origin", "main")
        return self.estate.reconcile(TOKEN=self.github.token)

    def pull(self) -> Pull:
        """The only open pull request."""
        (number,) = [pull.number for pull in self.repository.pulls.values() if pull.state == "open"]
        return self.repository.pull(number)

    def branches(self) -> list[str]:
        listed = self.sandbox.git("ls-remote", "--heads", "origin", "driftguard/*")
        return [line.rpartition("refs/heads/")[2] for line in listed.splitlines()]

    def merge(self, pull: Pull, how: str = "merge", *, by: str = "ada", bypass: bool = False) -> str:
        return self.github.merge(self.repository, pull.number, by, how, bypass=bypass)


@pytest.fixture
def team(estate: Estate, github: GitHubDouble) -> GitHubTeam:
    return GitHubTeam(estate, github, "{drift: propose}")


@HOW
def test_drift_becomes_a_pull_request_whose_merge_is_applied(team: GitHubTeam, how: str) -> None:
    team.toy.change("a", value="outside")
    ran = team.reconcile()
    assert decision(ran) == ("propose", ["policy_propose", "proposed"])
    pull = team.pull()
    assert f"{team.github.web}/acme/infra/pull/{pull.number}" in reasons(ran)[1]
    assert pull.title == "dev: revert changes outside Terraform (toy_thing.a)"
    assert "`value is outside, configured git`" in pull.body
    assert f"compare/main...{pull.head}-adopt?expand=1" in pull.body
    assert pull.labels == ["driftguard"]
    requests = len(team.github.requests)
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])
    assert {r.method for r in team.github.requests[requests:]} <= {"GET", "PATCH"}  # its text may learn who wrote it
    before, requests = pull.updated_at, len(team.github.requests)
    team.reconcile()
    assert {r.method for r in team.github.requests[requests:]} == {"GET"}
    assert team.pull().updated_at == before

    team.merge(pull, how)
    ran = team.reconcile()
    assert (ran.code, decision(ran)) == (0, ("apply", ["approved", "merged", "applied"]))
    assert team.toy.thing("a")["value"] == "git"
    assert [comment.body.partition("\n")[0] for comment in pull.comments] == [
        f"Applied: dev is in sync at {ran.report['commit'][:10]}."
    ]
    assert team.branches() == []
    requests = len(team.github.requests)
    assert team.reconcile().code == 0
    assert len(team.github.requests) == requests  # what is in sync asks nobody


@pytest.mark.further
def test_a_proposal_that_grows_voids_earlier_reviews_and_reports_it(team: GitHubTeam) -> None:
    team.github.protect(team.repository, "main", approvals=1, dismiss_stale=True)
    team.toy.change("a", value="outside")
    team.reconcile()
    pull = team.pull()
    team.github.review(team.repository, pull.number, "ada")
    team.toy.change("a", value="outside", tags={"owner": "hotfix"})
    team.reconcile()
    assert team.pull().number == pull.number
    assert "Earlier approvals of it are void" in pull.comments[-1].body
    with pytest.raises(Refusal):
        team.merge(pull)  # GitHub itself dismissed the review, too
    team.github.review(team.repository, pull.number, "ada")
    team.merge(pull)
    assert team.reconcile().code == 0


@pytest.mark.further
def test_a_pull_request_that_a_person_closed_stays_closed(team: GitHubTeam) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    pull = team.pull()
    team.github.close(team.repository, pull.number, "bob")
    for _ in range(2):
        ran = team.reconcile()
        assert decision(ran) == ("propose", ["policy_propose", "acknowledged"])
        assert "closed by bob at 2" in reasons(ran)[1]
    assert len(team.repository.pulls) == 1
    assert "closed by bob" in team.sandbox.run("explain", "dev").stdout


@pytest.mark.further
def test_a_pull_request_that_a_person_retargeted_is_left_as_it_is_until_the_drift_is_gone(team: GitHubTeam) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    pull = team.pull()
    team.sandbox.git("push", "--quiet", "origin", "main:refs/heads/release")
    team.github.retarget(team.repository, pull.number, "release")
    text, head, branches = pull.body, pull.head_sha, team.branches()
    team.toy.change("a", value="outside again")
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposal_changed"])
    pull = team.repository.pull(pull.number)
    assert (pull.state, pull.body, pull.head_sha, team.branches()) == ("open", text, head, branches)
    assert len(team.repository.pulls) == 1
    team.toy.change("a", value="git")
    assert team.reconcile().code == 0
    assert (team.repository.pull(pull.number).state, team.branches()) == ("closed", [])


def test_drift_that_is_gone_closes_the_pull_request_with_a_reason(team: GitHubTeam) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    pull = team.pull()
    team.toy.change("a", value="git")
    assert team.reconcile().code == 0
    assert (team.repository.pull(pull.number).state, team.branches()) == ("closed", [])
    assert "Closed by DriftGuard: dev is in sync" in pull.comments[-1].body


@pytest.mark.parametrize(
    "fault",
    [
        LostAnswer(),
        pytest.param(refused(403, "Forbidden"), marks=pytest.mark.further),
        pytest.param(Reset(), marks=pytest.mark.soak),
        pytest.param(refused(500, "Server Error"), marks=pytest.mark.soak),
    ],
)
def test_whatever_goes_wrong_while_opening_there_is_one_pull_request(team: GitHubTeam, fault: object) -> None:
    team.toy.change("a", value="outside")
    team.github.fail(OPEN, fault)  # type: ignore[arg-type]
    first = team.reconcile()
    assert decision(first)[0] == "propose"
    assert (first.code, first.environment("dev")["verdict"]) == (2, "drifted")
    team.github.clear_faults()
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])
    assert len(team.repository.pulls) == 1
    assert len(team.branches()) == 2


def test_a_forge_that_is_away_costs_the_rest_of_the_job_nothing(team: GitHubTeam) -> None:
    team.toy.change("a", value="outside")
    team.github.stop()
    ran = team.reconcile()
    assert (ran.code, decision(ran)) == (2, ("propose", ["policy_propose", "proposal_failed"]))
    assert "GitHub could not be reached" in str(reasons(ran))
    assert team.github.token not in ran.stdout + ran.stderr


def test_doctor_states_whether_the_forge_answers(team: GitHubTeam) -> None:
    ran = team.sandbox.run("doctor", "--format", "json", TOKEN=team.github.token)
    (forge,) = [check for check in ran.report["checks"] if check["check"] == "forge"]
    assert (forge["good"], forge["detail"].partition(";")[0]) == (True, "0 proposals are open")
    for token, sentence in (("", "TOKEN holds no token"), ("wrong", "Check the credential")):
        ran = team.sandbox.run("doctor", "--format", "json", TOKEN=token)
        (forge,) = [check for check in ran.report["checks"] if check["check"] == "forge"]
        assert (forge["good"], sentence in forge["detail"]) == (False, True)


def test_no_more_are_opened_than_the_configuration_allows(estate: Estate, github: GitHubDouble) -> None:
    team = GitHubTeam(estate, github, "{drift: propose}", forge=", most_open: 1")
    team.repository.git.add_commit("driftguard/other/0123456789ab", {"x": "y\n"}, start="main")
    github.open_pull(team.repository, github.bot.login, "driftguard/other/0123456789ab")
    team.toy.change("a", value="outside")
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposals_waiting"])
    github.close(team.repository, 1, "bob")
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])


# --- approval by review --------------------------------------------------------------------------

REVIEWED = "{pending: apply, approval: {require: reviewed}}"


def as_ada(team: GitHubTeam, address: str = "ada@example.com") -> None:
    """Commit by an address: Ada's own, or another."""
    team.sandbox.variables |= {"GIT_AUTHOR_EMAIL": address, "GIT_COMMITTER_EMAIL": address}


def change(team: GitHubTeam, value: str, *, reviewers: tuple[str, ...] = ("bob",), how: str = "merge") -> None:
    """Ada changes the code by a pull request."""
    branch = f"change-{value}"
    team.sandbox.git("switch", "--quiet", "--create", branch)
    team.estate.write(thing("a", value=value, tags={"owner": "core"}))
    as_ada(team)
    team.sandbox.commit(f"Say {value}")
    team.sandbox.git("push", "--quiet", "origin", branch)
    team.sandbox.git("switch", "--quiet", "main")
    pull = team.github.open_pull(team.repository, "ada", branch)
    for login in reviewers:
        team.github.review(team.repository, pull.number, login)
    team.merge(pull, how, bypass=not reviewers)


@HOW
def test_a_reviewed_merge_is_applied(estate: Estate, github: GitHubDouble, how: str) -> None:
    team = GitHubTeam(estate, github, REVIEWED)
    change(team, "two", how=how)
    ran = team.reconcile()
    assert (ran.code, decision(ran)) == (0, ("apply", ["policy_apply", "reviewed", "applied"])), reasons(ran)


def test_a_bypass_a_direct_push_and_an_unreachable_forge_hold(estate: Estate, github: GitHubDouble) -> None:
    team = GitHubTeam(estate, github, REVIEWED)
    github.protect(team.repository, "main", approvals=1)
    github.allow(team.repository, "ada", "admin")
    change(team, "two", reviewers=())
    ran = team.reconcile()
    assert decision(ran) == ("hold", ["not_reviewed"])
    assert "has 0 of 1 approvals" in str(reasons(ran))
    team.estate.merge("pushed", thing("a", value="three", tags={"owner": "core"}))
    team.publish()
    ran = team.reconcile()
    assert "came with no pull request that the forge can name" in str(reasons(ran))
    github.stop()
    ran = team.reconcile()
    assert decision(ran) == ("hold", ["not_reviewed", "not_reviewed"])
    assert "could not be checked" in str(reasons(ran))
    assert team.toy.thing("a")["value"] == "git"


def test_a_merge_made_by_hand_with_more_in_it_is_not_what_was_approved(estate: Estate, github: GitHubDouble) -> None:
    team = GitHubTeam(estate, github, REVIEWED)
    as_ada(team)
    team.sandbox.git("switch", "--quiet", "--create", "harmless")
    team.sandbox.commit("A note", {"environments/dev/note.tf": "# a note\n"})
    team.sandbox.git("push", "--quiet", "origin", "harmless")
    pull = github.open_pull(team.repository, "ada", "harmless")
    github.review(team.repository, pull.number, "bob")
    team.sandbox.git("switch", "--quiet", "main")
    team.sandbox.git("merge", "--quiet", "--no-commit", "--no-ff", "harmless")
    team.estate.write(thing("a", value="evil", tags={"owner": "core"}))
    team.sandbox.commit("Merge #1")
    team.publish()
    ran = team.reconcile()
    assert (decision(ran), team.toy.thing("a")["value"]) == (("hold", ["not_reviewed"]), "git")
    assert f"is not #{pull.number} as it was approved: it holds something else than its branch" in str(reasons(ran))


def test_no_user_approves_their_own_commit_by_writing_it_under_another_address(
    estate: Estate, github: GitHubDouble
) -> None:
    team = GitHubTeam(estate, github, REVIEWED)
    as_ada(team)
    team.sandbox.git("switch", "--quiet", "--create", "harmless")
    team.sandbox.commit("A note", {"environments/dev/note.tf": "# a note\n"})
    team.sandbox.git("push", "--quiet", "origin", "harmless")
    pull = github.open_pull(team.repository, "ada", "harmless")
    as_ada(team, "nobody@nowhere.example")
    team.estate.write(thing("a", value="evil", tags={"owner": "core"}))
    team.sandbox.commit("Bob's")
    team.sandbox.git("push", "--quiet", "origin", "harmless")
    team.sandbox.git("switch", "--quiet", "main")
    github.review(team.repository, pull.number, "bob")
    team.merge(pull, by="bob")
    ran = team.reconcile()
    assert (decision(ran), team.toy.thing("a")["value"]) == (("hold", ["not_reviewed"]), "git")
    assert "nobody@nowhere.example, whom the forge knows no account of" in str(reasons(ran))


@pytest.mark.further
def test_a_proposal_that_was_reviewed_is_applied_though_its_own_address_is_no_accounts(
    estate: Estate, github: GitHubDouble
) -> None:
    team = GitHubTeam(estate, github, "{drift: propose, approval: {require: reviewed}}")
    team.toy.change("a", value="outside")
    team.reconcile()
    pull = team.pull()
    github.review(team.repository, pull.number, "bob")
    team.merge(pull, by="ada")
    ran = team.reconcile()
    assert (ran.code, decision(ran)) == (0, ("apply", ["approved", "reviewed", "applied"])), reasons(ran)
    assert team.toy.thing("a")["value"] == "git"


@pytest.mark.further
def test_a_proposal_needs_a_review_where_commits_do(estate: Estate, github: GitHubDouble) -> None:
    team = GitHubTeam(estate, github, "{drift: propose, approval: {require: reviewed}}")
    team.toy.change("a", value="outside")
    team.reconcile()
    pull = team.pull()
    team.merge(pull, by="ada")
    ran = team.reconcile()
    assert decision(ran) == ("hold", ["not_reviewed", "proposal_merged"])
    # A baseline that has moved past the merge meanwhile makes the approval no better.
    team.toy.change("a", value="git")
    assert team.reconcile().code == 0
    team.toy.change("a", value="outside")
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])
    assert team.toy.thing("a")["value"] == "outside"


@pytest.mark.crash
def test_a_killed_run_opens_no_second_pull_request(team: GitHubTeam, tmp_path: Path) -> None:
    team.toy.change("a", value="outside")
    team.github.fail(OPEN, LostAnswer())
    team.github.fail(LIST, refused(500, "x"), refused(500, "x"), refused(500, "x"), refused(500, "x"))
    team.reconcile()
    team.github.clear_faults()
    expire_leases(team.sandbox)
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])
    assert len(team.repository.pulls) == 1


@pytest.mark.further
def test_an_approval_that_was_void_stays_so_without_the_forge(team: GitHubTeam) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    team.merge(team.pull())
    team.toy.change("a", value="outside", tags={"owner": "hotfix"})
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "approval_void", "proposed"])
    team.toy.change("a", value="outside", tags={"owner": "core"})  # the very plan that was approved
    effects = team.toy.effects()
    assert decision(team.estate.reconcile())[0] == "hold"  # there is no token
    assert team.toy.effects() == effects


@pytest.mark.further
def test_nothing_is_done_to_the_same_number_in_another_repository(team: GitHubTeam) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    other = team.github.add_repository("acme/infra-new")
    team.github.allow(other, "ada", "write")
    team.sandbox.git("remote", "set-url", "origin", str(other.git.path))
    team.publish()
    other.git.add_commit("feature", {"x": "y\n"}, start="main")
    foreign = team.github.open_pull(other, "ada", "feature")
    assert foreign.number == team.pull().number
    configuration = (team.sandbox.repository / "driftguard.yaml").read_text()
    team.estate.configure(configuration.replace("acme/infra", "acme/infra-new"))
    team.publish()
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])
    assert sorted(other.pulls) == [foreign.number, foreign.number + 1]
    team.toy.change("a", value="git")
    assert team.reconcile().code == 0
    assert (foreign.state, foreign.title, foreign.comments) == ("open", "Change", [])
    assert other.pull(foreign.number + 1).state == "closed"


@pytest.mark.further
def test_what_is_held_for_a_while_leaves_its_proposal_open(team: GitHubTeam) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    pull = team.pull()
    configuration = (team.sandbox.repository / "driftguard.yaml").read_text()
    suspended = configuration.replace("{drift: propose}", "{drift: propose, suspended: {reason: migration}}")
    assert suspended != configuration
    team.estate.configure(suspended)
    team.publish()
    assert decision(team.reconcile()) == ("hold", ["suspended", "proposal_waits"])
    assert (pull.state, pull.comments) == ("open", [])


@pytest.mark.further
def test_environments_that_are_judged_at_once_keep_to_the_most_that_may_be_open(
    estate: Estate, github: GitHubDouble
) -> None:
    names = ("b", "c", "d")
    for name in names:
        estate.write(thing(name, value="git"), environment=name)
        estate.sandbox.apply(f"environments/{name}")
    team = GitHubTeam(estate, github, "{drift: propose}", forge=", most_open: 1")
    for name in ("a", *names):
        team.toy.change(name, value="outside")
    said = [e["decision"]["reasons"][-1].partition(":")[0] for e in team.reconcile().report["environments"]]
    assert sorted(said) == ["proposals_waiting"] * 3 + ["proposed"]
    assert sum(pull.state == "open" for pull in team.repository.pulls.values()) == 1
