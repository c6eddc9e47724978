"""Tables of the ledger."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

METADATA: Final = MetaData()

# `data` stands last: SQLite then filters on the other columns without reading a long text's overflow pages.
ENTRIES: Final = Table(
    "entries",
    METADATA,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("environment", Text),
    Column("run_id", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("data", Text, nullable=False),
    Index("entries_by_environment_and_kind", "environment", "kind", "sequence"),
    Index("entries_by_environment", "environment", "sequence"),
    Index("entries_by_kind", "kind", "sequence"),
    Index("entries_by_time", "at"),
)

# The one row of the last entry: a journal whose tail was cut off no longer agrees with it.
HEADS: Final = Table(
    "heads",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

# Every environment the journal names: lets "newest of each" seek once per environment instead of reading all.
ENVIRONMENTS: Final = Table("environments", METADATA, Column("name", Text, primary_key=True))

SECRETS: Final = Table(
    "secrets",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

LEASES: Final = Table(
    "leases",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires_at", String(32), nullable=False),
)

_NOT_VOID = text("state <> 'void'")
ATTEMPTS: Final = Table(
    "attempts",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("environment", Text, nullable=False),
    Column("commit_sha", Text, nullable=False),
    Column("plan_fingerprint", Text, nullable=False),
    Column("retry", Integer, nullable=False),
    Column("drift_fingerprint", Text),
    Column("run_id", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("opened_at", String(32), nullable=False),
    Column("finished_at", String(32)),
    Column("data", Text, nullable=False),
    Index(
        "attempts_once",
        "environment",
        "commit_sha",
        "plan_fingerprint",
        "retry",
        unique=True,
        sqlite_where=_NOT_VOID,
        postgresql_where=_NOT_VOID,
    ),
    Index("attempts_by_environment", "environment", "sequence"),
)


# What each environment's attributes were at its baseline. Beside the journal: it may be lost, and is then made anew.
DIGESTS: Final = Table(
    "baseline_digests",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("baseline_at", String(32), nullable=False),
    Column("data", LargeBinary, nullable=False),
)

_NOT_RESOLVED = text("state <> 'resolved'")
# Alerts and their deliveries. `sequence` orders by when a row was made.
ALERTS: Final = Table(
    "alerts",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("environment", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("changed_at", String(32), nullable=False),
    Column("data", Text, nullable=False),
    Index(
        "alerts_once",
        "environment",
        "kind",
        unique=True,
        sqlite_where=_NOT_RESOLVED,
        postgresql_where=_NOT_RESOLVED,
    ),
    Index("alerts_by_environment", "environment", "kind", "sequence"),
)

OUTBOX: Final = Table(
    "outbox",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("alert", Text, nullable=False),
    Column("data", Text, nullable=False),
)

DELIVERIES: Final = Table(
    "deliveries",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("parent", Text),
    Column("data", Text, nullable=False),
    Index("deliveries_by_state", "state", "sequence"),
)

# Which messages show an alert.
SHOWN: Final = Table(
    "shown",
    METADATA,
    Column("alert", Text, primary_key=True),
    Column("delivery", Text, primary_key=True),
)

# Which sinks got an alert, or are waiting for it; the table's name is of version 0.1.
NOTIFIED: Final = Table(
    "told",
    METADATA,
    Column("alert", Text, primary_key=True),
    Column("sink", String(40), primary_key=True),
)

# The estate in short, made from the journal: see `model.estate` and `projecting`.
SUMMARIES: Final = Table(
    "summaries",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("environment", Text, nullable=False),
    Column("at", String(32), nullable=False),
    Column("data", Text, nullable=False),
    Index("summaries_by_environment", "environment", "sequence", "at"),
)

_OPEN = text("closed_at IS NULL")
_REPAIRED = text("repair_seconds IS NOT NULL")
# `opened` is the number of the entry that opened it. No index has addresses or owners: PostgreSQL takes no long ones.
OCCURRENCES: Final = Table(
    "occurrences",
    METADATA,
    Column("opened", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("environment", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("owner", Text),
    Column("opened_at", String(32), nullable=False),
    Column("began_at", String(32), nullable=False),
    Column("closed_at", String(32)),
    Column("ending", String(20)),
    Column("repair_seconds", Float),
    Index("occurrences_open", "environment", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("occurrences_by_environment", "environment", "opened_at", "closed_at", "label"),
    Index("occurrences_by_opening", "opened_at", "label"),
    Index("occurrences_by_end", "closed_at", "opened_at", "label"),
    Index("occurrences_repaired", "closed_at", sqlite_where=_REPAIRED, postgresql_where=_REPAIRED),
)

# How many occurrences of the whole estate began and ended on a day (UTC).
LABEL_DAYS: Final = Table(
    "label_days",
    METADATA,
    Column("day", String(10), primary_key=True),
    Column("label", Text, primary_key=True),
    Column("opened", BigInteger, nullable=False),
    Column("closed", BigInteger, nullable=False),
)

RUNS: Final = Table(
    "runs",
    METADATA,
    Column("run", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("finished_at", String(32)),
    Column("looks", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    Column("probed", Integer),
    Column("cpu_seconds", Float),
    Column("data", Text, nullable=False),
    Index("runs_by_sequence", "sequence"),
    Index("runs_by_start", "started_at"),
)

# The newest look that confirmed each environment's last report. Beside the journal: it may be lost.
LOOKS: Final = Table(
    "looks",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("at", String(32), nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
)

WATCH_DAYS: Final = Table(
    "watch_days",
    METADATA,
    Column("day", String(10), primary_key=True),
    Column("rounds", BigInteger, nullable=False),
    Column("looked", BigInteger, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("differed", BigInteger, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
)
