"""Whole runs without Terraform: scan, decide, apply, record, and the error boundary of an environment."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from driftguard.adapters.git.repository import open_repository
from driftguard.adapters.machine import ThisMachine
from driftguard.config import Policy
from driftguard.model import Action, Attempt, AttemptState, EntryKind
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline import history
from driftguard.pipeline.checkout import EnvironmentRun, ScanContext
from driftguard.pipeline.commits import LastScans
from driftguard.pipeline.decide.history import Past, past
from driftguard.pipeline.record import attempt_opened_entry, scan_entry
from driftguard.ports import PlanRun, WorkingDirectory
from driftguard.ports.engine import Applier
from tests.support.harness import Toy
from tests.support.memory_engine import MemoryEngine
from tests.support.memory_estate import MemoryEstate, found, outcome

NO_PROCESS = 2**22 + 1  # beyond the largest process id of Linux


@pytest.fixture
def estate(tmp_path: Path) -> MemoryEstate:
    return MemoryEstate(tmp_path, ("blue", "green"))


def test_a_first_run_applies_everything_and_a_second_one_finds_it_in_sync(estate: MemoryEstate) -> None:
    first = estate.run(acts=True)
    assert [outcome(first, name) for name in ("blue", "green")] == [("in_sync", "apply")] * 2
    assert estate.toys["blue"].thing("web")["value"] == "one"
    second = estate.run(acts=True)
    assert [outcome(second, name) for name in ("blue", "green")] == [("in_sync", "none")] * 2
    assert {found(second, name).tool for name in ("blue", "green")} == {"Terraform 1.11.4"}
    assert estate.toys["blue"].effects() == ["create web"]


def test_a_scan_reports_drift_and_changes_nothing(estate: MemoryEstate) -> None:
    estate.run(acts=True)
    estate.toys["blue"].change("web", value="outside")
    result = estate.run(acts=False)
    assert [outcome(result, name) for name in ("blue", "green")] == [("drifted", "apply"), ("in_sync", "none")]
    assert estate.toys["blue"].thing("web")["value"] == "outside"
    assert estate.toys["blue"].effects() == ["create web"]


def test_drift_is_reverted_and_a_commit_is_applied(estate: MemoryEstate) -> None:
    estate.run(acts=True)
    estate.toys["blue"].change("web", value="outside")
    commit = estate.write({"green": "two"})
    result = estate.run(acts=True)
    assert [str(found(result, name).decision.reasons[0]) for name in ("blue", "green")] == [
        "policy_revert: drift",
        "policy_apply: pending",
    ]
    assert (estate.toys["blue"].thing("web")["value"], estate.toys["green"].thing("web")["value"]) == ("one", "two")
    baseline = estate.ledger.baseline("green")
    assert baseline is not None
    assert baseline.commit == commit


def test_a_failed_apply_is_held_and_recorded(estate: MemoryEstate) -> None:
    estate.toys["blue"].faults(fail_create=["web"])
    result = estate.run(acts=True)
    assert outcome(result, "blue")[1] == "hold"
    assert found(result, "blue").decision.reasons[0].name == "apply_failed"
    assert outcome(result, "green") == ("in_sync", "apply")
    (attempt,) = estate.ledger.attempts.recent("blue", result.started_at)
    assert attempt.state is AttemptState.FAILED
    assert attempt.data["resources"] == {"toy_thing.web": "failed"}


def test_an_attempt_that_died_is_closed_before_anything_else(estate: MemoryEstate) -> None:
    first = estate.run(acts=True)
    facts = {"lock_id": "x", **ThisMachine().identity(), "process_group": NO_PROCESS}
    died = Attempt("dead", "blue", "c" * 40, "plan", None, "run", AttemptState.OPEN, first.finished_at, data=facts)
    assert estate.ledger.attempts.open(died, attempt_opened_entry(died))
    scanned = estate.run(acts=False)
    assert found(scanned, "blue").warnings == ()
    result = estate.run(acts=True)
    (warning,) = found(result, "blue").warnings
    assert "The attempt dead" in warning
    assert "before it changed anything" in warning
    assert estate.ledger.attempts.unfinished("blue") == ()


def test_an_environment_that_another_reconciler_holds_is_left_to_it(estate: MemoryEstate) -> None:
    assert estate.ledger.leases.acquire("blue", "another", datetime.now(UTC), 300.0) is not None
    result = estate.run(acts=True)
    assert outcome(result, "blue") == ("pending", "hold")
    assert found(result, "blue").decision.reasons[0].name == "acting_elsewhere"
    assert outcome(result, "green") == ("in_sync", "apply")
    assert estate.toys["blue"].effects() == []


def test_a_run_begins_with_the_environments_that_waited_longest(tmp_path: Path) -> None:
    estate = MemoryEstate(tmp_path, ("blue", "green", "red"))

    def judged() -> list[str | None]:
        """The environments of one run, in the order in which they were judged."""
        before = len(estate.ledger.entries(kinds=[EntryKind.SCANNED]))
        estate.run(acts=False, parallelism=1)
        return [entry.environment for entry in estate.ledger.entries(kinds=[EntryKind.SCANNED])][before:]

    assert judged() == ["blue", "green", "red"]
    # An agent that ended in the middle of a run had judged these two.
    scans = {entry.environment: entry for entry in estate.ledger.entries(kinds=[EntryKind.SCANNED])}
    for name in ("green", "blue"):
        estate.ledger.append(replace(scans[name], at=datetime.now(UTC)))
    assert judged() == ["red", "green", "blue"]
    estate.toys["new"] = Toy(tmp_path / "clouds" / "new")
    estate.write({"new": "one"})
    assert judged()[0] == "new"


class Defective(MemoryEngine):
    """Fails as no engine is expected to."""

    def backend(self, work: WorkingDirectory) -> None:
        raise ZeroDivisionError("in the adapter")


def test_a_defect_in_one_environment_is_its_own_unknown_and_leaves_a_log(
    estate: MemoryEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["driftguard", "scan", "--repo", "https://me:hunter22@git.example/x"])
    estate.broken["blue"] = Defective(estate.states)
    result = estate.run(acts=True)
    assert [each.verdict.value for each in result.environments] == ["unknown", "in_sync"]
    fault = found(result, "blue").fault
    assert fault is not None
    (log,) = (estate.folder / "defects").glob("*.log")
    assert str(log) in fault.message
    assert log.stat().st_mode & 0o777 == 0o600
    text = log.read_text()
    for expected in ("DriftGuard 0", "Python 3", "Command: driftguard scan", "run of blue", "ZeroDivisionError"):
        assert expected in text
    assert "hunter22" not in text


def test_a_run_is_recorded_from_its_start_to_its_end(estate: MemoryEstate) -> None:
    result = estate.run(acts=True)
    entries = estate.ledger.entries()
    kinds = [entry.kind for entry in entries]
    assert (kinds[0], kinds[-1]) == (EntryKind.RUN_STARTED, EntryKind.RUN_FINISHED)
    assert kinds.count(EntryKind.SCANNED) == kinds.count(EntryKind.ATTEMPT_OPENED) == 2
    assert (entries[0].data["count"], entries[0].data["whole"]) == (2, True)
    [blue] = estate.ledger.entries(environment="blue", kinds=[EntryKind.SCANNED])
    assert blue.data["closure_files"] == ["environments/blue/main.tf"]
    assert entries[-1].data["summary"] == {verdict.value: count for verdict, count in result.summary.items()}
    assert [scan.report.name for scan in history.last_scans(estate.ledger, [])] == ["blue", "green"]


def test_of_a_closure_of_many_files_the_first_ones_are_recorded() -> None:
    files = [f"{number:05}.tf" for number in range(1500)]
    data = scan_entry("run", "c0", datetime(2026, 1, 1, tzinfo=UTC), EnvironmentReport(), closure_files=files).data
    assert (data["closure_files"], data["closure_files_omitted"]) == (files[:1000], 500)


def test_an_environment_whose_directory_is_gone_is_reported_as_removed(estate: MemoryEstate) -> None:
    estate.run(acts=True)
    estate.sandbox.git("rm", "-r", "--quiet", "environments/blue")
    estate.sandbox.commit("remove blue")
    result = estate.run(acts=True)
    assert [*map(str, found(result, "blue").decision.reasons)] == ["environment_removed"]
    assert estate.toys["blue"].thing("web")["value"] == "one"


def test_a_commit_makes_due_what_it_changes(estate: MemoryEstate) -> None:
    estate.run(acts=True)
    hashes = {name: scan.data["closure_hash"] for name, scan in estate.ledger.latest(EntryKind.SCANNED).items()}

    def last_scans() -> LastScans:
        repository = open_repository(str(estate.sandbox.repository), estate.folder / "cache", None)
        return LastScans(repository, estate.ledger, repository.head)

    assert last_scans().differing(hashes) == frozenset()
    assert last_scans().differing({**hashes, "green": "another", "new": "hash"}) == {"green", "new"}
    estate.sandbox.commit("approve", {".driftguard/approvals/blue/plan.yaml": "version: 1\n"})
    assert last_scans().differing(hashes) == {"blue"}
    assert not last_scans().file_differs(hashes.keys(), "driftguard.yaml")
    estate.write({}, "policy: {}\n")
    assert last_scans().file_differs(hashes.keys(), "driftguard.yaml")


def test_nothing_that_a_scan_holds_can_apply_or_unlock() -> None:
    changing = {name for name in vars(Applier) if not name.startswith("_")}
    assert changing == {"apply", "force_unlock"}
    for context in (ScanContext, EnvironmentRun):
        for item in fields(context):
            port = get_type_hints(context)[item.name]
            assert not changing & set(dir(port)), f"{context.__name__}.{item.name}"


class PushingEngine(MemoryEngine):
    """While it plans, a commit is pushed."""

    def __init__(self, estate: MemoryEstate) -> None:
        super().__init__(estate.states)
        self._estate = estate

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        run = super().plan(work, plan_file, lock_timeout_seconds=lock_timeout_seconds)
        self._estate.sandbox.commit("stop", {"driftguard.yaml": "policy: {suspended: {reason: stop}}\n"})
        return run


def test_a_commit_that_is_pushed_during_a_run_stops_what_has_not_begun(estate: MemoryEstate) -> None:
    estate.broken["blue"] = PushingEngine(estate)
    result = estate.run(acts=True)
    decision = found(result, "blue").decision
    assert (decision.action, [str(reason.name) for reason in decision.reasons]) == (Action.HOLD, ["head_moved"])
    assert decision.reasons[0].passes
    assert estate.toys["blue"].effects() == []
    assert estate.ledger.attempts.recent("blue", datetime.min.replace(tzinfo=UTC)) == ()


class LosingEngine(PushingEngine):
    """While it plans, the repository goes away."""

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        run = MemoryEngine.plan(self, work, plan_file, lock_timeout_seconds=lock_timeout_seconds)
        self._estate.sandbox.repository.rename(self._estate.folder / "away")
        return run


def test_a_branch_that_cannot_be_asked_again_holds_as_well(tmp_path: Path) -> None:
    estate = MemoryEstate(tmp_path, ("blue",))
    estate.broken["blue"] = LosingEngine(estate)
    decision = found(estate.run(acts=True), "blue").decision
    assert "could not be asked again" in decision.reasons[0].detail
    assert estate.toys["blue"].effects() == []


def test_retry_and_backoff_go_by_the_journal_and_not_by_a_clock_of_the_future() -> None:
    now, policy = datetime(2026, 11, 1, tzinfo=UTC), Policy()
    later = now + timedelta(days=5 * 365)
    failed = Attempt("1", "blue", "c", "p", "d", "run", AttemptState.FAILED, later, later, sequence=7)
    facts: dict[str, Any] = {"commit": "c", "drift_fingerprint": "d", "policy": policy, "now": now}
    assert past([failed], retried=None, **facts) == Past(1, now + policy.backoff.first, 0, now)
    assert past([failed], retried=8, **facts) == Past(0, None, 0)
    assert past([failed], retried=6, **facts).failures == 1
    reverted = replace(failed, state=AttemptState.SUCCEEDED)
    assert past([reverted], retried=None, **facts).reverts == 1


def test_the_inputs_of_a_decision_are_in_the_journal(estate: MemoryEstate) -> None:
    estate.run(acts=False)
    entry = estate.ledger.latest(EntryKind.SCANNED)["blue"]
    inputs = entry.data["inputs"]
    assert (inputs["nothing_exists"], inputs["approvals"]["approved"]) == (True, True)
    assert inputs["policies"][0]["pending"] == "apply"


class OvertakenEngine(MemoryEngine):
    """While it makes its first plan, another reconciler makes a whole run."""

    def __init__(self, estate: MemoryEstate) -> None:
        super().__init__(estate.states)
        self._estate, self.plans = estate, 0

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        self.plans += 1
        if self.plans == 1:
            del self._estate.broken["blue"]
            self._estate.run(acts=True, machine="other")
        return super().plan(work, plan_file, lock_timeout_seconds=lock_timeout_seconds)


def test_a_scan_that_another_reconciler_overtook_is_made_again_with_its_baseline(tmp_path: Path) -> None:
    estate = MemoryEstate(tmp_path, ("blue",))
    estate.run(acts=True)
    commit = estate.write({"blue": "two"})
    overtaken = estate.broken["blue"] = OvertakenEngine(estate)
    assert outcome(estate.run(acts=True), "blue") == ("in_sync", "none")
    baseline = estate.ledger.baseline("blue")
    assert baseline is not None
    assert (overtaken.plans, baseline.commit, baseline.origin) == (2, commit, "apply")
    assert estate.ledger.digests("blue") is not None
