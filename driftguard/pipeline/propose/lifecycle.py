"""The life of a proposal: opened, brought up to date, closed, merged, and its end reported where the pull request is.

Each step is recorded before it is made, so a crash leaves no duplicate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from driftguard.model import Proposal, ProposalState, PullRequest, RequestState
from driftguard.model.reasons import Reason, ReasonName
from driftguard.pipeline.propose import text as wording
from driftguard.pipeline.propose.context import ProposalContext
from driftguard.pipeline.propose.draft import Draft, Drafting
from driftguard.pipeline.propose.markup import sentence

_MAX_COMMENT: Final = 4000
# A reader of a copy of the tracked branch may see a merge late, but not this late.
_LATE: Final = timedelta(days=1)
_LIVE: Final = frozenset({ProposalState.OPENING, ProposalState.OPEN, ProposalState.CLOSING})


@dataclass(frozen=True, slots=True)
class EnvironmentOutcome:
    """The outcome of an environment's run, as its proposal needs it.

    Attributes:
        undecided: nothing certain is known of it, so its proposal is left alone.
        held: what is proposed is on hold, so an open proposal is left as it is.
        attempted: the id of the approval that an apply was attempted with.
        approved: the id of the approval that counts for exactly the plan at hand.
        void: by approval id, why one does not count.
        unreadable: why the file where the newest proposal put its own cannot be read; None where it can.
        text: one line, for the pull request.
    """

    undecided: bool
    in_sync: bool
    text: str
    held: bool = False
    drift_fingerprint: str | None = None
    attempted: str | None = None
    applied: bool = False
    attempt_id: str | None = None
    approved: str | None = None
    void: Mapping[str, str] = field(default_factory=dict)
    unreadable: str | None = None


def settle(
    context: ProposalContext, environment: str, draft: Draft | None, outcome: EnvironmentOutcome
) -> tuple[Reason, ...]:
    """Bring the environment's proposal in line with what is true now; reasons to add to the decision.

    Args:
        draft: what is to be proposed; None where nothing is.

    Raises:
        ForgeFault: the forge or the git server did not do what was asked; the next run goes on from there.
    """
    if outcome.undecided:
        return ()
    return _Settling(context, environment, outcome, draft).reasons(context.journal.newest(environment))


class _Settling:
    """The steps for one environment."""

    def __init__(
        self, context: ProposalContext, environment: str, outcome: EnvironmentOutcome, draft: Draft | None
    ) -> None:
        self._context, self._environment, self._outcome, self._draft = context, environment, outcome, draft
        self._forge, self._branches, self._now = context.forge, context.branches, context.clock.now
        self._retargeted = False

    def reasons(self, before: Proposal | None) -> tuple[Reason, ...]:
        """Take every step that is due; reasons for the decision."""
        if before is not None and before.state in _LIVE:
            before = self._as_git_has_it(before) or self._as_the_forge_has_it(before)
        if before is not None and before.state is ProposalState.MERGED:
            before = self._after_the_merge(before)
            if before.state is ProposalState.MERGED:
                return (Reason(ReasonName.PROPOSAL_MERGED, before.url or before.preferred.name),)
        if self._draft is not None:
            return self._propose(before, self._draft)
        if before is None or before.state not in _LIVE:
            return ()
        if self._outcome.held and before.state is ProposalState.OPEN:
            return (Reason(ReasonName.PROPOSAL_WAITS, before.url or before.preferred.name),)
        self._close(before, self._outcome.text)
        return ()

    # --- the reviewers' part --------------------------------------------------------------------

    def _as_git_has_it(self, before: Proposal) -> Proposal | None:
        """The proposal as merged, where its approval is at head, whatever way it came there; None where it is not."""
        outcome = self._outcome
        if before.id not in {outcome.approved, outcome.attempted, *outcome.void}:
            return None
        request = self._request_of(before)
        if request is not None and request.state is RequestState.MERGED:
            return self._ended(
                replace(before, number=request.number, url=request.url), ProposalState.MERGED, "merged", request
            )
        return self._saved(replace(before, state=ProposalState.MERGED, reason="merged", ended_at=self._now()))

    def _as_the_forge_has_it(self, before: Proposal) -> Proposal:
        """The proposal after what reviewers did with its pull request."""
        request = self._request_of(before)
        if request is None:
            if before.number is None or before.state is ProposalState.CLOSING:
                return before
            # It was deleted, or the forge is another one, where the number is another request: it is opened anew.
            return replace(before, state=ProposalState.OPENING, number=None, url=None)
        before = replace(before, number=request.number, url=request.url)
        self._retargeted = request.state is RequestState.OPEN and request.base != before.base
        if request.state is RequestState.MERGED:
            return self._ended(before, ProposalState.MERGED, "merged", request)
        if request.state is RequestState.CLOSED and before.state is not ProposalState.CLOSING:
            closed = self._ended(before, ProposalState.ACKNOWLEDGED, "closed without merging", request)
            self._delete_branches(closed)
            return closed
        return before

    def _request_of(self, proposal: Proposal) -> PullRequest | None:
        requests = self._forge.requests(proposal.preferred.name)
        if proposal.number is None:
            # Its opening was not recorded: only one that was made since can be it.
            own = [request for request in requests if request.base == proposal.base]
            return next((request for request in own if request.head == proposal.preferred.commit), None)
        return next((request for request in requests if request.number == proposal.number), None)

    def _ended(self, proposal: Proposal, state: ProposalState, reason: str, request: PullRequest) -> Proposal:
        return self._saved(
            replace(
                proposal,
                state=state,
                reason=reason,
                by=request.ended_by,
                ended_at=request.ended_at or self._now(),
                merge_commit=request.merge_commit,
            )
        )

    def _after_the_merge(self, merged: Proposal) -> Proposal:
        """Report what the merge led to, where the pull request is; the proposal as it stands then."""
        outcome = self._outcome
        if merged.preferred.choice == "revert" and outcome.attempted == merged.id:
            self._comment(merged, outcome.text, f"attempt {outcome.attempt_id}")
            return self._finished(merged, ProposalState.DONE, outcome.text) if outcome.applied else merged
        at_head = self._context.is_merged(merged.merge_commit or merged.preferred.commit)
        adopted = merged.preferred.choice == "adopt" and outcome.drift_fingerprint is None
        if outcome.in_sync or (adopted and at_head):
            self._comment(merged, outcome.text, f"in sync {merged.id}")
            return self._finished(merged, ProposalState.DONE, outcome.text)
        if outcome.approved == merged.id:
            self._comment(merged, f"Approved, and not applied yet: {outcome.text}", f"waits {outcome.text}")
            return merged
        known = at_head or merged.id in outcome.void
        if not known and abs(self._now() - (merged.ended_at or merged.proposed_at)) < _LATE:
            return merged  # merged after this run had read the branch, or what is read lags behind
        why = self._why_void(merged) if known else "the tracked branch does not hold the merge"
        self._comment(merged, f"Nothing was applied: the approval is void, because {why}.", f"void {merged.id}")
        return self._finished(merged, ProposalState.VOID, why)

    def _why_void(self, merged: Proposal) -> str:
        why = self._outcome.void.get(merged.id) or self._outcome.unreadable
        if why is not None:
            return why
        if merged.preferred.choice == "adopt":
            return "the code was changed as proposed, and reality or the code is something else by now"
        return "the plan is not the one that was proposed"

    def _finished(self, proposal: Proposal, state: ProposalState, reason: str) -> Proposal:
        self._delete_branches(proposal)
        return self._saved(replace(proposal, state=state, reason=reason))

    # --- proposing ------------------------------------------------------------------------------

    def _propose(self, before: Proposal | None, draft: Draft) -> tuple[Reason, ...]:
        live = before if before is not None and before.state in _LIVE else None
        if live is not None and live.state is ProposalState.CLOSING:
            self._close(live, live.reason or "")
            live = None
        if live is not None and self._retargeted:
            # Merged elsewhere it approves nothing, so it is a reviewer's own request from now on.
            return (Reason(ReasonName.PROPOSAL_CHANGED, live.url or live.preferred.name),)
        if live is None:
            waits = self._no_new_one(draft)
            if waits is not None:
                return (waits,)
        proposal = self._up_to_date(live, draft)
        if proposal.state is ProposalState.OPENING:
            changed = self._push(live, proposal)
            if changed is not None:
                return (Reason(ReasonName.PROPOSAL_CHANGED, proposal.url or changed),)
        return self._published(proposal, draft)

    def _up_to_date(self, live: Proposal | None, draft: Draft) -> Proposal:
        """The proposal as it is where it still holds what is to be proposed; otherwise one made anew."""
        if live is not None and not self._out_of_date(live, draft):
            return live
        drafting = Drafting(self._branches, self._context.history.ref, self._context.key)
        return self._saved(drafting.proposal(live, draft, self._now().replace(microsecond=0)))

    def _no_new_one(self, draft: Draft) -> Reason | None:
        """Why no new pull request is opened, as a reason; None where one may be, which is then reserved."""
        answered = self._answer_to(draft)
        if answered is not None:
            by = f" by {answered.by}" if answered.by else ""
            at = f" at {answered.ended_at:%Y-%m-%d %H:%M} UTC" if answered.ended_at else ""
            closed = f"closed{by}{at}, {answered.url or answered.preferred.name}"
            return Reason(ReasonName.ACKNOWLEDGED, closed)
        full = self._context.limit.take()
        return Reason(ReasonName.PROPOSALS_WAITING, full) if full is not None else None

    def _answer_to(self, draft: Draft) -> Proposal | None:
        """The proposal of the same change that a reviewer closed; None where there is none."""
        for answered in self._context.journal.standing(self._environment):
            if answered.state is not ProposalState.ACKNOWLEDGED:
                continue
            same = answered.drift_fingerprint == draft.drift_fingerprint
            if same and (draft.drift_fingerprint or answered.plan_fingerprint == draft.plan_fingerprint):
                return answered
        return None

    def _out_of_date(self, live: Proposal, draft: Draft) -> bool:
        as_now = (draft.drift_fingerprint, draft.plan_fingerprint, draft.closure_hash)
        then = (live.drift_fingerprint, live.plan_fingerprint, live.closure_hash)
        return as_now != then or live.has_expired(self._now())

    def _push(self, live: Proposal | None, proposal: Proposal) -> str | None:
        """Push the branches; the name of one with commits of others, which is left alone; None where none has."""
        there = self._branches.listed(proposal.preferred.name)
        for branch in proposal.branches:
            now_there = there.get(branch.name)
            if now_there not in (None, branch.commit, *branch.replaces):
                return branch.name
            self._branches.push(branch.name, branch.commit, now_there)
        if live is not None:
            self._delete_branches(live, but=proposal)
        return None

    def _published(self, proposal: Proposal, draft: Draft) -> tuple[Reason, ...]:
        """Open the pull request, or bring it up to date."""
        content = wording.RequestContent(
            environment=draft.environment,
            report=draft.report,
            actions=draft.actions,
            traces=draft.traces,
            other_url=next((self._forge.compare_url(proposal.base, b.name) for b in proposal.branches[1:]), None),
            refused=proposal.refused,
        )
        title = wording.title(content, proposal, self._forge.longest_title)
        text = wording.body(content, proposal, self._forge.longest_body)
        shown = hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()
        if proposal.number is None:
            request = self._forge.open(proposal.preferred.name, proposal.base, title, text)
            proposal = replace(proposal, number=request.number, url=request.url)
            if request.body.strip() == text.strip() and request.title == title:
                proposal = replace(proposal, shown=shown)
        if proposal.shown != shown and proposal.number is not None:
            self._forge.update(proposal.number, title, text)
        if proposal.state is ProposalState.OPENING and proposal.reason is not None:
            anew = f"This proposal was made anew, because {proposal.reason}. Earlier approvals of it are void."
            self._comment(proposal, anew, f"anew {proposal.id}")
        if proposal.state is not ProposalState.OPEN or proposal.shown != shown:
            proposal = self._saved(replace(proposal, state=ProposalState.OPEN, shown=shown))
        refused = (
            (Reason(ReasonName.ADOPT_REFUSED, proposal.refused[0]),)
            if proposal.refused and draft.prefer == "adopt"
            else ()
        )
        return (Reason(ReasonName.PROPOSED, proposal.url or proposal.preferred.name), *refused)

    # --- ending ---------------------------------------------------------------------------------

    def _close(self, live: Proposal, reason: str) -> None:
        """Close a proposal that is no longer wanted; recorded first, so that it never counts as a reviewer's answer."""
        closing = self._saved(replace(live, state=ProposalState.CLOSING, reason=reason))
        if closing.number is not None and self._request_of(closing) is not None:
            self._comment(closing, f"Closed by DriftGuard: {reason}", f"closed {closing.id}")
            self._forge.close(closing.number)
        self._delete_branches(closing)
        self._saved(replace(closing, state=ProposalState.CLOSED, ended_at=self._now()))

    def _delete_branches(self, proposal: Proposal, but: Proposal | None = None) -> None:
        """Delete a proposal's branches, except those of another and those with commits of others."""
        kept = {branch.name for branch in but.branches} if but else set()
        gone = [branch for branch in proposal.branches if branch.name not in kept]
        there = self._branches.listed(proposal.preferred.name) if gone else {}
        for branch in gone:
            if there.get(branch.name) in (branch.commit, *branch.replaces):
                self._branches.delete(branch.name, there[branch.name])

    def _comment(self, proposal: Proposal, text: str, what: str) -> None:
        if proposal.number is not None and self._request_of(proposal) is not None:
            text = text if len(text) <= _MAX_COMMENT else f"{text[: _MAX_COMMENT - 1]}…"
            mark = f"<!-- driftguard: {hashlib.sha256(what.encode()).hexdigest()[:24]} -->"
            self._forge.comment(proposal.number, sentence(text), mark)

    def _saved(self, proposal: Proposal) -> Proposal:
        self._context.journal.save(self._environment, proposal)
        return proposal
