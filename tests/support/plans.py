"""Plan JSON for tests of pure stages, built in Terraform's own shape."""

from __future__ import annotations

from typing import Any

import msgspec

from driftguard.model.plan_document import PlanDocument, read_document

KEY = b"k" * 32
_UNSET: Any = object()
_ENCODER = msgspec.json.Encoder(order="deterministic")


def resource(
    address: str,
    *,
    state: Any = _UNSET,
    reality: Any = _UNSET,
    desired: Any = _UNSET,
    actions: list[str] | None = None,
    unknown: Any = None,
    sensitive: Any = None,
    **more: Any,
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """One resource as (drift entry, change entry) from its S, R and D; a view left out equals the one before it."""
    reality = state if reality is _UNSET else reality
    desired = reality if desired is _UNSET else desired
    common = {
        "address": address,
        "mode": "managed",
        "type": address.split(".")[-2],
        "name": address.split(".")[-1],
        "provider_name": "registry.terraform.io/hashicorp/aws",
    }
    drift = None
    if not _identical(state, reality):
        drift = {**common, "change": _change(["delete"] if reality is None else ["update"], state, reality, sensitive)}
    if reality is None and desired is None:
        return drift, None
    if actions is None:
        actions = ["create"] if reality is None else ["delete"] if desired is None else ["update"]
        if _identical(reality, desired) and not unknown:
            actions = ["no-op"]
    change = _change(actions, reality, desired, sensitive)
    change["after_unknown"] = unknown or {}
    for name in ("replace_paths", "importing"):
        if name in more:
            change[name] = more.pop(name)
    return drift, {**common, "change": change, **more}


def _identical(left: Any, right: Any) -> bool:
    # Python thinks that True is 1; Terraform prints the members of an object in one order.
    return _ENCODER.encode(left) == _ENCODER.encode(right)


def _change(actions: list[str], before: Any, after: Any, sensitive: Any) -> dict[str, Any]:
    mask = sensitive or {}
    return {
        "actions": actions,
        "before": before,
        "after": after,
        "before_sensitive": mask,
        "after_sensitive": mask,
        "after_unknown": {},
    }


def plan(*resources: tuple[Any, Any], outputs: dict[str, Any] | None = None, **more: Any) -> PlanDocument:
    """A whole plan, read as the real ones are."""
    return read_document(plan_text(*resources, outputs=outputs, **more))


def plan_text(*resources: tuple[Any, Any], outputs: dict[str, Any] | None = None, **more: Any) -> bytes:
    """A whole plan as JSON text."""
    return msgspec.json.encode(
        {
            "format_version": "1.2",
            "terraform_version": "1.11.4",
            "resource_drift": [drift for drift, _ in resources if drift],
            "resource_changes": [change for _, change in resources if change],
            "output_changes": outputs or {},
            "complete": True,
            "errored": False,
            **more,
        }
    )
