"""The command line itself: registration, help and shell completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from driftguard.cli.application import COMMANDS, INSPECT, RUN, SET_UP, app

PROGRAM = [sys.executable, "-c", "from driftguard.cli import main; main()"]
MAX_SHORT_HELP = 50
SHELLS = ("bash", "zsh", "fish")


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "80", "NO_COLOR": "1", **variables}
    return subprocess.run([*PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False)


def help_of(*command: str) -> str:
    """A command's help on a terminal of 80 columns."""
    return CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"}).stdout


def commands(group: Any, prefix: str = "") -> dict[str, Any]:
    """Every command and group of commands, by its full name."""
    found = {}
    for name, command in group.commands.items():
        found[f"{prefix}{name}"] = command
        found |= commands(command, f"{prefix}{name} ") if hasattr(command, "commands") else {}
    return found


REGISTERED = commands(typer.main.get_command(app))


def test_commands_are_listed_in_the_order_of_use_under_three_panels() -> None:
    lines = help_of().splitlines()
    panels = [line.split()[1] for line in lines if line.startswith("╭─")]
    assert panels == ["Options", *(name.split()[0] for name in (RUN, INSPECT, SET_UP))]
    listed = [words[1] for line in lines if (words := line.split()) and words[0] == "│" and words[1] in REGISTERED]
    in_order = [command.__name__ for _, command in COMMANDS]
    assert [name for name in listed if name != "ledger"] == in_order
    assert "ledger" in listed


@pytest.mark.parametrize("name", REGISTERED)
def test_a_short_help_stands_on_one_line(name: str) -> None:
    short = REGISTERED[name].help.split("\n\n")[0]
    assert short.endswith(".")
    assert len(short) <= MAX_SHORT_HELP
    assert "\n" not in short
    *group, _ = name.split()
    assert short in help_of(*group)


@pytest.mark.parametrize("name", REGISTERED)
def test_every_option_has_a_help_that_the_terminal_shows_whole(name: str) -> None:
    shown = " ".join(help_of(*name.split()).replace("│", " ").split())
    assert "…" not in shown
    for parameter in REGISTERED[name].params:
        assert parameter.help, parameter.name


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_is_printed_for_each_shell(shell: str) -> None:
    script = run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert script.returncode == 0
    assert "_DRIFTGUARD_COMPLETE" in script.stdout


def test_the_shell_completes_commands_and_options_and_choices() -> None:
    def completed(line: str) -> list[str]:
        words = len(line.split(" ")) - 1
        variables = {"COMP_WORDS": line, "COMP_CWORD": str(words), "_DRIFTGUARD_COMPLETE": "complete_bash"}
        return run(**variables).stdout.split()

    assert completed("driftguard re") == ["reconcile", "retry", "report"]
    assert completed("driftguard scan --ba") == ["--baseline"]
    assert completed("driftguard scan --format ") == ["table", "json", "markdown", "junit"]
    assert completed("driftguard status --format ") == ["table", "json", "markdown"]
    assert completed("driftguard ledger ") == ["verify"]


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="no bash here")
def test_bash_completes_after_the_documented_command(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(run("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout)
    program = tmp_path / "driftguard"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from driftguard.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    asked = (
        f'. {script}; COMP_WORDS=(driftguard stat); COMP_CWORD=1; _driftguard_completion {program}; echo "$COMPREPLY"'
    )
    done = subprocess.run(["/bin/bash", "-c", asked], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.stdout.split() == ["status"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no command given"),
        (["scna"], "Did you mean 'scan'? `driftguard COMMAND --help`"),
        (["scan", "--format", "xml"], "--format: 'xml' is not one of"),
        (["history", "--at", "yesterday"], "is not a time; write 2026"),
        (["agent", "--every", "often"], "is not a duration; write 90s"),
    ],
)
def test_wrong_usage_ends_with_64_and_one_sentence(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 64
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


BROKEN = """
from driftguard.cli import main
from driftguard.cli.application import app

@app.command()
def broken():
    raise KeyError("token=ghp_0123456789abcdefghijABCDEFGHIJ012345")

main(["broken"])
"""


def test_a_defect_ends_with_1_and_a_log_that_can_be_pasted(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run([sys.executable, "-c", BROKEN], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (written,) = (tmp_path / "state" / "driftguard" / "defects").iterdir()
    assert done.stderr == f"driftguard: A defect in DriftGuard (KeyError); please report it with the log {written}.\n"
    assert written.stat().st_mode & 0o777 == 0o600
    log = written.read_text()
    assert "KeyError" in log
    assert "in broken" in log
    assert "Python 3." in log
    assert "ghp_" not in log + done.stderr


def test_a_defect_without_a_state_folder_ends_with_1_and_the_reason(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": "relative"}
    done = subprocess.run([sys.executable, "-c", BROKEN], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "A defect in DriftGuard (KeyError)" in done.stderr
    assert "Traceback" not in done.stderr
