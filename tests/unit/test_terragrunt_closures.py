"""The closures of units: which files their own files name, with Terragrunt's functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest

from driftguard.adapters.hcl.definitions import definitions
from driftguard.config import load
from driftguard.model import Closure, SourceFacts, TreeEntry
from driftguard.model.expressions import Definitions
from driftguard.model.units import FoundUnit, RenderedUnit
from driftguard.pipeline.discover import Closures
from driftguard.pipeline.unitclosures import UnitSources, closure_of_unit
from driftguard.ports import BlobContents, SourceReader

UNIT = "live/dev/app"


class Texts(SourceReader):
    """Files whose object ids are their texts."""

    def facts(self, sources: Sequence[tuple[str, str]]) -> Mapping[str, SourceFacts]:
        return {text: SourceFacts() for _, text in sources}

    def templates(self, object_ids: Sequence[str]) -> Mapping[str, SourceFacts]:
        return {}

    def definitions(self, sources: Sequence[tuple[str, str]]) -> Mapping[str, Definitions]:
        return {text: definitions(path, text.encode()) for path, text in sources}

    def lfs_missing(self, object_ids: Sequence[str]) -> Mapping[str, str]:
        return {}

    def link_target(self, object_id: str) -> str:
        raise AssertionError(object_id)


class Blobs(BlobContents):
    """Blobs whose object ids are their texts."""

    def read(self, object_ids: Sequence[str]) -> Iterable[tuple[str, bytes]]:
        return [(text, text.encode()) for text in object_ids]


def closure(files: Mapping[str, str], unit: RenderedUnit, reading: Sequence[str] = ()) -> Closure:
    """The closure of the unit among files."""
    tree = {path: TreeEntry("100644", text) for path, text in files.items()}
    (settings,) = load(b"environments: [{path: live/*/*}]", source="x").resolve(lambda *_: [UNIT])
    around = UnitSources(
        tree,
        Texts(),
        Blobs(),
        Closures(tree, Texts(), ".driftguard/"),
        ".driftguard/",
    )
    return closure_of_unit(around, settings, FoundUnit(UNIT, reading=tuple(reading)), unit)


LOCAL = RenderedUnit(source="../../../modules//app", local_source="modules/app")
FILES = {
    "modules/app/main.tf": "",
    "modules/other/main.tf": "",
    "live/root.hcl": 'locals { account = yamldecode(file(find_in_parent_folders("account.yaml"))) }',
    "live/dev/account.yaml": "1",
    "live/prod/account.yaml": "2",
    f"{UNIT}/terragrunt.hcl": "",
    f"{UNIT}/.terraform.lock.hcl": "lock",
    "live/prod/app/terragrunt.hcl": "",
}


def test_a_file_that_an_include_finds_above_the_unit_is_in_its_closure() -> None:
    found = closure(FILES, LOCAL, ["live/root.hcl"])
    assert set(found.files) == {
        "modules/app/main.tf",
        "live/root.hcl",
        "live/dev/account.yaml",
        f"{UNIT}/terragrunt.hcl",
        f"{UNIT}/.terraform.lock.hcl",
    }
    assert found.open == ()
    assert found.unit is not None


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ('file("x.txt")', f"{UNIT}/x.txt"),
        ('file("../shared/x.txt")', "live/dev/shared/x.txt"),
        ('file("${get_terragrunt_dir()}/../x.txt")', "live/dev/x.txt"),
        ('file("${get_repo_root()}/x.txt")', "x.txt"),
        ('templatefile("${dirname(find_in_parent_folders("root.hcl"))}/t.tftpl", {})', "live/t.tftpl"),
        ('file(find_in_parent_folders("none.txt", "../fallback.txt"))', "live/dev/fallback.txt"),
        ("file(local.path)", "live/dev/local.txt"),
        ('jsondecode(file("${get_path_to_repo_root()}/x.json"))', "x.json"),
    ],
)
def test_a_file_that_a_unit_reads_is_in_its_closure(expression: str, named: str) -> None:
    text = f'locals {{ path = "../local.txt" }}\ninputs = {{ x = {expression} }}\n'
    found = closure({**FILES, f"{UNIT}/terragrunt.hcl": text, named: "content"}, LOCAL)
    assert named in found.files
    assert found.open == ()


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ('file("${get_parent_terragrunt_dir()}/x.txt")', "live/x.txt"),
        ('file("${path_relative_from_include()}/x.txt")', "live/x.txt"),
        ('file("${get_original_terragrunt_dir()}/x.txt")', f"{UNIT}/x.txt"),
        ('file("./x.txt")', "live/x.txt"),
    ],
)
def test_a_file_that_an_include_reads_is_in_the_closure(expression: str, named: str) -> None:
    files = {**FILES, "live/root.hcl": f"inputs = {{ x = {expression} }}", named: "content"}
    found = closure(files, LOCAL, ["live/root.hcl"])
    assert named in found.files
    assert found.open == ()


def test_a_name_that_is_not_known_before_a_plan_opens_the_closure() -> None:
    text = 'inputs = { x = file("${get_env("WHERE")}/x.txt") }'
    found = closure({**FILES, f"{UNIT}/terragrunt.hcl": text}, LOCAL)
    assert "the argument of file()" in found.open[0]
    assert "live/prod/app/terragrunt.hcl" in found.files


@pytest.mark.parametrize(
    ("source", "open_"),
    [
        ("git::https://example.org/modules.git//app?ref=v1.2.0", ()),
        ("tfr:///terraform-aws-modules/vpc/aws?version=5.1.0", ()),
        ("git::https://example.org/modules.git//app?ref=main", ("ref=main is not pinned",)),
        ("git::https://example.org/modules.git//app", ("is not pinned",)),
    ],
)
def test_a_source_from_elsewhere_without_a_pinned_version_is_open(source: str, open_: Sequence[str]) -> None:
    found = closure(FILES, RenderedUnit(source=source))
    assert found.remote_sources == (source,)
    assert len(found.open) == len(open_)
    assert all(part in reason for part, reason in zip(open_, found.open, strict=True))


def test_providers_without_a_lock_file_beside_the_unit_open_the_closure() -> None:
    files = {path: text for path, text in FILES.items() if not path.endswith(".lock.hcl")}
    found = closure(files, RenderedUnit(source="git::https://example.org/m.git?ref=v1.2.0"))
    assert "no .terraform.lock.hcl is committed" in found.open[0]


def test_a_source_without_terraform_files_and_files_elsewhere_are_reasons() -> None:
    unit = RenderedUnit(source="../nothing", local_source="live/dev/nothing", leaves=("/etc/x.tfvars",))
    found = closure(FILES, unit)
    assert [reason.split(": ", 1)[1][:12] for reason in found.open] == ["its source l", "the var file"]


def test_the_version_constraint_of_a_unit_chooses_its_tool() -> None:
    unit = RenderedUnit(source=LOCAL.source, local_source=LOCAL.local_source, requires=">= 1.9")
    assert closure(FILES, unit).requires == (">= 1.9",)


def test_code_that_runs_while_a_unit_is_read_is_named() -> None:
    text = 'inputs = { x = run_cmd("date"), y = sops_decrypt_file("s.yaml"), z = "run_cmd" }'
    files = {**FILES, f"{UNIT}/terragrunt.hcl": text}
    found = closure(files, replace(LOCAL, runs=("before_hook said",))).unit
    assert found is not None
    assert found.runs == ("before_hook said", "run_cmd", "sops_decrypt_file")
