"""Terragrunt is asked once for what a commit alone decides, within bounds, and with the variables of the unit."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from driftguard.adapters.git.repository import GitRepository, open_repository
from driftguard.adapters.process import Stop
from driftguard.adapters.terragrunt import program as terragrunt
from driftguard.adapters.terragrunt.reading import TerragruntUnits
from driftguard.config import EnvironmentSettings, load
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.ports import Purpose, TerraformVariables

# Answers as the real one does, and writes down what it was asked, and with which variables.
PROGRAM = """#!/bin/sh
echo "$1 $(basename "$PWD") $TOKEN" >> {log}
case "$1" in
  find) echo '{found}' ;;
  render) {render} ;;
esac
"""
FOUND = '[{"type": "unit", "path": "live/a", "reading": ["live/root.hcl"]}, {"type": "unit", "path": "live/b"}]'
RENDER = """echo '{"terraform": {"source": "../../modules//x"}, "inputs": {"password": "hunter2-hunter2"}}'"""


class Given(TerraformVariables):
    """Variables that name their environment."""

    def variables(self, settings: EnvironmentSettings, purpose: Purpose) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "TOKEN": f"{purpose} of {settings.name}"}


class Machine:
    """A repository with two units, and a Terragrunt that writes down what it is asked."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.log = folder, folder / "log"
        self._repository = folder / "infra"
        self._repository.mkdir()
        self._git("init", "--quiet", "--initial-branch=main")
        (folder / "bin").mkdir()
        self.program(RENDER)

    def program(self, render: str) -> None:
        file = self._folder / "bin" / "terragrunt"
        file.write_text(PROGRAM.format(log=self.log, found=FOUND, render=render))
        file.chmod(0o755)

    def _git(self, *arguments: str) -> str:
        own = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        return subprocess.run(
            ["git", *own, *arguments], cwd=self._repository, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, files: Mapping[str, str]) -> str:
        for name, text in files.items():
            (self._repository / name).parent.mkdir(parents=True, exist_ok=True)
            (self._repository / name).write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", "units")
        return self._git("rev-parse", "HEAD")

    def opened(self) -> tuple[GitRepository, TerragruntUnits]:
        """What a new run has."""
        environ = {"PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}"}
        repository = open_repository(str(self._repository), self._folder / "cache", None)
        return repository, TerragruntUnits(repository, repository.head, Given(), environ, self._folder / "kept", Stop())

    def asked(self) -> list[str]:
        """What Terragrunt was asked since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return sorted(line.split(" ", 1)[0] for line in lines)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    if shutil.which("git") is None:
        pytest.skip("no git")
    return Machine(tmp_path)


def environments() -> tuple[EnvironmentSettings, ...]:
    text = b"environments: [{path: live/*, timeout: 2s}]"
    return load(text, source="x").resolve(lambda *_: ["live/a", "live/b"])


FILES = {"live/a/terragrunt.hcl": "", "live/b/terragrunt.hcl": "", "live/root.hcl": "", "modules/x/main.tf": ""}


def test_an_unchanged_commit_is_not_asked_again_by_a_later_run(machine: Machine) -> None:
    commit = machine.commit(FILES)
    for expected in (["find", "render", "render"], []):
        repository, units = machine.opened()
        units.render(environments(), commit)
        assert set(units.found(commit)) == {"live/a", "live/b"}
        assert units.rendered(environments()[0], commit).local_source == "modules/x"
        assert machine.asked() == expected
        repository.close()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"live/root.hcl": "locals {}"}, ["find", "render", "render"]),
        ({"modules/x/main.tf": "variable a {}"}, ["find"]),  # which files a module has may change what is read
    ],
)
def test_what_a_commit_changes_is_asked_again(
    machine: Machine, changed: Mapping[str, str], expected: list[str]
) -> None:
    for files in (FILES, changed):
        commit = machine.commit(files)
        repository, units = machine.opened()
        machine.asked()
        units.render(environments(), commit)
        units.found(commit)
        repository.close()
    assert machine.asked() == expected


@pytest.mark.parametrize("call", ['run_cmd("date")', 'get_env("X", "y")', 'sops_decrypt_file("x.yaml")'])
def test_a_unit_that_gets_values_from_outside_is_asked_in_each_run(machine: Machine, call: str) -> None:
    commit = machine.commit({**FILES, "live/root.hcl": f"inputs = {{ x = {call} }}"})
    for _ in range(2):
        repository, units = machine.opened()
        machine.asked()
        units.render(environments(), commit)
        repository.close()
    assert machine.asked() == ["find", "render"]  # live/b does not include it


def test_each_unit_gets_its_own_variables_and_no_secret_is_kept(machine: Machine, tmp_path: Path) -> None:
    commit = machine.commit(FILES)
    repository, units = machine.opened()
    units.render(environments(), commit)
    repository.close()
    assert sorted(machine.log.read_text().splitlines())[1:] == ["render a plan of a", "render b plan of b"]
    assert len(list((tmp_path / "kept" / "units").iterdir())) == 3
    assert not any(b"hunter2" in file.read_bytes() for file in (tmp_path / "kept" / "units").iterdir())


@pytest.mark.parametrize(
    ("render", "kind", "words"),
    [
        ('echo \'{"msg": "no such file"}\' >&2; exit 1', ErrorKind.CONFIG, "`terragrunt render` failed: no such file"),
        ("sleep 30", ErrorKind.TIMEOUT, "timed out after 2 seconds"),
        ("echo nothing", ErrorKind.CONFIG, "in a form that is not known"),
        (
            f"yes '{'x' * 1000}' | head -c {terragrunt.MAX_ANSWER + 100_000}",
            ErrorKind.CONFIG,
            "printed more than 32 MiB",
        ),
    ],
)
def test_what_cannot_be_read_of_one_unit_is_its_own_fault(
    machine: Machine, render: str, kind: ErrorKind, words: str
) -> None:
    machine.program(f'case "$PWD" in *live/a) {render} ;; *) {RENDER} ;; esac')
    commit = machine.commit(FILES)
    repository, units = machine.opened()
    units.render(environments(), commit)
    with pytest.raises(EnvironmentFault, match=words) as fault:
        units.rendered(environments()[0], commit)
    assert fault.value.kind is kind
    assert units.rendered(environments()[1], commit).local_source == "modules/x"
    repository.close()


def test_a_terragrunt_that_cannot_leave_out_outputs_is_asked_with_them(machine: Machine) -> None:
    machine.program(f'case "$*" in *experiment*) exit 1 ;; *) {RENDER} ;; esac')
    commit = machine.commit(FILES)
    for _ in range(2):  # what may come from outputs is not kept
        repository, units = machine.opened()
        machine.asked()
        assert units.rendered(environments()[0], commit).local_source == "modules/x"
        repository.close()
        assert machine.asked().count("render") == 2
