"""Why was this not applied? One function for each condition that holds a plan, in the order of the reasons.

Takes `Facts`; each condition gives the reasons that it has against an apply.
Pure: no clock, no port, no randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from driftguard.model import Classification, Label, ResourceChange
from driftguard.model.reasons import Reason, ReasonName
from driftguard.pipeline.decide.facts import GROUPS, Facts
from driftguard.pipeline.decide.windows import window_state

# A plan that deletes this share of an environment is held whatever the limits are.
_ALMOST_EVERYTHING: Final = 0.8
_MAX_NAMED: Final = 3
_MIXED: Final = {
    "pending": ReasonName.MIXED_WITH_PENDING,
    "drift": ReasonName.MIXED_WITH_DRIFT,
    "input": ReasonName.MIXED_WITH_INPUT,
}
_DELETED: Final = frozenset({Label.DRIFT, Label.ABSORBED})


def reasons_against(facts: Facts, classification: Classification, groups: Mapping[str, str]) -> Iterator[Reason]:
    """Every reason against applying the plan, or against proposing it where the policy proposes, in order.

    Args:
        groups: what the policy asks for in each group of labels; see `policy_by_group`.
    """
    if Label.CONFLICT.value in groups:
        yield Reason(ReasonName.CONFLICT, named(classification, {Label.CONFLICT}))
    if not any(word in ("apply", "revert", "approved", "propose") for word in groups.values()):
        return
    yield from _mixed(facts, classification, groups)
    conditions = _EVEN_IF_APPROVED if "propose" in groups.values() else _CONDITIONS
    for condition in conditions:
        if facts.plan_approval.id is None or condition not in _LIFTED:
            yield from condition(facts, classification)


def alarms(facts: Facts, classification: Classification) -> Iterator[Reason]:
    """What an alert-only policy names as well: an unfinished action, and a state that the labels cannot rest on."""
    for condition in _ALARMS:
        yield from condition(facts, classification)


def _mixed(facts: Facts, classification: Classification, groups: Mapping[str, str]) -> Iterator[Reason]:
    """A plan does everything that it contains, so each part of it must be wanted."""
    for group, word in groups.items():
        if word == "propose" and not facts.can_propose:
            yield Reason(ReasonName.PROPOSALS_NOT_AVAILABLE, group)
        elif word == "alert":
            yield Reason(_MIXED[group], named(classification, GROUPS[group]))


def _uncertain(facts: Facts, classification: Classification) -> Iterator[Reason]:
    if facts.nothing_exists:
        return
    known = {(), ("no-op",)}
    if facts.first_apply_unfinished:
        known.add(("create",))  # it was never made: whatever is there, the first apply made
    doubtful = [r.address for r in classification.resources if _is_doubtful(r) and r.actions not in known]
    if not facts.first_apply_unfinished:
        uncertain = (o for o in classification.outputs if not o.certain and o.label is not Label.RESTLESS)
        doubtful += [f"output {output.name}" for output in uncertain]
    if doubtful:
        yield Reason(ReasonName.UNCERTAIN, _listed(doubtful))


def _is_doubtful(resource: ResourceChange) -> bool:
    """Whether a label that would be acted on is not certain; what moves by itself is applied with anything else."""
    if not resource.attributes:
        return not resource.certain
    return any(not a.certain and a.label is not Label.RESTLESS for a in resource.attributes)


def _would_revert_ignored(facts: Facts, classification: Classification) -> Iterator[Reason]:
    names = [
        f"{resource.address} {attribute.path}"
        for resource in classification.resources
        for attribute in resource.attributes
        if attribute.ignored_by and (attribute.unknown or attribute.reality != attribute.desired)
    ]
    if names:
        yield Reason(ReasonName.WOULD_REVERT_IGNORED, _listed(names))


def _not_approved(facts: Facts, classification: Classification) -> Iterator[Reason]:
    if not facts.approvals.approved:
        yield from facts.approvals.reasons


def _destroyed(classification: Classification) -> list[ResourceChange]:
    return [r for r in classification.resources if r.actions == ("delete",)]


def _replaced(classification: Classification) -> list[ResourceChange]:
    return [r for r in classification.resources if len(r.actions) == 2]


def _changed(classification: Classification) -> list[ResourceChange]:
    by_itself = {Label.RESTLESS, Label.DERIVED, Label.NOISE}
    acting = (r for r in classification.resources if r.actions not in ((), ("no-op",), ("read",)))
    return [r for r in acting if Label.RESTLESS not in r.labels or not r.labels <= by_itself]


def _recreated(classification: Classification) -> list[ResourceChange]:
    """Objects that were deleted outside Terraform, and would be made anew, empty."""
    created = (r for r in classification.resources if r.actions == ("create",))
    return [r for r in created if any(not a.path and a.label in _DELETED for a in r.attributes)]


def _protected(facts: Facts, classification: Classification) -> Iterator[Reason]:
    hit = [
        r.address
        for r in (*_destroyed(classification), *_replaced(classification), *_recreated(classification))
        if facts.policy.protecting(r.address, r.type)
    ]
    if hit:
        yield Reason(ReasonName.PROTECTED, _listed(hit))


def _almost_everything(facts: Facts, classification: Classification) -> Iterator[Reason]:
    destroyed, existing = len(_destroyed(classification)), classification.resource_count
    if destroyed > 1 and destroyed >= _ALMOST_EVERYTHING * existing:
        yield Reason(ReasonName.WOULD_DELETE_ALMOST_EVERYTHING, f"{destroyed} of {existing}")


def _limits(facts: Facts, classification: Classification) -> Iterator[Reason]:
    limits = facts.policy.limits
    for name, count, most in (
        (ReasonName.LIMIT_CHANGES, len(_changed(classification)), limits.changes),
        (ReasonName.LIMIT_DESTROYS, len(_destroyed(classification)), limits.destroys),
        (ReasonName.LIMIT_REPLACES, len(_replaced(classification)), limits.replaces),
        (
            ReasonName.LIMIT_RECREATES,
            sum(facts.policy.holds_data(r.type) for r in _recreated(classification)),
            limits.recreates,
        ),
        (
            ReasonName.LIMIT_INVOCATIONS,
            sum(not invocation.not_run for invocation in classification.invocations),
            limits.invocations,
        ),
    ):
        if count > most:
            yield Reason(name, f"{count} of at most {most}")
    touched = [r for r in _changed(classification) if r.actions != ("create",)]
    existing = classification.resource_count
    # One or two resources are a large share of any small environment, which is no sign of a mistake.
    if len(touched) > 2 and len(touched) > limits.share * existing:
        yield Reason(ReasonName.LIMIT_SHARE, f"{len(touched)} of {existing} resources")


def _due_again(facts: Facts, classification: Classification) -> Iterator[Reason]:
    due = [r.address for r in classification.resources if r.due_again]
    if due:
        yield Reason(ReasonName.DUE_AGAIN, _listed(due))


def _suspended(facts: Facts, classification: Classification) -> Iterator[Reason]:
    suspended = facts.policy.suspended
    if suspended is not None and (suspended.until is None or facts.now < suspended.until):
        until = f" until {suspended.until:%Y-%m-%d %H:%M} UTC" if suspended.until else ""
        yield Reason(ReasonName.SUSPENDED, f"{suspended.reason}{until}")


def _window(facts: Facts, classification: Classification) -> Iterator[Reason]:
    state = window_state(facts.policy.windows, facts.now)
    if not state.open:
        yield Reason(ReasonName.WINDOW_CLOSED, state.because)


def _flapping(facts: Facts, classification: Classification) -> Iterator[Reason]:
    limit = facts.policy.flapping
    if facts.reverts >= limit.reverts:
        yield Reason(ReasonName.FLAPPING, f"reverted {facts.reverts} times within {limit.within}")


def _backoff(facts: Facts, classification: Classification) -> Iterator[Reason]:
    if facts.backoff_until is not None and facts.now < facts.backoff_until:
        after = f"{facts.backoff_until:%Y-%m-%d %H:%M:%S} UTC"
        yield Reason(ReasonName.BACKOFF, f"{facts.failures} failed, next attempt after {after}")


def _state_shared(facts: Facts, classification: Classification) -> Iterator[Reason]:
    if facts.state_shared:
        yield Reason(ReasonName.STATE_SHARED, _listed(list(facts.state_shared)))


def _state_replaced(facts: Facts, classification: Classification) -> Iterator[Reason]:
    if facts.state_replaced:
        yield Reason(ReasonName.STATE_REPLACED, facts.state_replaced)


def _state_not_written(facts: Facts, classification: Classification) -> Iterator[Reason]:
    if facts.state_not_written:
        yield Reason(ReasonName.STATE_NOT_WRITTEN, facts.state_not_written)


def _creation_unknown(facts: Facts, classification: Classification) -> Iterator[Reason]:
    created = {r.address for r in classification.resources if "create" in r.actions}
    unknown = sorted(created & facts.creations_unknown)
    if unknown:
        yield Reason(ReasonName.CREATION_UNKNOWN, _listed(unknown))


def _action_not_run(facts: Facts, classification: Classification) -> Iterator[Reason]:
    missed = [invocation.address for invocation in classification.invocations if invocation.not_run]
    if missed:
        yield Reason(ReasonName.ACTION_NOT_RUN, _listed(missed))


def _local_state(facts: Facts, classification: Classification) -> Iterator[Reason]:
    if facts.local_state:
        yield Reason(ReasonName.LOCAL_STATE, "the state is a local file")


def _applied_elsewhere(facts: Facts, classification: Classification) -> Iterator[Reason]:
    if facts.applied_elsewhere:
        yield Reason(ReasonName.APPLIED_ELSEWHERE, facts.applied_elsewhere)


def _dependency_not_settled(facts: Facts, classification: Classification) -> Iterator[Reason]:
    if facts.not_settled:
        yield Reason(ReasonName.DEPENDENCY_NOT_SETTLED, _listed(list(facts.not_settled)))


_Condition = Callable[[Facts, Classification], Iterator[Reason]]
_ALARMS: Final[tuple[_Condition, ...]] = (_state_shared, _state_not_written, _state_replaced, _action_not_run)
_CONDITIONS: Final[tuple[_Condition, ...]] = (
    _state_shared,
    _state_not_written,
    _state_replaced,
    _creation_unknown,
    _action_not_run,
    _uncertain,
    _would_revert_ignored,
    _not_approved,
    _protected,
    _almost_everything,
    _limits,
    _due_again,
    _suspended,
    _window,
    _flapping,
    _backoff,
    _dependency_not_settled,
    _local_state,
    _applied_elsewhere,
)
# Lifted by a merged approval of exactly this plan: its reviewer has looked.
_LIFTED: Final[frozenset[_Condition]] = frozenset({_uncertain, _limits, _due_again, _flapping})
# Holds the plan also after it was approved, so that proposing it would be in vain.
_EVEN_IF_APPROVED: Final[tuple[_Condition, ...]] = (
    _state_shared,
    _state_not_written,
    _state_replaced,
    _creation_unknown,
    _action_not_run,
    _would_revert_ignored,
    _not_approved,
    _protected,
    _almost_everything,
    _suspended,
    _local_state,
    _applied_elsewhere,
)


def named(classification: Classification, labels: Collection[Label]) -> str:
    """The first resources and outputs with one of the labels, as a detail of a reason."""
    wanted = frozenset(labels)
    names = [r.address for r in classification.resources if r.labels & wanted]
    names += [f"output {o.name}" for o in classification.outputs if o.label in wanted]
    return _listed(names)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more
