"""Writes a pass into the ledger: what each environment was found to be, and when its baseline moves.

Takes reports; gives nothing. What is written has gone through the JSON report, so it is redacted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from driftguard.model import Baseline, Entry, EntryKind, Proposal, Verdict
from driftguard.model.report import EnvironmentReport
from driftguard.ports import StateIdentity


def scan_entry(run_id: str, commit: str, at: datetime, environment: EnvironmentReport) -> Entry:
    """One environment's report as an entry of the journal, with the commit that was planned."""
    data = {**msgspec.to_builtins(environment), "commit": commit}
    return Entry(EntryKind.SCANNED, at, run_id, environment.name, data)


def proposal_entry(run_id: str, at: datetime, environment: str, proposal: Proposal) -> Entry:
    """One proposal's state as an entry of the journal."""
    return Entry(EntryKind.PROPOSAL, at, run_id, environment, msgspec.to_builtins(proposal))


def in_sync_baseline(
    verdict: Verdict,
    before: Baseline | None,
    *,
    commit: str,
    closure_hash: str,
    state: StateIdentity,
    tool: str,
    providers: Mapping[str, str],
    at: datetime,
) -> Baseline | None:
    """The baseline to move to after a scan; None where it stays as it is.

    An environment seen in sync is known to be good at this commit and with this state.
    """
    if verdict is not Verdict.IN_SYNC:
        return None
    facts = (commit, closure_hash, state.lineage, state.serial, tool, dict(providers))
    if before is not None and facts == (
        before.commit,
        before.closure_hash,
        before.lineage,
        before.serial,
        before.tool,
        dict(before.providers),
    ):
        return None
    return Baseline(commit, "in_sync", closure_hash, state.lineage, state.serial, tool, dict(providers), at)
