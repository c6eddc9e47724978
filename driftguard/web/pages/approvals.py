"""Page 4, approvals: proposals that are open, expiring, void (and why), used or declined; approved points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from driftguard.model import EntryKind
from driftguard.pipeline import dossier
from driftguard.pipeline.dossier import ProposalRecord
from driftguard.web.rendering import WebPage
from driftguard.web.view import View

STANDINGS: Final = ("expiring", "open", "void", "used", "declined", "closed")
_READ: Final = 5000


def page(view: View) -> WebPage:
    """The proposals, those that need a reviewer first."""
    found = _proposals(view)
    wanted = [each for each in found if not view.query.values("state") or each.standing in view.query.values("state")]
    rows, part = view.page(wanted)
    content = {
        "proposals": rows,
        "slice": part,
        "counts": Counter(each.standing for each in found),
        "standings": STANDINGS,
        "points": view.visible(view.ledger.latest(EntryKind.APPROVED, view.until).values())[:100],
    }
    return WebPage("approvals.html", "approvals", "Approvals", content)


def document(view: View) -> Any:
    """The proposals of the page as JSON."""
    rows, part = view.page(_proposals(view))
    return {"approvals": msgspec.to_builtins(rows), "page": part.page, "pages": part.pages, "total": part.total}


def _proposals(view: View) -> Sequence[ProposalRecord]:
    found = dossier.proposals(view.entries([EntryKind.PROPOSAL], _READ), view.now)
    places = {standing: place for place, standing in enumerate(STANDINGS)}
    return sorted(found, key=lambda each: places.get(each.standing, len(places)))
