"""Commands that plan: scan and reconcile."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from driftguard.cli.groups import RepositoryOptions, spread
from driftguard.cli.options import (
    MemoOption,
    Names,
    NoiseOption,
    OutputOption,
    ProbeOption,
    QuietOption,
    RunFormat,
    RunFormatOption,
    VerboseOption,
    set_verbosity,
)
from driftguard.cli.output import emit, emit_json, emit_rich, exit_code
from driftguard.sealed import mask

if TYPE_CHECKING:
    from driftguard.adapters.process import Stop
    from driftguard.model.report import RunReport

log = logging.getLogger(__name__)

_MAX_SUMMARY_CHARACTERS: Final = 500_000  # GitHub refuses more than a mebibyte

BaselineOption = Annotated[
    str | None,
    typer.Option("--baseline", metavar="COMMIT", help="Last known-good commit. Default: the ledger's."),
]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options that scan and reconcile share, besides the repository."""

    probe: ProbeOption = None
    memo: MemoOption = True
    noise: NoiseOption = False
    format: RunFormatOption = RunFormat.TABLE
    output: OutputOption = None
    verbose: VerboseOption = 0
    quiet: QuietOption = False


@spread
def scan(
    env: Names = None,
    *,
    opened: RepositoryOptions,
    baseline: BaselineOption = None,
    options: RunOptions,
) -> None:
    """Find drift and pending changes; change nothing.

    One run: plan, classify, record, report. Changes nothing in the cloud or in git.

    Exit codes: 0 every environment in sync; 2 at least one drifted, pending or diverged; 1 at least one unknown;
    64 wrong usage or configuration.
    """
    request = _Request(env or [], opened, options, baseline=baseline, probe=options.probe is True)
    _run_and_print(request, acts=False, print_alert=_printer(aside=True))


@spread
def reconcile(
    env: Names = None,
    *,
    opened: RepositoryOptions,
    options: RunOptions,
) -> None:
    """Scan, then alert, propose or apply.

    One run of the whole job: scan, decide, send alerts, open proposals, apply what is approved.

    Exit codes: 0 every environment in sync when it ends; 2 divergence remains; 1 at least one unknown; 64 wrong usage
    or configuration.
    """
    # A machine-readable result stays free of alerts.
    aside = options.format is not RunFormat.TABLE and options.output is None
    request = _Request(env or [], opened, options, baseline=None, probe=options.probe is not False)
    _run_and_print(request, acts=True, print_alert=_printer(aside=aside))


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments that scan and reconcile share."""

    environments: list[str]
    opened: RepositoryOptions
    options: RunOptions
    baseline: str | None
    probe: bool


def _run_and_print(request: _Request, *, acts: bool, print_alert: Callable[[str], None]) -> NoReturn:
    options = request.options
    set_verbosity(options.verbose)
    report = _run(request, acts=acts, print_alert=print_alert)
    print_report(report, options.format, options.output, options.noise)
    raise typer.Exit(exit_code(report))


def _run(request: _Request, *, acts: bool, print_alert: Callable[[str], None]) -> RunReport:
    """One run with progress; its report."""
    from driftguard.adapters.process import Stop
    from driftguard.bootstrap.session import Session
    from driftguard.cli.progress import Reporter
    from driftguard.cli.text import counted
    from driftguard.coverage import with_uncovered
    from driftguard.prediction import with_causes

    stop = Stop()
    _stop_on_signals(stop)
    with Reporter(quiet=request.options.quiet) as progress:
        progress.line(f"Fetching {mask(request.opened.repo)} ...")
        with Session(request.opened.target._replace(memo=request.options.memo), stop) as session:
            chosen = session.select(request.environments)
            for notice in session.notices:
                progress.line(f"note: {notice}")
            progress.line(f"Planning {counted(len(chosen))} at {session.head[:10]} ({session.repository.ref}) ...")
            progress.begin(len(chosen))
            report = session.run(
                chosen,
                acts=acts,
                baseline=request.baseline,
                noise=request.options.noise,
                probe=request.probe,
                on_done=lambda done: progress.done(done.name, done.verdict, done.seconds.total),
                write=print_alert,
            )
            for warning in report.warnings[len(session.notices) :]:
                progress.line(f"note: {warning}")
            report = with_causes(session, with_uncovered(session, report))
            if report.uncovered:
                named = ", ".join(f"{place.path} ({place.workspace})" for place in report.uncovered[:_MAX_PLACES])
                progress.line(f"note: no entry of `environments` covers {len(report.uncovered)}: {named}")
            return report


_MAX_PLACES: Final = 5


def _printer(*, aside: bool) -> Callable[[str], None]:
    """A sink for alerts without another one: standard output, or standard error (`aside`)."""

    def print_alert(text: str) -> None:
        stream = sys.stderr if aside else sys.stdout
        stream.write(text)
        stream.flush()

    return print_alert


def print_report(report: RunReport, format: RunFormat, output: Path | None, noise: bool) -> None:
    """Print a run, and add it to the summary page of its CI job if there is one."""
    from driftguard.cli.summary import markdown
    from driftguard.cli.text import print_run

    _add_to_job_summary(report)
    match format:
        case RunFormat.JSON:
            emit_json(report, output)
        case RunFormat.JUNIT:
            from driftguard.cli.junit import junit

            emit(junit(report), output)
        case RunFormat.MARKDOWN:
            emit(markdown(report), output)
        case RunFormat.TABLE:
            emit_rich(lambda console: print_run(console, report, noise=noise), output)


def _add_to_job_summary(report: RunReport) -> None:
    """Append the run to the summary page of its CI job, if there is one."""
    from driftguard.cli.summary import markdown
    from driftguard.config import summary_page

    page = summary_page()
    if page is None:
        return
    try:
        with page.open("a") as stream:
            stream.write(markdown(report)[:_MAX_SUMMARY_CHARACTERS])
    except OSError as error:
        log.warning("The job's summary %s could not be written: %s.", page, error.strerror)


def _stop_on_signals(stop: Stop) -> None:
    """Ctrl-C and SIGTERM start nothing new, interrupt and record running plans; a second Ctrl-C ends at once."""

    def request(signum: int, frame: FrameType | None) -> None:
        if stop.requested and signum == signal.SIGINT:
            raise KeyboardInterrupt
        stop.request()

    signal.signal(signal.SIGINT, request)
    signal.signal(signal.SIGTERM, request)
