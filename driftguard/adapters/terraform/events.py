"""The events that Terraform prints with `-json` while it plans and applies, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from driftguard.model.findings import invocation_key
from driftguard.ports import StreamDrift

_WORDS: Final = {"start": "started", "complete": "done", "errored": "failed"}


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
    """Address and outcome (`started`, `done`, `failed`) where one event of an apply is about a resource or an action.

    An action is named with its trigger (`model.findings.invocation_key`), because several may invoke it.
    """
    try:
        message = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return
    subject, _, end = str(message.get("type")).partition("_")
    word = _WORDS.get(end)
    hook = message.get("hook", {})
    if subject == "apply" and word:
        address = hook.get("resource", {}).get("addr")
        yield from [(str(address), word)] if address else []
    elif subject == "action" and word:
        trigger = hook.get("lifecycle", {}).get("resource", {}).get("addr")
        yield invocation_key(str(hook.get("action", {}).get("addr")), trigger), word
