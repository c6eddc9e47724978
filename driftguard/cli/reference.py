"""The command-line and decision references, as Markdown, from the code itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from textwrap import fill
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo

from driftguard.cli.application import app
from driftguard.model import ErrorKind
from driftguard.model.reasons import ReasonName

_PROSE_WIDTH: Final = 100
_GENERATED: Final = "Generated from the code by `make docs`."
_BAR: Final = "\\|"  # a bar in a table's cell


def commands() -> str:
    """Every command with its arguments and options, in the order of use, as Markdown."""
    lines = ["# Commands", "", _GENERATED + " `driftguard COMMAND --help` prints the same.", ""]
    for path, function in _commands("driftguard", app):
        lines += [f"## `{path}`", "", _wrapped(function.__doc__ or ""), ""]
        lines += ["| argument or option | meaning |", "| --- | --- |", *_rows(function), ""]
    return "\n".join(lines)


def error_kinds() -> str:
    """A table of every error kind of the verdict `unknown`: its meaning and the next step."""
    return _table("error", [(kind.value, kind.text) for kind in ErrorKind])


def reasons(*, silent: bool, passes: bool) -> str:
    """A table of the reasons of decisions of one sort: their meaning and the next step.

    Args:
        silent: those that only name the permission of an action.
        passes: those that end by themselves soon.
    """
    chosen = [name for name in ReasonName if (name.silent, name.passes) == (silent, passes)]
    return _table("reason", [(name.value, name.text) for name in chosen])


def _table(heading: str, rows: Sequence[tuple[str, str]]) -> str:
    """Names with the first sentence of their text and with the rest of it, which is the next step."""
    lines = [f"| {heading} | meaning | next step |", "| --- | --- | --- |"]
    for name, text in rows:
        meaning, step = next_step(text)
        lines.append(f"| `{name}` | {meaning} | {step or '-'} |")
    return "\n".join([*lines, ""])


def next_step(text: str) -> tuple[str, str]:
    """The first sentence of a text, and the rest of it: the next step, which may be empty."""
    first, dot, rest = text.partition(". ")
    return first + dot.rstrip(), rest


def _wrapped(docstring: str) -> str:
    """A docstring's paragraphs, wrapped for Markdown."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(fill(" ".join(paragraph.split()), _PROSE_WIDTH) for paragraph in paragraphs)


def _commands(path: str, application: typer.Typer) -> Iterator[tuple[str, Callable[..., None]]]:
    """The functions behind an application's commands, with their full names."""
    for command in application.registered_commands:
        if command.callback is not None:
            yield f"{path} {command.name or command.callback.__name__}", command.callback
    for group in application.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(f"{path} {group.name}", group.typer_instance)


def _rows(function: Callable[..., None]) -> Iterator[str]:
    for name, hint in get_type_hints(function, include_extras=True).items():
        if get_origin(hint) is not Annotated:
            continue
        kind, parameter = get_args(hint)[:2]
        if isinstance(parameter, OptionInfo):
            # In an annotation Typer keeps the first name that is given where a default would stand.
            first = [parameter.default] if isinstance(parameter.default, str) else []
            written = ", ".join([*first, *(parameter.param_decls or [])] or [f"--{name}"])
            if not parameter.count and kind is not bool:
                written += " " + (parameter.metavar or "|".join(_choices(kind)) or "VALUE")
        else:
            written = parameter.metavar or name.upper()
            written += "..." if get_origin(kind) is list else ""
            written = f"[{written}]..." if type(None) in get_args(kind) else written
        yield f"| `{written.replace('|', _BAR)}` | {parameter.help} |"


def _choices(kind: Any) -> list[str]:
    return [str(choice.value) for choice in kind] if isinstance(kind, type) and issubclass(kind, StrEnum) else []
