"""A run as a table on a terminal, and rows as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from driftguard.model.causes import is_network
from driftguard.model.report import CauseReport, EnvironmentReport, ResourceReport, RunReport
from driftguard.model.words import SETTLED, Verdict, plain_words, plural, verdict_text
from driftguard.pipeline.changes import attribute_lines, invocation_text
from driftguard.printable import cell, printable

_STYLES: Final = {
    Verdict.IN_SYNC.value: "green",
    Verdict.DRIFTED.value: "red",
    Verdict.PENDING.value: "yellow",
    Verdict.DIVERGED.value: "magenta",
    Verdict.UNKNOWN.value: "bold red",
}
_MAX_ATTRIBUTES: Final = 12
_MAX_COMMITS: Final = 5
_MAX_ALONE: Final = 3  # environments without a verdict
_MAX_NAMES: Final = 8


def print_run(console: Console, report: RunReport, *, noise: bool) -> None:
    """Print a report as tables: one line for each environment, then the changes of each.

    Args:
        noise: also list what nothing is to be done about.
    """
    shared = shared_causes(report)
    console.print(_summary(report, shared))
    for environment in apart(report, shared):
        for part in environment_details(environment, noise=noise):
            console.print(part)
    for cause in shared:
        console.print(_cause_lines(cause))
    console.print(_last_line(report))
    if line := baselines_line(report):
        console.print(line, soft_wrap=True, markup=False)


def baselines_line(report: RunReport) -> str | None:
    """How many environments have a baseline, and how the others get one; None where all of them have."""
    found = [environment for environment in report.environments if environment.path]
    without = [environment.name for environment in found if environment.baseline.commit is None]
    if not without:
        return None
    example = printable(without[0])
    return (
        f"{len(found) - len(without)} of {counted(len(found))} have a baseline (the last known-good commit); "
        f"{len(without)} {'needs' if len(without) == 1 else 'need'} one. A scan in sync records it. For an environment "
        f"that is not, such as {example}: `driftguard doctor --baseline {example}` finds the likely commit, and "
        f"`driftguard baseline {example} --commit SHA --reason TEXT` records it."
    )


def shared_causes(report: RunReport) -> tuple[CauseReport, ...]:
    """The causes that are listed once for all of their environments: where many have no verdict, and of the network."""
    many = report.summary.get(Verdict.UNKNOWN.value, 0) > _MAX_ALONE
    shared = (cause for cause in report.causes if len(cause.environments) > 1)
    return tuple(cause for cause in shared if many or is_network(cause.message))


def apart(report: RunReport, shared: Sequence[CauseReport]) -> list[EnvironmentReport]:
    """The environments that are listed one by one."""
    together = {name for cause in shared for name in cause.environments}
    return [environment for environment in report.environments if environment.name not in together]


def _cause_lines(cause: CauseReport) -> RenderableType:
    head = Text("\n").append(counted(len(cause.environments)), style="bold")
    head.append("  unknown", style=_STYLES[Verdict.UNKNOWN.value])
    lines: list[RenderableType] = [head, _shown(f"  {cause.kind}: {cause.message}")]
    lines += [_shown(f"  {cause.remedy}")] if cause.remedy else []
    lines.append(_shown(f"  {listed(cause.environments)}", "dim"))
    return Group(*lines)


def listed(names: Sequence[str]) -> str:
    """Names in a line, not more than a few of them."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _summary(report: RunReport, shared: Sequence[CauseReport]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ENVIRONMENT", "VERDICT", "CHANGES", "DECISION", "BASELINE"):
        table.add_column(heading, overflow="fold")
    for cause in shared:
        unknown = Text(Verdict.UNKNOWN.value, style=_STYLES[Verdict.UNKNOWN.value])
        table.add_row(counted(len(cause.environments)), unknown, _shown(cause.kind), "alert", "")
    for environment in apart(report, shared):
        table.add_row(
            _shown(environment.name),
            Text(verdict_text(environment.verdict), style=_STYLES.get(environment.verdict, "")),
            _shown(_counts(environment)),
            _shown(environment.decision.action),
            (environment.baseline.commit or "none yet")[:10],
        )
    return table


def _counts(environment: EnvironmentReport) -> str:
    if environment.error is not None:
        return environment.error.kind
    counts: dict[str, int] = {}
    labels = [label for resource in environment.resources for label in resource.labels]
    labels += [output.label for output in environment.outputs]
    for label in (*labels, *(invocation.label for invocation in environment.invocations)):
        counts[label] = counts.get(label, 0) + 1
    return ", ".join(f"{count} {label}" for label, count in sorted(counts.items())) or "-"


def changed(environment: EnvironmentReport, *, noise: bool) -> list[ResourceReport]:
    """The resources that a text lists."""
    return [resource for resource in environment.resources if noise or not SETTLED.issuperset(resource.labels)]


def environment_details(environment: EnvironmentReport, *, noise: bool) -> Iterator[RenderableType]:
    """The changes of one environment; nothing where it has none."""
    error, resources = environment.error, changed(environment, noise=noise)
    if not (error or resources or environment.outputs or environment.invocations or environment.warnings):
        return
    lines: list[RenderableType] = [_head(environment)]
    lines += [_shown(f"  {environment.plan_url}", "dim")] if environment.plan_url else []
    if error is not None:
        lines.append(_shown(f"  {error.kind}: {error.message}"))
    lines.extend(_shown(f"  note: {warning}", "dim") for warning in environment.warnings)
    for resource in resources:
        lines.extend(_resource_lines(resource, noise=noise))
    for output in environment.outputs:
        lines.append(_shown(f"  output {output.name}: {output.label}, {plain_words(output.label)}"))
    for change in map(invocation_text, environment.invocations):
        lines.append(_shown(f"  {change.address}: {change.label}"))
        lines.extend(_shown(f"    {line}") for line in change.lines)
    for commit in environment.commits[:_MAX_COMMITS]:
        lines.append(_shown(f"  commit {commit.sha[:10]} {commit.author}, {commit.date}: {commit.subject}", "dim"))
    more = len(environment.commits) - _MAX_COMMITS
    if more > 0:
        lines.append(Text(f"  and {plural(more, 'more commit')}", "dim"))
    yield Group(*lines)


def _head(environment: EnvironmentReport) -> Text:
    head = Text("\n").append(printable(environment.name), style="bold")
    head.append(f"  {verdict_text(environment.verdict)}", style=_STYLES.get(environment.verdict, ""))
    return head.append(f"  {printable(environment.tool)}" if environment.tool else "", style="dim")


def _resource_lines(resource: ResourceReport, *, noise: bool) -> Iterator[Text]:
    line = Text("  ")
    line.append(printable(resource.address), style="cyan")
    if resource.actions:
        line.append(f"  ({', '.join(resource.actions)})", style="dim")
    if not resource.attributes:
        line.append(f"  {', '.join(resource.labels)}")
    yield line
    lines = attribute_lines(a for a in resource.attributes if noise or a.label not in SETTLED)
    for attribute in lines[:_MAX_ATTRIBUTES]:
        yield _shown(f"    {attribute.label:<9}{attribute.text}")
    if len(lines) > _MAX_ATTRIBUTES:
        yield Text(f"    and {plural(len(lines) - _MAX_ATTRIBUTES, 'more attribute')} (see --format json)", "dim")


def counted(number: int) -> str:
    """A number of environments in words."""
    return plural(number, "environment")


def _last_line(report: RunReport) -> Text:
    of = f" at {report.commit[:10]} ({printable(report.ref)})" if report.commit else ""
    line = Text(f"\n{counted(len(report.environments))}{of}: ")
    return line.append(outcome(report))


def outcome(report: RunReport) -> str:
    """How many environments got which verdict."""
    counts = (f"{count} {verdict_text(name)}" for name, count in report.summary.items() if count)
    return ", ".join(counts) or "none"


def markdown_table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Rows as a GitHub-flavoured Markdown table."""
    headings = list(headings)
    lines = ["| " + " | ".join(headings) + " |", "| " + " | ".join("---" for _ in headings) + " |"]
    lines += ["| " + " | ".join(cell(each) for each in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _shown(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)
