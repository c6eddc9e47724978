"""Summaries of reports, occurrences of labels, and runs; they are filled from the journal after the migrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the three tables beside the journal."""
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
    )
    standing = sa.text("closed_at IS NULL")
    op.create_index(
        "occurrences_open", "occurrences", ["environment"], sqlite_where=standing, postgresql_where=standing
    )
    op.create_index("occurrences_by_opening", "occurrences", ["opened_at", "label", "environment"])
    op.create_index("occurrences_by_end", "occurrences", ["closed_at", "label", "environment"])
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
