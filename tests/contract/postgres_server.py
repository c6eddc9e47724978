"""A real PostgreSQL server for tests, from the programs on this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SUPERUSER = "driftguard"
PASSWORD = "canary-Pa55word"


class PostgresServer:
    """A cluster in a folder of its own, on loopback, with password logins."""

    def __init__(self, programs: Path, folder: Path, port: int, password: str) -> None:
        self._programs = programs
        self._folder = folder
        self._port = port
        self._password = password
        self._databases = 0

    def start(self) -> None:
        options = f"-p {self._port} -h 127.0.0.1 -k {self._folder} -c fsync=off"
        self._run(
            "pg_ctl", "-D", str(self._folder / "data"), "-w", "-o", options, "-l", str(self._folder / "log"), "start"
        )

    def stop(self) -> None:
        """Stop at once, dropping every connection."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    @property
    def address(self) -> str:
        """Host and port, as a URL has them."""
        return f"127.0.0.1:{self._port}"

    def take_writes(self, takes: bool) -> None:
        """Refuse writes as a server does that is none of the primary's, or take them again; at once."""
        import psycopg

        wanted = "off" if takes else "on"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {wanted}")
            connection.execute("SELECT pg_reload_conf()")
        # The server reloads when it comes to it. A new session with the value follows the signal to the older ones.
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with psycopg.connect(self.url("postgres")) as connection:
                if connection.execute("SHOW default_transaction_read_only").fetchone() == (wanted,):
                    return
            time.sleep(0.01)
        raise RuntimeError("the server did not reload its configuration within 30 s")

    def url(self, database: str, *, password: str | None = None) -> str:
        return f"postgresql://{SUPERUSER}:{password or self._password}@127.0.0.1:{self._port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        import psycopg

        self._databases += 1
        name = f"ledger_{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def initialise(self) -> None:
        secret = self._folder / "password"
        secret.write_text(self._password)
        self._run(
            *("initdb", "-D", str(self._folder / "data"), "-U", SUPERUSER, "-A", "scram-sha-256"),
            *("--pwfile", str(secret), "--no-sync", "--no-locale", "-E", "UTF8"),
        )

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
            **unprivileged(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode(errors='replace')}")


def unprivileged() -> dict[str, Any]:
    """Arguments for `subprocess` that leave root behind: PostgreSQL's programs refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    user = next((name for name in ("postgres", "nobody") if _exists(name)), None)
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def server_programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl`, or None where PostgreSQL's server is not installed."""
    folders = [
        Path(found).resolve().parent for name in ("initdb", "pg_ctl", "postgres") if (found := shutil.which(name))
    ]
    if config := shutil.which("pg_config"):
        told = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        folders.append(Path(told))
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "pg_ctl").exists()), None)


@contextmanager
def postgres_server(programs: Path) -> Iterator[PostgresServer]:
    """A running server, removed with all its data at the end."""
    # Not below pytest's own folder, which no other user may enter; and short, for the socket's path.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = PostgresServer(programs, folder, _free_port(), PASSWORD)
    try:
        if account := unprivileged():
            shutil.chown(folder, account["user"])
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def server_or_skip() -> Iterator[PostgresServer]:
    """A running server, for a fixture; where there can be none, the test is skipped with the reason."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (extra `postgres`)")
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, pg_ctl) are not on this machine")
    with postgres_server(programs) as running:
        yield running


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
