"""Recorded decisions, decided again: word for word under their own policy, and never from a guessed fact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.config import Approval, Backoff, Flapping, Policy
from driftguard.model import Action, AttributeChange, Decision, Entry, EntryKind, EnvironmentResult, Label, Verdict
from driftguard.model.looks import Look
from driftguard.model.reasons import Reason, ReasonName
from driftguard.pipeline.approve.commits import Approvals
from driftguard.pipeline.backtest import OtherPolicy, backtest
from driftguard.pipeline.decide.decision import decide_by_all
from driftguard.pipeline.decide.facts import Facts
from driftguard.pipeline.decide.history import Past
from driftguard.pipeline.decide.inputs import decision_inputs
from driftguard.pipeline.decide.replay import NotReplayed, Recorded, recorded, replay, replay_recorded
from driftguard.pipeline.record import scan_entry
from driftguard.ports import JournalReader
from driftguard.report import environment_report
from driftguard.sealed import Sealed
from tests.unit.test_decide import EVERYTHING, NOW, all_facts, facts, policies, resource


def entry(known: Facts, asked: Sequence[Policy], decision: Decision | None = None, **past: Any) -> Entry:
    """The entry of a decision as a run records it, after a trip through JSON."""
    decided = decision or decide_by_all(known, asked)
    inputs = decision_inputs(known, asked, decided, Past(known.failures, known.backoff_until, known.reverts, **past))
    result = EnvironmentResult("prod", "environments/prod", "default", known.verdict, "", None, decided)
    result = replace(result, classification=known.classification)
    made = scan_entry("run", "c" * 40, known.now, environment_report(result), inputs)
    return replace(made, data=json.loads(json.dumps(made.data)))


def found(made: Entry) -> Recorded:
    known = recorded(made)
    assert isinstance(known, Recorded), known
    return known


@given(all_facts, st.lists(policies, min_size=1, max_size=2))
def test_a_decision_replayed_under_its_own_policy_is_the_recorded_one(known: Facts, asked: list[Policy]) -> None:
    known = replace(known, policy=asked[-1])
    decided = decide_by_all(known, asked)
    assert replay_recorded(found(entry(known, asked))) == decided
    if len(asked) == 1:
        assert replay(found(entry(known, asked)), asked[0]).replayed == decided


@given(all_facts, policies, policies)
def test_a_decision_replayed_under_another_policy_is_that_of_the_policy(
    known: Facts, policy: Policy, other: Policy
) -> None:
    again = replay(found(entry(replace(known, policy=policy), [policy])), other)
    assert again.replayed == decide_by_all(known, [other])


def test_a_sensitive_difference_that_a_rule_ignores_still_holds_the_plan() -> None:
    secret = AttributeChange(
        path="password",
        label=Label.NOISE,
        state=Sealed("a", secret=True),
        reality=Sealed("b", secret=True),
        desired=Sealed("a", secret=True),
        baseline=None,
        rule="x",
        ignored_by="aws_x.*",
    )
    known = facts(replace(resource(Label.PENDING), attributes=(secret,)))
    decided = decide_by_all(known, [EVERYTHING])
    assert [reason.name for reason in decided.reasons] == [ReasonName.WOULD_REVERT_IGNORED]
    assert replay_recorded(found(entry(known, [EVERYTHING]))) == decided


def test_another_backoff_and_another_flapping_limit_count_from_the_recorded_moments() -> None:
    failed, reverted = NOW - timedelta(minutes=10), NOW - timedelta(hours=30)
    known = facts(resource(Label.DRIFT), failures=1, backoff_until=failed + timedelta(minutes=5))
    made = entry(known, [EVERYTHING], failed_at=failed, reverted_at=(reverted,))
    assert replay(found(made), EVERYTHING).replayed == decide_by_all(known, [EVERYTHING])
    slow = EVERYTHING.model_copy(update={"backoff": Backoff(first=timedelta(hours=1))})
    strict = EVERYTHING.model_copy(update={"flapping": Flapping(reverts=1, within=timedelta(days=2))})
    for other, name in ((slow, ReasonName.BACKOFF), (strict, ReasonName.FLAPPING)):
        again = replay(found(made), other).replayed
        assert again is not None
        assert [reason.name for reason in again.reasons] == [name]


SIGNED = EVERYTHING.model_copy(update={"approval": Approval(require="signed", signers="/signers")})


def test_a_stricter_approval_that_was_not_asked_for_is_not_guessed() -> None:
    made = found(entry(facts(resource(Label.PENDING)), [EVERYTHING]))
    assert replay(made, SIGNED).why_not is NotReplayed.APPROVALS_UNKNOWN
    alerting = SIGNED.model_copy(update={"pending": "alert"})
    again = replay(made, alerting).replayed
    assert again is not None
    assert again.action is Action.ALERT


def test_what_is_not_signed_is_on_the_branch_all_the_same() -> None:
    refused = Approvals(False, (Reason(ReasonName.NOT_SIGNED, "c"),), ({"commit": "c"},))
    made = found(entry(facts(resource(Label.PENDING), policy=SIGNED, approvals=refused), [SIGNED]))
    again = replay(made, EVERYTHING).replayed
    assert again is not None
    assert str(again.reasons[-1]) == "merged: 1 commit on the tracked branch"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"inputs": None}, NotReplayed.WITHOUT_INPUTS),
        ({"verdict": "another"}, NotReplayed.NOT_READABLE),
        ({"resources": []}, NotReplayed.NOT_REPRODUCED),
    ],
)
def test_what_cannot_be_replayed_has_a_reason(change: dict[str, Any], why: NotReplayed) -> None:
    made = entry(facts(resource(Label.PENDING)), [EVERYTHING])
    assert recorded(replace(made, data={**made.data, **change})) is why


def test_an_unknown_verdict_is_alerted_under_each_policy() -> None:
    data = {"verdict": "unknown", "error": {"kind": "locked", "message": "x"}}
    again = replay(found(Entry(EntryKind.SCANNED, NOW, "run", "prod", data)), EVERYTHING)
    assert (again.decided, again.differs) == (Decision(Action.ALERT, (Reason(ReasonName.UNKNOWN, "locked"),)), False)


class Kept(JournalReader):
    """A journal in memory."""

    def __init__(self, *kept: Entry) -> None:
        self._kept = kept

    def entries(
        self,
        *,
        environment: str | None = None,
        kinds: Sequence[EntryKind] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        return tuple(e for e in self._kept if e.environment == environment and (since is None or e.at >= since))

    def latest(self, kind: EntryKind, until: datetime | None = None) -> dict[str, Entry]:
        return {str(each.environment): each for each in self._kept}

    def looks(self, until: datetime | None = None) -> dict[str, Look]:
        return {}


def test_alike_differences_in_a_row_are_one_and_what_is_left_out_is_named() -> None:
    made = entry(facts(resource(Label.PENDING)), [EVERYTHING])
    rows = [replace(made, at=NOW + timedelta(minutes=15 * n), sequence=n) for n in range(3)]
    old = Entry(EntryKind.SCANNED, NOW, "run", "old", {"verdict": Verdict.DRIFTED.value})
    done = backtest(Kept(*rows, old), OtherPolicy("p.yaml", otherwise=Policy()), None, NOW)
    [only] = done.differences
    assert (only.environment, only.times, only.first_at) == ("prod", 3, NOW)
    assert (only.decided.action, only.replayed.action) == (Action.APPLY, Action.ALERT)
    assert (done.replayed, done.decided, done.would) == (3, {"apply": 3}, {"alert": 3})
    [left] = done.left_out
    assert (left.why, left.count, left.environments) == (NotReplayed.WITHOUT_INPUTS, 1, ("old",))
    none = backtest(Kept(*rows), OtherPolicy("p.yaml", {}), None, NOW)
    assert [each.why for each in none.left_out] == [NotReplayed.NO_POLICY]
