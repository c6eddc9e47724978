"""The tutorial, as a newcomer types it; `DRIFTGUARD_WRITE_DOCS=1` writes what was printed into the page."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from driftguard.demo.cloud import PACKAGED_PROVIDER

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-scan.md"
_BLOCK = re.compile(r"(?P<skip><!-- not run by the test -->\n)?```(?P<kind>sh|console)\n(?P<text>.*?)```\n", re.DOTALL)
_MARK = "\x01"
_PORT = "127.0.0.1:5000"


class Block(NamedTuple):
    """A code block of the page: what is typed, and what was printed after each command."""

    commands: list[str]
    outputs: list[str]
    prints: bool


def blocks(page: str) -> list[Block]:
    """The blocks that are run: `sh` is typed as a whole, `console` has commands after `$ ` and their output."""
    found = []
    for match in _BLOCK.finditer(page):
        if match["skip"]:
            continue
        if match["kind"] == "sh":
            found.append(Block([match["text"]], [""], prints=False))
            continue
        commands = re.findall(r"^\$ (.*)$", match["text"], re.MULTILINE)
        found.append(Block(commands, re.split(r"^\$ .*\n", match["text"], flags=re.MULTILINE)[1:], prints=True))
    return found


def run(found: list[Block], folder: Path, variables: dict[str, str]) -> list[str]:
    """What each command printed, in order; all of them in one shell."""
    commands = [command for block in found for command in block.commands]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    lines = ["trap 'kill %1' EXIT"]
    # `$?` of the page's commands is that of the command before.
    lines += [f"(exit $code)\n{command}\ncode=$?; printf '{_MARK}\\n'" for command in commands]
    script = "\n".join(["code=0", *lines]).replace(_PORT, f"127.0.0.1:{port}").replace("--port 5000", f"--port {port}")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    printed = done.stdout.replace(f"127.0.0.1:{port}", _PORT).split(f"{_MARK}\n")
    assert len(printed) == len(commands) + 1, done.stdout
    return printed[:-1]


def steady(text: str) -> str:
    """A text without what differs from run to run and from machine to machine."""
    for pattern, instead in (
        (r"\b[0-9a-f]{10}\b", "COMMIT"),
        (r"\d{4}-\d\d-\d\d(T[\d:]+Z)?", "TIME"),
        (r"\d+\.\d s\b", "N s"),
        (r"(?i:terraform|tofu|opentofu) \d+\.\d+\.\d+\S*", "TERRAFORM"),
        (r"[~\w.-]*/\S+", "PATH"),
        (r"\b\d+ environments?, by processors", "N environments, by processors"),
        (r"[ \n]+", " "),
    ):
        text = re.sub(pattern, instead, text)
    return text.strip()


def written(page: str, printed: list[str]) -> str:
    """The page with what was printed below each command."""
    following = iter(printed)

    def block(match: re.Match[str]) -> str:
        if match["skip"]:
            return match[0]
        if match["kind"] == "sh":
            next(following)
            return match[0]
        commands = re.findall(r"^\$ .*$", match["text"], re.MULTILINE)
        shown = "".join(f"{command}\n{trimmed(next(following))}" for command in commands)
        return f"```console\n{shown}```\n"

    return _BLOCK.sub(block, page)


def trimmed(text: str) -> str:
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


@pytest.fixture
def home() -> Iterator[Path]:
    """A newcomer's empty home, with a path as short as theirs: tables are wrapped by it."""
    with TemporaryDirectory(prefix="dg") as folder:
        yield Path(folder)


@pytest.mark.aws
@pytest.mark.terraform
def test_the_tutorials_commands_print_what_the_page_shows(home: Path, aws_configuration: Path | None) -> None:
    if aws_configuration is None:
        pytest.skip(f"no package has the AWS provider {PACKAGED_PROVIDER} for this platform")
    programs = Path(sys.executable).parent
    variables = {
        "PATH": f"{programs}:/usr/bin:/bin",  # a newcomer's: Terraform comes with DriftGuard
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "COLUMNS": "100",
        "TF_CLI_CONFIG_FILE": str(aws_configuration),
        "GIT_CONFIG_NOSYSTEM": "1",
        "CHECKPOINT_DISABLE": "1",
    }
    page = PAGE.read_text()
    found = blocks(page)
    printed = [
        text.replace(str(home), "~").replace(str(programs), "~/driftguard-venv/bin")
        for text in run(found, home, variables)
    ]
    if os.environ.get("DRIFTGUARD_WRITE_DOCS"):
        PAGE.write_text(written(page, printed))
        return
    expected = [(command, text) for block in found for command, text in zip(block.commands, block.outputs, strict=True)]
    shown = [block.prints for block in found for _ in block.commands]
    for (command, text), output, compared in zip(expected, printed, shown, strict=True):
        if compared:
            assert steady(output) == steady(text), f"$ {command}\n{output}"
