"""What an apply does to an object that cannot be undone: it destroys it, replaces it, or makes a deleted one anew.

Takes resources of a report, which are redacted; gives plain words. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final

from driftguard.config.data_types import DATA_TYPES
from driftguard.config.values import pattern
from driftguard.model.report import ResourceReport
from driftguard.model.words import plural


class Fate(IntEnum):
    """What an apply does to an object, worst first."""

    DESTROYED = 0
    REPLACED = 1
    RECREATED = 2
    KEPT = 3


_VERBS: Final[Mapping[Fate, str]] = {
    Fate.DESTROYED: "destroys",
    Fate.REPLACED: "destroys and re-creates",
    Fate.RECREATED: "re-creates",
}
_FORMER: Final = "destroys a former object of it that a failed apply left behind"
_BACKUP: Final = "a restore would be from a backup of it"
# Globs over types, and from what a restore would be; the first that matches applies.
_RESTORES: Final[Sequence[tuple[str, str]]] = (
    ("aws_db_instance", "a restore would be from an automated backup or a snapshot"),
    ("aws_rds_*", "a restore would be from an automated backup or a snapshot"),
    ("aws_docdb*", "a restore would be from a snapshot of the cluster"),
    ("aws_neptune_*", "a restore would be from a snapshot of the cluster"),
    ("aws_redshift*", "a restore would be from a snapshot"),
    ("aws_elasticache_*", "a restore would be from a snapshot"),
    ("aws_memorydb_*", "a restore would be from a snapshot"),
    ("aws_dynamodb_*", "a restore would be from point-in-time recovery or an on-demand backup"),
    ("aws_s3_*", "a restore would be from a replica or a backup of the bucket"),
    ("aws_ebs_*", "a restore would be from a snapshot of the volume"),
    ("aws_kms_*", "only the cancellation of the key's deletion restores it"),
    ("aws_secretsmanager_*", "a restore is possible within the secret's recovery window"),
    ("aws_sqs_queue", "its messages cannot be restored"),
    ("aws_kinesis_stream", "its records cannot be restored"),
    ("aws_cloudwatch_log_group", "a restore would be from an export of the logs"),
    ("aws_opensearch*", "a restore would be from a snapshot of the domain"),
    ("aws_elasticsearch*", "a restore would be from a snapshot of the domain"),
)


def fate_of(resource: ResourceReport) -> Fate:
    """What an apply does to an object, by Terraform's own words."""
    actions = set(resource.actions)
    if {"delete", "create"} <= actions:
        return Fate.REPLACED
    if "delete" in actions:
        return Fate.DESTROYED
    return Fate.RECREATED if "create" in actions and resource.deleted_outside else Fate.KEPT


def holds_data(resource: ResourceReport) -> bool:
    """Whether objects of its type hold data that an apply does not bring back."""
    return any(pattern(glob).fullmatch(resource.type) for glob in DATA_TYPES)


def _restore(type_: str) -> str:
    """From what the data of a type would be restored."""
    return next((source for glob, source in _RESTORES if pattern(glob).fullmatch(type_)), _BACKUP)


def consequence(resource: ResourceReport) -> str:
    """What an apply does to it, after "an apply"; empty where the object is kept."""
    fate = fate_of(resource)
    if fate is Fate.KEPT:
        return ""
    if resource.deposed:
        return _FORMER
    if not holds_data(resource):
        return f"{_VERBS[fate]} it"
    if fate is Fate.RECREATED:
        return f"re-creates it, empty; {_restore(resource.type)}"
    empty = "its data is lost" if fate is Fate.DESTROYED else "it comes back empty"
    return f"{_VERBS[fate]} it; {empty}, and {_restore(resource.type)}"


def destructive(resources: Sequence[ResourceReport]) -> list[ResourceReport]:
    """The resources that an apply destroys, replaces or makes anew; worst first, those that hold data before others."""
    found = [resource for resource in resources if fate_of(resource) is not Fate.KEPT]
    return sorted(found, key=rank)


def rank(resource: ResourceReport) -> tuple[int, bool]:
    """How bad it is what an apply does to a resource; the worst comes first."""
    return fate_of(resource), not holds_data(resource)


def consequence_title(resources: Sequence[ResourceReport], longest_address: int = 64) -> str:
    """What an apply destroys, replaces and makes anew, in a few words after "an apply"; empty where it does not."""
    worst = destructive(resources)
    if not worst:
        return ""
    if len(worst) == 1:
        resource = worst[0]
        verb, address = _VERBS[fate_of(resource)], short_address(resource.address, longest_address)
        if resource.deposed:
            return f"destroys a former object of {address}"
        return f"{verb} {address}{_loss(resource)}"
    counts: dict[Fate, list[ResourceReport]] = {}
    for resource in worst:
        counts.setdefault(fate_of(resource), []).append(resource)
    parts = [f"{_VERBS[fate]} {plural(len(some), 'resource')}" for fate, some in counts.items()]
    data = sum(holds_data(resource) and not resource.deposed for resource in worst)
    return " and ".join(parts) + (f", {data} of them with data" if data else "")


def _loss(resource: ResourceReport) -> str:
    """What becomes of the data of one resource that is destroyed, replaced or made anew."""
    if not holds_data(resource):
        return ""
    return "; its data is lost" if fate_of(resource) is not Fate.RECREATED else ", empty"


def short_address(address: str, longest: int = 64) -> str:
    """An address whose end counts, as long as a title has room for."""
    return address if len(address) <= longest else f"…{address[1 - longest :]}"
