"""What the environments of one run share, and what each of them is run with. Values and ports alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from driftguard.config import AlertSettings, EnvironmentSettings
from driftguard.model import Acknowledgement, Baseline, Closure
from driftguard.model.looks import Look
from driftguard.pipeline.apply.apply import ApplyContext
from driftguard.pipeline.approve.gather import ApprovalSources
from driftguard.pipeline.checkout import ScanContext
from driftguard.pipeline.dependencies import Dependencies
from driftguard.pipeline.propose.context import ProposalContext
from driftguard.pipeline.propose.journal import ProposalJournal
from driftguard.pipeline.recorded import RecordedPlan
from driftguard.pipeline.states import KnownStates
from driftguard.ports import (
    Alerts,
    ApplyEngine,
    AttemptHistory,
    Clock,
    DefectLog,
    EnvironmentFolders,
    PlanEngine,
    Probe,
    RunLedger,
    StopSignal,
)


@dataclass(frozen=True, slots=True)
class Probing:
    """How a run looks at environments without plans.

    Attributes:
        audit: the share of environments found the same that are planned all the same, 0 to 1.
        looks: whether this run probes; if not, its plans are recorded for the next one.
    """

    probe: Probe
    audit: float
    looks: bool


@dataclass(frozen=True, slots=True)
class RunContext:
    """What all environments of one run share.

    Attributes:
        retried: the journal's sequence number of the last `driftguard retry`, by environment.
        approved_points: the commit up to which everything was approved, by environment.
        given_baselines: baselines by environment that the caller knows better than the ledger.
        alerts: where alerts are kept; None for a scan.
        states: whose state is whose, so that none of two environments that share one is applied.
        silences: the operators' words that alerts are not to be sent, by environment.
        can_propose: whether a forge is configured and answers.
        proposing: what pull requests are opened with; None for a scan, and where there is no forge.
        apply: what applies are made with; None for a scan.
        probing: None where no plan is recorded.
        looks: the newest looks before this run that confirmed a report, by environment.
        dependencies: in which order environments are applied; None for a scan, which needs none.
    """

    run_id: str
    scan: ScanContext
    ledger: RunLedger
    attempts: AttemptHistory
    approvals: ApprovalSources
    proposals: ProposalJournal
    folders: EnvironmentFolders
    clock: Clock
    stop: StopSignal
    defects: DefectLog
    alert_settings: AlertSettings
    retried: Mapping[str, int]
    approved_points: Mapping[str, str]
    given_baselines: Mapping[str, Baseline]
    states: KnownStates
    can_propose: bool
    silences: Mapping[str, Acknowledgement] = field(default_factory=dict)
    alerts: Alerts | None = None
    proposing: ProposalContext | None = None
    apply: ApplyContext | None = None
    probing: Probing | None = None
    looks: Mapping[str, Look] = field(default_factory=dict)
    dependencies: Dependencies | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentTask:
    """One environment that is to be run.

    Attributes:
        closure: at the head of the tracked branch.
        applier: None for a scan.
        stop: ends what runs for this environment.
        listening: the engine whose plans are recorded; None where they are not.
        recorded: the plan that a probe found to stand still, so that none is made.
        planned_at: when that plan was made.
        probe_seconds: the CPU seconds of the provider that the probe cost.
        throttled: a rate limit keeps it from being looked at now.
        watched: why nothing is applied here whatever the policy is: what it describes applies by itself; else empty.
        audited: the plan that a probe found to stand still, but which is made again to prove it.
    """

    settings: EnvironmentSettings
    closure: Closure
    engine: PlanEngine
    applier: ApplyEngine | None
    stop: StopSignal
    listening: PlanEngine | None = None
    recorded: RecordedPlan | None = None
    planned_at: datetime | None = None
    probe_seconds: float = 0.0
    throttled: bool = False
    audited: RecordedPlan | None = None
    watched: str = ""
