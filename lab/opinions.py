"""Second opinions: Terraform's own plans, and what must not change a report or must change it back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from lab.cloud import Values
from lab.compare import QUIET, compare
from lab.configuration import Configuration, Moment
from lab.history import History
from lab.judge import Mismatch, expect
from lab.outside import OUTSIDE
from lab.schema import Type, canonical
from lab.situation import type_of, views
from lab.truth import identical
from lab.wire import UNKNOWN

Opinion = Callable[[History, Mapping[str, Any]], Iterator[Mismatch]]


def plan_at_head(history: History, report: Mapping[str, Any]) -> Iterator[Mismatch]:
    """D is what Terraform plans."""
    situation = history.situation()
    yield from _agrees(history, "D", situation.config, refresh=True, reality=views(situation, situation.config))


def plan_of_the_baseline(history: History, report: Mapping[str, Any]) -> Iterator[Mismatch]:
    """L is what Terraform plans for the baseline's commit."""
    situation = history.situation()
    if situation.then is not None:
        config = situation.then.config
        yield from _agrees(history, "L", config, refresh=True, reality=views(situation, config))


def plan_without_refresh(history: History, report: Mapping[str, Any]) -> Iterator[Mismatch]:
    """Without a refresh, D follows from S in place of R: drift disappears, pending changes stay."""
    situation = history.situation()
    situation = replace(situation, reality=dict(situation.state))
    yield from _agrees(history, "D of S", situation.config, refresh=False, reality=views(situation, situation.config))


def _agrees(
    history: History, name: str, config: Configuration, *, refresh: bool, reality: Mapping[str, Values | None]
) -> Iterator[Mismatch]:
    situation = history.situation()
    inputs = replace(situation.inputs, checkout=str(history.site.scratch))
    wanted = situation.wanted(config, reality, inputs)
    planned = history.site.planned(config, refresh=refresh)
    for address, mine in wanted.instances.items():
        kind = history.site.types[type_of(address)]
        theirs = _after(kind, planned[address])
        for attribute in kind.attributes:
            left, right = mine.values[attribute.name], theirs[attribute.name]
            if not identical(left, right) and not isinstance(left, Moment):
                yield Mismatch(f"{address} {attribute.name}, {name} of the laboratory", repr(left), repr(right))
    for address, change in planned.items():
        if address not in wanted.instances and address in reality and change["after"] is not None:
            yield Mismatch(f"{address}, {name} of the laboratory", "absent", str(change["actions"]))


def _after(kind: Type, change: Mapping[str, Any]) -> Values:
    after, unknown = change["after"] or {}, change["after_unknown"]
    return {a.name: canonical(a.kind, _filled(after.get(a.name), unknown.get(a.name))) for a in kind.attributes}


def _filled(value: Any, unknown: Any) -> Any:
    if unknown is True:
        return UNKNOWN
    if isinstance(unknown, list) and isinstance(value, list):
        masks = [*unknown, *[False] * (len(value) - len(unknown))]
        return [_filled(item, mask) for item, mask in zip(value, masks, strict=False)]
    if isinstance(unknown, list):
        return [_filled(None, mask) for mask in unknown]
    if isinstance(unknown, dict) and isinstance(value, dict):
        return {key: _filled(item, unknown.get(key)) for key, item in value.items()}
    return value


def again(history: History, report: Mapping[str, Any]) -> Iterator[Mismatch]:
    """A second run reports the same."""
    yield from _same_report("a second run", report, history.site.scan())


def shuffled(history: History, report: Mapping[str, Any]) -> Iterator[Mismatch]:
    """The order of resources in the configuration changes neither a label nor the drift's fingerprint."""
    config = replace(history.config, resources=tuple(reversed(history.config.resources)))
    history.commit(config, "other order")
    other = history.site.scan()
    yield from compare(expect(history.situation()), other)
    if other["drift_fingerprint"] != report["drift_fingerprint"]:
        yield Mismatch("drift fingerprint in another order", "the same", "another")


def undone(history: History, report: Mapping[str, Any]) -> Iterator[Mismatch]:
    """One more change outside Terraform gives another report; its undoing gives the earlier one.

    Unless the change brought the environment in sync, such as the deletion of what a commit removed: then it is the
    baseline, and its undoing is drift.
    """
    objects, kinds = copy.deepcopy(history.site.cloud.objects), dict(history.site.cloud.kinds)
    history.happen(OUTSIDE)
    truth, between = expect(history.situation()), history.site.scan()
    yield from compare(truth, between)
    if between["verdict"] == "in_sync" != report["verdict"]:
        return
    history.site.cloud.objects, history.site.cloud.kinds = objects, kinds
    yield from _same_report("a change that was undone", report, history.site.scan())


def unreadable(history: History) -> Iterator[Mismatch]:
    """A cloud that cannot be read gives `unknown`, and leaves the baseline as it was."""
    history.site.cloud.unreadable = True
    report = history.site.scan()
    history.site.cloud.unreadable = False
    if report["verdict"] != "unknown":
        yield Mismatch("environment whose cloud cannot be read", "unknown", report["verdict"])


def _same_report(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Mismatch]:
    for name in ("verdict", "drift_fingerprint", "plan_fingerprint"):
        if one[name] != other[name]:
            yield Mismatch(f"{name} after {what}", str(one[name]), str(other[name]))
    if _labels(one) != _labels(other):
        yield Mismatch(f"labels after {what}", str(_labels(one)), str(_labels(other)))


def _labels(report: Mapping[str, Any]) -> dict[str, Any]:
    """Labels by address; what is only noise or adopted changes with the baseline that moves."""
    return {r["address"]: sorted(r["labels"]) for r in report["resources"] if not set(r["labels"]) <= QUIET}


OPINIONS: Final[Mapping[str, Opinion]] = {
    "plan at head": plan_at_head,
    "plan of the baseline": plan_of_the_baseline,
    "plan without refresh": plan_without_refresh,
    "second run": again,
    "other order": shuffled,
    "change undone": undone,
}
