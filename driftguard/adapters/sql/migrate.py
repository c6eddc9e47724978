"""Brings a database to the newest schema with Alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Run every migration not yet run, inside the transaction that is open on `connection`."""
    config = Config()
    config.set_main_option("script_location", "driftguard.adapters.sql:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
