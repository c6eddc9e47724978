"""One object's five views, and the facts that follow from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from lab.cloud import Values, is_due
from lab.desire import Desire, Wanted
from lab.schema import FILE, FILES_OF_THE_CHECKOUT, Attribute, Type
from lab.situation import Situation, type_of
from lab.truth import ABSENT, NOT_KNOWN, PRESENT, Fact, Five, facts, identical, is_open, label, places, same
from lab.wire import UNKNOWN

_NOTHING: Final = Wanted({})
_ENDS: Final = ("", ".", "[")


class ObjectTruth:
    """One object's five views."""

    def __init__(
        self, situation: Situation, address: str, before: str | None, wanted: Desire, earlier: Desire | None
    ) -> None:
        self._address, self._before, self._situation = address, before, situation
        self._wanted: Wanted | None = wanted.instances.get(address)
        self._imported = before is None and address in situation.config.imports
        self.state: Values | None = situation.state[before] if before is not None else None
        self.reality = situation.reality[before] if before is not None else None
        if self._imported:
            self.state = self.reality = situation.imported[address]
        self.desired = self._wanted.values if self._wanted else None
        self._wanted_before: Wanted | None = None
        self.earlier: Any = NOT_KNOWN
        if earlier is not None:
            places = self._addresses_before()
            self._wanted_before = next((earlier.instances[a] for a in places if a in earlier.instances), None)
            self.earlier = self._wanted_before.values if self._wanted_before else None
        self.then: Any = NOT_KNOWN
        if situation.then is not None:
            known = situation.then.reality
            self.then = next((known[a] for a in self._addresses_before() if a in known), None)

    def _addresses_before(self) -> Iterator[str]:
        """Where the object may have been at the baseline: here, where the state has it, or before moves since."""
        yield self._address
        yield self._before or self._address
        before, moves = self._address, list(self._situation.config.moved)
        while found := next((m for m in moves if before.startswith(m[1]) and before[len(m[1]) :][:1] in _ENDS), None):
            moves.remove(found)
            before = found[0] + before[len(found[1]) :]
            yield before

    def facts(self) -> Iterator[Fact]:
        """The object's own labels, then those of its attributes; `noise` for what differs in form alone."""
        marks = self._situation.written.secret.get(self._before or "", frozenset())
        wanted = self._wanted or _NOTHING
        found = list(self._facts())
        if not found and self.state is not None and not identical(self.state, self.reality):
            found = [Fact("", "noise")]
        for fact in found:
            name = fact.attribute
            secret = fact.secret or (bool(name) and (name in marks | wanted.secret or self._is_secret(name)))
            forces = bool(name) and self.reality is not None and name in wanted.replaces
            yield replace(fact, secret=secret, forces=forces)

    def _is_secret(self, name: str) -> bool:
        return self._kind.attribute(name).sensitive

    def _facts(self) -> Iterator[Fact]:
        yield from self._existence()
        if self.state is None or (self._is_forgotten and self.desired is None):
            return
        for attribute in self._kind.attributes:
            five = self._five(attribute.name)
            if self.reality is not None and self.desired is not None:
                yield from self._both(attribute, five)
            elif self.reality is not None:
                yield from self._lost(attribute, five)
            elif self.desired is not None and five.desired is not UNKNOWN:
                yield from self._news(attribute, replace(five, reality=five.state))
        yield from self._secrets()

    def _both(self, attribute: Attribute, five: Five) -> Iterator[Fact]:
        """Where an object is there and wanted."""
        assert self._wanted is not None
        if self._is_due and five.desired is UNKNOWN:
            yield Fact(attribute.name, "input", True, five)
            return
        if self._stood(attribute, five):
            yield Fact(attribute.name, "restless", True, five)
            return
        impure = attribute.name in self._wanted.impure and not same(five.reality, five.desired)
        if impure and self._is_restless(attribute, five):
            by_us = five.then is not NOT_KNOWN  # else by hand, see `UNCERTAIN`
            anew = attribute.name in self._wanted.replaces
            yield Fact(attribute.name, "pending" if anew else "restless", by_us, five)
            return
        configured = attribute.name in self._wanted.configured
        for fact in facts(attribute, five, configured, written=self._situation.is_written_since):
            if fact.five is None or not self._is_form_alone(fact.five):
                yield fact

    def _is_form_alone(self, five: Five) -> bool:
        """Whether null and empty are one: nothing is planned there, or a new object without a look at the old one."""
        assert self._wanted is not None
        unplanned = self._wanted.replaced or identical(five.reality, five.desired)
        return unplanned and not (five.state or five.reality or five.desired)

    def _stood(self, attribute: Attribute, five: Five) -> bool:
        """Whether the very same difference stood right after DriftGuard's own apply."""
        known = self._situation.then.stood if self._situation.then else {}
        places = ((address, attribute.name) for address in self._addresses_before())
        then = next((known[place] for place in places if place in known), None)
        if then is None or not identical(five.state, five.reality):
            return False
        return identical(five.reality, then.reality) and identical(five.desired, then.desired)

    def _is_restless(self, attribute: Attribute, five: Five) -> bool:
        """Whether the source is as it was at the baseline."""
        if not identical(five.state, five.reality) or not still(five):
            return False
        if self._situation.then is None:
            return True
        before = self._wanted_before.trees.get(attribute.name) if self._wanted_before else None
        assert self._wanted is not None
        return bool(before == self._wanted.trees[attribute.name])

    @property
    def _kind(self) -> Type:
        return self._situation.types[type_of(self._address)]

    def _lost(self, attribute: Attribute, five: Five) -> Iterator[Fact]:
        """About to be deleted: an outside change to it is a conflict, unless it leads to what was wanted or there."""
        for path, values in places(attribute, attribute.name, replace(five, desired=five.reality)):
            if not same(values.state, values.reality) and (values.state or values.reality):
                certain = values.wanted is not NOT_KNOWN and not is_open(values.wanted)
                if not same(values.reality, values.wanted) and not same(values.reality, values.then):
                    yield Fact(path, "conflict", certain, values, lost=True)

    def _news(self, attribute: Attribute, five: Five) -> Iterator[Fact]:
        """Beside a deletion outside Terraform only what a commit changed since is reported, as if it were there."""
        for path, values in places(attribute, attribute.name, five):
            if values.desired is UNKNOWN:
                continue
            if values.wanted is NOT_KNOWN and not same(values.desired, values.state):
                if values.state or values.desired:
                    yield Fact(path, "pending", False, values, gone=True)
            elif values.wanted is not NOT_KNOWN and not same(values.desired, values.wanted):
                found = label(values, True, written=self._situation.is_written_since)
                if found is not None and found[0] != "noise":
                    yield Fact(path, found[0], found[1], values, gone=True)

    def _secrets(self) -> Iterator[Fact]:
        """Attributes whose sensitivity alone a commit changed."""
        if self._wanted is None or self._before is None or None in (self.state, self.reality):
            return
        marked = self._situation.written.secret[self._before]
        for name in sorted(self._wanted.configured - self._wanted.ignored):
            five = self._five(name)
            unchanged = same(five.state, five.reality) and same(five.reality, five.desired)
            if (
                unchanged
                and not self._kind.attribute(name).sensitive
                and (name in self._wanted.secret) != (name in marked)
            ):
                yield Fact(name, "pending", self._situation.then is not None, five, secret=True)

    def _five(self, name: str) -> Five:
        views = (self.state, self.reality, self.desired, self.earlier, self.then)
        return Five(*(v if v is NOT_KNOWN else ABSENT if v is None else v[name] for v in views))

    def _is_news(self, fact: Fact) -> bool:
        """Beside a deletion outside Terraform only what a commit changed since is reported."""
        five = fact.five
        return five is not None and five.desired is not UNKNOWN and fact.label == "conflict"

    @property
    def _is_forgotten(self) -> bool:
        forgets = self._situation.config.forgets
        return self._before is not None and (forgets(self._before) or forgets(self._address))

    def _existence(self) -> Iterator[Fact]:
        if self._before in self._situation.written.tainted and self.reality is not None and self.desired is not None:
            yield Fact("", "residue")
        elif self.desired is None and self._is_forgotten:
            yield Fact("", "refactor")  # also where the object is gone: Terraform plans to forget it all the same
            return
        elif self._imported or self._before not in (None, self._address):
            yield Fact("", "refactor")
        if self._imported:
            return
        views = (self.state, self.reality, self.desired, self.earlier, self.then)
        five = Five(*(v if v is NOT_KNOWN else ABSENT if v is None else PRESENT for v in views))
        if self._is_due and self.desired is not None:
            yield Fact("", "input", True, five)
            return
        if self._is_file_of_the_checkout:
            yield Fact("", "restless", self._situation.then is not None, five)
            return
        found = label(five, True, written=self._situation.is_written_since)
        if found is not None:
            yield Fact("", found[0], found[1], five)

    @property
    def _is_due(self) -> bool:
        return is_due(self._kind.name, self.state)

    @property
    def _is_file_of_the_checkout(self) -> bool:
        """Whether it is a file that lies in the work tree of another checkout, under the same name as before."""
        if self._kind.name != FILE.name or self.reality is not None or self.state is None or self.desired is None:
            return False
        name = str(self.state["filename"])
        return name == self.desired["filename"] and name in FILES_OF_THE_CHECKOUT


def still(five: Five) -> bool:
    """Whether nothing but DriftGuard's own apply wrote what is there."""
    return five.then is NOT_KNOWN or same(five.reality, five.then)
