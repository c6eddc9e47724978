"""Summaries of reports, occurrences of labels by resource and day, and runs: filled after the migrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the four tables beside the journal."""
    op.create_table(
        "summaries",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_index("summaries_by_environment", "summaries", ["environment", "sequence", "at"])
    op.create_table(
        "occurrences",
        sa.Column("opened", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("opened_at", sa.String(32), nullable=False),
        sa.Column("began_at", sa.String(32), nullable=False),
        sa.Column("closed_at", sa.String(32)),
        sa.Column("ending", sa.String(20)),
        sa.Column("repair_seconds", sa.Float),
    )
    _index_occurrences()
    op.create_table(
        "label_days",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("opened", sa.BigInteger, nullable=False),
        sa.Column("closed", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("finished_at", sa.String(32)),
        sa.Column("looks", sa.Integer, nullable=False),
        sa.Column("unknown", sa.Integer, nullable=False),
        sa.Column("probed", sa.Integer),
        sa.Column("cpu_seconds", sa.Float),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_index("runs_by_sequence", "runs", ["sequence"])
    op.create_index("runs_by_start", "runs", ["started_at"])


def _index_occurrences() -> None:
    table = "occurrences"
    standing, repaired = sa.text("closed_at IS NULL"), sa.text("repair_seconds IS NOT NULL")
    op.create_index("occurrences_open", table, ["environment"], sqlite_where=standing, postgresql_where=standing)
    op.create_index("occurrences_by_environment", table, ["environment", "opened_at", "closed_at", "label"])
    op.create_index("occurrences_by_opening", table, ["opened_at", "label"])
    op.create_index("occurrences_by_end", table, ["closed_at", "opened_at", "label"])
    op.create_index("occurrences_repaired", table, ["closed_at"], sqlite_where=repaired, postgresql_where=repaired)
