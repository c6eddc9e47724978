"""The approval file: merged into the tracked branch, it approves exactly one plan of one environment, once.

It is sealed with the ledger's key, so a file that is edited, copied or forged is worthless. It holds addresses and
digests and no values.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

import yaml

from driftguard.sealed import digest

FOLDER: Final = ".driftguard"
APPROVALS: Final = f"{FOLDER}/approvals/"
"""Below it lie the approval files of all environments, from the repository's root."""
_LONGEST: Final = 4_000_000
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+@.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_+@.-]*)*")


@dataclass(frozen=True, slots=True)
class ApprovalFile:
    """What is approved.

    Attributes:
        id: distinguishes this approval from every other, also from a later one of the same plan.
        drift_fingerprint: of the drift that the plan reverts; None where there is none.
        commit, closure_hash: what it was computed for.
        actions: what will be done, such as `update aws_sqs_queue.jobs`, sorted.
    """

    id: str
    environment: str
    plan_fingerprint: str
    drift_fingerprint: str | None
    commit: str
    closure_hash: str
    proposed_at: datetime
    expires_at: datetime
    actions: tuple[str, ...]

    def seal(self, key: bytes) -> str:
        """Digest of all its contents."""
        return digest(key, ["approval file 1", _plain(self)])


class Unreadable(ValueError):
    """The text is not an approval file that DriftGuard wrote; the message names the reason."""


def slug(environment: str) -> str:
    """An environment's name as a part of paths and branches; different names give different ones."""
    if _PLAIN.fullmatch(environment) and not re.search(r"\.\.|\.lock(?:/|$)|\.(?:/|$)|@\{", environment):
        return environment
    shown = re.sub(r"[^A-Za-z0-9_-]+", "-", environment).strip("-") or "environment"
    return f"{shown}-{hashlib.sha256(environment.encode()).hexdigest()[:8]}"


def folder_of(environment: str) -> str:
    """Where an environment's approval files lie, from the repository's root, with a slash at its end."""
    return f"{APPROVALS}{slug(environment)}/"


def path_of(approval: ApprovalFile) -> str:
    """Where an approval file lies, from the repository's root."""
    return f"{folder_of(approval.environment)}{approval.plan_fingerprint}.yaml"


def with_id(approval: ApprovalFile, key: bytes) -> ApprovalFile:
    """The approval under an id that follows from all the rest of it."""
    return replace(approval, id=replace(approval, id="").seal(key)[:32])


def render(approval: ApprovalFile, key: bytes) -> bytes:
    """The file's text; the same for the same approval."""
    lines = [
        "# Merged, this file lets DriftGuard do exactly what stands below, once.",
        "# Void without effect: after it expires, for any other plan, after a commit that touches the environment,",
        "# and when anything in here was changed.",
        "version: 1",
        *(f"{name}: {_quoted(value)}" for name, value in _plain(approval).items() if name != "actions"),
        "actions:",
        *(f"  - {_quoted(action)}" for action in approval.actions),
        f"seal: {approval.seal(key)}",
    ]
    return ("\n".join(lines) + "\n").encode()


def read(text: bytes, key: bytes) -> ApprovalFile:
    """What a file approves.

    Raises:
        Unreadable: it is no approval file, was changed by hand, or was sealed by another ledger.
    """
    try:
        loaded = yaml.load(text.decode(), _WithoutAliases) if len(text) <= _LONGEST else None
        if not isinstance(loaded, dict) or loaded.get("version") != 1:
            raise Unreadable("it is not an approval file of a version that is known here")
        approval = ApprovalFile(
            id=_text(loaded, "id"),
            environment=_text(loaded, "environment"),
            plan_fingerprint=_text(loaded, "plan_fingerprint"),
            drift_fingerprint=None if loaded["drift_fingerprint"] is None else _text(loaded, "drift_fingerprint"),
            commit=_text(loaded, "commit"),
            closure_hash=_text(loaded, "closure_hash"),
            proposed_at=datetime.fromisoformat(_text(loaded, "proposed_at")),
            expires_at=datetime.fromisoformat(_text(loaded, "expires_at")),
            actions=tuple(_texts(loaded, "actions")),
        )
        unchanged = hmac.compare_digest(_text(loaded, "seal").encode(), approval.seal(key).encode())
    except Unreadable:
        raise
    except (yaml.YAMLError, ValueError, KeyError, TypeError, RecursionError):
        raise Unreadable("it is not an approval file") from None
    if not unchanged:
        raise Unreadable("it was changed after DriftGuard wrote it, or another ledger's DriftGuard wrote it")
    return approval


def _quoted(value: Any) -> str:
    """A value as YAML and JSON write it alike; YAML does not join the halves of a character that JSON escapes."""
    if not isinstance(value, str):
        return json.dumps(value)
    return '"' + "".join(f"\\U{ord(c):08x}" if ord(c) > 0xFFFF else json.dumps(c)[1:-1] for c in value) + '"'


class _WithoutAliases(yaml.SafeLoader):
    """Refuses a document that repeats itself by aliases, which may grow without bounds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise Unreadable("it is not an approval file")
        return super().compose_node(parent, index)


def _plain(approval: ApprovalFile) -> dict[str, Any]:
    values: dict[str, Any] = {item.name: getattr(approval, item.name) for item in fields(approval)}
    for name in ("proposed_at", "expires_at"):
        values[name] = values[name].isoformat()
    return {**values, "actions": list(approval.actions)}


def _texts(loaded: dict[str, Any], name: str) -> list[str]:
    values = loaded[name]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise Unreadable(f"its `{name}` are not texts")
    return values


def _text(loaded: dict[str, Any], name: str) -> str:
    value = loaded[name]
    if not isinstance(value, str):
        raise Unreadable(f"its `{name}` is not a text")
    return value
