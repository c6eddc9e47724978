"""The guards of the tests fail by name."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.guards import ROOT, NetworkGuardError


def test_a_connection_to_another_machine_fails_by_name() -> None:
    with socket.socket() as outside, pytest.raises(NetworkGuardError, match=r"192\.0\.2\.1"):
        outside.connect(("192.0.2.1", 443))
    with socket.socket() as outside, pytest.raises(NetworkGuardError, match=r"192\.0\.2\.1"):
        outside.connect_ex(("192.0.2.1", 80))


def test_a_question_for_an_address_or_a_datagram_fails_by_name() -> None:
    with pytest.raises(NetworkGuardError, match=r"talks to example\.org"):
        socket.create_connection(("example.org", 443))
    with socket.socket(type=socket.SOCK_DGRAM) as outside, pytest.raises(NetworkGuardError, match=r"192\.0\.2\.1"):
        outside.sendto(b"", ("192.0.2.1", 53))


def test_a_connection_to_this_machine_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ("open(HOME / 'file', 'w')", True),
        ("(HOME / 'folder').mkdir()", True),
        ("os.rename(TEMPORARY / 'x', HOME / 'x')", True),
        ("os.open(HOME / 'file', os.O_CREAT | os.O_RDWR)", True),
        ("(HOME / 'there').unlink()", True),
        ("(HOME / 'there').read_text()", False),
        ("(TEMPORARY / 'y').write_text('')", False),
    ],
)
def test_a_change_in_the_real_home_fails_by_name(tmp_path: Path, change: str, refused: bool) -> None:
    # A home outside the folder for temporary files, as a user's is; the guard of a process cannot be taken back.
    home = Path(tempfile.mkdtemp(dir=ROOT.parent, prefix="home-of-"))
    (home / "there").touch()
    (tmp_path / "x").touch()
    program = (
        "import os, sys, tempfile\nfrom pathlib import Path\nfrom tests.guards import refuse_writes_to\n"
        f"HOME, TEMPORARY = Path({str(home)!r}), Path({str(tmp_path)!r})\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\nrefuse_writes_to(HOME)\n{change}\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert ("HomeGuardError: a test changes" in done.stderr) == refused, done.stderr
        assert [path.name for path in home.iterdir()] == ["there"]
    finally:
        shutil.rmtree(home)
