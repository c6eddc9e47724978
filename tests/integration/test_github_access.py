"""GitHub's refusals, limits and silences, and the credentials that DriftGuard shows there."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from driftguard.adapters.forges.github import GitHubForge
from driftguard.errors import ForgeFault, OperatorError
from tests.support.github_double import (
    Answer,
    Fault,
    GitHubDouble,
    Hang,
    LostAnswer,
    Repository,
    Reset,
    primary_limit,
    refused,
    secondary_limit,
    unicorn,
)
from tests.support.github_double.connecting import Connect, settings

pytest_plugins = ["tests.support.github_double.fixtures"]

BRANCH = "driftguard/dev/0123abcd"
LIST = "GET /repos/{owner}/{repo}/pulls"
OPEN = "POST /repos/{owner}/{repo}/pulls"
TOKENS = "POST /app/installations/{installation_id}/access_tokens"


@pytest.fixture
def repository(github: GitHubDouble) -> Repository:
    made = github.add_repository()
    made.git.add_commit("main", {"main.tf": "a\n"})
    made.git.add_commit(BRANCH, {"dev.yaml": "approve\n"}, "Approve", github.bot.identity, start="main")
    return made


@pytest.fixture
def forge(connect_github: Connect, repository: Repository) -> GitHubForge:
    return connect_github()


def everything_shown(error: BaseException) -> str:
    """Whatever a traceback, a log line or a `repr` could show of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "denied", "missing", "words"),
    [
        (refused(401, "Bad credentials"), True, False, "Check the credential of `forge`"),
        (
            refused(403, "Resource not accessible by integration"),
            True,
            False,
            "`permissions: {contents: write, pull-re",
        ),
        (refused(403, "Resource not accessible by personal access token"), True, False, "Give the credential of `for"),
        (refused(403, "GitHub Actions is not permitted to create or approve pull requests."), True, False, "Switch on"),
        (refused(404, "Not Found"), False, True, r"Check `forge.repository` \(acme/infra\)"),
        (refused(410, "Issues are disabled for this repo"), False, True, "HTTP 410"),
        (refused(409, "Conflict"), False, False, r"HTTP 409: Conflict\). The next run retries"),
        (refused(422, "Validation Failed"), False, False, r"HTTP 422: Validation Failed\). The next run retries"),
    ],
)
@pytest.mark.parametrize("writes", [False, True])
def test_a_refusal_states_what_was_tried_and_what_to_do(
    github: GitHubDouble, forge: GitHubForge, fault: Fault, denied: bool, missing: bool, words: str, writes: bool
) -> None:
    github.fail(OPEN if writes else LIST, fault)
    what = f"open a pull request from {BRANCH} into main" if writes else f"list the pull requests from {BRANCH}"
    with pytest.raises(ForgeFault, match=words) as caught:
        forge.open(BRANCH, "main", "Title", "Text") if writes else forge.requests(BRANCH)
    assert what in str(caught.value)
    assert (caught.value.denied, caught.value.missing) == (denied, missing)
    assert caught.value.retry_after_seconds is None
    assert len(github.requests) == 2  # none is repeated


@pytest.mark.parametrize(
    "fault",
    [
        Answer(200, "[{]"),
        Answer(200, "{}"),
        Answer(200, "[7]"),
        Answer(200, "<html>A proxy's page</html>", {}, "text/html"),
    ],
)
def test_an_answer_that_is_not_githubs_is_a_fault(github: GitHubDouble, forge: GitHubForge, fault: Fault) -> None:
    github.fail(LIST, fault)
    with pytest.raises(ForgeFault, match="could not be understood when asked to list"):
        forge.requests(BRANCH)
    github.fail(OPEN, fault)
    with pytest.raises(ForgeFault, match="could not be understood when asked to open") as caught:
        forge.open(BRANCH, "main", "Title", "Text")
    assert caught.value.perhaps_done


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (secondary_limit(30), 30),
        (secondary_limit(45, status=429), 45),
        (secondary_limit(0), 1),
        (secondary_limit(None), 60),
        (primary_limit(1200), 1200),
        (primary_limit(1200, status=429), 1200),
        (primary_limit(-5), 1),
        (refused(429, "Too many requests"), 60),
        (refused(403, "You have triggered an abuse detection mechanism. Please retry your request again later."), 60),
        (refused(403, "API rate limit exceeded for installation ID 7."), 60),
        (refused(403, "You have exceeded a secondary rate limit.", retry_after="later"), 60),
        (refused(422, "Validation Failed: was submitted too quickly"), 60),
        (Answer(403, "You have exceeded a secondary rate limit", content_type="text/plain"), 60),
        (refused(429, "Too many requests", retry_after="soon"), 60),
    ],
)
@pytest.mark.parametrize("writes", [False, True])
def test_a_rate_limit_states_how_long_to_wait_and_is_not_waited_for(
    github: GitHubDouble, forge: GitHubForge, fault: Fault, seconds: float, writes: bool
) -> None:
    github.fail(OPEN if writes else LIST, fault)
    began = time.monotonic()
    with pytest.raises(ForgeFault, match="rate limit exceeded") as caught:
        forge.open(BRANCH, "main", "Title", "Text") if writes else forge.requests(BRANCH)
    assert time.monotonic() - began < 10
    assert caught.value.retry_after_seconds == seconds
    assert not caught.value.denied
    assert not caught.value.perhaps_done
    assert len(github.requests) == 2


@pytest.mark.parametrize("faults", [[unicorn()], [Reset()], [unicorn(500), Reset()], [unicorn(503), unicorn(504)]])
def test_reading_is_repeated_a_little(github: GitHubDouble, forge: GitHubForge, faults: Sequence[Fault]) -> None:
    github.fail(LIST, *faults)
    assert forge.requests(BRANCH) == ()
    assert len(github.made("GET", "/pulls")) == len(faults) + 1


@pytest.mark.parametrize(
    ("fault", "whole"),
    [
        (refused(401, "Bad credentials"), True),
        (refused(403, "Resource not accessible by integration"), False),
        (refused(404, "Not Found"), False),
        (refused(422, "Validation Failed"), False),
        (secondary_limit(30), True),
        (unicorn(500), False),
        (unicorn(503), True),
        (Reset(), True),
    ],
)
def test_only_a_fault_of_the_forge_as_a_whole_counts_for_other_environments(
    github: GitHubDouble, forge: GitHubForge, fault: Fault, whole: bool
) -> None:
    github.fail(LIST, *[fault] * 3)
    with pytest.raises(ForgeFault) as caught:
        forge.requests(BRANCH)
    assert caught.value.whole_forge is whole


@pytest.mark.parametrize(
    ("fault", "words"), [(unicorn(), "did not answer properly"), (Reset(), "could not be reached")]
)
def test_reading_gives_up_after_three_tries(github: GitHubDouble, forge: GitHubForge, fault: Fault, words: str) -> None:
    github.fail(LIST, *[fault] * 9)
    with pytest.raises(ForgeFault, match=words) as caught:
        forge.requests(BRANCH)
    assert not caught.value.perhaps_done
    assert len(github.made("GET", "/pulls")) == 3


def test_a_silence_is_not_waited_out(github: GitHubDouble, repository: Repository, connect_github: Connect) -> None:
    forge = connect_github(timeout_seconds=1)
    github.fail(LIST, *[Hang(20)] * 3)
    began = time.monotonic()
    with pytest.raises(ForgeFault, match="could not be reached to list the pull requests"):
        forge.requests(BRANCH)
    assert time.monotonic() - began < 15


def test_nothing_is_asked_once_a_stop_was_requested(github: GitHubDouble, repository: Repository) -> None:
    for index in range(150):
        repository.git.keep(f"refs/heads/driftguard/e{index}", str(repository.git.tip(BRANCH)))
        github.open_pull(repository, github.bot.login, f"driftguard/e{index}")

    def forge(stopping: Callable[[], bool]) -> GitHubForge:
        return GitHubForge(settings(github), {"TOKEN": github.token}, stopping=stopping)

    with pytest.raises(ForgeFault, match="DriftGuard is stopping"):
        forge(lambda: True).requests(BRANCH)
    assert github.requests == []
    with pytest.raises(ForgeFault, match="DriftGuard is stopping"):
        forge(lambda: len(github.requests) >= 2).open_requests("driftguard/")
    assert [request.path for request in github.requests] == ["/repos/acme/infra", "/repos/acme/infra/pulls"]


@pytest.mark.parametrize("path", ["", "/acme/infra", "/api"])
def test_an_address_that_is_not_the_api_is_named_with_the_likely_one(
    github: GitHubDouble, repository: Repository, connect_github: Connect, path: str
) -> None:
    with pytest.raises(ForgeFault, match=f"did you mean {github.web}/api/v3\\?") as caught:
        connect_github(url=f"{github.web}{path}").requests(BRANCH)
    assert caught.value.whole_forge
    assert not caught.value.denied
    assert github.requests == []


def test_a_page_in_place_of_an_answer_names_the_likely_address_of_the_api(
    github: GitHubDouble, repository: Repository, connect_github: Connect
) -> None:
    signing_in = Answer(200, "<html>Sign in</html>", {}, "text/html")
    github.fail(LIST, signing_in)
    with pytest.raises(ForgeFault) as caught:  # of the right address: a proxy's page
        connect_github().requests(BRANCH)
    assert "did you mean" not in str(caught.value)


def test_a_workflows_own_token_is_known_to_start_no_checks(
    github: GitHubDouble, repository: Repository, connect_github: Connect
) -> None:
    caveat = connect_github(github.add_actions_token(repository)).caveat()
    assert caveat == (
        "no check starts on pull requests of this token, which is a workflow's own (GITHUB_TOKEN): use a GitHub App"
    )
    assert connect_github().caveat() is None
    app = github.add_app(repository, PUBLIC)
    assert as_app(github, {"KEY": KEY}, id=app.id, key_env="KEY").caveat() is None


def test_who_may_only_read_is_denied(github: GitHubDouble, repository: Repository, connect_github: Connect) -> None:
    github.allow(repository, "reader", "read")
    forge = connect_github(github.add_token("reader"))
    assert forge.requests(BRANCH) == ()
    with pytest.raises(ForgeFault, match="HTTP 403: Resource not accessible by personal access token") as caught:
        forge.open(BRANCH, "main", "Title", "Text")
    assert caught.value.denied


def test_a_repository_that_may_not_be_seen_is_missing(
    github: GitHubDouble, repository: Repository, connect_github: Connect
) -> None:
    with pytest.raises(ForgeFault, match="HTTP 404") as caught:
        connect_github(github.add_token("stranger")).requests(BRANCH)
    assert caught.value.missing


# --- tokens --------------------------------------------------------------------------------------


def test_the_token_comes_from_a_variable_or_a_file(
    github: GitHubDouble, repository: Repository, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"\n {github.token} \n")
    for changes, environ in (
        ({}, {"TOKEN": f" {github.token}\n"}),
        ({"token_env": None, "token_file": str(file)}, {"TOKEN": "another"}),
    ):
        assert GitHubForge(settings(github, **changes), environ).requests(BRANCH) == ()


@pytest.mark.parametrize("value", [None, "", " \n", "two words", "tökens"])
def test_a_token_that_is_none_is_reported_at_once(github: GitHubDouble, tmp_path: Path, value: str | None) -> None:
    file = tmp_path / "token"
    if value is not None:
        file.write_text(value)
    given = settings(github, token_env=None, token_file=str(file))
    with pytest.raises(OperatorError, match=r"token for GitHub") as from_file:
        GitHubForge(given, {})
    with pytest.raises(OperatorError, match=r"TOKEN") as from_variable:
        GitHubForge(settings(github), {} if value is None else {"TOKEN": value})
    for caught in (from_file, from_variable):
        assert not value or not value.strip() or value not in everything_shown(caught.value)
    assert str(file) in str(from_file.value)
    assert github.requests == []


def test_a_token_that_github_does_not_know_is_denied_and_never_shown(
    github: GitHubDouble, repository: Repository, connect_github: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    for token in ("0123456789abcdef0123456789abcdef01234567", "ghp_0123456789abcdefghijABCDEFGHIJ012345"):
        forge = connect_github(token)
        with pytest.raises(ForgeFault, match="HTTP 401: Bad credentials") as caught:
            forge.requests(BRANCH)
        assert caught.value.denied
        assert token not in everything_shown(caught.value) + caplog.text + repr(forge)


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422, 500])
def test_an_answer_that_quotes_the_token_is_reported_without_it(
    github: GitHubDouble, forge: GitHubForge, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    quoted = f"Bad token {github.token} or AKIAIOSFODNN7EXAMPLE"
    body = json.dumps({"message": quoted, "errors": [quoted, {"message": quoted}, {"field": quoted, "code": quoted}]})
    github.fail(LIST, *[Answer(status, body)] * 3)
    with pytest.raises(ForgeFault) as caught:
        forge.requests(BRANCH)
    assert github.token not in everything_shown(caught.value)
    assert "AKIAIOSFODNN7EXAMPLE" not in everything_shown(caught.value)
    assert "Bad token (sensitive)" in str(caught.value)


# --- as a GitHub App -----------------------------------------------------------------------------


def pair() -> tuple[str, str]:
    """A private and a public RSA key as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


KEY, PUBLIC = pair()


def as_app(github: GitHubDouble, environ: dict[str, str], **app: object) -> GitHubForge:
    return GitHubForge(settings(github, token_env=None, app=app), environ, seconds_between_writes=0)


def test_an_app_finds_its_installation_and_comments_once(github: GitHubDouble, repository: Repository) -> None:
    app = github.add_app(repository, PUBLIC)
    forge = as_app(github, {"KEY": f"\n{KEY}\n"}, id=app.id, key_env="KEY")
    number = forge.open(BRANCH, "main", "Title", "Text").number
    github.comment(repository, number, "mallory", "<!-- 1 -->")
    for _ in range(2):
        forge.comment(number, "Done.", "<!-- 1 -->")
    comments = repository.pulls[number].comments
    assert [comment.user.login for comment in comments] == ["mallory", "driftguard-acme[bot]"]
    assert len(github.made("GET", "/installation")) == 1
    assert len(github.made("POST", "/access_tokens")) == 1


def test_an_app_whose_installation_is_given_does_not_look_for_it(
    github: GitHubDouble, repository: Repository, tmp_path: Path
) -> None:
    app = github.add_app(repository, PUBLIC)
    file = tmp_path / "key.pem"
    file.write_text(KEY)
    forge = as_app(github, {}, id=app.id, installation=app.installation, key_file=str(file))
    assert forge.requests(BRANCH) == ()
    assert github.made("GET", "/installation") == []


def test_an_app_that_is_not_installed_there_is_missing(github: GitHubDouble, repository: Repository) -> None:
    app = github.add_app(repository, PUBLIC)
    github.allow(repository, "driftguard-acme[bot]", "none")
    with pytest.raises(ForgeFault, match="HTTP 404") as caught:
        as_app(github, {"KEY": KEY}, id=app.id, key_env="KEY").requests(BRANCH)
    assert caught.value.missing


def test_a_key_that_is_not_the_apps_is_denied(github: GitHubDouble, repository: Repository) -> None:
    app = github.add_app(repository, PUBLIC)
    other, _ = pair()
    with pytest.raises(ForgeFault, match="HTTP 401: A JSON web token could not be decoded") as caught:
        as_app(github, {"KEY": other}, id=app.id, key_env="KEY").requests(BRANCH)
    assert caught.value.denied
    assert other.splitlines()[3] not in everything_shown(caught.value)


@pytest.mark.parametrize("value", ["", "nonsense", KEY[:200], KEY.replace("A", "!")])
def test_a_key_that_is_none_is_reported_at_once(github: GitHubDouble, value: str) -> None:
    with pytest.raises(OperatorError, match=r"KEY.*private key|private key.*KEY") as caught:
        as_app(github, {"KEY": value}, id=1, key_env="KEY")
    assert not value or value.splitlines()[-1] not in everything_shown(caught.value)
    assert github.requests == []


@pytest.mark.parametrize("fault", [LostAnswer(), unicorn(), secondary_limit(30)])
def test_an_apps_token_that_cannot_be_had_is_a_fault_of_what_was_tried(
    github: GitHubDouble, repository: Repository, fault: Fault
) -> None:
    app = github.add_app(repository, PUBLIC)
    forge = as_app(github, {"KEY": KEY}, id=app.id, key_env="KEY")
    github.fail(TOKENS, fault)
    with pytest.raises(ForgeFault, match="list the pull requests"):
        forge.requests(BRANCH)
    assert len(github.made("POST", "/access_tokens")) == 1
    assert forge.requests(BRANCH) == ()
