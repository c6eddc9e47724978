"""Which texts are read as a plan, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from driftguard.model.plan_document import UnreadablePlan, read_document
from tests.support.plans import plan_text, resource

PLAN = plan_text(resource("toy_thing.t", state={"a": 1}, reality={"a": 2}, desired={"a": 1}))


def text(**members: Any) -> bytes:
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (text(format_version="1.0", values={"root_module": {}}), "this is a state, not a plan"),
        (text(version=4, serial=3, lineage="x", resources=[]), "this is a state, not a plan"),
        (text(format_version="1.0", valid=True, diagnostics=[]), "`terraform validate -json`"),
        (text(format_version="1.0", provider_schemas={}), "`terraform providers schema -json`"),
        (text(format_version="1.0", function_signatures={}), "`terraform metadata functions -json`"),
        (text(format_version="1.0"), "this holds no plan"),
        (b'{"@level":"info","type":"version"}\n{"@level":"info","type":"planned_change"}\n', "the log of"),
        (b"PK\x03\x04rest", "a saved plan file"),
        (b"\xff\xfeodd", "UTF-16 is damaged"),
        (text(format_version="0.2", resource_changes=[], configuration={"root_module": {}}), "before 1.1"),
        (text(format_version="0.2", resource_changes=[], resource_drift=[{"mode": "managed"}]), "before 1.1"),
        (text(format_version="2.0", resource_changes={}), "version 1 is"),
        (text(format_version="2.0", configuration={"root_module": {}}), "version 1 is"),
        (b"nothing of the kind", "not a plan"),
    ],
)
def test_what_is_no_plan_is_refused_by_name(given: bytes, says: str) -> None:
    with pytest.raises(UnreadablePlan, match=says.replace("(", r"\(")):
        read_document(given)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_plan_is_read_in_the_encodings_that_shells_write(encoding: str) -> None:
    marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    for mark in {b"", marks.get(encoding, b"")}:
        document = read_document(mark + PLAN.decode().encode(encoding))
        assert [item.address for item in document.resource_changes] == ["toy_thing.t"]


def test_the_plan_of_an_empty_configuration_is_a_plan() -> None:
    assert not read_document(text(format_version="1.2", planned_values={}, configuration={})).partial
