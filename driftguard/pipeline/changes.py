"""One changed resource in words: what it was, what it is, what git wants, who did it.

Takes resources as the JSON report has them, which are redacted; gives plain text. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from driftguard.model import ChangeText
from driftguard.model.words import PLAIN_WORDS
from driftguard.sealed import REDACTED

OUTSIDE: Final = frozenset({"drift", "absorbed", "residue", "conflict"})
# What people read first.
_ORDER: Final = (
    "conflict",
    "drift",
    "absorbed",
    "residue",
    "pending",
    "input",
    "refactor",
    "derived",
    "adopted",
    "noise",
)
_LONGEST_VALUE: Final = 70
_MOST_ITEMS: Final = 20
_DEEPEST: Final = 4
_ABSENT: Final = "absent"
_UNSEEN: Final = {"conflict": "changed outside and by a commit", "pending": "git wants another value"}
_VIA: Final = {
    "console": "in the console",
    "terraform": "with Terraform",
    "cli": "with the AWS CLI",
    "sdk": "with an SDK",
    "service": "by a service",
    "api": "through the API",
}
# How sure it is, and what of the event fits.
_CONFIDENCE: Final = {
    "resource and changed field": ("", "resource and field match"),
    "resource": ("probably ", "the resource matches"),
    "time": ("perhaps ", "only the time matches"),
}


def change_text(resource: Mapping[str, Any], trace: Mapping[str, Any]) -> ChangeText:
    """One resource of a report.

    Args:
        trace: who changed it (`changed_by`) and who wrote its block (`written_by`), as far as that is known.
    """
    labels = [label for label in _ORDER if label in resource["labels"]]
    labels = labels[:1] if labels[:1] == ["conflict"] else [x for x in labels if x != "derived"] or labels
    label = _existence(resource) or "; ".join(PLAIN_WORDS[label] for label in labels)
    attributes = [a for a in resource["attributes"] if a["path"] or a["label"] in ("residue", "refactor")]
    # What only follows from something else is told where there is nothing else.
    told = [a for a in attributes if a["label"] != "derived"] or attributes
    lines = [_attribute(a) for a in sorted(told, key=lambda a: _ORDER.index(a["label"]))]
    if resource.get("attributes_omitted"):
        lines.append(f"and {resource['attributes_omitted']} more attributes")
    done = "deleted" if deleted_outside(resource) else "changed"
    return ChangeText(resource["address"], label, tuple(lines), tuple(_by(trace, done)))


def deleted_outside(resource: Mapping[str, Any]) -> bool:
    """Whether somebody deleted it."""
    return any(
        attribute["path"] == "" and attribute["reality"] == _ABSENT and attribute["label"] in OUTSIDE
        for attribute in resource["attributes"]
    )


def value_text(value: Any) -> str:
    """A value on one line, at most 70 characters; what is empty in a mapping is left out."""
    return _cut(_flat(value), 0)


def _existence(resource: Mapping[str, Any]) -> str:
    """What became of the object, or is to become of it; empty where that is not what changed."""
    for attribute in resource["attributes"]:
        if attribute["path"] or attribute["label"] in ("residue", "refactor"):
            continue
        sure = "" if attribute["certain"] else " (not certain)"
        if deleted_outside(resource):
            return f"deleted outside{sure}"
        if attribute["desired"] == _ABSENT:
            return f"{PLAIN_WORDS[attribute['label']]}: to be destroyed{sure}"
        if attribute["reality"] == _ABSENT:
            return f"{PLAIN_WORDS[attribute['label']]}: to be created{sure}"
    return ""


def _attribute(attribute: Mapping[str, Any]) -> str:
    """One attribute: from what to what, and what git wants where that is something else."""
    if attribute["label"] in ("residue", "refactor"):
        return str(attribute["rule"])
    path, state, reality, desired = (attribute[key] for key in ("path", "state", "reality", "desired"))
    label, replaces = attribute["label"], " (replaces the resource)" if attribute["forces_replacement"] else ""
    notes = ("" if attribute["certain"] else " (not certain)") + replaces
    moved = label in OUTSIDE or state != reality
    if attribute["sensitive"] or REDACTED in map(_scalar, (state, reality, desired)):
        said = _UNSEEN.get(label, "changed" if moved else "an apply would change it")
        return f"{path}: {said} (values are not shown){notes}"
    wanted = "a value known after apply" if attribute["unknown"] else value_text(desired)
    if label == "absorbed":
        return f"{path}: {_step(desired, reality)}{notes}"
    if state != reality:
        other = f", git wants {wanted}" if attribute["unknown"] or desired != state else ""
        return f"{path}: {_step(state, reality)}{other}{notes}"
    if label == "pending":
        return f"{path}: {value_text(reality)}, git wants {wanted}{notes}"
    return f"{path}: {value_text(reality)}, an apply would make it {wanted}{notes}"


def _scalar(value: Any) -> Any:
    return value if isinstance(value, str) else None


def _step(before: Any, after: Any) -> str:
    """From one value to another, cut so that what differs is to be seen."""
    if before == _ABSENT:
        return f"added {value_text(after)}"
    if after == _ABSENT:
        return f"removed (was {value_text(before)})"
    old, new = _flat(before), _flat(after)
    if old == new:
        old, new = (msgspec.json.encode(value).decode() for value in (before, after))
    start = max(0, _alike(old, new) - 20)
    fits = len(old) <= _LONGEST_VALUE and len(new) <= _LONGEST_VALUE
    return f"{_cut(old, 0 if fits else start)} → {_cut(new, 0 if fits else start)}"


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _cut(text: str, start: int) -> str:
    text = f"…{text[start:]}" if start else text
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _flat(value: Any, depth: int = 0) -> str:
    """A JSON value as one line of text."""
    if isinstance(value, str):
        return " ".join(value.split()) or ('""' if not value else '" "')
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, Mapping | list):
        return str(value)
    if depth == _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        filled = [(key, item) for key, item in value.items() if item or (item == 0 and item is not False)]
        return f"{{{_items([f'{key}: {_flat(item, depth + 1)}' for key, item in filled[:_MOST_ITEMS]], filled)}}}"
    return f"[{_items([_flat(item, depth + 1) for item in value[:_MOST_ITEMS]], value)}]"


def _items(shown: Sequence[str], everything: Sequence[Any]) -> str:
    more = len(everything) - len(shown)
    return ", ".join([*shown, f"{more} more"] if more else shown)


def _by(trace: Mapping[str, Any], done: str) -> Iterator[str]:
    changed, written = trace.get("changed_by"), trace.get("written_by")
    if changed:
        sure, because = _CONFIDENCE.get(changed["confidence"], ("perhaps ", changed["confidence"]))
        said = f"{sure}{done} by".capitalize()
        via = _VIA.get(changed["via"], changed["via"])
        source = f" from {changed['source_ip']}" if changed["source_ip"] else ""
        yield f"{said} {changed['principal']} {via}{source}, {_day(changed['at'])}: {changed['event']} ({because})"
    elif trace.get("note"):
        yield str(trace["note"])
    if written:
        yield (
            f"Written in git by {written['author']}, {str(written['date'])[:10]}: “{written['subject']}” "
            f"({written['commit'][:10]}, {written['path']}:{written['line']})"
        )


def _day(moment: object) -> str:
    """`2026-11-23T11:41:08Z` as people read it."""
    return f"{str(moment)[:16].replace('T', ' ')} UTC"
