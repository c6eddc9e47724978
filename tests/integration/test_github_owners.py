"""Code owners of merged pull requests: for each rule that its files touch, who may approve."""

from __future__ import annotations

import pytest

from driftguard.adapters.forges.github import GitHubForge
from driftguard.errors import ForgeFault
from driftguard.model import MergedRequest
from tests.support.github_double import GitHubDouble, Repository, primary_limit, refused
from tests.support.github_double.connecting import Connect

pytest_plugins = ["tests.support.github_double.fixtures"]

CONTENTS = "GET /repos/{owner}/{repo}/contents/{path}"
MEMBERS = "GET /orgs/{org}/teams/{team_slug}/members"


@pytest.fixture
def repository(github: GitHubDouble) -> Repository:
    made = github.add_repository()
    made.git.add_commit("main", {"main.tf": "a\n", "modules/app/main.tf": "one\ntwo\nthree\nfour\n"})
    for login in ("alice", "Bob", "root"):
        github.allow(made, login, "write")
    github.add_team("acme", "ops", ["carol", "dave"])
    github.add_team("acme", "ghosts", ["eve"], secret=True)
    return made


@pytest.fixture
def forge(connect_github: Connect, repository: Repository) -> GitHubForge:
    return connect_github()


def merged(
    github: GitHubDouble,
    forge: GitHubForge,
    repository: Repository,
    owners: str | None,
    files: dict[str, str | None],
    place: str = ".github/CODEOWNERS",
) -> MergedRequest:
    """A pull request that changes the files, merged where CODEOWNERS says so."""
    if owners is not None:
        repository.git.add_commit("main", {place: owners})
    repository.git.add_commit("feature", files, start="main")
    number = github.open_pull(repository, "alice", "feature").number
    github.review(repository, number, "Bob")
    (found,) = forge.merged_with(github.merge(repository, number, "root", "squash"), "main", owners=True)
    return found


@pytest.mark.parametrize(
    ("owners", "owned"),
    [
        ("* @alice\n", [{"alice"}]),
        ("* @alice @bob @ALICE\n", [{"alice", "Bob", "ALICE"}]),
        ("* @acme/ops\n", [{"carol", "dave"}]),
        ("* @ACME/Ops @alice\n", [{"carol", "dave", "alice"}]),
        ("* @acme/ghosts\n", [set()]),
        ("* @acme/none @alice\n", [{"alice"}]),
        ("* someone@example.com\n", [set()]),
        ("* someone@example.com @alice\n", [{"alice"}]),
        ("* @alice\nmain.tf\n", []),
        ("* @alice\nmain.tf @bob\n", [{"Bob"}]),
        ("main.tf @bob\n* @alice\n", [{"alice"}]),
        ("other.tf @alice\n", []),
        ("", []),
    ],
)
def test_a_rule_states_who_may_approve(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, owners: str, owned: list[set[str]]
) -> None:
    found = merged(github, forge, repository, owners, {"main.tf": "b\n"})
    assert [set(logins) for logins in found.owned] == owned


def test_each_rule_that_is_touched_asks_for_itself(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    owners = "* @alice\n/modules/ @bob\n/docs/ @acme/ops\n"
    files: dict[str, str | None] = {"main.tf": "b\n", "x.tf": "x\n", "modules/a.tf": "x\n", "modules/b.tf": "x\n"}
    found = merged(github, forge, repository, owners, files)
    assert found.owned == (frozenset({"alice"}), frozenset({"Bob"}))


def test_a_file_that_moves_or_goes_asks_the_owners_of_its_old_place(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    owners = "/modules/ @bob\n/main.tf @acme/ops\n/new/ @alice\n"
    moved: dict[str, str | None] = {
        "modules/app/main.tf": None,
        "new/app.tf": "one\ntwo\nthree\nfour\n",
        "main.tf": None,
    }
    found = merged(github, forge, repository, owners, moved)
    assert set(found.owned) == {frozenset({"Bob"}), frozenset({"carol", "dave"}), frozenset({"alice"})}


@pytest.mark.parametrize("place", [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"])
def test_the_file_is_found_where_github_looks(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, place: str
) -> None:
    found = merged(github, forge, repository, "* @alice\n", {"main.tf": "b\n"}, place)
    assert found.owned == (frozenset({"alice"}),)


def test_the_first_of_several_files_counts(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    repository.git.add_commit("main", {"CODEOWNERS": "* @alice\n", "docs/CODEOWNERS": "* @alice\n"})
    found = merged(github, forge, repository, "* @bob\n", {"main.tf": "b\n"})
    assert found.owned == (frozenset({"Bob"}),)


def test_the_rules_before_the_merge_count_and_not_those_it_brings(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    files: dict[str, str | None] = {"main.tf": "b\n", ".github/CODEOWNERS": "* @mallory\n"}
    found = merged(github, forge, repository, "* @bob\n", files)
    assert found.owned == (frozenset({"Bob"}),)


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
@pytest.mark.parametrize("commits", [1, 2])
def test_rules_that_came_to_the_base_before_the_merge_count(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, how: str, commits: int
) -> None:
    repository.git.add_commit("main", {".github/CODEOWNERS": "* @alice\n"})
    for number in range(commits):
        repository.git.add_commit("feature", {"main.tf": f"{number}\n"}, start=None if number else "main")
    number = github.open_pull(repository, "alice", "feature").number
    repository.git.add_commit("main", {".github/CODEOWNERS": "* @root\n"})
    (found,) = forge.merged_with(github.merge(repository, number, "root", how), "main", owners=True)
    assert frozenset({"root"}) in found.owned


def test_a_rebase_cannot_bring_the_rules_that_it_is_judged_by(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    repository.git.add_commit("main", {".github/CODEOWNERS": "* @root\n"})
    repository.git.add_commit("feature", {".github/CODEOWNERS": "* @mallory\n"}, start="main")
    repository.git.add_commit("feature", {"main.tf": "b\n"})
    number = github.open_pull(repository, "alice", "feature").number
    (found,) = forge.merged_with(github.merge(repository, number, "root", "rebase"), "main", owners=True)
    assert frozenset({"root"}) in found.owned


def test_without_the_file_no_user_is_asked_for(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    assert merged(github, forge, repository, None, {"main.tf": "b\n"}).owned == ()


def test_no_user_is_asked_for_who_was_not_wanted(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    found = merged(github, forge, repository, "* @alice\n", {"main.tf": "b\n"})
    asked = len(github.requests)
    (again,) = forge.merged_with(found.merge_commit, "main")
    assert again.owned == ()
    assert not [request for request in github.requests[asked:] if "/contents/" in request.path]


def test_a_credential_that_may_not_read_files_does_not_mean_that_there_is_no_owner(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    found = merged(github, forge, repository, "* @alice\n", {"main.tf": "b\n"})
    hidden = refused(404, "Not Found")
    github.fail(CONTENTS, hidden, hidden, hidden)
    github.fail("GET /repos/{owner}/{repo}/git/commits/{commit_sha}", hidden)
    with pytest.raises(ForgeFault, match="HTTP 404"):
        forge.merged_with(found.merge_commit, "main", owners=True)


@pytest.mark.parametrize("route", [CONTENTS, MEMBERS])
def test_a_rate_limit_is_no_answer(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, route: str
) -> None:
    found = merged(github, forge, repository, "* @acme/ops\n", {"main.tf": "b\n"})
    github.fail(route, primary_limit(600))
    with pytest.raises(ForgeFault, match="rate limit") as caught:
        forge.merged_with(found.merge_commit, "main", owners=True)
    assert caught.value.retry_after_seconds == 600


def test_a_team_that_may_not_be_read_leaves_no_user(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    found = merged(github, forge, repository, "* @acme/ops\n", {"main.tf": "b\n"})
    github.fail(MEMBERS, refused(403, "Resource not accessible by integration"))
    (again,) = forge.merged_with(found.merge_commit, "main", owners=True)
    assert again.owned == (frozenset(),)


def test_a_file_that_is_too_long_to_be_given_is_a_fault(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    with pytest.raises(ForgeFault, match=r"\.github/CODEOWNERS at [0-9a-f]{12} is too long"):
        merged(github, forge, repository, "# long\n" * 150_000 + "* @alice\n", {"main.tf": "b\n"})


def test_every_page_of_files_and_of_members_is_read(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    github.add_team("acme", "crowd", [f"member{index}" for index in range(130)])
    repository.git.add_commit("main", {"CODEOWNERS": "/many/99 @acme/crowd\n/zzz @bob\n"})
    repository.git.add_many("feature", 120, "main")
    repository.git.add_commit("feature", {"zzz": "x\n"})
    number = github.open_pull(repository, "alice", "feature").number
    (found,) = forge.merged_with(github.merge(repository, number, "root", "squash"), "main", owners=True)
    assert sorted(map(len, found.owned)) == [1, 130]
