"""The command line: arguments in, results on standard output, progress on standard error, the contract's exit codes."""

from driftguard.cli.entrypoint import main

__all__ = ["main"]
