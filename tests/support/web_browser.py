"""Chromium over the pages: driven by Playwright, with nothing of this user's profile, and a watch over its faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.chromium import FLAGS, chromium


@dataclass
class Watched:
    """A page, and what went wrong in it.

    Attributes:
        faults: console errors (a violated policy is one), errors of script, and requests to other hosts.
    """

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Open a path of the server."""
        self.page.goto(f"{self.origin.rstrip('/')}{path}", wait_until="load")


@contextmanager
def started() -> Iterator[Browser]:
    """A browser with a profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS), headless=True)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser, origin: str, **options: Any) -> Iterator[Watched]:
    """A page in a context of its own, watched.

    Args:
        options: of the context: `java_script_enabled`, `color_scheme`, `viewport`.
    """
    context: BrowserContext = browser.new_context(**options)
    try:
        found = Watched(context.new_page(), origin)
        page, host = found.page, urlsplit(origin).netloc
        page.on("console", lambda m: found.faults.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: found.faults.append(f"script: {error}"))

        def asked(request: Any) -> None:
            if urlsplit(request.url).netloc not in (host, ""):
                found.faults.append(f"request: {request.url}")

        page.on("request", asked)
        yield found
    finally:
        context.close()


def shoot(watching: Watched, path: str, picture: Path, *, whole: bool = False) -> None:
    """Write a picture of a page."""
    watching.open(path)
    watching.page.screenshot(path=picture, full_page=whole)
