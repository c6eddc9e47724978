"""From the configuration's `forge` to the adapters that proposals and reviews need; constructors only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from driftguard.adapters.forges.opening import git_token, open_service
from driftguard.adapters.git.branches import GitBranches, push_location
from driftguard.adapters.git.locations import locate, with_token
from driftguard.adapters.git.merges import GitMerges
from driftguard.adapters.git.repository import GitRepository
from driftguard.config import EnvironmentSettings
from driftguard.config import Forge as ForgeSettings
from driftguard.pipeline.approve.reviews import Reviews
from driftguard.pipeline.propose.context import ProposalContext
from driftguard.pipeline.propose.journal import ProposalJournal
from driftguard.pipeline.propose.limits import PREFIX, ForgeFaults, OpenLimit
from driftguard.ports import HostedForge, RequestForge

if TYPE_CHECKING:
    from collections.abc import Callable

    from driftguard.adapters.sql.ledger import SqlLedger
    from driftguard.ports import Clock


@dataclass(frozen=True, slots=True)
class ForgeAccess:
    """The forge of one run.

    Attributes:
        reviews, service: None where there is no service but a plain git server.
        pushed_to: where branches go, without credentials.
    """

    settings: ForgeSettings
    repository: GitRepository
    journal: ProposalJournal
    requests: RequestForge
    branches: GitBranches
    reviews: Reviews | None
    service: HostedForge | None
    pushed_to: str

    def probe(self) -> str:
        """One line on whether the forge and the git server answer.

        Raises:
            ForgeFault: one of them does not.
        """
        requests = self.requests.open_requests(PREFIX)
        branches = self.branches.listed(PREFIX)
        caveat = self.service.caveat() if self.service is not None else None
        listed = (
            f"{len(requests)} proposals are open; branches go to {self.pushed_to}, which has {len(branches)} of ours"
        )
        return f"{listed}; {caveat}" if caveat else listed


def open_forge(
    settings: ForgeSettings,
    location: str,
    repository: GitRepository,
    journal: ProposalJournal,
    environ: Mapping[str, str],
    write: Callable[[str], None],
) -> ForgeAccess:
    """The forge that the settings name; nothing is asked of it yet.

    Args:
        location: where the repository is read.
        write: prints proposals of a forge without pages.

    Raises:
        DriftGuardError: the forge's credentials are missing, or its location cannot be used.
    """
    service = open_service(settings, environ)
    to = with_token(push_location(locate(location), settings.push_url), git_token(settings, service))
    branches = GitBranches(repository.mirror, to, author=settings.author, signing=settings.signing)
    if service is not None:
        reviews = Reviews(service.reviews, repository, GitMerges(repository.mirror, to), journal)
        return ForgeAccess(settings, repository, journal, service, branches, reviews, service, to.display)
    from driftguard.adapters.forges.plain import PlainForge

    plain = PlainForge(branches, repository, journal.of_branch, write)
    return ForgeAccess(settings, repository, journal, plain, branches, None, None, to.display)


def proposal_context(
    forge: ForgeAccess, ledger: SqlLedger, environments: Sequence[EnvironmentSettings], clock: Clock
) -> ProposalContext:
    """What the proposals of a run share.

    Args:
        environments: every environment at head.
    """
    from driftguard.adapters.hcl.parser import SourceParser

    return ProposalContext(
        forge=forge.requests,
        branches=forge.branches,
        history=forge.repository,
        journal=forge.journal,
        alerts=ledger.alerts,
        limit=OpenLimit(forge.requests, forge.settings.most_open),
        faults=ForgeFaults(),
        parser=SourceParser(),
        environments=environments,
        expires_after=forge.settings.expires,
        key=ledger.key(),
        clock=clock,
    )
