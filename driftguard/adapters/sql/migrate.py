"""Brings a database to the newest schema with Alembic."""

from __future__ import annotations

from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from driftguard.adapters.sql.projecting import rebuild

# The revision since which the tables beside the journal hold what this code writes into them.
_PROJECTED_SINCE: Final = "0003"


def upgrade(connection: Connection, found: str | None) -> None:
    """Run every migration not yet run, inside the transaction that is open on `connection`.

    Migrations change tables; what follows from the journal is then made anew where it is
    missing, or an older version wrote it.

    Args:
        found: the revision of the database; None for an empty one.
    """
    config = Config()
    config.set_main_option("script_location", "driftguard.adapters.sql:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if found is not None and found < _PROJECTED_SINCE:
        rebuild(connection)
