"""Reports of environments that cannot even be looked at: removed from git, or lacking something that a plan needs."""

from __future__ import annotations

from driftguard.config import EnvironmentSettings
from driftguard.errors import DriftGuardError, EnvironmentFault
from driftguard.model import Action, Baseline, Decision, Entry, EnvironmentResult, ErrorKind, Fault, Verdict
from driftguard.sealed import mask

_REMOVED = (
    "Its directory was removed from git. Nothing was destroyed, and what it made is still there: destroy it by "
    "hand from an older commit, then run `driftguard forget`."
)


def incomplete(settings: EnvironmentSettings, error: DriftGuardError, baseline: Baseline | None) -> EnvironmentResult:
    """An environment that lacks something: its tool, a var file."""
    fault = Fault(error.kind if isinstance(error, EnvironmentFault) else ErrorKind.CONFIG, mask(str(error)))
    return EnvironmentResult(
        name=settings.name,
        path=settings.path,
        workspace=settings.workspace,
        verdict=Verdict.UNKNOWN,
        closure_hash="",
        baseline=baseline,
        decision=Decision(Action.ALERT, (f"unknown: {fault.kind.value}",)),
        fault=fault,
    )


def removed(name: str, last_scan: Entry, baseline: Baseline | None) -> EnvironmentResult:
    """An environment whose directory is gone from git; the ledger's last scan says what it was."""
    return EnvironmentResult(
        name=name,
        path=last_scan.data["path"],
        workspace=last_scan.data["workspace"],
        verdict=Verdict.UNKNOWN,
        closure_hash=last_scan.data["closure_hash"],
        baseline=baseline,
        decision=Decision(Action.ALERT, ("environment_removed",)),
        fault=Fault(ErrorKind.CONFIG, _REMOVED),
    )
