"""The generated page about AWS types: what a row says of trials that were right, wrong or not made."""

from __future__ import annotations

from lab.aws import TYPES, Trials, page
from lab.aws_types import TWELVE


def test_a_row_says_what_was_right_and_why_not() -> None:
    instance, database, table = TWELVE[:3]
    trials = Trials(uncreated={table.name: "moto: not | implemented"})
    trials.note(instance, "at once", "")
    trials.note(instance, "tag", "tags.owner: noise")
    trials.note(database, "deleted", "")
    rows = page(trials, (instance, database, table)).splitlines()[-3:]
    assert rows == [
        "| `aws_instance` | yes |  | no |  |  |  |  | tag: tags.owner: noise |",
        "| `aws_db_instance` |  |  |  |  |  | yes |  |  |",
        "| `aws_dynamodb_table` |  |  |  |  |  |  |  | not created: moto: not / implemented |",
    ]
    assert "2 types tried, 3 trials, 2 right, 1 not;\n1 type could not be created." in page(trials)


def test_each_type_is_tried_once() -> None:
    names = [type_.name for type_ in TYPES]
    assert len(names) == len(set(names)) >= 40
