"""Gathers what approvals rest on: the range of commits with its signatures and reviews, and the approval files.

Takes ports and facts of one environment; gives `Approvals` of commits and the `PlanApproval`. What they mean is decided
by `commits` and `plans`, which are pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from driftguard.config import CONFIG_FILE, Approval, EnvironmentSettings
from driftguard.model import AttemptState, Closure, Commit, Proposal, ProposalState, SignedBy
from driftguard.pipeline.approve.approval_file import folder_of
from driftguard.pipeline.approve.commits import Approvals, Range, judge_approvals
from driftguard.pipeline.approve.plans import NO_APPROVAL, PlanApproval, PlanFacts, judge_files
from driftguard.pipeline.approve.reviews import Reviews
from driftguard.pipeline.settings import SettingsIndex
from driftguard.ports import AttemptHistory, History, Repository, Signatures

# A proposal that ended so stays so, also when the very same plan comes back.
_OVER: Final = frozenset({ProposalState.DONE, ProposalState.VOID, ProposalState.CLOSED})


@dataclass(frozen=True, slots=True)
class ApprovalSources:
    """Where approvals come from.

    Attributes:
        history: the tracked branch.
        settings: the settings at each commit.
        reviews: the forge's; None where no forge is configured that knows any.
    """

    history: History
    settings: SettingsIndex
    signatures: Signatures
    reviews: Reviews | None


@dataclass(frozen=True, slots=True)
class Since:
    """One environment between its approved point and head.

    Attributes:
        point: the commit up to which everything was approved; None where nothing was.
        known_good: the baseline's commit; None without one.
        settings, closure: at head.
        closure_then: at the approved point; None where the environment did not exist then.
    """

    point: str | None
    known_good: str | None
    settings: EnvironmentSettings
    closure: Closure
    closure_then: Closure | None

    @property
    def paths(self) -> frozenset[str]:
        """Every file whose change is the environment's own."""
        then = self.closure_then.files.keys() if self.closure_then is not None else frozenset[str]()
        return frozenset(self.closure.files) | then


def gather_range(sources: ApprovalSources, since: Since, approval_file: str | None) -> Range:
    """The commits whose approval an apply needs.

    Args:
        approval_file: a merged approval file; its newest commit has to be approved as well, however old it is.
    """
    commits = _range(sources, since)
    return _with_newest(sources.history, commits, approval_file) if approval_file is not None else commits


def gather_approvals(sources: ApprovalSources, approval: Approval, commits: Range) -> Approvals:
    """Whether every commit of a range is approved, by what counts as an approval."""
    signatures: Mapping[str, SignedBy] = {}
    if approval.require == "signed" and approval.signers is not None:
        ids = [commit.sha for commit in commits.touching]
        signatures = sources.signatures.verify(ids, Path(approval.signers))
    reviewed = None
    if approval.require == "reviewed" and sources.reviews is not None:
        reviewed = sources.reviews.of(commits, owners=approval.code_owners)
    return judge_approvals(approval.require, commits, signatures, reviewed, approval.approvals)


def gather_approvals_until_refused(sources: ApprovalSources, approval: Approval, commits: Range) -> Approvals:
    """Whether every commit of a range is approved; reviews are asked for one by one, until one is missing."""
    if approval.require == "reviewed":
        for commit in commits.touching:
            alone = gather_approvals(sources, approval, replace(commits, touching=(commit,)))
            if not alone.approved:
                return alone
    return gather_approvals(sources, approval, commits)


def _with_newest(history: History, commits: Range, path: str) -> Range:
    """The range with the newest commit that touches a file: the approved point moves on without asking for it."""
    if commits.is_ancestor is False:
        return commits
    newest = next((c for c, touched in history.first_parents(None, history.head) if path in touched), None)
    if newest is None or newest in commits.touching:
        return commits
    return replace(commits, touching=(*commits.touching, newest))


def _range(sources: ApprovalSources, since: Since) -> Range:
    """The first-parent commits since the approved point that change the environment.

    Without such a point: the last to touch each file, and the last to change its settings. Where head holds exactly
    what was approved there, as after a revert, nothing is left to approve.
    """
    history, point = sources.history, since.point
    if point is None:
        return _last_of_each(sources, since)
    if not history.is_ancestor(point, history.head):
        # After an apply by hand, the rewritten history is known good, and counts from its beginning.
        applied = since.known_good is not None and history.is_ancestor(since.known_good, history.head)
        return _last_of_each(sources, since) if applied else Range(False, ())
    touching = tuple(
        commit
        for commit, touched, parent in _with_parents(history, point)
        if not since.paths.isdisjoint(touched)
        or (CONFIG_FILE in touched and _configures(sources.settings, since.settings, parent, commit.sha))
    )
    then = sources.settings.at(since.settings, point)
    same_files = since.closure_then is not None and since.closure_then.files == since.closure.files
    if same_files and then is not None and _alike(then, since.settings):
        return Range(True, (), returned=bool(touching))
    return Range(True, touching)


def _with_parents(history: History, since: str | None) -> Iterator[tuple[Commit, Collection[str], str | None]]:
    """The first-parent commits up to head, newest first, each with what it touches and its own first parent."""
    listed = history.first_parents(since, history.head)
    for number, (commit, touched) in enumerate(listed, 1):
        yield commit, touched, listed[number][0].sha if number < len(listed) else since


def _last_of_each(sources: ApprovalSources, since: Since) -> Range:
    history, missing, last = sources.history, set(since.paths), list[Commit]()
    configured = False
    for commit, touched, parent in _with_parents(history, None):
        configures = (
            not configured
            and CONFIG_FILE in touched
            and _configures(sources.settings, since.settings, parent, commit.sha)
        )
        if configures or not missing.isdisjoint(touched):
            last.append(commit)
            missing -= set(touched)
            configured = configured or configures
        if configured and not missing:
            break
    return Range(None, tuple(last))


def _configures(index: SettingsIndex, settings: EnvironmentSettings, before: str | None, after: str) -> bool:
    """Whether a commit changes the settings of an environment; also where they cannot be compared."""
    then, now = index.at(settings, before) if before is not None else None, index.at(settings, after)
    return then is None or now is None or not _alike(then, now)


def _alike(then: EnvironmentSettings, now: EnvironmentSettings) -> bool:
    return (then.digest(), then.policy) == (now.digest(), now.policy)


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
