"""Merge requests on GitLab: opened, updated, commented on and closed once, whatever happens to the answers."""

from __future__ import annotations

import pytest

from driftguard.adapters.forges.gitlab import GitLabForge
from driftguard.errors import ForgeFault
from driftguard.model import PullRequest, RequestState
from tests.support.gitlab_double import Answer, Fault, GitLabDouble, LostAnswer, Project, Reset, refused
from tests.support.gitlab_double.connecting import Connect

pytest_plugins = ["tests.support.gitlab_double.fixtures"]

BRANCH = "driftguard/dev/0123456789"
MARK = "<!-- driftguard: outcome 1 -->"
OPEN = "POST /projects/{id}/merge_requests"
LIST = "GET /projects/{id}/merge_requests"
EDIT = "PUT /projects/{id}/merge_requests/{iid}"
COMMENT = "POST /projects/{id}/merge_requests/{iid}/notes"
NOTES = "GET /projects/{id}/merge_requests/{iid}/notes"


@pytest.fixture
def project(gitlab: GitLabDouble) -> Project:
    """A project with a branch of ours that is one commit ahead."""
    made = gitlab.add_project()
    made.git.add_commit("main", {"main.tf": "a\n"})
    made.git.add_commit(BRANCH, {"main.tf": "b\n"}, start="main")
    return made


@pytest.fixture
def forge(connect_gitlab: Connect, project: Project) -> GitLabForge:
    return connect_gitlab()


def opened(forge: GitLabForge) -> int:
    return forge.open(BRANCH, "main", "Put dev back", "What happened.").number


# --- opening -------------------------------------------------------------------------------------


def test_a_merge_request_is_opened_with_title_text_and_label(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project
) -> None:
    found = forge.open(BRANCH, "main", "Put dev back", "What happened.")
    assert found == PullRequest(
        number=1,
        branch=BRANCH,
        base="main",
        state=RequestState.OPEN,
        title="Put dev back",
        body="What happened.",
        url=f"{gitlab.url}/acme/infra/-/merge_requests/1",
        head=str(project.git.tip(BRANCH)),
    )
    assert forge.requests(BRANCH) == (found,)
    made = project.requests[1]
    assert (made.labels, made.remove_source_branch, made.author.username) == (["driftguard"], False, "driftguard-bot")


def test_another_label_may_be_configured(connect_gitlab: Connect, project: Project) -> None:
    opened(connect_gitlab(label="kind::drift"))
    assert project.requests[1].labels == ["kind::drift"]


def test_opening_twice_opens_one_and_leaves_it_as_it_is(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project
) -> None:
    first = forge.open(BRANCH, "main", "Put dev back", "What happened.")
    assert forge.open(BRANCH, "main", "Another title", "Another text.") == first
    assert list(project.requests) == [1]


@pytest.mark.parametrize("fault", [LostAnswer(), LostAnswer(502), LostAnswer(504)], ids=["dropped", "502", "504"])
def test_a_lost_answer_of_the_opening_finds_it(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, fault: Fault
) -> None:
    gitlab.fail(OPEN, fault)
    assert opened(forge) == 1
    assert list(project.requests) == [1]
    assert len(gitlab.made("POST", "/merge_requests")) == 1


@pytest.mark.parametrize("fault", [Reset(), Answer(500, "{}"), Answer(502, "<html>")], ids=["reset", "500", "502"])
def test_an_opening_that_was_not_done_is_perhaps_done_and_not_repeated(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, fault: Fault
) -> None:
    gitlab.fail(OPEN, fault)
    with pytest.raises(ForgeFault, match=f"to open a merge request from {BRANCH} into main") as caught:
        opened(forge)
    assert caught.value.perhaps_done
    assert len(gitlab.made("POST", "/merge_requests")) == 1
    assert len(gitlab.made("GET", "/merge_requests")) == 1
    assert opened(forge) == 1
    assert list(project.requests) == [1]


def test_an_opening_is_perhaps_done_where_it_cannot_be_looked_for_either(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project
) -> None:
    gitlab.fail(OPEN, LostAnswer())
    gitlab.fail(LIST, refused(403, "403 Forbidden"))
    with pytest.raises(ForgeFault, match="could not be reached to open") as caught:
        opened(forge)
    assert caught.value.perhaps_done
    assert not caught.value.denied


def test_an_opening_that_was_never_sent_is_not_perhaps_done(gitlab: GitLabDouble, forge: GitLabForge) -> None:
    gitlab.fail(LIST, Answer(200, "[]", {"Connection": "close"}, "application/json"))
    forge.requests(BRANCH)
    gitlab.stop()
    with pytest.raises(ForgeFault, match="could not be reached to open a merge request") as caught:
        opened(forge)
    assert not caught.value.perhaps_done


def test_a_conflict_that_shows_no_open_one_is_reported(gitlab: GitLabDouble, forge: GitLabForge) -> None:
    gitlab.fail(OPEN, refused(409, ["Another open merge request already exists for this source branch: !7"]))
    with pytest.raises(ForgeFault, match=r"HTTP 409: Another open merge request already exists .*: !7") as caught:
        opened(forge)
    assert not caught.value.perhaps_done


def test_another_conflict_is_reported_without_looking(gitlab: GitLabDouble, forge: GitLabForge) -> None:
    gitlab.fail(OPEN, refused(409, "Conflict: Resource lock"))
    with pytest.raises(ForgeFault, match="HTTP 409: Conflict: Resource lock"):
        opened(forge)
    assert gitlab.made("GET", "/merge_requests") == []


def test_a_branch_that_gitlab_does_not_know_is_refused_with_its_words(forge: GitLabForge) -> None:
    with pytest.raises(ForgeFault, match="HTTP 400: base: Branch driftguard/dev/none does not exist") as caught:
        forge.open("driftguard/dev/none", "main", "Title", "Text")
    assert not caught.value.perhaps_done


def test_a_closed_one_does_not_keep_a_new_one_from_being_opened(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project
) -> None:
    opened(forge)
    gitlab.close(project.requests[1], "alice")
    assert opened(forge) == 2
    assert [(found.number, found.state) for found in forge.requests(BRANCH)] == [
        (2, RequestState.OPEN),
        (1, RequestState.CLOSED),
    ]


def test_one_into_another_base_is_another_one(forge: GitLabForge, project: Project) -> None:
    project.git.keep("refs/heads/next", str(project.git.tip("main")))
    assert [forge.open(BRANCH, base, "Title", "Text").number for base in ("main", "next", "main")] == [1, 2, 1]


@pytest.mark.parametrize(("title", "body"), [("t" * 256, ""), ("t", "b" * 1_048_577)], ids=["title", "text"])
def test_texts_that_are_too_long_are_refused_before_anything_is_asked(
    gitlab: GitLabDouble, forge: GitLabForge, title: str, body: str
) -> None:
    with pytest.raises(ValueError, match="255 characters of title and 1048576 of text"):
        forge.open(BRANCH, "main", title, body)
    with pytest.raises(ValueError, match="255 characters of title and 1048576 of text"):
        forge.update(1, title, body)
    with pytest.raises(ValueError, match="1000000 characters of comment"):
        forge.comment(1, "c" * 1_000_000, MARK)
    assert gitlab.requests == []


def test_the_longest_texts_arrive_as_they_are(forge: GitLabForge) -> None:
    title, body = "ü" * 255, "☂" * 1_048_576
    found = forge.open(BRANCH, "main", title, body)
    assert (found.title, found.body) == (title, body)
    assert (forge.longest_title, forge.longest_body) == (255, 1_048_576)


@pytest.mark.parametrize("line", ["/merge", "\r/close now", "/approve\n/label ~x", "```\n/merge\n```"])
def test_no_line_of_a_text_is_carried_out_as_a_command(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, line: str
) -> None:
    text = f"Before.\n{line}\nAfter."
    found = forge.open(BRANCH, "main", "Title", text)
    assert found.body == text.replace("\r", "")
    forge.comment(1, text, MARK)
    kept = [project.requests[1].description, project.requests[1].notes[0].body]
    assert all("\n/" not in each and "\\/" in each for each in kept)
    forge.update(1, "Title", text)
    assert gitlab.made("PUT") == []


# --- updating, commenting, closing ---------------------------------------------------------------


def test_an_update_changes_title_and_text_once(gitlab: GitLabDouble, forge: GitLabForge, project: Project) -> None:
    number = opened(forge)
    for _ in range(2):
        forge.update(number, "Put dev back, too", "More happened.\n")
    assert (project.requests[1].title, project.requests[1].description) == ("Put dev back, too", "More happened.")
    assert len(gitlab.made("PUT")) == 1


def test_an_update_whose_answer_was_lost_is_perhaps_done(gitlab: GitLabDouble, forge: GitLabForge) -> None:
    number = opened(forge)
    gitlab.fail(EDIT, LostAnswer())
    with pytest.raises(ForgeFault, match="could not be reached to update merge request !1") as caught:
        forge.update(number, "Other", "Other")
    assert caught.value.perhaps_done
    forge.update(number, "Other", "Other")
    assert len(gitlab.made("PUT")) == 1


def test_a_comment_is_made_once(forge: GitLabForge, project: Project) -> None:
    number = opened(forge)
    for _ in range(2):
        forge.comment(number, "It was applied.", MARK)
        forge.comment(number, f"{MARK}\nIt was applied.", MARK)
    forge.comment(number, "Something else.", "<!-- driftguard: outcome 2 -->")
    assert [note.body for note in project.requests[1].notes] == [
        f"It was applied.\n\n{MARK}",
        "Something else.\n\n<!-- driftguard: outcome 2 -->",
    ]


def test_a_comment_is_found_among_more_than_a_hundred(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project
) -> None:
    number = opened(forge)
    for index in range(230):
        gitlab.comment(project.requests[1], "alice", f"Comment {index}")
    forge.comment(number, "It was applied.", MARK)
    forge.comment(number, "It was applied.", MARK)
    assert len(project.requests[1].notes) == 231


def test_neither_another_users_comment_nor_gitlabs_own_silences_ours(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project
) -> None:
    number = opened(forge)
    gitlab.comment(project.requests[1], "mallory", MARK)
    gitlab.store.note(project.requests[1], gitlab.bot, f"changed title to {MARK}", system=True)
    forge.comment(number, "It was applied.", MARK)
    assert project.requests[1].notes[2].body.startswith("It was applied.")


@pytest.mark.parametrize("fault", [LostAnswer(), LostAnswer(502)], ids=["dropped", "502"])
def test_a_lost_answer_of_a_comment_finds_it(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, fault: Fault
) -> None:
    number = opened(forge)
    gitlab.fail(COMMENT, fault)
    forge.comment(number, "It was applied.", MARK)
    assert len(gitlab.made("POST", "/notes")) == len(project.requests[1].notes) == 1


def test_a_comment_that_did_not_arrive_is_perhaps_done(gitlab: GitLabDouble, forge: GitLabForge) -> None:
    number = opened(forge)
    gitlab.fail(COMMENT, Reset())
    with pytest.raises(ForgeFault, match="to comment on merge request !1") as caught:
        forge.comment(number, "It was applied.", MARK)
    assert caught.value.perhaps_done
    assert len(gitlab.made("POST", "/notes")) == 1


def test_closing_closes_once(gitlab: GitLabDouble, forge: GitLabForge) -> None:
    number = opened(forge)
    for _ in range(2):
        forge.close(number)
    assert len(gitlab.made("PUT")) == 1
    found = forge.requests(BRANCH)[0]
    assert (found.state, found.ended_by) == (RequestState.CLOSED, "driftguard-bot")


def test_closing_leaves_a_merged_one_alone(gitlab: GitLabDouble, forge: GitLabForge, project: Project) -> None:
    number = opened(forge)
    merged = gitlab.merge(project.requests[1], "alice")
    forge.close(number)
    assert gitlab.made("PUT") == []
    found = forge.requests(BRANCH)[0]
    assert (found.state, found.merge_commit, found.ended_by) == (RequestState.MERGED, merged, "alice")
    assert found.ended_at == project.requests[1].ended_at


def test_who_closed_it_is_reported(gitlab: GitLabDouble, forge: GitLabForge, project: Project) -> None:
    opened(forge)
    gitlab.close(project.requests[1], "alice")
    found = forge.requests(BRANCH)[0]
    assert (found.state, found.ended_by, found.merge_commit) == (RequestState.CLOSED, "alice", None)
    assert found.ended_at == project.requests[1].ended_at
    gitlab.reopen(project.requests[1])
    found = forge.requests(BRANCH)[0]
    assert (found.state, found.ended_by, found.ended_at) == (RequestState.OPEN, None, None)


def test_one_that_is_being_merged_counts_as_open(forge: GitLabForge, project: Project) -> None:
    opened(forge)
    project.requests[1].state = "locked"
    assert forge.requests(BRANCH)[0].state is RequestState.OPEN
    assert [found.number for found in forge.open_requests("driftguard/")] == [1]


# --- finding -------------------------------------------------------------------------------------


def test_a_branch_of_the_same_name_in_a_fork_is_not_ours(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project
) -> None:
    fork = gitlab.fork(project, "mallory")
    gitlab.push(fork, "mallory", BRANCH, {"evil.tf": "x\n"})
    theirs = gitlab.open(project, "mallory", BRANCH, source=fork)
    assert forge.requests(BRANCH) == ()
    assert forge.open_requests("driftguard/") == ()
    theirs.source = None  # the fork is gone
    assert forge.requests(BRANCH) == ()
    assert opened(forge) == 2
    assert [found.number for found in forge.requests(BRANCH)] == [2]
    assert [found.number for found in forge.open_requests("driftguard/")] == [2]


def test_every_open_one_is_listed_oldest_first(gitlab: GitLabDouble, forge: GitLabForge, project: Project) -> None:
    for index in range(103):
        project.git.keep(f"refs/heads/driftguard/e{index}", str(project.git.tip(BRANCH)))
        gitlab.open(project, gitlab.bot.username, f"driftguard/e{index}")
    gitlab.push(project, "alice", "feature", {"x.tf": "x\n"})
    gitlab.open(project, "alice", "feature")
    gitlab.close(project.requests[5], "alice")
    found = forge.open_requests("driftguard/")
    assert [one.number for one in found] == [number for number in range(1, 104) if number != 5]


def test_a_page_offers_the_other_branch(connect_gitlab: Connect, gitlab: GitLabDouble) -> None:
    query = (
        "merge_request%5Bsource_branch%5D=driftguard%2Fdev%2F%C3%A4+%231&merge_request%5Btarget_branch%5D=release%2F1"
    )
    for url, web in {
        None: "https://gitlab.com",
        "https://gitlab.example.com/": "https://gitlab.example.com",
        "https://example.com:8443/gitlab": "https://example.com:8443/gitlab",
    }.items():
        found = connect_gitlab(url=url, repository="acme/platform/infra").compare_url(
            "release/1", "driftguard/dev/ä #1"
        )
        assert found == f"{web}/acme/platform/infra/-/merge_requests/new?{query}"
    assert gitlab.requests == []


def test_a_project_that_was_renamed_is_followed(gitlab: GitLabDouble, forge: GitLabForge, project: Project) -> None:
    gitlab.rename(project, "acme/platform/estate")
    number = opened(forge)
    forge.comment(number, "It was applied.", MARK)
    forge.close(number)
    assert [(found.number, found.ended_by) for found in forge.requests(BRANCH)] == [(1, "driftguard-bot")]
    assert len(gitlab.made("GET", "/projects/acme%2Finfra")) == 1
