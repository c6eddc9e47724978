"""A run as Markdown, for a summary page: the worst environment first, with reasons, links and authors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from driftguard.cli.text import apart, baselines_line, changed, counted, listed, markdown_table, outcome, shared_causes
from driftguard.model.reasons import ReasonName
from driftguard.model.report import EnvironmentReport, ResourceReport, RunReport
from driftguard.model.words import SETTLED, Action, Label, Verdict, plural, verdict_text
from driftguard.pipeline.changes import attribute_lines, change_text, invocation_text
from driftguard.pipeline.consequences import consequence, consequence_title, destructive, rank
from driftguard.printable import cell, code, html

_MAX_WHO: Final = 3
_MAX_IN_SYNC: Final = 100
_ORDER: Final = (Verdict.UNKNOWN, Verdict.DIVERGED, Verdict.DRIFTED, Verdict.PENDING)
_ACTIONS: Final = {
    Action.NONE.value: "nothing",
    Action.ALERT.value: "alerted",
    Action.PROPOSE.value: "proposed",
    Action.APPLY.value: "applied",
    Action.HOLD.value: "on hold",
}


def markdown(report: RunReport) -> str:
    """A run as GitHub-flavoured Markdown."""
    lines = [f"### DriftGuard: {_headline(report)}", ""]
    if report.commit:  # a plan that another tool made has none
        lines += [f"{code(report.repository)} at {code(report.commit[:10])} ({cell(report.ref)})", ""]
    shared = shared_causes(report)
    found = sorted((e for e in apart(report, shared) if e.verdict != Verdict.IN_SYNC), key=_severity)
    if found:
        lines += ["| environment | verdict | what | who | decision |", "| --- | --- | --- | --- | --- |"]
        lines += [f"| {' | '.join(_row(environment))} |" for environment in found]
    for cause in shared:
        what = f"{cell(cause.message)} {cell(cause.remedy)}".rstrip()
        lines.append(f"\n**{counted(len(cause.environments))}** ({cell(listed(cause.environments))}): {what}")
    for environment in found:
        lines.extend(_details(environment))
    if line := baselines_line(report):
        lines += ["", cell(line)]
    in_sync = [environment.name for environment in report.environments if environment.verdict == Verdict.IN_SYNC]
    if in_sync:
        more = f" and {len(in_sync) - _MAX_IN_SYNC} more" if len(in_sync) > _MAX_IN_SYNC else ""
        names = ", ".join(map(cell, in_sync[:_MAX_IN_SYNC]))
        lines += ["", f"{plural(len(in_sync), 'environment')} in sync: {names}{more}"]
    return "\n".join(lines) + "\n"


def _headline(report: RunReport) -> str:
    others = (count for name, count in report.summary.items() if name != Verdict.IN_SYNC)
    return "every environment is in sync" if report.summary and not any(others) else outcome(report)


def _severity(environment: EnvironmentReport) -> tuple[object, ...]:
    """The worst first: what is destroyed or was deleted, conflicts, failures, then by verdict."""
    resources = environment.resources
    lost = bool(destructive(resources)) or any(resource.deleted_outside for resource in resources)
    conflict = any(Label.CONFLICT in resource.labels for resource in resources)
    failed = any(reason.name == ReasonName.APPLY_FAILED for reason in environment.decision.reasons)
    order = next((place for place, verdict in enumerate(_ORDER) if verdict == environment.verdict), len(_ORDER))
    return not lost, not conflict, not failed, order, environment.name


def _row(environment: EnvironmentReport) -> tuple[str, ...]:
    """Cells of one environment's row, as Markdown."""
    verdict = cell(verdict_text(environment.verdict))
    return cell(environment.name), verdict, cell(_what(environment)), cell(_who(environment)), _decision(environment)


def _what(environment: EnvironmentReport) -> str:
    if environment.error is not None:
        return f"{environment.error.kind}: {environment.error.message.partition(chr(10))[0]}"
    parts = []
    resources = changed(environment, noise=False)
    deleted = [resource for resource in resources if resource.deleted_outside]
    altered = [resource for resource in resources if resource.changed_outside and not resource.deleted_outside]
    rest = len(resources) - len(deleted) - len(altered)
    for some, words in ((deleted, "deleted outside Terraform"), (altered, "changed outside Terraform")):
        if some:
            parts.append(f"{some[0].address if len(some) == 1 else plural(len(some), 'resource')} {words}")
    if rest:
        parts.append(f"{plural(rest, 'resource')} not applied")
    worst = consequence_title(resources)
    return "; ".join([*([f"an apply {worst}"] if worst else []), *parts]) or "-"


def _who(environment: EnvironmentReport) -> str:
    """The probable authors of outside changes, and the authors of commits."""
    names = [f"probably {r.changed_by.principal}" for r in environment.resources if r.changed_by and r.changed_by.names]
    names += [commit.author for commit in environment.commits if commit.author]
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - _MAX_WHO} more" if len(distinct) > _MAX_WHO else ""
    return ", ".join(distinct[:_MAX_WHO]) + more or "-"


def _decision(environment: EnvironmentReport) -> str:
    """The decision with its reasons; a request as a link."""
    parts = [cell(_ACTIONS.get(environment.decision.action, environment.decision.action))]
    for reason in environment.decision.reasons:
        if re.fullmatch(r"https?://[^\s()<>|\[\]\\`]{1,500}", reason.detail):
            parts.append(f"[request]({reason.detail})")
        elif not reason.silent:
            parts.append(cell(str(reason).partition("\n")[0]))
    return ", ".join(parts)


def _details(environment: EnvironmentReport) -> Iterator[str]:
    resources = sorted(changed(environment, noise=False), key=lambda r: (rank(r), not r.changed_outside))
    if environment.error is not None:
        yield f"\n**{cell(environment.name)}**: {cell(environment.error.message)}"
    if not (resources or environment.invocations):
        return
    yield f"\n<details><summary><code>{html(environment.name)}</code>: {plural(len(resources), 'resource')}</summary>\n"
    rows = [row for resource in resources for row in _resource_rows(resource)]
    invoked = zip(environment.invocations, map(invocation_text, environment.invocations), strict=True)
    rows += [(invocation.address, invocation.label, "; ".join(text.lines)) for invocation, text in invoked]
    yield markdown_table(("resource", "label", "change"), rows)
    yield "</details>"


def _resource_rows(resource: ResourceReport) -> Iterator[tuple[str, str, str]]:
    happens = consequence(resource)
    if happens or resource.deleted_outside:
        deleted = "deleted outside Terraform" if resource.deleted_outside else ""
        text = "; ".join(filter(None, (deleted, f"an apply {happens}" if happens else "")))
        yield resource.address, ", ".join(resource.labels), text
    lines = attribute_lines(a for a in resource.attributes if a.path and a.label not in SETTLED)
    yield from ((resource.address, line.label, line.text) for line in lines)
    if not (happens or resource.deleted_outside or lines):
        yield resource.address, ", ".join(resource.labels), change_text(resource).label
