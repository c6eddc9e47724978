"""The static site: the same pages as files, as of the ledger's last entry, without script.

Two exports of one ledger are byte-equal: nothing in them depends on when, where or by whom they are made.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from driftguard.errors import OperatorError, UsageError
from driftguard.web.access import EVERYTHING
from driftguard.web.assets import ASSETS, SITE
from driftguard.web.badges import badge_svg
from driftguard.web.links import SiteLinks, file_name
from driftguard.web.pages import alerts, approvals, causes, environments, estate, runs, trends
from driftguard.web.query import PageQuery
from driftguard.web.rendering import Frame, Renderer, WebPage
from driftguard.web.view import View, WebLedger

#: What marks a folder as an export, so that a later one may replace it.
MARK: Final = ".driftguard-site"
_PAGES: Final[Mapping[str, tuple[Callable[[View], WebPage], Callable[[View], Any]]]] = {
    "index": (estate.page, estate.document),
    "causes": (causes.page, causes.document),
    "approvals": (approvals.page, approvals.document),
    "trends": (trends.page, trends.document),
    "alerts": (alerts.page, alerts.document),
    "runs": (runs.page, runs.document),
}


@dataclass(frozen=True, slots=True)
class SiteFile:
    """One file of a site, by its path in it."""

    path: str
    content: bytes


def write_site(ledger: WebLedger, folder: Path, *, repository: str) -> int:
    """Write the site into a folder: a new one, an empty one, or one of an earlier export, which is replaced.

    Returns:
        How many files were written.

    Raises:
        UsageError: the folder holds other files.
        OperatorError: it cannot be written.
    """
    if folder.exists() and not (folder / MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--site {folder} holds files of another kind, so nothing was written; name a new folder.")
    scratch = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        count = 0
        for file in site_files(ledger, repository=repository):
            target = scratch / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
            count += 1
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    except OSError as error:
        raise OperatorError(
            f"The site cannot be written to {folder}: {error.strerror}. Choose another folder."
        ) from None
    return count


def site_files(ledger: WebLedger, *, repository: str) -> Iterator[SiteFile]:
    """The files of a site, in a fixed order."""
    last = ledger.entries(limit=1)
    now = last[-1].at if last else datetime(1970, 1, 1, tzinfo=UTC)
    view = View(ledger, EVERYTHING, PageQuery(), now, everything=True)
    renderer = Renderer()
    yield SiteFile(MARK, b"")
    for name in SITE:
        yield SiteFile(f"static/{name}", ASSETS[name].content)
    for name, (page, document) in _PAGES.items():
        frame = Frame(EVERYTHING, PageQuery(), now, SiteLinks(0), repository)
        yield SiteFile(f"{name}.html", renderer.html(page(view), frame).encode())
        yield SiteFile(f"{name}.json", _json(document(view)))
    found = estate.badge(view, None)
    assert found is not None  # there is one of all environments always
    yield SiteFile("badge.svg", badge_svg(*found).encode())
    for summary in view.summaries:
        yield from _environment(view, renderer, repository, summary.name)


def _environment(view: View, renderer: Renderer, repository: str, name: str) -> Iterator[SiteFile]:
    page = environments.page(view, name)
    if page is None:
        return
    frame = Frame(EVERYTHING, PageQuery(), view.now, SiteLinks(1), repository)
    yield SiteFile(f"environments/{file_name(name)}.html", renderer.html(page, frame).encode())
    yield SiteFile(f"environments/{file_name(name)}.json", _json(environments.document(view, name)))
    badge = estate.badge(view, name)
    if badge is not None:
        yield SiteFile(f"badge/{file_name(name)}.svg", badge_svg(*badge).encode())


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2) + b"\n"
