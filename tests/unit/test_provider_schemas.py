"""With the providers' schemas, sets are never compared by position, also where they hold one element."""

from __future__ import annotations

import json
from typing import Any

import pytest

from driftguard.model import Verdict
from driftguard.model.provider_schemas import ProviderSchemas, UnreadableSchemas
from driftguard.pipeline.classify.labels import Evidence, classify
from tests.support.plans import KEY, plan, resource

PROVIDER = "registry.terraform.io/hashicorp/aws"
ADDRESS = "aws_firewall.f"
SAME_COMMIT = Evidence(has_baseline=True, state_written=False)
BLOCK: dict[str, Any] = {
    "attributes": {
        "ports": {"type": ["set", "string"], "optional": True},
        "names": {"type": ["list", "string"], "optional": True},
        "etag": {"type": "string", "computed": True},
        "both": {"type": "string", "computed": True, "optional": True},
        "object": {"type": ["object", {"zones": ["set", "string"]}], "optional": True},
        "nested": {"nested_type": {"nesting_mode": "set", "attributes": {"k": {"type": "string"}}}, "optional": True},
    },
    "block_types": {
        "rule": {"nesting_mode": "set", "block": {"attributes": {"port": {"type": "number", "required": True}}}},
        "disk": {"nesting_mode": "list", "block": {"attributes": {"size": {"type": "number", "required": True}}}},
    },
}
SCHEMAS = ProviderSchemas.read(
    json.dumps(
        {
            "format_version": "1.0",
            "provider_schemas": {PROVIDER: {"resource_schemas": {"aws_firewall": {"version": 0, "block": BLOCK}}}},
        }
    ).encode()
)


def paths(state: Any, reality: Any) -> list[str]:
    document = plan(resource(ADDRESS, state=state, reality=reality, desired=state))
    result = classify(document, SAME_COMMIT, KEY, schemas=SCHEMAS)
    assert result.verdict is Verdict.DRIFTED
    return [attribute.path for found in result.resources for attribute in found.attributes]


@pytest.mark.parametrize(
    ("name", "before", "after", "expected"),
    [
        ("ports", ["a"], ["b"], ["ports[]", "ports[]"]),
        ("ports", [], ["b"], ["ports[]"]),
        ("names", ["a"], ["b"], ["names[0]"]),
        ("rule", [{"port": 1}], [{"port": 2}], ["rule[]", "rule[]"]),
        ("rule", [{"port": 1}], [], ["rule[]"]),
        ("disk", [{"size": 1}], [{"size": 2}], ["disk[0].size"]),
        ("object", {"zones": ["a"]}, {"zones": ["b"]}, ["object.zones[]", "object.zones[]"]),
        ("nested", [{"k": "a"}], [{"k": "b"}], ["nested[]", "nested[]"]),
    ],
)
def test_what_is_a_set_by_its_schema_has_no_positions(name: str, before: Any, after: Any, expected: list[str]) -> None:
    assert paths({name: before}, {name: after}) == expected


def test_what_no_configuration_can_set_is_known() -> None:
    shape = SCHEMAS.shape(PROVIDER, "aws_firewall")
    assert shape is not None
    found = {name: member.is_computed_only for name in BLOCK["attributes"] if (member := shape.at(name)) is not None}
    assert [name for name, computed in found.items() if computed] == ["etag"]
    assert SCHEMAS.shape(PROVIDER, "aws_other") is None


@pytest.mark.parametrize("text", [b"", b"[]", b'{"format_version":"1.2","resource_changes":[]}'])
def test_what_is_no_schema_is_refused(text: bytes) -> None:
    with pytest.raises(UnreadableSchemas, match="providers schema"):
        ProviderSchemas.read(text)
