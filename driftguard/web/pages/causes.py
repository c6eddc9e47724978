"""Page 2, causes: one row for each cause over the estate, with the ignore rule to copy.

What forty environments share, such as an upgraded provider, is one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from driftguard.model.report import AttributeReport, EnvironmentReport, ResourceReport
from driftguard.model.words import CHANGED_OUTSIDE, SETTLED, Verdict
from driftguard.pipeline.changes import value_text, who
from driftguard.pipeline.history import LastScan
from driftguard.sealed import REDACTED
from driftguard.web.rendering import WebPage
from driftguard.web.view import View

_MAX_ADDRESSES: Final = 20


@dataclass(slots=True)
class CauseRow:
    """One cause: what differs alike in one or more environments.

    Attributes:
        wanted: the configured value, in words.
        environments: their names, sorted.
        addresses: of the resources, as far as a page lists them.
        since: when the oldest of its environments was last in sync.
        actor: who probably changed the first of them; empty where that is not known.
        rule: the test that gave the label, in the contract's letters.
    """

    label: str
    type: str
    path: str
    wanted: str
    environments: list[str]
    addresses: list[str]
    resources: int = 0
    since: datetime | None = None
    actor: str = ""
    rule: str = ""

    @property
    def ignore_rule(self) -> str:
        """The entry of `ignore` that would cover it, as YAML; empty where an ignore rule cannot."""
        if self.label not in CHANGED_OUTSIDE or not self.path:
            return ""
        address = self.addresses[0] if self.resources == 1 else f"*{self.type}.*"
        path = msgspec.json.encode(self.path).decode()
        return f"- {{address: {msgspec.json.encode(address).decode()}, path: {path}, reason: REASON, until: DATE}}"


def page(view: View) -> WebPage:
    """The causes, those of most environments first."""
    found = _causes(view)
    labels = view.query.values("label")
    rows, part = view.page([cause for cause in found if not labels or cause.label in labels])
    content = {"causes": rows, "slice": part, "labels": sorted({cause.label for cause in found})}
    return WebPage("causes.html", "causes", "Causes", content)


def document(view: View) -> Any:
    """The causes of the page as JSON."""
    rows, part = view.page(_causes(view))
    return {"causes": msgspec.to_builtins(rows), "page": part.page, "pages": part.pages, "total": part.total}


def _causes(view: View) -> list[CauseRow]:
    open_ = [each for each in view.summaries if each.verdict not in (Verdict.IN_SYNC, Verdict.UNKNOWN)]
    since = {each.name: each.since for each in open_}
    alerts = view.ledger.alerts.standing() if view.until is None else ()
    actors = {(a.environment, address): who(trace) for a in alerts for address, trace in a.traces.items()}
    return cause_rows(view.scans(open_).values(), since, actors)


def cause_rows(
    scans: Iterable[LastScan], since: Mapping[str, datetime | None], actors: Mapping[tuple[str, str], str]
) -> list[CauseRow]:
    """The causes of reports, those of most environments first.

    Args:
        since: when each environment was last in sync.
        actors: who probably changed a resource, by environment and address.
    """
    found: dict[tuple[str, ...], CauseRow] = {}
    for scan in scans:
        report = scan.report
        for resource, key, rule in _places(report):
            cause = found.setdefault(key, CauseRow(*key, environments=[], addresses=[], rule=rule))
            _add(cause, report.name, resource, since.get(report.name), actors)
    for cause in found.values():
        cause.environments.sort()
    return sorted(found.values(), key=lambda c: (-len(c.environments), -c.resources, c.label, c.type, c.path))


def _add(
    cause: CauseRow,
    name: str,
    resource: ResourceReport,
    since: datetime | None,
    actors: Mapping[tuple[str, str], str],
) -> None:
    cause.resources += 1
    if name not in cause.environments[-1:]:
        cause.environments.append(name)
    if len(cause.addresses) < _MAX_ADDRESSES and resource.address not in cause.addresses:
        cause.addresses.append(resource.address)
    if since is not None and (cause.since is None or since < cause.since):
        cause.since = since
    cause.actor = cause.actor or actors.get((name, resource.address), "")


def _places(report: EnvironmentReport) -> Iterator[tuple[ResourceReport, tuple[str, str, str, str], str]]:
    for resource in report.resources:
        for attribute in _originals(resource.attributes):
            yield resource, (attribute.label, resource.type, attribute.path, _wanted(attribute)), attribute.rule
        if not resource.attributes:
            for label in resource.labels:
                if label not in SETTLED:
                    yield resource, (label, resource.type, "", ""), ""


def _originals(attributes: Sequence[AttributeReport]) -> Iterator[AttributeReport]:
    """Attributes that something is to be done about, without those that only repeat another one."""
    paths = {attribute.path for attribute in attributes}
    return (a for a in attributes if a.label not in SETTLED and (a.mirrors is None or a.mirrors not in paths))


def _wanted(attribute: AttributeReport) -> str:
    if attribute.sensitive:
        return REDACTED
    return "known after apply" if attribute.unknown else value_text(attribute.desired)
