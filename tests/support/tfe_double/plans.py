"""Plans and states as prepared answers of the double."""

from __future__ import annotations

import json
from typing import Any

from tests.support.tfe_double.store import Planned


def state(serial: int = 1, lineage: str = "1-2-3") -> bytes:
    """A stored state."""
    return json.dumps({"version": 4, "serial": serial, "lineage": lineage, "outputs": {}, "resources": []}).encode()


def plan(value: str = "one", actions: tuple[str, ...] = ("update",), **members: Any) -> Planned:
    """A plan that sets the input of one resource."""
    before = {"create": None, "no-op": {"input": value}}.get(actions[0], {"input": "zero"})
    change = {"actions": list(actions), "before": before, "after": {"input": value}, "after_unknown": {}}
    item = {
        "address": "terraform_data.a",
        "mode": "managed",
        "type": "terraform_data",
        "name": "a",
        "provider_name": "terraform.io/builtin/terraform",
        "change": change,
    }
    document = {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "resource_changes": [item],
        "configuration": {"root_module": {}},
        "complete": True,
        "errored": False,
        **members,
    }
    return Planned(json.dumps(document).encode())
