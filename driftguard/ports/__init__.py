"""The outside things a run needs, one small protocol each, named by need."""

from __future__ import annotations

from driftguard.ports.alerts import Alerts, BlockAuthors, Outbox, Sink, Sinks, Trail
from driftguard.ports.approvals import Signatures
from driftguard.ports.defects import DefectLog
from driftguard.ports.engine import (
    ApplyEngine,
    ApplyProgress,
    ApplyRun,
    Backend,
    LockInfo,
    PlanEngine,
    PlanRun,
    StateIdentity,
    StateLock,
    StateLocks,
    StreamDrift,
    WorkingDirectory,
)
from driftguard.ports.forge import HostedForge, RequestForge, RequestReader, RequestWriter, ReviewReader
from driftguard.ports.machine import EnvironmentFolders, Folders, Machine, Purpose, StopSignal, TerraformVariables
from driftguard.ports.record import (
    AttemptHistory,
    Attempts,
    Baselines,
    Clock,
    DigestKey,
    Journal,
    JournalReader,
    Leases,
    LedgerCheck,
    RunLedger,
)
from driftguard.ports.schemas import SchemaCache
from driftguard.ports.source import (
    Blame,
    Branches,
    ConfigurationReader,
    History,
    Merges,
    Repository,
    SourceReader,
    TrackedHead,
)

__all__ = [
    "Alerts",
    "ApplyEngine",
    "ApplyProgress",
    "ApplyRun",
    "AttemptHistory",
    "Attempts",
    "Backend",
    "Baselines",
    "Blame",
    "BlockAuthors",
    "Branches",
    "Clock",
    "ConfigurationReader",
    "DefectLog",
    "DigestKey",
    "EnvironmentFolders",
    "Folders",
    "History",
    "HostedForge",
    "Journal",
    "JournalReader",
    "Leases",
    "LedgerCheck",
    "LockInfo",
    "Machine",
    "Merges",
    "Outbox",
    "PlanEngine",
    "PlanRun",
    "Purpose",
    "Repository",
    "RequestForge",
    "RequestReader",
    "RequestWriter",
    "ReviewReader",
    "RunLedger",
    "SchemaCache",
    "Signatures",
    "Sink",
    "Sinks",
    "SourceReader",
    "StateIdentity",
    "StateLock",
    "StateLocks",
    "StopSignal",
    "StreamDrift",
    "TerraformVariables",
    "TrackedHead",
    "Trail",
    "WorkingDirectory",
]
