"""The life of a proposal: opened, brought up to date, closed, merged, and told how it ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from driftguard.model import Proposal, ProposalState, ProposedBranch, PullRequest, RequestState
from driftguard.pipeline.approve.approval_file import ApprovalFile, path_of, render, slug, with_id
from driftguard.pipeline.propose import text as wording
from driftguard.ports import Branches, Forge

PREFIX: Final = "driftguard/"
_SHORT: Final = 12
_REMEMBERED: Final = 10
_LONGEST_COMMENT: Final = 4000
# Whoever reads the tracked branch from a copy of it may see a merge late, but not this late.
_LATE: Final = timedelta(days=1)
_LIVE: Final = frozenset({ProposalState.OPENING, ProposalState.OPEN, ProposalState.CLOSING})


@dataclass(frozen=True, slots=True)
class Choices:
    """What a proposal's branches hold.

    Attributes:
        adopt: files that say what reality is, proven by a plan; None where that is refused.
        refused: why, a sentence each.
    """

    adopt: Mapping[str, bytes] | None = field(default=None, repr=False)
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be proposed now.

    Attributes:
        commit: head, for which it was computed.
        prefer: the choice that the pull request is for, where both can be made.
        expires_after: how long the approval may be waited for.
        choices: makes the branches' contents; asked only when they are needed, because it plans.
        old_files: approval files of the environment at head, which a new one takes the place of.
        report: the environment's JSON report; traces: who changed what.
        actions: what an apply would do, sorted.
    """

    environment: str
    drift_fingerprint: str | None
    plan_fingerprint: str
    closure_hash: str
    commit: str
    prefer: str
    expires_after: timedelta
    choices: Callable[[], Choices]
    old_files: Sequence[str]
    report: Mapping[str, Any]
    traces: Mapping[str, Any]
    actions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the environment in this pass.

    Attributes:
        undecided: nothing certain is known of it, so its proposal is left alone.
        held: something speaks against what is proposed for now, so an open proposal is left as it is.
        attempted: the id of the approval that an apply was attempted with.
        approved: the id of the approval that counts for exactly the plan at hand.
        void: by approval id, why one does not count.
        unreadable: why the file where the newest proposal put its own cannot be read; None where it can.
        is_merged: whether a commit is part of head.
        said: how it went, for people: one line.
    """

    undecided: bool
    in_sync: bool
    said: str
    held: bool = False
    drift_fingerprint: str | None = None
    attempted: str | None = None
    applied: bool = False
    attempt_id: str | None = None
    approved: str | None = None
    void: Mapping[str, str] = field(default_factory=dict)
    unreadable: str | None = None
    is_merged: Callable[[str], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Means:
    """What proposals are made with.

    Attributes:
        save: records a proposal's state, durably.
        earlier: the environment's proposals as they stand, newest first.
        may_open: why no more may be opened; None where one may.
    """

    forge: Forge
    branches: Branches
    base: str
    key: bytes
    now: Callable[[], datetime]
    save: Callable[[Proposal], None]
    earlier: Callable[[], Sequence[Proposal]]
    may_open: Callable[[], str | None]


def settle(means: Means, before: Proposal | None, draft: Draft | None, outcome: Outcome) -> tuple[str, ...]:
    """Bring the environment's proposal in line with what is true now; reasons to add to the decision.

    Args:
        before: the environment's newest proposal.
        draft: what is to be proposed; None where nothing is.

    Raises:
        ForgeFault: the forge or the git server did not do what was asked; the next pass goes on from there.
    """
    if outcome.undecided:
        return ()
    settling = _Settling(means, outcome, draft)
    return settling.go(before)


class _Settling:
    """One environment's turn."""

    def __init__(self, means: Means, outcome: Outcome, draft: Draft | None) -> None:
        self._means, self._outcome, self._draft = means, outcome, draft

    def go(self, before: Proposal | None) -> tuple[str, ...]:
        if before is not None and before.state in _LIVE:
            before = self._as_git_has_it(before) or self._as_the_forge_has_it(before)
        if before is not None and before.state is ProposalState.MERGED:
            ended = self._after_the_merge(before)
            if ended.state is ProposalState.MERGED:
                return (f"proposal_merged: {ended.url or ended.preferred.name}",)
            before = ended
        if self._draft is None:
            if before is not None and before.state in _LIVE:
                if self._outcome.held and before.state is ProposalState.OPEN:
                    return (f"proposal_waits: {before.url or before.preferred.name}",)
                self._close(before, self._outcome.said)
            return ()
        return self._propose(before, self._draft)

    # --- what people did ------------------------------------------------------------------------

    def _as_git_has_it(self, before: Proposal) -> Proposal | None:
        """The proposal as merged, where its approval is at head, whatever way it came there; None where it is not."""
        outcome = self._outcome
        if before.id not in {outcome.approved, outcome.attempted, *outcome.void}:
            return None
        merged = replace(before, state=ProposalState.MERGED, reason="merged", ended_at=self._means.now())
        request = self._request_of(before)
        if request is not None and request.state is RequestState.MERGED:
            return self._ended(
                replace(before, number=request.number, url=request.url), ProposalState.MERGED, "merged", request
            )
        return self._saved(merged)

    def _as_the_forge_has_it(self, before: Proposal) -> Proposal:
        """The proposal after what people did with its pull request."""
        request = self._request_of(before)
        if request is None:
            if before.number is None or before.state is ProposalState.CLOSING:
                return before
            # It was deleted, or the forge is another one, where the number is somebody else's: it is opened anew.
            return replace(before, state=ProposalState.OPENING, number=None, url=None)
        before = replace(before, number=request.number, url=request.url)
        if request.state is RequestState.MERGED:
            return self._ended(before, ProposalState.MERGED, "merged", request)
        if request.state is RequestState.CLOSED and before.state is not ProposalState.CLOSING:
            closed = self._ended(before, ProposalState.ACKNOWLEDGED, "closed without merging", request)
            self._delete_branches(closed)
            return closed
        return before

    def _request_of(self, proposal: Proposal) -> PullRequest | None:
        name = proposal.preferred.name
        requests = self._means.forge.requests(name)
        if proposal.number is None:
            # Its opening was not recorded: only one that was made since can be it.
            mine = [request for request in requests if request.base == proposal.base]
            return next((request for request in mine if request.head == proposal.preferred.commit), None)
        return next((request for request in requests if request.number == proposal.number), None)

    def _ended(self, proposal: Proposal, state: ProposalState, reason: str, request: PullRequest) -> Proposal:
        at = request.ended_at or self._means.now()
        return self._saved(
            replace(
                proposal,
                state=state,
                reason=reason,
                by=request.ended_by,
                ended_at=at,
                merge_commit=request.merge_commit,
            )
        )

    def _after_the_merge(self, merged: Proposal) -> Proposal:
        """Report what the merge led to, where the pull request is; the proposal as it stands then."""
        outcome = self._outcome
        if merged.preferred.choice == "revert" and outcome.attempted == merged.id:
            self._comment(merged, outcome.said, f"attempt {outcome.attempt_id}")
            return self._finished(merged, ProposalState.DONE, outcome.said) if outcome.applied else merged
        adopted = merged.preferred.choice == "adopt" and outcome.drift_fingerprint is None
        at_head = outcome.is_merged(merged.merge_commit or merged.preferred.commit)
        if outcome.in_sync or (adopted and at_head):
            self._comment(merged, outcome.said, f"in sync {merged.id}")
            return self._finished(merged, ProposalState.DONE, outcome.said)
        known = at_head or outcome.approved == merged.id or merged.id in outcome.void
        if not known and self._means.now() - (merged.ended_at or merged.proposed_at) < _LATE:
            return merged  # merged after this pass had read the branch, or what is read lags behind
        if outcome.approved == merged.id:
            self._comment(merged, f"Approved, and not applied yet: {outcome.said}", f"waits {outcome.said}")
            return merged
        why = outcome.void.get(merged.id) or outcome.unreadable
        if why is None and merged.preferred.choice == "adopt":
            why = "the code was changed as proposed, and reality or the code is something else by now"
        if not known:
            why = "the tracked branch does not hold the merge"
        why = why or "the plan is not the one that was proposed"
        self._comment(merged, f"Nothing was applied: the approval is void, because {why}.", f"void {merged.id}")
        return self._finished(merged, ProposalState.VOID, why)

    def _finished(self, proposal: Proposal, state: ProposalState, reason: str) -> Proposal:
        self._delete_branches(proposal)
        return self._saved(replace(proposal, state=state, reason=reason))

    # --- proposing ------------------------------------------------------------------------------

    def _propose(self, before: Proposal | None, draft: Draft) -> tuple[str, ...]:
        live = before if before is not None and before.state in _LIVE else None
        if live is not None and live.state is ProposalState.CLOSING:
            self._close(live, live.reason or "")
            live = None
        if live is None:
            answered = self._answer_to(draft)
            if answered is not None:
                by = f" by {answered.by}" if answered.by else ""
                at = f" at {answered.ended_at:%Y-%m-%d %H:%M} UTC" if answered.ended_at else ""
                return (f"acknowledged: closed{by}{at}, {answered.url or answered.preferred.name}",)
            full = self._means.may_open()
            if full is not None:
                return (f"proposals_waiting: {full}",)
        if live is not None and not self._out_of_date(live, draft):
            proposal = live
        else:
            proposal = self._saved(self._made(live, draft))
        return self._published(live, proposal, draft)

    def _answer_to(self, draft: Draft) -> Proposal | None:
        for answered in self._means.earlier():
            if answered.state is not ProposalState.ACKNOWLEDGED:
                continue
            same = answered.drift_fingerprint == draft.drift_fingerprint
            if same and (draft.drift_fingerprint or answered.plan_fingerprint == draft.plan_fingerprint):
                return answered
        return None

    def _out_of_date(self, live: Proposal, draft: Draft) -> bool:
        as_now = (draft.drift_fingerprint, draft.plan_fingerprint, draft.closure_hash)
        then = (live.drift_fingerprint, live.plan_fingerprint, live.closure_hash)
        return as_now != then or self._means.now() >= live.expires_at

    def _made(self, live: Proposal | None, draft: Draft) -> Proposal:
        """A new proposal with its commits, which lie in our own copy so far."""
        now = self._means.now().replace(microsecond=0)
        approval = with_id(
            ApprovalFile(
                id="",
                environment=draft.environment,
                plan_fingerprint=draft.plan_fingerprint,
                drift_fingerprint=draft.drift_fingerprint,
                commit=draft.commit,
                closure_hash=draft.closure_hash,
                proposed_at=now,
                expires_at=now + draft.expires_after,
                actions=tuple(draft.actions),
            ),
            self._means.key,
        )
        choices = draft.choices()
        revert: dict[str, bytes | None] = dict.fromkeys(draft.old_files)
        revert[path_of(approval)] = render(approval, self._means.key)
        files: dict[str, Mapping[str, bytes | None]] = {"revert": revert}
        if choices.adopt is not None:
            files["adopt"] = choices.adopt
        order = sorted(files, key=lambda choice: choice != draft.prefer)
        names = self._names(live, draft, order, approval.id)
        known = {branch.name: branch for branch in live.branches} if live else {}
        branches = tuple(
            ProposedBranch(
                choice=choice,
                name=name,
                commit=self._means.branches.commit(
                    draft.commit,
                    files[choice],
                    wording.commit_message(draft.environment, choice, approval.id),
                    now,
                ),
                replaces=(known[name].commit, *known[name].replaces)[:_REMEMBERED] if name in known else (),
            )
            for choice, name in zip(order, names, strict=True)
        )
        return Proposal(
            id=approval.id,
            state=ProposalState.OPENING,
            branches=branches,
            base=self._means.base,
            drift_fingerprint=draft.drift_fingerprint,
            plan_fingerprint=draft.plan_fingerprint,
            closure_hash=draft.closure_hash,
            commit=draft.commit,
            proposed_at=now,
            expires_at=approval.expires_at,
            number=live.number if live else None,
            url=live.url if live else None,
            refused=choices.refused,
            reason=_why_anew(live, draft) if live else None,
        )

    def _names(self, live: Proposal | None, draft: Draft, order: Sequence[str], id_: str) -> list[str]:
        """The branches' names: those of the proposal that goes on; otherwise ones that nobody has taken."""
        if live is not None:
            first = live.preferred.name
        else:
            short = (draft.drift_fingerprint or draft.plan_fingerprint)[:_SHORT]
            first = f"{PREFIX}{slug(draft.environment)}/{short}"
            if any(name == first or name.startswith(f"{first}-") for name in self._means.branches.listed(first)):
                first = f"{first}-{id_[:8]}"
        return [first, *(f"{first}-{choice}" for choice in order[1:])]

    def _published(self, live: Proposal | None, proposal: Proposal, draft: Draft) -> tuple[str, ...]:
        """Make the server and the forge as the proposal says."""
        means = self._means
        if proposal.state is ProposalState.OPENING:
            there = means.branches.listed(proposal.preferred.name)
            for branch in proposal.branches:
                now_there = there.get(branch.name)
                if now_there not in (None, branch.commit, *branch.replaces):
                    return (f"proposal_changed: {proposal.url or branch.name}",)
                means.branches.push(branch.name, branch.commit, now_there)
            if live is not None:
                self._delete_branches(live, but=proposal)
        told = wording.Told(
            environment=draft.environment,
            report=draft.report,
            actions=draft.actions,
            traces=draft.traces,
            other_url=next((means.forge.compare_url(proposal.base, b.name) for b in proposal.branches[1:]), None),
            refused=proposal.refused,
        )
        title = wording.title(told, proposal, means.forge.longest_title)
        text = wording.body(told, proposal, means.forge.longest_body)
        shown = hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()
        if proposal.number is None:
            request = means.forge.open(proposal.preferred.name, proposal.base, title, text)
            proposal = replace(proposal, number=request.number, url=request.url)
            if request.body.strip() == text.strip() and request.title == title:
                proposal = replace(proposal, shown=shown)
        if proposal.shown != shown and proposal.number is not None:
            means.forge.update(proposal.number, title, text)
        if proposal.state is ProposalState.OPENING and proposal.reason is not None:
            said = f"This proposal was made anew, because {proposal.reason}. Earlier approvals of it are void."
            self._comment(proposal, said, f"anew {proposal.id}")
        if proposal.state is not ProposalState.OPEN or proposal.shown != shown:
            proposal = self._saved(replace(proposal, state=ProposalState.OPEN, shown=shown))
        refused = (f"adopt_refused: {proposal.refused[0]}",) if proposal.refused and draft.prefer == "adopt" else ()
        return (f"proposed: {proposal.url or proposal.preferred.name}", *refused)

    # --- ending ---------------------------------------------------------------------------------

    def _close(self, live: Proposal, reason: str) -> None:
        """Close a proposal that is no longer wanted; recorded first, so that it never counts as a person's answer."""
        closing = self._saved(replace(live, state=ProposalState.CLOSING, reason=reason))
        if closing.number is not None and self._request_of(closing) is not None:
            self._comment(closing, f"Closed by DriftGuard: {reason}", f"closed {closing.id}")
            self._means.forge.close(closing.number)
        self._delete_branches(closing)
        self._saved(replace(closing, state=ProposalState.CLOSED, ended_at=self._means.now()))

    def _delete_branches(self, proposal: Proposal, but: Proposal | None = None) -> None:
        """Delete a proposal's branches, but those of another and what somebody else pushed to since."""
        kept = {branch.name for branch in but.branches} if but else set()
        gone = [branch for branch in proposal.branches if branch.name not in kept]
        there = self._means.branches.listed(proposal.preferred.name) if gone else {}
        for branch in gone:
            if there.get(branch.name) in (branch.commit, *branch.replaces):
                self._means.branches.delete(branch.name, there[branch.name])

    def _comment(self, proposal: Proposal, text: str, what: str) -> None:
        if proposal.number is not None and self._request_of(proposal) is not None:
            text = text if len(text) <= _LONGEST_COMMENT else f"{text[: _LONGEST_COMMENT - 1]}…"
            mark = f"<!-- driftguard: {hashlib.sha256(what.encode()).hexdigest()[:24]} -->"
            self._means.forge.comment(proposal.number, wording.plain(text), mark)

    def _saved(self, proposal: Proposal) -> Proposal:
        self._means.save(proposal)
        return proposal


def _why_anew(live: Proposal, draft: Draft) -> str:
    if live.drift_fingerprint != draft.drift_fingerprint:
        return "what was changed outside is something else now"
    if (live.plan_fingerprint, live.closure_hash) != (draft.plan_fingerprint, draft.closure_hash):
        return "the environment's code or its plan changed"
    return "the approval that was asked for here had expired"
