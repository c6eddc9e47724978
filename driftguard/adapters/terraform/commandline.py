"""Terraform's command line: arguments by python-terraform, the process under our own control, verbs by need."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Final

import python_terraform

from driftguard.adapters.process import Completed, Stop, run
from driftguard.errors import EnvironmentFault, SafetyRefusal
from driftguard.model import ErrorKind
from driftguard.ports import WorkingDirectory

# Commands that change neither a cloud nor a state; `plan` takes no lock unless it is asked to.
READING: Final = frozenset({"init", "plan", "show", "state pull", "providers schema", "fmt", "workspace list"})
APPLYING: Final = frozenset({"apply", "force-unlock"})
_HOW: Final = ("on_line", "stdout_file", "on_start", "grace_seconds", "kill")


class _Arguments(python_terraform.Terraform):  # type: ignore[misc]
    """Builds arguments. It is never kept: the library's class can run every command that there is."""

    def read_state_file(self, file_path: str | None = None) -> None:
        """Nothing: the base class would keep the state, with its secrets, in memory."""


class CommandLine:
    """Runs some of the commands of a Terraform-compatible program.

    Args:
        path: the program.
        verbs: the commands that may be run; SafetyRefusal for any other.

    Attributes:
        cpu_seconds: of all commands so far.
    """

    def __init__(self, path: str, verbs: Set[str]) -> None:
        self._path, self._verbs = path, frozenset(verbs)
        self.cpu_seconds = 0.0

    def arguments(self, cmd: str, *args: str, **options: Any) -> list[str]:
        """The program and its arguments."""
        builder = _Arguments(terraform_bin_path=self._path, is_env_vars_included=False)
        arguments: list[str] = builder.generate_cmd_string(cmd, *args, **options)
        return arguments

    def cmd(
        self, cmd: str, *args: str, work: WorkingDirectory, stop: Stop, extra: Mapping[str, str], **options: Any
    ) -> Completed:
        """Run one command in a working directory.

        Args:
            extra: environment variables on top of the working directory's own.
            options: Terraform's options with underscores, and those of `process.run` for how it is run.
        """
        if cmd not in self._verbs:
            raise SafetyRefusal(f"`{cmd}` is not a command that may be run here; nothing was changed.")
        how = {name: options.pop(name) for name in _HOW if name in options}
        arguments = self.arguments(cmd, *args, **options)
        try:
            done = run(
                arguments,
                directory=work.directory,
                environment={**work.environment, **extra},
                timeout_seconds=work.timeout_seconds,
                stop=stop,
                die_with_us=True,  # an orphaned Terraform would leave its providers, or a lock
                **how,
            )
        except OSError as error:
            raise EnvironmentFault(
                ErrorKind.INTERNAL, f"{arguments[0]} could not be started: {error.strerror}"
            ) from None
        self.cpu_seconds += done.cpu_seconds
        return done
