"""CI jobs as their services run them: the steps of `action.yml`, scripts, and a driftguard that only notes and ends."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from driftguard.cli.application import app

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / "action.yml"
# https://docs.github.com/actions/reference/workflow-syntax-for-github-actions: `shell: bash`
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")


def accepted_by_driftguard(arguments: Sequence[str], place: str) -> None:
    """Read a command line, without the program's name, with the real parser; AssertionError or a click error."""
    group: Any = typer.main.get_command(app)
    name, *rest = arguments
    while True:
        command = group.commands.get(name)
        assert command is not None, f"{place}: there is no command `driftguard {name}`"
        if not hasattr(command, "commands"):
            break
        group, (name, *rest) = command, rest
    command.make_context(name, list(rest))  # raises for what is not an option of the command


def lint_workflow(text: str, folder: Path) -> None:
    """Check a workflow of GitHub Actions with actionlint; skips the test where that is not installed.

    Pinned commits are read as their tags, so that actions of a runtime that GitHub removed are found.
    """
    actionlint = shutil.which("actionlint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if actionlint is None:
        pytest.skip("actionlint is not installed here")
    file = folder / "workflow.yml"
    file.write_text(re.sub(r"@[0-9a-f]{40} # (v\d+)\S*", r"@\1", text))
    done = subprocess.run([actionlint, "-shellcheck=", "-pyflakes=", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def stub_driftguard(folder: Path) -> Path:
    """A folder for PATH with a `driftguard` that writes one line, and ends with $CODE.

    It notes its arguments in `arguments` beside it, copies $REPORT to the file of `--output`, and with $WAITS it waits
    for a signal.
    """
    folder.mkdir(exist_ok=True)
    script = folder / "driftguard"
    script.write_text(
        "#!/bin/bash\n"
        'echo "a line of the run"\n'
        f'printf "%s\\n" "$@" > {shlex.quote(str(folder / "arguments"))}\n'
        'while [ $# -gt 0 ]; do [ "$1" = --output ] && [ -n "$REPORT" ] && cp "$REPORT" "$2"; shift; done\n'
        'if [ -n "$WAITS" ]; then\n'
        "  trap 'echo told to stop; exit 1' TERM\n"
        '  touch "$WAITS"\n'
        "  while :; do sleep 0.05; done\n"
        "fi\n"
        'exit "$CODE"\n'
    )
    script.chmod(0o755)
    return folder


def stub_arguments(folder: Path) -> list[str]:
    """The arguments of the last call of `stub_driftguard`'s program."""
    return (folder / "arguments").read_text().splitlines()


@dataclass(slots=True)
class Action:
    """A use of `action.yml` in a job of GitHub Actions; its steps run with stand-ins of the runner's files.

    Attributes:
        folder: an empty folder; what the runner keeps lies below it.
        driftguard: the program that the installation yields.
        inputs: what stands under `with`.
        variables: the environment variables of the job.
    """

    folder: Path
    driftguard: Path
    inputs: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    steps: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def summary(self) -> Path:
        """The page of the job, GITHUB_STEP_SUMMARY."""
        return self.folder / "summary.md"

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the action after its steps."""
        return {name: self._value(output["value"]) for name, output in _action()["outputs"].items()}

    def installed(self) -> list[str]:
        """What pip was asked to install, in order."""
        notes = self.folder / "pip"
        return notes.read_text().splitlines() if notes.exists() else []

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the steps up to the first that fails; the last one that ran."""
        done = None
        for step in _action()["runs"]["steps"]:
            done = subprocess.run(**self.command(step), capture_output=True, text=True, timeout=120)
            self._read_outputs(step)
            if done.returncode:
                break
        assert done is not None
        return done

    def command(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments and variables of one step's shell, for `subprocess`."""
        temporary = self.folder / "temp"
        temporary.mkdir(parents=True, exist_ok=True)
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        own = {name: self._value(value) for name, value in step["env"].items()}
        own.setdefault("PYTHON", "")
        own["PYTHON"] = str(self._python()) if own["PYTHON"] == "python3" else own["PYTHON"]
        runner = {
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "RUNNER_TEMP": str(temporary),
        }
        (self.folder / "output").write_text("")
        base = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder)}
        return {"args": [*BASH, str(script)], "env": {**base, **self.variables, **runner, **own}}

    def step(self, name: str) -> Mapping[str, Any]:
        """A step by its name."""
        found: Mapping[str, Any] = next(step for step in _action()["runs"]["steps"] if step["name"] == name)
        return found

    def _value(self, text: str) -> str:
        """An expression of the action, evaluated; only those that it uses are known here."""

        def evaluated(match: re.Match[str]) -> str:
            kind, _, name = match[1].partition(".")
            if kind == "inputs":
                return self.inputs.get(name, _action()["inputs"][name]["default"])
            assert kind == "steps", match[0]
            step, _, output = name.partition(".outputs.")
            return self.steps.get(step, {}).get(output, "")

        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", evaluated, text)

    def _read_outputs(self, step: Mapping[str, Any]) -> None:
        lines = (self.folder / "output").read_text().splitlines()
        self.steps[step.get("id", "")] = dict(line.split("=", 1) for line in lines)

    def _python(self) -> Path:
        """A Python that makes a virtual environment with our driftguard, notes what pip does, and is real otherwise."""
        program = self.folder / "python"
        program.write_text(
            f"#!/bin/sh\n"
            f'case "$2" in\n'
            f'venv) mkdir -p "$3/bin"; ln -sf "{program}" "$3/bin/python"\n'
            f'  ln -sf "{self.driftguard}" "$3/bin/driftguard" ;;\n'
            f'pip) for last in "$@"; do :; done; echo "$last" >> "{self.folder}/pip" ;;\n'
            f'*) exec "{sys.executable}" "$@" ;;\n'
            f"esac\n"
        )
        program.chmod(0o755)
        return program


def _action() -> Any:
    return yaml.safe_load(ACTION.read_text())
