"""The pages of the web view, over a small estate in a real ledger."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from driftguard.web.application import CONTENT_SECURITY_POLICY
from driftguard.web.query import PageQuery, read_query
from driftguard.web.view import sliced
from tests.support.sample_alerts import NOON, in_sync
from tests.support.web_client import WebClient
from tests.support.web_estate import HOSTILE, NOW, SECRET, made_ledger, record_run

SECTIONS = ("/", "/causes", "/approvals", "/trends", "/alerts", "/runs")
ENVIRONMENTS = ("shop-eu", "shop-us", "shop-ap", "billing", "network/core", "data-lake", "evil", "sandbox", "auto")
PAGES = (*SECTIONS, *(f"/environments/{name}" for name in ENVIRONMENTS))
TWINS = ("/index.json", *(f"{page}.json" for page in PAGES[1:]))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebClient]:
    folder = tmp_path_factory.mktemp("web")
    ledger = made_ledger(folder)
    yield WebClient(ledger, folder)
    ledger.close()


def text_of(page: str) -> str:
    """The words of a page, without its tags."""
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", page).split()))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_its_policy_an_etag_and_no_inline_script_or_style(web: WebClient, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]* src=)|<style|<[^>]* (?:style|on\w+)=", answer.text)
    assert not re.findall(r'(?:src|href|action)="(?:https?:)?//(?!forge\.example\.org)', answer.text)
    again = web.get(path, {"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_policy_is_the_one_of_the_contract() -> None:
    assert CONTENT_SECURITY_POLICY == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


@pytest.mark.parametrize("path", TWINS)
def test_each_page_has_a_json_twin(web: WebClient, path: str) -> None:
    answer = web.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()


def test_the_overview_lists_what_needs_action_first(web: WebClient) -> None:
    page = web.get("/").text
    groups = re.findall(r'<tr class="group"><th[^>]*>([a-z ]+) <span', page)
    assert groups == ["needs action", "unknown", "running now"]
    names = list(re.findall(r'<a href="/environments/([^"?]*)', page))
    assert names[:2] == ["evil", "shop-eu"]
    assert "Stalest look" in page
    assert "acknowledged by grace" in page
    assert "suspended until" in page


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("verdict=drifted&verdict=unknown", {"shop-eu", "shop-us", "evil", "data-lake"}),
        ("verdict=drifted&owner=team-shop", {"shop-eu", "shop-us"}),
        ("label=pending", {"billing", "auto"}),
        ("label=conflict&label=pending", {"billing", "auto", "network/core"}),
        ("path=environments/network", {"network/core"}),
        ("path=environments/shop-*&verdict=in_sync", {"shop-ap"}),
        ("auto=yes", {"auto", "billing"}),
        ("request=yes", {"shop-eu", "evil"}),
        ("age=7d&verdict=drifted", {"shop-eu", "shop-us", "evil"}),
        ("q=SHOP+e", {"shop-eu"}),
        ("q=nothing-like-this", set()),
    ],
)
def test_filters_combine_by_or_within_a_kind(web: WebClient, query: str, names: set[str]) -> None:
    found = {each["name"] for each in web.get(f"/index.json?{query}").json()["environments"]}
    if query.startswith("q=SHOP"):
        assert names <= found
    else:
        assert found == names
    assert web.get(f"/?{query}").status_code == 200


@pytest.mark.parametrize("column", ["name", "verdict", "changes", "age", "owner", "commits", "decision", "looked"])
def test_the_table_sorts_by_a_column_both_ways(web: WebClient, column: str) -> None:
    up = [each["name"] for each in web.get(f"/index.json?sort={column}").json()["environments"]]
    down = [each["name"] for each in web.get(f"/index.json?sort=-{column}").json()["environments"]]
    assert sorted(up) == sorted(down) == sorted(ENVIRONMENTS)
    assert up != down


def test_a_page_shows_the_past(web: WebClient) -> None:
    past = (NOON + timedelta(days=1, hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    then = web.get(f"/index.json?at={past}").json()["environments"]
    assert {e["name"]: e["verdict"] for e in then}["shop-eu"] == "in_sync"
    assert web.get(f"/environments/shop-eu.json?at={past}").json()["verdict"] == "in_sync"
    page = web.get(f"/environments/shop-eu?at={past}").text
    assert "The past: as of" in page
    assert "Back to now" in page
    assert f"?at={past.replace(':', '%3A')}" in page  # links keep the moment


def test_an_environment_shows_values_who_why_and_the_diff_of_a_policy(web: WebClient) -> None:
    text = text_of(web.get("/environments/shop-eu").text)
    assert "tags.owner" in text.replace(" ", "")
    assert "alice" in text
    assert "Probably changed by alice in the console" in text
    assert "Written in git by Ada Lovelace" in text
    assert "The policy is alert-only" in text
    assert '+ "s3:*"' in text
    assert "#17" in text
    assert "expiring" in text
    assert "alice → team-a" in text  # what an apply would do


def test_an_environment_lists_destroys_and_replaces_first(web: WebClient) -> None:
    page = web.get("/environments/billing").text
    assert re.search(r'<li class="replaces"><b>replaces</b>', page)


def test_two_points_can_be_compared(web: WebClient) -> None:
    day = (NOON + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = text_of(web.get(f"/environments/shop-eu?with={day}").text)
    assert "Compared with" in text
    assert "verdict in_sync drifted" in text
    early = "2020-01-01T00:00:00Z"
    assert "Nothing was known of shop-eu then." in text_of(web.get(f"/environments/shop-eu?with={early}").text)


def test_an_apply_lists_the_outcome_of_each_resource(web: WebClient) -> None:
    text = text_of(web.get("/environments/sandbox").text).replace(" ", "")
    assert "aws_sqs_queue.aupdate:done" in text
    assert "aws_sqs_queue.cdelete+create:failed" in text
    assert "Thequeueexists." in text


def test_an_environment_lists_the_files_of_its_closure(web: WebClient) -> None:
    text = text_of(web.get("/environments/billing").text)
    assert "2 files environments/billing/main.tf modules/<script>" in text
    assert "Its files are not recorded with this report." in text_of(web.get("/environments/auto").text)


def test_recurrence_names_who_changed_the_resource(web: WebClient) -> None:
    found = {each["address"]: each for each in web.get("/trends.json").json()["recurrences"]}
    assert (found["aws_sqs_queue.a"]["times"], found["aws_sqs_queue.a"]["actors"]) == (4, ["alice"])
    assert re.search(r" sandbox 4 .*? alice", text_of(web.get("/trends").text))


def test_causes_fold_what_environments_share(web: WebClient) -> None:
    causes = web.get("/causes.json").json()["causes"]
    first = causes[0]
    assert (first["label"], first["type"], first["attribute"]) == ("drift", "aws_s3_bucket", "tags.owner")
    assert first["environments"] == ["shop-eu", "shop-us"]


def test_approvals_name_what_is_void_and_why(web: WebClient) -> None:
    found = {each["environment"]: each["standing"] for each in web.get("/approvals.json").json()["approvals"]}
    assert found == {"shop-eu": "expiring", "shop-us": "void", "sandbox": "used", "evil": "expiring"}
    assert "the plan changed" in web.get("/approvals?state=void").text


def test_runs_show_what_is_running_now(web: WebClient) -> None:
    page = web.get("/runs").text
    assert "Not looked at yet:" in page
    assert 'hx-trigger="every 15s"' in page
    assert "hx-trigger" not in web.get("/runs?at=2026-11-25T00:00:00Z").text


def test_alerts_show_the_outbox(web: WebClient) -> None:
    text = text_of(web.get("/alerts").text)
    assert "not routed yet" in text
    assert "Open" in text


@pytest.mark.parametrize("path", PAGES)
def test_script_in_a_value_that_the_cloud_or_a_commit_chooses_is_inert(web: WebClient, path: str) -> None:
    page = web.get(path).text
    assert "<script>" not in page
    assert "<img src=x" not in page
    assert 'href="javascript' not in page
    assert "\u202e" not in page


def test_hostile_texts_are_shown_as_text(web: WebClient) -> None:
    page = web.get("/environments/evil").text
    assert html.escape("<script>window.pwned=1</script>") in page
    assert HOSTILE not in page


@pytest.mark.parametrize("path", [*PAGES, *TWINS])
def test_a_sealed_value_is_never_shown(web: WebClient, path: str) -> None:
    assert SECRET not in web.get(path).text


def test_badges_show_a_verdict(web: WebClient) -> None:
    assert ">drifted</text>" in web.get("/badge/shop-eu.svg").text
    assert "9 environments not in sync" in web.get("/badge.svg").text
    assert web.get("/badge/unheard-of.svg").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/static/../application.py",
        "/static/..%2f..%2fapplication.py",
        "/static/..%2fapplication.py",
        "/static/%2e%2e/%2e%2e/pyproject.toml",
        "/static//etc/passwd",
        "/environments/../../../etc/passwd",
        "/environments/..%2f..%2fetc%2fpasswd.json",
        "/badge/..%2f..%2fetc%2fpasswd.svg",
        "/static/",
        "/unheard-of",
        "/environments/unheard-of",
        "/environments/unheard-of.json",
    ],
)
def test_a_path_that_is_no_page_is_not_found(web: WebClient, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("query", ["at=yesterday", "page=0", "page=x", "with=9999999-1", "q=" + "x" * 600])
def test_a_query_string_that_cannot_be_read_is_refused(web: WebClient, query: str) -> None:
    answer = web.get(f"/?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_and_head_are_answered(web: WebClient, method: str) -> None:
    answer = web.ask(method, "/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_head_has_the_headers_of_get(web: WebClient) -> None:
    assert web.ask("HEAD", "/").headers["etag"] == web.get("/").headers["etag"]


def test_a_defect_ends_as_a_page_with_a_log(tmp_path: Path) -> None:
    answer = WebClient(None, tmp_path).get("/")
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "AssertionError" not in answer.text or "defects" in answer.text
    assert list((tmp_path / "defects").iterdir())


def test_htmx_is_pinned_and_evaluates_nothing(web: WebClient) -> None:
    page = web.get("/").text
    assert '"includeIndicatorStyles":false' in page
    assert '"allowEval":false' in page
    assert 'version:"2.0.11"' in web.get("/static/htmx-2.0.11.min.js").text
    assert "Zero-Clause BSD" in web.get("/static/htmx-LICENSE.txt").text


def test_lists_have_pages_of_a_hundred_rows(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path, days=1)
    record_run(ledger, "run-many", NOW, [in_sync(f"many-{number:03}") for number in range(150)])
    client = WebClient(ledger, tmp_path)
    client.now = NOW + timedelta(minutes=5)
    first, second = client.get("/?q=many").text, client.get("/?q=many&page=2").text
    assert first.count("<tr data-row>") == 100
    assert second.count("<tr data-row>") == 50
    assert "1–100 of 150" in first
    assert 'rel="next"' in first
    assert 'rel="prev"' in second
    assert len(client.get("/index.json?q=many&page=2").json()["environments"]) == 50
    ledger.close()


def test_an_empty_ledger_names_the_next_step(tmp_path: Path) -> None:
    from driftguard.adapters.sql.opening import open_ledger

    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    client = WebClient(ledger, tmp_path)
    assert "driftguard scan" in client.get("/").text
    assert [client.get(path).status_code for path in SECTIONS] == [200] * len(SECTIONS)
    ledger.close()


def test_the_document_of_an_environment_is_that_of_explain(web: WebClient) -> None:
    document = web.get("/environments/shop-eu.json").json()
    assert {"at", "name", "verdict", "resources", "decision", "commit"} <= document.keys()
    assert json.dumps(document).count("(sensitive)") >= 1


def test_a_query_string_is_read_as_it_is_written() -> None:
    for text in ("", "?at=2026-11-01T12%3A00%3A00Z&label=drift&label=input&sort=-age&page=3"):
        pairs = [tuple(pair.split("=")) for pair in text.removeprefix("?").replace("%3A", ":").split("&") if pair]
        assert read_query([(name, value) for name, value in pairs]).encoded() == text
    assert PageQuery(page=2).on_page(1) == ""


def test_a_page_number_beyond_the_list_is_the_last_page() -> None:
    rows, part = sliced(list(range(250)), 9)
    assert (list(rows), part.page, part.first, part.last) == (list(range(200, 250)), 3, 201, 250)
