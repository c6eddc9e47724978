"""A commit that loosens the policy of what is applied counts for later ranges, once it is approved itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.memory_estate import MemoryEstate, SignedCommits, found

NAME = "blue"
LOOSE = "pending: apply, drift: revert"
# A strict policy, and whether it holds what a plan with one update does.
STRICT = {
    "limits": (f"{LOOSE}, limits: {{changes: 0}}", True),
    "suspended": (f"{LOOSE}, suspended: {{reason: migration}}", True),
    "policy": ("pending: alert, drift: revert", True),
    "protect": (f"{LOOSE}, protect: ['toy_thing.*']", False),
}


@pytest.mark.parametrize("loosened", STRICT)
def test_a_loosened_policy_counts_for_later_ranges_once_it_is_approved(tmp_path: Path, loosened: str) -> None:
    estate = MemoryEstate(tmp_path, (NAME,))
    estate.signatures = signatures = SignedCommits(estate)
    strict, holds_updates = STRICT[loosened]

    def write(value: str, policy: str) -> str:
        approval = "approval: {require: signed, signers: /signers}"
        return estate.write({NAME: value}, f"policy: {{{policy}, {approval}}}\n")

    def run() -> str:
        return found(estate.run(acts=True), NAME).decision.action.value

    def value() -> str:
        return str(estate.toys[NAME].thing("web")["value"])

    signatures.good.add(write("one", LOOSE))
    assert (run(), value()) == ("apply", "one")
    signatures.good.add(write("one", strict))
    assert run() == "none"
    write("two", LOOSE)  # loosened, and used at once
    assert run() in ("hold", "alert")
    assert value() == "one"

    estate.sandbox.git("reset", "--quiet", "--soft", "HEAD~1")
    signatures.good.add(estate.sandbox.commit("signed"))
    if holds_updates:
        assert run() in ("hold", "alert")  # the stricter of both holds for this range
        assert value() == "one"
    assert (run(), value()) == ("apply", "two")
