"""The attempts port on a SQL database: applies, recorded before their effect and at most once each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from driftguard.adapters.sql import journal
from driftguard.adapters.sql.database import Database, statements
from driftguard.adapters.sql.rows import canonical, moment, stamp
from driftguard.adapters.sql.schema import ATTEMPTS
from driftguard.errors import SafetyRefusal
from driftguard.model import Attempt, AttemptState, AttemptStep, Entry
from driftguard.ports import AttemptHistory, Attempts

_UNFINISHED: Final = (AttemptState.OPEN, AttemptState.APPLYING)
# What each unfinished state may become. An attempt that began to apply cannot be void: void frees its key.
_NEXT: Final[Mapping[AttemptState, frozenset[AttemptState]]] = {
    AttemptState.OPEN: frozenset(AttemptState),
    AttemptState.APPLYING: frozenset({AttemptState.APPLYING, AttemptState.SUCCEEDED, AttemptState.FAILED}),
}


class SqlAttemptHistory(AttemptHistory):
    """Implements `ports.AttemptHistory`: all that a scan needs of attempts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unfinished(self, environment: str) -> tuple[Attempt, ...]:
        """Attempts that were opened and never ended, oldest first."""
        return self._select(
            ATTEMPTS.c.environment == environment, ATTEMPTS.c.state.in_([state.value for state in _UNFINISHED])
        )

    def recent(self, environment: str, since: datetime) -> tuple[Attempt, ...]:
        """Attempts opened at or after `since`, oldest first (in the order they were recorded)."""
        return self._select(ATTEMPTS.c.environment == environment, ATTEMPTS.c.opened_at >= stamp(since))

    def unsettled(self, environment: str) -> tuple[Attempt, ...]:
        """Attempts after the last one that succeeded, of any age, oldest first."""
        earlier = ATTEMPTS.alias()
        settled = select(func.max(earlier.c.sequence)).where(
            earlier.c.environment == environment, earlier.c.state == AttemptState.SUCCEEDED.value
        )
        return self._select(
            ATTEMPTS.c.environment == environment, ATTEMPTS.c.sequence > func.coalesce(settled.scalar_subquery(), 0)
        )

    def _select(self, *conditions: ColumnElement[bool]) -> tuple[Attempt, ...]:
        query = select(ATTEMPTS).where(*conditions).order_by(ATTEMPTS.c.sequence)
        with self._database.reading() as connection:
            return tuple(_attempt(row) for row in connection.execute(query))


class SqlAttempts(SqlAttemptHistory, Attempts):
    """Implements `ports.Attempts`; every change is journalled in the same transaction."""

    def open(self, attempt: Attempt, entry: Entry) -> bool:
        """Record an attempt durably, with its opening in the journal.

        False, with nothing recorded, when one with the same environment, commit, plan fingerprint and retry
        exists that is not void, or one with the same id.
        """
        same_key = (
            (ATTEMPTS.c.environment == attempt.environment)
            & (ATTEMPTS.c.commit_sha == attempt.commit)
            & (ATTEMPTS.c.plan_fingerprint == attempt.plan_fingerprint)
            & (ATTEMPTS.c.retry == attempt.retry)
            & (ATTEMPTS.c.state != AttemptState.VOID.value)
        )

        def work(connection: Connection) -> bool:
            # Writers take turns, so this cannot race; the unique index stands behind it all the same.
            if connection.execute(select(ATTEMPTS.c.id).where(same_key | (ATTEMPTS.c.id == attempt.id))).first():
                return False
            opened = replace(attempt, state=AttemptState.OPEN, finished_at=None)
            sequence = journal.append(statements(connection), entry)
            connection.execute(insert(ATTEMPTS).values(sequence=sequence, **_columns(opened)))
            return True

        return self._database.write(work)

    def advance(self, attempt_id: str, step: AttemptStep) -> Attempt:
        """Take an attempt one step on, merging the step's data into what is stored; journalled in the same transaction.

        Open goes anywhere, applying to applying, succeeded or failed; an end is final.

        Raises:
            SafetyRefusal: the attempt has ended already, recorded by another process.
            ValueError: no such attempt, or a step that does not exist.
        """
        state = step.state

        def work(connection: Connection) -> Attempt:
            row = connection.execute(select(ATTEMPTS).where(ATTEMPTS.c.id == attempt_id)).first()
            if row is None:
                raise ValueError(f"attempt {attempt_id} was never opened")
            stored = _attempt(row)
            if stored.state not in _NEXT:
                raise SafetyRefusal(
                    f"The apply of {stored.environment} (attempt {stored.id}) was already recorded as {stored.state} "
                    f"by another process, so it is not recorded as {state}; the next run plans again."
                )
            if state not in _NEXT[stored.state]:
                raise ValueError(f"attempt {stored.id} cannot go from {stored.state} to {state}")
            finished_at = None if state in _UNFINISHED else step.entry.at
            moved = replace(stored, state=state, finished_at=finished_at, data={**stored.data, **step.data})
            journal.append(statements(connection), step.entry)
            connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.id == stored.id).values(_columns(moved)))
            return moved

        return self._database.write(work)


def _columns(attempt: Attempt) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "environment": attempt.environment,
        "commit_sha": attempt.commit,
        "plan_fingerprint": attempt.plan_fingerprint,
        "retry": attempt.retry,
        "drift_fingerprint": attempt.drift_fingerprint,
        "run_id": attempt.run_id,
        "state": attempt.state.value,
        "opened_at": stamp(attempt.opened_at),
        "finished_at": None if attempt.finished_at is None else stamp(attempt.finished_at),
        "data": canonical(dict(attempt.data)),
    }


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        id=row.id,
        environment=row.environment,
        commit=row.commit_sha,
        plan_fingerprint=row.plan_fingerprint,
        drift_fingerprint=row.drift_fingerprint,
        run_id=row.run_id,
        state=AttemptState(row.state),
        opened_at=moment(row.opened_at),
        finished_at=None if row.finished_at is None else moment(row.finished_at),
        data=json.loads(row.data),
        retry=row.retry,
        sequence=row.sequence,
    )
