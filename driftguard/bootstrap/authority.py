"""What a pass needs to decide and act: approvals from git and signers, leases, attempts and state locks."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from driftguard.adapters import machine
from driftguard.adapters.aws.statelock import S3StateLock
from driftguard.adapters.git.repository import GitRepository
from driftguard.adapters.signatures import verify_commits
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.config import EnvironmentSettings
from driftguard.model import Baseline, Closure, Commit, EntryKind, SignedBy
from driftguard.pipeline.approve.commits import Approvals, Range, judge_approvals
from driftguard.pipeline.approve.reviews import Reviews
from driftguard.pipeline.run import Authority


def authority(
    repository: GitRepository,
    ledger: SqlLedger,
    environ: Mapping[str, str],
    *,
    closure_at: Callable[[EnvironmentSettings, str], Closure | None],
    apply_environment_of: Callable[[EnvironmentSettings], Mapping[str, str]],
    acts: bool,
    reviews: Reviews | None,
) -> Authority:
    """The authority of one pass over a repository.

    Args:
        reviews: say which commits were reviewed; None where no forge is configured that could.
    """
    retries = ledger.latest(EntryKind.RETRY_REQUESTED)

    def approvals_of(
        settings: EnvironmentSettings, closure: Closure, baseline: Baseline | None, approval_file: str | None
    ) -> Approvals:
        before = closure_at(settings, baseline.commit) if baseline else None
        paths = closure.files.keys() | (before.files.keys() if before else set())
        commits = _range(repository, baseline, paths)
        if approval_file is not None:
            commits = _with_newest(repository, commits, approval_file)
        approval = settings.policy.approval
        signatures: Mapping[str, SignedBy] = {}
        if approval.require == "signed" and approval.signers is not None:
            ids = [commit.sha for commit in commits.touching]
            signatures = verify_commits(repository.mirror, ids, Path(approval.signers), environ.get("PATH", ""))
        said = None
        if approval.require == "reviewed" and reviews is not None:
            said = reviews.of(commits, owners=approval.code_owners)
        return judge_approvals(approval.require, commits, signatures, said, approval.approvals)

    return Authority(
        leases=ledger.leases,
        attempts=ledger.attempts,
        holder=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        machine=machine.identity(),
        alive_here=machine.still_running,
        approvals_of=approvals_of,
        lock_of=S3StateLock.of,
        apply_environment_of=apply_environment_of,
        retried_at={name: entry.at for name, entry in retries.items()},
        acts=acts,
    )


def _with_newest(repository: GitRepository, commits: Range, path: str) -> Range:
    """The range with the newest commit that touches a file, however old: a baseline moves on without asking for it."""
    if commits.baseline_is_ancestor is False:
        return commits
    newest = next((c for c, touched in repository.first_parents(None, repository.head) if path in touched), None)
    if newest is None or newest in commits.touching:
        return commits
    return replace(commits, touching=(*commits.touching, newest))


def _range(repository: GitRepository, baseline: Baseline | None, paths: set[str]) -> Range:
    """The first-parent commits since the baseline that touch the paths; without one, the last to touch each path."""
    if baseline is not None:
        if not repository.is_ancestor(baseline.commit, repository.head):
            return Range(False, ())
        since = repository.first_parents(baseline.commit, repository.head)
        return Range(True, tuple(commit for commit, touched in since if not paths.isdisjoint(touched)))
    missing, last = set(paths), list[Commit]()
    for commit, touched in repository.first_parents(None, repository.head):
        if not missing.isdisjoint(touched):
            last.append(commit)
            missing -= touched
    return Range(None, tuple(last))
