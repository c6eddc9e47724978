"""Reads one CloudTrail record: who, what, from where; of the request only its keys and the names it mentions."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from driftguard.model.traces import TrailEvent
from driftguard.printable import one_line
from driftguard.sealed import mask

_LONGEST: Final = 300
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SSO_ROLE: Final = re.compile(r"AWSReservedSSO_(?P<set>.+)_[0-9a-f]{16}")
_CONSOLE: Final = re.compile(r"console\.amazonaws\.com|s3console|consolefrontend|signin\.amazonaws\.com|mozilla/", re.I)
_READING: Final = re.compile(r"Get|List|Describe|Head|Lookup|BatchGet|Search|Query|Scan|AssumeRole|Decrypt")
# Below these keys, names are chosen by users: they are neither fields of an API nor names of resources.
_FREE: Final = frozenset({"tags", "tag", "tagset", "tagging", "tagkeys", "tagspecificationset", "taglist", "variables"})
_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}")


def parse(event: Mapping[str, Any], names: Collection[str] = ()) -> TrailEvent:
    """One event of `LookupEvents`.

    Where `CloudTrailEvent` is no JSON text, the outer fields are all there is.

    Args:
        event: with `EventId`, `EventName`, `EventTime`, `EventSource`, `Username`, `ReadOnly`, `Resources`,
            `CloudTrailEvent`; each may be missing.
        names: names of objects; those that the request mentions are kept, every other value of it is dropped.
    """
    return read(event, frozenset(names))[0]


def read(event: Mapping[str, Any], names: frozenset[str] = frozenset()) -> tuple[TrailEvent, frozenset[int]]:
    """The event, and hashes of all that its request mentions, by which names can be looked for later."""
    record = _record(event.get("CloudTrailEvent"))
    identity = _dict(record.get("userIdentity"))
    fields, strings = _request(record.get("requestParameters"))
    outer = [str(_dict(item).get("ResourceName") or "") for item in _list(event.get("Resources"))]
    outer += [str(_dict(item).get("ARN") or "") for item in _list(record.get("resources"))]
    mentioned = [text for text in outer if text and mask(text) == text] + sorted(names & strings)
    agent = _text(record.get("userAgent")).strip("[]")
    by_service = _is_of_a_service(record, identity)
    principal, session, role_session = _who(identity, _text(event.get("Username")))
    if by_service:
        principal = _service_name(identity, record)
    name = _text(event.get("EventName") or record.get("eventName"))
    found = TrailEvent(
        id=_text(event.get("EventId") or record.get("eventID")),
        name=name,
        source=_text(event.get("EventSource") or record.get("eventSource")),
        at=_time(event.get("EventTime"), record.get("eventTime")),
        principal=principal,
        session=session,
        source_ip=_text(record.get("sourceIPAddress")),
        user_agent=agent,
        console=_is_console(record, identity, agent),
        resources=tuple(dict.fromkeys(mentioned)),
        fields=tuple(sorted(fields)),
        read_only=_is_reading(event.get("ReadOnly", record.get("readOnly")), name),
        error=_text(record.get("errorCode")) or None,
        role_session=role_session,
        region=_text(record.get("awsRegion")) or None,
        account=_account(identity),
        by_service=by_service,
    )
    return found, frozenset(hash(text) for text in strings)


def _record(text: Any) -> dict[str, Any]:
    try:
        return _dict(json.loads(text)) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}


def _who(identity: Mapping[str, Any], username: str) -> tuple[str, str | None, str | None]:
    """The readable principal, the role (or permission set) and the role session's name."""
    kind, by = _text(identity.get("type")), _text(identity.get("invokedBy"))
    name = _text(identity.get("userName")) or _text(identity.get("arn")).rsplit("/", 1)[-1] or username
    session = role_session = None
    if kind == "AssumedRole":
        name, session, role_session = _assumed(identity, username)
    else:
        name = _named(kind, name, identity, username)
    # Set when the first role was assumed, and kept through all that follow: who is behind a shared role.
    if source := _text(_dict(identity.get("sessionContext")).get("sourceIdentity")):
        name = f"{name or 'unknown user'} (source identity {source})"
    if by.endswith(".amazonaws.com"):
        name = f"{name or 'unknown user'} through {by}"  # e.g. a change of a CloudFormation stack
    return name or "unknown", session, role_session


def _account(identity: Mapping[str, Any]) -> str | None:
    arn = _text(identity.get("arn")).split(":")
    return _text(identity.get("accountId")) or (arn[4] if len(arn) > 5 else "") or None


def _is_of_a_service(record: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    """Whether an AWS service did it by itself, not on behalf of a principal."""
    return _text(record.get("eventType")) == "AwsServiceEvent" or _text(identity.get("type")) == "AWSService"


def _service_name(identity: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """The service's own name, such as `autoscaling.amazonaws.com`; of AWS's own machinery the one whose event it is."""
    by = _text(identity.get("invokedBy"))
    return by if by.endswith(".amazonaws.com") else _text(record.get("eventSource")) or by or "an AWS service"


def _named(kind: str, name: str, identity: Mapping[str, Any], username: str) -> str:
    """The name of a principal that assumed no role."""
    match kind:
        case "Root":
            return "root"
        case "FederatedUser" | "SAMLUser" | "WebIdentityUser":
            return f"{name} (federated)"
        case "IdentityCenterUser":
            behalf = _text(_dict(identity.get("onBehalfOf")).get("userId"))
            return f"{username or behalf or 'unknown user'} (SSO)"
        case "AWSAccount":
            return f"account {_text(identity.get('accountId')) or username}"
    return name


def _assumed(identity: Mapping[str, Any], username: str) -> tuple[str, str | None, str | None]:
    # arn:aws:sts::123456789012:assumed-role/ROLE/SESSION
    parts = _text(identity.get("arn")).split("/")
    issuer = _dict(_dict(identity.get("sessionContext")).get("sessionIssuer"))
    role = _text(issuer.get("userName")) or (parts[1] if len(parts) > 2 else "")
    session = parts[-1] if len(parts) > 2 else _text(identity.get("principalId")).partition(":")[2] or username
    sso = _SSO_ROLE.fullmatch(role)
    if sso:
        return f"{session or 'unknown user'} (SSO {sso['set']})", sso["set"], session or None
    return "/".join(part for part in (role, session) if part), role or None, session or None


def _is_console(record: Mapping[str, Any], identity: Mapping[str, Any], agent: str) -> bool:
    by = _text(identity.get("invokedBy"))
    if _text(identity.get("type")) == "AWSService" or by.endswith(".amazonaws.com"):
        return False
    attributes = _dict(_dict(identity.get("sessionContext")).get("attributes"))
    flags = (record.get("sessionCredentialFromConsole"), attributes.get("sessionCredentialFromConsole"))
    return "true" in [str(flag).lower() for flag in flags] or agent == "AWS Internal" or bool(_CONSOLE.search(agent))


def _is_reading(flag: Any, name: str) -> bool:
    if flag is None:
        return _READING.match(name) is not None
    return str(flag).lower() == "true"


def _request(parameters: Any) -> tuple[set[str], frozenset[str]]:
    """The keys of a request at every depth, and its strings: each as it is and, of a URL, its last part."""
    fields: set[str] = set()
    strings: set[str] = set()
    waiting = [parameters]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key, below in value.items():
                if _FIELD.fullmatch(key) and mask(key) == key:
                    fields.add(key)
                if re.sub(r"[^a-z]", "", key.lower()) not in _FREE:
                    waiting.append(below)
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str) and value:
            strings.update(_forms(value))
    return fields, frozenset(strings)


def _forms(value: str) -> Iterator[str]:
    yield value
    if value.startswith(("https://", "http://")):
        yield value.rstrip("/").rsplit("/", 1)[-1]


def _time(*values: Any) -> datetime:
    for value in values:
        try:
            if isinstance(value, datetime):
                return value.astimezone(UTC)
            if isinstance(value, int | float):
                return datetime.fromtimestamp(value, UTC)
            if isinstance(value, str):
                return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            continue
    return _EPOCH


def _text(value: Any) -> str:
    """A short printable text without credentials; empty for anything but a text."""
    return mask(one_line(value[:_LONGEST])) if isinstance(value, str) else ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
