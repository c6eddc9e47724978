"""The events that Terraform prints with `-json` while it plans and applies, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from driftguard.ports import StreamDrift


def collect_drift(line: bytes, drifted: list[StreamDrift]) -> None:
    """Add the resource that one event of a plan reports as changed outside Terraform, if it does."""
    try:
        message = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return
    if message.get("type") != "resource_drift":
        return
    resource = message.get("change", {}).get("resource", {})
    drifted.append(
        StreamDrift(
            str(resource.get("addr", "")),
            str(resource.get("resource_type", "")),
            str(resource.get("implied_provider", "")),
        )
    )


def outcomes_in(line: bytes) -> Iterator[tuple[str, str]]:
    """Address and outcome (`started`, `done`, `failed`) where one event of an apply is about a resource."""
    try:
        message = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return
    word = {"apply_start": "started", "apply_complete": "done", "apply_errored": "failed"}.get(message.get("type"))
    address = message.get("hook", {}).get("resource", {}).get("addr")
    if word and address:
        yield str(address), word
