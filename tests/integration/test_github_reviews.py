"""What GitHub tells of merged pull requests: each commit's, with who wrote it and who approved what."""

from __future__ import annotations

import pytest

from driftguard.adapters.forges.github import GitHubForge
from driftguard.errors import ForgeFault
from driftguard.model import MergedRequest, Review
from tests.support.github_double import Fault, GitHubDouble, Refusal, Repository, refused, secondary_limit, unicorn
from tests.support.github_double.connecting import Connect

pytest_plugins = ["tests.support.github_double.fixtures"]

ALICE = ("Alice", "alice@example.com")
MERGES = ["merge", "squash", "rebase"]
PERMISSION = "GET /repos/{owner}/{repo}/collaborators/{username}/permission"
CONTENTS = "GET /repos/{owner}/{repo}/contents/{path}"


@pytest.fixture
def repository(github: GitHubDouble) -> Repository:
    """A protected repository, and a branch of Alice's with two commits for which a pull request is open."""
    made = github.add_repository()
    made.git.add_commit("main", {"main.tf": "a\n", "old.tf": "one\ntwo\nthree\n"})
    for login, permission in {"alice": "write", "bob": "write", "carol": "maintain", "root": "admin"}.items():
        github.allow(made, login, permission)
    for login in ("visitor", "triager"):
        github.allow(made, login, "triage" if login == "triager" else "read")
    made.git.add_commit("feature", {"one.tf": "1\n"}, "One", ALICE, start="main")
    made.git.add_commit("feature", {"two.tf": "2\n"}, "Two", ALICE)
    github.open_pull(made, "alice", "feature")
    return made


@pytest.fixture
def forge(connect_github: Connect, repository: Repository) -> GitHubForge:
    return connect_github()


def only(found: tuple[MergedRequest, ...]) -> MergedRequest:
    assert len(found) == 1
    return found[0]


def merged(github: GitHubDouble, forge: GitHubForge, repository: Repository, how: str = "merge") -> MergedRequest:
    return only(forge.merged_with(github.merge(repository, 1, "root", how), "main"))


# --- commits and their pull requests -------------------------------------------------------------


@pytest.mark.parametrize("how", MERGES)
def test_each_commit_that_a_merge_made_names_its_pull_request(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, how: str
) -> None:
    before, head = str(repository.git.tip("main")), str(repository.git.tip("feature"))
    github.review(repository, 1, "bob")
    last = github.merge(repository, 1, "root", how)
    line = repository.git.run("rev-list", "--first-parent", f"{before}..{last}").split()
    assert len(line) == (2 if how == "rebase" else 1)
    for commit in line:
        assert only(forge.merged_with(commit, "main")) == MergedRequest(
            number=1,
            url=f"{github.web}/acme/infra/pull/1",
            base="main",
            author="alice",
            authors=("alice",),
            head=head,
            merge_commit=last,
            commit_count=2,
            reviews=(Review("bob", head, approves=True, may_write=True),),
            head_ref="refs/pull/1/head",
        )
    assert forge.requests("feature")[0].merge_commit == last
    assert forge.requests("feature")[0].ended_by == "root"


def test_a_commit_that_was_pushed_directly_names_none(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    before = str(repository.git.tip("main"))
    github.merge(repository, 1, "root")
    pushed = repository.git.add_commit("main", {"direct.tf": "x\n"}, "Pushed (#1)", ALICE)
    assert forge.merged_with(pushed, "main") == ()
    assert forge.merged_with(before, "main") == ()


def test_an_open_or_closed_one_is_not_named(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    head = str(repository.git.tip("feature"))
    assert forge.merged_with(head, "main") == ()
    github.close(repository, 1, "alice")
    assert forge.merged_with(head, "main") == ()


def test_one_into_another_base_is_not_named(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    repository.git.keep("refs/heads/next", str(repository.git.tip("main")))
    number = github.open_pull(repository, "alice", "feature", "next").number
    commit = github.merge(repository, number, "root", "squash")
    assert forge.merged_with(commit, "main") == ()
    assert only(forge.merged_with(commit, "next")).number == number


def test_one_of_a_fork_into_itself_is_not_named_where_its_commits_were_pushed(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    fork = github.fork(repository, "mallory")
    github.open_pull(fork, "mallory", "feature")
    commit = github.merge(fork, 1, "mallory")
    repository.git.run("fetch", "--quiet", str(fork.git.path), "+refs/heads/main:refs/heads/main")
    # Alice's own counts as merged, because its commits are in `main` now; nobody pressed a button.
    assert only(forge.merged_with(commit, "main")).url == f"{github.web}/acme/infra/pull/1"
    assert forge.requests("feature")[0].ended_by is None


def test_one_from_a_fork_is_named_as_any_other(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    fork = github.fork(repository, "mallory")
    fork.git.add_commit("idea", {"idea.tf": "x\n"}, "Idea", ("Mallory", "mallory@example.com"), start="main")
    number = github.open_pull(repository, "mallory", "mallory:idea").number
    github.review(repository, number, "bob")
    found = only(forge.merged_with(github.merge(repository, number, "root", "squash"), "main"))
    assert (found.author, found.authors, found.commit_count) == ("mallory", ("mallory",), 1)


def test_two_that_a_commit_came_with_are_both_named(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    repository.git.keep("refs/heads/same", str(repository.git.tip("feature")))
    github.open_pull(repository, "bob", "same")
    repository.pulls[2].title = "Same"
    commit = github.merge(repository, 1, "root")
    assert forge.open_requests("same") == ()  # its commits are merged, and with them it is
    head = repository.pulls[1].head_sha
    assert [found.number for found in forge.merged_with(head, "main")] == [1, 2]
    assert [found.number for found in forge.merged_with(commit, "main")] == [1, 2]


def test_a_commit_that_github_does_not_have_is_a_fault(forge: GitHubForge) -> None:
    with pytest.raises(ForgeFault, match="HTTP 422: No commit found for SHA"):
        forge.merged_with("0" * 40, "main")


# --- who wrote it --------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_everybody_who_wrote_a_commit_is_an_author(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, known: bool
) -> None:
    if not known:  # on a server of one's own, GitHub's own committer may be no account
        github.delete_account("web-flow")
    git, web = repository.git, ("GitHub", "noreply@github.com")
    bob = github.store.user("bob").identity
    message = (
        "Two\n\nCo-authored-by: Carol <7+carol@users.noreply.github.com>\n"
        "co-authored-by: D <dave@elsewhere.example>\nNot-by: E <eve@elsewhere.example>"
    )
    git.add_commit("feature", {"3": "3\n"}, "Three", ("Stranger", "stranger@elsewhere.example"), committer=bob)
    git.add_commit("feature", {"4": "4\n"}, message, ALICE, committer=web)
    git.add_commit("feature", {"5": "5\n"}, "Five", ALICE, committer=("Robot", "robot@elsewhere.example"))
    found = merged(github, forge, repository)
    assert found.authors == (
        "alice",
        "bob",
        "stranger@elsewhere.example",
        "carol",
        "dave@elsewhere.example",
        "robot@elsewhere.example",
    )


def test_an_author_who_is_gone_is_the_ghost(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    github.delete_account("alice")
    found = merged(github, forge, repository)
    assert (found.author, found.authors) == ("ghost", ("alice@example.com",))


def test_more_commits_than_github_lists_are_a_fault(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    for count, branch in ((250, "long"), (251, "longer")):
        repository.git.add_many(branch, count, "main")
        github.open_pull(repository, "alice", branch)
    found = only(forge.merged_with(github.merge(repository, 2, "root", "squash"), "main"))
    assert found.commit_count == 250
    commit = github.merge(repository, 3, "root", "squash")
    with pytest.raises(ForgeFault, match="lists only 250 of the 251 commits of pull request #3"):
        forge.merged_with(commit, "main")


# --- who approved it -----------------------------------------------------------------------------


def test_an_approval_of_an_earlier_commit_stays_with_that_commit(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    early = str(repository.git.tip("feature"))
    github.review(repository, 1, "bob")
    late = repository.git.add_commit("feature", {"sneaked.tf": "x\n"}, "More", ALICE)
    github.review(repository, 1, "carol")
    found = merged(github, forge, repository)
    assert found.head == late
    assert found.reviews == (Review("bob", early, True, True), Review("carol", late, True, True))


@pytest.mark.parametrize(
    ("states", "approves"),
    [
        (["APPROVED"], True),
        (["APPROVED", "COMMENTED"], True),
        (["APPROVED", "PENDING"], True),
        (["APPROVED", "CHANGES_REQUESTED"], False),
        (["APPROVED", "CHANGES_REQUESTED", "COMMENTED"], False),
        (["CHANGES_REQUESTED", "APPROVED"], True),
        (["CHANGES_REQUESTED"], False),
        (["COMMENTED"], None),
        (["PENDING"], None),
        ([], None),
    ],
)
def test_each_reviewers_newest_verdict_counts(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, states: list[str], approves: bool | None
) -> None:
    for state in states:
        github.review(repository, 1, "bob", state)
    found = merged(github, forge, repository)
    assert [review.approves for review in found.reviews] == ([] if approves is None else [approves])


def test_a_dismissed_approval_is_none(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    github.dismiss(github.review(repository, 1, "bob"))
    assert [review.approves for review in merged(github, forge, repository).reviews] == [False]


def test_protection_that_dismisses_stale_approvals_is_seen(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    github.protect(repository, "main", approvals=1, dismiss_stale=True)
    github.review(repository, 1, "bob")
    repository.git.add_commit("feature", {"sneaked.tf": "x\n"}, "More", ALICE)
    with pytest.raises(Refusal, match="405"):
        github.merge(repository, 1, "alice")
    github.review(repository, 1, "carol")
    found = only(forge.merged_with(github.merge(repository, 1, "alice"), "main"))
    assert {review.reviewer: review.approves for review in found.reviews} == {"bob": False, "carol": True}


def test_no_user_approves_what_is_their_own(github: GitHubDouble, repository: Repository) -> None:
    with pytest.raises(Refusal, match="Can not approve your own pull request"):
        github.review(repository, 1, "alice")


def test_a_bypass_shows_as_no_approval(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    github.protect(repository, "main", approvals=1)
    with pytest.raises(Refusal, match="approving review is required"):
        github.merge(repository, 1, "root")
    commit = github.merge(repository, 1, "root", bypass=True)
    assert only(forge.merged_with(commit, "main")).reviews == ()


def test_who_may_write_is_what_github_reports_now(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    may = {"bob": True, "carol": True, "root": True, "visitor": False, "triager": False}
    for login in may:
        github.review(repository, 1, login)
    commit = github.merge(repository, 1, "root")
    found = only(forge.merged_with(commit, "main"))
    assert {review.reviewer: review.may_write for review in found.reviews} == may
    github.allow(repository, "bob", "read")
    github.delete_account("carol")
    github.allow(repository, "ghost", "write")
    found = only(forge.merged_with(commit, "main"))
    now = {"bob": False, "ghost": False, "root": True, "visitor": False, "triager": False}
    assert {review.reviewer: review.may_write for review in found.reviews} == now


def test_a_bot_is_treated_as_any_user(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    github.store.user("helper[bot]", "Bot")
    github.allow(repository, "helper[bot]", "write")
    github.review(repository, 1, "helper[bot]")
    assert [(one.reviewer, one.may_write) for one in merged(github, forge, repository).reviews] == [
        ("helper[bot]", True)
    ]


def test_every_page_of_reviews_is_read(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    github.review(repository, 1, "bob")
    for _ in range(120):
        github.review(repository, 1, "carol", "COMMENTED")
    github.review(repository, 1, "bob", "CHANGES_REQUESTED")
    github.review(repository, 1, "carol")
    found = merged(github, forge, repository)
    assert [(one.reviewer, one.approves) for one in found.reviews] == [("bob", False), ("carol", True)]


@pytest.mark.parametrize("fault", [refused(403, "Resource not accessible"), secondary_limit(), unicorn()])
def test_what_cannot_be_asked_is_a_fault_and_not_an_answer(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, fault: Fault
) -> None:
    github.review(repository, 1, "bob")
    commit = github.merge(repository, 1, "root")
    github.fail(PERMISSION, *[fault] * 3)
    with pytest.raises(ForgeFault, match="read pull request #1"):
        forge.merged_with(commit, "main")
