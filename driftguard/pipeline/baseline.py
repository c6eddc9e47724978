"""What is kept of an environment's attributes with its baseline, as digests: read at a scan, written after one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from driftguard.model import Baseline, Classification
from driftguard.model.digests import Digests
from driftguard.pipeline.classify.digests import (
    KeyedDigests,
    digests_of_state,
    has_restless_object,
    with_standing,
    without_restless,
)
from driftguard.pipeline.classify.rules import Evidence
from driftguard.pipeline.plan import Plan
from driftguard.ports import Baselines, PlanEngine


@dataclass(frozen=True, slots=True)
class Reference:
    """What a scan compares with.

    Attributes:
        digests: what the attributes were at the baseline.
        just_applied: the baseline was just applied as a whole, and the scan verifies that.
    """

    baseline: Baseline | None
    digests: Digests | None = None
    just_applied: bool = False


def with_digests(evidence: Evidence, digests: Digests | None, key: bytes) -> Evidence:
    """What is known besides the plan, with the baseline's digests."""
    return evidence if digests is None else replace(evidence, digests=KeyedDigests(digests, key))


def verified(
    classify: Callable[[Evidence], Classification], evidence: Evidence, engine: PlanEngine, plan: Plan, key: bytes
) -> tuple[Classification, Digests | None]:
    """The classification right after a complete apply, and the digests to keep with its baseline.

    The digests are those of the state that the apply wrote; a difference that stands although that state holds R is
    planned again whatever is applied, and counts as such at once.
    """
    written = digests_of_state(engine.state_in_plan(plan.work, plan.file, refreshed=False), key)
    if written is None:
        return classify(evidence), None
    first = classify(with_digests(evidence, written, key))
    digests = with_standing(written, first.resources, key)
    return (classify(with_digests(evidence, digests, key)) if digests.stood else first), digests


def keep_in_sync(
    ledger: Baselines,
    engine: PlanEngine,
    name: str,
    baseline: Baseline,
    before: Digests | None,
    plan: Plan,
    classification: Classification,
    key: bytes,
) -> None:
    """Keep the digests of an environment that is in sync: of its state as the refresh found it."""
    found = digests_of_state(engine.state_in_plan(plan.work, plan.file, refreshed=True), key)
    if found is not None:
        written = None
        if has_restless_object(classification):
            written = digests_of_state(engine.state_in_plan(plan.work, plan.file, refreshed=False), key)
        ledger.keep_digests(name, baseline, without_restless(found, before, classification, written))
