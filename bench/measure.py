"""Running a command with its cost, the facts of the machine, and the table of results."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from driftguard import __version__

DRIFTGUARD = [sys.executable, "-P", "-c", "from driftguard.cli import main; main()"]
MIB = 2**20
_WRAPPER = str(Path(__file__).with_name("wrapper.py"))
# Defines `peak()` in programs that are measured from inside: the most bytes of resident memory so far. On Linux,
# ru_maxrss is not that: a process starts with what its parent had when it forked.
PEAK = """
import pathlib, re, resource, sys
def peak():
    if sys.platform == "linux":
        return int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took: seconds of processor time of all its processes, and seconds from start to end."""

    cpu: float
    wall: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f} s CPU)"


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table; `target` is empty where there is none."""

    what: str
    measured: str
    target: str = ""
    reached: bool = True


def run(
    commands: Iterable[Sequence[str]],
    *,
    directories: Iterable[Path],
    environment: Mapping[str, str],
    at_a_time: int = 1,
    codes: Sequence[int] = (0,),
) -> Cost:
    """Run commands, each in its directory, `at_a_time` of them at a time, and measure them and all their descendants.

    Raises:
        RuntimeError: one of them ended with a code that is not in `codes`; its standard error is the message.
    """
    pairs = zip(commands, directories, strict=True)
    listed = [{"arguments": list(arguments), "directory": str(directory)} for arguments, directory in pairs]
    done = subprocess.run(
        [sys.executable, "-P", _WRAPPER],
        input=json.dumps({"commands": listed, "at_a_time": at_a_time}),
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    for command, (code, complaint) in zip(listed, answer["endings"], strict=True):
        if code not in codes:
            raise RuntimeError(f"{' '.join(command['arguments'])} ended with {code}: {complaint}")
    return Cost(answer["cpu"], answer["wall"])


def home(folder: Path) -> dict[str, str]:
    """The environment of a user with an empty home, who is the author of commits."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "CHECKPOINT_DISABLE": "1",
    }


def commit_all(repository: Path, environment: Mapping[str, str]) -> None:
    """Make a folder a git repository with one commit of all that is in it."""
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "estate"]):
        subprocess.run(["git", *arguments], cwd=repository, env=dict(environment), check=True)


def machine() -> str:
    """What was measured on, in one sentence."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return (
        f"{platform.system()} on {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"load {os.getloadavg()[0]:.1f} at the start; Python {platform.python_version()}, git {git}, "
        f"driftguard {__version__}, msgspec {metadata.version('msgspec')}"
    )


def table(results: Iterable[Result]) -> str:
    """The results as a Markdown table."""
    lines = ["| what | measured | target | |", "| --- | --- | --- | --- |"]
    for result in results:
        reached = "" if not result.target else "reached" if result.reached else "**missed**"
        lines.append(f"| {result.what} | {result.measured} | {result.target} | {reached} |")
    return "\n".join(lines)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
