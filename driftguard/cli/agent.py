"""The command that runs reconcile on a schedule until it is told to stop."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from driftguard.cli.application import (
    ConfigOption,
    QuietOption,
    RefOption,
    RepoOption,
    VerboseOption,
    app,
    set_verbosity,
)
from driftguard.cli.text import counted, outcome
from driftguard.errors import UsageError

log = logging.getLogger("driftguard")


@app.command()
def agent(
    every: Annotated[
        str | None,
        typer.Option(
            "--every", metavar="DURATION", help="A pass every so often. [default: `agent` of the settings, 15m]"
        ),
    ] = None,
    poll: Annotated[
        str, typer.Option("--poll", metavar="DURATION", help="Look for a new commit every so often.")
    ] = "60s",
    health_port: Annotated[
        int | None,
        typer.Option("--health-port", min=0, max=65535, metavar="PORT", help="Serve /healthz and /metrics here."),
    ] = None,
    health_address: Annotated[
        str, typer.Option("--health-address", metavar="ADDRESS", help="The address for that.")
    ] = "127.0.0.1",
    liveness_file: Annotated[
        Path | None, typer.Option("--liveness-file", metavar="FILE", help="Write the time here while all is well.")
    ] = None,
    repo: RepoOption = ".",
    ref: RefOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Run reconcile on a schedule until told to stop (pull strategy).

    A pass at once, then by the clock; a new commit wakes it early, for the environments that it changes. SIGTERM and
    Ctrl-C end it in order; SIGHUP reads everything anew and runs a pass. A wrong driftguard.yaml in the tracked commit
    does not end it: it says so and looks again at each new commit. Exit codes: 0 told to stop; 1 it could not start;
    64 wrong usage or operator's file.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until passes begin: everything is read anew just now
    from driftguard.bootstrap import Target
    from driftguard.bootstrap.agent import AgentOptions, run_agent

    set_verbosity(verbose)
    options = AgentOptions(
        every=_duration("--every", every) if every is not None else None,
        poll_seconds=_duration("--poll", poll).total_seconds(),
        health_port=health_port,
        health_address=health_address,
        liveness_file=liveness_file,
    )

    def told(due: Any, report: Mapping[str, Any]) -> None:
        for warning in report["warnings"]:
            log.warning("%s", warning)
        if not quiet:
            print(
                f"{report['finished_at']} {due.reason}: {counted(len(report['environments']))}, {outcome(report)}",
                file=sys.stderr,
            )

    run_agent(Target(repo, ref, config), options, say=_say, on_pass=told)


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _duration(option: str, text: str) -> timedelta:
    from driftguard.config import duration

    found = duration(text)
    if found is None:
        raise UsageError(f"{option} {text!r} is not a duration; write it as 90s, 15m, 6h or 2d.")
    return found
