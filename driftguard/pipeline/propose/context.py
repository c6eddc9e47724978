"""What the proposals of a run share: ports and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from driftguard.config import EnvironmentSettings
from driftguard.hcledit.source import Parser
from driftguard.pipeline.propose.journal import ProposalJournal
from driftguard.pipeline.propose.limits import ForgeFaults, OpenLimit
from driftguard.ports import Alerts, Branches, Clock, History, RequestForge


@dataclass(frozen=True, slots=True)
class ProposalContext:
    """What the proposals of a run share.

    Attributes:
        forge: where pull requests are opened; branches: where their branches go.
        history: the tracked branch.
        journal: the proposals that the ledger holds.
        alerts: hold the traces of standing drift.
        parser: reads Terraform source, for adopting.
        environments: every environment at head.
        expires_after: how long an approval may be waited for.
        key: signs approval files.
    """

    forge: RequestForge
    branches: Branches
    history: History
    journal: ProposalJournal
    alerts: Alerts
    limit: OpenLimit
    faults: ForgeFaults
    parser: Parser
    environments: Sequence[EnvironmentSettings]
    expires_after: timedelta
    key: bytes
    clock: Clock

    def is_merged(self, commit: str) -> bool:
        """Whether a commit is part of head."""
        return self.history.is_ancestor(commit, self.history.head)
