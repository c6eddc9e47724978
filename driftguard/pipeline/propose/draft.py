"""A new proposal from what is to be proposed: its approval file, its branches' names and their commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from driftguard.model import ObjectTrace, Proposal, ProposalState, ProposedBranch
from driftguard.model.fingerprints import comparable, digest_of
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.approve.approval_file import ApprovalFile, path_of, render, slug, with_id
from driftguard.pipeline.propose import text as wording
from driftguard.pipeline.propose.limits import PREFIX
from driftguard.ports import Branches

_SHORT: Final = 12
_REMEMBERED: Final = 10


@dataclass(frozen=True, slots=True)
class Choices:
    """The contents of a proposal's branches beside the approval file.

    Attributes:
        adopt: files that adopt reality, proven by a plan; None where that is refused.
        refused: why, a sentence each.
    """

    adopt: Mapping[str, bytes] | None = field(default=None, repr=False)
    refused: tuple[str, ...] = ()


class ChoiceMaker(Protocol):
    """Makes the choices of a proposal; asked only where a new proposal is made, because it runs a plan."""

    def choices(self) -> Choices:
        """The choices for the environment at head."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be proposed now.

    Attributes:
        commit: head, for which it was computed.
        prefer: the choice that the pull request is for, where both can be made.
        expires_after: how long the approval may be waited for.
        old_files: approval files of the environment at head, which a new one replaces.
        report: the environment's JSON report; traces: author and origin of each change.
        actions: what an apply would do, sorted.
    """

    environment: str
    drift_fingerprint: str | None
    plan_fingerprint: str
    closure_hash: str
    commit: str
    prefer: str
    expires_after: timedelta
    choice_maker: ChoiceMaker
    old_files: Sequence[str]
    report: EnvironmentReport
    traces: Mapping[str, ObjectTrace]
    actions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Drafting:
    """The means to make proposals.

    Attributes:
        branches: make the commits.
        base: the tracked branch.
        key: signs approval files.
    """

    branches: Branches
    base: str
    key: bytes

    def proposal(self, live: Proposal | None, draft: Draft, now: datetime) -> Proposal:
        """A new proposal, with its commits in our own copy of the repository; nothing is pushed yet.

        Args:
            live: the proposal that it takes the place of, whose pull request goes on.

        Raises:
            OperatorError: a commit cannot be made or signed.
        """
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
            self.key,
        )
        choices = draft.choice_maker.choices()
        return Proposal(
            id=approval.id,
            state=ProposalState.OPENING,
            branches=self._branches(live, draft, approval, choices),
            base=self.base,
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

    def _branches(
        self, live: Proposal | None, draft: Draft, approval: ApprovalFile, choices: Choices
    ) -> tuple[ProposedBranch, ...]:
        """The branches with their commits, the preferred one first."""
        revert: dict[str, bytes | None] = dict.fromkeys(draft.old_files)
        revert[path_of(approval)] = render(approval, self.key)
        files: dict[str, Mapping[str, bytes | None]] = {"revert": revert}
        if choices.adopt is not None:
            files["adopt"] = choices.adopt
        order = sorted(files, key=lambda choice: choice != draft.prefer)
        names = self._names(live, draft, order, approval.id)
        known = {branch.name: branch for branch in live.branches} if live else {}
        return tuple(
            ProposedBranch(
                choice=choice,
                name=name,
                commit=self.branches.commit(
                    draft.commit,
                    files[choice],
                    wording.commit_message(draft.environment, choice, approval.id),
                    approval.proposed_at,
                ),
                replaces=(known[name].commit, *known[name].replaces)[:_REMEMBERED] if name in known else (),
            )
            for choice, name in zip(order, names, strict=True)
        )

    def _names(self, live: Proposal | None, draft: Draft, order: Sequence[str], id_: str) -> list[str]:
        """The branches' names: those of the proposal that goes on; otherwise ones that are not taken."""
        if live is not None:
            first = live.preferred.name
        else:
            short = digest_of(draft.drift_fingerprint or draft.plan_fingerprint)[:_SHORT]
            first = f"{PREFIX}{slug(draft.environment)}/{short}"
            if any(name == first or name.startswith(f"{first}-") for name in self.branches.listed(first)):
                first = f"{first}-{id_[:8]}"
        return [first, *(f"{first}-{choice}" for choice in order[1:])]


def _why_anew(live: Proposal, draft: Draft) -> str:
    if not comparable(live.plan_fingerprint, draft.plan_fingerprint):
        return "DriftGuard was upgraded, and fingerprints of plans have another version since"
    if live.drift_fingerprint != draft.drift_fingerprint:
        return "the drift has changed"
    if (live.plan_fingerprint, live.closure_hash) != (draft.plan_fingerprint, draft.closure_hash):
        return "the environment's code or its plan changed"
    return "the approval that was asked for here had expired"
