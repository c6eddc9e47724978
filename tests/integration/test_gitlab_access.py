"""How GitLab is reached: where the token is from and goes to, and what each refusal means."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from driftguard.adapters.forges.gitlab import GitLabForge
from driftguard.errors import ForgeFault, OperatorError
from tests.support.gitlab_double import (
    Answer,
    Fault,
    GitLabDouble,
    Hang,
    LostAnswer,
    Project,
    Reset,
    limited,
    refused,
)
from tests.support.gitlab_double.connecting import Connect, settings
from tests.support.gitlab_double.store import REPORTER

pytest_plugins = ["tests.support.gitlab_double.fixtures"]

BRANCH = "driftguard/dev/0123456789"
LIST = "GET /projects/{id}/merge_requests"
OPEN = "POST /projects/{id}/merge_requests"
SECRET = "a-secret-of-no-known-shape-42"


@pytest.fixture
def project(gitlab: GitLabDouble) -> Project:
    made = gitlab.add_project()
    made.git.add_commit("main", {"main.tf": "a\n"})
    made.git.add_commit(BRANCH, {"main.tf": "b\n"}, start="main")
    return made


@pytest.fixture
def forge(connect_gitlab: Connect, project: Project) -> GitLabForge:
    return connect_gitlab()


# --- the token -----------------------------------------------------------------------------------


def test_the_token_is_taken_from_the_environment_without_whitespace(gitlab: GitLabDouble, project: Project) -> None:
    forge = GitLabForge(settings(gitlab), {"TOKEN": f"  {gitlab.token}\n"})
    assert forge.token() == gitlab.token
    assert forge.requests(BRANCH) == ()
    assert {request.token for request in gitlab.requests} == {gitlab.token}


def test_the_token_is_taken_from_a_file_without_whitespace(
    gitlab: GitLabDouble, project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{gitlab.token}\n")
    forge = GitLabForge(settings(gitlab, token_env=None, token_file=str(file)), {})
    assert forge.requests(BRANCH) == ()


@pytest.mark.parametrize("environ", [{}, {"TOKEN": ""}, {"TOKEN": " \n"}])
def test_a_variable_without_a_token_is_named(gitlab: GitLabDouble, environ: dict[str, str]) -> None:
    with pytest.raises(OperatorError, match=r"^The variable TOKEN holds no token for GitLab\. Set it, or name another"):
        GitLabForge(settings(gitlab), environ)


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "could not be read from .*FileNotFoundError"), (b" \n", "holds no token"), (b"\xff", "UnicodeDecodeError")],
)
def test_a_file_without_a_token_is_named(gitlab: GitLabDouble, tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OperatorError, match=why) as caught:
        GitLabForge(settings(gitlab, token_env=None, token_file=str(file)), {})
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("token", [f"{SECRET}\nx", f"{SECRET} x", f"{SECRET}é"])
def test_a_token_that_cannot_be_sent_is_refused_without_being_shown(gitlab: GitLabDouble, token: str) -> None:
    with pytest.raises(OperatorError, match="TOKEN holds a space or another character") as caught:
        GitLabForge(settings(gitlab), {"TOKEN": token})
    assert SECRET not in str(caught.value)


def test_nothing_is_asked_before_it_is_needed(connect_gitlab: Connect, gitlab: GitLabDouble) -> None:
    connect_gitlab().token()
    assert gitlab.requests == []


def _each(forge: GitLabForge) -> list[Callable[[], object]]:
    return [
        lambda: forge.requests(BRANCH),
        lambda: forge.open_requests("driftguard/"),
        lambda: forge.open(BRANCH, "main", "Title", "Text"),
        lambda: forge.update(1, "Title", "Text"),
        lambda: forge.comment(1, "Text", "<!-- mark -->"),
        lambda: forge.close(1),
        lambda: forge.merged_with("0" * 40, "main"),
    ]


def test_the_token_is_in_no_message_log_or_representation(
    gitlab: GitLabDouble, project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    forge = GitLabForge(settings(gitlab), {"TOKEN": SECRET})
    echo = f"no: PRIVATE-TOKEN {SECRET}"
    faults: list[Fault] = [
        *(refused(status, echo) for status in (400, 401, 403, 404, 409, 422, 500)),
        Answer(500, f"<html>{SECRET}"),
        Answer(418, f"{SECRET} {SECRET}", content_type="text/plain"),
        Answer(302, "", {"Location": f"http://{SECRET}:{SECRET}@elsewhere.example/{SECRET}"}),
        Answer(200, f'"{SECRET}"', content_type="application/json"),
        limited(SECRET),
        Reset(),
    ]
    for fault in faults:
        gitlab.fail("GET /projects/{id}", *[fault] * 3)
        with pytest.raises(ForgeFault) as caught:
            forge.requests(BRANCH)
        error = caught.value
        assert SECRET not in f"{error} {error!r} {error.__dict__}"
        assert error.__cause__ is None
        assert error.__suppress_context__
        gitlab._queues.clear()
    assert SECRET not in caplog.text
    assert SECRET not in f"{forge!r} {forge._access!r}"


def test_no_other_server_ever_sees_the_token(gitlab: GitLabDouble, forge: GitLabForge, project: Project) -> None:
    seen: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}"
    try:
        gitlab.fail("GET /projects/{id}", Answer(301, "", {"Location": f"{place}/api/v4/projects/1"}))
        with pytest.raises(ForgeFault, match=rf"leads to {place}\. The token was not sent there"):
            forge.requests(BRANCH)
        link = {"Link": f'<{place}/api/v4/projects/{project.id}/merge_requests?page=2>; rel="next"'}
        gitlab.fail(LIST, Answer(200, "[]", link, "application/json"))
        assert forge.requests(BRANCH) == ()
        gitlab.fail(OPEN, Answer(302, "", {"Location": f"{gitlab.url}/users/sign_in"}))
        with pytest.raises(ForgeFault, match="which leads to"):
            forge.open(BRANCH, "main", "Title", "Text")
    finally:
        server.shutdown()
        server.server_close()
    assert seen == []


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "missing", "denied"),
    [
        (400, False, False),
        (401, False, True),
        (403, False, True),
        (404, True, False),
        (409, False, False),
        (422, False, False),
    ],
)
def test_a_refusal_states_what_was_tried_and_what_gitlab_answered(
    gitlab: GitLabDouble, forge: GitLabForge, status: int, missing: bool, denied: bool
) -> None:
    gitlab.fail(LIST, refused(status, {"base": ["No, thanks"]}))
    with pytest.raises(ForgeFault, match=rf"list the merge requests.*HTTP {status}: base: No, thanks") as caught:
        forge.requests(BRANCH)
    fault = caught.value
    assert (fault.missing, fault.denied, fault.perhaps_done) == (missing, denied, False)
    assert fault.retry_after_seconds is None


def test_a_wrong_token_is_denied_by_every_method(connect_gitlab: Connect, project: Project) -> None:
    for call in _each(connect_gitlab("glpat-wrongwrongwrongwrong")):
        with pytest.raises(ForgeFault, match=r"HTTP 401: 401 Unauthorized.*Check the token of `forge`") as caught:
            call()
        assert caught.value.denied


def test_a_project_that_may_not_be_seen_is_missing(connect_gitlab: Connect, project: Project) -> None:
    for call in _each(connect_gitlab(repository="acme/secret")):
        with pytest.raises(ForgeFault, match=r"HTTP 404: 404 Project Not Found.*Check `forge.repository`") as caught:
            call()
        assert caught.value.missing


def test_what_a_token_may_not_do_is_denied(gitlab: GitLabDouble, connect_gitlab: Connect, project: Project) -> None:
    gitlab.allow(project, "reader", REPORTER)
    for token in (gitlab.add_token("reader"), gitlab.add_token(gitlab.bot.username, "read_api")):
        forge = connect_gitlab(token)
        assert forge.requests(BRANCH) == ()
        with pytest.raises(ForgeFault, match="the scope `api` and the role Developer in acme/infra") as caught:
            forge.open(BRANCH, "main", "Title", "Text")
        assert caught.value.denied
        assert not caught.value.perhaps_done


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (limited("30"), 30.0),
        (limited("0"), 1.0),
        (limited(None), 60.0),
        (limited("soon"), 60.0),
        (limited(None, RateLimit_Reset="1700000120", Date=formatdate(1700000000, usegmt=True)), 120.0),
        (limited(None, RateLimit_Reset="1700000000", Date=formatdate(1700000100, usegmt=True)), 1.0),
    ],
)
def test_a_rate_limit_states_how_long_to_wait_and_is_not_waited_for(
    gitlab: GitLabDouble, forge: GitLabForge, fault: Fault, seconds: float
) -> None:
    gitlab.fail(LIST, fault)
    with pytest.raises(ForgeFault, match=f"rate limit exceeded.*after {seconds:.0f} s") as caught:
        forge.requests(BRANCH)
    assert caught.value.retry_after_seconds == seconds
    gitlab.fail(OPEN, fault)
    with pytest.raises(ForgeFault, match=r"did not open a merge request from .* \(HTTP 429\)") as caught:
        forge.open(BRANCH, "main", "Title", "Text")
    assert (caught.value.retry_after_seconds, caught.value.perhaps_done) == (seconds, False)
    assert len(gitlab.made("POST")) == 1


def test_an_address_below_the_server_is_named_with_the_likely_one(
    gitlab: GitLabDouble, project: Project, connect_gitlab: Connect
) -> None:
    for page in (Answer(404, "<html>Not found</html>", {}, "text/html"), Answer(200, "<html>", {}, "text/html")):
        gitlab.fail("*", page)
        with pytest.raises(ForgeFault, match=f"did you mean {gitlab.url}\\?"):
            connect_gitlab(url=f"{gitlab.url}/acme/infra").requests(BRANCH)
    gitlab.requests.clear()


def test_a_403_in_the_words_of_a_rate_limit_is_no_missing_permission(gitlab: GitLabDouble, forge: GitLabForge) -> None:
    gitlab.fail(LIST, refused(403, "This endpoint has been requested too many times. Try again later."))
    with pytest.raises(ForgeFault, match=r"rate limit exceeded: it did not list .* \(HTTP 403\)") as caught:
        forge.requests(BRANCH)
    assert (caught.value.denied, caught.value.retry_after_seconds) == (False, 60)


@pytest.mark.parametrize(
    ("fault", "whole"),
    [
        (refused(401, "401 Unauthorized"), True),
        (refused(403, "403 Forbidden"), False),
        (refused(404, "404 Not found"), False),
        (limited("30"), True),
        (refused(500, "Defect"), False),
        (refused(503, "Busy"), True),
        (Reset(), True),
    ],
)
def test_only_a_fault_of_the_forge_as_a_whole_counts_for_other_environments(
    gitlab: GitLabDouble, forge: GitLabForge, fault: Fault, whole: bool
) -> None:
    gitlab.fail(LIST, fault, fault, fault)
    with pytest.raises(ForgeFault) as caught:
        forge.requests(BRANCH)
    assert caught.value.whole_forge is whole


@pytest.mark.parametrize("fault", [Reset(), LostAnswer(), Answer(502, "<html>"), refused(503, "Busy")])
def test_reading_is_tried_three_times(gitlab: GitLabDouble, forge: GitLabForge, fault: Fault) -> None:
    gitlab.fail(LIST, fault, fault)
    assert forge.requests(BRANCH) == ()
    assert len(gitlab.made("GET", "/merge_requests")) == 3
    gitlab.fail(LIST, fault, fault, fault, fault)
    with pytest.raises(ForgeFault, match=r"to list the merge requests from .*The next run retries") as caught:
        forge.requests(BRANCH)
    assert not caught.value.perhaps_done
    assert gitlab.unmet_faults() == 1


def test_a_server_that_sends_nothing_is_not_waited_for_long(
    gitlab: GitLabDouble, connect_gitlab: Connect, project: Project
) -> None:
    forge = connect_gitlab(timeout_seconds=0.2)
    gitlab.fail(OPEN, Hang(20))
    with pytest.raises(ForgeFault, match=r"could not be reached to open .*\(Read") as caught:
        forge.open(BRANCH, "main", "Title", "Text")
    assert caught.value.perhaps_done
    gitlab.fail(LIST, Hang(20), Hang(20), Hang(20))
    with pytest.raises(ForgeFault, match=r"could not be reached to list .*\(Read"):
        forge.requests(BRANCH)


def test_nothing_was_done_where_no_user_listens(connect_gitlab: Connect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        forge = connect_gitlab(url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        for call in _each(forge)[2:4]:
            with pytest.raises(ForgeFault, match="GitLab could not be reached to") as caught:
                call()
            assert not caught.value.perhaps_done


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<html>Sign in</html>", "text/html"),
        ("{", "application/json"),
        ("[1]", "application/json"),
        ('{"message": "?"}', "application/json"),
        ('[{"iid": 1}]', "application/json"),
        ("null", "application/json"),
    ],
)
def test_an_answer_that_is_not_gitlabs_is_a_fault(
    gitlab: GitLabDouble, forge: GitLabForge, body: str, content_type: str
) -> None:
    gitlab.fail(LIST, Answer(200, body, content_type=content_type))
    with pytest.raises(ForgeFault, match="answer could not be understood when asked to list") as caught:
        forge.requests(BRANCH)
    assert not caught.value.perhaps_done
    gitlab.fail(OPEN, Answer(201, body, content_type=content_type))
    with pytest.raises(ForgeFault, match="answer could not be understood when asked to open") as caught:
        forge.open(BRANCH, "main", "Title", "Text")
    assert caught.value.perhaps_done


def test_nothing_more_is_asked_once_a_stop_was_requested(gitlab: GitLabDouble, project: Project) -> None:
    stop = threading.Event()
    forge = GitLabForge(settings(gitlab), {"TOKEN": gitlab.token}, stopping=stop.is_set)
    forge.requests(BRANCH)
    asked = len(gitlab.requests)
    stop.set()
    for call in _each(forge):
        with pytest.raises(ForgeFault, match="DriftGuard is stopping") as caught:
            call()
        assert not caught.value.perhaps_done
    assert len(gitlab.requests) == asked


def test_a_stop_is_seen_between_the_pages_of_a_list(gitlab: GitLabDouble, project: Project) -> None:
    forge = GitLabForge(
        settings(gitlab), {"TOKEN": gitlab.token}, stopping=lambda: len(gitlab.made("GET", "/notes")) > 0
    )
    forge.open(BRANCH, "main", "Title", "Text")
    for index in range(130):
        gitlab.comment(project.requests[1], "alice", f"Comment {index}")
    with pytest.raises(ForgeFault, match="DriftGuard is stopping, so GitLab was not asked to read the comments"):
        forge.comment(1, "Text", "<!-- mark -->")
    assert len(gitlab.made("GET", "/notes")) == 1


def test_many_threads_may_share_one(gitlab: GitLabDouble, forge: GitLabForge, project: Project) -> None:
    forge.open(BRANCH, "main", "Title", "Text")
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(forge.requests(BRANCH)[0].number)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 12
