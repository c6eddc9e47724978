"""Outputs of other units: which of them changed, and which mocks stand in for them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from driftguard.adapters.terragrunt.upstream import refuse_silent_mocks
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind, Verdict
from driftguard.model.units import UnitDependency, UpstreamRow, UpstreamState
from driftguard.pipeline.upstream import upstream_rows

KEY = b"key"
NAMES = {"live/net": "net"}


def rows(outputs: dict[str, bytes], before: UpstreamRow | None, verdict: Verdict) -> UpstreamRow:
    known = {} if before is None else {"live/net": before}
    (row,) = upstream_rows([UpstreamState("live/net", "l", 1, outputs)], NAMES, known, verdict, KEY)
    return row


def test_outputs_are_compared_with_those_of_the_last_scan_in_sync() -> None:
    first = rows({"id": b'"1"', "url": b'"u"'}, None, Verdict.PENDING)
    assert first.changed == ()  # nothing is known of earlier
    settled = rows({"id": b'"1"', "url": b'"u"'}, first, Verdict.IN_SYNC)
    assert settled.changed == ()
    changed = rows({"id": b'"2"', "new": b"1"}, settled, Verdict.PENDING)
    assert changed.changed == ("id", "new", "url")
    assert rows({"id": b'"3"', "url": b'"u"'}, changed, Verdict.PENDING).changed == ("id",)
    assert rows({"id": b'"3"'}, changed, Verdict.IN_SYNC).changed == ()


def test_no_value_of_an_output_is_kept() -> None:
    row = rows({"password": b'"hunter2"'}, None, Verdict.IN_SYNC)
    assert b"hunter2" not in msgspec.json.encode(row)
    assert row.environment == "net"
    assert row.outputs != rows({"password": b'"hunter3"'}, None, Verdict.IN_SYNC).outputs


@pytest.mark.parametrize(
    ("merge", "unread", "mocks", "real", "named"),
    [
        ("shallow", False, {"id": "m"}, {"id": "r"}, None),
        ("shallow", False, {"id": "m", "url": "m"}, {"id": "r"}, "(url)"),
        ("shallow", False, {"id": {"a": 1}}, {"id": {}}, None),
        ("deep_map_only", False, {"id": {"a": 1, "b": 2}}, {"id": {"b": 3}}, "(id.a)"),
        ("deep_map_only", False, {"id": {"a": {"x": 1}}}, {"id": {"a": {"x": 2}}}, None),
        ("", True, {"id": "m"}, {"id": "r"}, "(id)"),
        ("", True, {"id": "same"}, {"id": "same"}, None),
        ("", True, {}, {}, None),
    ],
)
def test_a_mock_that_differs_from_what_the_unit_really_has_refuses_the_plan(
    merge: str, unread: bool, mocks: dict[str, Any], real: dict[str, Any], named: str | None
) -> None:
    dependency = UnitDependency("net", "live/net", mocks, merge, unread)
    outputs = {name: msgspec.json.encode(value) for name, value in real.items()}
    if named is None:
        refuse_silent_mocks(dependency, outputs)
        return
    with pytest.raises(EnvironmentFault) as fault:
        refuse_silent_mocks(dependency, outputs)
    assert fault.value.kind is ErrorKind.DEPENDENCY
    assert named in fault.value.message
