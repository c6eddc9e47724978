"""The web view over a large ledger: 10,000 environments and a year of runs every 15 minutes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, func, insert, literal, select, update

from bench.measure import MIB, PEAK, Result
from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.sql.projecting import KnownEnvironment, Projection
from driftguard.adapters.sql.rows import GENESIS, canonical, entry_hash, stamp
from driftguard.adapters.sql.schema import ENTRIES, ENVIRONMENTS, HEADS, LOOKS, SUMMARIES
from driftguard.model import Entry, EntryKind

_RUNS = 35_040
_CHANGES = 50
_END = datetime(2026, 11, 28, 12, tzinfo=UTC)
_EVERY = timedelta(minutes=15)
_OVERVIEW_MS, _PAGE_MS, _MEMORY = 200.0, 500.0, 200 * MIB
# The probes of the last run confirmed every report.
_LOOK = ["environment", "sequence", "at", "times", "cpu_seconds"]
_CONFIRMED = select(
    SUMMARIES.c.environment, func.max(SUMMARIES.c.sequence), literal(stamp(_END)), literal(700), literal(0.2)
).group_by(SUMMARIES.c.environment)
_PAGES = {
    "overview": "/",
    "overview of half a year ago": "/?at=2026-05-28T12:00:00Z",
    "overview as JSON": "/index.json",
    "causes": "/causes",
    "an environment": "/environments/env-00042",
    "approvals": "/approvals",
    "causes half a year ago": "/causes?at=2026-05-28T12:00:00Z",
    "trends": "/trends",
    "trends of a year": "/trends?days=365",
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

url, folder, pages, times = json.loads(sys.argv[1])
ledger = open_ledger(url)
app = application(lambda: ledger, Access(WebSettings()), repository="infra",
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
    entries = make_ledger(path, environments)
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


def make_ledger(path: Path, environments: int) -> int:
    """Write the ledger of a year; how many entries it has."""
    return _Maker(path, environments).make()


class _Maker:
    """Writes a ledger as a year of runs leaves it, in bulk: the same rows that appending would write."""

    def __init__(self, path: Path, environments: int) -> None:
        with closing(open_ledger(f"sqlite:///{path}")):
            pass
        self._engine, self._random = create_engine(f"sqlite:///{path}"), random.Random(7)
        self._drifted = dict.fromkeys((f"env-{number:05}" for number in range(environments)), True)
        self._projection = Projection(lambda name: KnownEnvironment())
        self._sequence, self._hash = 0, GENESIS
        self._entries: list[dict[str, Any]] = []

    def make(self) -> int:
        """All of it; how many entries."""
        due: dict[int, list[str]] = {}
        for name in self._drifted:
            for number in {0, *(self._random.randrange(_RUNS) for _ in range(_CHANGES - 1))}:
                due.setdefault(number, []).append(name)
        with self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA synchronous=OFF")
            for number in range(_RUNS):
                self._run(number, due.get(number, []))
                if number % 100 == 0:
                    self._write(connection)
            self._write(connection)
            connection.execute(insert(ENVIRONMENTS), [{"name": name} for name in self._drifted])
            connection.execute(insert(LOOKS).from_select(_LOOK, _CONFIRMED))
            connection.execute(update(HEADS).values(sequence=self._sequence, hash=self._hash))
            connection.commit()
        self._engine.dispose()
        return self._sequence

    def _run(self, number: int, changed: list[str]) -> None:
        at, run = _END - _EVERY * (_RUNS - number), f"run-{number:05}"
        count = len(self._drifted)
        facts = {"commit": f"{number:040x}", "ref": "main", "repository": "infra", "environments": []}
        self._append(EntryKind.RUN_STARTED, at, run, None, {**facts, "count": count, "whole": True})
        for name in changed:
            self._append(EntryKind.SCANNED, at + timedelta(seconds=30), run, name, self._report(name))
            chance = self._random.random()
            if chance < 0.02:
                self._append(EntryKind.PROPOSAL, at + timedelta(seconds=40), run, name, _request(number, at))
            elif chance < 0.022:
                word = {"by": "grace", "reason": "known", "until": "2026-12-24T00:00:00Z"}
                self._append(EntryKind.ACKNOWLEDGED, at + timedelta(seconds=50), run, name, word)
        end = {"summary": {"in_sync": count - 900, "drifted": 800, "unknown": 100}, "planned": count // 20}
        end |= {"probed": count - count // 20, "cpu_seconds": 0.2 * count, "errors": {"plan": 100}}
        self._append(EntryKind.RUN_FINISHED, at + timedelta(minutes=5), run, None, end)

    def _report(self, name: str) -> dict[str, Any]:
        drifts = not self._drifted[name] and self._random.random() < 0.6
        pending = not drifts and self._random.random() < 0.1
        self._drifted[name] = drifts or pending
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

    def _append(self, kind: EntryKind, at: datetime, run: str, name: str | None, data: dict[str, Any]) -> None:
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
        self._entries.append(row)
        self._projection.add(Entry(kind, at, run, name, data, self._sequence, self._hash))

    def _write(self, connection: Connection) -> None:
        connection.execute(insert(ENTRIES), self._entries)
        self._projection.write(connection)
        connection.commit()
        self._entries.clear()


def _request(number: int, at: datetime) -> dict[str, Any]:
    ended = {"state": "void", "reason": "the plan changed"} if number % 10 else {"state": "open", "reason": None}
    url = f"https://forge.example.org/acme/infra/pulls/{number}"
    return {"id": f"p{number}", "number": number, "url": url, "proposed_at": stamp(at), **ended}


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
