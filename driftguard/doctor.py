"""Checks of everything that a run needs; a failed check names the next step."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from driftguard import config
from driftguard.adapters.aws.credentials import Credentials
from driftguard.adapters.machine import SystemClock, default_parallelism
from driftguard.adapters.terraform.tool import find_tool
from driftguard.bootstrap.session import Session
from driftguard.bootstrap.sinks import slack_sink
from driftguard.bootstrap.target import Target
from driftguard.config import AlertFacts, EnvironmentSettings
from driftguard.config.placeholders import channel_filled
from driftguard.config.routes import channel_of, is_slack
from driftguard.errors import DriftGuardError
from driftguard.model import Severity
from driftguard.pipeline.alert.routes import SLACK, SLACK_WEBHOOK, STDOUT, WEBHOOK, Routing
from driftguard.prediction import access, predicted

_MAX_NAMES: Final = 20
_TEST: Final = "A test by `driftguard doctor --slack`: alerts of DriftGuard will come here."


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its subject, whether it passed, and the finding or the next step.

    Attributes:
        remedy: the next step, where it does not stand in `detail`.
        environments: the names of those that it concerns.
    """

    what: str
    good: bool
    detail: str
    remedy: str = ""
    environments: tuple[str, ...] = ()


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
    yield Finding("parallelism", True, f"{default_parallelism()} environments, by processors and free memory")


def _examine_session(session: Session, *, slack: bool) -> Iterator[Finding]:
    with session:
        yield _check("environments", lambda: _listed([e.name for e in session.environments]))
        yield from _predicted(session)
        yield _check("ledger", lambda: _ledger(session))
        for shortcoming in _shortcomings(session):
            yield Finding("ledger", False, shortcoming)
        for notice in session.notices:
            yield Finding("configuration", notice not in session.settings.refused, notice)
        if session.settings.forge is not None:
            yield _check("forge", lambda: session.opened_forge().probe())
        yield from _alerts(session, slack=slack)


def _alerts(session: Session, *, slack: bool) -> Iterator[Finding]:
    """The sinks and routes of alerts, and the access to CloudTrail, without which alerts name no author."""
    yield Finding("alerts", True, _sinks_in_words(session.settings))
    yield from (Finding("sinks", False, sentence) for sentence in session.outages())
    environments: Sequence[EnvironmentSettings] = ()
    with suppress(DriftGuardError):  # reported by the check of the environments
        environments = session.environments
    for channel in _channels(session.settings, environments) if slack else ():
        yield _check(f"Slack {channel}", partial(_send_test, session, channel))
    for missing in _missing_routes(session.settings, [environment.name for environment in environments]):
        yield Finding("routes", True, missing)
    if session.settings.alerts.trail:
        for region, found in Credentials("doctor", SystemClock(), session.environ).trail_probes(environments):
            yield Finding(f"CloudTrail {region}", True, found)


def _send_test(session: Session, channel: str) -> str:
    """Send a test message; one line about how it went."""
    assert session.settings.slack is not None  # there is a channel
    return slack_sink(session.settings.slack, session.environ).test(channel, _TEST)


def _channels(settings: config.Settings, environments: Sequence[EnvironmentSettings] = ()) -> tuple[str, ...]:
    """Every Slack channel that alerts may go to, in the order of the configuration.

    Args:
        environments: those for which placeholders are filled in; without any they stay.
    """
    slack = settings.slack
    if slack is None:
        return ()
    if slack.webhook_env:
        return ("webhook",)
    routed = [each for route in Routing(settings.alerts, slack).routes for each in route.sinks if is_slack(each)]
    named = [channel for each in routed for channel in _filled(channel_of(each), environments)]
    named += [reminder.channel for reminder in settings.alerts.reminders if reminder.channel]
    return tuple(dict.fromkeys(named))


def _filled(channel: str, environments: Sequence[EnvironmentSettings]) -> Sequence[str]:
    """A channel for each of some environments; itself without placeholders, and without any environment."""
    found = [channel_filled(channel, environment.placeholders) for environment in environments]
    return [each for each in found if each is not None] if environments else [channel]


def _sinks_in_words(settings: config.Settings) -> str:
    """Where alerts go, in a few words."""
    words = {
        SLACK: f"Slack: {', '.join(_channels(settings))}",
        SLACK_WEBHOOK: "Slack, by an incoming webhook",
        WEBHOOK: "a JSON webhook",
        STDOUT: "standard output, as neither `slack` nor `alerts.webhook` is configured",
    }
    return "; ".join(words.get(sink, f"the sink {sink}") for sink in Routing(settings.alerts, settings.slack).sinks)


def _missing_routes(settings: config.Settings, names: Sequence[str]) -> Iterator[str]:
    """Environments without a Slack route for their alerts; that may be intended."""
    slack = settings.slack
    if slack is None or slack.webhook_env is not None:  # a webhook has no routes
        return
    routing = Routing(settings.alerts, slack)
    without: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        severities = (Severity.WARNING.value, Severity.CRITICAL.value)
        lacking = tuple(s for s in severities if not any(r.takes(AlertFacts(name, s)) for r in routing.routes))
        without.setdefault(lacking, []).append(name)
    consequence = "they go to the JSON webhook only" if settings.alerts.webhook else "they are not sent"
    for lacking, lost in without.items():
        if lacking:
            which = f"{lacking[0]} alerts" if len(lacking) == 1 else "alerts"
            yield f"{which} of {_listed(lost)} have no route in slack.routes: {consequence}"


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


def _predicted(session: Session) -> Iterator[Finding]:
    """What a scan would fail on or could not be certain of, one line for each cause."""
    try:
        total = len(session.environments)
        found = [*predicted(session), *access(session)]
    except DriftGuardError:  # reported by the check of the environments
        return
    for one in found:
        yield Finding(one.check, not one.blocks, one.counted(total), one.remedy, one.environments)
    blocked = {name for one in found if one.blocks for name in one.environments}
    able = f"{total - len(blocked)} of {total} environments can be planned, as far as that is known"
    yield Finding("prediction", not blocked, able)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _shortcomings(session: Session) -> tuple[str, ...]:
    try:
        return session.ledger.shortcomings
    except DriftGuardError:  # reported by the check of the ledger
        return ()


def _ledger(session: Session) -> str:
    faults = session.ledger.verify()
    if faults:
        raise DriftGuardError(f"the hash chain is broken at entry {faults[0].sequence}: {faults[0].message}")
    return "readable; its hash chain is intact"
