"""The generated page about AWS types: what a row says of trials that were right, wrong or not made."""

from __future__ import annotations

from lab.aws import TYPES, Trials, section, with_section
from lab.aws_types import TWELVE


def test_a_row_states_what_was_right_and_why_not() -> None:
    instance, database, table = TWELVE[:3]
    trials = Trials(uncreated={table.name: "moto: not | implemented"})
    trials.note(instance, "at once", "")
    trials.note(instance, "tag", "tags.owner: noise")
    trials.note(database, "deleted", "")
    found = section(trials, "3.39.0", (instance, database, table))
    rows = found.splitlines()[-3:]
    assert rows == [
        "| `aws_instance` | yes |  | no |  |  |  |  | tag: tags.owner: noise |",
        "| `aws_db_instance` |  |  |  |  |  | yes |  |  |",
        "| `aws_dynamodb_table` |  |  |  |  |  |  |  | not created: moto: not / implemented |",
    ]
    assert "2 types tried, 3 trials, 2 right, 1 not;\n1 type could not be created." in found


def test_each_type_is_tried_once() -> None:
    names = [type_.name for type_ in TYPES]
    assert len(names) == len(set(names)) >= 40


def test_a_run_replaces_the_section_of_its_own_version() -> None:
    old, new = section(Trials(), "3.39.0", TWELVE[:1]), section(Trials(), "5.100.0", TWELVE[:1])
    both = with_section(with_section("", new), old)
    assert [line for line in both.splitlines() if line.startswith("## ")] == [
        "## Provider 3.39.0",
        "## Provider 5.100.0",
    ]
    assert with_section(both, new) == both
