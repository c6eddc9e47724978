"""What changes whenever Terraform writes a state into PostgreSQL (backend `pg`): the digest of its row."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind

_CONNECTION: Final = "PG_CONN_STR"
_SCHEMA: Final = "PG_SCHEMA_NAME"
_DEFAULT_SCHEMA: Final = "terraform_remote_state"
_CONNECT_SECONDS: Final = 10
_ABSENT: Final = "absent"


def pg_stamp(settings: Mapping[str, Any], workspace: str, variables: Mapping[str, str]) -> str | None:
    """The stamp of a workspace's state; None where it is not certain that Terraform would ask the same server.

    Args:
        settings: of the backend.
        variables: the process environment of Terraform.

    Raises:
        EnvironmentFault: the server refuses, or cannot be reached.
    """
    address = str(settings.get("conn_str") or variables.get(_CONNECTION, ""))
    # Other variables of libpq would complete the address, and ours may differ from Terraform's.
    others = [name for name in variables if name.startswith("PG") and name not in (_CONNECTION, _SCHEMA)]
    if others or find_spec("psycopg") is None:
        return None
    import psycopg
    from psycopg import conninfo, sql

    try:
        given = conninfo.conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        return None
    if not all(given.get(name) for name in ("host", "dbname", "user")) or "service" in given:
        return None
    schema = str(settings.get("schema_name") or variables.get(_SCHEMA) or _DEFAULT_SCHEMA)
    query = sql.SQL("SELECT md5(data) FROM {}.states WHERE name = %s").format(sql.Identifier(schema))
    try:
        with psycopg.connect(address, connect_timeout=_CONNECT_SECONDS, application_name="driftguard") as connection:
            found = connection.execute(query, (workspace,)).fetchone()
    except psycopg.Error as error:
        message = f"The state in PostgreSQL ({given['host']}) cannot be read: {type(error).__name__}."
        raise EnvironmentFault(ErrorKind.PLAN, message) from None
    return _ABSENT if found is None else str(found[0])
