"""The cloud that the laboratory owns, and how its provider plans: both in memory, both known to the truth."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lab.schema import CERTIFICATE, FILE, ROTATING, STUBBORN, TIMES, Attribute, Type, canonical
from lab.wire import UNKNOWN

Values = dict[str, Any]


# What the cloud makes of an attribute that the configuration leaves to it, by kind; an empty list for all others.
_MADE: Mapping[str, Any] = {
    "number": 7,
    "bool": False,
    "json": "{}",
    "map": {},
    "nested_map": {},
    "object": {"p": "made", "q": None},
    "nested": {"p": "made", "q": None},
}
_READY: Final = "ready_for_renewal"


class Refused(Exception):
    """The cloud refuses an operation."""


@dataclass
class Cloud:
    """Objects by id, with the values that data sources read and a log of every effect.

    Attributes:
        refuse: names of objects whose changes fail.
        life: how long an object lives that is due by the clock.
        unreadable: whether no object can be read.
        elsewhere: whether who asks has another checkout than the one that files were written into.
    """

    types: dict[str, Type] = field(default_factory=dict)
    objects: dict[str, Values] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    refuse: set[str] = field(default_factory=set)
    effects: list[tuple[str, str]] = field(default_factory=list)
    made: int = 0
    life: timedelta = timedelta(days=30)
    unreadable: bool = False
    elsewhere: bool = False

    def read(self, object_id: str) -> Values | None:
        """An object as a refresh sees it."""
        if self.unreadable:
            raise Refused(f"The cloud is out of order: {object_id} cannot be read.")
        found = self.objects.get(object_id)
        if found is None or self._is_out_of_sight(self.kinds[object_id], found):
            return None
        return copy.deepcopy(found)

    @contextmanager
    def from_elsewhere(self) -> Iterator[None]:
        """While it lasts, files that lie in the checkout of the last apply are not found."""
        before, self.elsewhere = self.elsewhere, True
        try:
            yield
        finally:
            self.elsewhere = before

    def _is_out_of_sight(self, kind: str, found: Values) -> bool:
        if kind == FILE.name:
            return self.elsewhere and not str(found["filename"]).startswith("/")
        return kind == ROTATING.name and is_due(kind, found)

    def create(self, type_name: str, planned: Values) -> Values:
        """Make an object of what was planned."""
        self._may(planned)
        self.made += 1
        object_id = f"i-{self.made}"
        self.kinds[object_id] = type_name
        return self._store("create", object_id, planned)

    def update(self, object_id: str, planned: Values) -> Values:
        """Change an object to what was planned."""
        self._may(planned)
        return self._store("update", object_id, planned)

    def delete(self, object_id: str) -> None:
        """Delete an object through the provider."""
        found = self.objects.pop(object_id, None)
        if found is not None:
            self.effects.append(("delete", str(found["name"])))

    def notify(self, text: str) -> None:
        """What an action does."""
        if text in self.refuse:
            raise Refused(f"The cloud does not notify {text}.")
        self.effects.append(("notify", text))

    def named(self, name: str) -> str | None:
        """The id of the object with a name."""
        return next((key for key, value in self.objects.items() if value["name"] == name), None)

    def _may(self, planned: Values) -> None:
        if planned["name"] in self.refuse:
            raise Refused(f"The cloud refuses {planned['name']}.")

    def _store(self, verb: str, object_id: str, planned: Values) -> Values:
        self.made += 1
        kind = self.types[self.kinds[object_id]]
        filled = {a.name: _filled(a.kind, planned[a.name], f"{a.name}-{self.made}") for a in kind.attributes}
        filled["id"] = object_id
        filled.update({a.name: normal(a, filled[a.name]) for a in kind.attributes if a.form == STUBBORN})
        if verb == "create" and kind.name in TIMES:
            now = datetime.now(UTC)
            filled.update(zip(TIMES[kind.name], (moment(now), moment(now + self.life)), strict=True))
        self.objects[object_id] = {a.name: copy.deepcopy(normal(a, filled[a.name])) for a in kind.attributes}
        self.effects.append((verb, str(filled["name"])))
        return filled


def moment(at: datetime) -> str:
    """RFC 3339."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def is_due(kind: str, values: Values | None) -> bool:
    """Whether an object's time has come."""
    return values is not None and kind in TIMES and str(values[TIMES[kind][1]]) < moment(datetime.now(UTC))


def is_due_again(kind: str, values: Values) -> bool:
    """Whether an object was due already when it was made."""
    return kind in TIMES and bool(values[TIMES[kind][1]]) and values[TIMES[kind][1]] <= values[TIMES[kind][0]]


def plan(kind: Type, prior: Values | None, config: Values) -> tuple[Values, set[str]]:
    """What the provider plans for a configuration, and the attributes that force a replacement."""
    planned: Values = {}
    for attribute in kind.attributes:
        planned[attribute.name] = _planned(attribute, prior, config.get(attribute.name))
    if prior is None:
        return planned, set()
    changed = {a.name for a in kind.attributes if differs(a, planned[a.name], prior[a.name])}
    if changed:
        planned.update({a.name: UNKNOWN for a in kind.attributes if a.volatile})
    replaces = {a.name for a in kind.attributes if a.replaces and a.name in changed}
    if kind.name == CERTIFICATE.name and is_due(kind.name, prior):
        planned[_READY] = UNKNOWN
        replaces.add(_READY)
    return planned, replaces


def differs(attribute: Attribute, left: Any, right: Any) -> bool:
    """Whether two values of an attribute are not the same to Terraform."""
    left, right = canonical(attribute.kind, left), canonical(attribute.kind, right)
    return bool(json.dumps(left, sort_keys=True, default=repr) != json.dumps(right, sort_keys=True, default=repr))


def normal(attribute: Attribute, value: Any) -> Any:
    """A value in the form that the provider gives it."""
    if value is None or value is UNKNOWN:
        return value
    if attribute.form in ("lower", STUBBORN) and isinstance(value, str):
        return value.lower()
    if attribute.form == "order" and isinstance(value, list):
        return sorted(value, key=repr)
    if attribute.form == "json" and isinstance(value, str):
        return json.dumps(json.loads(value), sort_keys=True, separators=(",", ":"))
    return value


def _planned(attribute: Attribute, prior: Values | None, wanted: Any) -> Any:
    before = prior[attribute.name] if prior is not None else None
    if attribute.write_only:
        return None
    if attribute.mode == "computed":
        return UNKNOWN if prior is None else before
    if wanted is None and attribute.mode == "both":
        if attribute.default is not None:
            return canonical(attribute.kind, attribute.default)
        return UNKNOWN if prior is None else before
    if attribute.form == STUBBORN:
        return wanted
    if prior is not None and not differs(attribute, normal(attribute, wanted), normal(attribute, before)):
        return before
    return wanted


def _filled(kind: str, value: Any, made: str) -> Any:
    """A planned value with something of its kind where it was not known."""
    if value is UNKNOWN:
        return made if kind == "string" else copy.deepcopy(_MADE.get(kind, []))
    if isinstance(value, dict):
        return {key: _filled("string", item, made) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled("string", item, made) for item in value]
    return value
