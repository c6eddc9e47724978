"""The command line: arguments in, results on standard output, progress on standard error, the contract's exit codes."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings

import typer

from driftguard.cli.application import EXIT_FAILED, EXIT_USAGE, app
from driftguard.errors import DriftGuardError, UsageError
from driftguard.sealed import mask

# Typer brings a click of its own; this is its error for a wrong command line.
_WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]


class _MaskedFormatter(logging.Formatter):
    """Log lines in which no credential can be read, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; never returns.

    Whatever goes wrong ends as one sentence on standard error: 64 for wrong usage or configuration, 1 otherwise.
    """
    warnings.simplefilter("ignore")
    handler = logging.StreamHandler()
    handler.setFormatter(_MaskedFormatter("%(asctime)s %(name)s %(message)s"))
    logging.getLogger("driftguard").addHandler(handler)
    try:
        code = app(args=arguments, standalone_mode=False)
        sys.stdout.flush()
    except typer.Exit as error:
        code = error.exit_code
    except _WrongUsage as error:
        message = str(getattr(error, "message", error)).rstrip(".")
        _complain(f"{message}. `driftguard COMMAND --help` shows what there is.")
        code = EXIT_USAGE
    except UsageError as error:
        _complain(str(error))
        code = EXIT_USAGE
    except DriftGuardError as error:
        _complain(str(error))
        code = EXIT_FAILED
    except (KeyboardInterrupt, typer.Abort):
        _complain("Interrupted; nothing more was done.")
        code = EXIT_FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except OSError as error:
        _complain(f"{error.filename or 'The system'}: {error.strerror or error}.")
        code = EXIT_FAILED
    except Exception as error:  # a defect: its traceback goes through the mask, as nobody knows what it holds
        logging.getLogger("driftguard").debug("defect", exc_info=True)
        _complain(f"a defect in DriftGuard ({type(error).__name__}: {error}); run with -v and report what it prints.")
        code = EXIT_FAILED
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> None:
    print(f"driftguard: {mask(message)}", file=sys.stderr)


__all__ = ["main"]
