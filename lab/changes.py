"""Every kind of change of a history by name; here those of the state and of inputs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Final

from lab.commits import COMMITS, any_resource
from lab.drawing import DATA
from lab.history import Change, History
from lab.outside import OUTSIDE
from lab.schema import TIMES
from lab.site import TerraformFailed
from lab.values import value


def refreshed(history: History) -> str:
    try:
        history.site.apply("-refresh-only")
    except TerraformFailed:
        return ""  # Terraform cannot apply a plan in which only an output is unknown
    return "refresh-only"


def targeted(history: History) -> str:
    resource = any_resource(history)
    if resource is None:
        return ""
    try:
        history.site.apply(f"-target={resource.address}")
    except TerraformFailed:
        return ""  # Terraform wants a move to be covered by the target
    return f"apply of {resource.address}"


def partial(history: History) -> str:
    objects = history.site.cloud.objects
    if not objects:
        return ""
    name = history.dice.choice(sorted(v["name"] for v in objects.values()))
    history.site.cloud.refuse = {name}
    history.site.apply(may_fail=True)
    history.site.cloud.refuse = set()
    return f"apply that fails for {name}"


def rolled_back(history: History) -> str:
    if history.site.state_text() == history.first_state:
        return ""
    history.site.put_state(history.first_state)
    return "the state of the first apply"


def tainted(history: History) -> str:
    state = history.site.state()
    options = sorted(state.objects.keys() - state.tainted)
    if not options:
        return ""
    address = history.dice.choice(options)
    history.site.terraform("taint", address)
    return str(address)


def data_changed(history: History) -> str:
    new = history.dice.choice(("looked up again", "looked up", ""))
    key = history.dice.choice(DATA)
    if history.site.cloud.data[key] == new:
        return ""
    history.site.cloud.data[key] = new
    return f"{key} becomes {new!r}"


def variable_given(history: History) -> str:
    new = history.dice.choice(("given again", "given", ""))
    if history.site.given["v_given"] == new:
        return ""
    history.site.given["v_given"] = new
    return f"v_given becomes {new!r}"


def time_passed(history: History) -> str:
    """The time of an object comes: as if it had been made so much earlier."""
    cloud = history.site.cloud
    waiting = sorted(key for key, kind in cloud.kinds.items() if kind in TIMES and key in cloud.objects)
    if not waiting:
        return ""
    object_id = history.dice.choice(waiting)
    values, kind = cloud.objects[object_id], cloud.kinds[object_id]
    past = dict(zip(TIMES[kind], _PAST, strict=True))
    values.update(past)
    state = json.loads(history.site.state_text() or "{}")
    for resource in state.get("resources", ()):
        for instance in resource["instances"]:
            if resource["type"] == kind and instance["attributes"]["id"] == object_id:
                instance["attributes"].update(past)
    history.site.put_state(json.dumps(state))
    return f"{values['name']} was due on {_PAST[1]}"


def life_shortened(history: History) -> str:
    """What is made from now on is due at once, and again after each apply."""
    cloud = history.site.cloud
    if cloud.life < timedelta() or not any(name in TIMES for name in cloud.types):
        return ""
    cloud.life = -timedelta(days=1)
    return "what is made from now on is due at once"


def provider_upgraded(history: History) -> str:
    """Another version of the provider has another default."""
    site = history.site
    options = [(kind, a) for kind in site.types.values() for a in kind.own if a.default is not None]
    if not options:
        return ""
    kind, attribute = history.dice.choice(options)
    new = replace(attribute, default=value(history.dice, attribute))
    if new == attribute:
        return ""
    own = tuple(new if a is attribute else a for a in kind.own)
    site.types = {**site.types, kind.name: replace(kind, own=own)}
    site.cloud.types = dict(site.types)
    return f"{kind.name}.{attribute.name} has the default {new.default!r}"


_PAST: Final = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
CHANGES: Final[dict[str, Change]] = {
    **OUTSIDE,
    **COMMITS,
    "refresh-only": refreshed,
    "targeted apply": targeted,
    "partial apply": partial,
    "state rolled back": rolled_back,
    "tainted": tainted,
    "data source changed": data_changed,
    "environment variable changed": variable_given,
    "time passed": time_passed,
    "life shortened": life_shortened,
    "provider upgraded": provider_upgraded,
}
