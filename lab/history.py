"""A history of one environment: it is applied, then things happen to it, then DriftGuard looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lab.cloud import Values
from lab.compare import compare
from lab.configuration import Configuration
from lab.desire import Inputs
from lab.judge import Expected, Mismatch, expect
from lab.schema import Attribute
from lab.site import Site
from lab.situation import Situation, Then, moved_to
from lab.truth import NOT_KNOWN, identical
from lab.values import Dice

_TRIES: Final = 3
# How often a kind is tried: more often where it is seldom possible.
_USUAL: Final = 4
_OFTEN: Final[Mapping[str, int]] = {
    "parent deleted outside": 14,
    "reordered outside": 22,
    "empty map entry outside": 11,
    "element added outside": 8,
    "element removed outside": 8,
    "attribute changed outside": 6,
    "provider upgraded": 6,
    "keys changed": 8,
    "resource imported": 7,
    "resource added": 3,
    "value edited": 6,
    "ignore_changes added": 6,
    "tainted": 5,
    "state rolled back": 20,
    "time passed": 14,
    "variable changed": 5,
    "data source changed": 6,
    "environment variable changed": 6,
    "file outside edited": 3,
    "life shortened": 13,
    "value never settled": 11,
}
Change = Callable[["History"], str]
GIVEN: Final = {"v_given": "given"}
DATA_VALUES: Final = {"d_one": "looked up", "d_check": "fine"}


@dataclass
class History:
    """What happens to one site; each change notes its kind and a line for a person to repeat it.

    Attributes:
        touched: resource and attribute of each change so far, where later changes often meet it.
        applied_at: the commit that DriftGuard applied last; empty for none.
        noted: what occurred besides labels and kinds of change.
    """

    site: Site
    dice: Dice
    config: Configuration
    then: Then | None = None
    kinds: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    first_state: str = ""
    policy: Mapping[str, str] = field(default_factory=dict)
    touched: list[tuple[str, str]] = field(default_factory=list)
    applied_at: str = ""
    noted: list[str] = field(default_factory=list)

    def begin(self, *, baseline: bool = True) -> list[Mismatch]:
        """Commit, apply by hand, and have DriftGuard see it in sync."""
        site = self.site
        site.given.update(GIVEN)
        site.cloud.data.update(DATA_VALUES)
        site.commit(self.config, "first")
        site.terraform("init", "-input=false")
        site.apply()
        self.first_state = site.state_text()
        if not baseline:
            return []
        report = site.scan(noise=False)
        truth = expect(self.situation())
        mismatches = list(compare(truth, report))
        if report["verdict"] == "in_sync":
            self.then = self.seen_in_sync(truth)
        return mismatches

    def seen_in_sync(self, truth: Mapping[str, Expected]) -> Then:
        """The baseline after a scan in sync, which renews no value of what moves by itself."""
        reality, before = self.reality(), self.then.reality if self.then else {}
        for address, expected in truth.items():
            if address in reality:
                for fact in expected.facts:
                    if fact.label == "restless" and fact.path:
                        reality[address][fact.path] = before.get(address, {}).get(fact.path, NOT_KNOWN)
        state = self.site.state()
        outputs = dict(state.outputs)
        earlier = self.then.outputs if self.then else {}
        for name in outputs:
            if "restless" in truth.get(f"output.{name}", Expected("")).labels:
                outputs[name] = earlier.get(name, NOT_KNOWN)
        return Then(self.config, reality, self.inputs(), outputs, self.then.stood if self.then else {}, state.version)

    def seen_applied(self) -> Then:
        """The baseline after DriftGuard's own apply, which holds every value that the state has."""
        state = self.site.state()
        self.then = Then(self.config, dict(state.objects), self.inputs(), dict(state.outputs), version=state.version)
        standing = {
            (address, fact.path): fact.five
            for address, expected in expect(self.situation()).items()
            for fact in expected.facts
            if fact.path and fact.label != "noise" and fact.five and identical(fact.five.state, fact.five.reality)
        }
        return replace(self.then, stood=standing)

    def reality(self) -> dict[str, Values]:
        """What is there by address in the state; objects that are gone are left out."""
        seen = ((address, self.site.cloud.read(values["id"])) for address, values in self.site.state().objects.items())
        return {address: values for address, values in seen if values is not None}

    def is_forgotten(self, address: str) -> bool:
        """Whether Terraform forgets an object, which it then does not even read."""
        now = moved_to(self.config, address, self.site.state().objects)
        wanted = {a for resource in self.config.resources for a, _ in resource.instances()}
        return now not in wanted and (self.config.forgets(address) or self.config.forgets(now))

    def inputs(self) -> Inputs:
        """What reaches the configuration from outside of it now."""
        return Inputs(dict(self.site.given), dict(self.site.cloud.data), self.site.checkout)

    def situation(self) -> Situation:
        """Everything that the truth follows from, now, as another checkout sees it."""
        state = self.site.state()
        with self.site.cloud.from_elsewhere():
            reality = {address: self.site.cloud.read(values["id"]) for address, values in state.objects.items()}
        imported = {a: v for a, i in self.config.imports.items() if (v := self.site.cloud.read(i)) is not None}
        return Situation(
            types=self.site.types,
            config=self.config,
            written=state,
            reality=reality,
            inputs=self.inputs(),
            then=self.then,
            imported=imported,
        )

    def commit(self, config: Configuration, message: str, files: dict[str, str] | None = None) -> None:
        addresses = {resource.address for resource in config.resources}
        imports = {address: object_id for address, object_id in config.imports.items() if address in addresses}
        self.config = config = replace(config, imports=imports)
        self.site.commit(config, message, files)

    def judge(self) -> tuple[dict[str, Expected], Mapping[str, Any], list[Mismatch]]:
        """What the truth is, what DriftGuard reports, and where that differs."""
        report = self.site.scan(noise=self.dice.flag(4))
        truth = expect(self.situation())
        mismatches = list(compare(truth, report))
        if report["verdict"] == "in_sync":
            self.then = self.seen_in_sync(truth)
        return truth, report, mismatches

    def happen(self, changes: Mapping[str, Change]) -> None:
        """Draw one change that is possible now, and make it."""
        fresh = [item for item in changes.items() if item[0] not in self.kinds]
        varied = fresh if fresh and not self.dice.flag(4) else list(changes.items())
        options = [item for item in varied for _ in range(_OFTEN.get(item[0], _USUAL))]
        for _ in range(_TRIES):
            kind, change = self.dice.choice(options)
            line = change(self)
            if line:
                self.kinds.append(kind)
                self.log.append(f"{kind}: {line}")
                return


def described(history: History) -> Iterator[str]:
    """A history for a person who has to repeat it."""
    for kind in history.site.types.values():
        yield f"  type {kind.name}: " + "; ".join(_short(a) for a in kind.own)
    if history.then is not None:
        for path, text in history.then.config.files(history.site.types).items():
            yield from (f"  {path} | {line}" for line in text.splitlines()[5 if path.endswith(".tf") else 0 :] if line)
    yield from (f"  {number}. {line}" for number, line in enumerate(history.log, 1))


def _short(attribute: Attribute) -> str:
    flags = [n for n in ("sensitive", "write_only", "replaces") if getattr(attribute, n)]
    flags += [f"default={attribute.default!r}"] if attribute.default is not None else []
    flags += [f"form={attribute.form}"] if attribute.form else []
    return " ".join((attribute.name, attribute.kind, attribute.mode, *flags))
