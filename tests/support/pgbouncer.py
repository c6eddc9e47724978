"""PgBouncer in transaction mode in front of a PostgreSQL of the tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.contract.postgres_server import unprivileged

_SECONDS = 20.0


@contextmanager
def pgbouncer(url: str) -> Iterator[str]:
    """The URL of the same database through a pooler, which hands a connection out for one transaction at a time."""
    behind = urlsplit(url)
    folder = Path(tempfile.mkdtemp(prefix="pgb-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "users.txt").write_text(f'"{behind.username}" "{behind.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={behind.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users.txt\npool_mode = transaction\n"
        f"default_pool_size = 4\nlogfile = {folder}/log\n"
    )
    if account := unprivileged():
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, account["user"])
    program = [shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", str(folder / "pgbouncer.ini")]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **unprivileged()) as running:
        try:
            deadline = time.monotonic() + _SECONDS
            while not _answers(port):
                assert running.poll() is None, "PgBouncer ended"
                assert time.monotonic() < deadline, "PgBouncer did not start"
                time.sleep(0.05)
            yield url.replace(f":{behind.port}/", f":{port}/")
        finally:
            running.terminate()
    shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
