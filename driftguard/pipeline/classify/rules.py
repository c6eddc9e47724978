"""The label of one value: the contract's table as guard clauses, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from driftguard.model import Label
from driftguard.pipeline.classify.equality import same
from driftguard.sealed import UNKNOWN


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known besides the plan.

    Attributes:
        has_baseline: whether the environment has a last known-good point.
        closure_changed: whether a commit since the baseline touched the closure (False without a baseline).
        state_written: whether the state's serial or lineage moved since the baseline; None if that is not known.
    """

    has_baseline: bool
    closure_changed: bool = False
    state_written: bool | None = None


class _NoBaselineValue:
    """L is not known: there is no baseline plan, or it does not tell this value."""


NO_BASELINE_VALUE = _NoBaselineValue()


@dataclass(frozen=True, slots=True)
class Ruling:
    """A label, the test that gave it in the contract's letters, and whether every part of the test was made."""

    label: Label
    rule: str
    certain: bool = True


def rule(state: Any, reality: Any, desired: Any, baseline: Any, evidence: Evidence) -> Ruling | None:
    """The label of one value from S, R, D and L (`NO_BASELINE_VALUE` where L is not known); None if nothing changed."""
    if desired is UNKNOWN:
        return Ruling(Label.DERIVED, "D unknown until apply")
    state_is_reality = same(state, reality)
    reality_is_desired = same(reality, desired)
    if state_is_reality and reality_is_desired:
        return None
    if evidence.has_baseline and not evidence.closure_changed:
        baseline = desired  # equal closures: no commit changed what the configuration wants
    l_known = baseline is not NO_BASELINE_VALUE and baseline is not UNKNOWN
    if reality_is_desired:
        return _only_the_state_lags(desired, baseline, l_known, evidence)
    if not state_is_reality:
        return _reality_moved(state, desired, baseline, l_known)
    if not l_known:
        return Ruling(Label.PENDING, "S=R, D≠R, L unknown", certain=False)
    if not same(desired, baseline):
        return Ruling(Label.PENDING, "S=R, D≠R, D≠L")
    if evidence.state_written is None:
        return Ruling(Label.INPUT, "S=R, R≠D, D=L, state's history unknown", certain=False)
    if evidence.state_written:
        return Ruling(Label.ABSORBED, "S=R, R≠D, D=L, state written since the baseline")
    return Ruling(Label.INPUT, "S=R, R≠D, D=L, state not written since the baseline")


def _only_the_state_lags(desired: Any, baseline: Any, l_known: bool, evidence: Evidence) -> Ruling:
    if l_known:
        if same(desired, baseline):
            return Ruling(Label.NOISE, "S≠R, R=D, D=L: nothing planned")
        return Ruling(Label.ADOPTED, "S≠R, R=D, D≠L")
    if evidence.closure_changed:
        return Ruling(Label.ADOPTED, "S≠R, R=D, L unknown", certain=False)
    return Ruling(Label.NOISE, "S≠R, R=D: nothing planned", certain=evidence.has_baseline)


def _reality_moved(state: Any, desired: Any, baseline: Any, l_known: bool) -> Ruling:
    if same(desired, state):
        return Ruling(Label.DRIFT, "S≠R, D=S")
    if not l_known:
        return Ruling(Label.CONFLICT, "S≠R, D≠R, D≠S, L unknown", certain=False)
    if same(desired, baseline):
        return Ruling(Label.DRIFT, "S≠R, D=L")
    return Ruling(Label.CONFLICT, "S≠R, D≠R, D≠S, D≠L")
