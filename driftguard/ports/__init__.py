"""The outside things a pass needs, one small protocol each, named by need."""

from __future__ import annotations

from driftguard.ports.alerts import Alerts, BlockAuthors, Outbox, Sink, Sinks, Trail
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
from driftguard.ports.forge import HostedForge, RequestForge, RequestReader, RequestWriter, ReviewReader
from driftguard.ports.record import Attempts, Clock, JournalReader, Leases, Ledger
from driftguard.ports.source import Blame, Branches, History, Merges, Repository, SourceReader

__all__ = [
    "Alerts",
    "ApplyRun",
    "Attempts",
    "Backend",
    "Blame",
    "BlockAuthors",
    "Branches",
    "Clock",
    "Engine",
    "History",
    "HostedForge",
    "JournalReader",
    "Leases",
    "Ledger",
    "LockInfo",
    "Merges",
    "Outbox",
    "PlanRun",
    "Repository",
    "RequestForge",
    "RequestReader",
    "RequestWriter",
    "ReviewReader",
    "Sink",
    "Sinks",
    "SourceReader",
    "StateIdentity",
    "StateLock",
    "StreamDrift",
    "Trail",
    "WorkingDirectory",
]
