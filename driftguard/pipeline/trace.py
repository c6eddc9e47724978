"""Finds, for each AWS object that was changed outside Terraform, the most likely CloudTrail event.

Takes a plan with its labels and the fetched events; gives `TraceFindings`. Pure: no clock, no port,
no I/O. It names no author on thin evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from driftguard.model import Classification, ResourceChange
from driftguard.model.plan_document import PlanDocument, ResourceItem, decode
from driftguard.model.traces import Confidence, DriftedObject, Trace, TraceFindings, TrailEvent
from driftguard.model.words import CHANGED_OUTSIDE
from driftguard.pipeline.maintenance import was_open
from driftguard.pipeline.trailcalls import Reach, is_known, letters, reach
from driftguard.sealed import ABSENT, Sealed, looks_secret

# CloudTrail stamps whole seconds by AWS's clock; ours may be behind it.
_CLOCKS_DIFFER: Final = timedelta(minutes=2)
_NAMED_APART: Final = 3
_LATE: Final = "yet; delivery can lag 15 minutes."
_ORDER: Final = tuple(Confidence)

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
# What people and AWS call the weekly time in which a service maintains an object.
_MAX_WINDOW: Final = 40
_MAINTENANCE: Final = ("maintenance_window", "preferred_maintenance_window")


@dataclass(frozen=True, slots=True)
class _Fit:
    """How well an event fits an object; `paths` are the changed attributes that it can have changed."""

    event: TrailEvent
    confidence: Confidence
    paths: tuple[str, ...] = ()


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
    since: datetime | None = None,
) -> TraceFindings:
    """The best event of each object: the newest of those with the highest confidence.

    Calls that read, that failed, that are our own, or that cannot have made the change do not count.

    Args:
        own: whether an event is of one of our own sessions.
        now: when reality was read, aware; what came later cannot have caused what was seen.
        since: when the objects were read before, aware; None where that is not known.
    """
    writes = _writes(events, own, now + _CLOCKS_DIFFER)
    found: dict[str, _Fit] = {}
    explained: set[str] = set()
    for item in objects:
        explained.update(event.id for event in writes if _mentions(item, event))
        best = _best(item, writes)
        if best is not None:
            found[item.address] = best
    for item in objects:
        if item.address not in found and (event := _alone(item, writes, explained)) is not None:
            found[item.address] = _Fit(event, Confidence.TIME)
    traces = {address: _trace(address, found[address]) for address in sorted(found)}
    missing = [item for item in objects if item.address not in found]
    reasons = {item.address: _reason(item, since, now) for item in missing}
    return TraceFindings(traces, _notes([item.address for item in missing]), reasons)


def _reason(item: DriftedObject, since: datetime | None, now: datetime) -> str:
    """Why no event is known of an object."""
    window = item.maintenance_window
    if window is not None and since is not None and not item.absent and was_open(window, since, now):
        return (
            f"CloudTrail shows nothing for {item.address} yet; its maintenance window ({window} UTC) was in that time, "
            "in which AWS itself upgrades and applies pending modifications."
        )
    return f"CloudTrail shows nothing for {item.address} {_LATE}"


def _writes(events: Iterable[TrailEvent], own: Callable[[TrailEvent], bool], latest: datetime) -> list[TrailEvent]:
    """Successful writes of others up to a time, newest first, each once."""
    others = {e.id: e for e in events if not e.read_only and e.error is None and e.at <= latest and not own(e)}
    return sorted(others.values(), key=lambda e: (e.at, e.id), reverse=True)


def _best(item: DriftedObject, writes: Sequence[TrailEvent]) -> _Fit | None:
    """The newest of the events with the highest confidence."""
    fits = [fit for event in writes if (fit := _fit(item, event)) is not None]
    return min(fits, key=lambda fit: _ORDER.index(fit.confidence), default=None)  # the first of equals is the newest


def _fit(item: DriftedObject, event: TrailEvent) -> _Fit | None:
    """How well an event fits an object; None where it does not mention it, or cannot have done this to it."""
    if not _mentions(item, event):
        return None
    if item.absent:
        return _fit_of_a_deletion(item, event)
    if _is_birth_or_death(item, event):
        # A new object under the old name: its request names every attribute, so that none of them is evidence.
        return None if _DELETING.match(event.action) else _Fit(event, Confidence.RESOURCE)
    found = {path: reach(event.service, event.action, event.fields, path) for path in item.paths}
    proven = tuple(path for path in item.paths if found[path] is Reach.PROVEN)
    if proven:
        return _Fit(event, Confidence.RESOURCE_AND_FIELD, proven)
    if Reach.POSSIBLE in found.values():
        return _Fit(event, Confidence.RESOURCE)
    return None if is_known(event.service, event.action) else _Fit(event, Confidence.TIME)


def _fit_of_a_deletion(item: DriftedObject, event: TrailEvent) -> _Fit | None:
    """As `_fit`: `DeleteBucketTagging` takes a bucket's tags, `DeleteBucket` the bucket and all that is part of it."""
    if not _DELETING.match(event.action):
        return None
    ends = any(kind.search(item.type) and word.search(event.action) for kind, word in _ENDS)
    if ends or _is_birth_or_death(item, event):
        return _Fit(event, Confidence.RESOURCE_AND_FIELD)
    if _is_death_of_its_parent(item, event):
        return _Fit(event, Confidence.RESOURCE)
    return None if is_known(event.service, event.action) else _Fit(event, Confidence.TIME)


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
        return next((event for event in free if _fit_of_a_deletion(item, event) is not None), None)
    return _likeliest_update(item, free)


def _likeliest_update(item: DriftedObject, events: Sequence[TrailEvent]) -> TrailEvent | None:
    """The newest event that may have changed the object, one that did before one of which nothing is known."""
    possible = [
        (found, event)
        for event in events
        if not _is_birth_or_death(item, event) and (found := _farthest(item, event)) is not Reach.IMPOSSIBLE
    ]
    proven = (event for found, event in possible if found is Reach.PROVEN)
    return next(proven, possible[0][1] if possible else None)


def _farthest(item: DriftedObject, event: TrailEvent) -> Reach:
    found = {reach(event.service, event.action, event.fields, path) for path in item.paths} or {Reach.UNKNOWN}
    return next(each for each in (Reach.PROVEN, Reach.POSSIBLE, Reach.UNKNOWN, Reach.IMPOSSIBLE) if each in found)


def _is_birth_or_death(item: DriftedObject, event: TrailEvent) -> bool:
    """Whether an event creates or deletes an object of this type as a whole (`CreateQueue`, `RunInstances`)."""
    verb = re.match(r"Create|Delete|Run|Terminate|Allocate|Release", event.action)
    if verb is None:
        return False
    noun = letters(event.action[verb.end() :]).rstrip("s")
    words = item.type.removeprefix("aws_").split("_")
    return noun in {"".join(words[start:]).rstrip("s") for start in range(len(words))}


def _is_death_of_its_parent(item: DriftedObject, event: TrailEvent) -> bool:
    """Whether an event deletes an object that this one is part of: `DeleteRole` for `aws_iam_role_policy`."""
    verb = re.match(r"Delete|Terminate", event.action)
    noun = letters(event.action[verb.end() :]).rstrip("s") if verb is not None else ""
    words = item.type.removeprefix("aws_").split("_")
    runs = ("".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, len(words) + 1))
    return noun in {run.rstrip("s") for run in runs}


def _trace(address: str, fit: _Fit) -> Trace:
    event = fit.event
    return Trace(
        address, event.name, event.at, event.principal, event.source_ip, _via(event), fit.confidence, fit.paths
    )


def _via(event: TrailEvent) -> str:
    if event.by_service:
        return "aws"
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
    if len(missing) <= _NAMED_APART:
        return tuple(f"CloudTrail shows nothing for {address} {_LATE}" for address in missing)
    some = ", ".join(missing[:_NAMED_APART])
    return (f"CloudTrail shows nothing for {len(missing)} resources ({some}, …) {_LATE}",)


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
        maintenance_window=next(
            (window for view in views for key in _MAINTENANCE if (window := _text(view, key))), None
        ),
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


def _text(view: Mapping[str, Any], key: str) -> str | None:
    value = view.get(key)
    return value if isinstance(value, str) and len(value) <= _MAX_WINDOW else None


def _region(view: Mapping[str, Any]) -> str | None:
    arn = str(view.get("arn") or "").split(":")
    if len(arn) > 5 and arn[3]:
        return arn[3]
    if isinstance(view.get("region"), str) and view["region"]:
        return str(view["region"])
    zone = re.fullmatch(r"([a-z]{2}(?:-[a-z]+)+-\d)[a-z]", str(view.get("availability_zone") or ""))
    return zone[1] if zone else None
