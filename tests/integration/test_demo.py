"""The demo, as a newcomer runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from driftguard.adapters.process import group_alive
from driftguard.model import Label

pytestmark = pytest.mark.terraform

COMMAND = [sys.executable, "-c", "from driftguard.cli import main; main()", "demo"]


def surroundings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    (tmp_path / "scratch").mkdir()
    root = str(Path(__file__).resolve().parents[2])
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "scratch"),
        "PYTHONPATH": root,
    }


def left_behind(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "scratch").iterdir()) + [p for p in (tmp_path / "home").rglob("*") if p.is_file()]


def test_the_demo_shows_every_label_applies_and_rolls_back(tmp_path: Path) -> None:
    process = subprocess.Popen(
        COMMAND,
        env=surroundings(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stdout, stderr = process.communicate(timeout=500)
    assert process.returncode == 0, stderr
    scan = stdout.split("$ driftguard scan")[1].split("$ driftguard explain")[0]
    assert {label for label in Label if f"1 {label}" in scan or f" {label}" in scan} == set(Label)
    assert "pk-loopback" not in stdout + stderr
    assert "That was the whole job" in stdout
    assert left_behind(tmp_path) == []
    assert not group_alive(process.pid)


def test_ctrl_c_ends_the_demo_and_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        COMMAND,
        env=surroundings(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Creating"):
            break
    time.sleep(3)  # Terraform is at work now
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=180)
    assert process.returncode == 1
    assert "everything the demo started is gone" in stderr
    assert left_behind(tmp_path) == []
    assert not group_alive(process.pid)


def test_a_folder_that_exists_is_not_written_into(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--keep", str(tmp_path)], env=surroundings(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "names a new folder" in done.stderr
