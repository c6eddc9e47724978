"""A whole run in this process: a real repository and a real ledger, with the engine in memory in Terraform's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from driftguard import config
from driftguard.adapters.defects import FolderDefects
from driftguard.adapters.folders import RunFolders
from driftguard.adapters.git.locations import locate
from driftguard.adapters.git.merges import GitMerges
from driftguard.adapters.git.repository import open_repository
from driftguard.adapters.hcl.blobs import BlobReader
from driftguard.adapters.hcl.facts import CachingReader
from driftguard.adapters.machine import ThisMachine
from driftguard.adapters.process import Stop
from driftguard.adapters.signatures import GitSignatures
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.terraform.unwritten import FolderStates
from driftguard.config import EnvironmentSettings
from driftguard.model import EntryKind, EnvironmentResult, MergedRequest, Review, RunResult, Signature, SignedBy
from driftguard.pipeline import directories
from driftguard.pipeline.apply.apply import ApplyContext
from driftguard.pipeline.approve.gather import ApprovalSources
from driftguard.pipeline.approve.reviews import OwnCommits, Reviews
from driftguard.pipeline.checkout import ScanContext
from driftguard.pipeline.closures import ClosureIndex
from driftguard.pipeline.context import EnvironmentTask, RunContext
from driftguard.pipeline.propose.journal import ProposalJournal
from driftguard.pipeline.run import RunScope, run_environments
from driftguard.pipeline.settings import SettingsIndex
from driftguard.pipeline.states import known_states
from driftguard.ports import Backend, Purpose, ReviewReader, Signatures, StateLock, TrackedHead
from tests.support.harness import Sandbox, Toy
from tests.support.memory_engine import MemoryEngine, MemoryStates

CONFIGURATION = "policy: {pending: apply, drift: revert}\n"


class PlainClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class NoVariables:
    """Gives Terraform nothing; the engine in memory needs nothing."""

    def variables(self, settings: EnvironmentSettings, purpose: Purpose) -> Mapping[str, str]:
        return {}


class NoLocks:
    """Leaves the lock to the engine."""

    def of(self, backend: Backend | None, workspace: str, environment: Mapping[str, str]) -> StateLock | None:
        return None


class MemoryEstate:
    """Environments of toy things whose states are kept in memory.

    Attributes:
        signatures: verifies commits; by default those of git.
        requests: the pull requests that commits came with; none by default.
        broken: engines that take the place of the usual one, by environment.
    """

    def __init__(self, folder: Path, names: tuple[str, ...], ledger_url: str | None = None) -> None:
        self.sandbox = Sandbox(folder / "home", {})
        self.toys = {name: Toy(folder / "clouds" / name) for name in names}
        self.states = MemoryStates()
        self.signatures: Signatures | None = None
        self.requests: ReviewedCommits | None = None
        self.broken: dict[str, MemoryEngine] = {}
        self.folder = folder
        self.ledger_url = ledger_url or f"sqlite:///{folder / 'ledger.db'}"
        self.ledger = open_ledger(self.ledger_url)
        self.write(dict.fromkeys(names, "one"))

    def write(self, values: Mapping[str, str], configuration: str = CONFIGURATION) -> str:
        """Commit a value for the one thing of each environment; the commit."""
        files = {"driftguard.yaml": configuration}
        for name, value in values.items():
            thing = f'resource "toy_thing" "web" {{\n  name  = "web"\n  value = "{value}"\n}}\n'
            files[f"environments/{name}/main.tf"] = self.toys[name].root_module(thing)
        return self.sandbox.commit("change", files)

    def run(
        self, *, acts: bool, machine: str = "cache", ledger: SqlLedger | None = None, parallelism: int = 2
    ) -> RunResult:
        """One run over every environment at head, on one of several machines that share the ledger.

        Args:
            ledger: as this machine has opened it; the estate's own by default.
        """
        ledger = ledger or self.ledger
        cache = self.folder / machine
        repository = open_repository(str(self.sandbox.repository), cache, None)
        settings = config.load(repository.file(repository.head, "driftguard.yaml"), source="driftguard.yaml")
        environments = settings.resolve(lambda *a, **k: directories.find(repository.tree(repository.head), *a, **k))
        clock, stop, now = PlainClock(), Stop(), datetime.now(UTC)
        run_id = f"{now:%Y%m%dT%H%M%S.%f}-{machine}"
        index = SettingsIndex(repository, None, None)
        closures = ClosureIndex(repository, BlobReader(repository, CachingReader(cache / "facts")), index, {})
        points = {name: str(e.data["commit"]) for name, e in ledger.latest(EntryKind.APPROVED).items()}
        tasks = []
        for each in environments:
            closure, engine = closures.at(each, repository.head), self.broken.get(each.name, MemoryEngine(self.states))
            assert closure is not None
            tasks.append(EnvironmentTask(each, closure, engine, engine if acts else None, stop))
        reviews = None
        if self.requests is not None:
            merges = GitMerges(repository.mirror, locate(str(self.sandbox.repository)))
            reviews = Reviews(self.requests, repository, merges, self.requests)
        with closing(RunFolders(cache, "repository", run_id, stop)) as folders:
            context = RunContext(
                run_id=run_id,
                scan=ScanContext(repository, repository.head, None, ledger.key(), (), {}, closures, NoVariables()),
                ledger=ledger,
                attempts=ledger.attempts,
                approvals=ApprovalSources(
                    repository, index, self.signatures or GitSignatures(repository.mirror, ""), reviews
                ),
                proposals=ProposalJournal(ledger, clock, run_id),
                folders=folders,
                clock=clock,
                stop=stop,
                defects=FolderDefects(self.folder / "defects"),
                alert_settings=settings.alerts,
                retried={},
                approved_points=points,
                given_baselines={},
                states=known_states(ledger, [each.name for each in environments]),
                can_propose=False,
            )
            if acts:
                context = replace(context, alerts=ledger.alerts, apply=self._apply_context(context, repository, ledger))
            return run_environments(
                context,
                RunScope("repository", "main", tasks, {}, environments),
                started=now,
                parallelism=parallelism,
                on_done=lambda result: None,
                notifier=None,
            )

    def _apply_context(self, context: RunContext, repository: TrackedHead, ledger: SqlLedger) -> ApplyContext:
        return ApplyContext(
            run_id=context.run_id,
            holder=context.run_id,
            leases=ledger.leases,
            attempts=ledger.attempts,
            locks=NoLocks(),
            machine=ThisMachine(),
            variables=NoVariables(),
            clock=context.clock,
            key=ledger.key(),
            head=repository,
            states=FolderStates(self.folder / "states"),
        )


class SignedCommits:
    """Knows which commits of an estate are signed: its first one, and those in `good`."""

    def __init__(self, estate: MemoryEstate) -> None:
        self.good = {estate.sandbox.git("rev-parse", "HEAD")}

    def verify(self, commits: Sequence[str], signers: Path) -> Mapping[str, SignedBy]:
        return {sha: SignedBy(Signature.GOOD if sha in self.good else Signature.UNSIGNED) for sha in commits}


class ReviewedCommits(ReviewReader, OwnCommits):
    """The merged pull requests of an estate's commits, each with a branch whose head is in the repository."""

    def __init__(self, estate: MemoryEstate) -> None:
        self._git = estate.sandbox.git
        self._requests: dict[str, MergedRequest] = {}
        self.merged(self._git("rev-parse", "HEAD"), reviewer="bob")

    def merged(self, sha: str, *, reviewer: str, latest: bool = True, honest: bool = True) -> None:
        """Let a commit be the squashed merge of a request.

        Args:
            latest: the review is of the branch's last commit.
            honest: the merge holds what the branch held.
        """
        number, tree = len(self._requests) + 1, self._git("rev-parse", f"{sha}^{{tree}}")
        parents = self._git("rev-list", "--parents", "--max-count=1", sha).split()[1:]
        if not honest:
            tree = self._git("mktree", "--missing", "-z")
        head = self._git("commit-tree", tree, *(f"-p{parent}" for parent in parents), "-m", f"request {number}")
        self._git("update-ref", f"refs/pull/{number}/head", head)
        review = Review(reviewer, head if latest else sha, approves=True, may_write=True)
        self._requests[sha] = MergedRequest(
            number=number,
            url=f"https://forge.example/{number}",
            base="main",
            author="ada",
            authors=("ada",),
            head=head,
            merge_commit=sha,
            commit_count=1,
            reviews=(review,),
            head_ref=f"refs/pull/{number}/head",
        )

    def merged_with(self, commit: str, base: str, *, owners: bool = False) -> tuple[MergedRequest, ...]:
        return (self._requests[commit],) if commit in self._requests else ()

    def own_commits(self) -> frozenset[str]:
        return frozenset()


def found(result: RunResult, name: str) -> EnvironmentResult:
    """One environment's result."""
    return next(each for each in result.environments if each.name == name)


def outcome(result: RunResult, name: str) -> tuple[Any, ...]:
    """One environment's verdict and action."""
    each = found(result, name)
    return each.verdict.value, each.decision.action.value
