"""What GitLab tells of merged merge requests: each commit's, with who wrote it and who approved what."""

from __future__ import annotations

import json

import pytest

from driftguard.adapters.forges.gitlab import GitLabForge
from driftguard.errors import ForgeFault
from driftguard.model import MergedRequest, RequestState, Review
from tests.support.gitlab_double import Answer, GitLabDouble, MergeRequest, Project, Refusal, refused
from tests.support.gitlab_double.connecting import Connect
from tests.support.gitlab_double.shapes import recorded
from tests.support.gitlab_double.store import DEVELOPER, MAINTAINER, REPORTER

pytest_plugins = ["tests.support.gitlab_double.fixtures"]

STRANGER = ("Old Laptop", "root@localhost")
REQUEST = "/projects/{id}/merge_requests/{iid}"
MEMBER = "GET /projects/{id}/members/all/{user}"


@pytest.fixture
def project(gitlab: GitLabDouble) -> Project:
    """A project, and a branch of Alice's with two commits for which a merge request is open."""
    made = gitlab.add_project()
    made.git.add_commit("main", {"main.tf": "a\n"})
    for username, role in {"alice": DEVELOPER, "bob": DEVELOPER, "carol": MAINTAINER, "visitor": REPORTER}.items():
        gitlab.allow(made, username, role)
    gitlab.push(made, "alice", "feature", {"one.tf": "1\n"}, message="One")
    gitlab.push(made, "alice", "feature", {"two.tf": "2\n"}, message="Two")
    gitlab.open(made, "alice", "feature")
    return made


@pytest.fixture
def request_(project: Project) -> MergeRequest:
    return project.requests[1]


@pytest.fixture
def forge(connect_gitlab: Connect, project: Project) -> GitLabForge:
    return connect_gitlab()


def only(found: tuple[MergedRequest, ...]) -> MergedRequest:
    assert len(found) == 1
    return found[0]


def merged(gitlab: GitLabDouble, forge: GitLabForge, request: MergeRequest) -> MergedRequest:
    return only(forge.merged_with(gitlab.merge(request, "carol"), "main"))


# --- commits and their merge requests ------------------------------------------------------------


@pytest.mark.parametrize("squash", [False, True], ids=["plain", "squashed"])
@pytest.mark.parametrize("how", ["merge", "rebase_merge", "ff"])
def test_each_commit_that_a_merge_made_names_its_merge_request(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest, how: str, squash: bool
) -> None:
    before, head = str(project.git.tip("main")), request_.head
    gitlab.approve(request_, "bob")
    last = gitlab.merge(request_, "carol", how, squash=squash)
    line = project.git.run("rev-list", "--first-parent", f"{before}..{last}").split()
    assert len(line) == (2 if how == "ff" and not squash else 1)
    for commit in line:
        assert only(forge.merged_with(commit, "main")) == MergedRequest(
            number=1,
            url=f"{gitlab.url}/acme/infra/-/merge_requests/1",
            base="main",
            author="alice",
            authors=("alice", "Alice Ash", "alice@example.com"),
            head=head,
            merge_commit=last,
            commit_count=2,
            reviews=(Review("bob", head, approves=True, may_write=True),),
            head_ref="refs/merge-requests/1/head",
        )
    (found,) = forge.requests("feature")
    assert (found.state, found.merge_commit, found.ended_by) == (RequestState.MERGED, last, "carol")


def test_a_rebased_branch_is_reported_as_it_was_merged(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    gitlab.push(project, "carol", "main", {"other.tf": "x\n"})
    with pytest.raises(Refusal):
        gitlab.merge(request_, "carol", "ff")
    gitlab.approve(request_, "bob")
    tip = gitlab.rebase(request_, "carol")
    last = gitlab.merge(request_, "carol", "ff")
    assert last == tip
    for commit in (last, f"{last}~1"):
        found = only(forge.merged_with(str(project.git.resolve(commit)), "main"))
        assert (found.merge_commit, found.head, found.commit_count) == (last, tip, 2)
        (review,) = found.reviews
        assert review.commit not in ("", tip)  # Bob saw the branch before
        assert "carol" in found.authors


def test_a_commit_that_was_pushed_directly_names_none(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    gitlab.merge(request_, "carol")
    assert forge.merged_with(gitlab.push(project, "alice", "main", {"x.tf": "x\n"}), "main") == ()


def test_a_branch_that_a_user_merged_with_git_is_named_with_the_approvals_that_it_has(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    project.git.merge("main", request_.head, "Merge by hand", ("Alice Ash", "alice@example.com"))
    last = str(project.git.tip("main"))
    found = only(forge.merged_with(last, "main"))
    assert (found.merge_commit, found.reviews) == (last, ())


def test_open_closed_and_elsewhere_merged_ones_are_not_named(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    head = request_.head
    assert forge.merged_with(head, "main") == ()
    gitlab.close(request_, "alice")
    assert forge.merged_with(head, "main") == ()
    gitlab.reopen(request_)
    request_.target_branch = "release"
    project.git.keep("refs/heads/release", str(project.git.tip("main")))
    last = gitlab.merge(request_, "carol")
    assert forge.merged_with(last, "main") == ()
    assert only(forge.merged_with(last, "release")).base == "release"


def test_a_commit_that_gitlab_does_not_know_is_missing(forge: GitLabForge) -> None:
    with pytest.raises(ForgeFault, match="404 Commit Not Found") as caught:
        forge.merged_with("0" * 40, "main")
    assert caught.value.missing


def test_a_merge_request_from_a_fork_counts_as_any_other(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project
) -> None:
    fork = gitlab.fork(project, "visitor")
    gitlab.push(fork, "visitor", "fix", {"fix.tf": "x\n"})
    request = gitlab.open(project, "visitor", "fix", source=fork)
    gitlab.approve(request, "bob")
    last = gitlab.merge(request, "carol")
    request.source = None
    found = only(forge.merged_with(last, "main"))
    assert (found.number, found.author, found.reviews[0].commit) == (2, "visitor", found.head)


def test_every_commit_of_a_long_branch_is_counted_and_its_authors_named(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project
) -> None:
    project.git.add_many("long", 230, "main")
    gitlab.push(project, "bob", "long", {"x.tf": "x\n"}, start=None)
    found = merged(gitlab, forge, gitlab.open(project, "alice", "long"))
    assert found.commit_count == 231
    assert {"alice", "bob", "Someone", "someone@example.com"} <= set(found.authors)
    assert len(gitlab.made("POST", "/graphql")) == 3


# --- reviews -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tells_times", [True, False], ids=["with times", "without"])
@pytest.mark.parametrize("licensed", [True, False], ids=["premium", "free"])
def test_an_approval_before_a_push_is_one_of_an_older_commit(
    gitlab: GitLabDouble,
    forge: GitLabForge,
    project: Project,
    request_: MergeRequest,
    tells_times: bool,
    licensed: bool,
) -> None:
    project.tells_times, project.licensed = tells_times, licensed
    seen = request_.head
    gitlab.approve(request_, "bob")
    head = gitlab.push(project, "alice", "feature", {"three.tf": "3\n"})
    gitlab.approve(request_, "carol")
    found = merged(gitlab, forge, request_)
    assert found.head == head
    assert found.reviews == (
        Review("bob", seen, approves=True, may_write=True),
        Review("carol", head, approves=True, may_write=True),
    )


@pytest.mark.parametrize("tells_times", [True, False], ids=["with times", "without"])
def test_an_approval_that_was_given_again_is_of_what_was_seen_last(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest, tells_times: bool
) -> None:
    project.tells_times = tells_times
    gitlab.approve(request_, "bob")
    gitlab.push(project, "alice", "feature", {"three.tf": "3\n"})
    gitlab.revoke(request_, "bob")
    gitlab.approve(request_, "bob")
    found = merged(gitlab, forge, request_)
    assert found.reviews == (Review("bob", found.head, approves=True, may_write=True),)


def test_an_approval_that_was_taken_back_or_reset_is_gone(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    gitlab.approve(request_, "bob")
    gitlab.revoke(request_, "bob")
    gitlab.approve(request_, "carol")
    project.resets = True
    gitlab.push(project, "alice", "feature", {"three.tf": "3\n"})
    assert merged(gitlab, forge, request_).reviews == ()


def test_a_push_with_git_makes_approvals_old_as_well(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    gitlab.approve(request_, "bob")
    project.git.add_commit("feature", {"three.tf": "3\n"})
    found = merged(gitlab, forge, request_)
    assert found.reviews[0].commit not in ("", found.head)


def test_an_approval_of_the_same_commit_for_another_base_is_of_nothing_that_was_merged(
    gitlab: GitLabDouble, forge: GitLabForge, request_: MergeRequest
) -> None:
    gitlab.approve(request_, "bob")
    version = request_.versions[0]
    request_.versions.append(type(version)(gitlab.store.new_id(), version.head, version.base, gitlab.store.now()))
    (review,) = merged(gitlab, forge, request_).reviews
    assert review.commit == ""


def test_an_approval_that_gitlab_does_not_date_is_of_no_commit(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    project.tells_times = False
    gitlab.approve(request_, "bob")
    request_.notes.clear()
    gitlab.comment(request_, "bob", "approved this merge request")  # as anybody may write
    (review,) = merged(gitlab, forge, request_).reviews
    assert (review.reviewer, review.commit) == ("bob", "")


@pytest.mark.parametrize("versions", [[], [recorded("version", created_at="2026-01-01T00:00:00.000Z")]])
def test_versions_that_end_elsewhere_than_the_merge_request_prove_nothing(
    gitlab: GitLabDouble, forge: GitLabForge, request_: MergeRequest, versions: list[dict[str, object]]
) -> None:
    gitlab.approve(request_, "bob")
    gitlab.fail(f"GET {REQUEST}/versions", Answer(200, json.dumps(versions), content_type="application/json"))
    (review,) = merged(gitlab, forge, request_).reviews
    assert review.commit == ""


def test_ones_own_approval_is_visible_as_such(gitlab: GitLabDouble, forge: GitLabForge, request_: MergeRequest) -> None:
    gitlab.approve(request_, "alice")
    found = merged(gitlab, forge, request_)
    assert found.reviews[0].reviewer == found.author == "alice"


def test_reviewers_who_may_not_write_are_reported_as_such(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    for username in ("bob", "carol", "visitor", "outsider", "leaver", "blocked"):
        gitlab.allow(project, username, project.members.get(gitlab.store.user(username).id, DEVELOPER))
        gitlab.approve(request_, username)
    gitlab.allow(project, "leaver", 0)
    gitlab.allow(project, "outsider", 0)
    gitlab.store.user("blocked").state = "blocked"
    found = merged(gitlab, forge, request_)
    assert [review.reviewer for review in found.reviews if review.may_write] == ["bob", "carol"]
    assert len(found.reviews) == 6


# --- authors -------------------------------------------------------------------------------------


def authors(gitlab: GitLabDouble, forge: GitLabForge, request: MergeRequest) -> set[str]:
    gitlab.approve(request, "bob")
    return set(merged(gitlab, forge, request).authors)


def test_the_accounts_of_authors_are_reported_by_addresses_that_only_gitlab_knows(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    gitlab.store.user("bob").addresses.append("robert@private.example")
    gitlab.push(project, "alice", "feature", {"x.tf": "x\n"}, author=("Robert", "robert@private.example"))
    assert {"alice", "bob", "Robert", "robert@private.example"} <= authors(gitlab, forge, request_)


def test_who_pushed_is_an_author_whatever_the_commits_state(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    gitlab.push(project, "bob", "feature", {"x.tf": "x\n"}, author=STRANGER)
    assert {"bob", *STRANGER} <= authors(gitlab, forge, request_)


@pytest.mark.parametrize("hidden", ["{id}-robert", "bob", "7{id}-bob"], ids=["renamed since", "old", "name"])
def test_a_co_author_is_known_by_the_address_that_hides_another(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest, hidden: str
) -> None:
    address = f"{hidden.format(id=gitlab.store.user('bob').id)}@users.noreply.gitlab.example.com"
    trailer = f"Change\n\nCo-authored-by: B. <{address}>"
    gitlab.push(project, "alice", "feature", {"x.tf": "x\n"}, message=trailer)
    assert {"bob", "B.", address} <= authors(gitlab, forge, request_)


def test_a_commit_by_an_approvers_name_makes_them_an_author(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    gitlab.push(project, "alice", "feature", {"x.tf": "x\n"}, author=("bob ash", "bob@laptop"))
    assert "bob" in authors(gitlab, forge, request_)


def test_an_approver_who_wrote_nothing_is_no_author(
    gitlab: GitLabDouble, forge: GitLabForge, request_: MergeRequest
) -> None:
    gitlab.comment(request_, "bob", "added 1 commit")
    assert "bob" not in authors(gitlab, forge, request_)


def test_no_user_is_taken_for_no_author_where_gitlab_does_not_name_one(
    gitlab: GitLabDouble, forge: GitLabForge, request_: MergeRequest
) -> None:
    last = gitlab.merge(request_, "carol")
    for data, why in (
        ('{"data": {"project": null}}', "does not give the authors of merge request !1"),
        ('{"data": {"project": {"mergeRequest": null}}}', "does not give the authors of merge request !1"),
        ('{"errors": [{"message": "Field \'committers\' doesn\'t exist"}]}', "Field 'committers' doesn't exist"),
        ('{"data": null}', "could not be understood"),
    ):
        gitlab.fail("POST /api/graphql", Answer(200, data, content_type="application/json"))
        with pytest.raises(ForgeFault, match=why) as caught:
            forge.merged_with(last, "main")
        assert not caught.value.perhaps_done


# --- code owners ---------------------------------------------------------------------------------


def test_each_rule_of_code_owners_names_who_may_approve_it(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    project.licensed = True
    bob, carol = gitlab.store.user("bob"), gitlab.store.user("carol")
    project.owned = [("*.tf", [bob, carol]), ("two.tf", [carol]), ("nobody.tf", [])]
    last = gitlab.merge(request_, "carol")
    assert only(forge.merged_with(last, "main", owners=True)).owned == (
        frozenset({"bob", "carol"}),
        frozenset({"carol"}),
        frozenset(),
    )
    assert only(forge.merged_with(last, "main")).owned == ()


def test_without_rules_of_code_owners_no_user_is_asked_for(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest
) -> None:
    project.licensed = True
    assert only(forge.merged_with(gitlab.merge(request_, "carol"), "main", owners=True)).owned == ()


def test_without_a_licence_for_code_owners_no_users_approval_will_do(
    gitlab: GitLabDouble, forge: GitLabForge, request_: MergeRequest
) -> None:
    assert only(forge.merged_with(gitlab.merge(request_, "carol"), "main", owners=True)).owned == (frozenset(),)


# --- what cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "route",
    [
        "GET /projects/{id}/repository/commits/{sha}/merge_requests",
        f"GET {REQUEST}",
        f"GET {REQUEST}/commits",
        f"GET {REQUEST}/notes",
        f"GET {REQUEST}/versions",
        f"GET {REQUEST}/approvals",
        f"GET {REQUEST}/approval_state",
        "POST /api/graphql",
        MEMBER,
    ],
)
def test_whatever_cannot_be_read_is_a_fault_and_never_an_answer(
    gitlab: GitLabDouble, forge: GitLabForge, project: Project, request_: MergeRequest, route: str
) -> None:
    project.licensed = True
    gitlab.approve(request_, "bob")
    last = gitlab.merge(request_, "carol")
    for fault in (refused(403, "403 Forbidden"), refused(401, "401 Unauthorized")):
        gitlab.fail(route, fault)
        with pytest.raises(ForgeFault, match=r"GitLab refused to (read|list)") as caught:
            forge.merged_with(last, "main", owners=True)
        assert caught.value.denied
    gitlab.fail(route, Answer(200, "<html>Sign in</html>", content_type="text/html"))
    with pytest.raises(ForgeFault, match="could not be understood"):
        forge.merged_with(last, "main", owners=True)
    assert gitlab.unmet_faults() == 0
