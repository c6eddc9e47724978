"""The agent with the real pass: one session for each pass, read anew from the tracked commit."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Final

from driftguard import config
from driftguard.adapters.git.repository import head_of, open_repository
from driftguard.adapters.health import HealthServer, Heartbeat, LivenessFile, Metrics
from driftguard.adapters.process import Stop
from driftguard.bootstrap.reading import CONFIG_FILE
from driftguard.bootstrap.session import Session
from driftguard.bootstrap.target import Target
from driftguard.errors import DriftGuardError, UsageError
from driftguard.model import AlertKind, Entry, EntryKind
from driftguard.pipeline.approve.approval_file import folder_of
from driftguard.scheduler import Agent, AgentState, Bell, Cadence, Due, healthy

log = logging.getLogger(__name__)

_DEFAULT_EVERY: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """How the agent runs, as the command line says it.

    Attributes:
        every: wins over the configuration's `agent`; None leaves it to that.
        poll_seconds: between two looks for a new commit.
        health_port: where `/healthz` and `/metrics` are served; None for nowhere.
        liveness_file: written every few seconds, also during a pass, while the health page would say that all is
            well; None for none.
    """

    every: timedelta | None = None
    poll_seconds: float = 60.0
    health_port: int | None = None
    health_address: str = "127.0.0.1"
    liveness_file: Path | None = None


def run_agent(
    target: Target,
    options: AgentOptions,
    *,
    say: Callable[[str], None],
    on_pass: Callable[[Due, Mapping[str, Any]], None],
) -> None:
    """Run passes until SIGTERM or SIGINT; SIGHUP reads everything anew and runs a pass over everything.

    Args:
        say: prints alerts where no other place for them is configured.
        on_pass: is told of each pass, with its JSON report.

    Raises:
        UsageError: the command line or the operator's file is wrong at the start. What is wrong in the tracked commit
            never ends the agent: a commit mends it.
        OperatorError: the health page cannot be served.
    """
    stop, bell, metrics = Stop(), Bell(), Metrics()
    work = _Work(target, options, stop, metrics, say, on_pass)
    work.check()
    watch = _Watch(options, metrics)
    agent = Agent(
        run_pass=work.run,
        head=lambda: head_of(target.repo, target.ref),
        changed=work.changed,
        cadences=work.cadences,
        default=Cadence(every=options.every or _DEFAULT_EVERY),
        wait=bell.wait,
        now=_now,
        poll_seconds=options.poll_seconds,
        on_state=watch.take,
    )

    def end(number: int, frame: FrameType | None) -> None:
        if stop.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        agent.request_stop()
        stop.request()
        bell.ring()

    def reload(number: int, frame: FrameType | None) -> None:
        agent.request_reload()
        bell.ring()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, reload)
    try:
        agent.run()
    finally:
        watch.close()
        work.close()


class _Work:
    """What the agent does: passes, and looking at what a commit changes."""

    def __init__(
        self,
        target: Target,
        options: AgentOptions,
        stop: Stop,
        metrics: Metrics,
        say: Callable[[str], None],
        on_pass: Callable[[Due, Mapping[str, Any]], None],
    ) -> None:
        self._target, self._options, self._stop, self._metrics = target, options, stop, metrics
        self._say, self._on_pass = say, on_pass
        self._opened: Session | None = None

    def check(self) -> None:
        """Raises UsageError for what neither a commit nor time mends; all else is for the loop to live with."""
        own = config.load(
            None,
            source=CONFIG_FILE,
            operator_text=self._target.operator_text(),
            operator_source=str(self._target.config) if self._target.config else None,
        )
        own.ledger.resolve(config.surroundings())
        try:
            open_repository(self._target.repo, config.directories().cache, self._target.ref)
        except UsageError:
            raise
        except DriftGuardError as error:
            log.warning("%s It is tried again.", error)

    def cadences(self) -> Mapping[str, Cadence]:
        """The cadences of the environments that have one; the session that is opened for it serves the next pass."""
        self.close()
        with self._counted():
            self._opened = session = Session(self._target, self._stop)
            top = session.settings.agent
            return {
                environment.name: _cadence(environment.agent)
                for environment in session.environments
                if _says_when(environment.agent) and (environment.agent != top or self._options.every is None)
            }

    def close(self) -> None:
        """Close a session that no pass took."""
        session = self._take()
        if session is not None:
            session.close()

    def run(self, due: Due) -> None:
        """One pass."""
        with self._counted():
            with self._take() or Session(self._target, self._stop) as session:
                for notice in session.notices:
                    log.info("%s", notice)
                chosen = [environment for environment in session.environments if due.covers(environment.name)]
                if not chosen:
                    return
                report = session.run(chosen, acts=True, on_done=lambda done: None, say=self._say)
                self._observe(session, report)
            self._on_pass(due, report)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count whatever makes a pass fail."""
        try:
            yield
        except Exception as error:
            usual = "usage" if isinstance(error, UsageError) else "run"
            self._metrics.failed(usual if isinstance(error, DriftGuardError) else "defect")
            raise

    def changed(self, head: str) -> frozenset[str]:
        """The environments whose closure or approval files at head are not those that were looked at last."""
        with Session(self._target, self._stop) as session:
            last = session.ledger.latest(EntryKind.SCANNED)
            names = frozenset(environment.name for environment in session.environments)
            before = {last[name].data["commit"] for name in names & last.keys()}
            config_then = {session.repository.file(commit, CONFIG_FILE) for commit in before}
            if config_then != {session.repository.file(session.head, CONFIG_FILE)}:
                return names
            hashes = {item["name"]: item["closure_hash"] for item in session.describe(session.environments)}
            approved = {name for name in names & last.keys() if _approval_moved(session, name, last[name])}
        return frozenset(n for n in names if n not in last or last[n].data["closure_hash"] != hashes[n]) | approved

    def _take(self) -> Session | None:
        session, self._opened = self._opened, None
        return session

    def _observe(self, session: Session, report: Mapping[str, Any]) -> None:
        standing = [alert for alert in session.ledger.alerts.standing() if alert.kind is AlertKind.DRIFT]
        self._metrics.observe(
            report,
            drift_since={alert.environment: alert.first_seen_at for alert in standing},
            alerts_sent=report["alerts"]["sent"],
            alerts_waiting=report["alerts"]["waiting"],
            now=_now(),
            environments=[environment.name for environment in session.environments],
        )


class _Watch:
    """Shows how the agent is: the health page and the liveness file."""

    def __init__(self, options: AgentOptions, metrics: Metrics) -> None:
        self._state: AgentState | None = None
        self._heart: Heartbeat | None = None
        self._server: HealthServer | None = None
        file = LivenessFile(options.liveness_file) if options.liveness_file else None
        if options.health_port is not None:
            self._server = HealthServer(options.health_port, metrics, self.healthy, options.health_address)
            log.warning("The health page is served on %s port %d.", options.health_address, self._server.port)
        if file is not None:
            self._heart = Heartbeat(file, lambda: self.healthy()[0], _now)

    def take(self, state: AgentState) -> None:
        """Keep the newest state."""
        self._state = state

    def healthy(self) -> tuple[bool, str]:
        state = self._state
        return healthy(state, _now(), state.longest_interval) if state else (True, "The agent starts.")

    def close(self) -> None:
        if self._heart is not None:
            self._heart.close()
        if self._server is not None:
            self._server.close()


def _approval_moved(session: Session, name: str, last: Entry) -> bool:
    """Whether an environment's approval files at head are others than at the commit that was looked at last."""
    folder = folder_of(name)
    then, now = (
        {path: entry.object_id for path, entry in session.repository.tree(commit).items() if path.startswith(folder)}
        for commit in (last.data["commit"], session.head)
    )
    return then != now


def _says_when(settings: config.Agent) -> bool:
    return settings.every is not None or settings.cron is not None or bool(settings.at)


def _cadence(settings: config.Agent) -> Cadence:
    return Cadence(every=settings.every, cron=settings.cron, at=settings.at, zone=settings.zone)


def _now() -> datetime:
    return datetime.now(UTC)
