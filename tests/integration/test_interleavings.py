"""Two reconcilers that meet at any step: each change is made once, none ends on hold, and all of them converge."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.interleaving import PAIRS, meet, steps_of
from tests.support.seeds import one_quick

_STEPS = 44  # of a run that applies; a step after the end is none
MEETINGS = [(*pair, step) for pair in PAIRS for step in range(1, _STEPS)]
CHOSEN = random.Random(12).sample(MEETINGS, 12)


@pytest.mark.parametrize("meeting", one_quick([("commit", "commit", 12), ("commit", "commit", 34), *CHOSEN]))
def test_reconcilers_that_meet_apply_once_and_converge(tmp_path: Path, meeting: tuple[str, str, int]) -> None:
    assert meet(tmp_path, *meeting) == []


@pytest.mark.soak
@pytest.mark.parametrize(("before", "meanwhile"), PAIRS)
def test_reconcilers_that_meet_at_every_step_apply_once_and_converge_soak(
    tmp_path: Path, before: str, meanwhile: str
) -> None:
    steps = steps_of(tmp_path / "steps", before)
    assert steps < _STEPS
    wrong = [meet(tmp_path / str(step), before, meanwhile, step) for step in range(1, steps + 1)]
    assert [problem for problems in wrong for problem in problems] == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
def test_three_reconcilers_that_meet_apply_once_and_converge_soak(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    before, meanwhile, step = chance.choice(MEETINGS)
    assert meet(tmp_path, before, meanwhile, step, step + chance.randint(1, 80)) == []
