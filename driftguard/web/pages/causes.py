"""Page 2, causes: one row for each cause over the estate, with the ignore rule and a request's text to copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from driftguard.model.words import Verdict
from driftguard.pipeline.changes import value_text
from driftguard.pipeline.shared_causes import (
    SharedCause,
    authors,
    ignore_rule,
    request_text,
    request_title,
    shared_causes,
)
from driftguard.report import timestamp
from driftguard.sealed import REDACTED
from driftguard.web.rendering import WebPage
from driftguard.web.view import View


@dataclass(frozen=True, slots=True)
class ListedCause:
    """One cause as a page lists it; its texts are ready to copy, `ignore_rule` is None where no rule can cover it."""

    cause: SharedCause
    wanted: str
    ignore_rule: str | None
    request: str


def page(view: View) -> WebPage:
    """The causes, those of most environments first."""
    found = _causes(view)
    labels = view.query.values("label")
    rows, part = view.page([cause for cause in found if not labels or cause.label in labels])
    content = {
        "causes": list(map(_listed, rows)),
        "slice": part,
        "labels": sorted({cause.label for cause in found}),
    }
    return WebPage("causes.html", "causes", "Causes", content)


def document(view: View) -> Any:
    """The causes of the page as JSON."""
    rows, part = view.page(_causes(view))
    return {"causes": [_plain(each) for each in rows], "page": part.page, "pages": part.pages, "total": part.total}


def _causes(view: View) -> Sequence[SharedCause]:
    """The causes of what differs now, or at the view's moment; who did it is known for now only."""
    open_ = [each for each in view.summaries if each.verdict not in (Verdict.IN_SYNC, Verdict.UNKNOWN)]
    reports = [(report, at) for at, report in view.ledger.reports([each.sequence for each in open_])]
    alerts = view.ledger.alerts.standing() if view.until is None else ()
    return shared_causes(reports, view.ledger.occurrences(at=view.until, names=view.names), authors(alerts))


def _listed(cause: SharedCause) -> ListedCause:
    wanted = REDACTED if cause.sensitive else value_text(cause.wanted) if cause.attribute else ""
    return ListedCause(cause, wanted, ignore_rule(cause), f"{request_title(cause)}\n\n{request_text(cause)}")


def _plain(cause: SharedCause) -> dict[str, Any]:
    return {
        "id": cause.id,
        "label": cause.label,
        "type": cause.type,
        "attribute": cause.attribute,
        "wanted": REDACTED if cause.sensitive else cause.wanted,
        "origin": cause.origin,
        "environments": list(cause.environments),
        "since": timestamp(cause.since),
        "first_actor": cause.first_actor,
        "resources": msgspec.to_builtins(cause.resources),
        "ignore_rule": ignore_rule(cause),
    }
