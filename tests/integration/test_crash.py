"""Killed at any moment of an apply: nothing happens twice, no lock is left, the record holds, later passes converge."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.sql.opening import open_ledger
from driftguard.model import Attempt, AttemptState
from driftguard.pipeline.record import attempt_opened_entry, attempt_step
from tests.contract.postgres_server import postgres_server, server_programs
from tests.integration.conftest import S3Estate
from tests.integration.test_reconcile import decision, thing
from tests.support.harness import Ran
from tests.support.killing import descendants
from tests.support.seeds import one_quick

pytestmark = pytest.mark.terraform

NAMES = "abcd"
POLICY = """\
policy:
  pending: apply
  drift: revert
  limits: {share: 100%}
  lease: 5s
  lock_timeout: 5s
  backoff: {first: 1s, most: 2s}
"""
_APPLY_SECONDS = 8.0
_PASSES = 20


@pytest.fixture
def estate(s3_estate: S3Estate) -> S3Estate:
    return s3_estate


def kill_driftguard(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def kill_terraform(pid: int) -> None:
    _kill(descendants(pid))


def kill_everything(pid: int) -> None:
    _kill([*descendants(pid), pid])


def _kill(pids: list[int]) -> None:
    for each in pids:
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            continue


KILLS: list[Callable[[int], None]] = [kill_driftguard, kill_terraform, kill_everything]


@contextmanager
def started(estate: S3Estate, **variables: str) -> Iterator[subprocess.Popen[str]]:
    process = estate.sandbox.start("reconcile", "--format", "json", **variables)
    try:
        yield process
    finally:
        kill_everything(process.pid)
        process.communicate()


def until_quiet(estate: S3Estate) -> None:
    """Wait until no process works in this estate any more: an orphaned Terraform ends by itself."""
    deadline = time.monotonic() + 180
    mark = str(estate.sandbox.home).encode()
    while running := list(_running(mark)):
        assert time.monotonic() < deadline, f"still running: {running}"
        time.sleep(0.2)


def _running(mark: bytes) -> Iterator[str]:
    """The processes whose environment holds a mark: state, parent and command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                state, parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                yield f"{folder.name} {state} of {parent}: {command[:200]}"
        except OSError:
            continue


def as_an_operator(estate: S3Estate, ran: Ran, name: str) -> bool:
    """Do what the reason of a hold asks for: import the object, store the rest, and retry; whether that was asked."""
    reasons = ran.environment("dev")["decision"]["reasons"]
    if not any(reason.startswith("creation_unknown") for reason in reasons):
        return False
    if (estate.toy.folder / f"{name}.json").exists():
        estate.sandbox.terraform("environments/dev", "init", "-input=false")
        estate.sandbox.terraform("environments/dev", "import", "-input=false", f"toy_thing.{name}", name)
        estate.sandbox.apply("environments/dev", "-refresh-only")
    assert estate.sandbox.run("retry", "dev").code == 0
    return True


def converge(estate: S3Estate) -> dict[str, Any]:
    """Run passes until one ends in sync, and do what a hold asks an operator for; its report of the environment."""
    ran = estate.reconcile()
    for _ in range(_PASSES):
        if ran.code == 0:
            return ran.environment("dev")
        as_an_operator(estate, ran, "new")
        time.sleep(2)
        ran = estate.reconcile()
    raise AssertionError(
        f"not in sync after {_PASSES} passes: {ran.environment('dev')['decision']}, {ran.environment('dev')}"
    )


def crash(estate: S3Estate, seed: int) -> None:
    """Kill one apply at a moment chosen by the seed, and hold what is left to the four invariants."""
    chance = random.Random(seed)
    kill = KILLS[seed % len(KILLS)]
    estate.configure(POLICY)
    estate.merge("Add things", "".join(thing(name, value="1") for name in NAMES))
    assert estate.reconcile().code == 0
    before = len(estate.toy.effects())
    estate.toy.faults(create_seconds=0.4)
    commit = estate.merge("Change things", "".join(thing(name, value="2") for name in NAMES) + thing("new"))
    with started(estate) as process:
        time.sleep(chance.uniform(0.5, _APPLY_SECONDS))
        kill(process.pid)
        process.communicate(timeout=240)
    until_quiet(estate)
    estate.toy.faults()
    dev = converge(estate)

    assert dev["baseline"]["commit"] == commit
    assert all(estate.toy.thing(name)["value"] == "2" for name in NAMES)
    assert (estate.toy.folder / "new.json").exists()
    effects = Counter(estate.toy.effects()[before:])
    # Whatever was killed: an update is seen in reality, and a creation whose record was lost waits for an operator.
    assert max(effects.values()) == 1, effects
    assert estate.sandbox.run("ledger", "verify").code == 0
    assert not estate.locked()


@pytest.mark.provider_process
@pytest.mark.parametrize("seed", one_quick(range(3)))
def test_an_apply_that_is_killed_is_finished_by_later_runs(estate: S3Estate, seed: int) -> None:
    crash(estate, seed)


@pytest.mark.provider_process
@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3, 53))
def test_an_apply_that_is_killed_is_finished_by_later_runs_soak(estate: S3Estate, seed: int) -> None:
    crash(estate, seed)


@pytest.mark.crash
@pytest.mark.provider_process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_an_apply_interrupts_it_as_terraform_wants_it(estate: S3Estate, number: signal.Signals) -> None:
    estate.configure(POLICY)
    estate.toy.faults(create_seconds=2)
    chain = thing("a") + "".join(
        thing(name).replace("}\n", f"  depends_on = [toy_thing.{before}]\n}}\n")
        for before, name in zip("abc", "bcd", strict=True)
    )
    estate.merge("Add a chain", chain)
    with started(estate) as process:
        deadline = time.monotonic() + 180
        while "create a" not in estate.toy.effects():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=240)
        assert process.returncode in (1, 2)  # what is left is unknown, unless a plan was done before it noticed
    assert "create d" not in estate.toy.effects()
    assert not estate.locked()
    entries = estate.sandbox.run("history", "dev", "--format", "json").report["entries"]
    (ended,) = [e["data"] for e in entries if e["kind"] == "attempt_finished"]
    assert (ended["state"], ended["data"]["error"]["kind"]) == ("failed", "interrupted")
    assert ended["data"]["resources"]["toy_thing.a"] == "done"
    estate.toy.faults()
    converge(estate)


def test_a_lock_of_another_user_is_never_broken(estate: S3Estate) -> None:
    estate.configure("policy: {pending: apply, lock_timeout: 2s}\n")
    estate.merge("Add a", thing("a"))
    estate.reconcile()
    estate.merge("Change a", thing("a", value="2"))
    body = b'{"ID":"not-ours","Operation":"OperationTypeApply","Who":"eve@laptop","Created":"2026-01-01T00:00:00Z"}'
    estate.storage.put_object(Bucket=estate.bucket, Key=estate.lock_key(), Body=body)
    ran = estate.reconcile()
    assert decision(ran) == ("hold", ["locked"])
    assert "eve@laptop" in ran.environment("dev")["decision"]["reasons"][0]
    held = estate.storage.get_object(Bucket=estate.bucket, Key=estate.lock_key())["Body"].read()
    assert held == body
    assert estate.toy.thing("a")["value"] is None


def test_a_lock_that_appears_after_its_attempt_was_ended_as_dead_is_released(estate: S3Estate) -> None:
    estate.configure("policy: {pending: apply, lock_timeout: 2s}\n")
    estate.merge("Add a", thing("a"))
    assert estate.reconcile().code == 0
    file = estate.sandbox.ledger_file()
    ledger = open_ledger(f"sqlite:///{file}")
    now = datetime.now(UTC)
    late = Attempt("late", "dev", "c0", "p0", None, "run", AttemptState.OPEN, now, data={"lock_id": "came-late"})
    assert ledger.attempts.open(late, attempt_opened_entry(late))
    ledger.attempts.advance(late.id, attempt_step(late, AttemptState.VOID, now, {"reason": "died"}))
    ledger.close()
    body = b'{"ID":"came-late","Operation":"OperationTypeApply","Who":"root@here","Created":"2026-01-01T00:00:00Z"}'
    estate.storage.put_object(Bucket=estate.bucket, Key=estate.lock_key(), Body=body)
    estate.merge("Change a", thing("a", value="2"))
    assert estate.reconcile().code == 0
    assert estate.toy.thing("a")["value"] == "2"
    assert not estate.locked()


def race(estate: S3Estate, **variables: str) -> None:
    """Two reconcilers at once: each thing is made once, whoever makes it."""
    estate.merge("Add dev", "".join(thing(name) for name in "ab"))
    estate.merge("Add prod", "".join(thing(name) for name in "cd"), environment="prod")
    with (
        started(estate, **variables) as one,
        started(estate, XDG_CACHE_HOME=str(estate.sandbox.home / "b"), **variables) as two,
    ):
        for process in (one, two):
            process.communicate(timeout=180)
            assert process.returncode in (0, 1, 2)
    assert estate.sandbox.run("reconcile", "--quiet", **variables).code == 0
    assert sorted(estate.toy.effects()) == ["create a", "create b", "create c", "create d"]
    assert estate.sandbox.run("ledger", "verify", **variables).code == 0


@pytest.mark.crash
def test_two_reconcilers_on_one_ledger_apply_once(estate: S3Estate) -> None:
    estate.configure("policy: {pending: apply, lock_timeout: 2s}\n")
    race(estate)


@pytest.mark.crash
def test_two_reconcilers_on_postgresql_apply_once_and_a_ledger_that_is_away_stops_applies(estate: S3Estate) -> None:
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, pg_ctl) are not on this machine")
    estate.configure("policy: {pending: apply, lock_timeout: 2s}\nledger: {url_env: DRIFTGUARD_LEDGER}\n")
    with postgres_server(programs) as server:
        url = server.new_database()
        race(estate, DRIFTGUARD_LEDGER=url)
        estate.merge("Change a", thing("a", value="2") + thing("b"))
    ran = estate.sandbox.run("reconcile", DRIFTGUARD_LEDGER=url)
    assert ran.code == 1
    assert "Traceback" not in ran.stderr
    assert estate.toy.thing("a")["value"] is None
