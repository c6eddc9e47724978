"""The ledger survives kill -9 at any moment, and a disk that takes no more."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from driftguard.adapters.sql.opening import open_ledger
from driftguard.model import EntryKind
from tests.support.seeds import one_quick

_WORK = """
import itertools, os, sys
from dataclasses import replace
from datetime import UTC, datetime
from driftguard.adapters.sql.opening import open_ledger
from driftguard.model import Attempt, AttemptState
from driftguard.pipeline.record import attempt_opened_entry, attempt_step

now = datetime(2026, 3, 1, tzinfo=UTC)
ledger = open_ledger(sys.argv[1])
print("ready", flush=True)
for number in itertools.count():
    name = f"{os.getpid()}-{number}"
    attempt = Attempt(name, "dev", name, "f1", None, "run-1", AttemptState.OPEN, now)
    assert ledger.attempts.open(attempt, attempt_opened_entry(attempt))
    for state, data in ((AttemptState.APPLYING, {"number": number}), (AttemptState.SUCCEEDED, {})):
        ledger.attempts.advance(name, attempt_step(attempt, state, now, data))
    print(name, flush=True)
"""

_FILL_A_SMALL_DISK = """
import resource, sys
from datetime import UTC, datetime
from driftguard.adapters.sql.opening import open_ledger
from driftguard.errors import OperatorError
from driftguard.model import Entry, EntryKind

ledger = open_ledger(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
written = 0
try:
    while True:
        ledger.append(Entry(EntryKind.SCANNED, datetime(2026, 3, 1, tzinfo=UTC), "run-1", "dev", {"x": "y" * 5000}))
        written += 1
except OperatorError as error:
    print(written, error)
"""


@pytest.mark.parametrize("seed", one_quick(range(5)))
def test_a_killed_writer_loses_nothing_was_confirmed_as_written(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    url = f"sqlite:///{tmp_path}/ledger.db"
    acknowledged: list[str] = []
    for _ in range(2):
        child = subprocess.Popen([sys.executable, "-c", _WORK, url], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.0, 0.25))
        child.send_signal(signal.SIGKILL)
        acknowledged += child.communicate(timeout=30)[0].splitlines()
        assert child.returncode == -signal.SIGKILL

    ledger = open_ledger(url)
    assert ledger.verify() == ()
    entries = ledger.entries()
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    finished = {entry.data["attempt"] for entry in entries if entry.kind is EntryKind.ATTEMPT_FINISHED}
    assert set(acknowledged) <= finished
    # What is kept beside the journal tells the same story as the journal.
    told = {entry.data["attempt"]: entry.data["state"] for entry in entries}
    kept = ledger.attempts.recent("dev", entries[0].at) if entries else ()
    assert {attempt.id: attempt.state.value for attempt in kept} == told
    assert len(ledger.attempts.unfinished("dev")) <= 2
    ledger.close()


def test_a_process_killed_while_it_creates_the_ledger_leaves_one_that_opens(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    for delay in (0.0, 0.01, 0.03):
        child = subprocess.Popen([sys.executable, "-c", _WORK, url], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not (tmp_path / "ledger.db").exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(delay)
        child.kill()
        child.wait()
    ledger = open_ledger(url)
    assert ledger.verify() == ()
    ledger.close()


def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_a_sound_ledger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    done = subprocess.run([sys.executable, "-c", _FILL_A_SMALL_DISK, url], capture_output=True, text=True, timeout=60)
    written, _, message = done.stdout.strip().partition(" ")
    assert int(written) > 0
    assert "so nothing more is recorded or applied" in message
    assert "\n" not in message
    assert "Traceback" not in done.stderr
    ledger = open_ledger(url)
    assert len(ledger.entries()) == int(written)
    assert ledger.verify() == ()
    ledger.close()
