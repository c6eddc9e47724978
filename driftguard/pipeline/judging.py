"""From findings to a decision: gathers the facts of one environment and asks `decide`.

Takes a `RunContext`, an `EnvironmentTask` and `Findings`; gives a `Judgement`. The facts come from the ledger, the
tracked branch and the forge; what they mean is decided by `decide`, which is pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from driftguard.config import Policy
from driftguard.model import AttemptState, Baseline, Decision, Verdict
from driftguard.model.units import UpstreamRow
from driftguard.pipeline.approve.commits import Approvals, Range
from driftguard.pipeline.approve.gather import (
    PlanAtHand,
    Since,
    gather_approvals,
    gather_approvals_until_refused,
    gather_plan_approval,
    gather_range,
)
from driftguard.pipeline.approve.plans import NO_APPROVAL, PlanApproval
from driftguard.pipeline.context import EnvironmentTask, RunContext
from driftguard.pipeline.decide.decision import decide_by_all
from driftguard.pipeline.decide.facts import Facts
from driftguard.pipeline.decide.history import MEMORY, Past, nothing_exists, past, state_replaced, unsettled
from driftguard.pipeline.decide.inputs import decision_inputs
from driftguard.pipeline.record import approved_entry
from driftguard.pipeline.scan import Findings
from driftguard.pipeline.states import KnownState, state_address
from driftguard.pipeline.upstream import upstream_changed, upstream_rows


@dataclass(frozen=True, slots=True)
class Judgement:
    """A decision, the approvals that it rests on, and the facts behind it."""

    decision: Decision
    commits: Approvals
    plan: PlanApproval
    facts: Facts
    policies: tuple[Policy, ...]
    state: KnownState
    past: Past
    upstream: tuple[UpstreamRow, ...] = ()

    @property
    def inputs(self) -> Mapping[str, Any]:
        """What was decided, and all that it rests on, for the journal."""
        found = {**decision_inputs(self.facts, self.policies, self.decision, self.past), "state": asdict(self.state)}
        return {**found, "upstream": msgspec.to_builtins(self.upstream)} if self.upstream else found


@dataclass(frozen=True, slots=True)
class _Standards:
    """What an apply is held against.

    Attributes:
        policies: the policy at head, and before it the one at the approved point where that still counts too.
        commits: whether the range is approved, by the rule of each policy; empty where that was not asked.
        range: the commits whose approval is needed.
        plan: what merged approval files mean for exactly this plan.
    """

    policies: tuple[Policy, ...]
    commits: tuple[Approvals, ...]
    range: Range
    plan: PlanApproval

    @property
    def approved(self) -> Approvals:
        """The approvals that count: all rules agree, or the first that does not."""
        refused = next((each for each in self.commits if not each.approved), None)
        return refused or (self.commits[-1] if self.commits else Approvals(True, ()))


class Judge:
    """Decides about one environment.

    Attributes:
        approved: the commit up to which everything was approved; None before the first.
    """

    def __init__(self, context: RunContext, task: EnvironmentTask) -> None:
        self._context, self._task = context, task
        self._name, self._head = task.settings.name, context.scan.head
        self.approved = self._approved_point()

    def judge(self, findings: Findings, baseline: Baseline | None) -> Judgement:
        """The decision about what a scan found. Moves the approved point where this run may act."""
        now, settings, context = self._context.clock.now(), self._task.settings, self._context
        classification = findings.classification
        attempts = context.attempts.recent(self._name, now - MEMORY)
        history = past(
            attempts,
            commit=self._head,
            drift_fingerprint=classification.drift_fingerprint,
            retried=context.retried.get(self._name),
            policy=settings.policy,
            now=now,
        )
        state = (findings.state.lineage, findings.state.serial)
        left = unsettled(context.attempts.unsettled(self._name), context.retried.get(self._name), state)
        standards = self._standards(findings, baseline)
        known, upstream = self._known_state(findings), self._upstream(findings)
        order = context.dependencies
        facts = Facts(
            verdict=classification.verdict,
            classification=classification,
            fault=None,
            policy=settings.policy,
            approvals=standards.approved,
            now=now,
            nothing_exists=nothing_exists(findings, baseline),
            first_apply_unfinished=baseline is None and any(a.data.get("first_apply") for a in attempts),
            state_replaced=state_replaced(findings, baseline),
            state_not_written=left.state_not_written,
            creations_unknown=left.creations,
            state_shared=context.states.found(self._name, known),
            local_state=findings.plan.work.state_file is not None,
            applied_elsewhere=self._task.watched,
            not_settled=order.not_settled(self._name) if order is not None else (),
            upstream_changed=upstream_changed(upstream, classification),
            failures=history.failures,
            backoff_until=history.backoff_until,
            reverts=history.reverts,
            plan_approval=standards.plan,
            can_propose=context.can_propose,
            baseline_given=baseline is not None and baseline.origin == "given",
        )
        self._move_approved_point(standards, now)
        decision = decide_by_all(facts, standards.policies)
        return Judgement(
            decision, standards.approved, standards.plan, facts, standards.policies, known, history, upstream
        )

    def _upstream(self, findings: Findings) -> tuple[UpstreamRow, ...]:
        """What the units have whose outputs the plan was made with."""
        states, context = findings.plan.run.upstream, self._context
        if not states:
            return ()
        names = context.scan.closures.settings.names(self._head)
        before, verdict = context.states.upstream(self._name), findings.classification.verdict
        return upstream_rows(states, names, before, verdict, context.scan.key)

    def _known_state(self, findings: Findings) -> KnownState:
        """Which state it is and where it lies."""
        settings = self._task.settings
        address = state_address(findings.backend, settings.path, settings.workspace, self._context.scan.key)
        return KnownState(findings.state.lineage, address)

    def _standards(self, findings: Findings, baseline: Baseline | None) -> _Standards:
        """What is approved: the commits since the approved point, and exactly this plan."""
        context, settings = self._context, self._task.settings
        classification, now = findings.classification, context.clock.now()
        in_sync = classification.verdict is Verdict.IN_SYNC
        plan = NO_APPROVAL
        if not in_sync:
            at_hand = PlanAtHand(
                environment=self._name,
                plan_fingerprint=classification.plan_fingerprint,
                drift_fingerprint=classification.drift_fingerprint,
                closure_hash=findings.closure_hash,
                proposals=context.proposals.standing(self._name),
                now=now,
            )
            plan = gather_plan_approval(
                context.scan.repository, context.attempts, at_hand, commit=self._head, key=context.scan.key
            )
        policies = self._policies()
        closures = context.scan.closures
        since = Since(
            point=self.approved,
            known_good=baseline.commit if baseline and baseline.origin != "given" else None,
            settings=settings,
            closure=self._task.closure,
            closure_then=closures.at(settings, self.approved) if self.approved else None,
        )
        commits = gather_range(context.approvals, since, plan.path)
        rules = dict.fromkeys(policy.approval for policy in policies)
        # Where nothing is to be applied, the first commit without a review is enough: the forge is asked in each run.
        gather = gather_approvals_until_refused if in_sync else gather_approvals
        judged = tuple(gather(context.approvals, rule, commits) for rule in rules)
        return _Standards(policies, judged, commits, plan)

    def _approved_point(self) -> str | None:
        """The commit up to which everything was approved; in a ledger without one, the last that was applied."""
        if self._name in self._context.approved_points:
            return self._context.approved_points[self._name]
        applied = self._context.attempts.recent(self._name, datetime.min.replace(tzinfo=UTC))
        return next((a.commit for a in reversed(applied) if a.state is AttemptState.SUCCEEDED), None)

    def _policies(self) -> tuple[Policy, ...]:
        """The policies that count: a commit that loosens one counts only once it is approved by the rule before it."""
        now, point = self._task.settings.policy, self.approved
        if point is None or point == self._head:
            return (now,)
        then = self._context.scan.closures.settings.at(self._task.settings, point)
        if then is None or then.policy == now or then.policy.approval.require == "merged":
            return (now,)
        return (then.policy, now)

    def _move_approved_point(self, standards: _Standards, now: datetime) -> None:
        """Record that everything up to head is approved, where this run may act and there was anything to approve."""
        asked, needed = bool(standards.commits), standards.range
        if self._context.apply is None or not asked or not standards.approved.approved:
            return
        if needed.touching or needed.returned:
            approved = standards.approved
            by = [dict(who) for who in approved.by]
            basis = {"since": self.approved, "reasons": list(map(str, approved.reasons)), "by": by}
            entry = approved_entry(self._context.run_id, now, self._name, self._head, basis)
            self._context.ledger.append(entry)
            self.approved = self._head
