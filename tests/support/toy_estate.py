"""Environments that are cheap to stand up, and programs that note how they are called and play tricks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driftguard.demo.cloud import REGION, STATE_BUCKET
from tests.support.harness import Sandbox, Toy

BODY = """\
resource "toy_thing" "web" {
  name  = "web"
  value = "one"
  tags  = { team = "core" }
}
"""
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Applied:
    """What a real apply of `BODY` left behind: the state, the lock file, and the thing itself."""

    state: str
    lock_file: str
    thing: str

    @classmethod
    def make(cls, sandbox: Sandbox, toy: Toy) -> Applied:
        """Apply once; every environment of an `ToyEstate` starts as a copy of this one."""
        sandbox.write("environments/seed/main.tf", toy.root_module(BODY))
        sandbox.apply("environments/seed")
        folder = sandbox.repository / "environments/seed"
        state, lock_file = (folder / "terraform.tfstate").read_text(), (folder / ".terraform.lock.hcl").read_text()
        return cls(state, lock_file, (toy.folder / "web.json").read_text())


class ToyEstate:
    """Environments of one thing each, all applied, each with a cloud of its own and its state in the work tree."""

    def __init__(self, sandbox: Sandbox, clouds: Path, applied: Applied, names: tuple[str, ...]) -> None:
        self.sandbox, self.applied = sandbox, applied
        self.clouds = {name: Toy(clouds / name) for name in names}
        sandbox.write(".gitignore", "*.tfstate*\n.terraform/\n")
        for name, cloud in self.clouds.items():
            (cloud.folder / "web.json").write_text(applied.thing)
            sandbox.write(f"environments/{name}/main.tf", cloud.root_module(BODY))
            sandbox.write(f"environments/{name}/.terraform.lock.hcl", applied.lock_file)
            state = state_with(applied.state, lineage=str(uuid.uuid4()))  # a state of its own, not a shared one
            sandbox.write(f"environments/{name}/terraform.tfstate", state)
        self.commit = sandbox.commit("the estate")

    def state_file(self, name: str) -> Path:
        return self.sandbox.repository / f"environments/{name}/terraform.tfstate"

    def rewrite(self, name: str, old: str, new: str, message: str = "change") -> str:
        """Change one place of an environment's code and merge it; the commit."""
        self.sandbox.replace(f"environments/{name}/main.tf", old, new)
        return self.sandbox.commit(message)


# What the fixture `estate_of` gives: names in, their environments out.
EstateOf = Callable[..., ToyEstate]


def s3_backend(endpoint: str, key: str) -> str:
    """A state in S3 with a lock file, at a cloud on loopback."""
    return f"""\
  backend "s3" {{
    bucket                      = "{STATE_BUCKET}"
    key                         = "{key}"
    region                      = "{REGION}"
    use_lockfile                = true
    use_path_style              = true
    max_retries                 = 1
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_region_validation      = true
    skip_requesting_account_id  = true
    endpoints                   = {{ s3 = "{endpoint}" }}
  }}
"""


class Wrapped:
    """A program that notes how it is called, then does as the real one, unless told otherwise.

    Args:
        folder: a new folder for the program and its notes; goes first on PATH of `sandbox`.
        trick: shell text that runs before the real program; `"$REAL" "$@"` calls that.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, trick: str = "", *, program: str = "terraform") -> None:
        real = shutil.which(program, path=sandbox.variables["PATH"])
        folder.mkdir()
        self._notes = folder / "calls.log"
        script = folder / program
        script.write_text(f'#!/bin/sh\nREAL="{real}"\necho "$*" >> "{self._notes}"\n{trick}\nexec "$REAL" "$@"\n')
        script.chmod(0o755)
        sandbox.variables["PATH"] = f"{folder}:{sandbox.variables['PATH']}"

    def calls(self, command: str = "") -> list[str]:
        """Every call so far, or those of one command, with all their arguments."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return [line for line in lines if line.startswith(command)]

    def commands(self) -> list[str]:
        """The commands called since the last time this was asked; the question after the version is left out."""
        words = [line.split()[0] for line in self.calls()]
        self._notes.unlink(missing_ok=True)
        return [word for word in words if word != "version"]


def verdicts(report: Mapping[str, Any]) -> dict[str, str]:
    """Environment to verdict."""
    return {environment["name"]: environment["verdict"] for environment in report["environments"]}


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that is going to happen."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def processes_of(sandbox: Sandbox) -> dict[int, str]:
    """Every living process that was started on one test's machine: what was run, by process id."""
    wanted = f"HOME={sandbox.home}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has ended meanwhile, or belongs to somebody else
    return {number: command for number, command in found.items() if command}


def end_all(sandbox: Sandbox) -> None:
    """Kill what is left of one test's machine."""
    for number in processes_of(sandbox):
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue


def private_folders(sandbox: Sandbox) -> list[Path]:
    """The private folders of runs that are there now."""
    return [path for path in (sandbox.home / ".cache/driftguard/private").glob("*") if path.is_dir()]


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of a folder with its bytes and its time of change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def error(environment: Mapping[str, Any]) -> str:
    """The message of an environment that could not be judged; nothing at all is said of its resources."""
    assert environment["verdict"] == "unknown"
    assert (environment["resources"], environment["outputs"]) == ([], [])
    assert environment["decision"] == {"action": "alert", "reasons": [f"unknown: {environment['error']['kind']}"]}
    message: str = environment["error"]["message"]
    assert "Traceback" not in message
    return message


def state_with(text: str, **fields: Any) -> str:
    """A state with some of its top-level fields changed."""
    return json.dumps({**json.loads(text), **fields}, indent=2)
