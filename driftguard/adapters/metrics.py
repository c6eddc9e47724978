"""The agent's metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

from driftguard import __version__
from driftguard.model import ErrorKind, Outage, Verdict
from driftguard.model.reasons import ReasonName
from driftguard.model.report import EnvironmentReport, ProbeCounts, RunReport

if TYPE_CHECKING:
    from prometheus_client import Metric

T = TypeVar("T")
_STEPS: Final = ("init", "plan", "show", "total")
_RUN_BUCKETS: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_STEP_BUCKETS: Final = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200)
# Reasons of decisions that name the outcome of an apply.
_OUTCOMES: Final = frozenset(
    {
        ReasonName.APPLIED,
        ReasonName.APPLY_FAILED,
        ReasonName.PLAN_CHANGED,
        ReasonName.LEASE_LOST,
        ReasonName.LOCKED,
        ReasonName.NOT_PLANNED,
    }
)
_PROBE_COUNTERS: Final = {
    "seconds": "CPU seconds of providers that probes cost.",
    "looks": "Environments that were probed.",
    "differences": "Probes that found something changed since the last plan.",
    "audits": "Plans of environments that a probe found unchanged.",
    "audits_wrong": "Audits whose plan was another one.",
    "false_alarms": "Probes that found another answer, where the plan found the environment in sync.",
}
# The causes of a failed run: the configuration, an outage, a defect.
_RUN_FAILURES: Final = ("usage", "run", "defect")


@dataclass(frozen=True, slots=True)
class _LastLook:
    """How an environment was looked at last; `planned` is None where it has no plan."""

    checked_by: str
    planned: float | None
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The values of the gauges, replaced as a whole, so that a reader never sees half of a run."""

    verdicts: dict[str, str] = field(default_factory=dict)
    drift_age_seconds: dict[str, float] = field(default_factory=dict)
    alerts_waiting: int = 0
    failing_seconds: dict[str, float] = field(default_factory=dict)
    last_run: float | None = None
    probe_share: float | None = None
    looks: dict[str, _LastLook] = field(default_factory=dict)


class Metrics:
    """The metrics for Prometheus. The number of series is bounded by the number of environments."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._snapshot = _Snapshot()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Gauges(self))
        self._run_seconds = Histogram(
            "driftguard_pass_seconds", "Duration of runs.", buckets=_RUN_BUCKETS, registry=self._registry
        )
        self._environment_seconds = Histogram(
            "driftguard_environment_seconds",
            "Duration of the steps of one environment.",
            ["step"],
            buckets=_STEP_BUCKETS,
            registry=self._registry,
        )
        self._applies = Counter("driftguard_applies", "Applies, by outcome.", ["outcome"], registry=self._registry)
        self._alerts = Counter("driftguard_alerts", "Delivered alerts, by kind.", ["kind"], registry=self._registry)
        self._errors = Counter(
            "driftguard_errors",
            "Environments with the verdict unknown, and failed runs, by kind.",
            ["kind"],
            registry=self._registry,
        )
        self._probes = {
            name: Counter(f"driftguard_probe_{name}", text, registry=self._registry)
            for name, text in _PROBE_COUNTERS.items()
        }
        # A counter that appears only with its first event hides that event from `rate()`.
        for kind in (*(kind.value for kind in ErrorKind), *_RUN_FAILURES):
            self._errors.labels(kind)
        for outcome in _OUTCOMES:
            self._applies.labels(outcome.value)
        build = Gauge("driftguard_build_info", "The running version.", ["version"], registry=self._registry)
        build.labels(__version__).set(1)

    def observe(
        self,
        report: RunReport,
        *,
        drift_since: Mapping[str, datetime],
        alerts_sent: Mapping[str, int],
        alerts_waiting: int,
        now: datetime,
        outages: Sequence[Outage] = (),
        environments: Collection[str] | None = None,
    ) -> None:
        """Count one run.

        Args:
            drift_since: when the drift of each environment that has drifted now was first seen.
            alerts_sent: how many alerts of each kind were delivered since the last call.
            alerts_waiting: number of undelivered alerts.
            outages: of the sinks that take no alerts now.
            environments: all that exist now, if the report covers only some of them; others are removed.
        """
        seen: dict[str, str] = {each.name: each.verdict for each in report.environments}
        existing = set(seen) | set(environments) if environments is not None else set(seen)
        finished = datetime.fromisoformat(report.finished_at)
        self._snapshot = _Snapshot(
            verdicts=_of(existing, self._snapshot.verdicts | seen),
            drift_age_seconds={
                name: max(0.0, (now - since).total_seconds()) for name, since in drift_since.items() if name in existing
            },
            alerts_waiting=alerts_waiting,
            failing_seconds={each.target: max(0.0, (now - each.since).total_seconds()) for each in outages},
            last_run=finished.timestamp(),
            looks=_of(existing, self._snapshot.looks | {e.name: _look(e) for e in report.environments}),
            probe_share=report.probe.answered / len(seen) if report.probe and seen else None,
        )
        if report.probe is not None:
            self.observe_probe(report.probe)
        self._run_seconds.observe((finished - datetime.fromisoformat(report.started_at)).total_seconds())
        for each in report.environments:
            self._observe_environment(each)
        for kind, count in alerts_sent.items():
            self._alerts.labels(kind).inc(count)

    def observe_probe(self, counts: ProbeCounts) -> None:
        """Count the probes of a run, or of one look between two runs."""
        for name, value in (
            ("seconds", counts.cpu_seconds),
            ("looks", counts.looked),
            ("differences", counts.differed),
            ("audits", counts.audited),
            ("audits_wrong", counts.wrong),
            ("false_alarms", counts.false_alarms),
        ):
            self._probes[name].inc(value)

    def failed(self, kind: str) -> None:
        """Count a failed run; `kind` is one of a few fixed words: `usage`, `run`, `defect`."""
        self._errors.labels(kind).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    @property
    def snapshot(self) -> _Snapshot:
        """The present values of the gauges."""
        return self._snapshot

    def _observe_environment(self, environment: EnvironmentReport) -> None:
        for step in _STEPS:
            seconds = getattr(environment.seconds, step)
            # A step that was left out took no time; it would only pull the others down.
            if seconds > 0:
                self._environment_seconds.labels(step).observe(seconds)
        if environment.error is not None:
            self.failed(environment.error.kind)
        for reason in environment.decision.reasons:
            if reason.name in _OUTCOMES:
                self._applies.labels(str(reason.name)).inc()


def _of(names: Collection[str], values: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in values.items() if name in names}


def _look(report: EnvironmentReport) -> _LastLook:
    planned = None if report.planned_at is None else datetime.fromisoformat(report.planned_at).timestamp()
    return _LastLook(report.checked_by, planned, report.cpu_seconds)


class _Gauges:
    """Turns the snapshot into gauges at each request, so that removed environments have none."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        snapshot = self._metrics.snapshot
        counts = GaugeMetricFamily("driftguard_environments", "Environments, by their verdict.", labels=["verdict"])
        each = GaugeMetricFamily(
            "driftguard_environment_verdict",
            "1 for an environment's verdict, 0 for every other.",
            labels=["environment", "verdict"],
        )
        for verdict in Verdict:
            counts.add_metric([verdict.value], sum(v == verdict for v in snapshot.verdicts.values()))
            for name in sorted(snapshot.verdicts):
                each.add_metric([name, verdict.value], float(snapshot.verdicts[name] == verdict))
        ages = GaugeMetricFamily(
            "driftguard_drift_age_seconds", "Age of the drift since it was first found.", labels=["environment"]
        )
        for name, seconds in sorted(snapshot.drift_age_seconds.items()):
            ages.add_metric([name], seconds)
        failing = GaugeMetricFamily(
            "driftguard_sink_failing_seconds", "Time for which a sink has taken no alerts.", labels=["sink"]
        )
        for name, seconds in sorted(snapshot.failing_seconds.items()):
            failing.add_metric([name], seconds)
        planned = GaugeMetricFamily(
            "driftguard_environment_planned_timestamp_seconds",
            "When the plan was made that the verdict rests on, in seconds since 1970.",
            labels=["environment"],
        )
        cpu = GaugeMetricFamily(
            "driftguard_environment_cpu_seconds",
            "CPU seconds of all programs of the last look, a plan or a probe.",
            labels=["environment", "checked_by"],
        )
        for name, look in sorted(snapshot.looks.items()):
            cpu.add_metric([name, look.checked_by], look.cpu_seconds)
            if look.planned is not None:
                planned.add_metric([name], look.planned)
        yield from (counts, each, ages, failing, planned, cpu)
        yield GaugeMetricFamily(
            "driftguard_alerts_waiting", "Alerts that are not delivered yet.", value=snapshot.alerts_waiting
        )
        if snapshot.probe_share is not None:
            yield GaugeMetricFamily(
                "driftguard_probe_share",
                "Share of the last run's environments that a probe answered, so that they needed no plan.",
                value=snapshot.probe_share,
            )
        if snapshot.last_run is not None:
            yield GaugeMetricFamily(
                "driftguard_last_pass_timestamp_seconds",
                "End of the last run, in seconds since 1970.",
                value=snapshot.last_run,
            )
