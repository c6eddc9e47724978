"""Pull requests on GitHub: each opened, updated, commented and closed once, whatever the network does.

Every request that these tests make is checked against GitHub's own OpenAPI description where npm can fetch it.
"""

from __future__ import annotations

import socket

import pytest

from driftguard.adapters.forges.github import GitHubForge
from driftguard.errors import ForgeFault
from driftguard.model import RequestState
from tests.support.github_double import (
    Answer,
    Description,
    Fault,
    GitHubDouble,
    Hang,
    LostAnswer,
    Repository,
    Reset,
    Unavailable,
    refused,
    unicorn,
)
from tests.support.github_double.connecting import Connect

pytest_plugins = ["tests.support.github_double.fixtures"]

BRANCH = "driftguard/dev/0123abcd"
MARK = "<!-- driftguard: outcome 1 -->"
OPEN = "POST /repos/{owner}/{repo}/pulls"
LIST = "GET /repos/{owner}/{repo}/pulls"
COMMENT = "POST /repos/{owner}/{repo}/issues/{issue_number}/comments"
EDIT = "PATCH /repos/{owner}/{repo}/pulls/{pull_number}"


@pytest.fixture
def repository(github: GitHubDouble) -> Repository:
    """A repository with one branch of ours."""
    made = github.add_repository()
    made.git.add_commit("main", {"main.tf": "a\n"})
    made.git.add_commit(BRANCH, {"dev.yaml": "approve\n"}, "Approve", github.bot.identity, start="main")
    return made


@pytest.fixture
def forge(connect_github: Connect, repository: Repository) -> GitHubForge:
    return connect_github()


def opened(forge: GitHubForge) -> int:
    return forge.open(BRANCH, "main", "Put dev back", "What happened.").number


def test_the_description_of_github_can_be_had(github_description: Description | Unavailable) -> None:
    if isinstance(github_description, Unavailable):
        pytest.skip(f"requests were not checked: {github_description}")


# --- opening -------------------------------------------------------------------------------------


def test_opening_twice_opens_one(forge: GitHubForge, repository: Repository) -> None:
    first = forge.open(BRANCH, "main", "Put dev back", "What happened.")
    again = forge.open(BRANCH, "main", "Another title", "Another text.")
    assert first == again
    assert (first.number, first.state, first.title, first.body) == (
        1,
        RequestState.OPEN,
        "Put dev back",
        "What happened.",
    )
    assert first.head == repository.git.tip(BRANCH)
    assert (first.merge_commit, first.ended_by, first.ended_at) == (None, None, None)
    assert list(repository.pulls) == [1]


def test_it_gets_the_label_beside_those_of_others(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    opened(forge)
    assert repository.pulls[1].labels == ["driftguard"]
    assert [request.body for request in github.made("PATCH", "/issues/1")] == [{"labels": ["driftguard"]}]
    repository.pulls[1].labels = ["urgent"]
    opened(forge)
    assert repository.pulls[1].labels == ["urgent", "driftguard"]


@pytest.mark.parametrize("fault", [refused(403, "Resource not accessible"), refused(410, "Gone"), unicorn(), Reset()])
def test_a_label_that_cannot_be_set_is_no_failure(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, fault: Fault
) -> None:
    github.fail("PATCH /repos/{owner}/{repo}/issues/{issue_number}", fault)
    assert opened(forge) == 1
    assert github.unmet_faults() == 0


@pytest.mark.parametrize("fault", [LostAnswer(), LostAnswer(502), LostAnswer(504)])
def test_a_lost_answer_of_opening_finds_what_was_opened(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, fault: Fault
) -> None:
    github.fail(OPEN, fault)
    assert opened(forge) == 1
    assert len(github.made("POST", "/pulls")) == 1
    assert repository.pulls[1].labels == ["driftguard"]


@pytest.mark.parametrize("fault", [Reset(), unicorn(), Hang(3)])
def test_opening_that_no_user_knows_the_end_of_is_not_repeated(
    github: GitHubDouble, connect_github: Connect, repository: Repository, fault: Fault
) -> None:
    forge = connect_github(timeout_seconds=1)
    github.fail(OPEN, fault)
    with pytest.raises(ForgeFault, match="The next run retries") as caught:
        opened(forge)
    assert caught.value.perhaps_done
    assert len(github.made("POST", "/pulls")) == 1
    assert opened(forge) == 1


def test_nothing_was_done_where_no_user_listens(repository: Repository, connect_github: Connect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        forge = connect_github(url=f"http://127.0.0.1:{taken.getsockname()[1]}/api/v3")
        with pytest.raises(ForgeFault, match="could not be reached to open a pull request") as caught:
            opened(forge)
    assert not caught.value.perhaps_done


def test_an_opening_that_was_never_sent_is_not_perhaps_done(github: GitHubDouble, forge: GitHubForge) -> None:
    github.fail(LIST, Answer(200, "[]", {"Connection": "close"}))
    forge.requests(BRANCH)
    github.stop()
    with pytest.raises(ForgeFault, match="could not be reached to open a pull request") as caught:
        opened(forge)
    assert not caught.value.perhaps_done


def test_a_branch_that_github_does_not_know_is_missing(forge: GitHubForge) -> None:
    with pytest.raises(ForgeFault, match="does not know that branch") as caught:
        forge.open("driftguard/dev/none", "main", "Title", "Text")
    assert caught.value.missing
    assert not caught.value.perhaps_done


def test_a_branch_without_a_change_is_refused_with_githubs_words(forge: GitHubForge, repository: Repository) -> None:
    repository.git.keep("refs/heads/same", str(repository.git.tip("main")))
    with pytest.raises(ForgeFault, match=r"HTTP 422: Validation Failed; No commits between main and same"):
        forge.open("same", "main", "Title", "Text")


def test_a_closed_one_does_not_keep_a_new_one_from_being_opened(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    github.close(repository, opened(forge), "alice")
    assert opened(forge) == 2
    assert [(found.number, found.state) for found in forge.requests(BRANCH)] == [
        (2, RequestState.OPEN),
        (1, RequestState.CLOSED),
    ]


def test_one_into_another_base_is_another_one(forge: GitHubForge, repository: Repository) -> None:
    repository.git.keep("refs/heads/next", str(repository.git.tip("main")))
    assert [forge.open(BRANCH, base, "Title", "Text").number for base in ("main", "next", "main")] == [1, 2, 1]


@pytest.mark.parametrize(("title", "body"), [("t" * 257, ""), ("t", "b" * 65_537)])
def test_texts_that_are_too_long_are_refused_before_anything_is_asked(
    github: GitHubDouble, forge: GitHubForge, title: str, body: str
) -> None:
    with pytest.raises(ValueError, match="256 characters of title and 65536 of text"):
        forge.open(BRANCH, "main", title, body)
    with pytest.raises(ValueError, match="256 characters of title and 65536 of text"):
        forge.update(1, title, body)
    assert github.requests == []


def test_the_longest_texts_arrive_as_they_are(forge: GitHubForge) -> None:
    title, body = "ü" * 256, "☂" * 65_536
    found = forge.open(BRANCH, "main", title, body)
    assert (found.title, found.body) == (title, body)
    assert (forge.longest_title, forge.longest_body) == (256, 65_536)


# --- updating, commenting, closing ---------------------------------------------------------------


def test_an_update_changes_title_and_text_once(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    number = opened(forge)
    for _ in range(2):
        forge.update(number, "Put dev back, too", "More happened.")
    assert (repository.pulls[1].title, repository.pulls[1].body) == ("Put dev back, too", "More happened.")
    assert len(github.made("PATCH", "/pulls/1")) == 1


def test_an_update_whose_answer_was_lost_is_perhaps_done(github: GitHubDouble, forge: GitHubForge) -> None:
    number = opened(forge)
    github.fail(EDIT, LostAnswer())
    with pytest.raises(ForgeFault, match="could not be reached to update pull request #1") as caught:
        forge.update(number, "Other", "Other")
    assert caught.value.perhaps_done
    forge.update(number, "Other", "Other")
    assert len(github.made("PATCH", "/pulls/1")) == 1


def test_a_comment_is_made_once(forge: GitHubForge, repository: Repository) -> None:
    number = opened(forge)
    for _ in range(2):
        forge.comment(number, "It was applied.", MARK)
        forge.comment(number, f"{MARK}\nIt was applied.", MARK)
    forge.comment(number, "Something else.", "<!-- driftguard: outcome 2 -->")
    assert [comment.body for comment in repository.pulls[1].comments] == [
        f"It was applied.\n\n{MARK}",
        "Something else.\n\n<!-- driftguard: outcome 2 -->",
    ]


def test_a_comment_is_found_among_more_than_a_hundred(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    number = opened(forge)
    for index in range(230):
        github.comment(repository, number, "alice", f"Comment {index}")
    forge.comment(number, "It was applied.", MARK)
    forge.comment(number, "It was applied.", MARK)
    assert len(repository.pulls[1].comments) == 231


def test_another_users_comment_with_the_mark_does_not_silence_ours(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    number = opened(forge)
    github.comment(repository, number, "mallory", MARK)
    github.comment(repository, number, "gone", MARK)
    github.delete_account("gone")
    forge.comment(number, "It was applied.", MARK)
    assert [comment.user.login for comment in repository.pulls[1].comments] == ["mallory", "gone", "driftguard-bot"]


def test_an_actions_job_knows_its_comments_as_a_bots(
    github: GitHubDouble, connect_github: Connect, repository: Repository
) -> None:
    forge = connect_github(github.add_actions_token(repository))
    number = opened(forge)
    github.comment(repository, number, "mallory", MARK)
    for _ in range(2):
        forge.comment(number, "It was applied.", MARK)
    assert [comment.user.login for comment in repository.pulls[1].comments] == ["mallory", "github-actions[bot]"]


@pytest.mark.parametrize("fault", [LostAnswer(), LostAnswer(502)])
def test_a_lost_answer_of_a_comment_finds_it(
    github: GitHubDouble, forge: GitHubForge, repository: Repository, fault: Fault
) -> None:
    number = opened(forge)
    github.fail(COMMENT, fault)
    forge.comment(number, "It was applied.", MARK)
    assert len(github.made("POST", "/comments")) == 1
    assert len(repository.pulls[1].comments) == 1


def test_a_comment_that_did_not_arrive_is_perhaps_done(github: GitHubDouble, forge: GitHubForge) -> None:
    number = opened(forge)
    github.fail(COMMENT, Reset())
    with pytest.raises(ForgeFault) as caught:
        forge.comment(number, "It was applied.", MARK)
    assert caught.value.perhaps_done
    assert len(github.made("POST", "/comments")) == 1


def test_closing_closes_once(github: GitHubDouble, forge: GitHubForge) -> None:
    number = opened(forge)
    for _ in range(2):
        forge.close(number)
    assert len(github.made("PATCH", "/pulls/1")) == 1
    found = forge.requests(BRANCH)[0]
    assert (found.state, found.ended_by) == (RequestState.CLOSED, "driftguard-bot")


def test_closing_leaves_a_merged_one_alone(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    number = opened(forge)
    github.merge(repository, number, "acme")
    forge.close(number)
    assert github.made("PATCH", "/pulls/1") == []
    assert forge.requests(BRANCH)[0].state is RequestState.MERGED


def test_who_closed_it_is_reported(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    before = github.store.now()
    github.close(repository, opened(forge), "alice")
    found = forge.requests(BRANCH)[0]
    assert (found.state, found.ended_by, found.merge_commit) == (RequestState.CLOSED, "alice", None)
    assert found.ended_at is not None
    assert found.ended_at >= before
    github.delete_account("alice")
    assert forge.requests(BRANCH)[0].ended_by is None


def test_one_that_was_opened_again_is_open(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    number = opened(forge)
    github.close(repository, number, "alice")
    github.reopen(repository, number, "alice")
    found = forge.requests(BRANCH)[0]
    assert (found.state, found.ended_by, found.ended_at) == (RequestState.OPEN, None, None)
    assert github.made("GET", "/issues/1") == github.made("GET", "/issues/1")[:1]  # for the label alone


# --- finding -------------------------------------------------------------------------------------


def test_a_branch_of_the_same_name_in_a_fork_is_not_ours(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    fork = github.fork(repository, "mallory")
    fork.git.add_commit(BRANCH, {"evil.tf": "x\n"})
    github.open_pull(repository, "mallory", f"mallory:{BRANCH}")
    assert forge.requests(BRANCH) == ()
    assert forge.open_requests("driftguard/") == ()
    assert opened(forge) == 2
    assert [found.number for found in forge.requests(BRANCH)] == [2]
    assert [found.number for found in forge.open_requests("driftguard/")] == [2]


def test_a_fork_in_the_same_account_is_not_ours_either(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    # GitHub tells branches apart by account in its list, so that the list holds both.
    sister = github.store.add_repository("acme/infra-copy", parent=repository)
    sister.git.run("fetch", "--quiet", str(repository.git.path), "+refs/heads/*:refs/heads/*")
    sister.git.add_commit(BRANCH, {"evil.tf": "x\n"})
    theirs = github.open_pull(repository, "acme", BRANCH)
    theirs.head_repository = sister
    assert forge.requests(BRANCH) == ()


def test_a_fork_that_is_gone_does_no_harm(github: GitHubDouble, forge: GitHubForge, repository: Repository) -> None:
    fork = github.fork(repository, "mallory")
    fork.git.add_commit("driftguard/other", {"evil.tf": "x\n"})
    pull = github.open_pull(repository, "mallory", "mallory:driftguard/other")
    pull.head_repository = None
    pull.state = "open"
    assert forge.open_requests("driftguard/") == ()


def test_every_open_one_is_listed_oldest_first(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    for index in range(103):
        repository.git.keep(f"refs/heads/driftguard/e{index}", str(repository.git.tip(BRANCH)))
        github.open_pull(repository, github.bot.login, f"driftguard/e{index}")
    repository.git.keep("refs/heads/feature", str(repository.git.tip(BRANCH)))
    github.open_pull(repository, "alice", "feature")
    github.close(repository, 5, "alice")
    found = forge.open_requests("driftguard/")
    assert [one.number for one in found] == [number for number in range(1, 104) if number != 5]


def test_a_page_offers_the_other_branch(connect_github: Connect, github: GitHubDouble) -> None:
    branch = "driftguard/dev/ä #1"
    quoted = "main...driftguard/dev/%C3%A4%20%231?expand=1"
    assert connect_github().compare_url("main", branch) == f"{github.web}/acme/infra/compare/{quoted}"
    for url, web in {
        None: "https://github.com",
        "https://github.example.com/api/v3/": "https://github.example.com",
        "https://api.acme.ghe.com": "https://acme.ghe.com",
        "https://api.example.com:8443/api/v3": "https://api.example.com:8443",
    }.items():
        assert connect_github(url=url).compare_url("main", branch) == f"{web}/acme/infra/compare/{quoted}"
    assert github.requests == []


def test_a_repository_that_was_renamed_is_followed(
    github: GitHubDouble, forge: GitHubForge, repository: Repository
) -> None:
    github.rename(repository, "acme/estate")
    number = opened(forge)
    github.close(repository, number, "alice")
    assert [(found.number, found.ended_by) for found in forge.requests(BRANCH)] == [(1, "alice")]
