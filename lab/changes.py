"""Every kind of change of a history by name; here those of the state and of inputs."""

from __future__ import annotations

from typing import Final

from lab.commits import COMMITS, any_resource
from lab.drawing import DATA
from lab.history import Change, History
from lab.outside import OUTSIDE
from lab.site import TerraformFailed


def refreshed(history: History) -> str:
    history.site.apply("-refresh-only")
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
}
