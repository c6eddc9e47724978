"""Commands that plan: scan, reconcile and classify."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console

from driftguard.adapters.process import Stop
from driftguard.cli.application import (
    ConfigOption,
    Format,
    FormatOption,
    Names,
    NoiseOption,
    OutputOption,
    QuietOption,
    RefOption,
    RepoOption,
    VerboseOption,
    app,
    emit,
    emit_json,
    exit_code,
    set_verbosity,
    to_text,
)
from driftguard.cli.progress import Reporter
from driftguard.cli.text import counted, markdown, print_run
from driftguard.errors import UsageError

log = logging.getLogger(__name__)

_LONGEST_SUMMARY = 500_000  # GitHub refuses more than a mebibyte

BaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline", metavar="COMMIT", help="Take this commit as the last known-good one instead of the ledger's."
    ),
]


@app.command()
def scan(
    env: Names = None,
    repo: RepoOption = ".",
    ref: RefOption = None,
    config: ConfigOption = None,
    baseline: BaselineOption = None,
    noise: NoiseOption = False,
    format: FormatOption = Format.TABLE,
    output: OutputOption = None,
    verbose: VerboseOption = 0,
    quiet: QuietOption = False,
) -> None:
    """One pass: plan, classify, record, report. Changes nothing in the cloud or in git.

    Exit codes: 0 every environment in sync; 2 at least one drifted, pending or diverged; 1 at least one unknown;
    64 wrong usage or configuration.
    """
    set_verbosity(verbose)
    report = _pass(env or [], repo, ref, config, acts=False, baseline=baseline, noise=noise, quiet=quiet)
    _print(report, format, output, noise)
    raise typer.Exit(exit_code(report))


@app.command()
def reconcile(
    env: Names = None,
    repo: RepoOption = ".",
    ref: RefOption = None,
    config: ConfigOption = None,
    noise: NoiseOption = False,
    format: FormatOption = Format.TABLE,
    output: OutputOption = None,
    verbose: VerboseOption = 0,
    quiet: QuietOption = False,
) -> None:
    """One pass of the whole job: scan, decide, alert, propose, and apply what is approved.

    Exit codes: 0 every environment in sync when it ends; 2 divergence remains; 1 at least one unknown; 64 wrong usage
    or configuration.
    """
    set_verbosity(verbose)
    aside = format is not Format.TABLE and output is None  # what a program reads stays free of alerts
    report = _pass(
        env or [], repo, ref, config, acts=True, baseline=None, noise=noise, quiet=quiet, say=_say_to(aside=aside)
    )
    _print(report, format, output, noise)
    raise typer.Exit(exit_code(report))


def _pass(
    env: list[str],
    repo: str,
    ref: str | None,
    config: Path | None,
    *,
    acts: bool,
    baseline: str | None,
    noise: bool,
    quiet: bool,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """One pass with progress; the JSON report."""
    from driftguard.bootstrap import Session, Target

    stop = Stop()
    _stop_on_signals(stop)
    with Reporter(quiet=quiet) as progress:
        progress.say(f"Fetching {repo_text(repo)} ...")
        with Session(Target(repo, ref, config), stop) as session:
            chosen = session.select(env)
            for notice in session.notices:
                progress.say(f"note: {notice}")
            progress.say(f"Planning {counted(len(chosen))} at {session.head[:10]} ({session.repository.ref}) ...")
            progress.begin(len(chosen))
            report = session.run(
                chosen,
                acts=acts,
                baseline=baseline,
                noise=noise,
                on_done=lambda done: progress.done(done.name, done.verdict, done.seconds.total),
                say=say or _say_to(aside=True),
            )
            for warning in report["warnings"][len(session.notices) :]:
                progress.say(f"note: {warning}")
            return report


def _say_to(*, aside: bool) -> Callable[[str], None]:
    """What prints alerts where nothing else is configured for them: to standard output, or aside to standard error."""

    def say(text: str) -> None:
        stream = sys.stderr if aside else sys.stdout
        stream.write(text)
        stream.flush()

    return say


@app.command()
def classify(
    plan: Annotated[str, typer.Argument(metavar="PLAN.json", help="`terraform show -json`; `-` reads standard input.")],
    noise: NoiseOption = False,
    format: FormatOption = Format.TABLE,
    output: OutputOption = None,
    verbose: VerboseOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Label a plan that another tool made (`terraform show -json PLANFILE`), without a baseline."""
    from driftguard.bootstrap import classify_text

    set_verbosity(verbose)
    report = classify_text(_read_plan(plan), "standard input" if plan == "-" else plan)
    _print(report, format, output, noise)
    raise typer.Exit(exit_code(report))


def repo_text(repo: str) -> str:
    """A repository's location as it may be printed."""
    from driftguard.sealed import mask

    return mask(repo)


def _read_plan(plan: str) -> bytes:
    if plan == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(plan).read_bytes()
    except OSError as error:
        raise UsageError(
            f"{plan} cannot be read: {error.strerror}. Give the output of `terraform show -json PLANFILE`, or `-`."
        ) from None


def _print(report: dict[str, Any], format: Format, output: Path | None, noise: bool) -> None:
    _summarise(report)
    match format:
        case Format.JSON:
            emit_json(report, output)
        case Format.MARKDOWN:
            emit(markdown(report), output)
        case Format.TABLE:

            def render(console: Console) -> None:
                print_run(console, report, noise=noise)

            to_text(render, output)


def _summarise(report: dict[str, Any]) -> None:
    """Add the run to the page of its CI job, where there is one."""
    from driftguard.config import summary_page

    page = summary_page()
    if page is None:
        return
    try:
        with page.open("a") as stream:
            stream.write(markdown(report)[:_LONGEST_SUMMARY])
    except OSError as error:
        log.warning("The job's summary %s could not be written: %s.", page, error.strerror)


def _stop_on_signals(stop: Stop) -> None:
    """Ctrl-C and SIGTERM: nothing new starts, what runs is interrupted and recorded; a second Ctrl-C ends at once."""

    def request(signum: int, frame: FrameType | None) -> None:
        if stop.requested and signum == signal.SIGINT:
            raise KeyboardInterrupt
        stop.request()

    signal.signal(signal.SIGINT, request)
    signal.signal(signal.SIGTERM, request)
