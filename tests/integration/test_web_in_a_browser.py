"""The pages in Chromium: no violated policy, no error, no foreign request; accessible, by keyboard, without script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from driftguard.web.site import write_site
from tests.support.chromium import chromium
from tests.support.web_browser import started, watched
from tests.support.web_estate import made_ledger
from tests.support.web_pictures import sample_server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PATHS = (
    "/",
    "/?verdict=drifted&label=drift&q=shop",
    "/?at=2026-11-27T00:00:00Z",
    "/causes",
    "/approvals",
    "/trends",
    "/alerts",
    "/runs",
    "/environments/shop-eu",
    "/environments/network/core?with=2026-11-24T00:00:00Z",
    "/environments/evil",
    "/environments/sandbox",
    "/environments/data-lake",
    "/unheard-of",
)
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 380, "height": 760}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sample_server(tmp_path_factory.mktemp("web"), hostile=True) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as running:
        yield running


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_page_is_without_faults_and_fits(browser: Browser, origin: str, scheme: Any, size: Any) -> None:
    with watched(browser, origin, color_scheme=scheme, viewport=size) as shown:
        for path in PATHS:
            shown.open(path)
            if path != "/unheard-of":  # Chromium reports the status of a page that is not there
                assert shown.faults == [], path
            assert shown.page.evaluate("window.pwned") is None
            assert shown.page.evaluate("document.documentElement.scrollWidth") <= size["width"], path
            shown.faults.clear()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser: Browser, origin: str, scheme: Any, size: Any) -> None:
    found = []
    # axe is injected as a script, which the pages' own policy forbids: a context of its own is without it.
    with watched(browser, origin, color_scheme=scheme, viewport=size, bypass_csp=True) as shown:
        for path in PATHS:
            shown.open(path)
            shown.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
            result = Axe().run(shown.page)
            for each in result.response["violations"]:
                found += [f"{path}: {each['id']}: {node['html'][:120]}" for node in each["nodes"][:2]]
    assert found == []


def test_filters_narrow_the_table_without_loading_the_page_again(browser: Browser, origin: str) -> None:
    with watched(browser, origin, viewport=WIDE) as shown:
        shown.open("/")
        page = shown.page
        page.evaluate("window.kept = true")
        page.fill("#q", "shop")
        expect(page.locator("tr[data-row]")).to_have_count(3)
        page.click("summary:has-text('Filters')")
        page.check("input[name=verdict][value=drifted]")
        expect(page.locator("tr[data-row]")).to_have_count(2)
        assert page.evaluate("window.kept") is True
        assert "verdict=drifted" in page.url
        page.reload()
        expect(page.locator("tr[data-row]")).to_have_count(2)
        assert shown.faults == []


def test_the_keyboard_searches_moves_and_opens(browser: Browser, origin: str) -> None:
    with watched(browser, origin, viewport=WIDE) as shown:
        shown.open("/")
        page = shown.page
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "q"
        page.keyboard.type("j")  # typing is no movement
        assert page.input_value("#q") == "j"
        page.fill("#q", "")
        page.keyboard.press("Escape")
        expect(page.locator("tr[data-row]")).to_have_count(9)
        page.keyboard.press("j")
        first = page.evaluate("document.activeElement.textContent")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.textContent") != first
        page.keyboard.press("k")
        assert page.evaluate("document.activeElement.textContent") == first
        page.keyboard.press("Enter")
        page.wait_for_url("**/environments/**")
        assert shown.faults == []


def test_the_slider_is_a_time_machine(browser: Browser, origin: str) -> None:
    with watched(browser, origin, viewport=WIDE) as shown:
        shown.open("/environments/shop-eu")
        page = shown.page
        slider = page.locator("input[type=range]")
        assert slider.get_attribute("aria-valuetext") == "now"
        slider.focus()
        page.keyboard.press("Home")
        page.wait_for_url("**at=2026-11-23*")
        expect(page.locator("h1 .verdict")).to_contain_text("in sync")
        expect(page.locator(".past")).to_be_visible()
        assert shown.faults == []


def test_two_points_are_compared(browser: Browser, origin: str) -> None:
    with watched(browser, origin, viewport=WIDE) as shown:
        shown.open("/environments/shop-eu")
        page = shown.page
        page.select_option("#with", index=len(page.query_selector_all("#with option")) - 1)
        page.click("form.machine button")
        expect(page.locator("#compared")).to_contain_text("in_sync")


def test_everything_works_without_script(browser: Browser, origin: str) -> None:
    with watched(browser, origin, java_script_enabled=False, viewport=WIDE) as shown:
        page = shown.page
        shown.open("/")
        page.fill("#q", "shop")
        page.click("form.filters button")
        assert page.locator("tr[data-row]").count() == 3
        page.click("th a:has-text('Not in sync for')")
        assert "sort=age" in page.url
        shown.open("/environments/shop-eu")
        page.select_option("#moment", index=len(page.query_selector_all("#moment option")) - 1)
        page.click("form.machine button")
        assert "in sync" in page.inner_text("h1")
        page.click("text=Back to now")
        assert "drifted" in page.inner_text("h1")
        for path in PATHS[:-1]:
            shown.open(path)
        assert shown.faults == []


def test_a_static_site_opens_from_disk(browser: Browser, tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path)
    site = tmp_path / "site"
    write_site(ledger, site, repository="infra")
    ledger.close()
    with watched(browser, "", viewport=WIDE) as shown:
        shown.page.goto((site / "index.html").as_uri())
        shown.page.click("text=shop-eu")
        assert "shop-eu" in shown.page.inner_text("h1")
        shown.page.click("nav >> text=Causes")
        assert shown.page.inner_text("h1") == "Causes"
        assert shown.page.evaluate("getComputedStyle(document.body).maxWidth") == "1600px"  # the style is there
        assert shown.faults == []


def test_a_printed_page_has_no_controls(browser: Browser, origin: str) -> None:
    with watched(browser, origin, viewport=WIDE) as shown:
        shown.page.emulate_media(media="print")
        shown.open("/")
        assert not shown.page.locator("form.filters").is_visible()
        assert shown.page.locator("tr[data-row]").first.is_visible()
