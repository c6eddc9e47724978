"""`driftguard init`: which environments it finds, what it writes, and that it writes nothing that is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from driftguard.adapters.hcl.outline import outline
from driftguard.cli.application import app
from driftguard.onboarding import FirstConfiguration, first_configuration, summary
from tests.support.layouts import CODE, LOCK, PROVIDER, S3, SAMPLES, Sample


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def names(first: FirstConfiguration) -> list[str]:
    return sorted(environment.name for environment in first.environments)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_init_names_exactly_the_planted_environments(sample: Sample, tmp_path: Path) -> None:
    first = first_configuration(write(tmp_path, sample.files))
    planted = [name.split("_1-")[0] for name in names(first)]
    assert planted == sorted(name.split("_1-")[0] for name in sample.planted)
    assert (first.text is None) == (not sample.planted)


@pytest.mark.parametrize("sample", [s for s in SAMPLES.values() if s.mentions], ids=lambda s: s.mentions[0])
def test_init_prints_what_is_left_out_and_what_others_run(sample: Sample, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["init", "--repo", str(write(tmp_path, sample.files))])
    for text in sample.mentions:
        assert text in ran.output
    assert (tmp_path / "driftguard.yaml").exists() == bool(sample.planted)


def test_init_ends_with_the_next_command(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["init", "--repo", str(write(tmp_path, SAMPLES["live"].files))])
    assert ran.exit_code == 0
    assert ran.output.splitlines()[-1].startswith("Next: git add driftguard.yaml && git commit")
    assert "Environments: dev/vpc, prod/app, prod/vpc." in ran.output
    assert 'path: "live/*/*"' in (tmp_path / "driftguard.yaml").read_text()


def test_var_files_with_one_backend_file_each_share_one_entry(tmp_path: Path) -> None:
    first = first_configuration(write(tmp_path, SAMPLES["var_files_backends"].files))
    assert [(e.var_files, e.backend_config, e.workspace) for e in first.environments] == [
        ((f"vars/{name}.tfvars",), (f"backends/{name}.tfbackend",), "default") for name in ("dev", "prod")
    ]


def test_var_files_without_backend_files_have_a_workspace_each(tmp_path: Path) -> None:
    first = first_configuration(write(tmp_path, SAMPLES["var_files_common"].files))
    assert [(e.var_files, e.workspace) for e in first.environments] == [
        (("env/common.tfvars", f"env/{name}.tfvars"), name) for name in ("dev", "prod")
    ]


PARTS = st.one_of(
    st.sampled_from(["live", "prod", "dev", "modules", "test", "examples", "vpc", "a", "b", "vars", "env"]),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
        lambda part: part not in (".", "..") and len(part.encode()) < 200
    ),
)
NAMES = st.sampled_from(
    [
        "main.tf",
        ".terraform.lock.hcl",
        "dev.tfvars",
        "prod.tfvars",
        "terraform.tfvars",
        "x.auto.tfvars",
        "terragrunt.hcl",
    ]
)
TEXTS = st.sampled_from(
    [S3, PROVIDER, CODE, LOCK, "", "}", 'locals {\n x = { a = 1, "b c" = 2 }[terraform.workspace]\n}\n']
)
FILES = st.dictionaries(
    st.tuples(st.lists(PARTS, max_size=3), NAMES).map(lambda found: "/".join([*found[0], found[1]])), TEXTS, max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(files=FILES)
def test_init_never_writes_a_file_that_is_refused(
    files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("estate")
    for path, text in files.items():
        try:
            write(folder, {path: text})
        except OSError:  # a file where another path needs a directory
            continue
    first = first_configuration(folder)  # raises where nothing that it could write would be accepted
    assert (first.text is None) == (not first.layout.roots)
    assert {environment.path for environment in first.environments} == {root.path for root in first.layout.roots}
    list(summary(first))


def test_an_outline_has_blocks_labels_and_attributes_as_written() -> None:
    text = b"""
    # provider "commented" {
    terraform {
      required_version = "~> 1.5" # why
      backend "s3" { key = "a/${"b}"}" }
    }
    locals {
      text = <<-EOT
        provider "quoted" {
      EOT
    }
    provider aws {}
    """
    found = outline("main.tf", text)
    assert [(block.kind, block.labels) for block in found.blocks] == [
        ("terraform", ()),
        ("locals", ()),
        ("provider", ("aws",)),
    ]
    terraform = found.blocks[0]
    assert terraform.literal("required_version") == "~> 1.5"
    assert [(b.kind, b.labels, dict(b.attributes)) for b in terraform.blocks] == [
        ("backend", ("s3",), {"key": '"a/${"b}"}"'})
    ]
