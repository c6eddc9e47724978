"""Causes over the estate: what is open for the same reason in many environments is one row. Pure.

Takes the newest reports, which are redacted, and what the ledger knows of their changes; gives `SharedCause` values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from driftguard.model import Alert, Trace
from driftguard.model.estate import Occurrence
from driftguard.model.report import ABSENT_VALUE, AttributeReport, EnvironmentReport, ResourceReport
from driftguard.model.words import OF_THE_OBJECT, SETTLED, Label, plain_words, plural
from driftguard.pipeline.propose.markup import code, inert, plain
from driftguard.printable import one_line
from driftguard.report import shorten

# What follows from another change has that one's cause.
_NOT_LISTED: Final = SETTLED | {Label.DERIVED}
_OF_AN_ORIGIN: Final = frozenset({Label.PENDING, Label.INPUT})
_MAX_RULES: Final = 5
_MAX_LISTED: Final = 100
UNKNOWN_YET: Final = "known after apply"


@dataclass(frozen=True, slots=True)
class AffectedResource:
    """One resource of one environment that a cause changed.

    Attributes:
        since: when it was first reported.
        reality: the value that is there now, redacted.
        certain: whether its label is.
    """

    environment: str
    address: str
    since: datetime
    reality: Any = None
    certain: bool = True
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class SharedCause:
    """What is open in one or more environments for one reason.

    Attributes:
        label: of the contract.
        type: of the resources; empty for a version or a variable that changed several types.
        attribute: its path; empty for the object's existence.
        wanted: what the configuration wants, redacted; `UNKNOWN_YET` where only an apply shows it.
        origin: the version or the variable behind it, such as `hashicorp/aws 5.99.1 → 5.100.0` or `var.image_tag`;
            empty where none is known.
        resources: the oldest first.
        first_actor: who made the oldest of the changes that CloudTrail names an author of; None without one.
    """

    label: str
    type: str
    attribute: str
    wanted: Any
    origin: str
    resources: tuple[AffectedResource, ...]
    first_actor: str | None = None
    sensitive: bool = False

    @property
    def id(self) -> str:
        """Distinguishes it from the others, equal in each run."""
        key = json.dumps([self.label, self.type, self.attribute, self.wanted, self.origin], sort_keys=True)
        return hashlib.sha256(key.encode()).hexdigest()[:16]

    @property
    def environments(self) -> tuple[str, ...]:
        """The names of the environments, sorted."""
        return tuple(sorted({each.environment for each in self.resources}))

    @property
    def since(self) -> datetime:
        """When the oldest of the changes was first reported."""
        return self.resources[0].since

    @property
    def subject(self) -> str:
        """What changed, in a few words: `tags.owner of aws_s3_bucket`, or the version or variable behind it."""
        if self.origin:
            return self.origin
        return f"{self.attribute} of {self.type}" if self.attribute else self.type


@dataclass(slots=True)
class _Group:
    sensitive: bool = False
    resources: list[AffectedResource] = field(default_factory=list)


_Key = tuple[str, str, str, str, str]


def shared_causes(
    reports: Iterable[tuple[EnvironmentReport, datetime]],
    occurrences: Iterable[Occurrence] = (),
    traces: Mapping[tuple[str, str], Trace] | None = None,
) -> tuple[SharedCause, ...]:
    """The causes of what is open, those of most environments first, then the oldest.

    Args:
        reports: the newest of each environment, with when it was recorded.
        occurrences: what is open, for its age; a change that is not among them is as old as its report.
        traces: who changed which resource, by environment and address.
    """
    began = {(each.environment, each.address, each.label): each.began_at for each in occurrences}
    groups: dict[_Key, _Group] = {}
    values: dict[_Key, Any] = {}
    for report, at in reports:
        for address, resource, attribute in _changes(report):
            key, wanted = _key(resource, attribute)
            group = groups.setdefault(key, _Group())
            values.setdefault(key, wanted)
            group.sensitive = group.sensitive or attribute.sensitive
            since = began.get((report.name, address, attribute.label), at)
            group.resources.append(
                AffectedResource(report.name, address, since, attribute.reality, attribute.certain, report.owner)
            )
    causes = [_cause(key, values[key], group, traces or {}) for key, group in groups.items()]
    return tuple(sorted(causes, key=lambda cause: (-len(cause.environments), cause.since, cause.subject, cause.id)))


def authors(alerts: Iterable[Alert]) -> dict[tuple[str, str], Trace]:
    """Who changed which resource, by environment and address, as far as alerts know a name."""
    return {
        (alert.environment, address): trace.changed_by
        for alert in alerts
        for address, trace in alert.traces.items()
        if trace.changed_by is not None and trace.changed_by.names
    }


def _changes(report: EnvironmentReport) -> Iterator[tuple[str, ResourceReport, AttributeReport]]:
    """Each change of a report that has a cause of its own; an object's own labels as a change without a path."""
    for resource in report.resources:
        for attribute in resource.attributes:
            if attribute.label not in _NOT_LISTED and attribute.mirrors is None:
                yield resource.address, resource, attribute
        named = {attribute.label for attribute in resource.attributes}
        for label in resource.labels:
            if label not in named and label not in _NOT_LISTED:
                yield resource.address, resource, AttributeReport("", label, certain=resource.certain)
    for output in report.outputs:
        if output.label not in _NOT_LISTED:
            resource = ResourceReport(f"output {output.name}", "output")
            yield resource.address, resource, AttributeReport("", output.label, sensitive=output.sensitive)


def _key(resource: ResourceReport, attribute: AttributeReport) -> tuple[_Key, Any]:
    """What changes of one cause have in common, and the value that they are to get."""
    origin = ", ".join(attribute.causes) if attribute.label in _OF_AN_ORIGIN else ""
    if origin:
        return (attribute.label, "", "", "", origin), None
    wanted = UNKNOWN_YET if attribute.unknown else attribute.desired
    return (attribute.label, resource.type, attribute.path, json.dumps(wanted, sort_keys=True), ""), wanted


def _cause(key: _Key, wanted: Any, group: _Group, traces: Mapping[tuple[str, str], Trace]) -> SharedCause:
    label, type_, attribute, _, origin = key
    resources = tuple(sorted(group.resources, key=lambda each: (each.since, each.environment, each.address)))
    known = [traces[each.environment, each.address] for each in resources if (each.environment, each.address) in traces]
    first = min(known, key=lambda trace: trace.at, default=None)
    return SharedCause(
        label=label,
        type=type_,
        attribute=attribute,
        wanted=wanted,
        origin=origin,
        resources=resources,
        first_actor=None if first is None else first.principal,
        sensitive=group.sensitive,
    )


def ignore_rule(cause: SharedCause) -> str | None:
    """Lines of `driftguard.yaml` that make the change noise; None where no rule can: an object, a version."""
    if not cause.attribute or cause.origin or cause.type == "output" or cause.label in OF_THE_OBJECT:
        return None
    addresses = list(dict.fromkeys(each.address for each in cause.resources))
    if len(addresses) > _MAX_RULES:
        addresses = [f"*{cause.type}.*"]
    lines = (
        f"  - {{address: {_quoted(address)}, path: {_quoted(cause.attribute)}, reason: {_quoted(_REASON)}}}\n"
        for address in addresses
    )
    return "ignore:\n" + "".join(lines)


_REASON: Final = "write the reason here"


def _quoted(text: str) -> str:
    """A text as a scalar of YAML, on one line."""
    return json.dumps(one_line(text), ensure_ascii=False)


def request_title(cause: SharedCause) -> str:
    """The title of an issue or a pull request about a cause."""
    where = plural(len(cause.environments), "environment")
    return inert(one_line(f"{cause.subject} in {where}: {plain_words(cause.label)}"))


def request_text(cause: SharedCause) -> str:
    """Its text as Markdown: what changed, what an apply would do, and where."""
    lines = [f"{_what(cause)} since {cause.since:%Y-%m-%d %H:%M} UTC ({plain_words(cause.label)})."]
    if cause.first_actor:
        lines.append(f"First changed by {code(cause.first_actor)}, as CloudTrail names it.")
    lines += ["", *_outcome(cause), "", "| environment | resource | current value |", "| --- | --- | --- |"]
    for each in cause.resources[:_MAX_LISTED]:
        value = "" if each.reality is None else code(shorten(each.reality)).replace("|", "\\|")
        resource = code(each.address).replace("|", "\\|")
        lines.append(f"| {plain(each.environment)} | {resource} | {value} |")
    if len(cause.resources) > _MAX_LISTED:
        lines.append(f"\nand {plural(len(cause.resources) - _MAX_LISTED, 'more resource')}.")
    return "\n".join(lines) + "\n"


def _what(cause: SharedCause) -> str:
    count, where = len(cause.resources), plural(len(cause.environments), "environment")
    return f"{code(cause.subject)}: {plural(count, 'change')} in {where}"


def _outcome(cause: SharedCause) -> Sequence[str]:
    """What an apply would do; nothing for a change without a value."""
    if not cause.attribute:
        return ()
    if cause.wanted == UNKNOWN_YET:
        return (f"An apply sets {code(cause.attribute)} to a value that only it shows.",)
    if cause.wanted == ABSENT_VALUE:
        return (f"An apply removes {code(cause.attribute)}.",)
    return (f"An apply sets {code(cause.attribute)} to {code(shorten(cause.wanted))}.",)
