"""The vocabulary: frozen values that flow through a pass, named as in the contract. No I/O."""

from __future__ import annotations

from driftguard.model.findings import (
    AttributeChange,
    Classification,
    Decision,
    EnvironmentReport,
    Fault,
    OutputChange,
    ResourceChange,
    RunReport,
    Seconds,
)
from driftguard.model.ledger import Attempt, AttemptState, ChainFault, Entry, EntryKind, Lease
from driftguard.model.sources import (
    Baseline,
    Closure,
    Commit,
    ModuleSource,
    Signature,
    SignedBy,
    SourceFacts,
    ToolVersion,
    TreeEntry,
)
from driftguard.model.words import Action, ErrorKind, Label, Verdict

__all__ = [
    "Action",
    "Attempt",
    "AttemptState",
    "AttributeChange",
    "Baseline",
    "ChainFault",
    "Classification",
    "Closure",
    "Commit",
    "Decision",
    "Entry",
    "EntryKind",
    "EnvironmentReport",
    "ErrorKind",
    "Fault",
    "Label",
    "Lease",
    "ModuleSource",
    "OutputChange",
    "ResourceChange",
    "RunReport",
    "Seconds",
    "Signature",
    "SignedBy",
    "SourceFacts",
    "ToolVersion",
    "TreeEntry",
    "Verdict",
]
