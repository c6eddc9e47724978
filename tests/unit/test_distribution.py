"""The wheel is built, and holds all that an installation needs: modules, data files, licence, commands, name."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from driftguard import __version__
from driftguard.distribution import DISTRIBUTION, install_command

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
INFO = f"{DISTRIBUTION.replace('-', '_')}-{__version__}.dist-info"
# The import name where an installer expects the distribution's; on the public index it is another project.
WRONG_NAME = r"""(?x) (?<![-\w./:]) driftguard (\[[\w,]+\] | \s@\s)
  | (pip|pipx|uv\ tool)\ (install|inject|run)\ (-\S+\ )* ['"]? driftguard \b (?! -gitops)"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel, as installers build it from a checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.iterdir()
    assert built.name == f"{DISTRIBUTION.replace('-', '_')}-{__version__}-py3-none-any.whl"
    return ZipFile(built)


def files(folder: str) -> list[str]:
    """The files of a folder of the checkout, without what Python and Terraform leave there."""
    listed = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return [path.relative_to(ROOT).as_posix() for path in listed if not {"__pycache__", ".terraform"} & {*path.parts}]


def test_the_wheel_holds_every_file_of_the_package_and_the_demos_example(wheel: ZipFile) -> None:
    example = [f"driftguard/demo/estate/{name}" for folder in ("modules", "environments") for name in files(folder)]
    held = {name for name in wheel.namelist() if not name.startswith(f"{INFO}/")}
    assert held == {*files("driftguard"), *example}
    assert len(example) > 10


def test_the_wheel_has_the_projects_name_licence_and_commands(wheel: ZipFile) -> None:
    metadata = Parser().parsestr(wheel.read(f"{INFO}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == (DISTRIBUTION, __version__)
    assert {*metadata.get_all("Provides-Extra", [])} == {*EXTRAS}
    assert f"{INFO}/licenses/LICENSE" in wheel.namelist()
    commands = configparser.ConfigParser()
    commands.read_string(wheel.read(f"{INFO}/entry_points.txt").decode())
    assert dict(commands["console_scripts"]) == PROJECT["scripts"]


def test_an_extra_that_names_the_project_names_it_as_installers_do() -> None:
    own = [need for needs in EXTRAS.values() for need in needs if need.startswith("driftguard")]
    assert own
    assert all(need.startswith(f"{DISTRIBUTION}[") for need in own)


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_command_that_a_message_gives_names_the_distribution(extra: str) -> None:
    assert install_command(extra) == f"pip install 'driftguard-gitops[{extra}]'"


def test_the_manual_explains_every_extra_of_users() -> None:
    manual = (ROOT / "docs" / "how-to" / "install.md").read_text()
    assert [extra for extra in EXTRAS if extra != "dev" and f"\n| `{extra}` | " not in manual] == []


def texts_that_install() -> list[Path]:
    folders = [path for name in ("driftguard", "deploy", "docs", "bench") for path in (ROOT / name).rglob("*")]
    named = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", ".ci/run")]
    found = [path for path in (*folders, *named) if path.is_file() and path.suffix not in (".pyc", ".png")]
    return sorted(found)


def test_no_text_gives_an_installer_the_name_of_another_project() -> None:
    found = {path.name: re.search(WRONG_NAME, path.read_text()) for path in texts_that_install()}
    assert {name: match[0] for name, match in found.items() if match} == {}


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ("pip install driftguard", True),
        ("pip install --quiet 'driftguard[demo]'", True),
        ('"driftguard @ git+https://git.example.org/driftguard"', True),
        ("uv tool install driftguard", True),
        ("pipx install driftguard-gitops", False),
        ("pip install ./driftguard", False),
        ("driftguard-gitops[embedded] @ git+https://git.example.org/platform/driftguard@v0.1.0", False),
        ("driftguard [ENV...]", False),
    ],
)
def test_the_check_finds_the_wrong_name(text: str, is_wrong: bool) -> None:
    assert bool(re.search(WRONG_NAME, text)) is is_wrong
