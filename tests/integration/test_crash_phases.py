"""Killed in each named phase of an apply: nothing happens twice, no lock is left, later runs converge.

`make soak-crash SEEDS=200` runs many and prints how often each phase was hit.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.conftest import S3Estate
from tests.integration.test_crash import NAMES, POLICY, as_an_operator, until_quiet
from tests.integration.test_reconcile import thing
from tests.support.killing import VICTIMS, Kill, Log, Watch, strike

pytestmark = [pytest.mark.terraform, pytest.mark.provider_process]

SEEDS = int(os.environ.get("DRIFTGUARD_CRASH_SEEDS", "200"))
LOG = os.environ.get("DRIFTGUARD_CRASH_LOG")
BATCH = 10
_RUNS = 25


@pytest.fixture
def estate(s3_estate: S3Estate) -> S3Estate:
    return s3_estate


def body(value: int) -> str:
    """Things of which the last two wait for the others, and one more for each value."""
    things = [thing(name, value=str(value)) for name in NAMES]
    things += [thing(f"new{number}") for number in range(1, value + 1)]
    return "".join(
        text.replace("}\n", f"  depends_on = [toy_thing.{NAMES[number % 2]}]\n}}\n") if number >= 2 else text
        for number, text in enumerate(things)
    )


def kill_once(estate: S3Estate, value: int, kill: Kill, log: Log) -> None:
    """Kill one apply, and hold what it leaves to the invariants once later runs have converged."""
    estate.toy.faults(create_seconds=0.6)
    commit = estate.merge(f"Set {value}", body(value))
    before = len(estate.toy.effects())
    process = estate.sandbox.start("reconcile", "--format", "json")
    watch = Watch(estate, commit, len(NAMES) + 1)
    hit = strike(process, watch, kill)
    process.communicate(timeout=240)
    watch.close()
    until_quiet(estate)
    estate.toy.faults()
    ran, asked = estate.reconcile(), False
    for _ in range(_RUNS):
        if ran.code == 0:
            break
        asked = as_an_operator(estate, ran, f"new{value}") or asked
        time.sleep(1)
        ran = estate.reconcile()
    dev = ran.environment("dev")
    assert ran.code == 0, (kill, hit, dev["decision"], dev["error"])
    assert dev["baseline"]["commit"] == commit
    assert all(estate.toy.thing(name)["value"] == str(value) for name in NAMES)
    effects = Counter(estate.toy.effects()[before:])
    expected = {f"update {name}": 1 for name in NAMES} | {f"create new{value}": 1}
    assert effects == expected, (kill, hit, effects)
    assert not estate.locked(), (kill, hit)
    if hit is not None:
        log.add(phase=hit[0], victim=hit[1], operator=asked)


def kill_often(estate: S3Estate, seed: int, kills: int, log: Log) -> None:
    """Kill a number of applies of one environment, one after another."""
    chance = random.Random(seed)
    estate.configure(POLICY)
    estate.merge("Add things", body(0))
    assert estate.reconcile().code == 0
    for value in range(1, kills + 1):
        kill_once(estate, value, Kill(log.rarest(chance), VICTIMS[chance.randrange(len(VICTIMS))], chance), log)
    assert estate.sandbox.run("ledger", "verify").code == 0


@pytest.mark.crash
def test_an_apply_killed_in_any_phase_leaves_nothing_twice_and_no_lock(estate: S3Estate, tmp_path: Path) -> None:
    kill_often(estate, 0, 2, Log(tmp_path / "kills"))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(0, SEEDS, BATCH))
def test_an_apply_killed_in_any_phase_leaves_nothing_twice_and_no_lock_soak(
    estate: S3Estate, tmp_path: Path, seed: int
) -> None:
    kill_often(estate, seed + 1, min(BATCH, SEEDS - seed), Log(Path(LOG) if LOG else tmp_path / "kills"))
