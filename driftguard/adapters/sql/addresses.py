"""The ledger's URL, read as SQLAlchemy needs it; several hosts and ports as libpq writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from driftguard.errors import UsageError

_EXPECTED: Final = "Set ledger.url to sqlite:///PATH, postgresql://HOST/DATABASE or s3://BUCKET/KEY."
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
_SEVERAL_HOSTS: Final = re.compile(r"(postgres(?:ql)?(?:\+psycopg)?://)([^@/?]*@)?([^@/?]*,[^@/?]*)(.*)", re.DOTALL)
_HOST: Final = re.compile(r"(\[[0-9A-Za-z:.%]+\]|[^\[\]:]*)(?::([0-9]+)?)?")
_DEFAULT_PORT: Final = "5432"


def parse(url: str) -> URL:
    """A SQLite file or a PostgreSQL database; of several hosts the one that takes writes, unless the URL wants another.

    Raises:
        UsageError: it is neither.
    """
    hosts: dict[str, str] = {}
    try:
        if several := _SEVERAL_HOSTS.fullmatch(url):
            hosts = _hosts(several[3])
            url = f"{several[1]}{several[2] or ''}{several[4]}"
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The text is not shown: what cannot be parsed cannot be cleaned of its password either.
        raise UsageError(f"The ledger's URL cannot be read; nothing was run. {_EXPECTED}") from None
    scheme = parsed.drivername
    if scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        parsed = parsed.set(drivername="postgresql+psycopg").update_query_dict(hosts)
        several_hosts = "," in str(parsed.query.get("host", ""))
        if several_hosts and "target_session_attrs" not in parsed.query:
            parsed = parsed.update_query_dict({"target_session_attrs": "read-write"})
        return parsed
    if scheme != "sqlite":
        raise UsageError(f"A ledger of kind {scheme} is not supported; nothing was run. {_EXPECTED}")
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
        raise UsageError(f"The ledger's SQLite URL names no file; nothing was run. {_EXPECTED}")
    path = Path(parsed.database).expanduser().absolute()
    return URL.create("sqlite", database=str(path))


def display_name(url: URL) -> str:
    """What messages call the database: never its user, password or options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    port = f":{url.port}" if url.port else ""
    place = f"{url.host or ''}{port}" or _listed(url)
    return f"postgresql://{place}/{url.database or ''}"


def _hosts(text: str) -> dict[str, str]:
    """libpq's parameters for `HOST[:PORT],HOST[:PORT]…`; ValueError for any other text."""
    names, ports = [], []
    for item in text.split(","):
        found = _HOST.fullmatch(item)
        if found is None or not found[1]:
            raise ValueError
        names.append(found[1].strip("[]"))
        ports.append(found[2] or _DEFAULT_PORT)
    return {"host": ",".join(names), "port": ",".join(ports)}


def _listed(url: URL) -> str:
    hosts, ports = (str(url.query.get(key, "")).split(",") for key in ("host", "port"))
    if len(hosts) != len(ports):
        return ",".join(hosts)
    return ",".join(f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=True))
