"""What every ledger must do, whatever it is stored in: subclasses give the fixtures."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.errors import SafetyRefusal
from driftguard.model import Attempt, AttemptState, Baseline, Entry, EntryKind
from driftguard.model.digests import Digests
from driftguard.model.looks import Look, WatchDay
from driftguard.pipeline.record import attempt_opened_entry, attempt_step, baseline_moved_entry
from driftguard.sealed import Sealed

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SCANNED, STARTED = EntryKind.SCANNED, EntryKind.RUN_STARTED


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def scanned(environment: str | None = "dev", seconds: float = 0, **data: Any) -> Entry:
    return Entry(SCANNED, at(seconds), "run-1", environment, data)


def attempt(**changes: Any) -> Attempt:
    fields: dict[str, Any] = {
        "id": "a1",
        "environment": "dev",
        "commit": "c" * 40,
        "plan_fingerprint": "f1",
        "drift_fingerprint": None,
        "run_id": "run-1",
        "state": AttemptState.OPEN,
        "opened_at": NOW,
    }
    return Attempt(**{**fields, **changes})


def opened(ledger: SqlLedger, new: Attempt) -> bool:
    """Open an attempt as a run does."""
    return ledger.attempts.open(new, attempt_opened_entry(new))


def advanced(
    ledger: SqlLedger, moving: Attempt, state: AttemptState, moment: datetime, data: Mapping[str, Any]
) -> Attempt:
    """Take an attempt a step on as a run does."""
    return ledger.attempts.advance(moving.id, attempt_step(moving, state, moment, data))


def baseline(commit: str = "c1", **changes: Any) -> Baseline:
    fields: dict[str, Any] = {
        "commit": commit,
        "origin": "apply",
        "closure_hash": "h1",
        "lineage": "l1",
        "serial": 7,
        "tool": "terraform 1.11.4",
        "providers": {"registry.terraform.io/hashicorp/aws": "3.39.0"},
        "at": NOW,
    }
    return Baseline(**{**fields, **changes})


class LedgerContract:
    """Behaviour of the ports. A subclass gives the fixture `ledger`."""

    # --- the journal ---

    def test_an_entry_comes_back_as_it_was_appended(self, ledger: SqlLedger) -> None:
        data = {"text": "ü ≠ \u0000 \ud800", "list": [1, 2.5, None, True], "deep": {"a": {"b": []}}}
        ledger.append(Entry(SCANNED, NOW, "run-1", "dev", data))
        (entry,) = ledger.entries()
        assert (entry.kind, entry.at, entry.run_id, entry.environment, entry.data) == (
            SCANNED,
            NOW,
            "run-1",
            "dev",
            data,
        )
        assert entry.sequence == 1
        assert entry.hash is not None
        assert len(entry.hash) == 64

    def test_sequences_have_no_gap_and_go_on_over_transactions(self, ledger: SqlLedger) -> None:
        ledger.append(scanned(), scanned("prod"))
        ledger.append()
        ledger.append(scanned(None))
        assert [e.sequence for e in ledger.entries()] == [1, 2, 3]
        assert ledger.verify() == ()

    def test_moments_come_back_in_utc_whatever_zone_they_came_in(self, ledger: SqlLedger) -> None:
        ledger.append(replace(scanned(), at=NOW.astimezone(timezone(timedelta(hours=-7)))))
        (entry,) = ledger.entries()
        assert entry.at == NOW
        assert entry.at.utcoffset() == timedelta(0)

    def test_a_moment_without_a_time_zone_is_refused_and_nothing_is_written(self, ledger: SqlLedger) -> None:
        with pytest.raises(ValueError, match="time zone"):
            ledger.append(scanned(), replace(scanned(), at=datetime(2026, 3, 1)))
        with pytest.raises(ValueError, match="time zone"):
            ledger.leases.acquire("dev", "a", datetime(2026, 3, 1), 60)
        assert ledger.entries() == ()
        ledger.append(scanned())
        assert [e.sequence for e in ledger.entries()] == [1]

    def test_a_sealed_value_cannot_be_written(self, ledger: SqlLedger) -> None:
        with pytest.raises(TypeError):
            ledger.append(scanned(value=Sealed("s3cret")))
        assert ledger.entries() == ()

    def test_entries_are_found_by_environment_kind_and_time(self, ledger: SqlLedger) -> None:
        ledger.append(
            Entry(STARTED, at(0), "run-1"), scanned("dev", 1), scanned("prod", 2), scanned("dev", 3), scanned("dev", 4)
        )
        assert [e.sequence for e in ledger.entries(environment="dev")] == [2, 4, 5]
        assert [e.sequence for e in ledger.entries(kinds=[STARTED])] == [1]
        assert [e.sequence for e in ledger.entries(kinds=[STARTED, SCANNED], until=at(2))] == [1, 2, 3]
        assert [e.sequence for e in ledger.entries(environment="dev", since=at(3))] == [4, 5]
        assert [e.sequence for e in ledger.entries(environment="dev", since=at(3), until=at(3))] == [4]
        assert ledger.entries(environment="none") == ()

    def test_a_limit_keeps_the_newest_entries_oldest_first(self, ledger: SqlLedger) -> None:
        ledger.append(*(scanned(seconds=n) for n in range(5)))
        assert [e.sequence for e in ledger.entries(limit=2)] == [4, 5]

    def test_the_latest_entry_of_each_environment_is_found_as_of_a_moment(self, ledger: SqlLedger) -> None:
        ledger.append(Entry(STARTED, at(0), "run-1"), scanned("dev", 1), scanned("prod", 2), scanned("dev", 3))
        assert {name: e.sequence for name, e in ledger.latest(SCANNED).items()} == {"dev": 4, "prod": 3}
        assert {name: e.sequence for name, e in ledger.latest(SCANNED, until=at(2)).items()} == {"dev": 2, "prod": 3}
        assert {name: e.sequence for name, e in ledger.latest(SCANNED, until=at(1)).items()} == {"dev": 2}
        assert ledger.latest(STARTED) == {}
        assert ledger.latest(EntryKind.BASELINE_MOVED) == {}

    def test_entries_written_while_the_clock_went_back_keep_their_order(self, ledger: SqlLedger) -> None:
        ledger.append(scanned(seconds=100))
        ledger.append(scanned(seconds=50))
        assert [e.at for e in ledger.entries()] == [at(100), at(50)]
        assert ledger.latest(SCANNED)["dev"].at == at(50)
        assert ledger.verify() == ()

    def test_threads_append_without_loss(self, ledger: SqlLedger) -> None:
        def work(worker: int) -> None:
            for number in range(10):
                ledger.append(scanned(f"env-{worker}", number=number))
                ledger.entries(environment=f"env-{worker}", limit=1)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert [e.sequence for e in ledger.entries()] == list(range(1, 81))
        assert [e.data["number"] for e in ledger.entries(environment="env-3")] == list(range(10))
        assert ledger.verify() == ()

    # --- key and baselines ---

    def test_the_key_stays_the_same(self, ledger: SqlLedger) -> None:
        assert len(ledger.key()) == 32
        assert ledger.key() == ledger.key()

    def test_a_baseline_is_none_then_the_last_one_moved_to(self, ledger: SqlLedger) -> None:
        assert ledger.baseline("dev") is None
        ledger.append(baseline_moved_entry("run-1", at(1), "dev", baseline("c1")))
        second = baseline("c2", lineage=None, serial=None, providers={})
        ledger.append(baseline_moved_entry("run-2", at(2), "dev", second))
        ledger.append(baseline_moved_entry("run-2", at(2), "prod", baseline("c3")))
        assert ledger.baseline("dev") == second
        assert ledger.baseline("prod") == baseline("c3")

    def test_a_baseline_move_is_in_the_journal_with_its_run(self, ledger: SqlLedger) -> None:
        ledger.append(baseline_moved_entry("run-9", at(5), "dev", baseline("c1")))
        (entry,) = ledger.entries(kinds=[EntryKind.BASELINE_MOVED])
        assert (entry.environment, entry.run_id, entry.at) == ("dev", "run-9", at(5))
        assert entry.data["commit"] == "c1"
        assert entry.data["at"] == "2026-03-01T12:00:00.000000+00:00"

    def test_a_baseline_that_another_run_moved_is_not_replaced(self, ledger: SqlLedger) -> None:
        first, second, late = baseline("c1", at=at(1)), baseline("c2", at=at(2)), baseline("c3", at=at(3))
        assert ledger.replace_baseline(None, baseline_moved_entry("run-1", at(1), "dev", first))
        assert not ledger.replace_baseline(None, baseline_moved_entry("run-2", at(3), "dev", late))
        assert ledger.replace_baseline(first, baseline_moved_entry("run-1", at(2), "dev", second))
        assert not ledger.replace_baseline(first, baseline_moved_entry("run-2", at(3), "dev", late))
        assert ledger.baseline("dev") == second

    def test_digests_of_a_baseline_that_is_not_in_force_any_more_are_not_kept(self, ledger: SqlLedger) -> None:
        first, second = baseline("c1", at=at(1)), baseline("c2", at=at(2))
        ledger.append(baseline_moved_entry("run-1", at(1), "dev", first))
        ledger.append(baseline_moved_entry("run-2", at(2), "dev", second))
        ledger.keep_digests("dev", second, Digests({"a": {"x": b"1"}}))
        ledger.keep_digests("dev", first, Digests({"a": {"x": b"2"}}))
        assert ledger.digests("dev") == Digests({"a": {"x": b"1"}})

    # --- leases ---

    def test_the_newest_look_that_confirmed_a_report_is_kept(self, ledger: SqlLedger) -> None:
        assert ledger.looks() == {}
        ledger.keep_looks([Look("dev", 1, at(1), 1, 0.5), Look("prod", 2, at(1))])
        ledger.keep_looks([Look("dev", 1, at(9), 2, 0.25)])
        assert ledger.looks() == {"dev": Look("dev", 1, at(9), 3, 0.25), "prod": Look("prod", 2, at(1))}
        assert ledger.looks(at(8)).keys() == {"prod"}
        ledger.keep_looks([Look("dev", 3, at(5))])  # a newer report, under a clock that was set back
        ledger.keep_looks([Look("dev", 1, at(20))])  # of a run that took long
        assert ledger.looks()["dev"] == Look("dev", 3, at(5))
        assert ledger.entries() == ()
        assert not ledger.verify()

    def test_rounds_of_a_watch_are_counted_by_day(self, ledger: SqlLedger) -> None:
        for day in ("2026-11-27", "2026-11-28", "2026-11-28"):
            ledger.keep_looks([], [WatchDay(day, 1, 10, 9, 1, 0.5)])
        assert ledger.watch_days("2026-11-28", "2026-11-30") == (WatchDay("2026-11-28", 2, 20, 18, 2, 1.0),)
        assert len(ledger.watch_days("2026-11-01", "2026-11-28")) == 2

    def test_a_lease_keeps_others_out_until_it_expires(self, ledger: SqlLedger) -> None:
        lease = ledger.leases.acquire("dev", "a", at(0), 60)
        assert lease is not None
        assert lease.expires_at == at(60)
        assert ledger.leases.acquire("dev", "b", at(59.9), 60) is None
        assert ledger.leases.acquire("prod", "b", at(0), 60) is not None
        assert ledger.leases.acquire("dev", "b", at(60), 60) is not None

    def test_the_holder_can_take_its_lease_again_and_renew_it(self, ledger: SqlLedger) -> None:
        lease = ledger.leases.acquire("dev", "a", at(0), 60)
        assert lease is not None
        again = ledger.leases.acquire("dev", "a", at(10), 60)
        assert again is not None
        assert again.expires_at == at(70)
        renewed = ledger.leases.renew(lease, at(40), 60)
        assert renewed is not None
        assert renewed.expires_at == at(100)
        assert ledger.leases.acquire("dev", "b", at(99), 60) is None

    def test_a_lease_taken_by_another_after_expiry_cannot_be_renewed_or_released(self, ledger: SqlLedger) -> None:
        lost = ledger.leases.acquire("dev", "a", at(0), 60)
        assert lost is not None
        assert ledger.leases.acquire("dev", "b", at(61), 60) is not None
        assert ledger.leases.renew(lost, at(62), 60) is None
        ledger.leases.release(lost)
        assert ledger.leases.acquire("dev", "a", at(63), 60) is None

    def test_an_expired_lease_that_no_user_took_can_be_renewed(self, ledger: SqlLedger) -> None:
        lease = ledger.leases.acquire("dev", "a", at(0), 60)
        assert lease is not None
        assert ledger.leases.renew(lease, at(70), 60) is not None
        assert ledger.leases.acquire("dev", "b", at(80), 60) is None

    def test_a_released_lease_is_free_and_cannot_be_renewed(self, ledger: SqlLedger) -> None:
        lease = ledger.leases.acquire("dev", "a", at(0), 60)
        assert lease is not None
        ledger.leases.release(lease)
        ledger.leases.release(lease)
        assert ledger.leases.renew(lease, at(1), 60) is None
        assert ledger.leases.acquire("dev", "b", at(1), 60) is not None

    def test_a_clock_that_goes_back_never_shortens_a_lease(self, ledger: SqlLedger) -> None:
        lease = ledger.leases.acquire("dev", "a", at(0), 60)
        assert lease is not None
        renewed = ledger.leases.renew(lease, at(-3600), 60)
        assert renewed is not None
        assert renewed.expires_at == at(60)
        taken = ledger.leases.acquire("dev", "a", at(-3600), 60)
        assert taken is not None
        assert taken.expires_at == at(60)
        assert ledger.leases.acquire("dev", "b", at(-3500), 60) is None

    def test_a_lease_that_was_taken_under_a_clock_of_the_future_is_void(self, ledger: SqlLedger) -> None:
        years = 5 * 365 * 86400
        assert ledger.leases.acquire("dev", "a", at(years), 60) is not None
        taken = ledger.leases.acquire("dev", "b", at(0), 60)
        assert taken is not None
        assert taken.expires_at == at(60)
        assert ledger.leases.acquire("dev", "a", at(1), 60) is None

    def test_of_many_racers_exactly_one_gets_the_lease(self, ledger: SqlLedger) -> None:
        ledger.leases.acquire("dev", "dead", at(-100), 60)
        start = threading.Barrier(8)

        def race(racer: int) -> bool:
            start.wait()
            return ledger.leases.acquire("dev", f"holder-{racer}", at(0), 60) is not None

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(race, range(8))) == 1

    # --- attempts ---

    def test_an_attempt_is_recorded_before_anything_happens(self, ledger: SqlLedger) -> None:
        new = attempt(data={"approval": "merged"}, drift_fingerprint="d1", retry=2)
        assert opened(ledger, new)
        assert ledger.attempts.unfinished("dev") == (new,)
        (entry,) = ledger.entries(environment="dev")
        assert (entry.kind, entry.at, entry.run_id) == (EntryKind.ATTEMPT_OPENED, NOW, "run-1")
        assert entry.data["attempt"] == "a1"
        assert entry.data["plan_fingerprint"] == "f1"
        assert entry.data["data"] == {"approval": "merged"}

    def test_the_same_commit_and_plan_cannot_be_attempted_twice(self, ledger: SqlLedger) -> None:
        assert opened(ledger, attempt())
        assert not opened(ledger, attempt(id="a2"))
        assert len(ledger.entries()) == 1
        assert opened(ledger, attempt(id="a3", environment="prod"))
        assert opened(ledger, attempt(id="a4", commit="d" * 40))
        assert opened(ledger, attempt(id="a5", plan_fingerprint="f2"))

    @pytest.mark.parametrize("end", [AttemptState.SUCCEEDED, AttemptState.FAILED])
    def test_an_attempt_that_changed_something_blocks_its_repetition(
        self, ledger: SqlLedger, end: AttemptState
    ) -> None:
        opened(ledger, attempt())
        advanced(ledger, attempt(), AttemptState.APPLYING, at(1), {})
        advanced(ledger, attempt(), end, at(2), {})
        assert not opened(ledger, attempt(id="a2"))
        assert opened(ledger, attempt(id="a2", retry=1))

    def test_a_void_attempt_does_not_block_a_later_one(self, ledger: SqlLedger) -> None:
        for number in range(3):
            assert opened(ledger, attempt(id=f"a{number}"))
            advanced(ledger, attempt(id=f"a{number}"), AttemptState.VOID, at(1), {})
        assert opened(ledger, attempt(id="a3"))
        assert not opened(ledger, attempt(id="a4"))

    def test_an_attempt_moves_on_and_gathers_its_data(self, ledger: SqlLedger) -> None:
        opened(ledger, attempt(data={"a": 1}))
        applying = advanced(ledger, attempt(), AttemptState.APPLYING, at(1), {"lock": "id-1"})
        assert (applying.state, applying.finished_at, applying.data) == ("applying", None, {"a": 1, "lock": "id-1"})
        assert ledger.attempts.unfinished("dev") == (applying,)
        ended = advanced(ledger, applying, AttemptState.SUCCEEDED, at(9), {"a": 2})
        assert (ended.state, ended.finished_at, ended.data) == ("succeeded", at(9), {"a": 2, "lock": "id-1"})
        assert ledger.attempts.unfinished("dev") == ()
        assert ledger.attempts.recent("dev", NOW) == (ended,)
        kinds = [entry.kind for entry in ledger.entries()]
        assert kinds == [EntryKind.ATTEMPT_OPENED, EntryKind.ATTEMPT_PROGRESS, EntryKind.ATTEMPT_FINISHED]
        assert [entry.data["data"] for entry in ledger.entries()] == [{"a": 1}, {"lock": "id-1"}, {"a": 2}]

    def test_what_another_run_records_about_an_attempt_names_that_run(self, ledger: SqlLedger) -> None:
        opened(ledger, attempt())
        ended = advanced(ledger, attempt(run_id="run-2"), AttemptState.FAILED, at(1), {})
        assert ended.run_id == "run-1"
        assert [entry.run_id for entry in ledger.entries()] == ["run-1", "run-2"]

    def test_an_end_is_final(self, ledger: SqlLedger) -> None:
        opened(ledger, attempt())
        advanced(ledger, attempt(), AttemptState.FAILED, at(1), {})
        with pytest.raises(SafetyRefusal, match="already recorded as failed"):
            advanced(ledger, attempt(), AttemptState.SUCCEEDED, at(2), {})
        assert len(ledger.entries()) == 2

    def test_an_attempt_that_began_to_apply_cannot_become_void(self, ledger: SqlLedger) -> None:
        opened(ledger, attempt())
        advanced(ledger, attempt(), AttemptState.APPLYING, at(1), {})
        with pytest.raises(ValueError, match="from applying to void"):
            advanced(ledger, attempt(), AttemptState.VOID, at(2), {})

    def test_an_attempt_that_was_never_opened_cannot_move(self, ledger: SqlLedger) -> None:
        with pytest.raises(ValueError, match="never opened"):
            advanced(ledger, attempt(), AttemptState.APPLYING, at(1), {})

    def test_recent_attempts_come_in_the_order_they_were_opened(self, ledger: SqlLedger) -> None:
        for number, seconds in enumerate([0, 20, 10]):
            opened(ledger, attempt(id=f"a{number}", plan_fingerprint=f"f{number}", opened_at=at(seconds)))
        assert [a.id for a in ledger.attempts.recent("dev", at(10))] == ["a1", "a2"]
        assert ledger.attempts.recent("prod", at(0)) == ()

    def test_of_many_racers_exactly_one_opens_the_attempt(self, ledger: SqlLedger) -> None:
        start = threading.Barrier(6)

        def race(racer: int) -> bool:
            start.wait()
            return opened(ledger, attempt(id=f"racer-{racer}"))

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(race, range(6))) == 1
        assert len(ledger.entries()) == 1
