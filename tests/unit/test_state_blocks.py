"""The block that names where a state lies, and what follows for `terraform init`."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftguard.adapters.hcl.backends import state_block
from driftguard.adapters.process import Stop
from driftguard.adapters.terraform.engine import TerraformPlanner
from driftguard.adapters.terraform.initialising import takes_reconfigure
from driftguard.model import ToolVersion
from driftguard.ports import WorkingDirectory

CLOUD = b'terraform {\n  cloud {\n    organization = "acme"\n    workspaces { name = "net" }\n  }\n}\n'
S3 = b'terraform {\n  backend "s3" {}\n}\n'


def work_in(folder: Path, files: dict[str, bytes]) -> WorkingDirectory:
    root, data = folder / "root", folder / "data"
    for directory in (root, data):
        directory.mkdir()
    for name, content in files.items():
        (root / name).write_bytes(content)
    return WorkingDirectory(root, data, folder / "private", {})


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"main.tf": CLOUD}, "cloud"),
        ({"main.tf": S3}, "backend"),
        ({"main.tf": b"# cloud {\nlocals { cloud = {} }\n"}, None),
        ({"a_override.tf": CLOUD, "main.tf": S3}, "cloud"),
        ({"main.tf": CLOUD, "override.tf": S3}, "backend"),
        ({"main.tf.json": b'{"terraform": {"cloud": {"organization": "acme"}}}'}, "cloud"),
        ({"main.tofu": CLOUD, "notes.txt": S3}, "cloud"),
        ({"main.tf": b"terraform { cloud {"}, None),
    ],
)
def test_the_block_of_an_override_file_wins(files: dict[str, bytes], kind: str | None) -> None:
    block = state_block(files)
    assert (block.kind if block else None) == kind


def test_init_of_a_cloud_block_starts_afresh_without_reconfigure(tmp_path: Path) -> None:
    work = work_in(tmp_path, {"main.tf": CLOUD})
    record = work.data_dir / "terraform.tfstate"
    record.write_text("{}")
    assert not takes_reconfigure(work)
    assert not record.exists()


def test_init_of_a_backend_keeps_the_record_and_reconfigures(tmp_path: Path) -> None:
    work = work_in(tmp_path, {"main.tf": S3})
    record = work.data_dir / "terraform.tfstate"
    record.write_text("{}")
    assert takes_reconfigure(work)
    assert record.exists()


def test_no_terraform_process_can_start_a_run_on_a_platform(tmp_path: Path) -> None:
    engine = TerraformPlanner(ToolVersion("terraform", "1.11.4", "terraform"), tmp_path, Stop())
    given = WorkingDirectory(tmp_path, tmp_path, tmp_path, {"TF_FORCE_LOCAL_BACKEND": ""})
    assert engine.process_environment(given)["TF_FORCE_LOCAL_BACKEND"] == "1"
