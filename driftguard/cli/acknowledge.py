"""Commands by which an operator answers alerts: ack and silence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from driftguard.cli.groups import RepositoryOptions, Verbosity, spread
from driftguard.cli.options import RequiredNames
from driftguard.errors import UsageError

if TYPE_CHECKING:
    from driftguard.bootstrap.target import Target

ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="The reason, kept in the ledger.")]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Its end: a duration (4h, 2d) or a time (RFC 3339). Default: none."),
]


@spread
def ack(
    env: RequiredNames,
    reason: ReasonOption,
    until: UntilOption = None,
    *,
    opened: RepositoryOptions,
    log: Verbosity,
) -> None:
    """Acknowledge the open alerts of environments.

    Stops reminders and escalation, not the record. A worse change ends it, and so does the end of the alert.
    """
    from driftguard.bootstrap.reading import open_words

    end, why = _end(until), _reason(reason)
    with open_words(opened.target) as words:
        for name in words.acknowledge(env, end, why):
            print(f"{name}: acknowledged. Reminders stop until that ends, or until it becomes worse.")


@spread
def silence(
    env: RequiredNames,
    reason: ReasonOption,
    until: UntilOption = None,
    *,
    opened: RepositoryOptions,
    log: Verbosity,
) -> None:
    """Send no alerts of environments for a while.

    The record goes on, and critical alerts are sent all the same. `--until` is required.
    """
    from driftguard.bootstrap.reading import open_words

    end, why = _end(until), _reason(reason)
    if end is None:
        raise UsageError("--until is missing: a silence without an end is forgotten. Give a duration or a time.")
    with open_words(opened.target) as words:
        names = env if words.known(env) else _at_head(opened.target, env)
        words.silence(names, end, why)
    for name in names:
        print(f"{name}: silenced until {end:%Y-%m-%d %H:%M} UTC, but for critical alerts.")


def _at_head(target: Target, patterns: Sequence[str]) -> list[str]:
    """The environments that globs mean, and those that were never scanned. UsageError where one means none."""
    from driftguard.bootstrap.session import Session

    with Session(target) as session:
        return [settings.name for settings in session.select(patterns)]


def _reason(reason: str) -> str:
    if not reason.strip():
        raise UsageError("--reason is empty; write why, for those who read the alert later.")
    return reason.strip()


def _end(until: str | None) -> datetime | None:
    """A moment in UTC, in the future."""
    from driftguard.config.values import duration

    if until is None:
        return None
    now, length = datetime.now(UTC), duration(until)
    if length is not None:
        return now + length
    try:
        end = datetime.fromisoformat(until)
    except ValueError:
        raise UsageError(
            f"--until {until}: expected a duration such as 4h, or a time such as 2027-01-31T18:00Z."
        ) from None
    end = end.replace(tzinfo=UTC) if end.tzinfo is None else end.astimezone(UTC)
    if end <= now:
        raise UsageError(f"--until {until} is past; give a time in the future.")
    return end
