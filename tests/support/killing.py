"""Kills reconcilers in the middle of an apply, in named phases, and keeps count of the phases that were hit.

    python -m tests.support.killing FILE MINIMUM

prints the count of a file and ends with 1 where a phase was hit less often than the minimum.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.conftest import S3Estate

PHASES = (
    "planning",
    "attempt opened",
    "state locked",
    "applying, nothing changed",
    "changing",
    "changed, state not written",
    "state written",
    "unlocked, end not recorded",
    "baseline moved, end not recorded",
    "verifying",
)
VICTIMS = ("driftguard", "terraform", "provider", "everything")
_POLL_SECONDS = 0.002
_PHASE_SECONDS = {"planning": 1.0, "state locked": 0.5, "applying, nothing changed": 0.2, "changing": 0.5}
_SHORT = frozenset({"unlocked, end not recorded", "baseline moved, end not recorded"})
_STEP_SECONDS = 0.001
_MOST_SECONDS = 90.0
_PROVIDER = "launcher.py"  # stands for the provider's process, which ends with it


def descendants(pid: int) -> list[int]:
    """Every process that a process started, directly or not, whatever its group."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found, queue = [], [pid]
    while queue:
        children = parents.get(queue.pop(), [])
        found += children
        queue += children
    return found


def kill_all(pids: list[int]) -> None:
    """SIGKILL for each process that is still there."""
    for each in pids:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Kill:
    """What is to be killed, and in which phase."""

    phase: str
    victim: str
    chance: random.Random


class Watch:
    """Looks at one environment's apply from outside: the ledger, the state, its lock, the toy cloud's log.

    Args:
        changes: how many effects the apply has.
    """

    def __init__(self, estate: S3Estate, commit: str, changes: int) -> None:
        file = estate.sandbox.ledger_file()
        self._estate, self._commit, self._changes = estate, commit, changes
        self._ledger = sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)
        self._serial, self._effects = self._state_serial(), len(estate.toy.effects())
        self._moves = self._count("baseline_moved")

    def close(self) -> None:
        self._ledger.close()

    def phase(self) -> str:
        """The phase that the apply is in."""
        row = self._ledger.execute(
            "SELECT state FROM attempts WHERE commit_sha = ? ORDER BY sequence DESC LIMIT 1", (self._commit,)
        ).fetchone()
        if row is None:
            return "planning"
        if row[0] == "open":
            return "state locked" if self._estate.locked() else "attempt opened"
        if row[0] == "applying" and self._count("baseline_moved") > self._moves:
            return "baseline moved, end not recorded"
        if row[0] == "applying":
            done = len(self._estate.toy.effects()) - self._effects
            if done < self._changes:
                return "changing" if done else "applying, nothing changed"
            if self._state_serial() == self._serial:
                return "changed, state not written"
            return "state written" if self._estate.locked() else "unlocked, end not recorded"
        return "verifying"

    def _count(self, kind: str) -> int:
        return int(self._ledger.execute("SELECT count(*) FROM entries WHERE kind = ?", (kind,)).fetchone()[0])

    def _state_serial(self) -> int:
        stored = self._estate.storage.get_object(Bucket=self._estate.bucket, Key="dev/terraform.tfstate")
        return int(json.loads(stored["Body"].read())["serial"])


def strike(process: subprocess.Popen[str], watch: Watch, kill: Kill) -> tuple[str, str] | None:
    """Kill in the wanted phase or the next one that is seen; the phase and the victim, None if it ended before."""
    deadline, wanted = time.monotonic() + _MOST_SECONDS, PHASES.index(kill.phase)
    while PHASES.index(now := watch.phase()) < wanted:
        if process.poll() is not None:
            return None
        assert time.monotonic() < deadline, f"{kill.phase} was never reached"
        if kill.phase in _SHORT and PHASES.index(now) >= PHASES.index("changed, state not written"):
            _step(process.pid)  # a look takes longer than the phase
        else:
            time.sleep(_POLL_SECONDS)
    if kill.phase in _PHASE_SECONDS:
        time.sleep(kill.chance.uniform(0, _PHASE_SECONDS[kill.phase]))
    everything = _frozen(process.pid)
    hit = watch.phase()
    victim, pids = _victim(process.pid, everything, kill.victim)
    kill_all(pids)
    for each in everything:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGCONT)
    return hit, victim


def _step(own: int) -> None:
    """Let a process go on for a moment, and leave it stopped."""
    with suppress(ProcessLookupError):
        os.kill(own, signal.SIGCONT)
        time.sleep(_STEP_SECONDS)
        os.kill(own, signal.SIGSTOP)


def _frozen(own: int) -> list[int]:
    """A process and all that it started, stopped: the phase that is counted is the one that is hit."""
    stopped: list[int] = []
    while new := [pid for pid in (own, *descendants(own)) if pid not in stopped]:
        stopped += new
        for each in new:  # what these started in the meantime is found in the next turn
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
    return stopped


def _victim(own: int, everything: list[int], wanted: str) -> tuple[str, list[int]]:
    """The processes of a victim; everything where there is none of it."""
    called = {pid: _called(pid) for pid in everything if pid != own}
    providers = [pid for pid, name in called.items() if _PROVIDER in name]
    terraforms = [pid for pid, name in called.items() if name.split(" ", 1)[0].endswith("/terraform")]
    found = {"driftguard": [own], "terraform": terraforms, "provider": providers}.get(wanted, [])
    return (wanted, found) if found else ("everything", everything)


def _called(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


class Log:
    """One line for each kill, in a file that several workers share."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, **facts: Any) -> None:
        with self._file.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(json.dumps(facts) + "\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        if self._file.exists():
            yield from map(json.loads, self._file.read_text().splitlines())

    def rarest(self, chance: random.Random) -> str:
        """The phase that was hit least often so far."""
        hits = Counter(row["phase"] for row in self.rows())
        fewest = min(hits[phase] for phase in PHASES)
        return chance.choice([phase for phase in PHASES if hits[phase] == fewest])


def table(log: Log) -> str:
    """How often each phase was hit, by victim."""
    rows = list(log.rows())
    hits = Counter((row["phase"], row["victim"]) for row in rows)
    lines = [f"{'phase':<32}" + "".join(f"{victim:>12}" for victim in VICTIMS) + f"{'all':>8}"]
    for phase in PHASES:
        counts = [hits[phase, victim] for victim in VICTIMS]
        lines.append(f"{phase:<32}" + "".join(f"{count:>12}" for count in counts) + f"{sum(counts):>8}")
    operator = sum(bool(row["operator"]) for row in rows)
    return "\n".join([*lines, f"{len(rows)} kills; an operator was asked for after {operator} of them"])


def main() -> None:
    """Print the table of a log."""
    log, minimum = Log(Path(sys.argv[1])), int(sys.argv[2])
    print(table(log))
    hits = Counter(row["phase"] for row in log.rows())
    missed = [phase for phase in PHASES if hits[phase] < minimum]
    if missed:
        sys.exit(f"Hit less often than {minimum} times: {', '.join(missed)}")


if __name__ == "__main__":
    main()
