"""The commands and their options; each is a few lines that call the session and print what it gives."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from driftguard import __version__
from driftguard.errors import UsageError

EXIT_IN_SYNC = 0
EXIT_FAILED = 1
EXIT_DIVERGED = 2
EXIT_USAGE = 64
_WIDTH_ELSEWHERE = 120

app = typer.Typer(
    name="driftguard",
    help="Keeps cloud infrastructure equal to git: tells drift from pending change, attribute by attribute.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


Names = Annotated[list[str] | None, typer.Argument(metavar="[ENV]...", help="Names or globs; default: all.")]
RepoOption = Annotated[str, typer.Option("--repo", metavar="PATH_OR_URL", help="The git repository.")]
RefOption = Annotated[
    str | None, typer.Option("--ref", metavar="BRANCH", help="The tracked branch. [default: the repository's own]")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The operator's own configuration, over the repository's."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How results are printed.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Where results go. [default: standard output]")
]
VerboseOption = Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more on standard error.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")]
NoiseOption = Annotated[bool, typer.Option("--noise", help="Also fetch and show differences without meaning.")]


def set_verbosity(verbose: int) -> None:
    """-v shows what is run and how it ends."""
    logging.getLogger("driftguard").setLevel(logging.DEBUG if verbose else logging.WARNING)


def exit_code(report: Mapping[str, Any]) -> int:
    """The contract's exit code of a JSON report: unknown wins over divergence."""
    summary = report["summary"]
    if summary["unknown"]:
        return EXIT_FAILED
    return EXIT_DIVERGED if summary["drifted"] + summary["pending"] + summary["diverged"] else EXIT_IN_SYNC


def emit(text: str, output: Path | None) -> None:
    """Write results to a file, whole or not at all, or to standard output."""
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    scratch = output.with_name(f".{output.name}.part")
    try:
        scratch.write_text(text)
        scratch.replace(output)
    except OSError as error:
        raise UsageError(f"--output {output}: {error.strerror}.") from None


def emit_json(value: Any, output: Path | None) -> None:
    """Write a JSON value, indented by two."""
    emit(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n", output)


def to_text(render: Any, output: Path | None) -> None:
    """Print with Rich to standard output, or as plain text into a file.

    Args:
        render: called with the console to print on.
    """
    if output is None:
        render(Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_ELSEWHERE))
        return
    text = StringIO()
    render(Console(highlight=False, width=_WIDTH_ELSEWHERE, file=text))
    emit(text.getvalue(), output)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"driftguard {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        raise UsageError("no command given. `driftguard --help` lists them; `driftguard scan` is where to start.")


# The commands register themselves on the application.
from driftguard.cli import agent, keeping, looking, running, setting_up  # noqa: E402, F401
