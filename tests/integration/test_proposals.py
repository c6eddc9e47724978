"""Remediation by pull request with plain git as the forge: real Terraform, a real server."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from itertools import groupby
from pathlib import Path

import pytest

from driftguard.model.fingerprints import digest_of
from tests.integration.conftest import Estate
from tests.integration.test_agent import Running
from tests.integration.test_reconcile import decision, thing
from tests.support.git_server import GitServer
from tests.support.harness import Ran, Sandbox
from tests.support.origin import Origin
from tests.support.toy_estate import Wrapped

pytestmark = pytest.mark.terraform

PROPOSE = "policy: {drift: propose}\nforge: {kind: git}\nalerts: {trail: false}\n"
ADOPT = PROPOSE.replace("propose}", "propose, prefer: adopt}")


class Team:
    """An estate whose team works through a server."""

    def __init__(self, estate: Estate, folder: Path, configuration: str = PROPOSE, body: str | None = None) -> None:
        self.estate, self.sandbox, self.toy = estate, estate.sandbox, estate.toy
        estate.write(body or thing("a", value="git", tags={"owner": "core"}))
        estate.configure(configuration)
        self.sandbox.apply("environments/dev")
        (self.sandbox.repository / ".gitignore").write_text(".terraform/\n")
        self.sandbox.commit("applied")
        self.origin = Origin(self.sandbox, folder)
        assert self.reconcile().code == 0

    def reconcile(self, **variables: str) -> Ran:
        self.sandbox.git("pull", "--quiet", "--ff-only", "origin", "main")
        return self.estate.reconcile(**variables)

    def configure(self, text: str) -> None:
        self.estate.configure(text)
        self.origin.publish()

    def states(self) -> list[str]:
        """The states of the environment's proposals, in the order of the ledger, without repetitions."""
        entries = self.sandbox.run("history", "dev", "--format", "json", "--limit", "500").report["entries"]
        found = [entry["data"]["state"] for entry in entries if entry["kind"] == "proposal"]
        return [state for state, _ in groupby(found)]


@pytest.fixture
def team(estate: Estate, tmp_path: Path) -> Team:
    return Team(estate, tmp_path / "origin.git")


def reasons(ran: Ran) -> list[str]:
    return [str(reason) for reason in ran.environment("dev")["decision"]["reasons"]]


def test_drift_is_proposed_merged_applied_and_in_sync(team: Team) -> None:
    team.toy.change("a", value="outside")
    ran = team.reconcile()
    assert (ran.code, decision(ran)) == (2, ("propose", ["policy_propose", "proposed"]))
    branch = team.origin.only_branch()
    assert branch == f"driftguard/dev/{digest_of(ran.environment('dev')['drift_fingerprint'])[:12]}"
    ((path, text),) = team.origin.files(branch).items()
    assert path == f".driftguard/approvals/dev/{ran.environment('dev')['plan_fingerprint']}.yaml"
    assert "update toy_thing.a" in text
    assert f"git push origin --delete {branch}" in ran.stderr
    assert team.toy.thing("a")["value"] == "outside"

    before = team.origin.branches()
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])
    assert team.origin.branches() == before  # the same again

    team.origin.merge(branch)
    ran = team.reconcile()
    assert (ran.code, decision(ran)) == (0, ("apply", ["approved", "merged", "applied"]))
    assert team.toy.thing("a")["value"] == "git"
    assert team.origin.branches() == {}
    assert team.states() == ["opening", "open", "merged", "done"]
    assert team.reconcile().code == 0
    assert team.sandbox.run("ledger", "verify").code == 0


def test_an_adoption_that_is_merged_leaves_nothing_to_do(estate: Estate, tmp_path: Path) -> None:
    team = Team(estate, tmp_path / "origin.git", ADOPT)
    team.toy.change("a", value="outside", tags={"owner": "core", "cost": "42"})
    effects = team.toy.effects()
    ran = team.reconcile()
    assert decision(ran) == ("propose", ["policy_propose", "proposed"])
    branch = team.origin.only_branch()
    ((path, text),) = team.origin.files(branch).items()
    assert path == "environments/dev/main.tf"
    assert 'value = "outside"' in text
    assert set(team.origin.branches()) == {branch, f"{branch}-revert"}
    team.origin.merge(branch)
    ran = team.reconcile()
    assert (ran.code, ran.environment("dev")["verdict"]) == (0, "in_sync")
    assert team.sandbox.terraform("environments/dev", "plan", "-detailed-exitcode", "-input=false").returncode == 0
    assert team.toy.effects() == effects
    assert team.origin.branches() == {}
    assert team.states()[-1] == "done"


def test_the_other_choice_may_be_merged_instead(team: Team) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    assert len(team.origin.branches()) == 2
    team.origin.merge(team.origin.only_branch("-adopt"))
    assert team.reconcile().code == 0
    assert (team.toy.thing("a")["value"], team.origin.branches(), team.states()[-1]) == ("outside", {}, "closed")


def test_more_drift_after_the_merge_makes_it_void_and_a_new_proposal_follows(team: Team) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    first = team.origin.only_branch()
    team.origin.merge(first)
    team.toy.change("a", value="outside", tags={"owner": "hotfix"})
    effects = team.toy.effects()
    ran = team.reconcile()
    assert decision(ran) == ("propose", ["policy_propose", "approval_void", "proposed"])
    assert "more or other attributes were changed outside Terraform" in str(reasons(ran))
    assert "Nothing was applied" not in ran.stdout
    assert team.toy.effects() == effects
    second = team.origin.only_branch()
    assert second != first
    assert team.states() == ["opening", "open", "merged", "void", "opening", "open"]

    team.toy.change("a", value="outside", tags={"owner": "core"})  # the first plan, whose approval was said to be void
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])
    assert team.toy.effects() == effects
    team.origin.merge(second)
    assert team.reconcile().code == 0
    assert team.toy.thing("a") == {**team.toy.thing("a"), "value": "git", "tags": {"owner": "core"}}


@pytest.mark.further
def test_more_drift_before_the_merge_brings_the_proposal_up_to_date(team: Team) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    branch, before = team.origin.only_branch(), team.origin.branches()
    team.toy.change("a", value="outside", tags={"owner": "hotfix"})
    ran = team.reconcile()
    assert decision(ran) == ("propose", ["policy_propose", "proposed"])
    assert team.origin.only_branch() == branch
    assert team.origin.branches()[branch] != before[branch]
    assert "the drift has changed" in ran.stderr
    team.origin.merge(branch)
    assert team.reconcile().code == 0


def test_another_users_merge_in_between_makes_it_void(team: Team) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    team.origin.merge(team.origin.only_branch())
    team.estate.merge("Add b", thing("a", value="git", tags={"owner": "core"}) + thing("b"))
    team.origin.publish()
    effects = team.toy.effects()
    ran = team.reconcile()
    assert decision(ran) == ("hold", ["mixed_with_pending", "approval_void"])
    assert team.toy.effects() == effects
    assert team.states()[-1] == "void"


def test_an_approval_that_expired_approves_nothing(estate: Estate, tmp_path: Path) -> None:
    team = Team(estate, tmp_path / "origin.git", PROPOSE.replace("{kind: git}", "{kind: git, expires: 1s}"))
    team.toy.change("a", value="outside")
    team.reconcile()
    first = team.origin.only_branch()
    team.origin.merge(first)
    effects = team.toy.effects()
    time.sleep(1.1)
    ran = team.reconcile()
    assert decision(ran)[1][:2] == ["policy_propose", "approval_void"]
    assert "it expired at" in str(reasons(ran))
    assert team.toy.effects() == effects


def test_forged_copied_edited_and_used_approvals_apply_nothing(team: Team) -> None:
    team.toy.change("a", value="outside")
    ran = team.reconcile()
    plan = ran.environment("dev")["plan_fingerprint"]
    branch = team.origin.only_branch()
    ((path, text),) = team.origin.files(branch).items()
    forgeries = {
        "edited": text.replace("update toy_thing.a", "delete toy_thing.a"),
        "another environment": text.replace('environment: "dev"', 'environment: "prod"'),
        "a longer life": text.replace('expires_at: "20', 'expires_at: "21'),
        "made up": "\n".join(line for line in text.splitlines() if not line.startswith("seal")),
    }
    effects = team.toy.effects()
    for what, forged in forgeries.items():
        assert forged != text
        team.sandbox.commit(what, {path: forged + "\n"})
        team.origin.publish()
        ran = team.reconcile()
        assert decision(ran)[0] == "propose", what
        assert "was changed after DriftGuard wrote it" in str(reasons(ran)) or "not a" in str(reasons(ran)), what
        assert team.toy.effects() == effects, what
    team.sandbox.git("rm", "--quiet", path)
    team.sandbox.commit("away with it")
    other = path.replace("/dev/", "/prod/")
    team.sandbox.commit("in another environment's folder", {other: text + "\n"})
    team.origin.publish()
    assert decision(team.reconcile())[0] == "propose"
    assert team.toy.effects() == effects

    # The real one is used once; the very same drift asks again, also if the file comes back.
    team.sandbox.commit("the real one", {path: text + "\n"})
    team.origin.publish()
    assert decision(team.reconcile())[0] == "apply"
    team.toy.change("a", value="outside")
    effects = team.toy.effects()
    ran = team.reconcile()
    assert (decision(ran)[0], ran.environment("dev")["plan_fingerprint"]) == ("propose", plan)
    assert team.toy.effects() == effects


@pytest.mark.further
def test_a_person_who_closes_it_has_answered(team: Team) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    branch = team.origin.only_branch()
    team.origin.delete(branch)
    for _ in range(2):
        assert decision(team.reconcile()) == ("propose", ["policy_propose", "acknowledged"])
        assert team.origin.branches() == {}
    assert team.states()[-1] == "acknowledged"
    team.toy.change("a", value="outside again")
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])


@pytest.mark.further
def test_drift_that_is_gone_closes_its_proposal(team: Team) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    team.toy.change("a", value="git")
    ran = team.reconcile()
    assert (ran.code, team.origin.branches(), team.states()[-1]) == (0, {}, "closed")
    assert "Closed by DriftGuard" in ran.stderr
    team.toy.change("a", value="outside")
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])


@pytest.mark.further
def test_what_a_user_pushes_to_the_branch_is_left_alone(team: Team) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    branch = team.origin.only_branch()
    team.sandbox.git("fetch", "--quiet", "origin", branch)
    team.sandbox.git("switch", "--quiet", "--detach", "FETCH_HEAD")
    mine = team.sandbox.commit("mine", {"notes.md": "wait\n"})
    team.sandbox.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    team.sandbox.git("switch", "--quiet", "main")
    team.toy.change("a", value="outside again")
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposal_changed"])
    assert team.origin.branches()[branch] == mine
    team.toy.change("a", value="git")
    assert team.reconcile().code == 0
    assert team.origin.branches() == {branch: mine}


def test_a_held_pending_plan_is_approved_by_its_proposal(estate: Estate, tmp_path: Path) -> None:
    configuration = "policy: {pending: propose}\nforge: {kind: git}\n"
    body = thing("a", value="git") + thing("b") + thing("c")
    team = Team(estate, tmp_path / "origin.git", configuration, body)
    team.estate.merge("Without b", thing("a", value="git") + thing("c"))
    team.origin.publish()
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])
    ((_, text),) = team.origin.files(team.origin.only_branch()).items()
    assert "delete toy_thing.b" in text
    team.origin.merge(team.origin.only_branch())
    assert team.reconcile().code == 0
    assert team.toy.effects()[-1] == "delete b"


def test_without_a_forge_or_its_token_the_rest_of_the_job_goes_on(team: Team) -> None:
    team.toy.change("a", value="outside")
    team.configure("policy: {drift: propose}\n")
    assert decision(team.reconcile()) == ("hold", ["proposals_not_available"])
    team.configure("policy: {drift: propose}\nforge: {kind: github, repository: a/b, token_env: TOKEN}\n")
    ran = team.reconcile()
    assert (ran.code, decision(ran)) == (2, ("hold", ["proposals_not_available"]))
    assert "TOKEN" in ran.report["warnings"][0]


def test_a_sensitive_value_stands_nowhere_in_a_proposal(estate: Estate, tmp_path: Path) -> None:
    body = (
        'variable "key" {\n  sensitive = true\n  default = "s3cret-git"\n}\n'
        + thing("b")
        + ('resource "toy_thing" "a" {\n  name   = "a"\n  secret = var.key\n}\n')
    )
    team = Team(estate, tmp_path / "origin.git", ADOPT, body)
    team.toy.change("a", secret="s3cret-outside")
    ran = team.reconcile()
    assert decision(ran) == ("propose", ["policy_propose", "proposed", "adopt_refused"])
    branch = team.origin.only_branch()
    shown = json.dumps(team.origin.files(branch)) + team.sandbox.git("log", "-1", "--format=%B", "FETCH_HEAD")
    assert "s3cret" not in shown + ran.stdout + ran.stderr


@pytest.mark.further
def test_the_proposal_of_an_environment_that_is_gone_is_closed(team: Team) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    team.estate.write(thing("b"), environment="other")
    team.sandbox.git("rm", "-r", "--quiet", "environments/dev")
    team.sandbox.commit("dev is gone")
    team.origin.publish()
    ran = team.reconcile()
    assert "dev is no longer an environment" in ran.stderr
    assert (team.origin.branches(), team.states()[-1]) == ({}, "closed")


# --- crashes -------------------------------------------------------------------------------------


def kill_driftguard_at(sandbox: Sandbox, folder: Path, command: str, number: int, when: str) -> Wrapped:
    """A git that kills driftguard before or after the nth call of one of its commands."""
    count = folder.with_name(f"{folder.name}.count")
    after = '"$REAL" "$@"; ' if when == "after" else ""
    trick = (
        f'case " $* " in *" {command} "*) echo x >> "{count}"; '
        f'if [ $(wc -l < "{count}") -eq {number} ]; then {after}kill -9 $PPID; exit 1; fi;; esac'
    )
    return Wrapped(sandbox, folder, trick, program="git")


# A moment of each kind in `make test`, the others in `make soak`.
MOMENTS = pytest.mark.parametrize(
    ("number", "when"),
    [
        (1, "after"),
        pytest.param(1, "before", marks=pytest.mark.soak),
        pytest.param(2, "before", marks=pytest.mark.soak),
        pytest.param(2, "after", marks=pytest.mark.soak),
    ],
)


@MOMENTS
def test_a_run_that_is_killed_while_it_proposes_leaves_one_proposal(
    estate: Estate, tmp_path: Path, number: int, when: str
) -> None:
    team = Team(estate, tmp_path / "origin.git")
    team.toy.change("a", value="outside")
    path = team.sandbox.variables["PATH"]
    kill_driftguard_at(team.sandbox, tmp_path / "deadly", "push", number, when)
    assert team.estate.reconcile().code == -signal.SIGKILL
    team.sandbox.variables["PATH"] = path
    expire_leases(team.sandbox)
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])
    branch = team.origin.only_branch()
    assert set(team.origin.branches()) == {branch, f"{branch}-adopt"}
    assert team.states() == ["opening", "open"]
    team.origin.merge(branch)
    assert team.reconcile().code == 0
    assert team.origin.branches() == {}


@pytest.mark.crash
@MOMENTS
def test_a_run_that_is_killed_while_it_closes_is_not_taken_for_a_person(
    estate: Estate, tmp_path: Path, number: int, when: str
) -> None:
    team = Team(estate, tmp_path / "origin.git")
    team.toy.change("a", value="outside")
    team.reconcile()
    team.toy.change("a", value="git")
    path = team.sandbox.variables["PATH"]
    kill_driftguard_at(team.sandbox, tmp_path / "deadly", "push", number, when)
    assert team.estate.reconcile().code == -signal.SIGKILL
    team.sandbox.variables["PATH"] = path
    expire_leases(team.sandbox)
    assert team.reconcile().code == 0
    assert (team.origin.branches(), team.states()[-2:]) == ({}, ["closing", "closed"])


def expire_leases(sandbox: Sandbox) -> None:
    """As if the time of a dead run's leases had passed."""
    file = sandbox.ledger_file()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM leases")


def test_the_agent_wakes_for_a_merged_proposal_and_applies_it(team: Team) -> None:
    team.toy.change("a", value="outside")
    agent = Running(team.sandbox, "--every", "1h")
    try:
        assert agent.wait_for(1) == ("start", "1 environment, 1 drifted")
        team.origin.merge(team.origin.only_branch())
        assert agent.wait_for(2) == ("commit", "1 environment, 1 in sync")
        assert team.toy.thing("a")["value"] == "git"
    finally:
        assert agent.end() == 0


@pytest.mark.further
def test_the_whole_circle_over_http_without_a_work_tree(estate: Estate, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    team = Team(estate, served / "origin.git")
    with GitServer(served, "driftguard", "p4ssword-of-the-bot") as server:

        def reconcile() -> Ran:
            return team.sandbox.run("reconcile", "--format", "json", "--repo", server.url("origin.git"))

        assert reconcile().code == 0
        team.toy.change("a", value="outside")
        ran = reconcile()
        assert decision(ran) == ("propose", ["policy_propose", "proposed"])
        team.origin.merge(team.origin.only_branch())
        ran = reconcile()
        assert (ran.code, decision(ran)) == (0, ("apply", ["approved", "merged", "applied"]))
        assert (team.toy.thing("a")["value"], team.origin.branches()) == ("git", {})
        assert "p4ssword" not in ran.stdout + ran.stderr


# --- approvals that had their answer ----------------------------------------------------------------


@pytest.mark.further
def test_an_approval_of_the_other_choice_that_was_void_stays_so(estate: Estate, tmp_path: Path) -> None:
    team = Team(estate, tmp_path / "origin.git", ADOPT)
    team.toy.change("a", value="outside")
    team.reconcile()
    team.origin.merge(team.origin.only_branch("-revert"))
    team.toy.change("a", value="outside", tags={"owner": "hotfix"})
    effects = team.toy.effects()
    assert decision(team.reconcile())[0] == "propose"
    team.toy.change("a", value="outside", tags={"owner": "core"})  # the very plan that was approved first
    assert decision(team.reconcile())[0] == "propose"
    assert team.toy.effects() == effects


@pytest.mark.further
def test_a_proposal_that_was_squashed_onto_the_branch_is_merged_and_no_refusal(team: Team) -> None:
    team.toy.change("a", value="outside")
    team.reconcile()
    branch = team.origin.only_branch()
    team.origin.squash(branch)
    team.origin.delete(branch)
    assert team.reconcile().code == 0
    assert (team.toy.thing("a")["value"], team.states()[-1]) == ("git", "done")
    team.toy.change("a", value="outside")
    assert decision(team.reconcile()) == ("propose", ["policy_propose", "proposed"])


@pytest.mark.further
def test_an_address_of_any_characters_can_be_approved(estate: Estate, tmp_path: Path) -> None:
    odd = thing("a", value="git") + thing("k", value="git").replace("{\n", '{\n  for_each = toset(["\U0001f600"])\n', 1)
    team = Team(estate, tmp_path / "origin.git", PROPOSE, odd)
    team.toy.change("k", value="outside")
    team.reconcile()
    team.origin.merge(team.origin.only_branch())
    assert decision(team.reconcile()) == ("apply", ["approved", "merged", "applied"])
    assert team.toy.thing("k")["value"] == "git"
