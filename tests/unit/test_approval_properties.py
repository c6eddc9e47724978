"""Any history of commits, approvals and loosened policies: nothing unapproved is applied, and nothing deadlocks."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftguard.model import RunResult
from tests.support.memory_estate import MemoryEstate, ReviewedCommits, SignedCommits, found
from tests.support.seeds import one_quick

NAME = "blue"
NOTHING, PLENTY = 0, 50


class History:
    """One environment whose commits have to be approved, and what an honest reader of its history knows of it.

    Args:
        approval: the configuration's rule, `signed` or `reviewed`.
    """

    def __init__(self, folder: Path, approval: str) -> None:
        self.estate, self.rule = MemoryEstate(folder, (NAME,)), approval
        self.estate.signatures = self.signatures = SignedCommits(self.estate)
        self.estate.requests = self.requests = ReviewedCommits(self.estate)
        self.value, self.limit = "one", PLENTY
        self.commit("yes")
        self.run()
        assert self.cloud() == "one"
        self.approved, self.unapproved = (self.value, self.limit), 0

    def commit(self, approval: str) -> None:
        """Commit the value and the limit; `approval` is `yes`, or in which way there is none."""
        rule = {"signed": "require: signed, signers: /signers", "reviewed": "require: reviewed, code_owners: false"}
        text = (
            f"policy: {{pending: apply, drift: revert, limits: {{changes: {self.limit}}}, "
            f"approval: {{{rule[self.rule]}}}}}\n"
        )
        sha = self.estate.write({NAME: self.value}, text)
        if self.rule == "signed" and approval == "yes":
            self.signatures.good.add(sha)
        if self.rule == "reviewed" and approval != "none":
            reviewer = "ada" if approval == "by its author" else "bob"
            self.requests.merged(
                sha, reviewer=reviewer, latest=approval != "of an older commit", honest=approval != "of something else"
            )

    def cloud(self) -> str:
        return str(self.estate.toys[NAME].thing("web")["value"])

    def run(self) -> RunResult:
        return self.estate.run(acts=True)

    @property
    def is_approved(self) -> bool:
        """Whether everything since the approved point is approved, or head holds again what was approved there."""
        return self.unapproved == 0 or (self.value, self.limit) == self.approved


steps = st.tuples(
    st.sampled_from(["value", "loosen", "tighten", "both", "back", "outside"]),
    st.sampled_from(["yes", "yes", "yes", "none", "by its author", "of an older commit", "of something else"]),
)


@pytest.mark.parametrize("approval", ["signed", "reviewed"])
@pytest.mark.parametrize("examples", one_quick((4, 40)))
def test_what_is_applied_lies_in_an_approved_range_and_no_range_deadlocks(examples: int, approval: str) -> None:
    histories = given(st.just(approval), st.lists(steps, min_size=1, max_size=5))
    settings(max_examples=examples, suppress_health_check=list(HealthCheck))(histories(applied_ranges_are_approved))()


def applied_ranges_are_approved(approval: str, drawn: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder), approval)
        applied = history.cloud()
        for number, (kind, approved) in enumerate(drawn):
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
                history.commit(approved)
                history.unapproved += approved != "yes"
            before = history.cloud()
            result = history.run()
            if history.cloud() != before:
                applied = history.cloud()
                assert history.is_approved, (drawn, number, found(result, NAME).decision)
                assert min(history.limit, history.approved[1]) > NOTHING  # the stricter of both policies
            if history.is_approved:
                history.approved, history.unapproved = (history.value, history.limit), 0

        # Whatever was left open: take it back, unapproved and outside Terraform, and go on with what is approved.
        history.estate.toys[NAME].change("web", value=applied)
        history.value, history.limit = history.approved
        history.commit("none")
        history.run()
        history.value, history.limit = "the end", PLENTY
        history.commit("yes")
        history.run()
        result = history.run()
        assert history.cloud() == "the end", (drawn, found(result, NAME).decision)
