"""Why a decision is what it is: stable names, what each means, and what would have to change for another decision."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final


class ReasonName(StrEnum):
    """The stable names of reasons. Old ledgers hold all of them, so none is ever removed or renamed.

    Attributes:
        text: what it means and what to do about it, in whole sentences.
        passes: it ends by itself soon: a plan that only such reasons hold needs no manual action.
        silent: it only names the permission of an action, which an alert omits.
    """

    text: str
    passes: bool
    silent: bool

    def __new__(cls, name: str, text: str, passes: bool = False, silent: bool = False) -> ReasonName:
        """Each member is its name, which is a string; the rest are its attributes."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.text, member.passes, member.silent = text, passes, silent
        return member

    IN_SYNC = "in_sync", "Nothing to do."
    UNKNOWN = "unknown", "The verdict is unknown, so nothing is done. Fix the error; the next run retries."
    CONFLICT = (
        "conflict",
        "Changed outside Terraform and by a commit, to different values. Revert the outside change, or commit the "
        "current value.",
    )
    POLICY_APPLY = "policy_apply", "The policy applies such changes automatically."
    POLICY_REVERT = "policy_revert", "The policy reverts such changes automatically."
    POLICY_ALERT = (
        "policy_alert",
        "The policy is alert-only. `policy.pending: apply`, `policy.drift: revert` or `policy.input: apply` would act.",
    )
    POLICY_WAITS = (
        "policy_waits",
        "A commit loosened the policy. It counts for later changes, once it is approved by the rule before it; until "
        "then the stricter of both holds.",
    )
    PROPOSALS_NOT_AVAILABLE = (
        "proposals_not_available",
        "The policy asks for a pull request, and no `forge` is configured. Configure one, apply manually, or choose "
        "another policy.",
    )
    MIXED_WITH_DRIFT = (
        "mixed_with_drift",
        "An apply would also revert changes made outside Terraform, and the policy does not allow that. Revert them "
        "manually, commit them, or set `policy.drift: revert`.",
    )
    MIXED_WITH_PENDING = (
        "mixed_with_pending",
        "An apply would also apply committed changes, and the policy does not allow that. Apply them manually, or set "
        "`policy.pending: apply`.",
    )
    MIXED_WITH_INPUT = (
        "mixed_with_input",
        "An apply would also apply a change that no commit made, and the policy does not allow that. Review it, or set "
        "`policy.input: apply`.",
    )
    STATE_REPLACED = (
        "state_replaced",
        "The state was lost, rolled back or replaced by another one, so an apply could create everything a second "
        "time. Restore the state. If the new state is intended, apply once manually: the next scan that finds "
        "everything in sync sets the baseline.",
    )
    STATE_NOT_WRITTEN = (
        "state_not_written",
        "An apply changed objects and could not store the state, so the next apply could create them a second time. "
        "Push the state that was kept; `driftguard retry ENV` goes on without it.",
    )
    CREATION_UNKNOWN = (
        "creation_unknown",
        "An apply was cut off while it created this, so it may exist unknown to the state, and the next apply could "
        "create it a second time. Import it (`terraform import`) or delete it if it exists, store what else the apply "
        "changed (`terraform apply -refresh-only`), then run `driftguard retry ENV`.",
    )
    ACTION_NOT_RUN = (
        "action_not_run",
        "An apply was to invoke this action, and it failed or did not run. No plan invokes it again: run it manually "
        "(`terraform apply -invoke=ADDRESS`) if it is still needed, then run `driftguard retry ENV`.",
    )
    STATE_SHARED = (
        "state_shared",
        "Another environment uses the same state, so each would undo the other's changes. Give one of them a backend "
        "key, workspace or state of its own, or remove it.",
    )
    UNCERTAIN = (
        "uncertain",
        "A committed change and a change made outside Terraform cannot be distinguished here. Review the plan and "
        "apply it once manually; the next scan that finds everything in sync sets the baseline.",
    )
    WOULD_REVERT_IGNORED = (
        "would_revert_ignored",
        "An apply would change what an ignore rule covers. Use Terraform's `ignore_changes` for it, or remove the "
        "rule.",
    )
    MERGED = "merged", "The commits are on the tracked branch, which is the approval.", False, True
    SIGNED = "signed", "The commits that touch the environment are signed by known signers.", False, True
    NOT_SIGNED = (
        "not_signed",
        "A commit that touches the environment has no good signature of a known signer. Sign it, or add the signer to "
        "the signers file.",
    )
    HISTORY_REWRITTEN = (
        "history_rewritten",
        "The tracked branch no longer contains the commit that was applied last. Review what changed, then apply once "
        "manually.",
    )
    REVIEWED = (
        "reviewed",
        "The commits that touch the environment came with approved pull requests.",
        False,
        True,
    )
    NOT_REVIEWED = (
        "not_reviewed",
        "A commit that touches the environment did not come with a pull request that enough reviewers with write "
        "access, none of them its author, approved as it was merged. Review it and apply it manually, or merge a "
        "reviewed revert.",
    )
    REVIEW_NOT_AVAILABLE = (
        "review_not_available",
        "Approval by review needs a `forge` that can be asked. Configure GitHub or GitLab.",
    )
    APPROVED = "approved", "Exactly this plan was proposed, and the proposal was merged.", False, True
    APPROVAL_VOID = (
        "approval_void",
        "A merged approval does not match the current plan, so nothing was applied. A new proposal follows where one "
        "is wanted.",
    )
    POLICY_PROPOSE = "policy_propose", "The policy asks for a pull request; merging it is the approval.", False, True
    PROPOSED = "proposed", "A pull request shows the plan. Merge it to approve, or close it to decline."
    PROPOSAL_WAITS = (
        "proposal_waits",
        "A pull request is open. The plan is on hold; after the merge it is applied when the hold ends.",
    )
    PROPOSAL_MERGED = "proposal_merged", "The proposal was merged. The next run acts on it."
    ACKNOWLEDGED = (
        "acknowledged",
        "The proposal for this drift was closed without a merge, which declines it. It is opened again once the drift "
        "changes.",
    )
    PROPOSALS_WAITING = (
        "proposals_waiting",
        "As many proposals are open as `forge.most_open` allows. This one follows when another one ends.",
    )
    PROPOSAL_FAILED = (
        "proposal_failed",
        "The pull request could not be opened or updated. The next run retries.",
    )
    PROPOSAL_CHANGED = (
        "proposal_changed",
        "The proposal's branch has commits that are not DriftGuard's, or its pull request was retargeted, so it is "
        "not updated. Merge it, or close it and delete the branch for a new proposal.",
    )
    ADOPT_REFUSED = (
        "adopt_refused",
        "The current values cannot be written into the configuration with proof, so only a revert is proposed.",
    )
    PROTECTED = (
        "protected",
        "The plan destroys, replaces or creates anew what `policy.protect` covers. Apply it manually, or change "
        "`protect`.",
    )
    WOULD_DELETE_ALMOST_EVERYTHING = (
        "would_delete_almost_everything",
        "The plan deletes almost everything in the environment, which is always held. Apply it manually if it is "
        "intended.",
    )
    LIMIT_CHANGES = (
        "limit_changes",
        "The plan changes more than `policy.limits.changes` allows. Raise it, or apply manually.",
    )
    LIMIT_DESTROYS = (
        "limit_destroys",
        "The plan destroys more than `policy.limits.destroys` allows. Raise it, or apply manually.",
    )
    LIMIT_REPLACES = (
        "limit_replaces",
        "The plan replaces more than `policy.limits.replaces` allows. Raise it, or apply manually.",
    )
    LIMIT_RECREATES = (
        "limit_recreates",
        "The plan creates anew, empty, more objects that held data and were deleted outside Terraform than "
        "`policy.limits.recreates` allows. Restore the data and import the object, raise the limit, or apply manually.",
    )
    LIMIT_INVOCATIONS = (
        "limit_invocations",
        "The plan invokes more actions than `policy.limits.invocations` allows. Raise it, or apply manually.",
    )
    DUE_AGAIN = (
        "due_again",
        "The object was due for renewal already when it was created, so each apply creates it anew. Correct its "
        "validity or its early renewal.",
    )
    LIMIT_SHARE = (
        "limit_share",
        "The plan touches a larger share than `policy.limits.share` allows. Raise it, or apply manually.",
    )
    SUSPENDED = (
        "suspended",
        "Applies are suspended by the configuration. Remove `policy.suspended`, or wait for its end.",
    )
    WINDOW_CLOSED = (
        "window_closed",
        "No window allows an apply now. It starts automatically in the next window.",
        True,
    )
    FLAPPING = (
        "flapping",
        "Reverted repeatedly; another process keeps changing it back. Find that process, then run "
        "`driftguard retry ENV`.",
    )
    BACKOFF = (
        "backoff",
        "The last attempt failed. The next one starts automatically after the backoff, on a new commit, or after "
        "`driftguard retry ENV`.",
        True,
    )
    LOCAL_STATE = (
        "local_state",
        "The state is a file in a user's work tree, which is only read. Use a remote backend.",
    )
    APPLIED_ELSEWHERE = (
        "applied_elsewhere",
        "DriftGuard only watches this environment for drift: a platform applies its merged commits. To let DriftGuard "
        "apply on a platform, remove auto-apply and the VCS connection from the workspace.",
    )
    UPSTREAM_CHANGED = (
        "upstream_changed",
        "Outputs of another environment changed that this one gets as inputs, and no commit of its own. An apply takes "
        "them over.",
    )
    DEPENDENCY_NOT_SETTLED = (
        "dependency_not_settled",
        "An environment whose outputs this one gets is not in sync, so an apply would rest on values that may change. "
        "Apply or revert that one first; the next run continues here.",
        True,
    )
    WAITS_ON_PLATFORM = (
        "waits_on_platform",
        "The run waits for a decision on the platform: a policy, a run task, an override. Decide on its page; the next "
        "run confirms it if its plan is still the approved one, and discards it otherwise.",
    )
    ACTING_ELSEWHERE = (
        "acting_elsewhere",
        "Another reconciler is working on this environment. The next run checks again.",
        True,
    )
    APPLIED = "applied", "The plan was applied, and the verification shows what remains."
    APPLY_FAILED = (
        "apply_failed",
        "The apply did not finish; the history shows what it changed. It is retried after the backoff.",
    )
    PLAN_CHANGED = (
        "plan_changed",
        "The plan changed between the decision and the apply, so nothing was applied. The next run decides again.",
        True,
    )
    HEAD_MOVED = (
        "head_moved",
        "The tracked branch has another head than the plan, or could not be asked, so nothing was begun. The next run "
        "plans the new head.",
        True,
    )
    LOCKED = "locked", "The state lock is held, so nothing was applied. The next run retries.", True
    NOT_PLANNED = "not_planned", "The plan before the apply failed, so nothing was applied. The error has the reason."
    LEASE_LOST = "lease_lost", "Another reconciler took over, so nothing was applied. The next run checks again.", True
    ALREADY_ATTEMPTED = (
        "already_attempted",
        "Exactly this plan was attempted at this commit before. A new commit or `driftguard retry ENV` allows another "
        "attempt.",
    )
    INTERRUPTED_ATTEMPT = (
        "interrupted_attempt",
        "An earlier apply was interrupted and is recorded as failed; this run started from what it left.",
    )
    ENVIRONMENT_REMOVED = (
        "environment_removed",
        "The directory was removed from git. Nothing is destroyed: destroy what remains manually, then run "
        "`driftguard forget ENV`.",
    )


_KNOWN: Final = {name.value: name for name in ReasonName}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a decision; `str` gives its JSON form, `name` or `name: detail`.

    Attributes:
        name: a `ReasonName`; any other text only where a newer DriftGuard wrote it.
        detail: what it is about here; may be empty.
    """

    name: str
    detail: str = ""

    @staticmethod
    @lru_cache(maxsize=1024)
    def parse(text: str) -> Reason:
        """A reason from its JSON form."""
        name, _, detail = text.partition(": ")
        return Reason(_KNOWN.get(name, name), detail)

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" if self.detail else str(self.name)

    @property
    def passes(self) -> bool:
        """Whether it ends by itself soon."""
        return isinstance(self.name, ReasonName) and self.name.passes

    @property
    def silent(self) -> bool:
        """Whether it only names the permission of an action."""
        return isinstance(self.name, ReasonName) and self.name.silent

    @property
    def text(self) -> str:
        """What it means and what to do, its detail behind the first sentence; the JSON form of an unknown one."""
        if not isinstance(self.name, ReasonName):
            return str(self)
        if not self.detail:
            return self.name.text
        first, dot, rest = self.name.text.partition(". ")
        return f"{first.removesuffix('.')} ({self.detail}).{' ' + rest if dot else ''}"

    @property
    def explanation(self) -> str:
        """Its name, its detail and what it means, for `driftguard explain`."""
        if not isinstance(self.name, ReasonName):
            return str(self)
        return f"{self.name} ({self.detail}): {self.name.text}" if self.detail else f"{self.name}: {self.name.text}"
