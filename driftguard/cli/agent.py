"""The command that runs reconcile on a schedule."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftguard.cli.groups import LogOptions, RepositoryOptions, spread
from driftguard.cli.options import MemoOption, ProbeOption
from driftguard.cli.web import served_beside
from driftguard.errors import UsageError
from driftguard.model.report import RunReport

if TYPE_CHECKING:
    from driftguard.scheduler import DueSet

log = logging.getLogger("driftguard")


@spread
def agent(
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="DURATION", help="Interval between runs. Default: `agent.every`, 15m."),
    ] = None,
    poll: Annotated[
        str, typer.Option("--poll", metavar="DURATION", help="Interval between checks for a new commit.")
    ] = "60s",
    health_port: Annotated[
        int | None,
        typer.Option("--health-port", min=0, max=65535, metavar="PORT", help="Serve /healthz and /metrics here."),
    ] = None,
    health_address: Annotated[
        str, typer.Option("--health-address", metavar="ADDRESS", help="Listen address of the health port.")
    ] = "127.0.0.1",
    liveness_file: Annotated[
        Path | None, typer.Option("--liveness-file", metavar="FILE", help="Write the time here while healthy.")
    ] = None,
    web: Annotated[bool, typer.Option("--web", help="Serve the web view beside the runs, at `web.address`.")] = False,
    *,
    opened: RepositoryOptions,
    probe: ProbeOption = None,
    memo: MemoOption = True,
    logs: LogOptions,
) -> None:
    """Run reconcile on a schedule.

    The first run starts at once, later ones by the schedule. A new commit starts an early run of the environments that
    it changes. SIGTERM and Ctrl-C end the agent in order. SIGHUP reloads the configuration and starts a run. An invalid
    driftguard.yaml in the tracked commit does not end the agent: it logs the error and retries at each new commit.

    Exit codes: 0 stopped by a signal; 1 the start failed; 64 wrong usage or operator's file.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the first run: the configuration is being read just now
    from driftguard.bootstrap.agent import run_agent
    from driftguard.scheduler import AgentOptions

    options = AgentOptions(
        every=_duration("--every", every) if every is not None else None,
        probe=probe is not False,
        poll_seconds=_duration("--poll", poll).total_seconds(),
        health_port=health_port,
        health_address=health_address,
        liveness_file=liveness_file,
    )

    def log_run(due: DueSet, report: RunReport) -> None:
        for warning in report.warnings:
            log.warning("%s", warning)
        if not logs.quiet:
            print(_line(due, report), file=sys.stderr)

    target = opened.target._replace(memo=memo)
    with served_beside(target) if web else nullcontext():
        run_agent(target, options, write=_print_alert, on_run=log_run)


def _line(due: DueSet, report: RunReport) -> str:
    from driftguard.cli.text import counted, outcome

    return f"{report.finished_at} {due.reason}: {counted(len(report.environments))}, {outcome(report)}"


def _print_alert(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _duration(option: str, text: str) -> timedelta:
    from driftguard.config import duration

    found = duration(text)
    if found is None:
        raise UsageError(f"{option} {text!r} is not a duration; write 90s, 15m, 6h or 2d.")
    return found
