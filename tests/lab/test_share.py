"""The laboratory's share in the tests: histories that are drawn anew only when their seed changes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from lab.mutants import MUTANTS, Mutant
from lab.play import play
from tests.support.seeds import one_quick

_CHUNKS, _HISTORIES = 6, 10


@pytest.mark.lab
@pytest.mark.terraform
@pytest.mark.parametrize("seed", one_quick(range(_CHUNKS), pytest.mark.further))
def test_labels_are_those_of_the_contract(seed: int) -> None:
    tally = play(_HISTORIES, seed, "count")
    assert not tally.wrong, "\n\n".join(text for _, _, text in tally.wrong)
    assert tally.labels > _HISTORIES


@pytest.mark.lab
@pytest.mark.terraform
@pytest.mark.further
def test_a_probe_that_finds_nothing_changed_repeats_the_plan() -> None:
    tally = play(_HISTORIES, 7, "probe")
    assert not tally.wrong, "\n\n".join(text for _, _, text in tally.wrong)
    assert tally.occurred["probe: the plan is the same, probe"]
    assert not tally.occurred["probe: the plan differs, probe"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_still_fits_the_classifier(mutant: Mutant) -> None:
    spec = importlib.util.find_spec(mutant.path)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    assert mutant.broken(source) != source
