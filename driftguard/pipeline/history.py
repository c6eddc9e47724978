"""The ledger, read: last scans, history, removed and renamed environments. One read model for every reader.

Takes the journal; gives dictionaries of the contract's words, and entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from driftguard.config import EnvironmentSettings
from driftguard.errors import UsageError
from driftguard.model import Entry, EntryKind
from driftguard.ports import JournalReader
from driftguard.report import timestamp


def last_scans(
    ledger: JournalReader, patterns: Sequence[str], *, until: datetime | None = None, exactly: bool = False
) -> list[dict[str, Any]]:
    """The newest scan of each environment as the ledger has it, with `at` and `commit`, sorted by name.

    Raises:
        UsageError: a pattern matches no environment that was ever scanned.
    """
    entries = ledger.latest(EntryKind.SCANNED, until)
    for pattern in patterns:
        if not any(name == pattern or (not exactly and fnmatchcase(name, pattern)) for name in entries):
            raise UsageError(
                f"nothing is known of {pattern} yet; run `driftguard scan {pattern}`. "
                f"Known: {', '.join(sorted(entries)) or 'no environment'}."
            )
    wanted = patterns or ["*"]
    return [
        {**entry.data, "at": timestamp(entry.at)}
        for name, entry in sorted(entries.items())
        if any(fnmatchcase(name, pattern) for pattern in wanted)
    ]


def recent(
    ledger: JournalReader, patterns: Sequence[str], *, until: datetime | None, limit: int
) -> list[dict[str, Any]]:
    """The newest entries of the ledger that concern the environments, oldest first."""
    entries: list[Entry] = []
    if not patterns:
        entries = list(ledger.entries(until=until, limit=limit))
    for name in dict.fromkeys(n for p in patterns for n in _known_names(ledger, p)):
        entries += ledger.entries(environment=name, until=until, limit=limit)
    entries.sort(key=lambda entry: entry.sequence or 0)
    return [_entry_json(entry) for entry in entries[-limit:]]


def _known_names(ledger: JournalReader, pattern: str) -> list[str]:
    known = sorted(ledger.latest(EntryKind.SCANNED))
    found = [name for name in known if fnmatchcase(name, pattern)]
    if not found:
        raise UsageError(f"nothing is known of {pattern}; known: {', '.join(known) or 'no environment'}.")
    return found


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "at": timestamp(entry.at),
        "run": entry.run_id,
        "environment": entry.environment,
        "kind": entry.kind.value,
        "summary": _entry_summary(entry),
        "data": dict(entry.data),
        "hash": entry.hash,
    }


def renamed(ledger: JournalReader, environments: Sequence[EnvironmentSettings]) -> dict[str, str]:
    """Environments that the ledger knows and that are at head under another name, by the old one."""
    names = {(settings.path, settings.workspace): settings.name for settings in environments}
    present = {settings.name for settings in environments}
    found = {}
    for old, scan in ledger.latest(EntryKind.SCANNED).items():
        new = names.get((scan.data["path"], scan.data["workspace"]))
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
    data = entry.data
    match entry.kind:
        case EntryKind.SCANNED:
            error = f" ({data['error']['kind']})" if data.get("error") else ""
            return f"{data['verdict']}{error} at {data['commit'][:10]}, decision {data['decision']['action']}"
        case EntryKind.BASELINE_MOVED:
            return f"to {data['commit'][:10]}, {data['origin']}"
        case EntryKind.RUN_STARTED:
            return f"{len(data['environments'])} environments at {data['commit'][:10]}"
        case EntryKind.RUN_FINISHED:
            return ", ".join(f"{count} {name}" for name, count in data["summary"].items() if count)
        case EntryKind.ATTEMPT_OPENED | EntryKind.ATTEMPT_PROGRESS | EntryKind.ATTEMPT_FINISHED:
            return _attempt_summary(data)
        case EntryKind.ALERT:
            return f"{data['event']}: {data['about']}, {data['severity']}" + (
                f"; {data['line']}" if data["line"] else ""
            )
        case EntryKind.ALERT_DELIVERED:
            return f"{data['kind']} to {' '.join(part for part in (data['sink'], data['channel']) if part)}"
        case EntryKind.PROPOSAL:
            branch = data["branches"][0]
            return f"{branch['choice']} {data['state']}: {data['url'] or branch['name']}" + (
                f"; {data['reason']}" if data["reason"] else ""
            )
        case EntryKind.RETRY_REQUESTED | EntryKind.ENVIRONMENT_FORGOTTEN:
            return f"by {data['by'] or 'an operator'}"


def _attempt_summary(data: Mapping[str, Any]) -> str:
    """One attempt's step: who approved it, what it touches, what came of it."""
    new = data["data"]
    parts = [data["state"], f"commit {data['commit'][:10]}"]
    if "approved_by" in new:
        parts += new["approved"]
        parts += [f"{who['commit'][:10]} by {who.get('signer') or who['author']}" for who in new["approved_by"]]
    for key in ("planned", "resource", "resources"):
        if new.get(key):
            done = ((name, word if isinstance(word, str) else "+".join(word)) for name, word in new[key].items())
            parts.append(", ".join(f"{name} {word}" for name, word in sorted(done)))
    if new.get("reason"):
        parts.append(new["reason"])
    if new.get("error"):
        parts.append(new["error"]["message"] if isinstance(new["error"], dict) else new["error"])
    return "; ".join(parts)
