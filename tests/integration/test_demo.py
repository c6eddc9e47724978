"""The demo, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from driftguard.model import Label
from tests.support import slack_double
from tests.support.slack_double import SlackDouble

pytestmark = pytest.mark.terraform

COMMAND = [sys.executable, "-c", "from driftguard.cli import main; main()", "demo"]
# The verdict and the labels of each environment.
LABELS = {
    "dev": ("drifted", {Label.DRIFT, Label.DERIVED, Label.NOISE}),
    "staging": ("pending", {Label.PENDING, Label.REFACTOR, Label.INPUT, Label.NOISE}),
    "prod": (
        "diverged",
        {Label.ABSORBED, Label.CONFLICT, Label.ADOPTED, Label.RESIDUE, Label.DERIVED, Label.PENDING},
    ),
}


def surroundings(tmp_path: Path) -> dict[str, str]:
    """A newcomer's variables; every process of the demo is recognised by one of these folders."""
    (tmp_path / "home").mkdir()
    (tmp_path / "scratch").mkdir()
    root = str(Path(__file__).resolve().parents[2])
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "scratch"),
        "PYTHONPATH": root,
    }


def start(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env={**surroundings(tmp_path), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def running(tmp_path: Path) -> list[str]:
    """Command lines of the processes whose variables name a folder of this test."""
    if not Path("/proc").is_dir():
        pytest.skip("processes are recognised by /proc, which this system lacks")
    return [" ".join(command) for command in _commands(str(tmp_path).encode())]


def _commands(mark: bytes) -> Iterator[list[str]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                yield (process / "cmdline").read_text().split("\0")
        except OSError:
            continue  # it has ended, or belongs to another user


def left_behind(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "scratch").iterdir()) + [p for p in (tmp_path / "home").rglob("*") if p.is_file()]


def interrupt_at_work(process: subprocess.Popen[str], tmp_path: Path) -> None:
    """Ctrl-C once Terraform's provider is creating the estate."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Creating"):
            break
    end = time.monotonic() + 60
    while not any("terraform-provider-aws" in command for command in running(tmp_path)):
        assert time.monotonic() < end, "no provider was started"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)


@pytest.mark.aws
def test_the_demo_shows_every_label_of_a_change_applies_alerts_proposes_and_rolls_back(tmp_path: Path) -> None:
    with SlackDouble(channels=("demo",)) as slack:
        channel = {"DRIFTGUARD_DEMO_CHANNEL": "#demo", "DRIFTGUARD_DEMO_SLACK_API": slack.api_url}
        kept = tmp_path / "kept"
        process = start(tmp_path, "--yes", "--keep", str(kept), SLACK_BOT_TOKEN=slack.token, **channel)
        stdout, stderr = process.communicate(timeout=500)
        assert process.returncode == 0, stderr
        message, digest = (each for each in slack.messages("demo") if not each.thread_ts)
        assert "1 open alert in dev" in digest.text
        assert "(acknowledged by an operator until" in slack_double.render_text(digest)
        assert "Reverted by DriftGuard's apply" in slack.plain("demo")
        assert slack.replies("demo", message.ts)
        assert slack.token not in stdout + stderr
    table = stdout.split("$ driftguard scan")[1].split("\n\n")[0]
    shown = {}
    for name in LABELS:
        row = next(line for line in table.splitlines() if line.startswith(name))
        shown[name] = (row.split()[1], {Label(word) for word in re.findall(r"\d+ ([a-z]+)", row)})
    assert shown == LABELS
    # A restless value is code that nobody should copy from the example.
    assert set.union(*(labels for _, labels in shown.values())) == set(Label) - {Label.RESTLESS}
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    rows = re.findall(r"^    ((?:dev|prod|staging) .+) [0-9a-f]{10}$", readme, re.MULTILINE)
    assert len(rows) == len(LABELS)
    assert [row for row in rows if row not in table] == []
    assert "prod was diverged" in stdout
    assert "a visibility timeout of 45 seconds" in stderr
    assert "a visibility timeout of 30 seconds" in stderr
    assert "[3/3]" in stderr
    assert 'dev: merging re-creates module.service.aws_sqs_queue.work["mails"], empty' in stdout
    assert re.search(r"^dev +in sync", stdout.split("$ driftguard status dev")[1], re.MULTILINE)
    assert "driftguard init" in stdout.split("The demo ran the whole loop")[1]
    assert f"the files are in {kept}" in stdout
    assert (kept / "cloud.log").exists()
    assert "pk-loopback" not in stdout + stderr
    assert left_behind(tmp_path) == []
    assert running(tmp_path) == []


@pytest.mark.aws
def test_ctrl_c_ends_the_demo_with_every_lock_released_and_nothing_left(tmp_path: Path) -> None:
    process = start(tmp_path)
    interrupt_at_work(process, tmp_path)
    (log,) = (tmp_path / "scratch").rglob("cloud.log")
    os.link(log, tmp_path / "cloud.log")  # outlives the demo's folder
    _, stderr = process.communicate(timeout=180)
    assert process.returncode == 1
    assert stderr.strip().splitlines()[-1] == (
        "driftguard: interrupted; every process of the demo has ended, its files were deleted."
    )
    assert "Traceback" not in stderr
    requests = (tmp_path / "cloud.log").read_text()
    taken, released = (set(re.findall(rf"{verb} (/\S+\.tflock)", requests)) for verb in ("PUT", "DELETE"))
    assert taken
    assert released == taken
    assert left_behind(tmp_path) == []
    assert running(tmp_path) == []


def test_a_folder_that_exists_is_not_written_into(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--keep", str(tmp_path)], env=surroundings(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "names a new folder" in done.stderr


def test_without_git_there_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        COMMAND, env={**surroundings(tmp_path), "PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "driftguard: the demo needs git, and PATH has none. Install it and try again.\n"
