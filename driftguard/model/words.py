"""The words of the contract: labels, verdicts, actions, kinds of errors."""

from __future__ import annotations

from collections.abc import Mapping
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
    """The reason for the verdict `unknown` (`error.kind`)."""

    INIT = "init"
    PLAN = "plan"
    TIMEOUT = "timeout"
    LOCKED = "locked"
    DENIED = "denied"
    THROTTLED = "throttled"
    PARTIAL = "partial"
    STATE_MOVED = "state_moved"
    CONFIG = "config"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


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


def plain_words(label: str) -> str:
    """A label in plain words; one of a newer DriftGuard as it is."""
    return PLAIN_WORDS.get(label, label)


def verdict_text(verdict: str) -> str:
    """A verdict as a reader sees it, such as `in sync`."""
    return verdict.replace("_", " ")


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """A number of things, such as `1 environment` or `2 environments`; `nouns` is an irregular plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or noun + 's'}"
