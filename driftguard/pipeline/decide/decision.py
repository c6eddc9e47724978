"""What is done about a verdict: one ordered table of named conditions, every one that fires is a reason.

Takes `Facts`; gives a `Decision`. Pure: no clock, no port, no randomness. An apply is decided only when it is wanted
for everything that the plan contains and nothing speaks against it; whatever speaks against it is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from driftguard.config import Policy
from driftguard.model import Action, Classification, Decision, Fault, Label, ResourceChange, Verdict
from driftguard.pipeline.approve.commits import Approvals
from driftguard.pipeline.approve.plans import NO_APPROVAL, PlanApproval
from driftguard.pipeline.decide.windows import window_state

# A plan that deletes this share of an environment is held whatever the limits say.
_ALMOST_EVERYTHING = 0.8
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision rests on.

    Attributes:
        classification, fault: one of them, the other None.
        nothing_exists: the state is empty and nothing real is known, so that everything is created.
        first_apply_unfinished: there is no baseline because our own first apply, to an empty state, did not end well.
        state_replaced: the state is not the one of the baseline: it was lost, or another one stands in its place.
        local_state: the state is a file of somebody's, which is never applied to.
        failures: failed attempts at this commit since the last `driftguard retry`.
        backoff_until: when the next attempt may start; None at once.
        reverts: applies that reverted this very drift within the fuse's time.
        acting_elsewhere: another reconciler holds the environment.
        plan_approval: what merged approval files mean for exactly this plan.
        can_propose: whether pull requests can be opened.
    """

    verdict: Verdict
    classification: Classification | None
    fault: Fault | None
    policy: Policy
    approvals: Approvals
    now: datetime
    nothing_exists: bool = False
    first_apply_unfinished: bool = False
    state_replaced: bool = False
    local_state: bool = False
    failures: int = 0
    backoff_until: datetime | None = None
    reverts: int = 0
    acting_elsewhere: bool = False
    plan_approval: PlanApproval = NO_APPROVAL
    can_propose: bool = False


_DRIFT = frozenset({Label.DRIFT, Label.ABSORBED, Label.RESIDUE})
_PENDING = frozenset({Label.PENDING, Label.REFACTOR})


def decide(facts: Facts) -> Decision:
    """The decision, with every reason that fired, in the order of the table."""
    if facts.verdict is Verdict.UNKNOWN or facts.classification is None:
        kind = facts.fault.kind.value if facts.fault else "unknown"
        return Decision(Action.ALERT, (f"unknown: {kind}",))
    if facts.verdict is Verdict.IN_SYNC:
        return Decision(Action.NONE, ("in_sync",))
    wanted = _wanted(facts, facts.classification)
    acting = {group: word for group, word in wanted.items() if word in ("apply", "revert", "approved")}
    proposing = tuple(group for group, word in wanted.items() if word == "propose")
    conflict = _named(facts.classification, {Label.CONFLICT}) if "conflict" in wanted else None
    if not acting and not proposing and conflict is None:
        return Decision(Action.ALERT, tuple(f"policy_alert: {group}" for group in wanted))
    conditions = _EVEN_IF_APPROVED if proposing else _CONDITIONS
    against = tuple(_against(facts, facts.classification, wanted, conditions)) if acting or proposing else ()
    if conflict is not None:
        against = (f"conflict: {conflict}", *against)
    void = tuple(f"approval_void: {why}" for why in (facts.plan_approval.void or {}).values())
    if against:
        return Decision(Action.HOLD, against + void)
    if proposing:
        return Decision(Action.PROPOSE, tuple(f"policy_propose: {group}" for group in proposing) + void)
    policies = tuple(f"policy_{word}: {group}" for group, word in acting.items() if word != "approved")
    approved = (f"approved: {facts.plan_approval.path}",) if facts.plan_approval.id else ()
    return Decision(Action.APPLY, policies + approved + facts.approvals.reasons)


def _wanted(facts: Facts, classification: Classification) -> dict[str, str]:
    """What the policy says about each group of labels that the plan contains."""
    labels = _labels(classification)
    groups: dict[str, str] = {}
    if Label.CONFLICT in labels:
        groups["conflict"] = "hold"
    if labels & _PENDING:
        groups["pending"] = facts.policy.pending
    if labels & _DRIFT:
        groups["drift"] = facts.policy.drift
    if Label.INPUT in labels or (not groups and Label.DERIVED in labels):
        groups["input"] = facts.policy.input
    if facts.plan_approval.id is not None:  # of exactly this plan, with all that it does
        groups = {group: "approved" if word == "propose" else word for group, word in groups.items()}
    return groups


def _labels(classification: Classification) -> frozenset[Label]:
    found = frozenset[Label]().union(*(r.labels for r in classification.resources))
    return found | {output.label for output in classification.outputs}


def _against(
    facts: Facts, classification: Classification, wanted: dict[str, str], conditions: Sequence[_Condition]
) -> Iterator[str]:
    """Everything that speaks against an apply, or against proposing one, in order."""
    for group, word in wanted.items():
        if word == "propose" and not facts.can_propose:
            yield f"proposals_not_available: {group}"
        elif word == "alert":
            yield f"mixed_with_{group}: {_named(classification, _GROUPS[group])}"
    for condition in conditions:
        if facts.plan_approval.id is None or condition not in _LIFTED:
            yield from condition(facts, classification)


def _uncertain(facts: Facts, classification: Classification) -> Iterator[str]:
    if facts.nothing_exists:
        return
    known = {(), ("no-op",)}
    if facts.first_apply_unfinished:
        known.add(("create",))  # it was never made: whatever is there, the first apply made
    doubtful = [r.address for r in classification.resources if not r.certain and r.actions not in known]
    if not facts.first_apply_unfinished:
        doubtful += [f"output {o.name}" for o in classification.outputs if not o.certain]
    if doubtful:
        yield f"uncertain: {_listed(doubtful)}"


def _would_revert_ignored(facts: Facts, classification: Classification) -> Iterator[str]:
    names = [
        f"{resource.address} {attribute.path}"
        for resource in classification.resources
        for attribute in resource.attributes
        if attribute.ignored_by and (attribute.unknown or attribute.reality != attribute.desired)
    ]
    if names:
        yield f"would_revert_ignored: {_listed(names)}"


def _not_approved(facts: Facts, classification: Classification) -> Iterator[str]:
    if not facts.approvals.approved:
        yield from facts.approvals.reasons


def _destroyed(classification: Classification) -> list[ResourceChange]:
    return [r for r in classification.resources if r.actions == ("delete",)]


def _replaced(classification: Classification) -> list[ResourceChange]:
    return [r for r in classification.resources if len(r.actions) == 2]


def _changed(classification: Classification) -> list[ResourceChange]:
    return [r for r in classification.resources if r.actions not in ((), ("no-op",), ("read",))]


def _protected(facts: Facts, classification: Classification) -> Iterator[str]:
    hit = [
        r.address
        for r in (*_destroyed(classification), *_replaced(classification))
        if facts.policy.protecting(r.address, r.type)
    ]
    if hit:
        yield f"protected: {_listed(hit)}"


def _almost_everything(facts: Facts, classification: Classification) -> Iterator[str]:
    destroyed, existing = len(_destroyed(classification)), classification.resource_count
    if destroyed > 1 and destroyed >= _ALMOST_EVERYTHING * existing:
        yield f"would_delete_almost_everything: {destroyed} of {existing}"


def _limits(facts: Facts, classification: Classification) -> Iterator[str]:
    limits = facts.policy.limits
    for name, count, most in (
        ("changes", len(_changed(classification)), limits.changes),
        ("destroys", len(_destroyed(classification)), limits.destroys),
        ("replaces", len(_replaced(classification)), limits.replaces),
    ):
        if count > most:
            yield f"limit_{name}: {count} of at most {most}"
    touched = [r for r in _changed(classification) if r.actions != ("create",)]
    existing = classification.resource_count
    # One or two resources are a large share of any small environment and say nothing.
    if len(touched) > 2 and len(touched) > limits.share * existing:
        yield f"limit_share: {len(touched)} of {existing} resources"


def _suspended(facts: Facts, classification: Classification) -> Iterator[str]:
    suspended = facts.policy.suspended
    if suspended is not None and (suspended.until is None or facts.now < suspended.until):
        until = f" until {suspended.until:%Y-%m-%d %H:%M} UTC" if suspended.until else ""
        yield f"suspended: {suspended.reason}{until}"


def _window(facts: Facts, classification: Classification) -> Iterator[str]:
    state = window_state(facts.policy.windows, facts.now)
    if not state.open:
        yield f"window_closed: {state.because}"


def _flapping(facts: Facts, classification: Classification) -> Iterator[str]:
    fuse = facts.policy.flapping
    if facts.reverts >= fuse.reverts:
        yield f"flapping: reverted {facts.reverts} times within {fuse.within}"


def _backoff(facts: Facts, classification: Classification) -> Iterator[str]:
    if facts.backoff_until is not None and facts.now < facts.backoff_until:
        yield f"backoff: {facts.failures} failed, next attempt after {facts.backoff_until:%Y-%m-%d %H:%M:%S} UTC"


def _state_replaced(facts: Facts, classification: Classification) -> Iterator[str]:
    if facts.state_replaced:
        yield "state_replaced: the state is not the one that was applied to last"


def _local_state(facts: Facts, classification: Classification) -> Iterator[str]:
    if facts.local_state:
        yield "local_state: the state is a local file"


def _elsewhere(facts: Facts, classification: Classification) -> Iterator[str]:
    if facts.acting_elsewhere:
        yield "acting_elsewhere: another reconciler holds this environment"


_GROUPS: dict[str, frozenset[Label]] = {
    "pending": _PENDING,
    "drift": _DRIFT,
    "input": frozenset({Label.INPUT, Label.DERIVED}),
}
_Condition = Callable[[Facts, Classification], Iterator[str]]
_CONDITIONS: tuple[_Condition, ...] = (
    _state_replaced,
    _uncertain,
    _would_revert_ignored,
    _not_approved,
    _protected,
    _almost_everything,
    _limits,
    _suspended,
    _window,
    _flapping,
    _backoff,
    _local_state,
    _elsewhere,
)
# What asks for a person: one who merged exactly this plan has looked.
_LIFTED: frozenset[_Condition] = frozenset({_uncertain, _limits, _flapping})
# What would hold the plan also after it was approved, so that proposing it would be in vain.
_EVEN_IF_APPROVED: tuple[_Condition, ...] = (
    _state_replaced,
    _would_revert_ignored,
    _not_approved,
    _protected,
    _almost_everything,
    _suspended,
    _local_state,
)


def _named(classification: Classification, labels: frozenset[Label] | set[Label]) -> str:
    names = [r.address for r in classification.resources if r.labels & labels]
    names += [f"output {o.name}" for o in classification.outputs if o.label in labels]
    return _listed(names)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
