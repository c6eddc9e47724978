"""The words of the contract: labels, verdicts, actions, kinds of errors."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Label(StrEnum):
    """The cause of one changed attribute or resource."""

    DRIFT = "drift"
    ABSORBED = "absorbed"
    PENDING = "pending"
    CONFLICT = "conflict"
    ADOPTED = "adopted"
    INPUT = "input"
    DERIVED = "derived"
    RESIDUE = "residue"
    REFACTOR = "refactor"
    NOISE = "noise"


class Verdict(StrEnum):
    """What an environment is."""

    IN_SYNC = "in_sync"
    DRIFTED = "drifted"
    PENDING = "pending"
    DIVERGED = "diverged"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """What is done about a verdict."""

    NONE = "none"
    ALERT = "alert"
    PROPOSE = "propose"
    APPLY = "apply"
    HOLD = "hold"


class ErrorKind(StrEnum):
    """Why a verdict is unknown (`error.kind`)."""

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


# Each label as people read it.
PLAIN_WORDS: Final[Mapping[str, str]] = {
    "drift": "changed outside",
    "absorbed": "changed outside, already in the state",
    "pending": "merged, not applied",
    "conflict": "changed outside and by a commit",
    "adopted": "the configuration caught up with reality",
    "input": "changed by neither a commit nor anybody outside",
    "derived": "follows from another change",
    "residue": "left behind by a failed apply",
    "refactor": "address changed, object stays",
    "noise": "no difference in meaning",
}
