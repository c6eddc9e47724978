"""The words of the contract: labels, verdicts, actions, kinds of errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final


class Label(StrEnum):
    """The cause of a changed attribute or resource."""

    DRIFT = "drift"
    ABSORBED = "absorbed"
    PENDING = "pending"
    CONFLICT = "conflict"
    ADOPTED = "adopted"
    INPUT = "input"
    RESTLESS = "restless"
    DERIVED = "derived"
    RESIDUE = "residue"
    REFACTOR = "refactor"
    NOISE = "noise"


class Verdict(StrEnum):
    """The state of an environment, as a run found it."""

    IN_SYNC = "in_sync"
    DRIFTED = "drifted"
    PENDING = "pending"
    DIVERGED = "diverged"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """The action of a decision."""

    NONE = "none"
    ALERT = "alert"
    PROPOSE = "propose"
    APPLY = "apply"
    HOLD = "hold"


class ErrorKind(StrEnum):
    """The reason for the verdict `unknown` (`error.kind`).

    Attributes:
        brief: what happened, for a line of an alert.
        text: what it means and what to do about it, in whole sentences.
    """

    brief: str
    text: str

    def __new__(cls, name: str, brief: str, text: str) -> ErrorKind:
        """Each member is its name, which is a string; the rest are its attributes."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.brief, member.text = brief, text
        return member

    INIT = (
        "init",
        "terraform init failed",
        "`terraform init` failed: a backend, a provider or a module could not be loaded. Run it in the environment's "
        "directory with the same variables and credentials. The registries and module sources have to be reachable "
        "from here, and the lock file has to cover this platform (`terraform providers lock`).",
    )
    PLAN = (
        "plan",
        "the plan failed",
        "Terraform could not plan; the message is Terraform's own. Run `terraform plan` in the environment's directory "
        "at the same commit, and fix what it names in the configuration or its variables.",
    )
    TIMEOUT = (
        "timeout",
        "the plan timed out",
        "Terraform did not end within `timeout` and was stopped. If it needs longer, raise `timeout` for the "
        "environment; otherwise look for a provider that hangs with `driftguard scan ENV -v`.",
    )
    LOCKED = (
        "locked",
        "the state is locked",
        "Another process holds the state lock. The next run retries. If no apply is running any more, release the lock "
        "with `terraform force-unlock ID`; the message has the id.",
    )
    DENIED = (
        "denied",
        "permission denied",
        "The cloud, the backend or a registry refused the credentials. The message names the call. Give the plan role "
        "that permission, or correct the role, the profile or the variables in `env`.",
    )
    THROTTLED = (
        "throttled",
        "API rate limit exceeded",
        "The cloud's API rate limit was exceeded. The next run retries. If it happens in every run, lower "
        "`concurrency` or lengthen the interval between runs.",
    )
    PARTIAL = (
        "partial",
        "the plan is incomplete",
        "The plan ended early or deferred changes, so no label would be certain. Run `terraform plan` in the "
        "environment's directory to see what is missing, often an apply that has to come first.",
    )
    STATE_MOVED = (
        "state_moved",
        "the state changed during planning",
        "The state changed during planning, twice in a row: another process is applying. The next run retries.",
    )
    CONFIG = (
        "config",
        "invalid configuration",
        "Something that the plan needs is missing or contradicts itself: a Terraform version, a var file, a variable, "
        "a directory, a state that is no part of git. The message names it. Correct `driftguard.yaml` or the machine; "
        "`driftguard doctor` checks both.",
    )
    DEPENDENCY = (
        "dependency",
        "outputs of another unit are missing",
        "A Terragrunt unit takes outputs of another one that has none yet, or mock outputs stood in for them, so no "
        "label would be certain. Apply the unit that the message names first.",
    )
    PLATFORM = (
        "platform",
        "the platform did not plan",
        "HCP Terraform, Terraform Enterprise or a server like them did not answer, or did not begin or end a run. The "
        "message names the call and the run. The next run retries; if it happens in every run, look at the run's page "
        "and at the platform's status, and raise `tfe.queue_timeout` where its queue is long.",
    )
    INTERRUPTED = (
        "interrupted",
        "the run was interrupted",
        "The run was stopped by a signal before it had planned the environment. The next run plans it.",
    )
    INTERNAL = (
        "internal",
        "internal error of DriftGuard",
        "DriftGuard, or a program that it needs, failed for this environment alone. Fix what the message names. For a "
        "defect it names a log in `defects/` of the state folder: report the defect with it.",
    )


#: Changed outside Terraform, by a call that a trail may know.
CHANGED_OUTSIDE: Final = frozenset({Label.DRIFT, Label.ABSORBED, Label.CONFLICT})
#: Changed outside Terraform, or left behind by a failed apply: what a drift alert and a drift fingerprint are about.
OUTSIDE: Final = CHANGED_OUTSIDE | {Label.RESIDUE}
#: What makes an environment `drifted`, and what `policy.drift` covers.
DRIFTED: Final = frozenset({Label.DRIFT, Label.ABSORBED, Label.RESIDUE})
#: What a change of the configuration can take over as it is.
ADOPTABLE: Final = frozenset({Label.DRIFT, Label.ABSORBED})
#: What no change of the configuration can take over.
NOT_ADOPTABLE: Final = OUTSIDE - ADOPTABLE
#: What makes an environment `pending`.
UNAPPLIED: Final = frozenset({Label.PENDING, Label.INPUT, Label.REFACTOR})
#: What a commit asks for, and what `policy.pending` covers.
COMMITTED: Final = frozenset({Label.PENDING, Label.REFACTOR})
#: What neither a commit nor an outside change asks for, and what `policy.input` covers.
UNCOMMITTED: Final = frozenset({Label.INPUT, Label.DERIVED})
#: Labels of the object, which stand beside those of its attributes.
OF_THE_OBJECT: Final = frozenset({Label.RESIDUE, Label.REFACTOR})
#: What nothing is to be done about.
SETTLED: Final = frozenset({Label.NOISE, Label.ADOPTED})

# Each label in plain words, for tables, alerts and pull requests.
PLAIN_WORDS: Final[Mapping[str, str]] = {
    "drift": "changed outside Terraform",
    "absorbed": "changed outside Terraform, already in the state",
    "pending": "merged, not applied",
    "conflict": "changed outside Terraform and by a commit",
    "adopted": "changed outside Terraform and by a commit, to the same value",
    "input": "changed by a data source, a variable or a provider",
    "restless": "planned again whatever is applied",
    "derived": "follows from another change",
    "residue": "left behind by a failed apply",
    "refactor": "address changed, object unchanged",
    "noise": "equivalent, or ignored by the configuration",
}


_BRIEF: Final[Mapping[str, str]] = {kind.value: kind.brief for kind in ErrorKind}


def plain_words(label: str) -> str:
    """A label in plain words; one of a newer DriftGuard as it is."""
    return PLAIN_WORDS.get(label, label)


def verdict_text(verdict: str) -> str:
    """A verdict as a reader sees it, such as `in sync`."""
    return verdict.replace("_", " ")


def error_text(kind: str) -> str:
    """What happened, by an error's kind, for a line of an alert; one of a newer DriftGuard is a failed plan."""
    return _BRIEF.get(kind, ErrorKind.PLAN.brief)


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """A number of things, such as `1 environment` or `2 environments`; `nouns` is an irregular plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or noun + 's'}"


def code_that_runs(runs: Sequence[str]) -> Iterator[str]:
    """The code of a commit that runs while a Terragrunt unit is read or planned, in one sentence; nothing without any.

    Args:
        runs: its places, such as `before_hook lint` and `run_cmd`.
    """
    if runs:
        yield f"Code of the commit runs while the unit is read or planned: {', '.join(runs)}."
