"""Environments that come to share one state in the very same run, on the engine in memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.support.memory_engine import MemoryEngine
from tests.support.memory_estate import MemoryEstate, found, outcome


class Slow(MemoryEngine):
    """Plans when the others have long been planned."""

    def plan(self, *arguments: Any, **named: Any) -> Any:
        time.sleep(0.4)
        return super().plan(*arguments, **named)


def test_two_new_environments_with_one_state_are_both_held_in_their_first_run(tmp_path: Path) -> None:
    estate = MemoryEstate(tmp_path, ("blue", "copy"))
    estate.toys["copy"] = estate.toys["blue"]
    estate.broken["copy"] = Slow(estate.states)
    estate.write({"blue": "one", "copy": "two"})
    result = estate.run(acts=True)
    for name, other in (("blue", "copy"), ("copy", "blue")):
        decision = found(result, name).decision
        assert (decision.action.value, str(decision.reasons[0])) == ("hold", f"state_shared: {other}")
    assert estate.toys["blue"].effects() == []


def test_a_new_environment_that_cannot_be_planned_keeps_no_other_from_being_applied(tmp_path: Path) -> None:
    estate = MemoryEstate(tmp_path, ("blue", "green"))
    estate.broken["green"] = Slow(estate.states)
    estate.toys["green"].faults(fail_read="The cloud is away.")
    for _ in range(2):
        result = estate.run(acts=True)
        assert outcome(result, "blue")[0] == "in_sync"
        assert outcome(result, "green")[0] == "unknown"
    assert estate.toys["blue"].effects() == ["create web"]
