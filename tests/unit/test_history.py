"""The ledger, read: summaries of every kind of entry, rows of older and newer versions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from driftguard.errors import OperatorError
from driftguard.model import Entry, EntryKind
from driftguard.model.looks import Look
from driftguard.pipeline import history
from driftguard.pipeline.history import last_scans, recent
from tests.support.sample_alerts import NOON, in_sync

SCAN = {**msgspec.to_builtins(in_sync("blue")), "commit": "c" * 40}
ATTEMPT = {"state": "open", "commit": "c" * 40}


class Journal:
    """A journal of one entry."""

    def __init__(self, kind: EntryKind, data: Mapping[str, Any], *looks: Look) -> None:
        self._looks = {look.environment: look for look in looks}
        self._entry = Entry(kind, NOON, "run-1", "blue", data, sequence=1, hash="h")

    def entries(self, **wanted: Any) -> tuple[Entry, ...]:
        return (self._entry,)

    def latest(self, kind: EntryKind, until: object = None) -> Mapping[str, Entry]:
        return {"blue": self._entry} if kind is self._entry.kind else {}

    def looks(self, until: object = None) -> Mapping[str, Look]:
        return self._looks


@pytest.mark.parametrize(
    ("kind", "data", "summary"),
    [
        (EntryKind.SCANNED, SCAN, "in_sync at cccccccccc, decision none"),
        (
            EntryKind.SCANNED,
            {**SCAN, "verdict": "unknown", "error": {"kind": "denied", "message": "m"}},
            "unknown (denied) at cccccccccc, decision none",
        ),
        (EntryKind.BASELINE_MOVED, {"commit": "c" * 40, "origin": "apply"}, "to cccccccccc, apply"),
        (EntryKind.RUN_STARTED, {"commit": "c" * 40, "environments": ["a"]}, "1 environment at cccccccccc"),
        (EntryKind.RUN_FINISHED, {"summary": {"in_sync": 2, "drifted": 0, "restive": 1}}, "2 in_sync, 1 restive"),
        (
            EntryKind.ATTEMPT_OPENED,
            {**ATTEMPT, "data": {"approved": ["merged"], "approved_by": [{"commit": "d" * 40, "author": "Ada"}]}},
            "open; commit cccccccccc; merged; dddddddddd by Ada",
        ),
        (
            EntryKind.ATTEMPT_OPENED,
            {**ATTEMPT, "data": {"planned": {"b.y": ["delete", "create"], "a.x": ["update"]}}},
            "open; commit cccccccccc; a.x update, b.y delete+create",
        ),
        (
            EntryKind.ATTEMPT_PROGRESS,
            {**ATTEMPT, "data": {"resource": {"a.x": "done"}}},
            "open; commit cccccccccc; a.x done",
        ),
        (
            EntryKind.ATTEMPT_FINISHED,
            {**ATTEMPT, "data": {"reason": "died", "error": {"kind": "plan", "message": "no"}}},
            "open; commit cccccccccc; died; no",
        ),
        (EntryKind.ATTEMPT_FINISHED, {**ATTEMPT, "data": {"error": "no"}}, "open; commit cccccccccc; no"),
        (
            EntryKind.ALERT,
            {"event": "changed", "about": "drift", "severity": "warning", "line": "New: a.x."},
            "changed: drift, warning; New: a.x.",
        ),
        (
            EntryKind.ALERT_DELIVERED,
            {"kind": "message", "sink": "slack", "channel": "#drift"},
            "message to slack #drift",
        ),
        (EntryKind.ALERT_DELIVERED, {"kind": "event", "sink": "stdout", "channel": ""}, "event to stdout"),
        (
            EntryKind.PROPOSAL,
            {"state": "open", "branches": [{"choice": "revert", "name": "b"}], "url": None, "reason": "new"},
            "revert open: b; new",
        ),
        (EntryKind.RETRY_REQUESTED, {"by": ""}, "by an operator"),
        (
            EntryKind.BASELINE_GIVEN,
            {"by": "", "commit": "a" * 40, "reason": "seen"},
            f"{'a' * 10} given as baseline by an operator: seen",
        ),
        (EntryKind.ENVIRONMENT_FORGOTTEN, {"by": "ada"}, "by ada"),
        (EntryKind.RUN_STARTED, {"environments": 7}, ""),
    ],
)
def test_every_kind_of_entry_has_a_summary(kind: EntryKind, data: Mapping[str, Any], summary: str) -> None:
    (entry,) = recent(Journal(kind, data), [], until=None, limit=10)
    assert (entry.summary, entry.data) == (summary, data)


def test_a_scan_of_a_newer_version_keeps_its_fields_in_json() -> None:
    (scan,) = last_scans(Journal(EntryKind.SCANNED, {**SCAN, "owner": "team-a"}), [])
    assert (scan.report.name, scan.commit, scan.row["owner"], scan.row["at"]) == (
        "blue",
        "c" * 40,
        "team-a",
        "2026-11-23T12:00:00Z",
    )


def test_a_scan_that_cannot_be_read_is_an_error_with_its_next_step() -> None:
    with pytest.raises(OperatorError, match=r"The scan of blue .* cannot be read: .* Upgrade driftguard"):
        last_scans(Journal(EntryKind.SCANNED, {**SCAN, "resources": "none"}), [])


def test_each_kind_of_entry_has_a_line_of_its_own() -> None:
    assert set(history._SUMMARIES) == set(EntryKind)


def test_a_look_that_confirms_the_last_report_is_its_newest_and_one_at_an_earlier_report_is_not() -> None:
    look = Look("blue", 1, NOON + timedelta(minutes=5), 3, 0.25)
    (scan,) = last_scans(Journal(EntryKind.SCANNED, SCAN, look), [])
    assert (scan.at, scan.report.checked_by, scan.report.cpu_seconds) == ("2026-11-23T12:05:00Z", "probe", 0.25)
    assert {"at": scan.at, "checked_by": "probe", "cpu_seconds": 0.25}.items() <= scan.row.items()
    (scan,) = last_scans(Journal(EntryKind.SCANNED, SCAN, msgspec.structs.replace(look, sequence=0)), [])
    assert (scan.at, scan.report.checked_by) == ("2026-11-23T12:00:00Z", "plan")
