"""The label of one value: the contract's table as guard clauses, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from driftguard.model import Label
from driftguard.pipeline.classify.equality import identical, same, same_form
from driftguard.sealed import UNKNOWN


@dataclass(frozen=True, slots=True)
class Subject:
    """Where a value stands: the address at the baseline and the attribute's path; empty for the object itself.

    `copy` counts equal elements of a list from 0.
    """

    address: str
    path: str = ""
    copy: int = 0


class BaselineDigests(Protocol):
    """The keyed digests of an environment's attributes at its baseline."""

    def holds(self, subject: Subject, value: Any, other: Any) -> bool | None:
        """Whether the attribute had this value at the baseline; None where no digest of it is known.

        Args:
            other: the value that it is compared with; where one of the two is `ABSENT`, the question is whether the
                element or object was there.
        """
        ...

    def stood(self, subject: Subject, reality: Any, desired: Any) -> bool:
        """Whether this very difference stood after the last complete apply, whose state held `reality`."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known besides the plan.

    Attributes:
        has_baseline: whether the environment has a last known-good point.
        closure_changed: whether a commit since the baseline touched the closure (False without a baseline).
        state_written: whether the state's serial or lineage moved since the baseline; None if that is not known.
        closure_open: whether the closure cannot be known completely, so that equal hashes prove nothing.
        digests: what the baseline's attributes were; None for a baseline without digests.
        upgraded: providers of another version than at the baseline, such as `hashicorp/aws 5.99.1 → 5.100.0`, by
            their addresses.
    """

    has_baseline: bool
    closure_changed: bool = False
    state_written: bool | None = None
    closure_open: bool = False
    digests: BaselineDigests | None = None
    upgraded: Mapping[str, str] = field(default_factory=dict)

    @property
    def same_closure(self) -> bool:
        """Whether no commit since the baseline touched the closure."""
        return self.has_baseline and not self.closure_changed


class _NoBaselineValue:
    """L is not known: there is no baseline plan, or it does not hold this value."""


NO_BASELINE_VALUE = _NoBaselineValue()


@dataclass(frozen=True, slots=True)
class Ruling:
    """A label, the test that gave it in the contract's letters, and whether every part of the test was made."""

    label: Label
    rule: str
    certain: bool = True


NOWHERE = Subject("")


def rule(
    state: Any, reality: Any, desired: Any, baseline: Any, evidence: Evidence, subject: Subject = NOWHERE
) -> Ruling | None:
    """The label of one value from S, R, D and L (`NO_BASELINE_VALUE` where L is not known); None if nothing changed."""
    if desired is UNKNOWN:
        return Ruling(Label.DERIVED, "D unknown until apply")
    state_is_reality = same(state, reality)
    reality_is_desired = same(reality, desired)
    if state_is_reality and reality_is_desired:
        unchanged = identical(state, reality) and identical(reality, desired)
        return None if unchanged else Ruling(Label.NOISE, "S=R, R=D but for their form")
    if evidence.same_closure:
        baseline = desired  # equal closures: no commit changed what the configuration wants
    known = baseline is not NO_BASELINE_VALUE and baseline is not UNKNOWN
    if reality_is_desired:
        return _only_the_state_lags(desired, baseline, known, evidence)
    if not state_is_reality:
        return _reality_moved(state, desired, baseline, known, evidence)
    return _desired_moved(reality, desired, baseline if known else NO_BASELINE_VALUE, evidence, subject)


def _only_the_state_lags(desired: Any, baseline: Any, l_known: bool, evidence: Evidence) -> Ruling:
    if l_known:
        if same(desired, baseline):
            return Ruling(Label.NOISE, "S≠R, R=D, D=L: nothing planned")
        return Ruling(Label.ADOPTED, "S≠R, R=D, D≠L")
    if evidence.closure_changed:
        return Ruling(Label.ADOPTED, "S≠R, R=D, L unknown", certain=False)
    return Ruling(Label.NOISE, "S≠R, R=D: nothing planned", certain=evidence.has_baseline)


def _reality_moved(state: Any, desired: Any, baseline: Any, l_known: bool, evidence: Evidence) -> Ruling:
    if same(desired, state):
        return Ruling(Label.DRIFT, "S≠R, D=S")
    if not l_known and same_form(desired, state):
        return Ruling(Label.DRIFT, "S≠R, D=S but for their form, L unknown", certain=False)
    if not l_known:
        return Ruling(Label.CONFLICT, "S≠R, D≠R, D≠S, L unknown", certain=False)
    if same(desired, baseline):
        return Ruling(Label.DRIFT, "S≠R, D=L", certain=not _rests_on_an_open_closure(evidence))
    return Ruling(Label.CONFLICT, "S≠R, D≠R, D≠S, D≠L")


def _desired_moved(reality: Any, desired: Any, baseline: Any, evidence: Evidence, subject: Subject) -> Ruling:
    """S=R and R≠D: who moved D away from R, or R away from D."""
    if baseline is NO_BASELINE_VALUE:
        return Ruling(Label.PENDING, "S=R, D≠R, L unknown", certain=False)
    reality_held = held(evidence, subject, reality, desired)
    if not same(desired, baseline):
        return _commit_moved(reality_held, held(evidence, subject, desired, reality), evidence)
    sure = not _rests_on_an_open_closure(evidence)
    if reality_held is None:
        return _by_the_serial(evidence)
    if not reality_held:
        return Ruling(Label.ABSORBED, "S=R, R≠D, D=L, R is not what the baseline's digests hold", certain=sure)
    return Ruling(Label.INPUT, "S=R, R≠D, D=L, R is what the baseline's digests hold", certain=sure)


def _commit_moved(reality_held: bool | None, desired_held: bool | None, evidence: Evidence) -> Ruling:
    if reality_held is None:
        # A state that was not written since holds what it held, so no outside change is absorbed in it.
        return Ruling(Label.PENDING, "S=R, D≠R, D≠L", certain=evidence.state_written is False)
    if not reality_held and not desired_held:
        return Ruling(Label.CONFLICT, "S=R, R≠D, D≠L, neither R nor D is what the baseline's digests hold")
    return Ruling(Label.PENDING, "S=R, D≠R, D≠L")


def _by_the_serial(evidence: Evidence) -> Ruling:
    """Without digests: whether the state was written since the baseline."""
    if evidence.state_written is None:
        return Ruling(Label.INPUT, "S=R, R≠D, D=L, state's history unknown", certain=False)
    if evidence.state_written:
        return Ruling(Label.ABSORBED, "S=R, R≠D, D=L, state written since the baseline", certain=False)
    return Ruling(Label.INPUT, "S=R, R≠D, D=L, state not written since the baseline", certain=False)


def held(evidence: Evidence, subject: Subject, value: Any, other: Any) -> bool | None:
    """Whether the baseline's digests hold a value; None where that is not known."""
    if evidence.digests is None or not subject.address:
        return None
    return evidence.digests.holds(subject, value, other)


def _rests_on_an_open_closure(evidence: Evidence) -> bool:
    return evidence.closure_open and evidence.same_closure
