"""One changed resource in words, for every text: terminal, Markdown, alerts and pull requests.

Takes resources of a report, which are redacted; gives plain text. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

import msgspec

from driftguard.model import ChangeText, ObjectTrace, Trace
from driftguard.model.report import ABSENT_VALUE, AttributeReport, InvocationReport, ResourceReport
from driftguard.model.words import OF_THE_OBJECT, OUTSIDE, SETTLED, Label, plain_words, plural
from driftguard.pipeline.consequences import consequence
from driftguard.sealed import REDACTED

# What is read first.
_ORDER: Final[Mapping[str, int]] = {
    label: place
    for place, label in enumerate(
        (
            Label.CONFLICT,
            Label.DRIFT,
            Label.ABSORBED,
            Label.RESIDUE,
            Label.PENDING,
            Label.INPUT,
            Label.RESTLESS,
            Label.REFACTOR,
            Label.DERIVED,
            Label.ADOPTED,
            Label.NOISE,
        )
    )
}
_MAX_VALUE: Final = 70
_MAX_ITEMS: Final = 20
_MAX_DEPTH: Final = 4
_MAX_MIRRORS: Final = 3
_NOT_SHOWN: Final = {
    Label.CONFLICT.value: "was changed outside Terraform and by a commit",
    Label.ADOPTED.value: "was changed outside Terraform, as configured",
}
_VIA: Final = {
    "console": "in the console",
    "terraform": "with Terraform",
    "cli": "with the AWS CLI",
    "sdk": "with an SDK",
    "service": "by a service",
    "api": "through the API",
}
_CONSTANTS: Final = {None: "null", True: "true", False: "false"}
# What of the event fits: the evidence for a name.
_EVIDENCE: Final = {
    "resource and changed field": "the event names the resource and the field",
    "resource": "the event names the resource",
}


def change_text(resource: ResourceReport, trace: ObjectTrace | None = None) -> ChangeText:
    """One resource of a report.

    Args:
        trace: who changed it and who wrote its block, as far as that is known.
    """
    label = _existence(resource) or "; ".join(map(plain_words, _leading(sorted(resource.labels, key=_place))))
    attributes = [a for a in resource.attributes if a.path or a.label in OF_THE_OBJECT]
    # What only follows from something else is shown where there is nothing else.
    listed = [a for a in attributes if a.label != Label.DERIVED] or attributes
    lines = [line.text for line in attribute_lines(sorted(listed, key=lambda a: _place(a.label)))]
    if resource.attributes_omitted:
        lines.append(f"and {plural(resource.attributes_omitted, 'more attribute')}")
    done = "deleted" if resource.deleted_outside else "changed"
    by = tuple(origin(trace or ObjectTrace(), done))
    return ChangeText(resource.address, label, tuple(lines), by, consequence=consequence(resource), who=who(trace))


def invocation_text(invocation: InvocationReport) -> ChangeText:
    """One action that an apply would invoke, or that the last one left out."""
    if invocation.not_run:
        by = f" by a change of {invocation.trigger}" if invocation.trigger else ""
        why = f"to be invoked{by}; it failed or the apply was cut off"
        return ChangeText(invocation.address, "this action did not run in an apply", (why,))
    lines = (f"invoked by a change of {invocation.trigger}",) if invocation.trigger else ()
    return ChangeText(invocation.address, f"an apply invokes this action; {plain_words(invocation.label)}", lines)


@dataclass(frozen=True, slots=True)
class AttributeLine:
    """One line about an attribute, and the label that a table shows beside it."""

    label: str
    text: str


def attribute_lines(attributes: Iterable[AttributeReport]) -> list[AttributeLine]:
    """One line for each attribute; those that only mirror another one share its line, as do equal ones of a list."""
    lines = [(a, AttributeLine(a.label, _attribute(a, mirrors))) for a, mirrors in folded(attributes)]
    groups: dict[tuple[str, str, str], list[AttributeReport]] = {}
    for attribute, line in lines:
        groups.setdefault(_place_in_list(attribute, line), []).append(attribute)
    found, done = [], set()
    for attribute, line in lines:
        key = _place_in_list(attribute, line)
        if key in done:
            continue
        done.add(key)
        alike = groups[key]
        text = line.text
        if len(alike) > 1:
            text = f"{key[0]}{text.removeprefix(attribute.path)} ({len(alike)} times)"
        found.append(AttributeLine(line.label, text))
    return found


def _place_in_list(attribute: AttributeReport, line: AttributeLine) -> tuple[str, str, str]:
    """What is equal for the elements of a list that were changed alike: the path without indices, and the rest."""
    return re.sub(r"\[\d*\]", "[*]", attribute.path), line.label, line.text.removeprefix(attribute.path)


def folded(attributes: Iterable[AttributeReport]) -> list[tuple[AttributeReport, tuple[str, ...]]]:
    """Attributes, each with the names of those that mirror it: another top-level attribute with the same values.

    The AWS provider's `tags_all` repeats `tags`; an `id` may repeat a name. What is compared is what a text shows: the
    path below the top-level attribute, label and values. Truth values and numbers are too often equal by chance.
    """
    attributes = list(attributes)
    places = {attribute.path: number for number, attribute in enumerate(attributes)}
    groups: dict[object, list[AttributeReport]] = {}
    for number, attribute in enumerate(attributes):
        # The report names the original of a known mirror; where it is not listed, the mirror stands for itself.
        original = places.get(attribute.mirrors, number) if attribute.mirrors else number
        groups.setdefault(_mirrored(attributes[original]) or original, []).append(attribute)
    found = []
    for group in groups.values():
        first = min(group, key=lambda a: (bool(a.mirrors), not a.forces_replacement, "_all" in _top(a.path)))
        found.append((first, tuple(_top(a.path) for a in group if a is not first)))
    return found


def value_text(value: Any) -> str:
    """A value on one line, at most 70 characters; what is empty in a mapping is left out."""
    return _cut(_flat(value), 0)


def _leading(labels: list[str]) -> list[str]:
    """The labels that name a resource, of all in their order: a conflict alone; what asks for nothing last of all."""
    leading = [label for label in labels if label not in (Label.DERIVED, Label.NOISE)]
    return labels[:1] if labels[:1] == [Label.CONFLICT] else leading or labels


def _place(label: str) -> int:
    return _ORDER.get(label, len(_ORDER))


def _top(path: str) -> str:
    """The top-level attribute of a dotted path with indices."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _mirrored(attribute: AttributeReport) -> str | None:
    """What is equal for attributes that mirror each other; None for one that mirrors nothing."""
    below = attribute.path[len(_top(attribute.path)) :]
    values = (attribute.state, attribute.reality, attribute.desired)
    if not attribute.path or attribute.label in OF_THE_OBJECT or attribute.sensitive or REDACTED in values:
        return None
    if not below and not any(isinstance(v, Mapping | list) or (isinstance(v, str) and len(v) > 6) for v in values):
        return None
    return repr((below, attribute.label, *values, attribute.unknown, attribute.certain, attribute.ignored_by))


def _existence(resource: ResourceReport) -> str:
    """What became of the object, or is to become of it; empty where that is not what changed."""
    for attribute in resource.attributes:
        if attribute.path or attribute.label in OF_THE_OBJECT:
            continue
        sure = "" if attribute.certain else " (not certain)"
        if resource.deleted_outside:
            return f"deleted outside Terraform{sure}"
        if attribute.desired == ABSENT_VALUE:
            return f"{plain_words(attribute.label)}{sure}"
        if attribute.reality == ABSENT_VALUE:
            return f"{plain_words(attribute.label)}: created on apply{sure}"
    return ""


def _attribute(attribute: AttributeReport, mirrors: Sequence[str] = ()) -> str:
    """One attribute: what it is and was, as the past; what an apply makes of it, as the future."""
    if attribute.label in OF_THE_OBJECT:
        return attribute.rule
    return f"{attribute.path or 'object'} {_values(attribute)}{''.join(_notes(attribute, mirrors))}"


def _values(attribute: AttributeReport) -> str:
    outside = attribute.label in OUTSIDE or attribute.state != attribute.reality
    if _is_secret(attribute):
        changed = "was changed" if outside else "changes on apply"
        return f"{_NOT_SHOWN.get(attribute.label, changed)} (values are not shown)"
    return _past(attribute) if outside else _planned(attribute)


def _is_secret(attribute: AttributeReport) -> bool:
    values = (attribute.state, attribute.reality, attribute.desired)
    return attribute.sensitive or any(isinstance(value, str) and value == REDACTED for value in values)


def _past(attribute: AttributeReport) -> str:
    """What was changed outside Terraform: its value now, the former one where that is a third, the configured one."""
    state, reality, desired = attribute.state, attribute.reality, attribute.desired
    absorbed = state == reality
    former = desired if absorbed else state
    was, now = _pair(former, reality)
    if reality == ABSENT_VALUE:
        text = "was removed"
    elif former == ABSENT_VALUE:
        text = f"was added: {value_text(reality)}"
    else:
        text = f"is {now}"
    if attribute.label == Label.ADOPTED:
        return f"{text}, as configured"
    if attribute.unknown:
        third = "" if former == ABSENT_VALUE else f", was {was}"
        return f"{text}{third}, configured: known after apply"
    if desired == former:
        return f"{text}, not configured" if desired == ABSENT_VALUE else f"{text}, configured {was}"
    third = "" if former == ABSENT_VALUE else f", was {was}"
    if desired == reality:
        return f"{text}{third}"
    return f"{text}{third}, {'not configured' if desired == ABSENT_VALUE else f'configured {value_text(desired)}'}"


def _planned(attribute: AttributeReport) -> str:
    """What an apply makes of an attribute's present value."""
    before, after = attribute.reality, attribute.desired
    if attribute.unknown:
        return "known after apply" if before == ABSENT_VALUE else f"{value_text(before)} → (known after apply)"
    if before == ABSENT_VALUE:
        return f"set to {value_text(after)} on apply"
    if after == ABSENT_VALUE:
        return f"removed on apply (now {value_text(before)})"
    return f"{' → '.join(_pair(before, after))} on apply"


def effects(attributes: Iterable[AttributeReport]) -> list[tuple[str, str, str]]:
    """What an apply does to attributes: for each a verb, its path, and its values, such as `sets`, `size`, `1 → 2`."""
    found = []
    for attribute, _ in folded(a for a in attributes if a.path and a.label not in (*SETTLED, Label.DERIVED)):
        if _is_secret(attribute):
            found.append(("sets", attribute.path, "values are not shown"))
        elif attribute.reality == ABSENT_VALUE:
            found.append(("adds", attribute.path, value_text(attribute.desired)))
        elif attribute.desired == ABSENT_VALUE:
            found.append(("removes", attribute.path, value_text(attribute.reality)))
        else:
            found.append(("sets", attribute.path, _planned(attribute).removesuffix(" on apply")))
    return found


def _notes(attribute: AttributeReport, mirrors: Sequence[str]) -> Iterator[str]:
    if not attribute.certain:
        yield " (not certain)"
    if attribute.forces_replacement:
        yield " (a revert forces replacement)" if attribute.label in OUTSIDE else " (forces replacement)"
    if mirrors:
        more = f" and {len(mirrors) - _MAX_MIRRORS} more" if len(mirrors) > _MAX_MIRRORS else ""
        yield f" (also in {', '.join(mirrors[:_MAX_MIRRORS])}{more})"
    if attribute.ignored_by:
        yield f" (ignored by {attribute.ignored_by})"
    if attribute.causes and attribute.label == Label.DERIVED:
        yield f" because of {', '.join(attribute.causes)}"


def _pair(before: Any, after: Any) -> tuple[str, str]:
    """Two values, cut so that the difference is visible."""
    old, new = _flat(before), _flat(after)
    if old == new:
        old, new = (msgspec.json.encode(value).decode() for value in (before, after))
    start = max(0, _alike(old, new) - 20)
    fits = len(old) <= _MAX_VALUE and len(new) <= _MAX_VALUE
    return _cut(old, 0 if fits else start), _cut(new, 0 if fits else start)


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _cut(text: str, start: int) -> str:
    text = f"…{text[start:]}" if start else text
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


def _flat(value: Any, depth: int = 0) -> str:
    """A JSON value as one line of text."""
    if isinstance(value, str):
        return " ".join(value.split()) or ('""' if not value else '" "')
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if not isinstance(value, Mapping | list):
        return str(value)
    if depth == _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        filled = [(key, item) for key, item in value.items() if _is_filled(item)]
        return f"{{{_items([f'{key}: {_flat(item, depth + 1)}' for key, item in filled[:_MAX_ITEMS]], filled)}}}"
    return f"[{_items([_flat(item, depth + 1) for item in value[:_MAX_ITEMS]], value)}]"


def _is_filled(value: Any) -> bool:
    """Whether a member of a mapping is shown: `false` and zero are values, what is null or empty is not."""
    return bool(value) or isinstance(value, bool | int | float)


def _items(shown: Sequence[str], everything: Sequence[Any]) -> str:
    more = len(everything) - len(shown)
    return ", ".join([*shown, f"{more} more"] if more else shown)


def who(trace: ObjectTrace | None) -> str:
    """Who probably changed it, in a few words with the evidence; empty where no author is known."""
    changed = trace.changed_by if trace is not None else None
    if changed is None or changed.confidence not in _EVIDENCE:
        return ""
    return f"Probably {changed.principal}, {_time(changed)}: {changed.event}"


def origin(trace: ObjectTrace, done: str) -> Iterator[str]:
    """Sentences on who probably changed an object, or why that is not known, and who wrote its block.

    Args:
        done: what was done to it, such as `changed`.
    """
    if trace.changed_by is not None:
        yield _changed_by(trace.changed_by, done, trace.changed_paths)
    elif trace.note:
        yield trace.note
    written = trace.written_by
    if written is not None:
        yield (
            f"Written in git by {written.author}, {written.date:%Y-%m-%d}: “{written.subject}” "
            f"({written.commit[:10]}, {written.path}:{written.line})"
        )


def _changed_by(changed: Trace, done: str, paths: Sequence[str]) -> str:
    evidence = _EVIDENCE.get(changed.confidence)
    if evidence is None:
        return f"Author unknown. At about that time: {changed.event}, {_time(changed)}."
    unproven = [path for path in paths if path not in changed.paths] if changed.paths else []
    if unproven:
        evidence = f"the event names the resource and {_listed(changed.paths)}, not {_listed(unproven)}"
    if changed.via == "aws":
        by_itself = f"Probably {done} by the AWS service {changed.principal} itself"
        return f"{by_itself}, {_time(changed)}: {changed.event} ({evidence})"
    via = _VIA.get(changed.via, changed.via)
    source = f" from {changed.source_ip}" if changed.source_ip else ""
    return f"Probably {done} by {changed.principal} {via}{source}, {_time(changed)}: {changed.event} ({evidence})"


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def _time(changed: Trace) -> str:
    return f"{changed.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
