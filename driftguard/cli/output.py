"""Results of a command: text, JSON, Markdown or a table, to standard output or a file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from driftguard.cli.columns import columns
from driftguard.cli.options import EXIT_DIVERGED, EXIT_FAILED, EXIT_IN_SYNC, Format
from driftguard.errors import UsageError
from driftguard.model.report import RunReport
from driftguard.model.words import Verdict

if TYPE_CHECKING:
    from rich.console import Console

BOLD: Final = "1"
CYAN: Final = "36"
_WIDTH_WITHOUT_TERMINAL: Final = 120


def exit_code(report: RunReport) -> int:
    """The contract's exit code of a JSON report: `unknown` outranks divergence."""
    found = {verdict for verdict, count in report.summary.items() if count}
    if Verdict.UNKNOWN in found:
        return EXIT_FAILED
    return EXIT_DIVERGED if found - {Verdict.IN_SYNC} else EXIT_IN_SYNC


def emit(text: str, output: Path | None) -> None:
    """Write text to standard output, or to a file in one step.

    Raises:
        UsageError: the file cannot be written.
    """
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


def emit_rich(render: Callable[[Console], None], output: Path | None) -> None:
    """Print with Rich to standard output, or as plain text into a file.

    Args:
        render: is called with the console to print on.
    """
    from rich.console import Console

    if output is None:
        render(Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL))
        return
    text = StringIO()
    render(Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL, file=text))
    emit(text.getvalue(), output)


def emit_rows(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    value: Mapping[str, Any],
    format: Format,
    output: Path | None,
) -> None:
    """Print rows as a table or Markdown, or the value behind them as JSON."""
    match format:
        case Format.JSON:
            emit_json(value, output)
        case Format.MARKDOWN:
            from driftguard.cli.text import markdown_table

            emit(markdown_table(headings, rows), output)
        case Format.TABLE:
            first, lines = columns(headings, rows, line_width(output))
            emit("\n".join([styled(first, BOLD, output), *lines]) + "\n", output)


def line_width(output: Path | None) -> int:
    """Characters of a line: the terminal's, or 120 where results go elsewhere."""
    terminal = output is None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if terminal else _WIDTH_WITHOUT_TERMINAL


def styled(text: str, code: str, output: Path | None) -> str:
    """Text with a style (an SGR code such as `1` for bold) on a terminal that shows styles; as it is elsewhere."""
    if output is not None or not sys.stdout.isatty():
        return text
    from driftguard.config import surroundings

    variables = surroundings()
    plain = variables.get("NO_COLOR") or variables.get("TERM") in (None, "dumb")
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"
