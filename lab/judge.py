"""What DriftGuard has to report of a site, and where its report differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from lab.cloud import Values
from lab.desire import Desire, is_impure, moves
from lab.objects import ObjectTruth, still
from lab.situation import Situation, moved_to, views
from lab.truth import ABSENT, NOT_KNOWN, Fact, Five, label, same

# Where a test of the contract cannot be made, by name; every other uncertain label is a failure.
UNCERTAIN: Final[Mapping[str, str]] = {
    "no_baseline": "there is no baseline, so neither L nor the values of then are known",
    "unknown_but_changed": "a configured attribute was changed outside and its desired value is unknown until apply",
    "unknown_before": "what the baseline's commit wants is unknown until apply",
    "not_applied": "an impure function's value was applied by hand, so no digest of DriftGuard's own apply holds it",
    "quiet": "nothing is planned after a commit, so the values behind the label were not read",
}


@dataclass(slots=True)
class Expected:
    """The truth of one object: its facts by place."""

    address: str
    facts: list[Fact] = field(default_factory=list)

    @property
    def labels(self) -> set[str]:
        return {fact.label for fact in self.facts}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that DriftGuard should have reported otherwise."""

    where: str
    expected: str
    got: str
    five: Five | None = None

    @property
    def kind(self) -> str:
        """What was mistaken for what."""
        return f"{self.expected} → {self.got}"

    @property
    def only_uncertain(self) -> bool:
        """Whether the label is right and only its certainty is not."""
        return self.expected == self.got.replace("?", "")

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, got {self.got}" + (f"\n      {self.five}" if self.five else "")


def expect(situation: Situation) -> dict[str, Expected]:
    """The truth by address; only objects that have a label."""
    config, then = situation.config, situation.then
    now = views(situation, config)
    wanted = situation.wanted(config, now)
    earlier = None
    if then is not None:
        earlier = situation.wanted(then.config, views(situation, then.config))
    places = {moved_to(config, address, situation.state): address for address in situation.state}
    found = {}
    for address in sorted({*places, *wanted.instances}):
        known = ObjectTruth(situation, address, places.get(address), wanted, earlier)
        expected = Expected(address, list(known.facts()))
        if expected.labels:
            found[address] = expected
    found.update(_outputs(situation, wanted, earlier))
    found.update(_invocations(situation, wanted, now, found))
    return found


# The most important label of a resource comes first.
_ORDER: Final = ("conflict", "drift", "absorbed", "residue", "pending", "input", "refactor", "derived", "restless")


def _invocations(
    situation: Situation, wanted: Desire, now: Mapping[str, Values | None], found: Mapping[str, Expected]
) -> Iterator[tuple[str, Expected]]:
    """The actions that an apply would invoke: after each creation and change of a resource that has one."""
    for resource in situation.config.resources:
        for address, _ in resource.instances() if resource.notifies else ():
            mine, there = wanted.instances[address], now.get(address)
            if there is None or mine.replaced or moves(situation.types[resource.type], mine, there):
                labels = found[address].labels if address in found else set()
                label = next((name for name in _ORDER if name in labels), "pending")
                key = f"{resource.action} {address}"
                yield key, Expected(key, [Fact("", label)])


def _outputs(situation: Situation, wanted: Desire, earlier: Desire | None) -> Iterator[tuple[str, Expected]]:
    """The root outputs that have a label, as `output.NAME`: their reality is what the state holds."""
    config, then = situation.config, situation.then
    for name in sorted({*situation.written.outputs, *wanted.outputs}):
        there = situation.written.outputs.get(name, ABSENT)
        before = NOT_KNOWN if earlier is None else earlier.outputs.get(name, ABSENT)
        held = NOT_KNOWN if then is None else then.outputs.get(name, ABSENT)
        five = Five(there, there, wanted.outputs.get(name, ABSENT), before, held)
        tree = config.outputs.get(name)
        moving = is_impure(tree) and not same(there, five.desired) and there is not ABSENT
        if moving and (then is None or tree == then.config.outputs.get(name)) and still(five):
            fact: Fact | None = Fact("", "restless", held is not NOT_KNOWN, five)
        else:
            fact = next(
                (Fact("", *found, five) for found in [label(five, True, written=situation.is_written_since)] if found),
                None,
            )
        if fact is None and (name in situation.written.secret_outputs) != config.is_secret_output(name):
            fact = Fact("", "pending", then is not None, five)
        if fact is not None:
            address = f"output.{name}"
            yield address, Expected(address, [fact])
