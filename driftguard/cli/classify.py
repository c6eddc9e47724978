"""Labels for plans that another tool made: `driftguard classify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from driftguard.cli.options import (
    NoiseOption,
    OutputOption,
    QuietOption,
    RunFormat,
    RunFormatOption,
    VerboseOption,
    set_verbosity,
)
from driftguard.cli.output import exit_code
from driftguard.cli.run import print_report
from driftguard.errors import UsageError


def classify(
    plan: Annotated[str, typer.Argument(metavar="PLAN.json", help="`terraform show -json`; `-` for standard input.")],
    schema: Annotated[
        Path | None,
        typer.Option(
            "--schema",
            metavar="FILE",
            help="`terraform providers schema -json` of the same directory: which lists are sets.",
        ),
    ] = None,
    baseline_plan: Annotated[
        Path | None,
        typer.Option("--baseline-plan", metavar="FILE", help="The plan of the last good commit, as JSON."),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", metavar="FILE", help="A secret that makes fingerprints; without it there are none."),
    ] = None,
    ignore: Annotated[
        Path | None, typer.Option("--ignore", metavar="FILE", help="A file with `ignore`: what counts as noise.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A configuration: `ignore`, and with --decide `policy`."),
    ] = None,
    decide: Annotated[bool, typer.Option("--decide", help="Decide by the policy of --config.")] = False,
    noise: NoiseOption = False,
    format: RunFormatOption = RunFormat.TABLE,
    output: OutputOption = None,
    verbose: VerboseOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Label a plan that another tool made.

    Reads the output of `terraform show -json PLANFILE`. With the plan of the last good commit, made against the same
    reality, pending changes are distinguished from those made outside Terraform. Nothing is applied.
    """
    from driftguard.pipeline.foreign_plan import ForeignPlan, classify_text

    set_verbosity(verbose)
    if decide and config is None:
        raise UsageError("--decide needs the policy: give it with --config FILE.")
    given = ForeignPlan(
        text=_read(plan),
        source="standard input" if plan == "-" else plan,
        schemas=_content("--schema", schema),
        baseline=_content("--baseline-plan", baseline_plan),
        key=_content("--key-file", key_file),
        rules=tuple(
            (str(file), _content(option, file) or b"")
            for option, file in (("--ignore", ignore), ("--config", config))
            if file is not None
        ),
        policy_from=str(config) if decide else None,
    )
    report = classify_text(given)
    print_report(report, format, output, noise)
    raise typer.Exit(exit_code(report))


def _read(plan: str) -> bytes:
    from driftguard.pipeline.foreign_plan import MAX_BYTES

    if plan == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        return _beginning(Path(plan))
    except OSError as error:
        raise UsageError(
            f"{plan} cannot be read: {error.strerror}. A plan is the output of `terraform show -json PLANFILE`, or `-`."
        ) from None


def _content(option: str, file: Path | None) -> bytes | None:
    try:
        return None if file is None else _beginning(file)
    except OSError as error:
        raise UsageError(f"{option}: {file} cannot be read: {error.strerror}. Nothing was run.") from None


def _beginning(file: Path) -> bytes:
    """A file, as far as it is read: one byte more than may be."""
    from driftguard.pipeline.foreign_plan import MAX_BYTES

    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)
