"""The query of what is newest in the journal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from driftguard.adapters.sql.rows import StoredEntry, stamp
from driftguard.adapters.sql.schema import ENTRIES, ENVIRONMENTS
from driftguard.model import EntryKind


def newest_of_kind(kind: EntryKind, until: datetime | None, *, rare: bool = False) -> Select[Any]:
    """The columns of `StoredEntry` of the newest entry of a kind for each environment.

    Args:
        until: inclusive.
        rare: all entries of the kind are read, in place of seeking that of each environment.
    """
    candidates = ENTRIES.alias()
    newest = select(func.max(candidates.c.sequence)).where(candidates.c.kind == kind.value)
    if until is not None:
        newest = newest.where(candidates.c.at <= stamp(until))
    columns = select(*(ENTRIES.c[name] for name in StoredEntry._fields))
    if rare:
        named = newest.where(candidates.c.environment.is_not(None)).group_by(candidates.c.environment)
        return columns.where(ENTRIES.c.sequence.in_(named))
    of_each = newest.where(candidates.c.environment == ENVIRONMENTS.c.name).correlate(ENVIRONMENTS)
    return columns.join_from(ENVIRONMENTS, ENTRIES, ENTRIES.c.sequence == of_each.scalar_subquery())
