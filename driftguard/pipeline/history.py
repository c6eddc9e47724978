"""The ledger, read: last scans, history, removed and renamed environments. One read model for every reader.

Takes the journal; gives reports, entries and their JSON objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from msgspec import Struct, convert, structs

from driftguard.config import EnvironmentSettings
from driftguard.errors import OperatorError, UsageError
from driftguard.model import Acknowledgement, Entry, EntryKind, Outage, Severity, rows
from driftguard.model.findings import PROBE
from driftguard.model.looks import Look
from driftguard.model.report import AckReport, EnvironmentReport, ErrorReport, read_environment
from driftguard.model.words import plural
from driftguard.ports import JournalReader
from driftguard.report import timestamp

# Beginnings and ends of outages that are read, the newest.
_MAX_OUTAGES: Final = 1000
_MANY: Final = 200
_DELIVERIES: Final = 500


@dataclass(frozen=True, slots=True)
class LastScan:
    """The newest scan of one environment.

    Attributes:
        at: when, RFC 3339; of the newest look that confirmed it, if there was one.
        row: its JSON object as it was recorded, with `at`: fields of a newer DriftGuard included.
    """

    at: str
    report: EnvironmentReport
    row: Mapping[str, Any]

    @property
    def commit(self) -> str:
        """The commit that was planned."""
        return self.report.commit or ""


class EntryRow(Struct, frozen=True):
    """One entry of the ledger, as `history --format json` prints it."""

    sequence: int | None
    at: str
    run: str
    environment: str | None
    kind: str
    summary: str
    data: dict[str, Any]
    hash: str | None


def read_scan(entry: Entry) -> EnvironmentReport:
    """The report in a `scanned` row of any version.

    Raises:
        OperatorError: a field that is known has another type.
    """
    try:
        return read_environment(entry.data)
    except ValueError:
        raise OperatorError(
            f"The scan of {entry.environment} in the ledger cannot be read: it was damaged, or written by a newer "
            "DriftGuard. Upgrade driftguard on this machine, or restore the ledger from a backup."
        ) from None


def last_scans(
    ledger: JournalReader, patterns: Sequence[str], *, until: datetime | None = None, exactly: bool = False
) -> list[LastScan]:
    """The newest scan of each environment as the ledger has it, sorted by name.

    Raises:
        UsageError: a pattern matches no environment that was ever scanned.
        OperatorError: a row cannot be read.
    """
    entries = ledger.latest(EntryKind.SCANNED, until)
    for pattern in patterns:
        if not any(name == pattern or (not exactly and fnmatchcase(name, pattern)) for name in entries):
            raise UsageError(
                f"nothing is known of {pattern} yet; run `driftguard scan {pattern}`. "
                f"Known: {', '.join(sorted(entries)) or 'no environment'}."
            )
    wanted, looks = patterns or ["*"], ledger.looks(until)
    return [
        last_scan(entry, looks.get(name))
        for name, entry in sorted(entries.items())
        if any(fnmatchcase(name, pattern) for pattern in wanted)
    ]


def last_scan(entry: Entry, look: Look | None = None) -> LastScan:
    """A `scanned` entry as the commands show it, with the newest look that confirmed it."""
    report, at, row = read_scan(entry), timestamp(entry.at), dict(entry.data)
    if look is not None and look.sequence == entry.sequence:
        at, found = timestamp(look.at), {"checked_by": PROBE, "cpu_seconds": look.cpu_seconds}
        report, row = structs.replace(report, **found), row | found
    return LastScan(at, report, row | {"at": at})


def recent(ledger: JournalReader, patterns: Sequence[str], *, until: datetime | None, limit: int) -> list[EntryRow]:
    """The newest entries of the ledger that concern the environments, oldest first."""
    entries: list[Entry] = []
    if not patterns:
        entries = list(ledger.entries(until=until, limit=limit))
    for name in dict.fromkeys(n for p in patterns for n in _known_names(ledger, p)):
        entries += ledger.entries(environment=name, until=until, limit=limit)
    entries.sort(key=lambda entry: entry.sequence or 0)
    return [entry_row(entry) for entry in entries[-limit:]]


def _known_names(ledger: JournalReader, pattern: str) -> list[str]:
    known = sorted(ledger.latest(EntryKind.SCANNED))
    found = [name for name in known if fnmatchcase(name, pattern)]
    if not found:
        raise UsageError(f"nothing is known of {pattern}; known: {', '.join(known) or 'no environment'}.")
    return found


def entry_row(entry: Entry) -> EntryRow:
    """One entry as `driftguard history` prints it."""
    return EntryRow(
        sequence=entry.sequence,
        at=timestamp(entry.at),
        run=entry.run_id,
        environment=entry.environment,
        kind=str(entry.kind),
        summary=_entry_summary(entry),
        data=dict(entry.data),
        hash=entry.hash,
    )


def renamed(ledger: JournalReader, environments: Sequence[EnvironmentSettings]) -> dict[str, str]:
    """Environments that the ledger knows and that are at head under another name, by the old one."""
    names = {(settings.path, settings.workspace): settings.name for settings in environments}
    present = {settings.name for settings in environments}
    found = {}
    for old, scan in ledger.latest(EntryKind.SCANNED).items():
        report = read_scan(scan)
        new = names.get((report.path, report.workspace))
        if old in present or new is None:
            continue
        # Two environments of one directory, distinguished by their backends, were there side by side.
        beside = ledger.entries(environment=new, kinds=[EntryKind.SCANNED], until=scan.at, limit=1)
        if not beside:
            found[old] = new
    return found


def removed(ledger: JournalReader, environments: Sequence[EnvironmentSettings]) -> dict[str, Entry]:
    """The last scan of each environment that has a baseline, is not at head, and was not forgotten since."""
    present = {settings.name for settings in environments} | renamed(ledger, environments).keys()
    known = ledger.latest(EntryKind.BASELINE_MOVED)
    forgotten = ledger.latest(EntryKind.ENVIRONMENT_FORGOTTEN)
    scans = ledger.latest(EntryKind.SCANNED)
    return {
        name: scans[name]
        for name, entry in known.items()
        if name not in present
        and name in scans
        and (name not in forgotten or (forgotten[name].sequence or 0) < (entry.sequence or 0))
    }


def _entry_summary(entry: Entry) -> str:
    """One entry in a line; empty for a kind of a newer version, and for a row whose known fields have another type."""
    if not isinstance(entry.kind, EntryKind):
        return ""
    try:
        return _SUMMARIES[entry.kind](entry.data)
    except ValueError:
        return ""


def _scanned(data: Mapping[str, Any]) -> str:
    report = read_environment(data)
    error = f" ({report.error_kind})" if report.error is not None else ""
    return f"{report.verdict}{error} at {(report.commit or '')[:10]}, decision {report.decision.action}"


def _baseline_moved(data: Mapping[str, Any]) -> str:
    row = convert(data, rows.BaselineRow)
    return f"to {row.commit[:10]}, {row.origin}"


def _approved(data: Mapping[str, Any]) -> str:
    return f"up to {convert(data, rows.ApprovedRow).commit[:10]}"


def _run_started(data: Mapping[str, Any]) -> str:
    row = convert(data, rows.RunStartedRow)
    return f"{plural(row.count or len(row.environments), 'environment')} at {row.commit[:10]}"


def _run_finished(data: Mapping[str, Any]) -> str:
    summary = convert(data, rows.RunFinishedRow).summary
    return ", ".join(f"{count} {name}" for name, count in summary.items() if count)


def _alert(data: Mapping[str, Any]) -> str:
    row = convert(data, rows.AlertRow)
    return f"{row.event}: {row.about}, {row.severity}" + (f"; {row.line}" if row.line else "")


def _alert_delivered(data: Mapping[str, Any]) -> str:
    row = convert(data, rows.DeliveryRow)
    return f"{row.kind} to {' '.join(part for part in (row.sink, row.channel) if part)}"


def _proposal(data: Mapping[str, Any]) -> str:
    row = convert(data, rows.ProposalRow)
    branch = row.branches[0] if row.branches else rows.BranchRow()
    return f"{branch.choice} {row.state}: {row.url or branch.name}" + (f"; {row.reason}" if row.reason else "")


def _requested(data: Mapping[str, Any]) -> str:
    return f"by {convert(data, rows.RequestRow).by or 'an operator'}"


def _attempt(data: Mapping[str, Any]) -> str:
    """One attempt's step: who approved it, what it touches, its result."""
    row = convert(data, rows.AttemptRow)
    new = row.data
    parts = [row.state, f"commit {row.commit[:10]}"]
    if new.approved_by is not None:
        parts += new.approved
        parts += [f"{who.commit[:10]} by {who.signer or who.author}" for who in new.approved_by]
    for outcomes in filter(None, (new.planned, new.resource, new.resources)):
        done = ((name, word if isinstance(word, str) else "+".join(word)) for name, word in outcomes.items())
        parts.append(", ".join(f"{name} {word}" for name, word in sorted(done)))
    if new.reason:
        parts.append(new.reason)
    if new.error:
        parts.append(new.error if isinstance(new.error, str) else convert(new.error, ErrorReport).message)
    return "; ".join(parts)


def _given(data: Mapping[str, Any]) -> str:
    row = convert(data, rows.GivenRow)
    return f"{row.commit[:10]} given as baseline by {row.by or 'an operator'}: {row.reason}"


def _worded(data: Mapping[str, Any]) -> str:
    row = convert(data, rows.WordRow)
    until = f" until {row.until}" if row.until else ""
    return f"by {row.by or 'an operator'}{until}: {row.reason}"


def _sink(data: Mapping[str, Any]) -> str:
    row = convert(data, rows.SinkRow)
    return f"{row.target}: {row.problem}".removesuffix(": ")


_SUMMARIES: Final[Mapping[EntryKind, Callable[[Mapping[str, Any]], str]]] = {
    EntryKind.SCANNED: _scanned,
    EntryKind.BASELINE_MOVED: _baseline_moved,
    EntryKind.RUN_STARTED: _run_started,
    EntryKind.RUN_FINISHED: _run_finished,
    EntryKind.ATTEMPT_OPENED: _attempt,
    EntryKind.ATTEMPT_PROGRESS: _attempt,
    EntryKind.ATTEMPT_FINISHED: _attempt,
    EntryKind.ALERT: _alert,
    EntryKind.ALERT_DELIVERED: _alert_delivered,
    EntryKind.PROPOSAL: _proposal,
    EntryKind.APPROVED: _approved,
    EntryKind.BASELINE_GIVEN: _given,
    EntryKind.RETRY_REQUESTED: _requested,
    EntryKind.ENVIRONMENT_FORGOTTEN: _requested,
    EntryKind.ACKNOWLEDGED: _worded,
    EntryKind.SILENCED: _worded,
    EntryKind.SINK_FAILED: _sink,
    EntryKind.SINK_WORKS: _sink,
}


def retried(journal: JournalReader) -> dict[str, int]:
    """The journal's sequence number of each environment's last `driftguard retry`."""
    return {name: entry.sequence or 0 for name, entry in journal.latest(EntryKind.RETRY_REQUESTED).items()}


def silences(journal: JournalReader, now: datetime, until: datetime | None = None) -> dict[str, Acknowledgement]:
    """The silences that have not ended yet, by environment."""
    found = {name: _word(entry) for name, entry in journal.latest(EntryKind.SILENCED, until).items()}
    return {name: word for name, word in found.items() if word.stands(now)}


def acknowledgements(
    journal: JournalReader, now: datetime, until: datetime | None = None
) -> dict[str, Acknowledgement]:
    """The acknowledgements of alerts that stand, by environment: none that its time, a worse change or an end ended."""
    found = {name: (_word(entry), entry) for name, entry in journal.latest(EntryKind.ACKNOWLEDGED, until).items()}
    standing = {name: (word, entry) for name, (word, entry) in found.items() if word.stands(now)}
    # One query for all of them costs as much as a few hundred of one environment.
    steps = journal.latest(EntryKind.ALERT, until) if len(standing) > _MANY else _last_steps(journal, standing, until)
    return {name: word for name, (word, entry) in standing.items() if not _ended(entry, steps.get(name))}


def _last_steps(journal: JournalReader, names: Iterable[str], until: datetime | None) -> Mapping[str, Entry]:
    steps = (journal.entries(environment=name, kinds=[EntryKind.ALERT], until=until, limit=1) for name in names)
    return {entry.environment or "": entry for found in steps for entry in found}


def _ended(word: Entry, last: Entry | None) -> bool:
    """Whether the last step of an alert ended an acknowledgement."""
    if last is None or (last.sequence or 0) <= (word.sequence or 0):
        return False
    return not last.data.get("acked") or last.data.get("event") == "resolved"


def acked(journal: JournalReader, now: datetime, until: datetime | None = None) -> dict[str, tuple[str, AckReport]]:
    """By environment, the word of an operator that holds: as a cell's end, and as reports have it."""
    words = [("silenced", silences(journal, now, until)), ("acknowledged", acknowledgements(journal, now, until))]
    return {name: (f", {verb} {word.text}", ack_report(word)) for verb, found in words for name, word in found.items()}


def ack_report(word: Acknowledgement) -> AckReport:
    """An operator's word as reports have it."""
    return AckReport(word.by, None if word.until is None else timestamp(word.until), word.reason)


def _word(entry: Entry) -> Acknowledgement:
    row = convert(entry.data, rows.WordRow)
    until = None if row.until is None else datetime.fromisoformat(row.until)
    return Acknowledgement(row.by, entry.at, row.reason, until, Severity(row.severity))


def outages(journal: JournalReader) -> tuple[Outage, ...]:
    """The targets that take no alerts now, by how long that has been so."""
    found: dict[str, Outage] = {}
    for entry in journal.entries(kinds=[EntryKind.SINK_FAILED, EntryKind.SINK_WORKS], limit=_MAX_OUTAGES):
        row = convert(entry.data, rows.SinkRow)
        if entry.kind == EntryKind.SINK_FAILED:
            found.setdefault(row.target, Outage(row.target, entry.at, row.problem))
        else:
            found.pop(row.target, None)
    return tuple(sorted(found.values(), key=lambda outage: (outage.since, outage.target)))


def channel_ids(journal: JournalReader) -> dict[str, str]:
    """The ids of Slack's channels by name, as the latest deliveries there had them."""
    found: dict[str, str] = {}
    for entry in journal.entries(kinds=[EntryKind.ALERT_DELIVERED], limit=_DELIVERIES):
        channel, reference = str(entry.data.get("channel") or ""), str(entry.data.get("reference") or "")
        if channel.startswith("#") and "/" in reference:
            found[channel] = reference.partition("/")[0]
    return found


def approved_points(journal: JournalReader) -> dict[str, str]:
    """The commit up to which everything was approved, by environment."""
    return {
        name: convert(entry.data, rows.ApprovedRow).commit for name, entry in journal.latest(EntryKind.APPROVED).items()
    }
