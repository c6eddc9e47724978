"""Commands that read the ledger and the configuration: environments, status, history and explain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from driftguard.cli.columns import columns
from driftguard.cli.groups import LogOptions, RepositoryOptions, ResultOptions, spread
from driftguard.cli.options import (
    Format,
    Names,
)
from driftguard.cli.output import BOLD, CYAN, emit, emit_rows, line_width, styled
from driftguard.errors import UsageError
from driftguard.model.causes import Faulted, by_cause
from driftguard.model.configuration_sources import remedy
from driftguard.model.findings import PROBE
from driftguard.model.report import AckReport, AttributeReport, EnvironmentListing, EnvironmentReport
from driftguard.model.words import PLAIN_WORDS, Label, code_that_runs, plural, verdict_text
from driftguard.printable import printable
from driftguard.report import shorten

if TYPE_CHECKING:
    from driftguard.pipeline.history import LastScan

AtOption = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="As of this time (RFC 3339: 2026-11-01T12:00:00Z).")
]


_INDENT: Final = "  "


@spread
def environments(
    env: Names = None,
    *,
    opened: RepositoryOptions,
    why_not_probed: Annotated[
        bool, typer.Option("--why-not-probed", help="List what keeps each from being probed.")
    ] = False,
    result: ResultOptions,
    log: LogOptions,
) -> None:
    """List environments and their closures.

    A closure is every file that can change an environment's plan.
    """
    from driftguard.bootstrap.session import Session
    from driftguard.cli.progress import Reporter

    with Session(opened.target) as session:
        chosen = session.select(env or [])
        listed = session.describe(chosen)
        if why_not_probed:
            from driftguard.coverage import not_probed

            pairs = zip(listed, chosen, strict=True)
            listed = [
                msgspec.structs.replace(item, not_probed=not_probed(session, settings)) for item, settings in pairs
            ]
        with Reporter(quiet=log.quiet) as progress:
            for text in (*session.notices, *_notes(listed)):
                progress.line(f"note: {text}")
    headings, rows = _hindrances(listed) if why_not_probed else _closures(listed)
    emit_rows(headings, rows, {"environments": msgspec.to_builtins(listed)}, result.format, result.output)


def _notes(listed: Sequence[EnvironmentListing]) -> Iterator[str]:
    """What is not exact or not certain about closures, once for all environments that share it."""
    for cause in by_cause(
        Faulted(item.name, item.path, item.workspace, "note", text)
        for item in listed
        for text in dict.fromkeys((*item.warnings, *item.closure_open, *code_that_runs(item.runs)))
    ):
        others = len(cause.environments) - 1
        yield f"{cause.message} (the same in {plural(others, 'other environment')})" if others else cause.message


_Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def _closures(listed: Sequence[EnvironmentListing]) -> _Table:
    rows = [
        (
            item.name,
            item.path,
            item.workspace,
            str(len(item.files)),
            ", ".join(item.modules) or "-",
            item.closure_hash[:12] or "-",
        )
        for item in listed
    ]
    return ("environment", "path", "workspace", "files", "modules", "closure"), rows


def _hindrances(listed: Sequence[EnvironmentListing]) -> _Table:
    rows = [(item.name, reason) for item in listed for reason in item.not_probed or ("nothing",)]
    return ("environment", "what keeps it from being probed"), rows


@spread
def status(
    env: Names = None,
    *,
    opened: RepositoryOptions,
    result: ResultOptions,
    log: LogOptions,
) -> None:
    """Show the last verdict of each environment.

    Reads the ledger, the durable record; plans nothing.
    """
    from driftguard.bootstrap.reading import open_records
    from driftguard.pipeline.alert.outages import outage_text
    from driftguard.pipeline.history import acked, last_scans, outages

    with open_records(opened.target) as journal:
        listed, words = last_scans(journal, env or []), acked(journal, datetime.now(UTC))
        failing = outages(journal)
    rows = [
        (
            scan.report.name,
            verdict_text(scan.report.verdict),
            scan.at,
            _checked(scan.report),
            scan.commit[:10],
            (scan.report.baseline.commit or "none yet")[:10],
            f"{scan.report.decision.action}{words.get(scan.report.name, ('', None))[0]}",
        )
        for scan in listed
    ]
    headings = ("environment", "verdict", "scanned at", "by", "commit", "baseline", "decision")
    found = {"environments": [_with_word(scan, words) for scan in listed], "outages": msgspec.to_builtins(failing)}
    emit_rows(headings, rows, found, result.format, result.output)
    for outage in () if log.quiet else failing:
        typer.echo(f"note: {outage_text(outage)}", err=True)  # a progress bar would cost half of the start-up


def _checked(report: EnvironmentReport) -> str:
    """How the last look was made; of a probe also when the plan was made that it confirmed."""
    return f"{report.checked_by} of {report.planned_at}" if report.checked_by == PROBE else report.checked_by


def _with_word(scan: LastScan, words: Mapping[str, tuple[str, AckReport]]) -> dict[str, Any]:
    word = words.get(scan.report.name)
    return {**scan.row, "acked": None if word is None else msgspec.to_builtins(word[1])}


@spread
def history(
    env: Names = None,
    at: AtOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of entries, the newest ones.")] = 50,
    *,
    opened: RepositoryOptions,
    result: ResultOptions,
    log: LogOptions,
) -> None:
    """Show the ledger: runs, approvals, applies.

    Oldest entry first. `-v` includes each step of an apply.
    """
    from driftguard.bootstrap.reading import open_records
    from driftguard.pipeline.history import recent

    with open_records(opened.target) as journal:
        entries = recent(journal, env or [], until=_moment(at), limit=limit)
    rows = [
        (str(e.sequence), e.at, e.environment or "-", e.kind.replace("_", " "), e.summary)
        for e in entries
        if log.verbose or e.kind != "attempt_progress"
    ]
    emit_rows(("no.", "at", "environment", "entry", "detail"), rows, {"entries": entries}, result.format, result.output)


@spread
def explain(
    env: Annotated[str, typer.Argument(metavar="ENV", help="An environment's name.")],
    at: AtOption = None,
    *,
    opened: RepositoryOptions,
    result: ResultOptions,
    log: LogOptions,
) -> None:
    """Show why an environment got its verdict.

    The decision with its reasons, then each changed attribute: its value in the state (S), in reality (R), in the
    configuration (D) and in the baseline (L: the last known-good configuration), its label and the rule that matched.
    """
    from driftguard.bootstrap.reading import open_records
    from driftguard.pipeline.history import last_scans

    with open_records(opened.target) as journal:
        found = last_scans(journal, [env], until=_moment(at), exactly=True)
    scan = found[0]
    rows = list(_explained(scan.report))
    headings = ("resource", "attribute", "label", "state S", "reality R", "desired D", "baseline L", "rule")
    if result.format is Format.TABLE:
        lines = _explanation(scan, headings, rows, result.output)
        emit("".join(f"{line}\n" for line in lines), result.output)
    else:
        emit_rows(headings, rows, scan.row, result.format, result.output)


def _explained(report: EnvironmentReport) -> Iterator[tuple[str, ...]]:
    """The rows of an explanation: attributes, then resources without any, outputs, and actions."""
    for resource in report.resources:
        yield from (_attribute_row(resource.address, attribute) for attribute in resource.attributes)
    for resource in report.resources:
        if not resource.attributes:
            yield (resource.address, "-", ", ".join(resource.labels), "-", "-", "-", "-", "nothing planned")
    for output in report.outputs:
        yield (f"output {output.name}", "-", output.label, "-", "-", "-", "-", output.rule)
    for invocation in report.invocations:
        verb = "did not run: invoked" if invocation.not_run else "invoked"
        by = f"{verb} by {invocation.trigger}" if invocation.trigger else f"{verb} by an apply"
        yield (invocation.address, "-", invocation.label, "-", "-", "-", "-", by)


def _attribute_row(address: str, attribute: AttributeReport) -> tuple[str, ...]:
    rule = attribute.rule
    if not attribute.certain:
        rule += " (not certain)"
    if attribute.ignored_by:
        rule += f" (ignored by {attribute.ignored_by})"
    return (
        address,
        attribute.path or "(exists)",
        attribute.label,
        shorten(attribute.state),
        shorten(attribute.reality),
        "known after apply" if attribute.unknown else shorten(attribute.desired),
        shorten(attribute.baseline) if attribute.baseline_known else "not known",
        rule,
    )


def _explanation(
    scan: LastScan, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], output: Path | None
) -> Iterator[str]:
    """The lines of an explanation."""
    report, baseline = scan.report, scan.report.baseline
    yield f"{printable(report.name)} was {verdict_text(report.verdict)} at {scan.at}, commit {scan.commit[:10]}."
    if baseline.commit:
        yield f"Baseline: {baseline.commit[:10]}, from {baseline.origin}."
    else:
        yield "No baseline yet: `pending` and `absorbed` cannot be distinguished."
    if report.error is not None:
        yield printable(f"{report.error.kind}: {report.error.message}")
    yield f"Decision: {printable(report.decision.action)}, because of:"
    for reason in report.decision.reasons:
        yield printable(f"  {reason.explanation}")
    for resource, found in groupby(rows, key=lambda row: row[0]):
        yield "\n" + styled(printable(resource), CYAN, output)
        first, lines = columns(headings[1:], [row[1:] for row in found], line_width(output) - len(_INDENT))
        yield indent("\n".join([styled(first, BOLD, output), *lines]), _INDENT)
    if rows:
        yield ""
    for label in sorted({row[2] for row in rows if row[2] in PLAIN_WORDS}):
        yield f"{label}: {PLAIN_WORDS[label]}."
    for advice in dict.fromkeys(remedy(row[-1]) for row in rows if row[2] == Label.RESTLESS):
        yield f"To settle what is restless: {advice}"


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at {text!r} is not a time; write 2026-11-01T12:00:00Z.") from None
    if not moment.microsecond:
        moment = moment.replace(microsecond=999_999)  # printed times are in whole seconds
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
