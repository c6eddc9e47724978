"""Moves an environment's baseline after an apply or a scan in sync, and keeps its digests."""

from __future__ import annotations

from driftguard.model import Baseline, Verdict
from driftguard.model.digests import Digests
from driftguard.pipeline.baseline import Reference, keep_in_sync
from driftguard.pipeline.record import baseline_moved_entry, in_sync_baseline
from driftguard.pipeline.scan import Findings
from driftguard.ports import Clock, PlanEngine, RunLedger


class BaselineKeeper:
    """The baseline of one environment during one run."""

    def __init__(self, ledger: RunLedger, engine: PlanEngine, clock: Clock, name: str, run_id: str, head: str) -> None:
        self._ledger, self._engine, self._clock = ledger, engine, clock
        self._name, self._run_id, self._head = name, run_id, head
        self._digests: Digests | None = None
        self._before: Baseline | None = None

    def in_force(self) -> Baseline | None:
        """The baseline as the ledger has it now; a scan in sync moves it only if it is still that one."""
        self._before = self._ledger.baseline(self._name)
        return self._before

    def reference(self, baseline: Baseline | None, *, just_applied: bool = False) -> Reference:
        """What the next scan compares with."""
        kept = baseline is not None and baseline.origin != "given" and not just_applied
        self._digests = self._ledger.digests(self._name) if kept else None
        return Reference(baseline, self._digests, just_applied)

    def applied(self, findings: Findings) -> Baseline:
        """Move the baseline to what was just applied."""
        now = self._clock.now()
        state = self._engine.state_identity(findings.plan.work)
        baseline = Baseline(
            commit=self._head,
            origin="apply",
            closure_hash=findings.closure_hash,
            lineage=state.lineage,
            serial=state.serial,
            tool=str(self._engine.version()),
            providers=dict(findings.providers),
            at=now,
            empty=state.empty,
        )
        self._ledger.append(baseline_moved_entry(self._run_id, now, self._name, baseline))
        return baseline

    def verified(self, baseline: Baseline | None, findings: Findings) -> None:
        """Keep the digests of the state that an apply wrote."""
        if baseline is not None and findings.digests is not None:
            self._ledger.keep_digests(self._name, baseline, findings.digests)

    def in_sync(self, before: Baseline | None, findings: Findings, key: bytes) -> Baseline | None:
        """Move the baseline after a scan in sync; the baseline after it. One without digests gets them."""
        now = self._clock.now()
        moved = in_sync_baseline(
            findings.classification.verdict,
            before,
            commit=self._head,
            closure_hash=findings.closure_hash,
            state=findings.state,
            tool=str(self._engine.version()),
            providers=findings.providers,
            at=now,
        )
        if moved is not None:
            entry = baseline_moved_entry(self._run_id, now, self._name, moved)
            if not self._ledger.replace_baseline(self._before, entry):
                return self._ledger.baseline(self._name)  # another run moved it, after it scanned or applied
        in_sync = findings.classification.verdict is Verdict.IN_SYNC
        kept = moved or (before if in_sync and self._digests is None else None)
        if kept is not None and kept.origin != "given":
            plan, found = findings.plan, findings.classification
            keep_in_sync(self._ledger, self._engine, self._name, kept, self._digests, plan, found, key)
        return moved or before


class AppliedBaseline:
    """The baseline of a plan that is about to be applied.

    Attributes:
        moved: what it was moved to; None until the plan was applied as a whole.
    """

    def __init__(self, keeper: BaselineKeeper, findings: Findings) -> None:
        self._keeper, self._findings = keeper, findings
        self.moved: Baseline | None = None

    def move(self) -> None:
        """Move it to what was just applied."""
        self.moved = self._keeper.applied(self._findings)
