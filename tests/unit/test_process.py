"""Foreign programs: their end is orderly, their output bounded, and nothing of them is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from driftguard.adapters.process import Completed, Stop, run

ENVIRONMENT = {"PATH": os.defpath}


def python(code: str, tmp_path: Path, **options: object) -> Completed:
    settings: dict[str, object] = {"timeout_seconds": 30.0, "environment": ENVIRONMENT, **options}
    return run([sys.executable, "-c", code], directory=tmp_path, **settings)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("supervised", [False, True])
def test_lines_and_exit_code_arrive(tmp_path: Path, supervised: bool) -> None:
    lines: list[bytes] = []
    code = "print('a\\nb'); import sys; sys.stderr.write('e'); sys.exit(3)"
    done = python(code, tmp_path, on_line=lines.append, die_with_us=supervised)
    assert (lines, done.code, done.stderr) == ([b"a", b"b"], 3, "e")


def test_a_last_line_without_an_end_is_a_line(tmp_path: Path) -> None:
    lines: list[bytes] = []
    python("import sys; sys.stdout.write('a\\nb')", tmp_path, on_line=lines.append)
    assert lines == [b"a", b"b"]


def test_only_the_given_environment_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_VAR_password", "leak")
    lines: list[bytes] = []
    python("import os; print(sorted(os.environ))", tmp_path, on_line=lines.append)
    assert b"TF_VAR_password" not in lines[0]


def test_standard_error_is_kept_to_its_tail(tmp_path: Path) -> None:
    done = python("import sys; sys.stderr.write('x' * 500_000 + 'end')", tmp_path)
    assert len(done.stderr) <= 1 << 16
    assert done.stderr.endswith("end")


def test_credentials_in_standard_error_are_masked(tmp_path: Path) -> None:
    done = python("import sys; sys.stderr.write('https://me:hunter22@example.org/x')", tmp_path)
    assert "hunter22" not in done.stderr


def test_a_program_whose_time_is_up_is_interrupted_first(tmp_path: Path) -> None:
    code = """
import signal, sys, time
def end(*_):
    print("released", flush=True)
    sys.exit(1)
signal.signal(signal.SIGINT, end)
print("ready", flush=True)
time.sleep(60)
"""
    lines: list[bytes] = []
    done = python(code, tmp_path, on_line=lines.append, timeout_seconds=1.0)
    assert done.timed_out
    assert not done.killed
    assert lines == [b"ready", b"released"]


def test_a_program_that_ignores_the_interrupt_is_killed_with_its_children(tmp_path: Path) -> None:
    code = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
    lines: list[bytes] = []
    done = python(code, tmp_path, on_line=lines.append, timeout_seconds=1.0, grace_seconds=0.5)
    assert (done.timed_out, done.killed) == (True, True)
    time.sleep(0.2)
    assert not alive(int(lines[0]))


@pytest.mark.parametrize("supervised", [False, True])
def test_children_that_outlive_their_parent_are_killed(tmp_path: Path, supervised: bool) -> None:
    code = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
"""
    lines: list[bytes] = []
    assert python(code, tmp_path, on_line=lines.append, die_with_us=supervised).code == 0
    time.sleep(0.2)
    assert not alive(int(lines[0]))


def test_a_stop_interrupts_what_runs(tmp_path: Path) -> None:
    stop = Stop()
    threading.Timer(0.5, stop.request).start()
    started = time.monotonic()
    done = python("import time; time.sleep(60)", tmp_path, stop=stop)
    assert done.interrupted
    assert time.monotonic() - started < 20


def test_a_program_is_interrupted_when_its_starter_is_killed_and_its_output_has_no_reader(tmp_path: Path) -> None:
    program = f"""
import signal, sys, time
def end(*_):
    for n in range(2000):
        print("a line that nobody reads", n, flush=True)
    open("{tmp_path}/ended", "w").close()
    sys.exit(0)
signal.signal(signal.SIGINT, end)
print("ready", flush=True)
time.sleep(60)
"""
    starter = f"""
import subprocess
import sys
from pathlib import Path
from driftguard.adapters.process import run
run([sys.executable, "-c", {program!r}], directory=Path("{tmp_path}"), environment={ENVIRONMENT!r}, timeout_seconds=60,
    die_with_us=True, on_line=lambda line: print(line.decode(), flush=True))
"""
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True, env={**ENVIRONMENT, "PYTHONPATH": root}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while not (tmp_path / "ended").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
