"""Page 1, the overview: what needs action, since when, who owns it, what happens next; and the badges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import msgspec

from driftguard.config import duration
from driftguard.model.words import Label, Verdict, plural, verdict_text
from driftguard.pipeline.overview import Filters, Group, OverviewRow, sorted_rows
from driftguard.web.query import PageQuery
from driftguard.web.rendering import WebPage
from driftguard.web.view import View

AGES: Final = ("1h", "1d", "7d", "30d")
#: The verdicts in the order of the bar.
ORDER: Final = (Verdict.DIVERGED, Verdict.DRIFTED, Verdict.UNKNOWN, Verdict.PENDING, Verdict.IN_SYNC)
_MAX_OWNERS: Final = 200


@dataclass(frozen=True, slots=True)
class Figures:
    """The estate in five figures; moments are None where there is nothing."""

    needs_action: int
    unknown: int
    waiting: int
    oldest_drift: datetime | None
    stalest_look: datetime | None


def page(view: View) -> WebPage:
    """The overview."""
    found = _wanted(view)
    rows, part = view.page(found)
    grouped = not view.query.sort
    counts = Counter(row.group for row in found)
    groups = [(key, counts[key], list(members)) for key, members in groupby(rows, key=lambda row: row.group)]
    content = {
        "bar": _bar(view.rows),
        "figures": _figures(view.rows),
        "groups": groups if grouped else [(None, len(found), list(rows))],
        "slice": part,
        "facets": _facets(view.rows),
        "filtered": bool(view.query.filters),
        "total": len(view.rows),
    }
    return WebPage("overview.html", "overview", "Overview", content)


def document(view: View) -> Any:
    """The JSON of `driftguard status` for the rows of the page."""
    rows, part = view.page(_wanted(view))
    scans = view.scans([row.summary for row in rows])
    listed = []
    for row in rows:
        scan = scans.get(row.summary.name)
        if scan is not None:
            listed.append({**scan.row, "acked": None if row.acked is None else msgspec.to_builtins(row.acked)})
    return {"environments": listed, "page": part.page, "pages": part.pages, "total": part.total}


def filters(query: PageQuery) -> Filters:
    """The filters of a query string; an age that cannot be read is none."""
    return Filters(
        verdict=query.values("verdict"),
        label=query.values("label"),
        owner=query.values("owner"),
        path=query.values("path"),
        automatic=query.values("auto"),
        age=duration(query.text("age")),
        request=query.values("request"),
        text=query.text("q"),
    )


def _wanted(view: View) -> list[OverviewRow]:
    return sorted_rows(filters(view.query).among(view.rows, view.now), view.query.sort)


def _bar(rows: Sequence[OverviewRow]) -> list[dict[str, Any]]:
    """The stacked bar: verdict, count, and where its part begins and how wide it is, in thousandths."""
    counts: Counter[str] = Counter(row.summary.verdict for row in rows)
    total, start, parts = max(1, len(rows)), 0.0, []
    for name in (*(verdict.value for verdict in ORDER), *sorted(counts.keys() - set(Verdict))):
        width = 1000 * counts[name] / total
        if counts[name]:
            parts.append({"verdict": name, "count": counts[name], "start": round(start, 2), "width": round(width, 2)})
        start += width
    return parts


def _figures(rows: Sequence[OverviewRow]) -> Figures:
    drifted = [r.summary.since for r in rows if r.summary.verdict in (Verdict.DRIFTED, Verdict.DIVERGED)]
    return Figures(
        needs_action=sum(row.group is Group.NEEDS_ACTION for row in rows),
        unknown=sum(row.summary.verdict == Verdict.UNKNOWN for row in rows),
        waiting=sum(row.request is not None for row in rows),
        oldest_drift=min((since for since in drifted if since is not None), default=None),
        stalest_look=min((row.summary.at for row in rows), default=None),
    )


def _facets(rows: Sequence[OverviewRow]) -> dict[str, Any]:
    """What the filters offer."""
    labels = {label for row in rows for label in row.summary.labels}
    return {
        "verdicts": [verdict.value for verdict in ORDER],
        "labels": [label.value for label in Label if label in labels],
        "owners": sorted({row.summary.owner for row in rows if row.summary.owner})[:_MAX_OWNERS],
        "ages": AGES,
    }


# --- badges ---------------------------------------------------------------------------------------


def badge(view: View, name: str | None) -> tuple[str, str] | None:
    """The text and the verdict of a badge: of one environment, or the worst of all; None for one not visible."""
    if name is not None:
        found = view.row(name)
        return None if found is None else (verdict_text(found.summary.verdict), found.summary.verdict)
    counts = Counter(each.verdict for each in view.summaries)
    for verdict in (Verdict.UNKNOWN, Verdict.DIVERGED, Verdict.DRIFTED, Verdict.PENDING):
        if counts[verdict.value]:
            out = len(view.summaries) - counts[Verdict.IN_SYNC.value]
            return f"{out} of {plural(len(view.summaries), 'environment')} not in sync", verdict.value
    if not view.summaries:
        return "no environments", "none"
    return f"{plural(len(view.summaries), 'environment')} in sync", Verdict.IN_SYNC.value
