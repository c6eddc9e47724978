"""Page 5, trends: open drift by label, ages, times to repair, what recurs, what runs cost; as charts without script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from driftguard.model import Alert, EntryKind
from driftguard.model.words import Label
from driftguard.pipeline.trends import COUNTED, Trends, trends, with_actors
from driftguard.web.charts import areas, bars
from driftguard.web.rendering import WebPage
from driftguard.web.view import View

DAYS: Final = {"7": 7, "30": 30, "90": 90, "365": 365}
_DEFAULT_DAYS: Final = 30
_STEPS: Final = 200
_SHOWN: Final = tuple(label.value for label in Label if label not in (Label.NOISE, Label.ADOPTED))


def page(view: View) -> WebPage:
    """The trends of the chosen time."""
    found = _trends(view)
    series = {label: [day.labels.get(label, 0) for day in found.open] for label in _SHOWN}
    chart = areas({label: values for label, values in series.items() if any(values)})
    content = {
        "trends": found,
        "chart": chart,
        "bands": bars([(band.band, band.count) for band in found.ages]),
        "cpu": bars([(day.day, round(day.cpu_seconds)) for day in found.runs]),
        "days": _days(view),
        "choices": tuple(DAYS),
        "whole": view.viewer.sees_all,
    }
    return WebPage("trends.html", "trends", "Trends", content)


def document(view: View) -> Any:
    """The trends as JSON; what runs cost only for a reader who sees every environment."""
    found = _trends(view)
    plain: dict[str, Any] = msgspec.to_builtins(found)
    if not view.viewer.sees_all:
        return {name: value for name, value in plain.items() if name not in ("runs", "watch")}
    return {**plain, "unknown_rate": found.unknown_rate, "probed_share": found.probed_share}


def _days(view: View) -> int:
    return DAYS.get(view.query.text("days"), _DEFAULT_DAYS)


def _trends(view: View) -> Trends:
    found = trends(view.ledger, view.now - timedelta(days=_days(view)), view.now, names=view.names)
    names = list(dict.fromkeys(each.environment for each in found.recurrences))
    return replace(found, recurrences=with_actors(found.recurrences, _alerts(view, names, found.until - COUNTED)))


def _alerts(view: View, names: Sequence[str], since: datetime) -> Sequence[Alert]:
    """The alerts of environments, those that were resolved included."""
    ledger, kinds = view.ledger, [EntryKind.ALERT]
    steps = (ledger.entries(environment=n, kinds=kinds, since=since, until=view.until, limit=_STEPS) for n in names)
    ids = dict.fromkeys(str(entry.data.get("alert", "")) for found in steps for entry in found)
    return ledger.alerts.named(list(ids))
