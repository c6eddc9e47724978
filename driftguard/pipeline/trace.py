"""Finds, for each AWS object that was changed outside Terraform, the most likely CloudTrail event.

Takes a plan with its labels and the fetched events; gives `TraceFindings`. Pure: no clock, no port,
no I/O. It names no author on thin evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from driftguard.model import Classification, ResourceChange
from driftguard.model.plan_document import PlanDocument, ResourceItem, decode
from driftguard.model.traces import Confidence, DriftedObject, Trace, TraceFindings, TrailEvent
from driftguard.model.words import CHANGED_OUTSIDE
from driftguard.sealed import ABSENT, Sealed, looks_secret

# CloudTrail stamps whole seconds by AWS's clock; ours may be behind it.
_CLOCKS_DIFFER: Final = timedelta(minutes=2)
_NAMED_APART: Final = 3

# Attributes that name an object, the ones that CloudTrail is asked by first.
_NAMES: Final = ("bucket", "name", "function_name", "identifier", "cluster_identifier", "id", "url", "key_id", "arn")
# Types that are part of another object: events name the other one, by this attribute.
_PARENTS: Final = (
    (re.compile(r"aws_iam_(?:role|group|user)_"), ("role", "group", "user")),
    (re.compile(r"aws_(?:vpc_)?security_group_.*rule"), ("security_group_id", "security_group_rule_id")),
    (re.compile(r"aws_(?:sqs|sns)_.*policy"), ("queue_url", "arn")),
    (re.compile(r"aws_route$|aws_route_table_association"), ("route_table_id",)),
    (re.compile(r"aws_network_acl_rule"), ("network_acl_id",)),
    (re.compile(r"aws_route53_record"), ("zone_id",)),
    (re.compile(r"aws_(?:lb|alb)_listener_rule"), ("listener_arn",)),
    (re.compile(r"aws_api_gateway_"), ("rest_api_id",)),
)
_EC2_ID: Final = re.compile(r"[a-z]+-(?:[0-9a-f]{8}|[0-9a-f]{17})")
# Names that stand in requests for other reasons than to name an object.
_COMMON: Final = frozenset({"default", "true", "false", "enabled", "disabled", "none"})

# Attributes whose changes have events of other names.
_TAGGING: Final = re.compile(r"(?:Untag|Tag)(?:s|ging)?(?=[A-Z]|$)")
_EVENTS_OF: Final[Mapping[str, re.Pattern[str]]] = {
    "tags": _TAGGING,
    "tags_all": _TAGGING,
    "ingress": re.compile(r"SecurityGroup(?:\w*Ingress|Rules$)"),
    "egress": re.compile(r"SecurityGroup(?:\w*Egress|Rules$)"),
    "route": re.compile(r"^(?:Create|Replace|Delete)Route$"),
    "inline_policy": re.compile(r"^(?:Put|Delete)(?:Role|User|Group)Policy$"),
    "managed_policy_arns": re.compile(r"^(?:Attach|Detach)(?:Role|User|Group)Policy$"),
    "acl": re.compile(r"Acl$"),
    "grant": re.compile(r"Acl$"),
    "lifecycle_rule": re.compile(r"Lifecycle"),
    "cors_rule": re.compile(r"Cors"),
    "server_side_encryption_configuration": re.compile(r"Encryption"),
    "replication_configuration": re.compile(r"Replication"),
    "source_code_hash": re.compile(r"^UpdateFunctionCode$"),
    "vpc_security_group_ids": re.compile(r"ModifySecurityGroups|NetworkInterfaceAttribute|SetSecurityGroups"),
}
_DELETING: Final = re.compile(
    r"^(?:Batch)?(?:Delete|Terminate|Release|Deregister|Remove|Revoke|Detach|Disassociate|ScheduleKeyDeletion)"
)
# Types whose deletion has an event with a word of its own.
_ENDS: Final = (
    (re.compile(r"_rule$"), re.compile(r"^Revoke")),
    (re.compile(r"_attachment$"), re.compile(r"^Detach|^Deregister")),
    (re.compile(r"_association$"), re.compile(r"^Disassociate")),
    (re.compile(r"_kms_key$"), re.compile(r"^ScheduleKeyDeletion")),
    (re.compile(r"_permission$"), re.compile(r"^RemovePermission")),
)
# A word shorter than this is only compared as a whole: `id` and `type` are part of almost everything.
_MIN_PART_LENGTH: Final = 6


def objects_of(document: PlanDocument, classification: Classification) -> tuple[DriftedObject, ...]:
    """The AWS objects that were changed outside Terraform, sorted by address; without deposed ones.

    Raises:
        UnreadablePlan: a value in the plan cannot be decoded.
    """
    wanted = {
        change.address: change
        for change in classification.resources
        if change.type.startswith("aws_") and change.labels & CHANGED_OUTSIDE and change.deposed is None
    }
    items: dict[str, list[ResourceItem]] = {address: [] for address in wanted}
    for item in (*document.resource_drift, *document.resource_changes):
        if item.address in items and item.deposed is None:
            items[item.address].append(item)
    return tuple(_object(wanted[address], items[address]) for address in sorted(wanted))


def match(
    objects: Sequence[DriftedObject],
    events: Iterable[TrailEvent],
    *,
    own: Callable[[TrailEvent], bool],
    now: datetime,
) -> TraceFindings:
    """The best event of each object: the newest of those with the highest confidence.

    Calls that read, that failed, or that are our own do not count.

    Args:
        own: whether an event is of one of our own sessions.
        now: when reality was read, aware; what came later cannot have caused what was seen.
    """
    writes = _writes(events, own, now + _CLOCKS_DIFFER)
    found: dict[str, tuple[TrailEvent, Confidence]] = {}
    explained: set[str] = set()
    for item in objects:
        explained.update(event.id for event in writes if _mentions(item, event))
        best = _best(item, writes)
        if best is not None:
            found[item.address] = best
    for item in objects:
        if item.address not in found and (event := _alone(item, writes, explained)) is not None:
            found[item.address] = (event, Confidence.TIME)
    traces = {address: _trace(address, *found[address]) for address in sorted(found)}
    return TraceFindings(traces, _notes([o.address for o in objects if o.address not in found]))


def _writes(events: Iterable[TrailEvent], own: Callable[[TrailEvent], bool], latest: datetime) -> list[TrailEvent]:
    """Successful writes of others up to a time, newest first, each once."""
    others = {e.id: e for e in events if not e.read_only and e.error is None and e.at <= latest and not own(e)}
    return sorted(others.values(), key=lambda e: (e.at, e.id), reverse=True)


def _best(item: DriftedObject, writes: Sequence[TrailEvent]) -> tuple[TrailEvent, Confidence] | None:
    """The newest of the events with the highest confidence."""
    fits = [(event, confidence) for event in writes if (confidence := _fit(item, event)) is not None]
    return next((fit for fit in fits if fit[1] is Confidence.RESOURCE_AND_FIELD), fits[0] if fits else None)


def _fit(item: DriftedObject, event: TrailEvent) -> Confidence | None:
    """How well an event fits an object; None where it does not mention it, or cannot have done this to it."""
    if not _mentions(item, event):
        return None
    if item.absent:
        if not _DELETING.match(event.action):
            return None
        ends = any(kind.search(item.type) and word.search(event.action) for kind, word in _ENDS)
        # `DeleteBucketTagging` takes something from a bucket; `DeleteBucket` takes the bucket.
        return Confidence.RESOURCE_AND_FIELD if ends or _is_birth_or_death(item, event) else Confidence.RESOURCE
    if _is_birth_or_death(item, event):
        return Confidence.RESOURCE  # its request names every attribute, so that none of them is evidence
    return Confidence.RESOURCE_AND_FIELD if _touches(item, event) else Confidence.RESOURCE


def _mentions(item: DriftedObject, event: TrailEvent) -> bool:
    shared = set(item.names).intersection(event.resources)
    # A plain name may be that of another service's or region's object as well; an ARN cannot.
    return any(name.startswith("arn:") and name.count(":") >= 5 for name in shared) or bool(
        shared and event.service in (item.service, "tagging") and _same_region(item, event)
    )


def _same_region(item: DriftedObject, event: TrailEvent) -> bool:
    return item.region is None or event.region is None or item.region == event.region


def _alone(item: DriftedObject, writes: Sequence[TrailEvent], explained: set[str]) -> TrailEvent | None:
    """The newest event that fits by its time only: its principal is the only one that wrote to the service."""
    service = [event for event in writes if event.service == item.service and _same_region(item, event)]
    if len({event.principal for event in service}) != 1:
        return None
    free = [event for event in service if event.id not in explained]
    if item.absent:
        return next((event for event in free if _DELETING.match(event.action)), None)
    return _likeliest_update(item, free)


def _likeliest_update(item: DriftedObject, events: Sequence[TrailEvent]) -> TrailEvent | None:
    updates = [event for event in events if not _is_birth_or_death(item, event)]
    return next((event for event in updates if _touches(item, event)), updates[0] if updates else None)


def _touches(item: DriftedObject, event: TrailEvent) -> bool:
    """Whether an event changes one of the object's changed attributes, as far as names show."""
    action = _letters(event.action)
    keys = {_letters(field) for field in event.fields}
    for path in item.paths:
        known = _EVENTS_OF.get(path)
        if known is not None and known.search(event.action):
            return True
        word = _letters(path.removesuffix("_configuration"))
        if word in keys or (len(word) >= _MIN_PART_LENGTH and word in action):
            return True
        if any(min(len(key), len(word)) >= _MIN_PART_LENGTH and (key in word or word in key) for key in keys):
            return True
    return False


def _is_birth_or_death(item: DriftedObject, event: TrailEvent) -> bool:
    """Whether an event creates or deletes an object of this type as a whole (`CreateQueue`, `RunInstances`)."""
    verb = re.match(r"Create|Delete|Run|Terminate|Allocate|Release", event.action)
    if verb is None:
        return False
    noun = _letters(event.action[verb.end() :]).rstrip("s")
    words = item.type.removeprefix("aws_").split("_")
    return noun in {"".join(words[start:]).rstrip("s") for start in range(len(words))}


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def _trace(address: str, event: TrailEvent, confidence: Confidence) -> Trace:
    return Trace(address, event.name, event.at, event.principal, event.source_ip, _via(event), confidence)


def _via(event: TrailEvent) -> str:
    agent = event.user_agent.lower()
    if "terraform" in agent or "opentofu" in agent:
        return "terraform"
    if "aws-cli/" in agent:
        return "cli"  # before the console: its CloudShell is a command line with the console's credentials
    if event.console:
        return "console"
    if agent.endswith(".amazonaws.com") or event.source_ip.endswith(".amazonaws.com"):
        return "service"
    if re.search(r"aws-sdk|boto3|botocore|smithy|aws-tools", agent):
        return "sdk"
    return "api"


def _notes(missing: Sequence[str]) -> tuple[str, ...]:
    late = "yet; delivery can lag 15 minutes."
    if len(missing) <= _NAMED_APART:
        return tuple(f"CloudTrail shows nothing for {address} {late}" for address in missing)
    some = ", ".join(missing[:_NAMED_APART])
    return (f"CloudTrail shows nothing for {len(missing)} resources ({some}, …) {late}",)


def _object(change: ResourceChange, items: Sequence[ResourceItem]) -> DriftedObject:
    views = list(_views(items))
    names = list(dict.fromkeys(name for view in views for name in _names(change.type, view)))
    names.sort(key=lambda name: _EC2_ID.fullmatch(name) is None)  # CloudTrail knows these by nothing else
    existence = [attribute for attribute in change.attributes if attribute.path == ""]
    return DriftedObject(
        address=change.address,
        type=change.type,
        names=tuple(names),
        region=next((region for view in views if (region := _region(view))), None),
        paths=tuple(
            sorted({re.split(r"[.\[]", a.path)[0] for a in change.attributes if a.label in CHANGED_OUTSIDE and a.path})
        ),
        absent=any(a.label in CHANGED_OUTSIDE and a.reality == Sealed(ABSENT) for a in existence),
    )


def _views(items: Sequence[ResourceItem]) -> Iterator[dict[str, Any]]:
    """The object's attributes as state and reality have them; as wanted where neither has it. Sensitive ones left out.

    What a refresh wrote into the state is gone from both: then its configured name is all there is.
    """
    before = [_plain(item.change.before, item.change.before_sensitive) for item in items]
    if not any(before):
        before = [_plain(item.change.after, item.change.after_sensitive) for item in items]
    return (view for view in before if view)


def _plain(value: msgspec.Raw, mask: msgspec.Raw) -> dict[str, Any]:
    view, secret = decode(value), decode(mask)
    if not isinstance(view, dict) or secret is True:
        return {}
    hidden = {key for key, part in secret.items() if part} if isinstance(secret, dict) else set()
    return {key: item for key, item in view.items() if key not in hidden}


def _names(type_: str, view: Mapping[str, Any]) -> Iterator[str]:
    keys = [*(key for pattern, parents in _PARENTS if pattern.match(type_) for key in parents), *_NAMES]
    named = False
    for key in dict.fromkeys(keys):
        value = view.get(key)
        if not isinstance(value, str) or looks_secret(key, value):
            continue
        if key in ("url", "id", "arn") and not named and re.match(r"arn:|https?://", value):
            yield from (last for last in [re.split(r"[/:]", value)[-1]] if _is_evidence(last))
        if _is_evidence(value):
            named = True
            yield value


def _is_evidence(name: str) -> bool:
    return 3 <= len(name) <= 2000 and name.lower() not in _COMMON


def _region(view: Mapping[str, Any]) -> str | None:
    arn = str(view.get("arn") or "").split(":")
    if len(arn) > 5 and arn[3]:
        return arn[3]
    if isinstance(view.get("region"), str) and view["region"]:
        return str(view["region"])
    zone = re.fullmatch(r"([a-z]{2}(?:-[a-z]+)+-\d)[a-z]", str(view.get("availability_zone") or ""))
    return zone[1] if zone else None
