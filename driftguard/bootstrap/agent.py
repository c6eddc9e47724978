"""The agent of the command line: one session for each run, read anew from the tracked commit."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Final

from driftguard import config
from driftguard.adapters.aws.credentials import Credentials
from driftguard.adapters.defects import FolderDefects
from driftguard.adapters.git.locations import HostToken
from driftguard.adapters.git.repository import head_of, open_repository
from driftguard.adapters.health import HealthServer, Heartbeat, LivenessFile
from driftguard.adapters.metrics import Metrics
from driftguard.adapters.process import Stop
from driftguard.adapters.sql.writing import open_for_words
from driftguard.bootstrap.session import Session
from driftguard.bootstrap.target import Target
from driftguard.errors import DriftGuardError, UsageError
from driftguard.model import AckClick, AlertKind
from driftguard.model.report import AlertCounts, RunReport
from driftguard.pipeline.clicks import Buttons, Clicks
from driftguard.pipeline.commits import LastScans
from driftguard.pipeline.confirming import Watching
from driftguard.pipeline.history import outages
from driftguard.scheduler import (
    Agent,
    AgentOptions,
    AgentWork,
    Cadence,
    DueSet,
    WakeEvent,
    Watch,
    obey_signals,
)

log = logging.getLogger(__name__)

_DEFAULT_EVERY: Final = timedelta(minutes=15)
_PATIENCE: Final = timedelta(minutes=15)
_TERRAFORM_RUNS: Final = 5  # init, plan, the plan under the lock, apply, the plan that verifies it


def run_agent(
    target: Target,
    options: AgentOptions,
    *,
    write: Callable[[str], None],
    on_run: Callable[[DueSet, RunReport], None],
) -> None:
    """Run reconcile on a schedule until SIGTERM or SIGINT; SIGHUP reloads and runs every environment.

    Args:
        write: prints alerts if no other sink is configured.
        on_run: is called after each run, with its JSON report.

    Raises:
        UsageError: the command line or the operator's file is wrong at the start. An error in the tracked commit never
            ends the agent: a commit fixes it.
        OperatorError: the health page cannot be served.
    """
    stop, wake, metrics = Stop(), WakeEvent(), Metrics()
    work = _Work(target, options, stop, metrics, write, on_run, wake)
    work.check()
    watch = _Watch(options, metrics)
    agent = Agent(
        work,
        wake,
        watch,
        FolderDefects(config.directories().state / "defects"),
        default=Cadence(every=options.every or _DEFAULT_EVERY),
        poll_seconds=options.poll_seconds,
    )

    obey_signals(agent, wake, stop)
    try:
        agent.run()
    finally:
        watch.close()
        work.end()


class _Work(AgentWork):
    """The work of the agent: runs, and the environments that a commit changes."""

    def __init__(
        self,
        target: Target,
        options: AgentOptions,
        stop: Stop,
        metrics: Metrics,
        write: Callable[[str], None],
        on_run: Callable[[DueSet, RunReport], None],
        wake: WakeEvent,
    ) -> None:
        self._target, self._options, self._stop, self._metrics = target, options, stop, metrics
        self._write, self._on_run, self._wake = write, on_run, wake
        self._buttons = Buttons(config.surroundings(), _listener, open_for_words, self._acknowledged)
        self._undelivered = False
        self._opened: Session | None = None
        self._token: HostToken | None = None  # kept: a GitHub App's is asked for once an hour
        self._watch_interval: timedelta | None = None
        self._patience, self._watching = _PATIENCE, Watching()

    def check(self) -> None:
        """Raises UsageError for errors that neither a commit nor time fixes; the loop retries all others."""
        self._target.load(None).ledger.resolve(config.surroundings())
        self._token = self._target.git_token()
        try:
            cache = config.directories().cache
            open_repository(self._target.repo, cache, self._target.ref, token=self._token).close()
        except UsageError:
            raise
        except DriftGuardError as error:
            log.warning("%s The agent retries.", error)

    def cadences(self) -> Mapping[str, Cadence]:
        """The cadences of the environments that have one; its session serves the next run."""
        self.close()
        self._opened = session = Session(self._target, self._stop, self._token)
        top = session.settings.agent
        self._buttons.follow(session.settings.slack, session.ledger_url())
        self._watch_interval = top.watch if self._options.probe else None
        self._patience = _PATIENCE + _TERRAFORM_RUNS * max(
            (each.timeout for each in session.environments), default=timedelta()
        )
        own = (e for e in session.environments if e.agent != top or self._options.every is None)
        return {e.name: cadence for e in own if (cadence := Cadence.of(e.agent)) is not None}

    def patience(self) -> timedelta:
        """How long one environment may take: its Terraform runs, and what stands between them."""
        return self._patience

    def watch_interval(self) -> timedelta | None:
        """The time from one look at all environments to the next; None for no watch."""
        return self._watch_interval

    def differing(self) -> frozenset[str]:
        """The environments that a probe finds changed since they were planned."""
        with Session(self._target, self._stop, self._token) as session:
            names, counts = session.differing(self._watching)
        self._metrics.observe_probe(counts)
        return names

    def close(self) -> None:
        """Close a session that no run used."""
        session = self._take()
        if session is not None:
            session.close()

    def end(self) -> None:
        """Give back all that is held."""
        self._buttons.close()
        self.close()

    def _acknowledged(self) -> None:
        self._undelivered = True
        self._wake.set()

    def deliver(self) -> None:
        """Show an acknowledgement in its messages, where one was given since."""
        if self._undelivered:
            self._undelivered = False
            with Session(self._target, self._stop, self._token) as session:
                standing = {alert.environment for alert in session.ledger.alerts.standing()}
                run_id = f"alerts-{secrets.token_hex(4)}"
                credentials = Credentials(run_id, session.ledger.clock, session.environ)
                session.notifier(run_id, credentials, self._write).notify((), standing)

    def run(self, due: DueSet, judged: Callable[[], None]) -> None:
        """One run of the environments that are due."""
        with self._take() or Session(self._target, self._stop, self._token) as session:
            for notice in session.notices:
                log.info("%s", notice)
            chosen = [environment for environment in session.environments if due.covers(environment.name)]
            if not chosen:
                return
            probes = self._options.probe and due.reason != "watch"  # a watch has probed them already
            report = session.run(chosen, acts=True, probe=probes, on_done=lambda done: judged(), write=self._write)
            self._observe(session, report)
        self._on_run(due, report)

    def head(self) -> str | None:
        """The commit at the head of the tracked branch."""
        return head_of(self._target.repo, self._target.ref, self._token)

    def changed(self, head: str) -> frozenset[str]:
        """The environments whose closure or approval files at head differ from those of their last scan."""
        with Session(self._target, self._stop, self._token) as session:
            last = LastScans(session.repository, session.ledger, session.head)
            names = frozenset(environment.name for environment in session.environments)
            if last.file_differs(names, config.CONFIG_FILE):
                return names
            return last.differing({each.name: each.closure_hash for each in session.describe(session.environments)})

    def _take(self) -> Session | None:
        session, self._opened = self._opened, None
        return session

    def _observe(self, session: Session, report: RunReport) -> None:
        alerts = report.alerts or AlertCounts()
        standing = [a for a in session.ledger.alerts.standing() if a.kind is AlertKind.DRIFT and not a.gone]
        self._metrics.observe(
            report,
            drift_since={alert.environment: alert.first_seen_at for alert in standing},
            alerts_sent=alerts.sent,
            alerts_waiting=alerts.waiting,
            outages=outages(session.ledger),
            now=_now(),
            environments=[environment.name for environment in session.environments],
        )


def _listener(app_token: str, bot_token: str, api_url: str, click: Callable[[AckClick], str]) -> Clicks:
    from driftguard.adapters.slack.socket import ButtonListener  # only where it is used: it loads slack-sdk

    return ButtonListener(app_token, bot_token, api_url, click)


class _Watch(Watch):
    """The health page, the metrics and the liveness file."""

    def __init__(self, options: AgentOptions, metrics: Metrics) -> None:
        super().__init__(metrics.failed, _now)
        self._open = ExitStack()
        if options.health_port is not None:
            server = HealthServer(options.health_port, metrics, self.healthy, options.health_address)
            self._open.callback(server.close)
            log.warning("The health page is served on %s port %d.", options.health_address, server.port)
        if options.liveness_file:
            heartbeat = Heartbeat(LivenessFile(options.liveness_file), lambda: self.healthy()[0], _now)
            self._open.callback(heartbeat.close)

    def close(self) -> None:
        self._open.close()


def _now() -> datetime:
    return datetime.now(UTC)
