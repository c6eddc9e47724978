"""The GitHub double is as strict as GitHub, and a check against GitHub's description can fail."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.github_double import (
    Description,
    GitHubDouble,
    Hang,
    LostAnswer,
    Refusal,
    Repository,
    Request,
    Unavailable,
    refused,
)

pytest_plugins = ["tests.support.github_double.fixtures"]

PULLS = "/repos/acme/infra/pulls"


@pytest.fixture
def double(tmp_path: Path) -> Iterator[GitHubDouble]:
    with GitHubDouble(tmp_path / "github") as running:
        yield running


@pytest.fixture
def repository(double: GitHubDouble) -> Repository:
    made = double.add_repository()
    made.git.add_commit("main", {"a": "1\n"})
    made.git.add_commit("feature", {"b": "1\n"}, "Feature", start="main")
    for login, permission in {"alice": "write", "bob": "write", "root": "admin"}.items():
        double.allow(made, login, permission)
    return made


def ask(
    double: GitHubDouble, method: str, path: str, body: object = None, **headers: str | None
) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON and headers of an answer; None takes a header away."""
    sent = {"authorization": f"Bearer {double.token}", "user-agent": "test", **headers}
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(double.url + path, data, method=method)
    for name, value in sent.items():
        if value is not None:
            request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), dict(error.headers)


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"authorization": None}, 401, "Requires authentication"),
        ({"authorization": "Basic dDp0"}, 401, "Requires authentication"),
        ({"authorization": "Bearer wrong"}, 401, "Bad credentials"),
        ({"authorization": "Bearer a.b.c"}, 401, "A JSON web token could not be decoded"),
        ({"user_agent": ""}, 403, "Request forbidden"),
        ({"accept": "text/html"}, 415, "Unsupported 'Accept' header"),
        ({"x_github_api_version": "2001-01-01"}, 400, "The API version is not supported"),
    ],
)
def test_headers_are_checked(
    double: GitHubDouble, repository: Repository, headers: dict[str, str | None], status: int, message: str
) -> None:
    got, said, _ = ask(double, "GET", PULLS, **headers)
    assert (got, said["message"][: len(message)]) == (status, message)
    assert ask(double, "GET", PULLS, accept="application/vnd.github+json", x_github_api_version="2022-11-28")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", PULLS, "{", 400),
        ("POST", PULLS, ["driftguard"], 400),
        ("POST", PULLS, {}, 422),
        ("POST", PULLS, {"head": "feature", "base": "main"}, 422),
        ("POST", PULLS, {"head": "feature", "base": "none", "title": "t"}, 422),
        ("POST", PULLS, {"head": "none", "base": "main", "title": "t"}, 422),
        ("POST", PULLS, {"head": "main", "base": "main", "title": "t"}, 422),
        ("POST", PULLS, {"head": "feature", "base": "main", "title": "t" * 257}, 422),
        ("POST", PULLS, {"head": "feature", "base": "main", "title": "t", "body": "b" * 65_537}, 422),
        ("PATCH", PULLS + "/1", {"state": "merged"}, 422),
        ("PATCH", PULLS + "/1", {"title": " "}, 422),
        ("PATCH", "/repos/acme/infra/issues/1", {"labels": [1]}, 422),
        ("POST", "/repos/acme/infra/issues/1/comments", {"body": ""}, 422),
        ("GET", PULLS + "/2", None, 404),
        ("GET", PULLS + "/one", None, 404),
        ("GET", "/repos/acme/none", None, 404),
        ("GET", "/repos/acme/infra/commits/0000000/pulls", None, 422),
    ],
)
def test_what_github_refuses_is_refused(
    double: GitHubDouble, repository: Repository, method: str, path: str, body: object, status: int
) -> None:
    repository.git.keep("refs/heads/other", str(repository.git.tip("feature")))
    double.open_pull(repository, "alice", "other")
    assert ask(double, method, path, body)[0] == status


def test_a_second_pull_request_from_a_branch_is_refused_in_githubs_words(
    double: GitHubDouble, repository: Repository
) -> None:
    body = {"head": "feature", "base": "main", "title": "t"}
    assert ask(double, "POST", PULLS, body)[0] == 201
    status, said, _ = ask(double, "POST", PULLS, body)
    assert status == 422
    assert said["errors"][0]["message"] == "A pull request already exists for acme:feature."


def test_an_unknown_route_fails_the_test(tmp_path: Path) -> None:
    double = GitHubDouble(tmp_path)
    with pytest.raises(AssertionError, match="unknown route: GET /repos/acme/infra/branches"), double:
        assert ask(double, "GET", "/repos/acme/infra/branches")[0] == 404


def test_a_list_comes_in_pages(double: GitHubDouble, repository: Repository) -> None:
    double.open_pull(repository, "alice", "feature")
    for index in range(150):
        double.comment(repository, 1, "alice", str(index))
    path = "/repos/acme/infra/issues/1/comments"
    assert len(ask(double, "GET", path)[1]) == 30
    _, first, headers = ask(double, "GET", path + "?per_page=500")
    assert [comment["body"] for comment in first] == [str(index) for index in range(100)]
    assert f'<{double.url}{path}?per_page=500&page=2>; rel="next"' in headers["Link"]
    _, second, headers = ask(double, "GET", path + "?per_page=500&page=2")
    assert (len(second), "next" in headers["Link"]) == (50, False)


def test_what_a_list_lacks_is_not_in_it(double: GitHubDouble, repository: Repository) -> None:
    double.open_pull(repository, "alice", "feature")
    double.merge(repository, 1, "root")
    listed = ask(double, "GET", PULLS + "?state=all")[1][0]
    whole = ask(double, "GET", PULLS + "/1")[1]
    assert {"merged_by", "merged", "commits", "changed_files"} & set(listed) == set()
    assert (whole["merged_by"]["login"], whole["merged"], whole["commits"], whole["changed_files"]) == (
        *("root", True),
        *(1, 1),
    )


# --- faults --------------------------------------------------------------------------------------


def test_faults_are_met_in_order_and_once(double: GitHubDouble, repository: Repository) -> None:
    double.fail("GET /repos/{owner}/{repo}/pulls", refused(409, "Conflict"), refused(403, "No", retry_after="7"))
    assert ask(double, "GET", "/user")[0] == 200
    assert ask(double, "GET", PULLS)[0] == 409
    status, said, headers = ask(double, "GET", PULLS)
    assert (status, said["message"], headers["retry-after"]) == (403, "No", "7")
    assert ask(double, "GET", PULLS)[0] == 200
    assert double.unmet_faults() == 0


def test_a_lost_answer_was_done_and_a_hang_was_not(double: GitHubDouble, repository: Repository) -> None:
    body = {"head": "feature", "base": "main", "title": "t"}
    double.fail("POST /repos/{owner}/{repo}/pulls", Hang(0.01), LostAnswer(), LostAnswer())
    with pytest.raises(OSError, match=r"reset|closed|refused"):
        ask(double, "POST", PULLS, body)
    assert repository.pulls == {}
    with pytest.raises(OSError, match=r"reset|closed|refused"):
        ask(double, "POST", PULLS, body)
    assert list(repository.pulls) == [1]


# --- pull requests follow git --------------------------------------------------------------------


@pytest.mark.parametrize(("how", "parents"), [("merge", 2), ("squash", 1), ("rebase", 1)])
def test_each_way_to_merge_makes_its_commit(
    double: GitHubDouble, repository: Repository, how: str, parents: int
) -> None:
    git = repository.git
    git.add_commit("feature", {"c": "1\n"}, "More")
    before = git.add_commit("main", {"d": "1\n"})
    double.open_pull(repository, "alice", "feature", title="Both")
    made = double.merge(repository, 1, "bob", how)
    commit = git.commit(made)
    assert (git.tip("main"), len(commit.parents)) == (made, parents)
    assert git.run("ls-tree", "--name-only", made).split() == ["a", "b", "c", "d"]
    assert commit.committer[0] == ("bob" if how == "rebase" else "GitHub")
    assert len(git.run("rev-list", "--first-parent", f"{before}..{made}").split()) == (2 if how == "rebase" else 1)
    assert (
        commit.message.splitlines()[0]
        == {
            "merge": "Merge pull request #1 from acme/feature",
            "squash": "Both (#1)",
            "rebase": "More",
        }[how]
    )


def test_a_conflict_cannot_be_merged(double: GitHubDouble, repository: Repository) -> None:
    repository.git.add_commit("main", {"b": "2\n"})
    double.open_pull(repository, "alice", "feature")
    for how in ("merge", "squash", "rebase"):
        with pytest.raises(Refusal) as caught:
            double.merge(repository, 1, "root", how)
        assert caught.value.status == 405
    assert repository.pull(1).state == "open"


def test_protection_counts_approvals_of_those_who_may_write(double: GitHubDouble, repository: Repository) -> None:
    double.protect(repository, "main", approvals=1, admins_too=True)
    double.allow(repository, "visitor", "read")
    double.open_pull(repository, "alice", "feature")
    double.review(repository, 1, "visitor")
    for bypass in (False, True):
        with pytest.raises(Refusal) as caught:
            double.merge(repository, 1, "root", bypass=bypass)
        assert caught.value.status == 405
    double.review(repository, 1, "bob", "CHANGES_REQUESTED")
    double.review(repository, 1, "root")
    with pytest.raises(Refusal, match="Changes have been requested"):
        double.merge(repository, 1, "root")
    double.review(repository, 1, "bob")
    assert double.merge(repository, 1, "alice") == repository.git.tip("main")


def test_who_may_not_write_may_not_merge(double: GitHubDouble, repository: Repository) -> None:
    double.open_pull(repository, "alice", "feature")
    with pytest.raises(Refusal) as caught:
        double.merge(repository, 1, "stranger")
    assert caught.value.status == 403


def test_a_pull_request_follows_its_branch(double: GitHubDouble, repository: Repository) -> None:
    git = repository.git
    double.open_pull(repository, "alice", "feature")
    pushed = git.add_commit("feature", {"c": "1\n"})
    assert ask(double, "GET", PULLS + "/1")[1]["head"]["sha"] == pushed
    git.run("update-ref", "-d", "refs/heads/feature")
    assert repository.pull(1).state == "closed"
    assert git.resolve("refs/pull/1/head") == pushed


def test_a_pull_request_whose_commits_were_pushed_to_its_base_is_merged(
    double: GitHubDouble, repository: Repository
) -> None:
    double.open_pull(repository, "alice", "feature")
    tip = str(repository.git.tip("feature"))
    repository.git.keep("refs/heads/main", tip)
    shown = ask(double, "GET", PULLS + "/1")[1]
    assert (shown["merged"], shown["merge_commit_sha"], shown["merged_by"]) == (True, tip, None)


# --- apps ----------------------------------------------------------------------------------------


def test_an_apps_token_is_checked_as_github_does(double: GitHubDouble, repository: Repository) -> None:
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    public = keys[0].public_key()
    app = double.add_app(
        repository,
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode(),
    )
    now = int(time.time())

    def status(claims: dict[str, object], key: object = keys[0], algorithm: str = "RS256") -> int:
        token = jwt.encode({"iat": now - 60, "exp": now + 300, "iss": str(app.id), **claims}, key, algorithm)  # type: ignore[arg-type]
        return ask(double, "GET", "/app", authorization=f"Bearer {token}")[0]

    assert status({}) == 200
    assert status({}, keys[1]) == 401
    assert status({}, "a shared secret that is long enough for it", "HS256") == 401
    assert status({"exp": now - 1}) == 401
    assert status({"exp": now + 900}) == 401
    assert status({"iat": now + 300}) == 401
    assert status({"iss": "1"}) == 401
    assert ask(double, "GET", "/app")[0] == 401


# --- the check against GitHub's description ------------------------------------------------------


def test_the_check_finds_what_github_would_not_know(github_description: Description | Unavailable) -> None:
    if isinstance(github_description, Unavailable):
        pytest.skip(f"GitHub's description could not be had: {github_description}")

    def faults(method: str, path: str, query: dict[str, str] | None = None, body: object = None) -> str:
        request = Request(method, path, query or {}, body)
        return " | ".join(fault.partition(": ")[2] for fault in github_description.faults(request))

    labels = "/repos/acme/infra/issues/1/labels"
    good = {"title": "t", "head": "b", "base": "main", "body": "x"}
    assert faults("POST", PULLS, body=good) == ""
    assert faults("GET", PULLS, {"state": "all", "per_page": "100"}) == ""
    assert faults("GET", "/repos/acme/infra/contents/.github/CODEOWNERS", {"ref": "main"}) == ""
    assert faults("POST", labels, body={"labels": ["driftguard"]}) == ""
    assert faults("POST", labels, body=[1]) != ""
    assert faults("POST", PULLS, body={**good, "label": "x"}) == "no property label"
    assert faults("POST", PULLS, body={"title": "t", "base": "main"}) == "$: 'head' is a required property"
    assert faults("POST", PULLS) == "lacks its body"
    assert faults("GET", PULLS, {"state": "merged"}).startswith("state: $: 'merged' is not one of")
    assert faults("GET", PULLS, {"branch": "b"}) == "no parameter branch"
    assert faults("GET", PULLS, {"per_page": "many"}) == "per_page: $: 'many' is not of type 'integer'"
    assert faults("DELETE", PULLS + "/1") == "the route does not know the method"
    assert faults("GET", "/repos/acme/infra/merge-requests") == "there is no such route"
    answered = Request("GET", PULLS, status=200, answer=[{"number": "1", "merged_by": None}])
    assert github_description.answer_faults(answered) == [
        "answer to GET /repos/acme/infra/pulls: $[0].number: '1' is not of type 'integer'",
        "answer to GET /repos/acme/infra/pulls: no field merged_by",
    ]
