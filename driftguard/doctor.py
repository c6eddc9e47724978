"""Checks of everything a run needs, each with what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from driftguard import config
from driftguard.adapters.machine import environments_at_a_time
from driftguard.adapters.tool import find_tool
from driftguard.bootstrap import Session, Target
from driftguard.bootstrap.alerting import channels, places_in_words, send_test
from driftguard.bootstrap.credentials import Credentials
from driftguard.bootstrap.session import SystemClock
from driftguard.errors import DriftGuardError


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
        yield from _alerts(session, slack=slack)


def _alerts(session: Session, *, slack: bool) -> Iterator[Finding]:
    """Where alerts go, and whether CloudTrail can say who did it; without it alerts only say less."""
    yield Finding("alerts", True, places_in_words(session.settings))
    for channel in channels(session.settings) if slack else ():
        yield _check(f"Slack {channel}", partial(send_test, session.settings, session.environ, channel))
    if session.settings.alerts.trail:
        for region, found in Credentials("doctor", SystemClock(), session.environ).trail_probes(session.environments):
            yield Finding(f"CloudTrail {region}", True, found)


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
