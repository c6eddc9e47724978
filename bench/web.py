"""The web view over a large ledger: 10,000 environments and a year of runs every 15 minutes."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.measure import MIB, PEAK, Result
from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.sql.projecting import finished_row, occurrence_row, run_row, summary_row
from driftguard.adapters.sql.rows import canonical, entry_hash, stamp
from driftguard.model import Entry, EntryKind
from driftguard.model.estate import Occurrence, Summary, followed, summary_of
from driftguard.model.report import read_environment

_RUNS = 35_040
_CHANGES = 50
_END = datetime(2026, 11, 28, 12, tzinfo=UTC)
_EVERY = timedelta(minutes=15)
_OVERVIEW_MS, _PAGE_MS, _MEMORY = 200.0, 500.0, 200 * MIB
_PAGES = {
    "overview": "/",
    "overview of half a year ago": "/?at=2026-05-28T12:00:00Z",
    "overview as JSON": "/index.json",
    "causes": "/causes",
    "an environment": "/environments/env-00042",
    "approvals": "/approvals",
    "trends": "/trends",
    "alerts": "/alerts",
    "runs": "/runs",
}
# Asks an application over the ledger for each page, several times, and prints the milliseconds of each.
_ASK = f"""{PEAK}
import asyncio, json, time
from pathlib import Path
from driftguard.adapters.defects import FolderDefects
from driftguard.adapters.sql.opening import open_ledger
from driftguard.config import WebSettings
from driftguard.web.access import Access
from driftguard.web.application import application
from driftguard.web.view import NoClosures

url, folder, pages, times = json.loads(sys.argv[1])
ledger = open_ledger(url)
app = application(lambda: ledger, Access(WebSettings()), repository="infra", closures=NoClosures(),
                  defects=FolderDefects(Path(folder)))

async def ask(path):
    target, _, query = path.partition("?")
    scope = {{"type": "http", "asgi": {{"version": "3.0"}}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": target, "raw_path": target.encode(), "query_string": query.encode(), "root_path": "",
             "headers": [(b"host", b"127.0.0.1:8899")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8899)}}
    codes = []
    async def receive():
        return {{"type": "http.request", "body": b"", "more_body": False}}
    async def send(message):
        if message["type"] == "http.response.start":
            codes.append(message["status"])
    await app(scope, receive, send)
    assert codes == [200], (path, codes)

found = {{}}
for path in pages:
    taken = []
    for _ in range(times):
        started, used = time.perf_counter(), time.process_time()
        asyncio.run(ask(path))
        taken.append((1000 * (time.perf_counter() - started), 1000 * (time.process_time() - used)))
    found[path] = taken
print(json.dumps({{"pages": found, "peak": peak()}}))
"""


def measure(scratch: Path, *, environments: int, repetitions: int) -> Iterator[Result]:
    """Make the ledger, then ask for each page in a process of its own; the slowest answer counts."""
    path = scratch / "ledger.db"
    entries = _Maker(path, environments).make()
    what = f"{environments:,} environments, {_RUNS:,} runs, {entries:,} entries, {path.stat().st_size / 2**30:.1f} GiB"
    given = json.dumps([f"sqlite:///{path}", str(scratch), list(_PAGES.values()), repetitions + 1])
    asked = subprocess.run([sys.executable, "-c", _ASK, given], stdout=subprocess.PIPE, text=True, check=True)
    answer = json.loads(asked.stdout)
    yield Result("web: the ledger", what)
    for name, address in _PAGES.items():
        taken, most = answer["pages"][address], _OVERVIEW_MS if name == "overview" else _PAGE_MS
        worst, cpu = max(wall for wall, _ in taken[1:]), max(used for _, used in taken[1:])
        measured = f"{worst:.0f} ms ({cpu:.0f} ms CPU; first of the process {taken[0][0]:.0f} ms)"
        yield Result(f"web: {name}", measured, f"< {most:.0f} ms", worst < most)
    peak = answer["peak"]
    yield Result("web: memory of the process", f"{peak / MIB:.0f} MiB", f"< {_MEMORY // MIB} MiB", peak < _MEMORY)


@dataclass
class _Known:
    summary: Summary | None = None
    standing: list[tuple[Occurrence, int]] = field(default_factory=list)


class _Maker:
    """Writes a ledger as a year of runs leaves it, in bulk: the same rows that appending would write."""

    def __init__(self, path: Path, environments: int) -> None:
        with closing(open_ledger(f"sqlite:///{path}")):
            pass
        self._path, self._random = path, random.Random(7)
        self._known = {f"env-{number:05}": _Known() for number in range(environments)}
        self._sequence, self._hash = 0, "0" * 64
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def make(self) -> int:
        """All of it; how many entries."""
        names = sorted(self._known)
        due: dict[int, list[str]] = {}
        for name in names:
            for number in {0, *(self._random.randrange(_RUNS) for _ in range(_CHANGES - 1))}:
                due.setdefault(number, []).append(name)
        with closing(sqlite3.connect(self._path)) as database:
            database.executescript("PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY;")
            for number in range(_RUNS):
                self._run(number, due.get(number, []))
                if number % 500 == 0:
                    self._write(database)
            for name in names:
                self._keep("environments", {"name": name})
                self._keep_occurrences(self._known[name].standing)
            self._write(database)
            database.execute("UPDATE heads SET sequence = ?, hash = ?", (self._sequence, self._hash))
            database.commit()
            database.executescript("ANALYZE; PRAGMA journal_mode=WAL;")
        return self._sequence

    def _run(self, number: int, changed: list[str]) -> None:
        at, run = _END - _EVERY * (_RUNS - number), f"run-{number:05}"
        count = len(self._known)
        facts = {"commit": f"{number:040x}", "ref": "main", "repository": "infra", "environments": []}
        started = self._append(EntryKind.RUN_STARTED, at, run, None, {**facts, "count": count, "whole": True})
        for name in changed:
            self._scan(name, at + timedelta(seconds=30), run)
        end = {"summary": {"in_sync": count - 900, "drifted": 800, "unknown": 100}, "planned": count // 20}
        end |= {"probed": count - count // 20, "cpu_seconds": 0.2 * count, "errors": {"plan": 100}}
        finished = self._append(EntryKind.RUN_FINISHED, at + timedelta(minutes=5), run, None, end)
        self._keep("runs", {**run_row(started), **finished_row(finished)})

    def _scan(self, name: str, at: datetime, run: str) -> None:
        known = self._known[name]
        entry = self._append(EntryKind.SCANNED, at, run, name, self._report(name, known))
        report, sequence = read_environment(entry.data), entry.sequence or 0
        known.summary = summary_of(entry, report, known.summary)
        self._keep("summaries", summary_row(known.summary))
        moves = followed([each for each, _ in known.standing], report, at)
        gone = {(each.address, each.label): each for each in moves.closed}
        closed = [(gone[o.address, o.label], n) for o, n in known.standing if (o.address, o.label) in gone]
        self._keep_occurrences(closed)
        known.standing = [each for each in known.standing if (each[0].address, each[0].label) not in gone]
        known.standing += [(each, sequence) for each in moves.opened]

    def _report(self, name: str, known: _Known) -> dict[str, Any]:
        drifts = known.summary is not None and known.summary.verdict == "in_sync" and self._random.random() < 0.6
        pending = not drifts and self._random.random() < 0.1
        label, verdict = ("drift", "drifted") if drifts else ("pending", "pending")
        chosen = self._random.sample(range(8), self._random.randint(1, 3)) if drifts or pending else []
        return {
            "name": name,
            "path": f"live/{name}",
            "workspace": "default",
            "verdict": verdict if chosen else "in_sync",
            "closure_hash": "c" * 64,
            "owner": f"team-{int(name[-2:]) % 12}",
            "commit": "d" * 40,
            "baseline": {"commit": "b" * 40, "from": "in_sync"},
            "decision": {"action": "alert" if chosen else "none", "reasons": ["policy_alert" if chosen else "in_sync"]},
            "resources": [_resource(number, label, self._random.randrange(20)) for number in chosen],
            "inputs": {"policies": [{"pending": "alert", "drift": "alert", "input": "alert", "suspended": None}]},
        }

    def _append(self, kind: EntryKind, at: datetime, run: str, name: str | None, data: dict[str, Any]) -> Entry:
        self._sequence += 1
        row: dict[str, Any] = {
            "sequence": self._sequence,
            "at": stamp(at),
            "kind": kind.value,
            "environment": name,
            "run_id": run,
            "previous_hash": self._hash,
            "data": canonical(data),
        }
        self._hash = row["hash"] = entry_hash(row)
        self._keep("entries", row)
        return Entry(kind, at, run, name, data, self._sequence, self._hash)

    def _keep_occurrences(self, occurrences: list[tuple[Occurrence, int]]) -> None:
        for occurrence, opened in occurrences:
            self._keep("occurrences", dict(occurrence_row(occurrence, opened)))

    def _keep(self, table: str, row: Any) -> None:
        self._rows.setdefault(table, []).append(dict(row))

    def _write(self, database: sqlite3.Connection) -> None:
        for table, rows in self._rows.items():
            if rows:
                names = list(rows[0])
                places = ", ".join(f":{name}" for name in names)
                database.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", rows)
                rows.clear()
        database.commit()


def _resource(number: int, label: str, value: int) -> dict[str, Any]:
    attribute = {
        "path": ("tags.owner", "engine_version", "desired_count")[value % 3],
        "label": label,
        "state": f"value-{value}",
        "reality": "changed by hand",
        "desired": f"value-{value}",
        "rule": "S≠R, D=S",
    }
    return {
        "address": f"module.app.aws_x_{number}.main[0]",
        "type": f"aws_x_{number}",
        "provider": "registry.terraform.io/hashicorp/aws",
        "actions": ["update"],
        "labels": [label],
        "certain": True,
        "attributes": [attribute],
    }
