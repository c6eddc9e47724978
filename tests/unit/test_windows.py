"""Windows on wall clocks with daylight-saving time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.config import Window
from driftguard.pipeline.decide.windows import window_state

BERLIN = ZoneInfo("Europe/Berlin")


def window(kind: str, expression: str, hours: float, zone: str = "Europe/Berlin") -> Window:
    return Window.model_validate({kind: expression, "for": f"{int(hours * 60)}m", "zone": zone})


def at(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


OFFICE = window("allow", "0 9 * * mon-fri", 8)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-23T08:59:59", False),
        ("2026-11-23T09:00:00", True),
        ("2026-11-23T16:59:59", True),
        ("2026-11-23T17:00:00", False),
        ("2026-11-22T12:00:00", False),
        ("2026-07-01T09:00:00", True),
        ("2026-07-01T17:00:00", False),
    ],
)
def test_an_allow_window_is_open_from_its_start_for_its_duration(moment: str, is_open: bool) -> None:
    assert window_state([OFFICE], at(moment)).open is is_open


def test_without_windows_it_is_always_open() -> None:
    assert window_state([], at("2026-01-01T00:00:00")).open


def test_deny_wins_over_allow_and_reports_it() -> None:
    freeze = window("deny", "0 0 20 12 *", 14 * 24, "UTC")
    state = window_state([OFFICE, freeze], at("2026-12-21T10:00:00"))
    assert not state.open
    assert state.because.startswith("denied by 0 0 20 12 *")
    assert window_state([OFFICE, freeze], at("2027-01-04T10:00:00")).open


def test_only_deny_windows_leave_all_other_time_open() -> None:
    assert window_state([window("deny", "0 9 * * *", 1)], at("2026-11-23T12:00:00")).open


def test_a_window_over_the_spring_change_lasts_its_elapsed_time() -> None:
    night = window("allow", "0 1 * * *", 3)  # 29 March 2026: 02:00 becomes 03:00
    assert window_state([night], at("2026-03-29T04:59:00")).open
    assert not window_state([night], at("2026-03-29T05:00:00")).open
    assert not window_state([night], at("2026-03-28T04:00:00")).open


def test_a_window_over_the_autumn_change_lasts_its_elapsed_time() -> None:
    night = window("allow", "0 1 * * *", 3)  # 25 October 2026: 03:00 becomes 02:00
    assert window_state([night], at("2026-10-25T02:59:00", fold=1)).open
    assert not window_state([night], at("2026-10-25T03:00:00")).open


def test_a_start_in_the_hour_that_is_skipped_opens_when_the_clocks_jump() -> None:
    night = window("allow", "30 2 * * *", 1)
    assert not window_state([night], at("2026-03-29T01:59:00")).open
    assert window_state([night], at("2026-03-29T03:00:00")).open
    assert window_state([night], at("2026-03-29T03:59:00")).open
    assert not window_state([night], at("2026-03-29T04:00:00")).open


def test_a_start_in_the_hour_that_comes_twice_opens_at_the_first() -> None:
    night = window("allow", "30 2 * * *", 0.5)
    assert window_state([night], at("2026-10-25T02:30:00", fold=0)).open
    assert not window_state([night], at("2026-10-25T02:30:00", fold=1)).open


def test_a_leap_day_window() -> None:
    leap = window("deny", "0 0 29 2 *", 24, "UTC")
    assert not window_state([leap], datetime(2028, 2, 29, 12, tzinfo=UTC)).open
    assert window_state([leap], datetime(2027, 3, 1, 12, tzinfo=UTC)).open


moments = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


@given(moments, zones)
def test_a_window_as_long_as_its_period_never_closes(moment: datetime, zone: str) -> None:
    assert window_state([window("allow", "0 * * * *", 2, zone)], moment).open


@given(moments, zones, st.integers(0, 23), st.integers(1, 30))
def test_allow_and_deny_of_the_same_time_are_opposites(moment: datetime, zone: str, hour: int, hours: int) -> None:
    expression = f"15 {hour} * * *"
    allowed = window_state([window("allow", expression, hours, zone)], moment).open
    denied = window_state([window("deny", expression, hours, zone)], moment).open
    assert allowed is not denied


@given(moments, zones, st.integers(0, 23))
def test_a_daily_hour_is_open_for_an_hour_a_day(moment: datetime, zone: str, hour: int) -> None:
    daily = [window("allow", f"0 {hour} * * *", 1, zone)]
    quarters = [moment + timedelta(minutes=15 * n) for n in range(4 * 72)]
    hours_open = sum(window_state(daily, quarter).open for quarter in quarters) / 4
    assert 2 <= hours_open <= 4  # three days; a change of the clocks moves one start into or out of them


def test_a_closed_window_states_when_the_next_opens() -> None:
    friday = at("2026-11-27T18:00:00")
    assert (
        window_state([OFFICE], friday).because == "outside of every allow window; the next opens 2026-11-30 08:00 UTC"
    )
    saturdays = window("allow", "30 6 * * sat", 1, "UTC")
    assert window_state([OFFICE, saturdays], friday).because.endswith("the next opens 2026-11-28 06:30 UTC")
