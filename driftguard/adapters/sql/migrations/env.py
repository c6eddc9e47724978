"""Runs migrations on the connection and in the transaction of the ledger that is being opened."""

from __future__ import annotations

from alembic import context

from driftguard.adapters.sql.rows import VERSION_TABLE
from driftguard.adapters.sql.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
