"""The proposals that the ledger holds: read, and saved before the forge is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from driftguard.model import Entry, EntryKind, Proposal, ProposalState
from driftguard.pipeline.record import proposal_entry
from driftguard.ports import Clock, RunLedger

ENDED: Final = frozenset({ProposalState.CLOSED, ProposalState.ACKNOWLEDGED, ProposalState.DONE, ProposalState.VOID})
_MAX_ENTRIES: Final = 500


class ProposalJournal:
    """The proposals of all environments, as the ledger has them.

    Args:
        run_id: the run that saves proposals.
    """

    def __init__(self, ledger: RunLedger, clock: Clock, run_id: str) -> None:
        self._ledger, self._clock, self._run_id = ledger, clock, run_id

    def newest(self, environment: str) -> Proposal | None:
        """An environment's newest proposal; None before the first."""
        entries = self._ledger.entries(environment=environment, kinds=[EntryKind.PROPOSAL], limit=1)
        return _decoded(entries[-1]) if entries else None

    def standing(self, environment: str) -> Sequence[Proposal]:
        """An environment's proposals, each in its last state, newest first."""
        entries = self._ledger.entries(environment=environment, kinds=[EntryKind.PROPOSAL], limit=_MAX_ENTRIES)
        standing: dict[str, Proposal] = {}
        for proposal in map(_decoded, reversed(entries)):
            standing.setdefault(proposal.id, proposal)
        return list(standing.values())

    def unfinished(self) -> Mapping[str, Proposal]:
        """The newest proposal of each environment where that has not ended, by environment."""
        newest = {name: _decoded(entry) for name, entry in self._ledger.latest(EntryKind.PROPOSAL).items()}
        return {name: proposal for name, proposal in newest.items() if proposal.state not in ENDED}

    def of_branch(self, branch: str) -> Proposal | None:
        """The newest proposal that a branch belongs to; None for a branch of no proposal."""
        newest = map(_decoded, self._ledger.latest(EntryKind.PROPOSAL).values())
        return next((proposal for proposal in newest if branch in {each.name for each in proposal.branches}), None)

    def own_commits(self) -> frozenset[str]:
        """Every commit of a proposal's branch, of any environment."""
        entries = self._ledger.entries(kinds=[EntryKind.PROPOSAL], limit=_MAX_ENTRIES)
        branches = [branch for entry in entries for branch in _decoded(entry).branches]
        return frozenset(commit for branch in branches for commit in (branch.commit, *branch.replaces))

    def save(self, environment: str, proposal: Proposal) -> None:
        """Record a proposal's state; durable on return."""
        self._ledger.append(proposal_entry(self._run_id, self._clock.now(), environment, proposal))


def _decoded(entry: Entry) -> Proposal:
    return msgspec.convert(entry.data, Proposal)
