"""The journal with its head, environments, the key, leases, attempts, and alerts with their outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SQLITE_GUARD = """
CREATE TRIGGER entries_refuse_{verb} BEFORE {verb} ON entries
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
"""
_POSTGRESQL_GUARD = (
    """
    CREATE FUNCTION entries_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$
    """,
    """
    CREATE TRIGGER entries_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION entries_append_only()
    """,
)


def upgrade() -> None:
    """Create the tables of the ledger."""
    _journal()
    _projections()
    _alerts()
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE_GUARD.format(verb=verb))
    else:
        for statement in _POSTGRESQL_GUARD:
            op.execute(statement)


def _journal() -> None:
    op.create_table(
        "entries",
        sa.Column(
            "sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("environment", sa.Text),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_index("entries_by_environment_and_kind", "entries", ["environment", "kind", "sequence"])
    op.create_index("entries_by_environment", "entries", ["environment", "sequence"])
    op.create_index("entries_by_kind", "entries", ["kind", "sequence"])
    op.create_index("entries_by_time", "entries", ["at"])
    heads = op.create_table(
        "heads",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.bulk_insert(heads, [{"id": 1, "sequence": 0, "hash": "0" * 64}])


def _projections() -> None:
    op.create_table("environments", sa.Column("name", sa.Text, primary_key=True))
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("commit_sha", sa.Text, nullable=False),
        sa.Column("plan_fingerprint", sa.Text, nullable=False),
        sa.Column("retry", sa.Integer, nullable=False),
        sa.Column("drift_fingerprint", sa.Text),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("opened_at", sa.String(32), nullable=False),
        sa.Column("finished_at", sa.String(32)),
        sa.Column("data", sa.Text, nullable=False),
    )
    once = sa.text("state <> 'void'")
    op.create_index(
        "attempts_once",
        "attempts",
        ["environment", "commit_sha", "plan_fingerprint", "retry"],
        unique=True,
        sqlite_where=once,
        postgresql_where=once,
    )
    op.create_index("attempts_by_environment", "attempts", ["environment", "sequence"])


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("changed_at", sa.String(32), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    standing = sa.text("state <> 'resolved'")
    op.create_index(
        "alerts_once",
        "alerts",
        ["environment", "kind"],
        unique=True,
        sqlite_where=standing,
        postgresql_where=standing,
    )
    op.create_index("alerts_by_environment", "alerts", ["environment", "kind", "sequence"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("alert", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("parent", sa.Text),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_index("deliveries_by_state", "deliveries", ["state", "sequence"])
    op.create_table(
        "shown",
        sa.Column("alert", sa.Text, primary_key=True),
        sa.Column("delivery", sa.Text, primary_key=True),
    )
    op.create_table(
        "told",
        sa.Column("alert", sa.Text, primary_key=True),
        sa.Column("sink", sa.String(40), primary_key=True),
    )
