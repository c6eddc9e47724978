"""The estate over time: what is open by day, how old, how long repairs took."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from driftguard.model.estate import LabelDay, Occurrence, RunDay
from driftguard.pipeline.trends import AgeBand, RepairTimes, Trends, age_bands, open_by_day, percentile, repair_times

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def test_what_was_open_before_the_first_day_counts_from_its_beginning() -> None:
    days = [LabelDay("", "drift", 5, 2), LabelDay("2026-11-02", "drift", 1, 0), LabelDay("2026-11-03", "drift", 0, 4)]
    found = list(open_by_day(days, date(2026, 11, 1), date(2026, 11, 4)))
    assert [dict(each.labels) for each in found] == [{"drift": 3}, {"drift": 4}, {}, {}]


def test_a_resource_with_two_labels_has_one_age() -> None:
    began = NOW - timedelta(days=2)
    both = [Occurrence("a", "x", label, "t", None, NOW, began) for label in ("drift", "residue", "pending")]
    bands = age_bands(both, NOW)
    assert [band for band in bands if band.count] == [AgeBand("under 3 days", 1)]
    assert len(bands) == 6


def test_repairs_are_counted_by_owner() -> None:
    found = repair_times({"a": [60, 600, 6000], None: [5]})
    assert found == (RepairTimes("a", 3, 600, 6000), RepairTimes(None, 1, 5, 5))


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(values: list[float], percent: int) -> None:
    values.sort()
    found = percentile(values, percent)
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_rates_leave_out_runs_that_did_not_record_how_they_looked() -> None:
    days = (RunDay("2026-11-27", 1, 10, 0, 1, 0.0, 1), RunDay("2026-11-28", 2, 20, 15, 2, 3.5, 0))
    found = Trends(NOW, NOW, (), (), (), (), days)
    assert (found.unknown_rate, found.probed_share, found.cpu_seconds) == (0.1, 0.75, 3.5)
    assert Trends(NOW, NOW, (), (), (), (), ()).unknown_rate is None
