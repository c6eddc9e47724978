"""A ledger that fails for one environment: that one is unknown, and the others are applied and recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.errors import OperatorError
from tests.support.memory_estate import MemoryEstate, found, outcome
from tests.support.seeds import one_quick

_PARTS = ("attempts", "leases", "alerts", "past_attempts", "record")
CALLS = [
    "baseline",
    "keep_digests",
    "entries",
    "attempts.recent",
    "attempts.unfinished",
    "attempts.unsettled",
    "attempts.open",
    "attempts.advance",
    "leases.acquire",
    "alerts.record",
]
FAULTS = {"refused": OperatorError("The ledger is away."), "damaged": ValueError("a row of another type")}


class FailingFor:
    """A part of a ledger of which one call fails where it is about one environment."""

    def __init__(self, part: Any, call: str, environment: str, fault: Exception, raised: list[str]) -> None:
        self._part, self._call, self._environment, self._fault = part, call, environment, fault
        self._raised = raised

    def __getattr__(self, name: str) -> Any:
        value, (first, _, rest) = getattr(self._part, name), self._call.partition(".")
        if not callable(value):
            inner = rest if name == first else self._call if name == "record" else ""
            return FailingFor(value, inner, self._environment, self._fault, self._raised) if name in _PARTS else value
        if name != self._call:
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            if self._environment in repr((arguments, named)):
                self._raised.append(name)
                raise self._fault
            return value(*arguments, **named)

        return call


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", one_quick(CALLS))
def test_a_fault_of_the_ledger_for_one_environment_leaves_the_others_alone(
    tmp_path: Path, call: str, fault: str
) -> None:
    estate = MemoryEstate(tmp_path, ("blue", "green"))
    raised: list[str] = []
    ledger = cast(SqlLedger, FailingFor(estate.ledger, call, "blue", FAULTS[fault], raised))
    result = estate.run(acts=True, ledger=ledger)
    assert outcome(result, "green") == ("in_sync", "apply")
    assert estate.toys["green"].effects() == ["create web"]
    after = found(result, "blue")
    assert after.verdict.value in ("unknown", "in_sync")
    assert len(estate.toys["blue"].effects()) <= 1
    assert estate.ledger.baseline("green") is not None
    assert estate.ledger.verify() == ()
    assert raised, "the fault was never met"
