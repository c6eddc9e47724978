"""Page 3, one environment: now, what an apply would do, why not applied, requests, timeline, applies, closure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from msgspec import convert

from driftguard.model import Entry, EntryKind, ObjectTrace
from driftguard.model.report import AttributeReport, EnvironmentReport, ResourceReport
from driftguard.model.rows import ClosureRow
from driftguard.pipeline import dossier
from driftguard.pipeline.changes import change_text
from driftguard.pipeline.dossier import difference
from driftguard.pipeline.history import entry_row, last_scan
from driftguard.web.query import written
from driftguard.web.rendering import WebPage, read_time, value_lines
from driftguard.web.view import View

_TIMELINE: Final = 150
_RECORD: Final = 400
_MIN_DIFF_LINES: Final = 2


@dataclass(frozen=True, slots=True)
class ShownAttribute:
    """One attribute of a page.

    Attributes:
        diff: lines from reality to the desired value, where either is longer than a line; empty otherwise, and where
            an apply would only undo `drifted`.
        drifted: lines from the state to reality, likewise.
    """

    attribute: AttributeReport
    diff: list[tuple[str, str]]
    drifted: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ShownResource:
    """One resource of a page: its attributes, who probably changed it, and what it means."""

    resource: ResourceReport
    headline: str
    by: tuple[str, ...]
    attributes: list[ShownAttribute]


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One line of a timeline.

    Attributes:
        count: how many equal entries in a row it stands for.
        scanned: whether a page of that moment shows another report.
    """

    at: datetime
    kind: str
    text: str
    count: int = 1
    scanned: bool = False


def page(view: View, name: str) -> WebPage | None:
    """An environment's page; None for one that the ledger does not know, or that is not visible."""
    row = view.row(name)
    if row is None:
        return None
    scan = view.scans([row.summary]).get(name)
    if scan is None:
        return None
    report = scan.report
    newest = view.ledger.entries(environment=name, until=view.until, limit=_TIMELINE)
    record = view.ledger.entries(environment=name, kinds=dossier.KINDS, until=view.until, limit=_RECORD)
    resources, part = view.page(dossier.listed(report, settled=bool(view.query.values("noise"))))
    traces = _traces(view, newest)
    content = {
        "name": name,
        "row": row,
        "scan": scan,
        "report": report,
        "resources": [_shown(each, traces.get(each.address)) for each in resources],
        "slice": part,
        "settled": len(report.resources) - len(dossier.listed(report, settled=False)),
        "planned": dossier.planned(report),
        "proposals": dossier.proposals(record, view.now),
        "approvals": dossier.approvals(record),
        "timeline": timeline(newest, report),
        "moments": [] if view.everything else _moments(view, name),
        "applies": dossier.applies(record),
        "compared": _compared(view, name, report),
        "closure": convert(scan.row, ClosureRow),
    }
    return WebPage("environment.html", "overview", name, content)


def document(view: View, name: str) -> Any | None:
    """The JSON of `driftguard explain`; None for an environment that is not visible."""
    row = view.row(name)
    scan = None if row is None else view.scans([row.summary]).get(name)
    return None if scan is None else dict(scan.row)


def timeline(entries: Sequence[Entry], report: EnvironmentReport) -> list[TimelineRow]:
    """Entries of an environment and the commits behind its report, newest first; equal scans in a row are one line."""
    rows: list[TimelineRow] = []
    for entry in entries:
        scanned = entry.kind is EntryKind.SCANNED
        row = TimelineRow(entry.at, str(entry.kind).replace("_", " "), entry_row(entry).summary, 1, scanned)
        last = rows[-1] if rows else None
        if last is not None and scanned and last.scanned and last.text == row.text:
            rows[-1] = TimelineRow(row.at, row.kind, row.text, last.count + 1, True)
        else:
            rows.append(row)
    for commit in report.commits:
        at = read_time(commit.date)
        if at is not None:
            rows.append(TimelineRow(at, "commit", f"{commit.sha[:10]} {commit.author}: {commit.subject}"))
    return sorted(rows, key=lambda row: row.at, reverse=True)


def _shown(resource: ResourceReport, trace: ObjectTrace | None) -> ShownResource:
    text = change_text(resource, trace)
    return ShownResource(resource, text.label, text.by, [_attribute(each) for each in resource.attributes])


def _attribute(attribute: AttributeReport) -> ShownAttribute:
    state, reality = value_lines(attribute.state), value_lines(attribute.reality)
    desired = reality if attribute.unknown else value_lines(attribute.desired)
    long = max(text.count("\n") for text in (state, reality, desired)) >= _MIN_DIFF_LINES
    if not long:
        return ShownAttribute(attribute, [], [])
    drifted = difference(state, reality) if state != reality else []
    # Where S is D, the second diff would be the first one backwards.
    wanted = [] if drifted and state == desired else difference(reality, desired)
    return ShownAttribute(attribute, wanted, drifted)


def _traces(view: View, entries: Iterable[Entry]) -> Mapping[str, ObjectTrace]:
    """Who changed what, by address, as the alerts of an environment have it."""
    ids = [str(e.data.get("alert", "")) for e in entries if e.kind is EntryKind.ALERT]
    alerts = view.ledger.alerts.named(list(dict.fromkeys(ids)))
    return {address: trace for alert in alerts for address, trace in alert.traces.items()}


def _moments(view: View, name: str) -> list[tuple[str, str, bool]]:
    """The moments of the slider, oldest first: as a query string has it, in words, and whether it is shown now."""
    entries = view.ledger.entries(environment=name, kinds=[EntryKind.SCANNED], limit=_TIMELINE)
    shown = [entry.at for entry in entries if view.until is None or entry.at <= view.until]
    current = shown[-1] if shown and view.until is not None else None
    found: list[tuple[str, str, bool]] = []
    for entry in entries:
        text = f"{entry.at:%Y-%m-%d %H:%M} · {entry.data.get('verdict', '')}".replace("_", " ")
        found.append((written(entry.at), text, entry.at == current))
    return found


def _compared(view: View, name: str, report: EnvironmentReport) -> dict[str, Any] | None:
    """What differs between the page's moment and the one that it is compared with."""
    other = view.query.compared
    if other is None:
        return None
    entries = view.ledger.entries(environment=name, kinds=[EntryKind.SCANNED], until=other, limit=1)
    if not entries:
        return {"at": other, "found": False, "changes": []}
    before = last_scan(entries[-1])
    return {"at": entries[-1].at, "found": True, "changes": list(dossier.compared(before.report, report))}
