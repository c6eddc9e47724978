"""A recorded decision, decided again under another policy from the facts in the journal. Pure.

Takes a `scanned` entry, whose values are redacted; gives `Facts` and a `Replay`. A fact that the journal does not have
is never guessed: then there is no decision, and the reason is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from driftguard.config import Approval, Policy
from driftguard.model import (
    Action,
    AttributeChange,
    Classification,
    Decision,
    Entry,
    ErrorKind,
    Fault,
    Invocation,
    Label,
    OutputChange,
    ResourceChange,
    Verdict,
)
from driftguard.model.reasons import Reason, ReasonName
from driftguard.model.report import (
    DecisionReport,
    EnvironmentReport,
    InvocationReport,
    OutputReport,
    ResourceReport,
    read_environment,
)
from driftguard.model.words import plural
from driftguard.pipeline.approve.commits import Approvals
from driftguard.pipeline.approve.plans import PlanApproval
from driftguard.pipeline.decide.decision import decide, decide_by_all
from driftguard.pipeline.decide.facts import Facts
from driftguard.pipeline.decide.history import Past
from driftguard.sealed import Sealed, mask

_SAME, _OTHER = Sealed(None), Sealed(True)


class NotReplayed(StrEnum):
    """Why a decision cannot be replayed, in words."""

    WITHOUT_INPUTS = "recorded without the facts behind the decision, by an older version"
    NOT_READABLE = "recorded in a form that this version does not read"
    NOT_REPRODUCED = "the recorded facts do not give the recorded decision in this version"
    NO_POLICY = "the policy file has no such environment"
    APPROVALS_UNKNOWN = "depends on approvals that the recorded policy did not ask for"


@dataclass(frozen=True, slots=True)
class Replay:
    """One decision under another policy.

    Attributes:
        decided: what was decided then.
        replayed: what the other policy decides; None where that is not known.
        why_not: why it is not known; None where it is.
    """

    decided: Decision
    replayed: Decision | None
    why_not: NotReplayed | None = None

    @property
    def differs(self) -> bool:
        """Whether the other policy decides to do something else."""
        return self.replayed is not None and self.replayed.action is not self.decided.action


class _ApprovalsRow(Struct, frozen=True):
    approved: bool
    reasons: tuple[str, ...] = ()
    by: tuple[dict[str, str], ...] = ()


class _PlanApprovalRow(Struct, frozen=True):
    id: str | None = None
    path: str | None = None
    void: dict[str, str] = {}


class _FoundRow(Struct, frozen=True):
    verdict: str
    resources: tuple[ResourceReport, ...] = ()
    outputs: tuple[OutputReport, ...] = ()
    invocations: tuple[InvocationReport, ...] = ()


class _InputsRow(Struct, frozen=True):
    now: datetime
    policies: tuple[dict[str, Any], ...]
    approvals: _ApprovalsRow
    decided: DecisionReport
    nothing_exists: bool = False
    first_apply_unfinished: bool = False
    state_replaced: str = ""
    state_not_written: str = ""
    creations_unknown: tuple[str, ...] = ()
    baseline_given: bool = False
    state_shared: tuple[str, ...] = ()
    local_state: bool = False
    applied_elsewhere: str = ""
    not_settled: tuple[str, ...] = ()
    upstream_changed: str = ""
    failures: int = 0
    backoff_until: datetime | None = None
    reverts: int = 0
    plan_approval: _PlanApprovalRow = _PlanApprovalRow()
    can_propose: bool = False
    resource_count: int = 0
    due_again: tuple[str, ...] = ()
    would_revert: tuple[tuple[str, str], ...] = ()
    failed_at: datetime | None = None
    reverted_at: tuple[datetime, ...] = ()
    found: _FoundRow | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as the journal has it.

    Attributes:
        facts: under the last of the policies.
        policies: those that were asked, oldest first.
        past: what earlier attempts meant.
    """

    decided: Decision
    facts: Facts
    policies: tuple[Policy, ...]
    past: Past


def recorded(entry: Entry) -> Recorded | NotReplayed:
    """The decision of a `scanned` entry with its facts, or why there are none."""
    try:
        report = read_environment(entry.data)
        if report.verdict == Verdict.UNKNOWN and "inputs" not in entry.data:
            return _unknown(report, entry.at)
        if not isinstance(entry.data.get("inputs"), Mapping) or not _has_decision(entry.data.get("inputs")):
            return NotReplayed.WITHOUT_INPUTS
        row = msgspec.convert(entry.data.get("inputs"), _InputsRow)
        policies = tuple(map(Policy.model_validate, row.policies))
        facts = _facts(report, row, policies[-1])
        decided = Decision(Action(row.decided.action), row.decided.reasons)
    except (ValueError, IndexError):
        return NotReplayed.NOT_READABLE
    past = Past(row.failures, row.backoff_until, row.reverts, row.failed_at, row.reverted_at)
    if _masked(decide_by_all(facts, policies)) != _masked(decided):
        return NotReplayed.NOT_REPRODUCED
    return Recorded(decided, facts, policies, past)


def _has_decision(inputs: Any) -> bool:
    return isinstance(inputs, Mapping) and inputs.get("decided") is not None


def _unknown(report: EnvironmentReport, at: datetime) -> Recorded:
    """An environment without a verdict: whatever the policy, it is alerted."""
    kind = next((kind for kind in ErrorKind if kind == report.error_kind), None)
    fault = None if kind is None or report.error is None else Fault(kind, report.error.message)
    facts = Facts(Verdict.UNKNOWN, None, fault, Policy(), Approvals(True, ()), at)
    return Recorded(decide(facts), facts, (Policy(),), Past(0, None, 0))


def replay(found: Recorded, policy: Policy) -> Replay:
    """A recorded decision under another policy; the facts stay what they were."""
    facts = replace(found.facts, policy=policy)
    if found.past.failed_at is not None or found.past.reverted_at:
        past = found.past
        again = Past.under(policy, past.failures, past.failed_at, past.reverted_at, facts.now)
        facts = replace(facts, backoff_until=again.backoff_until, reverts=again.reverts)
    decisions = [
        decide(replace(facts, approvals=approvals))
        for approvals in _possible(facts.approvals, [each.approval for each in found.policies], policy.approval)
    ]
    if len({decision.action for decision in decisions}) > 1:
        return Replay(found.decided, None, NotReplayed.APPROVALS_UNKNOWN)
    return Replay(found.decided, decisions[0])


def replay_recorded(found: Recorded) -> Decision:
    """The decision under the recorded policies: what was decided, word for word."""
    return decide_by_all(found.facts, found.policies)


def _possible(known: Approvals, asked: Sequence[Approval], wanted: Approval) -> list[Approvals]:
    """What the approvals may be under another rule, the approved case first: those of a stricter one are not known."""
    if all(rule == wanted for rule in asked):
        return [known]
    if any(reason.name == ReasonName.HISTORY_REWRITTEN for reason in known.reasons):
        return [known]
    if wanted.require == "merged":
        merged = Reason(ReasonName.MERGED, f"{plural(len(known.by), 'commit')} on the tracked branch")
        return [Approvals(True, (merged,), known.by)]
    missing = ReasonName.NOT_SIGNED if wanted.require == "signed" else ReasonName.NOT_REVIEWED
    return [Approvals(True, ()), Approvals(False, (Reason(missing),))]


def _facts(report: EnvironmentReport, row: _InputsRow, policy: Policy) -> Facts:
    found = row.found or _FoundRow(report.verdict, report.resources, report.outputs, report.invocations)
    classification = _classification(found, row)
    # The journal's texts are masked: what stands beside them in the report is not.
    addresses = {mask(resource.address): resource.address for resource in found.resources}
    return Facts(
        verdict=classification.verdict,
        classification=classification,
        fault=None,
        policy=policy,
        approvals=Approvals(row.approvals.approved, tuple(map(Reason.parse, row.approvals.reasons)), row.approvals.by),
        now=row.now,
        nothing_exists=row.nothing_exists,
        first_apply_unfinished=row.first_apply_unfinished,
        state_replaced=row.state_replaced,
        state_not_written=row.state_not_written,
        creations_unknown=frozenset(addresses.get(address, address) for address in row.creations_unknown),
        baseline_given=row.baseline_given,
        state_shared=row.state_shared,
        local_state=row.local_state,
        applied_elsewhere=row.applied_elsewhere,
        not_settled=row.not_settled,
        upstream_changed=row.upstream_changed,
        failures=row.failures,
        backoff_until=row.backoff_until,
        reverts=row.reverts,
        plan_approval=PlanApproval(row.plan_approval.id, row.plan_approval.path, row.plan_approval.void or None),
        can_propose=row.can_propose,
    )


def _classification(found: _FoundRow, row: _InputsRow) -> Classification:
    due, reverted = frozenset(row.due_again), frozenset(row.would_revert)
    return Classification(
        verdict=Verdict(found.verdict),
        resources=tuple(_resource(resource, due, reverted) for resource in found.resources),
        outputs=tuple(OutputChange(o.name, Label(o.label), o.sensitive, o.certain, o.rule) for o in found.outputs),
        drift_fingerprint=None,
        plan_fingerprint=None,
        resource_count=row.resource_count,
        invocations=tuple(Invocation(i.address, i.trigger, Label(i.label), i.not_run) for i in found.invocations),
    )


def _resource(resource: ResourceReport, due: frozenset[str], reverted: frozenset[tuple[str, str]]) -> ResourceChange:
    """A resource as `decide` saw it; its values, which are redacted, are only equal to each other or not."""
    attributes = tuple(
        AttributeChange(
            path=attribute.path,
            label=Label(attribute.label),
            state=_SAME,
            reality=_OTHER if (mask(resource.address), mask(attribute.path)) in reverted else _SAME,
            desired=_SAME,
            baseline=None,
            rule=attribute.rule,
            certain=attribute.certain,
            unknown=attribute.unknown,
            ignored_by=attribute.ignored_by,
        )
        for attribute in resource.attributes
    )
    return ResourceChange(
        address=resource.address,
        type=resource.type,
        provider=resource.provider,
        actions=resource.actions,
        labels=frozenset(map(Label, resource.labels)),
        certain=resource.certain,
        attributes=attributes,
        deposed=resource.deposed,
        due_again=mask(resource.address) in due,
    )


def _masked(decision: Decision) -> tuple[str, tuple[str, ...]]:
    return decision.action.value, tuple(mask(str(reason)) for reason in decision.reasons)
