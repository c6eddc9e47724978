"""Cron expressions: which days they name, and which of them never come true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import pytest

from driftguard.config.cron import is_valid, next_after, previous

NEW_YEAR = datetime(2026, 1, 1)  # a Thursday


def days(expression: str, count: int = 4) -> list[str]:
    """The last days before the new year of 2026 that an expression names, newest first."""

    def backwards() -> Iterator[datetime]:
        found = previous(expression, NEW_YEAR)
        while found is not None:
            yield found
            found = previous(expression, found)

    return [moment.strftime("%a %d %b") for moment in islice(backwards(), count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 * * mon-fri", ["Wed 31 Dec", "Tue 30 Dec", "Mon 29 Dec", "Fri 26 Dec"]),
        ("0 9 * * sat-mon", ["Mon 29 Dec", "Sun 28 Dec", "Sat 27 Dec", "Mon 22 Dec"]),
        ("0 9 * * mon-sun", ["Wed 31 Dec", "Tue 30 Dec", "Mon 29 Dec", "Sun 28 Dec"]),
        ("0 9 * * SAT,7", ["Sun 28 Dec", "Sat 27 Dec", "Sun 21 Dec", "Sat 20 Dec"]),
        ("0 9 * * 5/2", ["Fri 26 Dec", "Fri 19 Dec", "Fri 12 Dec", "Fri 05 Dec"]),
        ("0 9 1 nov-feb *", ["Mon 01 Dec", "Sat 01 Nov", "Sat 01 Feb", "Wed 01 Jan"]),
        # Both fields of days choose: either is enough, also where one chooses by steps.
        ("0 9 13 * fri", ["Fri 26 Dec", "Fri 19 Dec", "Sat 13 Dec", "Fri 12 Dec"]),
        ("0 9 */10 * mon", ["Wed 31 Dec", "Mon 29 Dec", "Mon 22 Dec", "Sun 21 Dec"]),
        ("0 9 1 * */3", ["Wed 31 Dec", "Sun 28 Dec", "Sat 27 Dec", "Wed 24 Dec"]),
        ("0 9 29 2 *", ["Thu 29 Feb", "Sat 29 Feb", "Mon 29 Feb", "Wed 29 Feb"]),
    ],
)
def test_the_days_that_an_expression_names(expression: str, expected: list[str]) -> None:
    assert days(expression) == expected


@pytest.mark.parametrize(
    "expression", ["0 0 30 2 *", "0 0 31 4,6 *", "60 0 * * *", "0 24 * * *", "0 0 0 * *", "0 0 * * 8", "*/0 * * * *"]
)
def test_an_expression_that_never_comes_true_is_not_valid(expression: str) -> None:
    assert not is_valid(expression)


def test_the_last_moment_before_another_is_never_that_one() -> None:
    nine = datetime(2026, 1, 1, 9)
    assert previous("0 9 * * *", nine) == datetime(2025, 12, 31, 9)
    assert previous("0 9 * * *", nine.replace(microsecond=1)) == nine


def test_an_expression_without_a_next_moment_has_none_in_any_zone() -> None:
    assert previous("0 0 30 2 *", NEW_YEAR) is None
    assert next_after("0 0 31 4 *", "Europe/Berlin", NEW_YEAR.astimezone()) is None
