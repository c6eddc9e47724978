"""Gathers what approvals rest on: the range of commits with its signatures and reviews, and the approval files.

Takes ports and facts of one environment; gives `Approvals` of commits and the `PlanApproval`. What they mean is decided
by `commits` and `plans`, which are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from driftguard.config import Approval
from driftguard.model import AttemptState, Baseline, Closure, Commit, Proposal, ProposalState, SignedBy
from driftguard.pipeline.approve.approval_file import folder_of
from driftguard.pipeline.approve.commits import Approvals, Range, judge_approvals
from driftguard.pipeline.approve.plans import NO_APPROVAL, PlanApproval, PlanFacts, judge_files
from driftguard.pipeline.approve.reviews import Reviews
from driftguard.ports import AttemptHistory, History, Repository, Signatures

# A proposal that ended so stays so, also when the very same plan comes back.
_OVER: Final = frozenset({ProposalState.DONE, ProposalState.VOID, ProposalState.CLOSED})


@dataclass(frozen=True, slots=True)
class ApprovalSources:
    """Where approvals come from.

    Attributes:
        history: the tracked branch.
        reviews: the forge's; None where no forge is configured that knows any.
    """

    history: History
    signatures: Signatures
    reviews: Reviews | None


def gather_approvals(
    sources: ApprovalSources,
    approval: Approval,
    baseline: Baseline | None,
    closures: tuple[Closure, Closure | None],
    approval_file: str | None,
) -> Approvals:
    """Whether everything between the baseline and head that touches the environment is approved.

    Args:
        approval: what counts as an approval.
        closures: the environment's at head, and at the baseline where it existed then.
        approval_file: a merged approval file; its newest commit has to be approved as well, however old it is.
    """
    paths = frozenset[str]().union(*(closure.files.keys() for closure in closures if closure is not None))
    commits = _range(sources.history, baseline, paths)
    if approval_file is not None:
        commits = _with_newest(sources.history, commits, approval_file)
    signatures: Mapping[str, SignedBy] = {}
    if approval.require == "signed" and approval.signers is not None:
        ids = [commit.sha for commit in commits.touching]
        signatures = sources.signatures.verify(ids, Path(approval.signers))
    reviewed = None
    if approval.require == "reviewed" and sources.reviews is not None:
        reviewed = sources.reviews.of(commits, owners=approval.code_owners)
    return judge_approvals(approval.require, commits, signatures, reviewed, approval.approvals)


def _with_newest(history: History, commits: Range, path: str) -> Range:
    """The range with the newest commit that touches a file: a baseline moves on without asking for its approval."""
    if commits.baseline_is_ancestor is False:
        return commits
    newest = next((c for c, touched in history.first_parents(None, history.head) if path in touched), None)
    if newest is None or newest in commits.touching:
        return commits
    return replace(commits, touching=(*commits.touching, newest))


def _range(history: History, baseline: Baseline | None, paths: AbstractSet[str]) -> Range:
    """The first-parent commits since the baseline that touch the paths; without one, the last to touch each path."""
    if baseline is not None:
        if not history.is_ancestor(baseline.commit, history.head):
            return Range(False, ())
        since = history.first_parents(baseline.commit, history.head)
        return Range(True, tuple(commit for commit, touched in since if not paths.isdisjoint(touched)))
    missing, last = set(paths), list[Commit]()
    for commit, touched in history.first_parents(None, history.head):
        if not missing.isdisjoint(touched):
            last.append(commit)
            missing -= set(touched)
    return Range(None, tuple(last))


@dataclass(frozen=True, slots=True)
class PlanAtHand:
    """A plan whose approval is looked for.

    Attributes:
        proposals: the environment's, newest first.
    """

    environment: str
    plan_fingerprint: str | None
    drift_fingerprint: str | None
    closure_hash: str
    proposals: Sequence[Proposal]
    now: datetime


def gather_plan_approval(
    repository: Repository, attempts: AttemptHistory, plan: PlanAtHand, *, commit: str, key: bytes
) -> PlanApproval:
    """What the approval files at a commit mean for the plan that was made.

    Args:
        key: what approval files are sealed with.
    """
    tree = repository.tree(commit)
    paths = approval_files(tree, plan.environment)
    if not paths or plan.plan_fingerprint is None:
        return NO_APPROVAL
    contents = repository.read([tree[path].object_id for path in paths])
    every_attempt = attempts.recent(plan.environment, datetime.min.replace(tzinfo=UTC))
    used = (a for a in every_attempt if a.data.get("approval") and a.state is AttemptState.SUCCEEDED)
    ended = (p for number, p in enumerate(plan.proposals) if number or p.state in _OVER)
    facts = PlanFacts(
        environment=plan.environment,
        plan_fingerprint=plan.plan_fingerprint,
        drift_fingerprint=plan.drift_fingerprint,
        closure_hash=plan.closure_hash,
        now=plan.now,
        used=frozenset(str(attempt.data["approval"]) for attempt in used),
        over=frozenset(proposal.id for proposal in ended),
        latest=plan.proposals[0].id if plan.proposals else None,
    )
    texts = dict(zip(paths, (text for _, text in contents), strict=True))
    return judge_files(texts, key, facts)


def approval_files(tree: Iterable[str], environment: str) -> list[str]:
    """The approval files of an environment among the paths of a commit."""
    folder = folder_of(environment)
    # Right in the folder: below it may lie those of an environment whose name goes on after a slash.
    return [path for path in tree if path.startswith(folder) and path.count("/") == folder.count("/")]
