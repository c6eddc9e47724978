"""Page 7, runs: what is running now, how long runs take, and what they end with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec

from driftguard.model.estate import RunSummary
from driftguard.web.rendering import WebPage
from driftguard.web.view import View

_MAX_RUN: Final = timedelta(hours=6)
_MAX_RUNS: Final = 1000


def page(view: View) -> WebPage:
    """The runs; counts of environments only for a reader who sees all of them."""
    found = _runs(view)
    rows, part = view.page(found)
    running = [run for run in found[:10] if run.finished_at is None and view.now - run.started_at < _MAX_RUN]
    longest = max((run.seconds or 0.0 for run in rows), default=0.0)
    waiting = [row for row in view.rows if row.running] if running else []
    content = {"runs": rows, "slice": part, "running": running, "waiting": waiting[:20], "more": len(waiting) - 20}
    return WebPage("runs.html", "runs", "Runs", {**content, "longest": longest, "whole": view.viewer.sees_all})


def document(view: View) -> Any:
    """The runs of the page as JSON."""
    rows, part = view.page(_runs(view))
    listed = [_plain(run, whole=view.viewer.sees_all) for run in rows]
    return {"runs": listed, "page": part.page, "pages": part.pages, "total": part.total}


def _runs(view: View) -> list[RunSummary]:
    return list(view.ledger.runs(until=view.until, limit=_MAX_RUNS)) if view.viewer.patterns else []


def _plain(run: RunSummary, *, whole: bool) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(run)
    if not whole:
        for key in ("environments", "verdicts", "errors", "planned", "probed", "cpu_seconds"):
            plain.pop(key, None)
    return plain
