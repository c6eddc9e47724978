"""Keyed digests of every attribute at an environment's baseline."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table of digests, one row for each environment."""
    op.create_table(
        "baseline_digests",
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("baseline_at", sa.String(32), nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
