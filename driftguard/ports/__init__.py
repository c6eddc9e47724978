"""The outside things a pass needs, one small protocol each, named by need."""

from __future__ import annotations

from driftguard.ports.alerts import Alerts, Outbox, Sink
from driftguard.ports.engine import (
    ApplyRun,
    Backend,
    Engine,
    LockInfo,
    PlanRun,
    StateIdentity,
    StateLock,
    StreamDrift,
    WorkingDirectory,
)
from driftguard.ports.record import Attempts, Clock, Leases, Ledger
from driftguard.ports.source import Branches, Forge, Repository

__all__ = [
    "Alerts",
    "ApplyRun",
    "Attempts",
    "Backend",
    "Branches",
    "Clock",
    "Engine",
    "Forge",
    "Leases",
    "Ledger",
    "LockInfo",
    "Outbox",
    "PlanRun",
    "Repository",
    "Sink",
    "StateIdentity",
    "StateLock",
    "StreamDrift",
    "WorkingDirectory",
]
