"""What another policy would have decided: `driftguard backtest`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from driftguard.cli.columns import columns
from driftguard.cli.groups import LogOptions, RepositoryOptions, ResultOptions, spread
from driftguard.cli.options import EXIT_DIVERGED, EXIT_IN_SYNC, Format
from driftguard.cli.output import BOLD, emit, emit_json, line_width, styled
from driftguard.errors import UsageError
from driftguard.model.words import plural
from driftguard.printable import printable
from driftguard.report import timestamp

if TYPE_CHECKING:
    from driftguard.model import Decision
    from driftguard.pipeline.backtest import Backtest

_HEADINGS: Final = ("environment", "from", "to", "times", "decided", "would be", "because of")
_MAX_NAMED: Final = 8


@spread
def backtest(
    policy: Annotated[
        str,
        typer.Option("--policy", metavar="FILE", help="A configuration file; BRANCH:PATH reads that of a branch."),
    ],
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="A duration (30d) or a time (RFC 3339). Default: all.")
    ] = None,
    *,
    opened: RepositoryOptions,
    result: ResultOptions,
    log: LogOptions,
) -> None:
    """Show what another policy would have decided.

    Replays the recorded decisions from the facts that the ledger has of each. Changes nothing. Exit code 2 where a
    decision differs.
    """
    from driftguard.bootstrap.session import Session
    from driftguard.other_policy import other_policy
    from driftguard.pipeline.backtest import backtest as replayed

    target, now = opened.target, datetime.now(UTC)
    begin = _since(since, now)
    with Session(target) as session:
        found = replayed(session.ledger, other_policy(target, policy, session.repository), begin, now)
    match result.format:
        case Format.JSON:
            emit_json(_value(found), result.output)
        case Format.MARKDOWN:
            from driftguard.cli.text import markdown_table

            table = f"\n{markdown_table(_HEADINGS, _rows(found))}" if found.differences else ""
            emit("".join(f"{printable(line)}  \n" for line in _lines(found)) + table, result.output)
        case Format.TABLE:
            lines = "".join(f"{printable(line)}\n" for line in _lines(found))
            emit(lines + _table(found, result.output), result.output)
    raise typer.Exit(EXIT_DIVERGED if found.differences else EXIT_IN_SYNC)


def _since(since: str | None, now: datetime) -> datetime | None:
    from driftguard.config.values import duration

    if since is None:
        return None
    length = duration(since)
    if length is not None:
        return now - length
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise UsageError(
            f"--since {since}: expected a duration such as 30d, or a time such as 2026-11-01T12:00Z."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _lines(found: Backtest) -> Iterator[str]:
    """The summary: how many decisions, what they were and would be, and what could not be replayed."""
    begin = f"since {timestamp(found.since)}" if found.since is not None else "recorded"
    yield f"{plural(found.replayed, 'decision')} {begin}, replayed under {found.policy}."
    yield f"Decided: {_counts(found.decided)}. Would be: {_counts(found.would)}."
    differing = sum(each.times for each in found.differences)
    yield f"{plural(differing, 'decision')} would be another one." if differing else "No decision would be another one."
    for left in found.left_out:
        more = f" and {len(left.environments) - _MAX_NAMED} more" if len(left.environments) > _MAX_NAMED else ""
        names = ", ".join(left.environments[:_MAX_NAMED])
        yield f"Not replayed: {plural(left.count, 'decision')}, {left.why}: {names}{more}."


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {action}" for action, count in counts.items()) or "nothing"


def _rows(found: Backtest) -> list[tuple[str, ...]]:
    return [
        (
            each.environment,
            timestamp(each.first_at),
            timestamp(each.last_at),
            str(each.times),
            each.decided.action.value,
            each.replayed.action.value,
            "; ".join(map(str, each.replayed.reasons)),
        )
        for each in found.differences
    ]


def _table(found: Backtest, output: Path | None) -> str:
    if not found.differences:
        return ""
    first, lines = columns(_HEADINGS, _rows(found), line_width(output))
    return "\n".join(["", styled(first, BOLD, output), *lines]) + "\n"


def _value(found: Backtest) -> Mapping[str, Any]:
    return {
        "policy": found.policy,
        "since": None if found.since is None else timestamp(found.since),
        "until": timestamp(found.until),
        "replayed": found.replayed,
        "decided": found.decided,
        "would_be": found.would,
        "differences": [
            {
                "environment": each.environment,
                "first_at": timestamp(each.first_at),
                "last_at": timestamp(each.last_at),
                "times": each.times,
                "decided": _decision(each.decided),
                "would_be": _decision(each.replayed),
            }
            for each in found.differences
        ],
        "not_replayed": [
            {"why": str(left.why), "count": left.count, "environments": list(left.environments)}
            for left in found.left_out
        ],
    }


def _decision(decision: Decision) -> Mapping[str, Any]:
    return {"action": decision.action.value, "reasons": list(map(str, decision.reasons))}
