"""A run for people: a table on a terminal, Markdown for a summary page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from driftguard.model.words import PLAIN_WORDS
from driftguard.report import shorten

_STYLES = {
    "in_sync": "green",
    "drifted": "red",
    "pending": "yellow",
    "diverged": "magenta",
    "unknown": "bold red",
}
_QUIET = frozenset({"noise", "adopted"})
_MOST_ATTRIBUTES = 12


def print_run(console: Console, report: Mapping[str, Any], *, noise: bool) -> None:
    """Print a JSON report as tables: one line for each environment, then what changed in each."""
    console.print(_summary(report))
    for environment in report["environments"]:
        for part in environment_details(environment, noise=noise):
            console.print(part)
    console.print(_last_line(report))


def _summary(report: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ENVIRONMENT", "VERDICT", "CHANGES", "DECISION", "BASELINE"):
        table.add_column(heading, overflow="fold")
    for environment in report["environments"]:
        table.add_row(
            escape(environment["name"]),
            Text(environment["verdict"].replace("_", " "), style=_STYLES[environment["verdict"]]),
            escape(_counts(environment)),
            escape(environment["decision"]["action"]),
            (environment["baseline"]["commit"] or "none yet")[:10],
        )
    return table


def _counts(environment: Mapping[str, Any]) -> str:
    if environment["error"]:
        return str(environment["error"]["kind"])
    counts: dict[str, int] = {}
    for changed in environment["resources"]:
        for label in changed["labels"]:
            counts[label] = counts.get(label, 0) + 1
    for output in environment["outputs"]:
        counts[output["label"]] = counts.get(output["label"], 0) + 1
    return ", ".join(f"{count} {label}" for label, count in sorted(counts.items())) or "-"


def environment_details(environment: Mapping[str, Any], *, noise: bool) -> Iterator[RenderableType]:
    """What changed in one environment; nothing where there is nothing to say."""
    error = environment["error"]
    shown = [r for r in environment["resources"] if noise or not set(r["labels"]) <= _QUIET]
    if not (error or shown or environment["outputs"] or environment["warnings"]):
        return
    head = Text(f"\n{environment['name']}", style="bold")
    head.append(f"  {environment['verdict'].replace('_', ' ')}", style=_STYLES[environment["verdict"]])
    lines: list[RenderableType] = [head]
    if error:
        lines.append(Text(f"  {error['kind']}: {error['message']}"))
    lines.extend(Text(f"  note: {warning}", style="dim") for warning in environment["warnings"])
    for resource in shown:
        lines.extend(_resource_lines(resource, noise=noise))
    for output in environment["outputs"]:
        lines.append(Text(f"  output {output['name']}: {output['label']}, {PLAIN_WORDS[output['label']]}"))
    for commit in environment["commits"][:5]:
        lines.append(
            Text(f"  commit {commit['sha'][:10]} {commit['author']}, {commit['date']}: {commit['subject']}", "dim")
        )
    if len(environment["commits"]) > 5:
        lines.append(Text(f"  and {len(environment['commits']) - 5} more commits", "dim"))
    yield Group(*lines)


def _resource_lines(resource: Mapping[str, Any], *, noise: bool) -> Iterator[Text]:
    line = Text("  ")
    line.append(resource["address"], style="cyan")
    if resource["actions"]:
        line.append(f"  ({', '.join(resource['actions'])})", style="dim")
    if not resource["attributes"]:
        line.append(f"  {', '.join(resource['labels'])}")
    yield line
    attributes = [a for a in resource["attributes"] if noise or a["label"] not in _QUIET]
    for attribute in attributes[:_MOST_ATTRIBUTES]:
        yield Text(f"    {attribute['label']:<9}").append_text(_attribute_text(attribute))
    if len(attributes) > _MOST_ATTRIBUTES:
        yield Text(f"    and {len(attributes) - _MOST_ATTRIBUTES} more attributes (see --format json)", "dim")


def _attribute_text(attribute: Mapping[str, Any]) -> Text:
    if attribute["label"] in ("residue", "refactor"):
        return Text(attribute["rule"])
    text = Text(attribute["path"] or "the object")
    text.append(f": {shorten(attribute['state'])} → {shorten(attribute['reality'])}, wanted ")
    text.append("known after apply" if attribute["unknown"] else shorten(attribute["desired"]))
    if attribute["forces_replacement"]:
        text.append("  forces replacement", style="red")
    if not attribute["certain"]:
        text.append("  (not certain)", style="dim")
    if attribute["ignored_by"]:
        text.append(f"  ignored by {attribute['ignored_by']}", style="dim")
    if attribute["causes"]:
        text.append(f"  because of {', '.join(attribute['causes'])}", style="dim")
    return text


def counted(number: int) -> str:
    """A number of environments in words."""
    return f"{number} environment{'' if number == 1 else 's'}"


def _last_line(report: Mapping[str, Any]) -> Text:
    line = Text(f"\n{counted(len(report['environments']))} at {report['commit'][:10]} ({report['ref']}): ")
    return line.append(outcome(report))


def outcome(report: Mapping[str, Any]) -> str:
    """How many environments got which verdict."""
    counts = (f"{count} {name.replace('_', ' ')}" for name, count in report["summary"].items() if count)
    return ", ".join(counts) or "none"


def markdown_table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Rows as a GitHub-flavoured Markdown table."""
    headings = list(headings)
    lines = ["| " + " | ".join(headings) + " |", "| " + " | ".join("---" for _ in headings) + " |"]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def markdown(report: Mapping[str, Any]) -> str:
    """A run as GitHub-flavoured Markdown."""
    lines = [
        f"### DriftGuard: {_headline(report)}",
        "",
        f"`{report['repository']}` at `{report['commit'][:10]}` ({report['ref']})",
        "",
        markdown_table(
            ("environment", "verdict", "changes", "decision"),
            ((e["name"], e["verdict"], _counts(e), e["decision"]["action"]) for e in report["environments"]),
        ),
    ]
    for environment in report["environments"]:
        lines.extend(_markdown_details(environment))
    return "\n".join(lines) + "\n"


def _headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    if set(summary) and all(not count for name, count in summary.items() if name != "in_sync"):
        return "every environment is in sync"
    return outcome(report)


def _markdown_details(environment: Mapping[str, Any]) -> Iterator[str]:
    shown = [r for r in environment["resources"] if not set(r["labels"]) <= _QUIET]
    if environment["error"]:
        yield f"\n**{_cell(environment['name'])}**: {_cell(environment['error']['message'])}"
    if not shown:
        return
    yield f"\n<details><summary>{_cell(environment['name'])}: {len(shown)} resources</summary>\n"
    rows = []
    for resource in shown:
        for attribute in resource["attributes"] or [{}]:
            values = [shorten(attribute[name]) if attribute else "" for name in ("state", "reality", "desired")]
            rows.append((resource["address"], attribute.get("path", ""), attribute.get("label", ""), *values))
    yield markdown_table(("resource", "attribute", "label", "state", "reality", "desired"), rows)
    yield "</details>"


def _cell(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")
    return " ".join(escaped.replace("`", "'").split())
