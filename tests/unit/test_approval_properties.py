"""Any history of commits, signatures and loosened policies: nothing unapproved is applied, and nothing deadlocks."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftguard.model import RunResult
from tests.support.memory_estate import MemoryEstate, SignedCommits, found
from tests.support.seeds import one_quick

NAME = "blue"
NOTHING, PLENTY = 0, 50


class History:
    """One environment whose commits have to be signed, and what an honest reader of its history knows of it."""

    def __init__(self, folder: Path) -> None:
        self.estate = MemoryEstate(folder, (NAME,))
        self.estate.signatures = self.signatures = SignedCommits(self.estate)
        self.value, self.limit = "one", PLENTY
        self.commit(signed=True)
        self.run()
        assert self.cloud() == "one"
        self.approved, self.unsigned = (self.value, self.limit), 0

    def commit(self, *, signed: bool) -> None:
        text = (
            f"policy: {{pending: apply, drift: revert, limits: {{changes: {self.limit}}}, "
            "approval: {require: signed, signers: /signers}}\n"
        )
        sha = self.estate.write({NAME: self.value}, text)
        if signed:
            self.signatures.good.add(sha)

    def cloud(self) -> str:
        return str(self.estate.toys[NAME].thing("web")["value"])

    def run(self) -> RunResult:
        return self.estate.run(acts=True)

    @property
    def is_approved(self) -> bool:
        """Whether everything since the approved point is signed, or head holds again what was approved there."""
        return self.unsigned == 0 or (self.value, self.limit) == self.approved


steps = st.tuples(
    st.sampled_from(["value", "loosen", "tighten", "both", "back", "outside"]),
    st.booleans(),
)


@pytest.mark.parametrize("examples", one_quick((5, 40)))
def test_what_is_applied_lies_in_an_approved_range_and_no_range_deadlocks(examples: int) -> None:
    histories = given(st.lists(steps, min_size=1, max_size=5))
    settings(max_examples=examples, suppress_health_check=list(HealthCheck))(histories(applied_ranges_are_approved))()


def applied_ranges_are_approved(drawn: list[tuple[str, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder))
        applied = history.cloud()
        for number, (kind, signed) in enumerate(drawn):
            if kind == "outside":
                history.estate.toys[NAME].change("web", value=f"outside {number}")
            else:
                if kind in ("value", "both"):
                    history.value = f"value {number}"
                if kind in ("loosen", "both"):
                    history.limit = PLENTY + number
                if kind == "tighten":
                    history.limit = NOTHING
                if kind == "back":
                    history.value, history.limit = history.approved
                history.commit(signed=signed)
                history.unsigned += not signed
            before = history.cloud()
            result = history.run()
            if history.cloud() != before:
                applied = history.cloud()
                assert history.is_approved, (drawn, number, found(result, NAME).decision)
                assert min(history.limit, history.approved[1]) > NOTHING  # the stricter of both policies
            if history.is_approved:
                history.approved, history.unsigned = (history.value, history.limit), 0

        # Whatever was left open: take it back, unsigned and outside Terraform, and go on with what is signed.
        history.estate.toys[NAME].change("web", value=applied)
        history.value, history.limit = history.approved
        history.commit(signed=False)
        history.run()
        history.value, history.limit = "the end", PLENTY
        history.commit(signed=True)
        history.run()
        result = history.run()
        assert history.cloud() == "the end", (drawn, found(result, NAME).decision)
