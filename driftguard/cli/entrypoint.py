"""Runs one command: every failure ends as one sentence on standard error and the contract's exit code."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import warnings
from typing import Final

import typer

from driftguard.cli.application import app
from driftguard.cli.options import EXIT_FAILED, EXIT_USAGE
from driftguard.errors import DriftGuardError, OperatorError, UsageError
from driftguard.printable import printable
from driftguard.sealed import mask

# Typer brings a click of its own; this is that click's error for a wrong command line.
_WRONG_COMMAND_LINE: Final[type[Exception]] = typer.BadParameter.__mro__[1]
# Plans and states are trees of plain values, in which a search for cycles finds nothing: it comes less often than
# with Python's 700, which takes a quarter of the time that a large plan needs.
ALLOCATIONS_PER_COLLECTION: Final = 100_000
_EXIT_BROKEN_PIPE: Final = 128 + signal.SIGPIPE


class _MaskedFormatter(logging.Formatter):
    """Log lines without credentials and without what a terminal would obey, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(mask(super().format(record)), lines=True)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; never returns.

    Args:
        arguments: the command line without the program's name; None for this process's own.

    Raises:
        SystemExit: always. 64 for wrong usage or configuration, 1 for any other failure.
    """
    warnings.simplefilter("ignore")
    gc.set_threshold(ALLOCATIONS_PER_COLLECTION)
    _log_to_standard_error()
    try:
        code = app(args=arguments, prog_name="driftguard", standalone_mode=False)
        sys.stdout.flush()
    except typer.Exit as error:
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted; nothing more was done.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _EXIT_BROKEN_PIPE
    except _WRONG_COMMAND_LINE as error:
        code = _fail(_wrong_command_line(error), EXIT_USAGE)
    except UsageError as error:
        code = _fail(str(error), EXIT_USAGE)
    except DriftGuardError as error:
        code = _fail(str(error))
    except OSError as error:
        code = _fail(f"{error.filename or 'operating system'}: {error.strerror or error}.")
    except Exception as error:  # noqa: BLE001 - the boundary of the command line: a defect ends as one sentence, too
        code = _fail(_defect(error))
    sys.exit(code if isinstance(code, int) else 0)


def _wrong_command_line(error: Exception) -> str:
    """What is wrong with a command line, by the option where one has a wrong value."""
    # A missing option has its text in `format_message` alone.
    message = str(getattr(error, "message", "") or getattr(error, "format_message", error.__str__)())
    message = message.strip().removesuffix(".")
    if message.startswith("Value error, "):  # Typer's own, which does not name the option
        options = getattr(getattr(error, "param", None), "opts", ["value"])
        message = f"{options[0]}: {message.removeprefix('Value error, ')}"
    end = "" if message.endswith("?") else "."
    return f"{message}{end} `driftguard COMMAND --help` lists the options."


def _log_to_standard_error() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_MaskedFormatter("%(asctime)s %(name)s %(message)s"))
    logging.getLogger("driftguard").addHandler(handler)


def _defect(error: Exception) -> str:
    """Write the log of a defect into the state folder; one sentence that names it."""
    from driftguard.adapters.defects import FolderDefects
    from driftguard.config import directories

    try:
        folder = directories().state
    except OperatorError as fault:  # no state folder
        return f"A defect in DriftGuard ({type(error).__name__}). No log was written: {fault}"
    return FolderDefects(folder / "defects").write(error, "the command line")


def _fail(message: str, code: int = EXIT_FAILED) -> int:
    print(f"driftguard: {printable(mask(message), lines=True)}", file=sys.stderr)
    return code
