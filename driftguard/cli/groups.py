"""Options that belong together, as one parameter of a command each; `spread` makes them options again."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from driftguard.cli.options import (
    ConfigOption,
    Format,
    FormatOption,
    OutputOption,
    QuietOption,
    RefOption,
    RepoOption,
    VerboseOption,
    set_verbosity,
)

if TYPE_CHECKING:
    from driftguard.bootstrap.target import Target


@dataclass(frozen=True, slots=True)
class RepositoryOptions:
    """The repository that a command opens."""

    repo: RepoOption = "."
    ref: RefOption = None
    config: ConfigOption = None

    @property
    def target(self) -> Target:
        """The same for a session."""
        from driftguard.bootstrap.target import Target

        return Target(self.repo, self.ref, self.config)


@dataclass(frozen=True, slots=True)
class Verbosity:
    """What a command logs; made, it is set."""

    verbose: VerboseOption = 0

    def __post_init__(self) -> None:
        set_verbosity(self.verbose)


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What a command prints on standard error; made, it is set."""

    verbose: VerboseOption = 0
    quiet: QuietOption = False

    def __post_init__(self) -> None:
        set_verbosity(self.verbose)


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """The form of a command's result, and where it goes."""

    format: FormatOption = Format.TABLE
    output: OutputOption = None


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose groups of options are options of its own, where the group stands."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        if not is_dataclass(hint):
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameters.append(parameter.replace(annotation=hint, kind=kind))
            continue
        groups[parameter.name] = hint
        parameters += _options(hint)

    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{each.name: given.pop(each.name) for each in fields(group)})
        command(**given)

    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what `inspect` looks for
    return run


def _options(group: Any) -> list[inspect.Parameter]:
    hints, kind = get_type_hints(group, include_extras=True), inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [inspect.Parameter(f.name, kind, default=f.default, annotation=hints[f.name]) for f in fields(group)]
