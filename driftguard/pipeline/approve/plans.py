"""Whether a merged approval file approves the plan at hand.

Takes the environment's approval files at head and facts of the plan; gives a `PlanApproval`. Pure. An approval counts
for exactly the plan that was reviewed; any other fact makes it void, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from driftguard.model.fingerprints import comparable
from driftguard.model.moments import is_ahead
from driftguard.pipeline.approve.approval_file import ApprovalFile, Unreadable, path_of, read


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The plan at hand.

    Attributes:
        used: ids of approvals that an apply has used up.
        over: ids of those whose proposals were reported as done or void.
        latest: the id of the environment's newest proposal, whose end is always reported.
    """

    environment: str
    plan_fingerprint: str | None
    drift_fingerprint: str | None
    closure_hash: str
    now: datetime
    used: AbstractSet[str] = frozenset()
    over: AbstractSet[str] = frozenset()
    latest: str | None = None


@dataclass(frozen=True, slots=True)
class PlanApproval:
    """What the approval files at head mean for a plan.

    Attributes:
        id, path: of the approval that counts for exactly this plan; None without one.
        void: by id (of one that cannot be read, its path), why approvals that were meant for this do not count.
    """

    id: str | None = None
    path: str | None = None
    void: Mapping[str, str] | None = None


NO_APPROVAL: Final = PlanApproval()


def judge_files(files: Mapping[str, bytes], key: bytes, facts: PlanFacts) -> PlanApproval:
    """Judge the approval files of an environment's folder at head, by path from the repository's root."""
    void: dict[str, str] = {}
    for path, text in sorted(files.items()):
        try:
            approval = read(text, key)
        except Unreadable as error:
            void[path] = f"{path} does not count: {error}"
            continue
        against = next(_against(approval, path, facts), None)
        if against is None:
            return PlanApproval(approval.id, path)
        if _meant(approval, facts):
            void[approval.id] = against
    return PlanApproval(void=void)


def _meant(approval: ApprovalFile, facts: PlanFacts) -> bool:
    """Whether a reviewer may expect that it counts; files of old proposals stay in the repository."""
    same = approval.plan_fingerprint == facts.plan_fingerprint
    return approval.id not in facts.used | facts.over and (same or approval.id == facts.latest)


def _against(approval: ApprovalFile, path: str, facts: PlanFacts) -> Iterator[str]:
    if path != path_of(approval) or approval.environment != facts.environment:
        yield "it is not where DriftGuard proposed it"
    if approval.id in facts.used:
        yield "it was used already"
    if approval.id in facts.over:
        yield "its proposal has ended"
    if is_ahead(approval.proposed_at, facts.now):
        yield f"it was proposed at {approval.proposed_at:%Y-%m-%d %H:%M} UTC, under a clock that was ahead"
    if facts.now >= approval.expires_at:
        yield f"it expired at {approval.expires_at:%Y-%m-%d %H:%M} UTC"
    if approval.closure_hash != facts.closure_hash:
        yield "a commit (or another Terraform) changed the environment since it was proposed"
    if not comparable(approval.plan_fingerprint, facts.plan_fingerprint):
        yield "it was made under an earlier version of plan fingerprints"
    if approval.drift_fingerprint != facts.drift_fingerprint:
        yield "more or other attributes were changed outside Terraform since it was proposed"
    if approval.plan_fingerprint != facts.plan_fingerprint:
        yield "the plan is not the one that was proposed"
