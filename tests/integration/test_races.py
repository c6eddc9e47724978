"""Several reconcilers on one ledger: each change is made once, none ends on hold, and all of them converge."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.race import race
from tests.support.seeds import one_quick

SOAK_RUNS = int(os.environ.get("DRIFTGUARD_RACE_RUNS", "50"))


@pytest.mark.parametrize("seed", one_quick(range(3)))
def test_three_reconcilers_at_once_apply_once_and_none_is_uncertain(tmp_path: Path, seed: int) -> None:
    assert race(tmp_path, seed) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3, 3 + SOAK_RUNS))
def test_three_reconcilers_at_once_apply_once_and_none_is_uncertain_soak(tmp_path: Path, seed: int) -> None:
    assert race(tmp_path, seed) == []
