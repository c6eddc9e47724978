"""Terraform or OpenTofu: by what the program answers, and by the signs of an environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from driftguard.adapters.terraform.tool import ask, find_tool
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind, ToolVersion
from driftguard.model.products import answered
from driftguard.pipeline.signs import product_of, read_for_signs


def program(path: Path, answer: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{answer}'\necho on linux_amd64\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("name", ["terraform", "tofu", "terraform-1.12"])
@pytest.mark.parametrize(
    ("answer", "product", "version"),
    [
        ("OpenTofu v1.12.6", "tofu", "1.12.6"),
        ("Terraform v1.11.4", "terraform", "1.11.4"),
        ("Terraform v1.16.0-rc2", "terraform", "1.16.0-rc2"),
    ],
)
def test_the_product_is_what_the_program_answers_whatever_its_file_is_called(
    tmp_path: Path, name: str, answer: str, product: str, version: str
) -> None:
    path = program(tmp_path / name, answer)
    assert ask(path, tmp_path, {"PATH": "/usr/bin:/bin"}) == ToolVersion(product, version, path)
    assert find_tool(path, "/usr/bin:/bin").title == answer.replace(" v", " ")


@pytest.mark.parametrize("text", ["", "hello", "Packer v1.11.0", "Terraform", "terragrunt version v1.1.3"])
def test_another_program_is_no_product(text: str) -> None:
    assert answered(text) is None


ROOT = b'terraform {\n  required_version = "~> 1.0"\n  required_providers { aws = { source = "hashicorp/aws" } }\n'
SIGNS: Mapping[str, tuple[Mapping[str, bytes], Mapping[str, bytes], str | None]] = {
    "nothing": ({"live/a/main.tf": ROOT + b"}\n"}, {}, None),
    "a .tofu file": ({"live/a/main.tf": b"", "live/a/x.tofu": b""}, {}, "tofu"),
    "encryption": ({"live/a/main.tf": ROOT + b'  encryption {\n    method "m" "n" {}\n  }\n}\n'}, {}, "tofu"),
    "encryption in JSON": ({"live/a/main.tf.json": b'{"terraform": {"encryption": {}}}'}, {}, "tofu"),
    "encryption of a bucket": (
        {"live/a/main.tf": ROOT + b'}\nresource "google_storage_bucket" "b" {\n  encryption {\n  }\n}\n'},
        {},
        None,
    ),
    "encryption in a comment": ({"live/a/main.tf": ROOT + b"  # encryption {\n}\n"}, {}, None),
    "encryption deeper": ({"live/a/main.tf": ROOT + b'  backend "x" {\n    encryption {}\n  }\n}\n'}, {}, None),
    "lock file of OpenTofu": (
        {"live/a/.terraform.lock.hcl": b'# x\nprovider "registry.opentofu.org/hashicorp/aws" {\n}\n'},
        {},
        "tofu",
    ),
    "lock file of Terraform": (
        {"live/a/.terraform.lock.hcl": b'provider "registry.terraform.io/hashicorp/aws" {\n}\n'},
        {},
        None,
    ),
    "an action": ({"live/a/main.tf": b'action "aws_lambda_invoke" "x" {\n}\n'}, {}, "terraform"),
    "a store": ({"live/a/main.tf": ROOT + b'  state_store "aws_s3" {\n  }\n}\n'}, {}, "terraform"),
    ".terraform-version": ({}, {".terraform-version": b"1.5.7\n"}, "terraform"),
    "the nearest version file": ({}, {".terraform-version": b"1", "live/.opentofu-version": b"1"}, "tofu"),
    "other programs": ({}, {".tool-versions": b"python 3.12\n"}, None),
}


@pytest.mark.parametrize("case", SIGNS)
def test_the_signs_of_an_environment_decide_its_product(case: str) -> None:
    contents, pins, expected = SIGNS[case]
    assert product_of("a", "live/a", contents, pins) == expected


@pytest.mark.parametrize(
    ("contents", "pins"),
    [
        ({"live/a/x.tofu": b""}, {".terraform-version": b"1.5.7"}),
        ({"live/a/x.tofu": b'action "a" "b" {\n}\n'}, {}),
        ({}, {"live/a/.terraform-version": b"1.5.7", "live/a/.opentofu-version": b"1.8.0"}),
        ({"live/a/main.tf": ROOT + b'  encryption {}\n  store "x" {}\n}\n'}, {}),
    ],
)
def test_conflicting_signs_are_a_fault_of_the_configuration_that_names_both(
    contents: Mapping[str, bytes], pins: Mapping[str, bytes]
) -> None:
    with pytest.raises(EnvironmentFault) as refused:
        product_of("prod-eu", "live/a", contents, pins)
    assert refused.value.kind is ErrorKind.CONFIG
    for words in ("prod-eu has signs of both", "Terraform: ", "OpenTofu: ", "terraform.binary"):
        assert words in refused.value.message


def test_only_files_of_the_root_module_are_signs() -> None:
    paths = {
        "live/a/main.tf": "1",
        "live/a/sub/x.tofu": "2",
        "modules/m/x.tofu": "3",
        "live/a/.terraform.lock.hcl": "4",
    }
    assert read_for_signs("live/a", paths) == {"live/a/main.tf": "1", "live/a/.terraform.lock.hcl": "4"}
    assert read_for_signs(".", {"main.tf": "1", "live/main.tf": "2"}) == {"main.tf": "1"}
