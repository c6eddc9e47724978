"""From the configuration's `forge` to the adapters that proposals and reviews need; constructors only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from driftguard.adapters.git import GitRepository
from driftguard.adapters.git.branches import GitBranches, push_location, with_token
from driftguard.adapters.git.locations import Location, locate
from driftguard.adapters.git.merges import GitMerges
from driftguard.config import EnvironmentSettings
from driftguard.config import Forge as ForgeSettings
from driftguard.pipeline.approve.reviews import Reviews
from driftguard.pipeline.propose.context import ProposalContext
from driftguard.pipeline.propose.journal import ProposalJournal
from driftguard.pipeline.propose.limits import PREFIX, ForgeFaults, OpenLimit
from driftguard.ports import RequestForge

if TYPE_CHECKING:
    from collections.abc import Callable

    from driftguard.adapters.sql import SqlLedger
    from driftguard.ports import Clock


@dataclass(frozen=True, slots=True)
class ForgeAccess:
    """The forge of one run.

    Attributes:
        reviews: None where there is no service that knows reviews.
        pushed_to: where branches go, without credentials.
    """

    requests: RequestForge
    branches: GitBranches
    reviews: Reviews | None
    pushed_to: str

    def probe(self) -> str:
        """One line on whether the forge and the git server answer.

        Raises:
            ForgeFault: one of them does not.
        """
        requests = self.requests.open_requests(PREFIX)
        branches = self.branches.listed(PREFIX)
        return f"{len(requests)} proposals are open; branches go to {self.pushed_to}, which has {len(branches)} of ours"


def open_forge(
    settings: ForgeSettings,
    location: str,
    repository: GitRepository,
    journal: ProposalJournal,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> ForgeAccess:
    """The forge that the settings name; nothing is asked of it yet, except a GitHub App's token.

    Args:
        location: where the repository is read.
        say: prints proposals where there is no page for them.

    Raises:
        DriftGuardError: the forge's credentials are missing, or its location cannot be used.
    """
    to = push_location(locate(location), settings.push_url)
    if settings.kind == "github":
        from driftguard.adapters.forges.github import GitHubForge

        github = GitHubForge(settings, environ)
        to = _with_token(to, settings.url or "https://github.com", "x-access-token", github.token())
        service: GitHubForge | GitLabForge | None = github
    elif settings.kind == "gitlab":
        from driftguard.adapters.forges.gitlab import GitLabForge

        gitlab = GitLabForge(settings, environ)
        to = _with_token(to, settings.url or "https://gitlab.com", "oauth2", gitlab.token())
        service = gitlab
    else:
        service = None
    branches = GitBranches(repository.mirror, to, author=settings.author, signing=settings.signing)
    if service is not None:
        reviews = Reviews(service, repository, GitMerges(repository.mirror, to), journal)
        return ForgeAccess(service, branches, reviews, to.display)
    from driftguard.adapters.forges.plain import PlainForge

    return ForgeAccess(PlainForge(branches, repository, journal.of_branch, say), branches, None, to.display)


def proposal_context(
    forge: ForgeAccess,
    settings: ForgeSettings,
    repository: GitRepository,
    ledger: SqlLedger,
    journal: ProposalJournal,
    environments: Sequence[EnvironmentSettings],
    clock: Clock,
) -> ProposalContext:
    """What the proposals of a run share.

    Args:
        environments: every environment at head.
    """
    from driftguard.adapters.hcl.parser import SourceParser

    return ProposalContext(
        forge=forge.requests,
        branches=forge.branches,
        history=repository,
        journal=journal,
        alerts=ledger.alerts,
        limit=OpenLimit(forge.requests, settings.most_open),
        faults=ForgeFaults(),
        parser=SourceParser(),
        environments=environments,
        expires_after=settings.expires,
        key=ledger.key(),
        clock=clock,
    )


def _with_token(location: Location, forge_url: str, user: str, token: str) -> Location:
    """The location with the forge's token, where it is on the forge's own host."""
    parts = urlsplit(forge_url)
    return with_token(location, parts.hostname, user, token, plain_http=parts.scheme == "http")
