"""From the configuration's `forge` to what a pass proposes with and knows reviews by."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from driftguard.adapters.forges.github import GitHubForge
from driftguard.adapters.forges.gitlab import GitLabForge
from driftguard.adapters.forges.plain import PlainForge
from driftguard.adapters.git.branches import Branches, push_location, with_token
from driftguard.adapters.git.locations import Location, locate
from driftguard.adapters.git.merges import Merges
from driftguard.adapters.git.repository import GitRepository
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.bootstrap.reviewing import Reviews
from driftguard.config import EnvironmentSettings
from driftguard.config import Forge as ForgeSettings
from driftguard.hcledit.source import Source
from driftguard.model import AlertKind, Entry, EntryKind, Proposal
from driftguard.pipeline.propose.environment import ENDED, close_left_behind
from driftguard.pipeline.propose.lifecycle import PREFIX
from driftguard.pipeline.run import Proposing
from driftguard.ports import Clock, Forge

_MOST_ENTRIES: Final = 500


class Remediation:
    """The forge of one pass.

    Attributes:
        proposing: what the pass proposes with.
        reviews: who approved what; None where there is no service that knows.

    Raises:
        DriftGuardError: the forge's credentials are missing, or its location cannot be used.
    """

    def __init__(
        self,
        settings: ForgeSettings,
        location: str,
        repository: GitRepository,
        ledger: SqlLedger,
        clock: Clock,
        run_id: str,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        source_of: Callable[[EnvironmentSettings, Callable[[bytes], bytes]], Source],
    ) -> None:
        self._repository, self._ledger, self._clock, self._run_id = repository, ledger, clock, run_id
        place = push_location(locate(location), settings.push_url)
        service: Forge | None = None
        if settings.kind == "github":
            service = github = GitHubForge(settings, environ)
            place = _with_token(place, settings.url or "https://github.com", "x-access-token", github.token())
        elif settings.kind == "gitlab":
            service = gitlab = GitLabForge(settings, environ)
            place = _with_token(place, settings.url or "https://gitlab.com", "oauth2", gitlab.token())
        self._pushed_to = place.display
        branches = Branches(repository.mirror, place, author=settings.author, signing=settings.signing)
        self.reviews: Reviews | None = None
        if service is not None:
            self.reviews = Reviews(service, repository, Merges(repository.mirror, place), self._own_commits)
        forge = service or PlainForge(branches, self._known, repository.head, self._is_merged, say)
        count = _OpenCount(forge, settings.most_open)
        self.proposing = Proposing(
            forge=forge,
            branches=branches,
            base=repository.ref,
            expires_after=settings.expires,
            newest=self._newest,
            earlier=partial(proposals_of, ledger),
            save=self._save,
            traces_of=self._traces_of,
            source_of=source_of,
            may_open=count.may_open,
            is_merged=self._is_merged,
        )

    def close_left_behind(self, present: AbstractSet[str], head: str) -> tuple[str, ...]:
        """Close proposals of environments that are not at head; a sentence for each that cannot be closed now."""
        troubles: list[str] = []
        for name, entry in self._ledger.latest(EntryKind.PROPOSAL).items():
            if name not in present and _decoded(entry).state not in ENDED:
                said = f"{name} is no longer an environment at {head[:10]}."
                troubles += close_left_behind(self.proposing, name, self._ledger.key(), self._clock.now, said)
        return tuple(troubles)

    def probe(self) -> str:
        """One line on whether the forge and the git server answer.

        Raises:
            ForgeFault: one of them does not.
        """
        requests = self.proposing.forge.open_requests(PREFIX)
        branches = self.proposing.branches.listed(PREFIX)
        return (
            f"{len(requests)} proposals are open; branches go to {self._pushed_to}, which has {len(branches)} of ours"
        )

    def _is_merged(self, commit: str) -> bool:
        return self._repository.is_ancestor(commit, self._repository.head)

    def _known(self, branch: str) -> Proposal | None:
        """The newest proposal that a branch belongs to."""
        newest = map(_decoded, self._ledger.latest(EntryKind.PROPOSAL).values())
        return next((proposal for proposal in newest if branch in {each.name for each in proposal.branches}), None)

    def _newest(self, name: str) -> Proposal | None:
        entries = self._ledger.entries(environment=name, kinds=[EntryKind.PROPOSAL], limit=1)
        return _decoded(entries[-1]) if entries else None

    def _own_commits(self) -> frozenset[str]:
        """Every commit of a proposal's branch, of any environment."""
        entries = self._ledger.entries(kinds=[EntryKind.PROPOSAL], limit=_MOST_ENTRIES)
        branches = [branch for entry in entries for branch in _decoded(entry).branches]
        return frozenset(commit for branch in branches for commit in (branch.commit, *branch.replaces))

    def _save(self, name: str, proposal: Proposal) -> None:
        data = msgspec.to_builtins(proposal)
        self._ledger.append(Entry(EntryKind.PROPOSAL, self._clock.now(), self._run_id, name, data))

    def _traces_of(self, name: str) -> Mapping[str, Any]:
        for alert in self._ledger.alerts.standing():
            if alert.environment == name and alert.kind is AlertKind.DRIFT:
                return alert.traces
        return {}


class _OpenCount:
    """How many proposals are open: asked once in a pass, as all environments count together.

    Whoever is told that one more may be opened has its place; one that then fails keeps it until the pass ends.
    """

    def __init__(self, forge: Forge, most: int) -> None:
        self._forge, self._most = forge, most
        self._open: int | None = None
        self._lock = threading.Lock()

    def may_open(self) -> str | None:
        with self._lock:
            if self._open is None:
                self._open = len(self._forge.open_requests(PREFIX))
            if self._open >= self._most:
                return f"{self._open} are open"
            self._open += 1
            return None


def proposals_of(ledger: SqlLedger, name: str) -> Sequence[Proposal]:
    """An environment's proposals as they stand, newest first; the forge is not asked."""
    entries = ledger.entries(environment=name, kinds=[EntryKind.PROPOSAL], limit=_MOST_ENTRIES)
    standing: dict[str, Proposal] = {}
    for proposal in map(_decoded, reversed(entries)):
        standing.setdefault(proposal.id, proposal)
    return list(standing.values())


def _with_token(place: Location, forge_url: str, user: str, token: str) -> Location:
    """The place with the forge's token, where it is on the forge's own host."""
    parts = urlsplit(forge_url)
    return with_token(place, parts.hostname, user, token, plain_http=parts.scheme == "http")


def _decoded(entry: Entry) -> Proposal:
    return msgspec.convert(entry.data, Proposal)
