"""Decisions under a policy, and what an apply of DriftGuard's may touch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lab.cloud import Values, is_due_again, normal
from lab.compare import QUIET
from lab.configuration import Moment
from lab.desire import Desire
from lab.history import History
from lab.judge import Expected, Mismatch, expect
from lab.situation import Situation, moved_to, type_of, views
from lab.truth import identical, verdict
from lab.wire import UNKNOWN

# Everything is allowed that the policy wants, so that what is decided follows from the labels alone.
ACTING: Final = """policy:
  pending: {pending}
  drift: {drift}
  input: {input}
  limits: {{changes: 1000, destroys: 1000, replaces: 1000, invocations: 1000, share: 100%}}
"""
_GROUPS: Final[Mapping[str, frozenset[str]]] = {
    "pending": frozenset({"pending", "refactor"}),
    "drift": frozenset({"drift", "absorbed", "residue"}),
    "input": frozenset({"input"}),
}
_ALMOST_EVERYTHING: Final = 0.8


def decided(truth: Mapping[str, Expected], policy: Mapping[str, str], *, held: bool, replaces: bool) -> str:
    """The decision that follows from labels and a policy of `alert` and `apply` or `revert`.

    Args:
        held: whether the state or the number of deletions forbids an apply, whatever the labels are.
        replaces: whether an object that is there is to be replaced.
    """
    labels = {label for expected in truth.values() for label in expected.labels}
    if verdict([labels], replaces=replaces) == "in_sync":
        return "none"
    groups = {group for group, members in _GROUPS.items() if labels & members}
    if not groups and "conflict" not in labels and "derived" in labels:
        groups = {"input"}
    words = {policy[group] for group in groups}
    if words <= {"alert"} and "conflict" not in labels:
        return "alert"
    # What moves by itself is applied with anything else, certain or not.
    acted_on = [expected for expected in truth.values() if not expected.labels <= QUIET]
    certain = all(f.certain or f.label == "restless" for expected in acted_on for f in expected.facts)
    return "hold" if "conflict" in labels or "alert" in words or not certain or held else "apply"


def _is_held(history: History, situation: Situation, truth: Mapping[str, Expected]) -> bool:
    """Whether the plan deletes almost everything for good, or makes what is due again, or the state lost everything."""
    now = views(situation, situation.config)
    wanted = situation.wanted(situation.config, now)
    kept = wanted.instances.keys() | {a for a in now if situation.config.forgets(a)}
    deleted = sum(1 for a, values in now.items() if values is not None and a not in kept)
    existing = sum(1 for values in now.values() if values is not None)
    due = {address for address, expected in truth.items() for f in expected.facts if not f.path and f.label == "input"}
    again = any(
        is_due_again(type_of(address), values) and moved_to(situation.config, address, situation.state) in due
        for address, values in situation.state.items()
    )
    held = situation.then is not None and bool(situation.then.reality or situation.then.outputs)
    lost = held and not situation.written.outputs and not history.site.state_resources()
    return again or lost or (deleted > 1 and deleted >= _ALMOST_EVERYTHING * existing)


def applied(history: History) -> Iterator[Mismatch]:
    """Let DriftGuard act on an environment whose decision is known; it may touch nothing else."""
    situation = history.situation()
    truth = expect(situation)
    now = views(situation, situation.config)
    wanted = situation.wanted(situation.config, now)
    replaces = any(mine.replaced and now.get(address) is not None for address, mine in wanted.instances.items())
    expected = decided(truth, history.policy, held=_is_held(history, situation, truth), replaces=replaces)
    before, effects = copy.deepcopy(history.site.cloud.objects), len(history.site.cloud.effects)
    report = history.site.scan(acts=True)
    if report["decision"]["action"] != expected:
        yield Mismatch("decision", expected, f"{report['decision']['action']} {report['decision']['reasons']}")
        return
    if expected != "apply":
        if history.site.cloud.objects != before or len(history.site.cloud.effects) != effects:
            yield Mismatch("the cloud after no apply", "untouched", str(history.site.cloud.effects[effects:]))
        return
    yield from _touched(history, truth, wanted, before)
    yield from _reached(history, wanted)
    after = history.site.scan()
    again = any(is_due_again(type_of(a), values) for a, values in history.site.state().objects.items())
    if after["verdict"] != ("pending" if again else "in_sync"):
        yield Mismatch("verdict after the apply", "pending" if again else "in_sync", after["verdict"])
    if again:
        yield from _held_as_due_again(history)
        return
    history.applied_at = history.site.head
    if any(resource["labels"] == ["restless"] for resource in after["resources"]):
        history.noted.append("restless alone after an apply")


def _held_as_due_again(history: History) -> Iterator[Mismatch]:
    """What is due again after its own apply is not applied again."""
    history.noted.append("due again after an apply")
    effects = len(history.site.cloud.effects)
    decision = history.site.scan(acts=True)["decision"]
    expected = "hold" if history.policy["input"] == "apply" else "alert"
    if decision["action"] != expected:
        yield Mismatch("decision after the apply", expected, f"{decision['action']} {decision['reasons']}")
    if len(history.site.cloud.effects) != effects:
        yield Mismatch("the cloud after no apply", "untouched", str(history.site.cloud.effects[effects:]))


def _touched(
    history: History, truth: Mapping[str, Expected], wanted: Desire, before: Mapping[str, Values]
) -> Iterator[Mismatch]:
    """Objects without a label that an apply acts on stay as they were, to the letter."""
    state = history.site.state().objects
    for address in wanted.instances:
        labels = truth[address].labels if address in truth else set()
        if labels <= {"noise", "adopted", "refactor"}:
            object_id = state[address]["id"]
            if before.get(object_id) != history.site.cloud.objects.get(object_id):
                yield Mismatch(f"{address} after the apply", "untouched", "changed")


def _reached(history: History, wanted: Desire) -> Iterator[Mismatch]:
    """Reality is what the configuration wants, wherever that was known."""
    reality, state = history.reality(), history.site.state().objects
    for address, mine in wanted.instances.items():
        there: Any = reality.get(address)
        if address in state and is_due_again(type_of(address), state[address]):
            continue  # out of sight already
        for name, value in mine.values.items():
            if there is None or (
                _is_known(value) and not identical(there[name], _as_read(history, address, name, value))
            ):
                yield Mismatch(f"{address} {name} after the apply", repr(value), repr(there and there[name]))


def _is_known(value: Any) -> bool:
    return "unknown" not in repr(value) and value is not UNKNOWN and not isinstance(value, Moment)


def _as_read(history: History, address: str, name: str, value: Any) -> Any:
    return normal(history.site.types[type_of(address)].attribute(name), value)
