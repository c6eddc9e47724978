"""`driftguard doctor --trust`: the levels that a set-up reaches, what is missing, and the forge's own report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from driftguard import config
from driftguard.model import OPEN_BRANCH, BranchProtection
from driftguard.trust import LEVELS, TrustFacts, TrustReport, assess
from tests.support.github_double import GitHubDouble
from tests.support.github_double.connecting import Connect as ConnectGitHub
from tests.support.gitlab_double import GitLabDouble
from tests.support.gitlab_double.connecting import Connect as ConnectGitLab
from tests.support.harness import Sandbox

pytest_plugins = ["tests.support.github_double.fixtures", "tests.support.gitlab_double.fixtures"]

_PLAN, _APPLY = "arn:aws:iam::123456789012:role/plan", "arn:aws:iam::123456789012:role/apply"
_ROLES = f"aws: {{plan_role_arn: '{_PLAN}', apply_role_arn: '{_APPLY}'}}\n"
_SIGNED = "policy: {pending: apply, approval: {require: signed, signers: /etc/signers}}\n"
_REVIEWED = "policy: {pending: apply, approval: {require: reviewed}}\n"
_MERGED = "policy: {pending: apply}\n"
_GOOD = BranchProtection(direct_push=False, force_push=False, approvals=1, dismisses_stale=True, bypass=False)


def facts(repository: str, operator: str | None = None) -> TrustFacts:
    text = None if operator is None else operator.encode()
    settings = config.load(repository.encode(), source="driftguard.yaml", operator_text=text, operator_source="/o.yaml")
    environments = settings.resolve(lambda include, exclude: ["environments/dev", "environments/prod"])
    signers = {each.policy.approval.signers for each in environments}
    return TrustFacts(
        environments=environments,
        branch="main",
        operator_file=None if operator is None else Path("/o.yaml"),
        operator_fault=None,
        roles_by_operator=settings.roles_by_operator,
        signers=dict.fromkeys(filter(None, signers)),
        ledger_writer=settings.written_by("ledger"),
        ledger_fault=None,
        own_identity=False,
        forge_knows_reviews=True,
        protection=_GOOD,
        forge_fault=None,
    )


def reached(report: TrustReport) -> dict[str, bool | None]:
    return {level.name: level.reached for level in report.levels}


def missing(report: TrustReport, level: str) -> list[str]:
    return [check.name for each in report.levels if each.name == level for check in each.missing]


@pytest.mark.parametrize(
    ("repository", "operator", "levels"),
    [
        ("", _ROLES, ["report", "merged", "reviewed", "signed"]),
        (_MERGED, _ROLES, ["merged"]),
        (_MERGED, _ROLES + _REVIEWED, ["merged", "reviewed"]),
        (_MERGED, _ROLES + _SIGNED, ["merged", "reviewed", "signed"]),
        (_SIGNED, _ROLES, ["merged"]),
        ("", _MERGED, []),
    ],
)
def test_a_complete_set_up_reaches_the_level_of_its_policy(
    repository: str, operator: str, levels: Sequence[str]
) -> None:
    given = facts(repository, operator)
    if "signed" in levels:
        given = replace(given, signers={"/etc/signers": None})
    found = reached(assess(given))
    assert [name for name in LEVELS if found[name]] == list(levels)


@pytest.mark.parametrize(
    ("change", "level", "check"),
    [
        ({"operator_file": None}, "signed", "operator's file"),
        ({"operator_fault": "is writable by other users"}, "reviewed", "operator's file"),
        ({"signers": {}}, "signed", "signers"),
        ({"signers": {"/etc/signers": "is writable by other users"}}, "signed", "signers"),
        ({"ledger_writer": "repository"}, "signed", "ledger"),
        ({"ledger_fault": "broken"}, "reviewed", "ledger"),
        ({"forge_knows_reviews": False}, "reviewed", "reviews"),
        ({"roles_by_operator": False}, "merged", "roles by the operator"),
        ({"protection": replace(_GOOD, direct_push=True)}, "merged", "branch: direct pushes"),
        ({"protection": replace(_GOOD, force_push=True)}, "merged", "branch: force pushes"),
        ({"protection": replace(_GOOD, approvals=0)}, "merged", "branch: approval to merge"),
        ({"protection": replace(_GOOD, bypass=True)}, "merged", "branch: administrators"),
        ({"protection": replace(_GOOD, dismisses_stale=False)}, "reviewed", "branch: stale approvals"),
    ],
)
def test_each_missing_need_is_named_with_its_remedy(change: dict[str, object], level: str, check: str) -> None:
    complete = replace(facts(_MERGED, _ROLES + _SIGNED), signers={"/etc/signers": None})
    assert reached(assess(complete))[level] is True
    report = assess(replace(complete, **change))  # type: ignore[arg-type]
    assert missing(report, level) == [check]
    assert reached(report)[level] is False
    (row,) = [row for row in report.rows() if row[1] == check]
    assert row[0] == "FAIL"
    assert row[2].endswith(".")
    (stated,) = [each for each in report.value()["checks"] if each["check"] == check]
    assert stated["remedy"]


@pytest.mark.parametrize(
    ("repository", "check"),
    [
        (_MERGED, "role for plans"),
        (_MERGED + f"aws: {{plan_role_arn: '{_PLAN}'}}\n", "role for applies"),
        (_MERGED + f"aws: {{plan_role_arn: '{_PLAN}', apply_role_arn: '{_PLAN}'}}\n", "role for applies"),
    ],
)
def test_plans_need_a_role_of_their_own(repository: str, check: str) -> None:
    assert check in missing(assess(facts(repository)), "merged")


def test_a_level_whose_needs_cannot_be_asked_is_unknown_and_fails_the_command() -> None:
    given = replace(facts(_MERGED, _ROLES), protection=None, forge_fault="no `forge` is configured")
    report = assess(given)
    assert reached(report)["merged"] is None
    assert report.asked == ("merged",)
    assert not report.good
    assert assess(facts(_MERGED, _ROLES)).good
    found = {row[1]: row[2] for row in report.rows()}
    assert "the forge was not asked: no `forge` is configured" in found["branch: force pushes"]


def test_a_set_up_that_applies_nothing_asks_for_the_level_report() -> None:
    report = assess(facts("", _ROLES))
    assert report.asked == ("report",)
    assert report.good
    assert not assess(facts("policy: {drift: propose}\n", _ROLES)).levels[0].reached  # a merged proposal is applied


# --- what the forges report ----------------------------------------------------------------------


@pytest.mark.parametrize("permission", ["write", "admin"])
def test_github_reports_an_open_branch(github: GitHubDouble, connect_github: ConnectGitHub, permission: str) -> None:
    repository = github.add_repository()
    repository.git.add_commit("main", {"main.tf": "a\n"})
    github.allow(repository, github.bot.login, permission)
    assert connect_github().protection("main") == OPEN_BRANCH


@pytest.mark.parametrize("rules", [True, False])
def test_github_reports_how_a_branch_is_protected(
    github: GitHubDouble, connect_github: ConnectGitHub, rules: bool
) -> None:
    repository = github.add_repository()
    repository.git.add_commit("release/1", {"main.tf": "a\n"})
    given = {"approvals": 2, "dismiss_stale": True, "rules": rules}
    github.protect(repository, "release/1", **given, admins_too=True)
    as_writer = connect_github().protection("release/1")
    github.allow(repository, github.bot.login, "admin")
    as_admin = connect_github().protection("release/1")
    if rules:  # a ruleset reports no exemptions
        assert as_writer == as_admin == BranchProtection(False, False, 2, True, None)
    else:  # the branch's own rules are shown to administrators only
        assert as_writer == BranchProtection()
        assert as_admin == BranchProtection(False, False, 2, True, False)
        github.protect(repository, "release/1", approvals=0, force_push=True)
        assert connect_github().protection("release/1") == BranchProtection(True, True, 0, False, True)


@pytest.mark.parametrize(
    ("protected", "direct", "forced"),
    [
        ({}, True, True),
        ({"other": ([0], False)}, True, True),
        ({"main": ([0], False)}, False, False),
        ({"main": ([0], True)}, False, False),
        ({"main": ([40], False)}, True, False),
        ({"ma*": ([40], True)}, True, True),
        ({"main": ([0], False), "*": ([30], False)}, True, False),
    ],
)
def test_gitlab_reports_how_a_branch_is_protected(
    gitlab: GitLabDouble,
    connect_gitlab: ConnectGitLab,
    protected: dict[str, tuple[list[int], bool]],
    direct: bool,
    forced: bool,
) -> None:
    project = gitlab.add_project()
    project.protected = protected
    found = connect_gitlab().protection("main")
    assert (found.direct_push, found.force_push) == (direct, forced)
    if direct and forced and "ma*" not in protected:
        assert found == OPEN_BRANCH
        return
    assert (found.approvals, found.dismisses_stale) == (None, None)  # GitLab Free has no rules of approval
    project.licensed, project.needed, project.resets = True, 2, True
    found = connect_gitlab().protection("main")
    assert (found.approvals, found.dismisses_stale, found.bypass) == (2, True, False)


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, driftguard: Sequence[str]) -> Sandbox:
    made = Sandbox(tmp_path / "home", {}, driftguard)
    made.commit("Add dev", {"environments/dev/main.tf": "", "driftguard.yaml": _MERGED})
    return made


def test_doctor_shows_what_the_set_up_reaches(machine: Sandbox, tmp_path: Path, github: GitHubDouble) -> None:
    ran = machine.run("doctor", "--trust", AWS_PROFILE="admin")
    assert ran.code == 1
    shown = " ".join(ran.stdout.split())
    assert (
        "no level merged everyone with permission to merge; the policy relies on it; missing: role for plans" in shown
    )
    assert "plans of dev run with the AWS credentials of this process. Set `aws.plan_role_arn`" in shown
    assert "the forge was not asked: no `forge` is configured" in shown

    repository = github.add_repository()
    repository.git.add_commit("main", {"main.tf": "a\n"})
    github.protect(repository, "main", approvals=1, dismiss_stale=True, admins_too=True)
    github.allow(repository, github.bot.login, "admin")
    machine.git("remote", "add", "origin", str(repository.git.path))
    signers, operator = tmp_path / "etc" / "signers", tmp_path / "etc" / "operator.yaml"
    signers.parent.mkdir(mode=0o755)
    signers.write_text("ada@example.org ssh-ed25519 AAAA\n")
    operator.write_text(
        f"{_ROLES}policy: {{pending: apply, approval: {{require: signed, signers: signers}}}}\n"
        f"forge: {{kind: github, repository: acme/infra, token_env: TOKEN, url: {github.url}}}\n"
    )
    arguments = ("doctor", "--trust", "--format", "json", "--config", str(operator))
    ran = machine.run(*arguments, TOKEN=github.token)
    assert {each["level"]: each["reached"] for each in ran.report["levels"]} == {
        "report": False, "merged": True, "reviewed": True, "signed": True,
    }  # fmt: skip
    assert (ran.code, ran.report["asked"]) == (0, ["signed"])

    for path, fault in ((signers, "signers"), (operator, "operator's file")):
        path.chmod(0o666)
        ran = machine.run(*arguments, TOKEN=github.token)
        assert ran.code == 1
        assert [each["missing"] for each in ran.report["levels"] if each["level"] == "signed"] == [[fault]]
        path.chmod(0o644)
    signers.write_text("noreply@github.com ssh-ed25519 AAAA\n")
    ran = machine.run(*arguments, TOKEN=github.token)
    assert "the forge's web key" in json.dumps(ran.report)


def test_an_operators_file_inside_the_repository_is_no_operators_file(machine: Sandbox) -> None:
    machine.write("operator.yaml", _ROLES + _SIGNED)
    inside = str(machine.repository / "operator.yaml")
    ran = machine.run("doctor", "--trust", "--format", "json", "--config", inside)
    (found,) = [each for each in ran.report["checks"] if each["check"] == "operator's file"]
    assert (found["good"], "in the repository's work tree" in found["detail"]) == (False, True)


def test_a_forge_that_does_not_answer_leaves_the_branch_unknown(machine: Sandbox, tmp_path: Path) -> None:
    operator = tmp_path / "operator.yaml"
    operator.write_text("forge: {kind: github, repository: acme/infra, token_env: TOKEN, url: 'http://127.0.0.1:1'}\n")
    ran = machine.run("doctor", "--trust", "--config", str(operator), TOKEN="x" * 40)
    assert ran.code == 1
    assert "unknown  branch: direct pushes" in ran.stdout
    assert "x" * 40 not in ran.stdout + ran.stderr
