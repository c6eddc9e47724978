"""What operators ask for on the command line: which environments they mean, retries, and environments to forget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Protocol

from driftguard.config import EnvironmentSettings
from driftguard.errors import EnvironmentFault, UsageError
from driftguard.model import (
    Baseline,
    EntryKind,
    ToolVersion,
)
from driftguard.pipeline import history
from driftguard.pipeline.closures import ClosureIndex, closure_hash
from driftguard.pipeline.record import (
    baseline_given_entry,
    baseline_moved_entry,
    request_entry,
)
from driftguard.ports import Baselines, Clock, Journal, JournalReader


class RequestLedger(Journal, JournalReader, Baselines, Protocol):
    """The ledger as requests need it."""


def selected(
    environments: Sequence[EnvironmentSettings], patterns: Sequence[str], head: str
) -> tuple[EnvironmentSettings, ...]:
    """The environments that match one of the names or globs; all without any.

    Raises:
        UsageError: one of them matches nothing.
    """
    names = [environment.name for environment in environments]
    unmatched = _unmatched(names, patterns)
    if unmatched:
        raise UsageError(f"no environment is called {unmatched} at {head[:10]}; there are: {', '.join(names)}.")
    wanted = patterns or ["*"]
    return tuple(e for e in environments if any(fnmatchcase(e.name, pattern) for pattern in wanted))


def _unmatched(names: Iterable[str], patterns: Sequence[str]) -> str:
    known = list(names)
    return ", ".join(p for p in patterns if not any(fnmatchcase(name, p) for name in known))


def given_baselines(
    closures: ClosureIndex,
    environments: Sequence[EnvironmentSettings],
    commit: str,
    tool: Callable[[EnvironmentSettings], ToolVersion],
    now: datetime,
) -> dict[str, Baseline]:
    """The baselines that a commit would be, by environment; without those that it does not have whole.

    Args:
        tool: gives an environment's Terraform, or raises EnvironmentFault.
    """
    given = {}
    for settings in (each for each in environments if each.fault is None):
        with suppress(EnvironmentFault):
            if found := _given_baseline(closures, settings, commit, tool(settings), now):
                given[settings.name] = found
    return given


def _given_baseline(
    closures: ClosureIndex, settings: EnvironmentSettings, commit: str, tool: ToolVersion, now: datetime
) -> Baseline | None:
    """None where its directory did not exist then; EnvironmentFault where the commit does not have it whole."""
    closure = closures.at(settings, commit)
    if closure is None:
        return None
    found = closure_hash(closure, closures.settings.at(settings, commit) or settings, tool)
    return Baseline(commit, "given", found, None, None, str(tool), {}, now)


class OperatorRequests:
    """Journals what an operator asks for.

    Args:
        by: the operator's name on this machine.
    """

    def __init__(self, ledger: RequestLedger, clock: Clock, by: str) -> None:
        self._ledger, self._clock, self._by = ledger, clock, by

    def retry(self, environments: Sequence[EnvironmentSettings]) -> list[str]:
        """Reset the failures of environments; their names."""
        return self._recorded(EntryKind.RETRY_REQUESTED, [settings.name for settings in environments])

    def forget(self, present: Sequence[EnvironmentSettings], patterns: Sequence[str]) -> list[str]:
        """Report removed environments no more; their names.

        Args:
            present: every environment at head.

        Raises:
            UsageError: a pattern matches no removed environment.
        """
        removed = sorted(history.removed(self._ledger, present))
        unmatched = _unmatched(removed, patterns)
        if unmatched:
            raise UsageError(f"no removed environment is called {unmatched}; removed: {', '.join(removed) or 'none'}.")
        names = [name for name in removed if any(fnmatchcase(name, pattern) for pattern in patterns)]
        return self._recorded(EntryKind.ENVIRONMENT_FORGOTTEN, names)

    def give_baselines(self, baselines: Mapping[str, Baseline], reason: str) -> None:
        """Record baselines by environment on an operator's word: references for labels, never approvals."""
        now = self._clock.now()
        for name, baseline in baselines.items():
            given = baseline_given_entry(now, name, self._by, baseline.commit, reason)
            self._ledger.append(given, baseline_moved_entry("by-hand", now, name, baseline))

    def _recorded(self, kind: EntryKind, names: list[str]) -> list[str]:
        now = self._clock.now()
        self._ledger.append(*(request_entry(kind, now, name, self._by) for name in names))
        return names
