"""The units that stack files make: where they will lie, and what they are made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from driftguard.model import TreeEntry
from driftguard.model.units import stack_of, without_generated
from driftguard.pipeline.directories import find
from driftguard.pipeline.stacks import StackUnit, stack_units, with_stack_units
from driftguard.ports import BlobContents


class Blobs(BlobContents):
    """Blobs whose object ids are their texts."""

    def read(self, object_ids: Sequence[str]) -> Iterable[tuple[str, bytes]]:
        return [(text, text.encode()) for text in object_ids]


def tree(**files: str) -> dict[str, TreeEntry]:
    return {path: TreeEntry("100644", text) for path, text in files.items()}


UNIT = """unit "net" {{
  source = {source}
  path   = "{path}"
  values = {{ path = "of a value" }}
}}
"""


@pytest.mark.parametrize(
    ("source", "made_from"),
    [
        ('"${get_repo_root()}//units/net"', "units/net"),
        ('"../../units/net"', "units/net"),
        ('"../..//units/net"', "units/net"),
        ('"git::https://example.org/units.git//net?ref=v1.0.0"', None),
        ('"${local.base}/net"', None),
        ('"../../../../out"', None),
    ],
)
def test_a_unit_lies_below_its_stack_and_is_a_copy_of_its_source(source: str, made_from: str | None) -> None:
    text = f'# unit "none" {{ path = "none" }}\n{UNIT.format(source=source, path="a/net")}'
    found = stack_units(tree(**{"live/eu/terragrunt.stack.hcl": text, "main.tf": ""}), Blobs())
    path = "live/eu/.terragrunt-stack/a/net"
    assert found == {path: StackUnit(path, "live/eu", ("live/eu/terragrunt.stack.hcl",), made_from)}


def test_stacks_in_stacks_are_followed_and_a_circle_ends() -> None:
    inner = 'stack "s" {\n  source = "../b"\n  path = "b"\n}\n'
    files = tree(
        **{
            "live/a/terragrunt.stack.hcl": inner,
            "live/b/terragrunt.stack.hcl": UNIT.format(source='"../../u"', path="x") + inner,
        }
    )
    found = stack_units(files, Blobs())
    nested = found["live/a/.terragrunt-stack/b/.terragrunt-stack/x"]
    assert nested.stack == "live/a"
    assert nested.files == ("live/a/terragrunt.stack.hcl", "live/b/terragrunt.stack.hcl")
    assert len(found) < 20


def test_a_unit_whose_path_is_not_a_literal_is_not_known() -> None:
    text = 'unit "a" {\n  source = "../x"\n  path = local.path\n}\n' + UNIT.format(source='"../x"', path="b")
    assert list(stack_units(tree(**{"s/terragrunt.stack.hcl": text}), Blobs())) == ["s/.terragrunt-stack/b"]


def test_a_unit_beside_its_stack_lies_where_its_path_leads() -> None:
    text = 'unit "a" {\n  source = "../x"\n  path = "a"\n  no_dot_terragrunt_stack = true\n}\n'
    (found,) = stack_units(tree(**{"s/terragrunt.stack.hcl": text}), Blobs()).values()
    assert found.path == "s/a"


def test_entries_match_units_of_stacks_without_the_folder_that_they_are_generated_in() -> None:
    files = tree(**{"live/eu/terragrunt.stack.hcl": UNIT.format(source='"../x"', path="net"), "u/terragrunt.hcl": ""})
    made = with_stack_units(files, stack_units(files, Blobs()))
    assert find(made, ["live/*/*"]) == ["live/eu/.terragrunt-stack/net"]
    assert find(made, ["live/**"], ["live/eu/*"]) == []
    assert find(files, ["live/**"]) == []
    assert without_generated("live/eu/.terragrunt-stack/net") == "live/eu/net"
    assert stack_of("live/eu/.terragrunt-stack/a/.terragrunt-stack/b") == "live/eu"
    assert stack_of(".terragrunt-stack/b") == "."
    assert stack_of("live/eu") is None
