"""Checks of everything a run needs, each with what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from driftguard import config
from driftguard.adapters.machine import environments_at_a_time
from driftguard.adapters.terraform.tool import find_tool
from driftguard.bootstrap import Session, Target
from driftguard.bootstrap.alerting import channels, places_in_words, send_test
from driftguard.bootstrap.credentials import Credentials
from driftguard.bootstrap.session import SystemClock
from driftguard.errors import DriftGuardError
from driftguard.model import Severity

_MOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is in order, and what was found or what to do."""

    what: str
    good: bool
    detail: str


def examine(repo: str, ref: str | None, operator_file: Path | None, *, slack: bool = False) -> Iterator[Finding]:
    """Run every check that is still possible after the ones before it.

    Args:
        slack: send a test message to every channel that alerts may go to.
    """
    environ = config.surroundings()
    yield _check("git", lambda: shutil.which("git", path=environ.get("PATH")) or _missing("install git 2.30 or newer"))
    yield _check("terraform", lambda: _tool(environ))
    yield _check("folders", _folders)
    sessions: list[Session] = []

    def open_session() -> str:
        session = Session(Target(repo, ref, operator_file))
        sessions.append(session)
        return f"{session.repository.display}, branch {session.repository.ref} at {session.head[:10]}"

    yield _check("repository", open_session)
    for session in sessions:
        yield from _examine_session(session, slack=slack)
    yield Finding("at a time", True, f"{environments_at_a_time()} environments, by this machine's cores and memory")


def _examine_session(session: Session, *, slack: bool) -> Iterator[Finding]:
    with session:
        yield _check("environments", lambda: ", ".join(e.name for e in session.environments))
        yield _check("closures", lambda: _closures(session))
        yield _check("ledger", lambda: _ledger(session))
        for notice in session.notices:
            yield Finding("configuration", True, notice)
        if session.settings.forge is not None:
            yield _check("forge", session.probe_forge)
        yield from _alerts(session, slack=slack)


def _alerts(session: Session, *, slack: bool) -> Iterator[Finding]:
    """Where alerts go, and whether CloudTrail can say who did it; without it alerts only say less."""
    yield Finding("alerts", True, places_in_words(session.settings))
    for channel in channels(session.settings) if slack else ():
        yield _check(f"Slack {channel}", partial(send_test, session.settings, session.environ, channel))
    try:
        environments = session.environments
    except DriftGuardError:  # as a check before this one says
        return
    for untold in _without_route(session.settings, [environment.name for environment in environments]):
        yield Finding("routes", True, untold)
    if session.settings.alerts.trail:
        for region, found in Credentials("doctor", SystemClock(), session.environ).trail_probes(environments):
            yield Finding(f"CloudTrail {region}", True, found)


def _without_route(settings: config.Settings, names: Sequence[str]) -> Iterator[str]:
    """Environments whose alerts are not shown in Slack; that may be meant so."""
    slack = settings.slack
    if slack is None or slack.webhook_env is not None:  # which has no routes
        return
    untold: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        lacking = tuple(s.value for s in (Severity.WARNING, Severity.CRITICAL) if slack.route(name, s.value) is None)
        untold.setdefault(lacking, []).append(name)
    told = "only the JSON webhook is told" if settings.alerts.webhook else "they are not told"
    for lacking, lost in untold.items():
        if lacking:
            which = f"{lacking[0]} alerts" if len(lacking) == 1 else "alerts"
            more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
            yield f"{which} of {', '.join(lost[:_MOST_NAMED])}{more} have no route in slack.routes, so {told}"


def _check(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (DriftGuardError, OSError) as error:
        return Finding(what, False, str(error))


def _missing(advice: str) -> str:
    raise DriftGuardError(f"not found; {advice}")


def _tool(environ: dict[str, str]) -> str:
    tool = find_tool("auto", environ.get("PATH", ""))
    return f"{tool} ({tool.path})"


def _folders() -> str:
    found = config.directories()
    for folder in (found.cache, found.state):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    return f"{found.cache} (may be deleted at any time), {found.state} (must not)"


def _closures(session: Session) -> str:
    described = session.describe(session.environments)
    warnings = [warning for item in described for warning in item["warnings"]]
    files = sum(len(item["files"]) for item in described)
    return " ".join([f"{files} files.", *warnings])


def _ledger(session: Session) -> str:
    faults = session.ledger.verify()
    if faults:
        raise DriftGuardError(f"the chain does not hold at entry {faults[0].sequence}: {faults[0].message}")
    return "readable, and its chain holds"
