"""Operators' answers to alerts: acknowledged, or silenced for a while."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import partial
from typing import Protocol

from driftguard.errors import UsageError
from driftguard.model import Acknowledgement, Alert, AlertState, EntryKind, RecordedNotice, Severity
from driftguard.pipeline.alert.lifecycle import acknowledged
from driftguard.pipeline.record import recorded_notices, word_entry
from driftguard.ports import AlertRecord, Clock, Journal, JournalReader


class WordJournal(Journal, JournalReader, Protocol):
    """The journal as operators' words need it."""


class OperatorWords:
    """Journals operators' words on alerts.

    Args:
        by: the operator's name on this machine.
    """

    def __init__(self, journal: WordJournal, alerts: AlertRecord, clock: Clock, by: str) -> None:
        self._journal, self._alerts, self._clock, self._by = journal, alerts, clock, by

    def acknowledge(
        self,
        patterns: Sequence[str],
        until: datetime | None,
        reason: str,
        *,
        only: Collection[str] | None = None,
    ) -> list[str]:
        """Acknowledge the open alerts of environments; the names of those that have one, sorted.

        Args:
            patterns: names or globs.
            only: the ids of the alerts that are meant; None for all of the environments.

        Raises:
            UsageError: none of them has an open alert, or one of them means no environment that was ever scanned.
        """
        standing = {alert.environment for alert in self._alerts.standing() if alert.state is AlertState.OPEN}
        found = sorted(name for name in standing if any(fnmatchcase(name, pattern) for pattern in patterns))
        quiet = _unmatched(standing, patterns)
        unknown = _unmatched(self._scanned(), quiet) if quiet else []
        if unknown or not found:
            what = "no environment that was ever scanned" if unknown else "no alert is open"
            raise UsageError(f"{', '.join(unknown or patterns)}: {what}, so nothing was acknowledged.")
        word = Acknowledgement(self._by, self._clock.now(), reason, until)
        for name in found:
            entries = [word_entry(EntryKind.ACKNOWLEDGED, name, word)]
            self._alerts.record(name, entries, partial(_acknowledged, word, only))
        return found

    def known(self, names: Sequence[str]) -> bool:
        """Whether each of these is the name of an environment that was scanned."""
        return set(names) <= self._scanned()

    def silence(self, names: Sequence[str], until: datetime | None, reason: str) -> None:
        """Send no alert of environments until a time, but for a change to a higher severity than warning."""
        word = Acknowledgement(self._by, self._clock.now(), reason, until, Severity.WARNING)
        self._journal.append(*(word_entry(EntryKind.SILENCED, name, word) for name in names))

    def _scanned(self) -> set[str]:
        return set(self._journal.latest(EntryKind.SCANNED))


def _unmatched(names: Collection[str], patterns: Sequence[str]) -> list[str]:
    return [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]


def _acknowledged(
    word: Acknowledgement, only: Collection[str] | None, alerts: Sequence[Alert]
) -> tuple[Sequence[Alert], Sequence[RecordedNotice]]:
    meant = [a for a in alerts if a.state is AlertState.OPEN and (only is None or a.id in only)]
    followed = [acknowledged(alert, word, f"ack-{word.at.isoformat()}") for alert in meant]
    return [a for f in followed for a in f.alerts], recorded_notices(n for f in followed for n in f.notices)
