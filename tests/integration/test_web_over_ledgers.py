"""The pages in Chromium over whole ledgers: that of the demo's run, and that of the bench."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from bench.web import make_ledger
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from tests.support.chromium import chromium
from tests.support.web_browser import Watched, started, watched
from tests.support.web_pictures import served

pytestmark = [
    pytest.mark.soak,
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
SECTIONS = ("/", "/causes", "/approvals", "/trends", "/alerts", "/runs")
SIZES = ({"width": 1440, "height": 900}, {"width": 380, "height": 760})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as running:
        yield running


def now_of(ledger: SqlLedger) -> datetime:
    return ledger.entries(limit=1)[0].at


def hold(browser: Browser, origin: str, paths: Sequence[str]) -> None:
    """Each page without faults, with nothing beside the screen and without violations of axe, in both schemes."""
    for size in SIZES:
        for scheme in ("light", "dark"):
            options: dict[str, Any] = {"color_scheme": scheme, "viewport": size}
            with (
                watched(browser, origin, **options) as shown,
                watched(browser, origin, bypass_csp=True, **options) as by,
            ):
                for path in paths:
                    shown.open(path)
                    assert shown.faults == [], path
                    assert shown.page.evaluate("document.documentElement.scrollWidth") <= size["width"], path
                    assert violations(by, path) == []
    with watched(browser, origin, java_script_enabled=False) as plain:
        for path in paths:
            plain.open(path)
        assert plain.faults == []


def violations(shown: Watched, path: str) -> list[str]:
    shown.open(path)
    shown.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    return [f"{path}: {each['id']}" for each in Axe().run(shown.page).response["violations"]]


def walk(browser: Browser, origin: str, word: str) -> None:
    """The filter, the keyboard and the slider."""
    with watched(browser, origin) as shown:
        page = shown.page
        shown.open("/")
        page.fill("#q", word)
        expect(page.locator("tr[data-row]")).to_have_count(1)
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/environments/**")
        page.locator("input[type=range]").focus()
        page.keyboard.press("Home")
        page.wait_for_url("**at=*")
        expect(page.locator(".past")).to_be_visible()
        assert shown.faults == []


def test_pages_over_the_ledger_of_the_demo(browser: Browser, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    command = [str(Path(sys.executable).with_name("driftguard")), "demo", "--yes", "--keep", str(kept)]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=900)
    [file] = kept.rglob("ledger.db")
    with closing(open_ledger(f"sqlite:///{file}")) as ledger, served(ledger, tmp_path, now_of(ledger)) as origin:
        hold(browser, origin, (*SECTIONS, *(f"/environments/{each.name}" for each in ledger.summaries())))
        walk(browser, origin, "staging")


def test_pages_over_the_ledger_of_the_bench(browser: Browser, tmp_path: Path) -> None:
    make_ledger(tmp_path / "ledger.db", 300)
    with (
        closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger,
        served(ledger, tmp_path, now_of(ledger)) as origin,
    ):
        hold(browser, origin, (*SECTIONS, "/?page=3", "/trends?days=365", "/environments/env-00042"))
        walk(browser, origin, "env-00042")
