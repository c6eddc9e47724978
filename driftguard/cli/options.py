"""Arguments and options that several commands share, and the exit codes of the contract."""

from __future__ import annotations

import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

EXIT_IN_SYNC: Final = 0
EXIT_FAILED: Final = 1
EXIT_DIVERGED: Final = 2
EXIT_USAGE: Final = 64


class Format(StrEnum):
    """Output formats of a command's result."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


class RunFormat(StrEnum):
    """Output formats of a run."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    JUNIT = "junit"


Names = Annotated[list[str] | None, typer.Argument(metavar="ENV", help="Names or globs. Default: all.")]
RequiredNames = Annotated[list[str], typer.Argument(metavar="ENV", help="Names or globs.")]
RepoOption = Annotated[str, typer.Option("--repo", metavar="PATH_OR_URL", help="The git repository.")]
RefOption = Annotated[
    str | None, typer.Option("--ref", metavar="BRANCH", help="The tracked branch. Default: the repository's own.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The operator's file; it overrides the repository's."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="Output format.")]
RunFormatOption = Annotated[RunFormat, typer.Option("--format", help="Output format.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Output file. Default: standard output.")
]
VerboseOption = Annotated[
    int, typer.Option("-v", "--verbose", count=True, show_default=False, help="Log each step to standard error.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")]
ProbeOption = Annotated[
    bool | None, typer.Option("--probe/--no-probe", help="Plan only what a probe finds changed.", show_default=False)
]
MemoOption = Annotated[
    bool, typer.Option("--memo/--no-memo", help="Keep schemas and validations of providers.", show_default=False)
]
NoiseOption = Annotated[bool, typer.Option("--noise", help="Include differences labelled `noise`.")]


def set_verbosity(verbose: int) -> None:
    """Set the log level: `-v` logs each program that is run, and its exit."""
    logging.getLogger("driftguard").setLevel(logging.DEBUG if verbose else logging.WARNING)
