"""A run as JUnit XML, which CI systems show as test results: a case for each environment."""

from __future__ import annotations

from xml.etree import ElementTree

from driftguard.model.report import EnvironmentReport, RunReport
from driftguard.model.words import SETTLED, Verdict, verdict_text
from driftguard.pipeline.changes import attribute_lines
from driftguard.printable import printable


def junit(report: RunReport) -> str:
    """One suite: in sync passes, a divergence is a failure, `unknown` an error."""
    suite = ElementTree.Element("testsuite", name="driftguard", timestamp=report.started_at.removesuffix("Z"))
    for environment in report.environments:
        seconds = f"{environment.seconds.total:.3f}"
        case = ElementTree.SubElement(suite, "testcase", classname="driftguard", name=printable(environment.name))
        case.set("time", seconds)
        if environment.verdict == Verdict.UNKNOWN:
            error = environment.error
            kind, message = (error.kind, error.message) if error else ("unknown", "")
            ElementTree.SubElement(case, "error", type=kind, message=printable(message))
        elif environment.verdict != Verdict.IN_SYNC:
            failure = ElementTree.SubElement(case, "failure", type=environment.verdict)
            failure.set("message", f"{verdict_text(environment.verdict)}: {environment.decision.action}")
            failure.text = _changes(environment)
    failed = sum(e.verdict not in (Verdict.IN_SYNC, Verdict.UNKNOWN) for e in report.environments)
    suite.set("tests", str(len(report.environments)))
    suite.set("failures", str(failed))
    suite.set("errors", str(report.summary.get(Verdict.UNKNOWN, 0)))
    ElementTree.indent(suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suite, encoding="unicode")}\n'


def _changes(environment: EnvironmentReport) -> str:
    lines = []
    for resource in environment.resources:
        if SETTLED.issuperset(resource.labels):
            continue
        lines.append(f"{resource.address}: {', '.join(resource.labels)}")
        attributes = (attribute for attribute in resource.attributes if attribute.label not in SETTLED)
        lines += [f"  {line.label} {line.text}" for line in attribute_lines(attributes)]
    return "\n".join(map(printable, lines))
