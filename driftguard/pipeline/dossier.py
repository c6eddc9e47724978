"""One environment's record: its applies, proposals and points in time, from the journal.

Takes entries and reports; gives values for the pages. Pure: who reads the journal hands the entries over.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from driftguard.model import Entry, EntryKind
from driftguard.model.report import ABSENT_VALUE, AttributeReport, EnvironmentReport, ErrorReport, ResourceReport
from driftguard.model.rows import ApproverRow, AttemptRow
from driftguard.model.words import SETTLED
from driftguard.pipeline.changes import effects
from driftguard.pipeline.consequences import consequence
from driftguard.pipeline.overview import ProposalFacts, proposal_facts

#: The entries that a record is made of, beside scans.
KINDS: Final = (
    EntryKind.ATTEMPT_OPENED,
    EntryKind.ATTEMPT_PROGRESS,
    EntryKind.ATTEMPT_FINISHED,
    EntryKind.PROPOSAL,
    EntryKind.APPROVED,
    EntryKind.ACKNOWLEDGED,
    EntryKind.SILENCED,
    EntryKind.RETRY_REQUESTED,
    EntryKind.BASELINE_GIVEN,
)


class AttemptKey(msgspec.Struct, frozen=True):
    """What ties the steps of one attempt together."""

    attempt: str = ""


class ApprovalBasis(msgspec.Struct, frozen=True):
    """A row of an approved point's move: from where to where, why, and by whom."""

    commit: str = ""
    since: str | None = None
    reasons: tuple[str, ...] = ()
    by: tuple[ApproverRow, ...] = ()


@dataclass(slots=True)
class ApplyRecord:
    """One apply, step by step.

    Attributes:
        outcomes: by address: the planned actions until the outcome is known.
        error: why it failed, in one or two sentences.
    """

    id: str
    commit: str
    opened_at: datetime
    state: str = ""
    finished_at: datetime | None = None
    outcomes: dict[str, str] = field(default_factory=dict)
    planned: dict[str, str] = field(default_factory=dict)
    approved: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    error: str = ""


def applies(entries: Iterable[Entry]) -> list[ApplyRecord]:
    """The applies of an environment, newest first.

    Args:
        entries: of the environment, oldest first; those of other kinds are left out.
    """
    found: dict[str, ApplyRecord] = {}
    for entry in entries:
        if entry.kind not in (EntryKind.ATTEMPT_OPENED, EntryKind.ATTEMPT_PROGRESS, EntryKind.ATTEMPT_FINISHED):
            continue
        try:
            key = msgspec.convert(entry.data, AttemptKey).attempt
            row = msgspec.convert(entry.data, AttemptRow)
        except msgspec.ValidationError:
            continue
        record = found.setdefault(key, ApplyRecord(key, row.commit, entry.at))
        _step(record, row, entry)
    return list(reversed(found.values()))


def _step(record: ApplyRecord, row: AttemptRow, entry: Entry) -> None:
    new = row.data
    record.state = row.state
    record.planned |= {address: _word(actions) for address, actions in (new.planned or {}).items()}
    for outcomes in (new.resource, new.resources):
        record.outcomes |= {address: _word(outcome) for address, outcome in (outcomes or {}).items()}
    if new.approved_by is not None:
        record.approved = new.approved
        record.approvers = tuple(f"{who.commit[:10]} by {who.signer or who.author}" for who in new.approved_by)
    if new.error or new.reason:
        record.error = _sentence(new.error) or new.reason or ""
    if entry.kind is EntryKind.ATTEMPT_FINISHED:
        record.finished_at = entry.at


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _sentence(error: Any) -> str:
    if not error or isinstance(error, str):
        return error or ""
    try:
        return msgspec.convert(error, ErrorReport).message
    except msgspec.ValidationError:
        return ""


@dataclass(frozen=True, slots=True)
class ProposalRecord:
    """One proposal as it stands.

    Attributes:
        at: of its last step.
        standing: `open`, `expiring`, `void`, `used`, `declined` or `closed`.
    """

    environment: str
    at: datetime
    standing: str
    facts: ProposalFacts


_STANDING: Final[Mapping[str, str]] = {
    "opening": "open",
    "open": "open",
    "closing": "open",
    "merged": "open",
    "done": "used",
    "void": "void",
    "acknowledged": "declined",
    "closed": "closed",
}
_EXPIRES_SOON_SECONDS: Final = 3 * 86400


def proposals(entries: Iterable[Entry], now: datetime) -> list[ProposalRecord]:
    """The proposals of entries, each as its last step left it, newest first.

    Args:
        entries: oldest first; those of other kinds are left out.
    """
    found: dict[tuple[str, str], ProposalRecord] = {}
    for entry in entries:
        if entry.kind is EntryKind.PROPOSAL:
            facts = proposal_facts(entry)
            key = (entry.environment or "", facts.id)
            found.pop(key, None)
            found[key] = ProposalRecord(key[0], entry.at, _standing(facts, now), facts)
    return list(reversed(found.values()))


def _standing(facts: ProposalFacts, now: datetime) -> str:
    standing = _STANDING.get(facts.state, facts.state)
    if standing != "open" or facts.expires_at is None:
        return standing
    try:
        left = (datetime.fromisoformat(facts.expires_at) - now).total_seconds()
    except (ValueError, TypeError):
        return standing
    return "expiring" if left < _EXPIRES_SOON_SECONDS else standing


def approvals(entries: Iterable[Entry]) -> list[tuple[datetime, ApprovalBasis]]:
    """The moves of the approved point, newest first."""
    found = []
    for entry in entries:
        if entry.kind is EntryKind.APPROVED:
            try:
                found.append((entry.at, msgspec.convert(entry.data, ApprovalBasis)))
            except msgspec.ValidationError:
                continue
    return found[::-1]


# --- what an apply would do -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """What an apply would do to one resource.

    Attributes:
        verb: `destroys`, `replaces`, `creates`, `changes` or `forgets`.
        effects: for each attribute a verb, its path and its values.
        consequence: what becomes of the object, in one sentence; empty where that is plain.
    """

    verb: str
    address: str
    labels: tuple[str, ...]
    effects: tuple[tuple[str, str, str], ...]
    consequence: str


_VERBS: Final = ("destroys", "replaces", "creates", "forgets", "changes")


def planned(report: EnvironmentReport) -> list[PlannedChange]:
    """What an apply would do: destroys and replaces first."""
    found = [
        PlannedChange(
            verb=_verb(resource.actions),
            address=resource.address,
            labels=resource.labels,
            effects=tuple(effects(resource.attributes)),
            consequence=consequence(resource) or "",
        )
        for resource in report.resources
        if set(resource.actions) - {"no-op", "read"}
    ]
    return sorted(found, key=lambda change: (_VERBS.index(change.verb), change.address))


def _verb(actions: Sequence[str]) -> str:
    if "delete" in actions:
        return "replaces" if "create" in actions else "destroys"
    return "creates" if "create" in actions else "forgets" if "forget" in actions else "changes"


# --- attributes -----------------------------------------------------------------------------------


def listed(report: EnvironmentReport, *, settled: bool) -> list[ResourceReport]:
    """The resources of a report, those outside Terraform first; without those that nothing is to be done about."""
    found = [each for each in report.resources if settled or not SETTLED.issuperset(each.labels)]
    return sorted(found, key=lambda each: (not each.changed_outside, each.address))


def difference(before: str, after: str) -> list[tuple[str, str]]:
    """Two texts as lines of a diff, each with its sign: ` `, `-`, `+` or `…` for what is left out."""
    found: list[tuple[str, str]] = []
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    for number, line in enumerate(lines):
        if number >= 2:  # the two names
            found.append(("…", "") if line.startswith("@@") else (line[:1], line[1:]))
    return found[1:] if found and found[0] == ("…", "") else found


# --- two points -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PointChange:
    """What differs between two reports of an environment in one place.

    Attributes:
        what: `address` or `address attribute`; a word such as `verdict` for the environment itself.
        before, after: empty where it is not in that report.
    """

    what: str
    before: str
    after: str


def compared(before: EnvironmentReport, after: EnvironmentReport) -> Iterator[PointChange]:
    """What differs between two reports of an environment: verdict, commit and decision, then each attribute."""
    for what, old, new in (
        ("verdict", before.verdict, after.verdict),
        ("commit", before.commit or "", after.commit or ""),
        ("decision", before.decision.action, after.decision.action),
        ("reasons", "; ".join(before.decision.stated), "; ".join(after.decision.stated)),
        ("owner", before.owner or "", after.owner or ""),
    ):
        if old != new:
            yield PointChange(what, old, new)
    old_places, new_places = _places(before), _places(after)
    for place in sorted({*old_places, *new_places}):
        if old_places.get(place) != new_places.get(place):
            yield PointChange(place, old_places.get(place, ""), new_places.get(place, ""))


def _places(report: EnvironmentReport) -> dict[str, str]:
    """Each labelled place of a report, in one line."""
    places = {f"output {output.name}": output.label for output in report.outputs}
    for resource in report.resources:
        if not resource.attributes:
            places[resource.address] = ", ".join(resource.labels)
        for attribute in resource.attributes:
            places[f"{resource.address} {attribute.path or '(exists)'}"] = _attribute(attribute)
    return places


def _attribute(attribute: AttributeReport) -> str:
    desired = "known after apply" if attribute.unknown else _flat(attribute.desired)
    return f"{attribute.label}: R {_flat(attribute.reality)}, D {desired}"


def _flat(value: Any) -> str:
    return value if value == ABSENT_VALUE else msgspec.json.encode(value).decode()
