"""Tables of the command line: aligned, within the width of the terminal, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from driftguard.cli.columns import cells, columns

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


def test_columns_are_aligned_and_lines_end_without_spaces() -> None:
    first, rows = columns(("environment", "verdict"), [("dev", "in sync"), ("production", "-")], 80)
    assert [first, *rows] == [
        "ENVIRONMENT  VERDICT",
        "dev          in sync",
        "production   -",
    ]


def test_the_widest_column_is_folded_to_fit_and_the_others_stay_whole() -> None:
    first, (row,) = columns(("no.", "detail"), [("1", "one two three four five six")], 20)
    assert first == "NO.  DETAIL"
    assert row == "1    one two three\n     four five six"


def test_a_word_that_is_wider_than_its_column_is_folded_too() -> None:
    _, (row,) = columns(("a", "b"), [("x" * 25, "y")], 15)
    assert "".join(row.split()).replace("y", "") == "x" * 25


def test_wide_characters_count_twice() -> None:
    _, rows = columns(("name", "at"), [("東京", "1"), ("abcd", "2")], 80)
    assert rows == ["東京  1", "abcd  2"]


def test_a_control_character_does_not_reach_the_terminal() -> None:
    _, (row,) = columns(("name",), [("a\x1b[31mb",)], 80)
    assert row == "a�[31mb"


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=5), st.integers(40, 120))
def test_lines_stay_within_the_width_and_keep_every_printable_character(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    first, lines = columns(("one", "two", "three"), rows, width)
    assert all(cells(line) <= width for line in "\n".join([first, *lines]).split("\n"))
    for row, printed in zip(rows, lines, strict=True):
        wanted = sorted(c for cell in row for c in cell if c.isprintable() and not c.isspace())
        assert sorted(c for c in printed if not c.isspace() and c != "�") == [c for c in wanted if c != "�"]
