"""Looks that found an environment as its last report has it: they write no entry of their own."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Look(Struct, frozen=True):
    """The newest look by a probe that confirmed the last report of an environment.

    Attributes:
        sequence: of the report's entry in the journal; a look at an earlier report counts no more.
        times: how many looks have confirmed it.
        cpu_seconds: of the newest look.
    """

    environment: str
    sequence: int
    at: datetime
    times: int = 1
    cpu_seconds: float = 0.0


class WatchDay(Struct, frozen=True):
    """What the watch did between runs on one day.

    Attributes:
        day: in UTC, as in `2026-11-28`.
        rounds: how often it looked at all environments.
        looked: how many environments it asked about, over all rounds.
        answered: how many of them stood as they were planned.
        differed: how many of them had changed.
        cpu_seconds: of the providers.
    """

    day: str
    rounds: int
    looked: int
    answered: int
    differed: int
    cpu_seconds: float
