"""What each reason of a decision means, and what would have to change for another decision."""

from __future__ import annotations

# Reasons that pass by themselves soon: what they hold alone is said only once it is old, and needs nobody.
PASSING = frozenset({"window_closed", "backoff", "acting_elsewhere", "plan_changed", "locked", "lease_lost"})

REASONS: dict[str, str] = {
    "in_sync": "Nothing is to be done.",
    "unknown": "Nothing certain is known, so nothing is done; the error says what to mend.",
    "conflict": (
        "Somebody and a commit changed the same thing to different values. A person has to choose: put "
        "reality back by hand, or commit what it is."
    ),
    "policy_apply": "The policy applies this by itself.",
    "policy_revert": "The policy puts reality back by itself.",
    "policy_alert": (
        "The policy is to say it and do nothing. `policy.pending: apply`, `policy.drift: revert` or "
        "`policy.input: apply` would act."
    ),
    "proposals_not_available": (
        "The policy asks for a pull request, and no `forge` is configured. Configure one, apply by hand, or choose "
        "another policy."
    ),
    "mixed_with_drift": (
        "An apply would also put back what somebody changed outside, and the policy does not allow that. Put "
        "it back by hand, commit it, or set `policy.drift: revert`."
    ),
    "mixed_with_pending": (
        "An apply would also do what a commit wants, and the policy does not allow that. Apply it by hand, or "
        "set `policy.pending: apply`."
    ),
    "mixed_with_input": (
        "An apply would also follow a change that no commit made, and the policy does not allow that. Look at "
        "it, or set `policy.input: apply`."
    ),
    "state_replaced": (
        "The state was lost, or another one stands in its place, so an apply could make everything a second time. "
        "Restore the state; or, if the new one is meant, apply once by hand: the next scan that finds everything in "
        "sync sets the baseline."
    ),
    "uncertain": (
        "It cannot be told whether this is a commit's change or one made outside. Look at it and apply once "
        "by hand; the next scan that finds everything in sync sets the baseline."
    ),
    "would_revert_ignored": (
        "An apply would change what an ignore rule covers. Use Terraform's `ignore_changes` for it, or take "
        "the rule out."
    ),
    "merged": "The commits are on the tracked branch, which is the approval.",
    "signed": "The commits that touch the environment are signed by known signers.",
    "not_signed": (
        "A commit that touches the environment has no good signature of a known signer. Sign it, or add the "
        "signer to the signers file."
    ),
    "history_rewritten": (
        "The tracked branch no longer contains the commit that was applied last. Apply once by hand after "
        "looking at what changed."
    ),
    "reviewed": "The commits that touch the environment came with pull requests that others approved.",
    "not_reviewed": (
        "A commit that touches the environment did not come with a pull request that enough people with write access, "
        "none of them its author, approved as it was merged. Apply it by hand after looking at it, or merge a reviewed "
        "revert."
    ),
    "review_not_available": "Approval by review needs a `forge` that can be asked. Configure GitHub or GitLab.",
    "approved": "Exactly this plan was proposed, and the proposal was merged.",
    "approval_void": (
        "An approval was merged that does not count for what is there now, so nothing was applied. A new proposal "
        "follows where one is wanted."
    ),
    "policy_propose": "The policy asks for a pull request; merging it is the approval.",
    "proposed": "A pull request says what would be done. Merge it, or close it to say no.",
    "proposal_waits": (
        "A pull request is open, and something speaks against it for now; merged, it is applied once nothing does."
    ),
    "proposal_merged": "The proposal was merged. The next run acts on it.",
    "acknowledged": (
        "A person closed the proposal for this very drift without merging it, which is an answer: it is not opened "
        "again until something else changes."
    ),
    "proposals_waiting": "As many proposals are open as `forge.most_open` allows. This one follows when one ends.",
    "proposal_failed": "The pull request could not be opened or brought up to date. The next run tries again.",
    "proposal_changed": (
        "Somebody pushed to the proposal's branch, so DriftGuard leaves it alone. Merge it, or delete the branch for a "
        "new proposal."
    ),
    "adopt_refused": "Reality cannot be written into the code with proof, so only putting it back is proposed.",
    "protected": "The plan destroys or replaces what `policy.protect` covers. Apply it by hand, or change `protect`.",
    "would_delete_almost_everything": (
        "The plan deletes nearly all there is, which is always held. Apply it by hand if it is meant."
    ),
    "limit_changes": "The plan changes more than `policy.limits.changes` allows. Raise it, or apply by hand.",
    "limit_destroys": "The plan destroys more than `policy.limits.destroys` allows. Raise it, or apply by hand.",
    "limit_replaces": "The plan replaces more than `policy.limits.replaces` allows. Raise it, or apply by hand.",
    "limit_share": "The plan touches a larger share than `policy.limits.share` allows. Raise it, or apply by hand.",
    "suspended": "Applies are suspended by the configuration. Take `policy.suspended` out, or wait for its end.",
    "window_closed": "No apply may start now. It starts by itself in the next window.",
    "flapping": (
        "The same drift was put back again and again: something else is fighting. Find out what, then run "
        "`driftguard retry ENV`."
    ),
    "backoff": (
        "The last attempt failed. The next starts by itself after that time, on a new commit, or after "
        "`driftguard retry ENV`."
    ),
    "local_state": "The state lies in a file of somebody's work tree, which is only read. Use a remote backend.",
    "acting_elsewhere": "Another reconciler is at work there. The next run looks again.",
    "applied": "The plan was applied, and the verification says what is left.",
    "apply_failed": "The apply did not finish; what it did is in the history. It is tried again after a while.",
    "plan_changed": (
        "Between the decision and the apply something changed, so nothing was applied. The next run decides anew."
    ),
    "locked": "Somebody holds the state lock, so nothing was applied. The next run tries again.",
    "not_planned": "The plan before the apply failed, so nothing was applied. The error says why.",
    "lease_lost": "Another reconciler took over, so nothing was applied.",
    "already_attempted": (
        "This very plan was attempted at this commit before. A new commit or `driftguard retry ENV` allows "
        "another attempt."
    ),
    "interrupted_attempt": "An earlier apply died and was closed; this run went on from what it left.",
    "environment_removed": (
        "The directory was removed from git. Nothing is destroyed: destroy what is left by hand, then run "
        "`driftguard forget ENV`."
    ),
}


def sentence(reason: str) -> str:
    """What a decision's reason, such as `limit_destroys: 2 of at most 0`, means and what would have to change."""
    name, _, detail = reason.partition(": ")
    text = REASONS[name]
    return f"{name} ({detail}): {text}" if detail else f"{name}: {text}"
