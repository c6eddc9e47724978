"""What is changed outside Terraform."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

from lab.cloud import Values, differs, normal
from lab.history import Change, History
from lab.schema import LISTS, SETS, Attribute, canonical
from lab.values import element, value


def _object(history: History) -> tuple[str, Values] | None:
    objects = history.site.cloud.objects
    options = sorted(objects.keys() - set(history.config.imports.values()))  # Terraform plans no import of nothing
    return (key := history.dice.choice(options), objects[key]) if options else None


def _picked(history: History, fits: Callable[[Attribute, Any], bool]) -> tuple[Values, Attribute] | None:
    """An object with one of its attributes that fits with its value."""
    cloud, options = history.site.cloud, []
    for object_id in sorted(cloud.objects.keys() - set(history.config.imports.values())):
        values, kind = cloud.objects[object_id], history.site.types[cloud.kinds[object_id]]
        fitting = [a for a in kind.own if not a.write_only and not a.clock and fits(a, values[a.name])]
        options += [(values, fitting)] if fitting else []
    if not options:
        return None
    values, fitting = history.dice.choice(options)
    return values, history.dice.choice(fitting)


def attribute_changed(history: History) -> str:
    """A new value for an attribute, often for one that was touched before."""
    picked = _touched(history) if history.touched and history.dice.flag() else _picked(history, lambda _, value: True)
    if picked is None:
        return ""
    values, attribute = picked
    new = value(history.dice, attribute)
    if attribute.mode != "required" and history.dice.flag(5):
        new = attribute.empty
    line = _set(values, attribute, new)
    if line:
        history.touched.append((str(values["name"]).split("-")[0], attribute.name))
    return line


def _touched(history: History) -> tuple[Values, Attribute] | None:
    name, attribute_name = history.dice.choice(history.touched)
    for object_id, values in sorted(history.site.cloud.objects.items()):
        kind = history.site.types[history.site.cloud.kinds[object_id]]
        found = [a for a in kind.own if a.name == attribute_name and not a.write_only and not a.clock]
        if str(values["name"]).split("-")[0] == name and found:
            return values, found[0]
    return None


def _set(values: Values, attribute: Attribute, new: Any) -> str:
    new = canonical(attribute.kind, normal(attribute, copy.deepcopy(new)))
    old = values[attribute.name]
    if not differs(attribute, old, new):
        return ""
    values[attribute.name] = new
    return f"{values['name']}.{attribute.name} ({attribute.kind}): {old!r} becomes {new!r}"


def empty_entry(history: History) -> str:
    picked = _picked(history, lambda a, _: a.kind == "map")
    if picked is None:
        return ""
    values, attribute = picked
    return _set(values, attribute, {**(values[attribute.name] or {}), history.dice.choice(("k", "new")): ""})


def element_added(history: History) -> str:
    picked = _picked(history, lambda a, _: a.kind in SETS or a.kind in LISTS)
    if picked is None:
        return ""
    values, attribute = picked
    old, more = values[attribute.name] or [], element(history.dice, attribute.kind)
    if attribute.kind in SETS and more in old:
        return ""
    return _set(values, attribute, [*old, more])


def element_removed(history: History) -> str:
    picked = _picked(history, lambda a, value: bool(value) and (a.kind in SETS or a.kind in LISTS))
    if picked is None:
        return ""
    values, attribute = picked
    old = list(values[attribute.name])
    old.pop(history.dice.number(0, len(old) - 1))
    return _set(values, attribute, old)


def reordered(history: History) -> str:
    picked = _picked(history, lambda a, value: a.kind in LISTS and bool(value) and value != value[::-1])
    if picked is None:
        return ""
    values, attribute = picked
    return _set(values, attribute, list(reversed(values[attribute.name])))


def deleted(history: History) -> str:
    found = _object(history)
    if found is None:
        return ""
    del history.site.cloud.objects[found[0]]
    return f"{found[1]['name']} is deleted"


def parent_deleted(history: History) -> str:
    objects = history.site.cloud.objects
    parents = sorted({v["parent"] for v in objects.values() if v["parent"] in objects})
    if not parents:
        return ""
    parent = history.dice.choice(parents)
    gone = [key for key, v in objects.items() if v["parent"] == parent]
    names = [objects.pop(key)["name"] for key in [parent, *gone]]
    return f"{names[0]} is deleted with {', '.join(names[1:])}"


def replaced(history: History) -> str:
    found = _object(history)
    if found is None:
        return ""
    cloud = history.site.cloud
    del cloud.objects[found[0]]
    kind = cloud.kinds[found[0]]
    again = cloud.create(kind, found[1])
    return f"{found[1]['name']} is made anew as {again['id']}"


OUTSIDE: Final[dict[str, Change]] = {
    "attribute changed outside": attribute_changed,
    "empty map entry outside": empty_entry,
    "element added outside": element_added,
    "element removed outside": element_removed,
    "reordered outside": reordered,
    "deleted outside": deleted,
    "parent deleted outside": parent_deleted,
    "replaced outside": replaced,
}
