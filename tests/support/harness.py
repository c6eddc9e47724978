"""A repository with real environments, the clouds they run in, and the command line as its users call it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driftguard.model.products import TERRAFORM, TOFU

TOY_PROVIDER = Path(__file__).with_name("toy_provider.py")
# The tool of the whole suite, of `make test TOOL=...`: `terraform`, `tofu` or `embedded`; empty for what is on PATH.
TOOL = os.environ.get("DRIFTGUARD_TEST_TOOL", "")
REGISTRY = (TOFU if TOOL == "tofu" else TERRAFORM).registry
PROVIDER_ADDRESS = f"{REGISTRY}/driftguard/toy"
COMMAND = (sys.executable, "-c", "from driftguard.cli import main; main()")
_COMMAND_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command of ours ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """Standard output as JSON."""
        try:
            loaded: dict[str, Any] = json.loads(self.stdout)
        except ValueError:
            raise AssertionError(f"no JSON on standard output; exit {self.code}, stderr:\n{self.stderr}") from None
        return loaded

    def environment(self, name: str) -> dict[str, Any]:
        """One environment of the JSON report."""
        found: dict[str, Any] = next(e for e in self.report["environments"] if e["name"] == name)
        return found


# Commands that open a repository, and so take an operator's file.
OPENS = frozenset(
    [
        "scan",
        "reconcile",
        "agent",
        "environments",
        "status",
        "history",
        "explain",
        "doctor",
        "retry",
        "forget",
        "baseline",
    ]
)


class Sandbox:
    """One user's machine: a home, a repository, a command line.

    Args:
        home: an empty folder that becomes HOME; everything DriftGuard keeps lies below it.
        variables: further environment variables of every command.
        driftguard: the command that runs driftguard to its end; by default a process of its own.
    """

    def __init__(self, home: Path, variables: Mapping[str, str], driftguard: Sequence[str] = COMMAND) -> None:
        self._driftguard = driftguard
        self.home = home
        self.repository = home / "infra"
        self.repository.mkdir(parents=True)
        self.variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "TERM": "dumb",
            **variables,
        }
        self.git("init", "--quiet", "--initial-branch=main")
        self.operator_file: Path | None = home.with_name(f"{home.name}-operator.yaml")
        # Attached providers cannot be tapped; the probe's own tests switch it on.
        self.operator_file.write_text("allow_env: ['*']\nallow_hosts: [127.0.0.1, localhost]\nprobe: off\n")

    # --- the repository -------------------------------------------------------------------------

    def git(self, *arguments: str) -> str:
        """Run git in the repository; its standard output."""
        return subprocess.run(
            ["git", *arguments], cwd=self.repository, env=self.variables, check=True, capture_output=True, text=True
        ).stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Write a file of the work tree."""
        file = self.repository / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self, message: str, files: Mapping[str, str] | None = None) -> str:
        """Commit everything in the work tree, after writing files; the new commit."""
        for path, text in (files or {}).items():
            self.write(path, text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def replace(self, path: str, old: str, new: str) -> None:
        """Change a file of the work tree in one place."""
        text = (self.repository / path).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        self.write(path, text.replace(old, new))

    # --- programs -------------------------------------------------------------------------------

    def terraform(self, environment: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Terraform as a person would, in the environment's own directory."""
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=self.repository / environment,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
        )
        assert not check or done.returncode == 0, f"terraform {arguments}: {done.stdout}{done.stderr}"
        return done

    def apply(self, environment: str, *arguments: str) -> None:
        """Initialise and apply an environment by hand."""
        self.terraform(environment, "init", "-input=false")
        self.terraform(environment, "apply", "-input=false", "-auto-approve", *arguments)

    def run(self, *arguments: str, **variables: str) -> Ran:
        """Run driftguard to its end, in the repository."""
        return self.run_in(self.repository, *arguments, **variables)

    def run_in(self, folder: Path, *arguments: str, **variables: str) -> Ran:
        """Run driftguard to its end, in a folder."""
        done = subprocess.run(
            [*self._driftguard, *self._with_operator(arguments)],
            cwd=folder,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def _with_operator(self, arguments: Sequence[str]) -> Sequence[str]:
        """The arguments with the operator's file, where the command takes one and none is given."""
        if self.operator_file is None or "--config" in arguments or not OPENS.intersection(arguments[:1]):
            return arguments
        return (*arguments, "--config", str(self.operator_file))

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start driftguard and leave it running."""
        return subprocess.Popen(
            [*COMMAND, *self._with_operator(arguments)],
            cwd=self.repository,
            env={**self.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def scan(self, *arguments: str, **variables: str) -> Ran:
        """`driftguard scan --format json`."""
        return self.run("scan", "--format", "json", *arguments, **variables)

    def ledger_file(self) -> Path:
        """The ledger, also while a run makes and deletes folders beside it."""
        (found,) = (Path(folder, "ledger.db") for folder, _, files in os.walk(self.home) if "ledger.db" in files)
        return found

    def bytes_left(self) -> dict[Path, bytes]:
        """Every file below HOME that is not the user's own repository."""
        files = {}
        for file in self.home.rglob("*"):
            if file.is_file() and not file.is_symlink() and self.repository not in file.parents:
                files[file] = file.read_bytes()
        return files


class Toy:
    """A folder that plays the cloud of the toy provider; see `toy_provider`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def install(mirror: Path, command: Sequence[str], *, version: str = "1.0.0") -> Path:
        """Lay out the provider, which a command starts, in a mirror; gives the CLI configuration that uses it."""
        machine = "darwin" if sys.platform == "darwin" else "linux"
        architecture = "arm64" if os.uname().machine in ("arm64", "aarch64") else "amd64"
        place = mirror / PROVIDER_ADDRESS / version / f"{machine}_{architecture}"
        place.mkdir(parents=True)
        program = place / f"terraform-provider-toy_v{version}"
        program.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n")
        program.chmod(0o755)
        configuration = mirror / "cli.tfrc"
        configuration.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{mirror}" }}\n}}\n')
        return configuration

    def root_module(self, body: str, *, backend: str = "") -> str:
        """A root module that uses this cloud."""
        return f"""\
terraform {{
  required_providers {{
    toy = {{ source = "driftguard/toy" }}
  }}
{backend}
}}

provider "toy" {{
  folder = "{self.folder}"
}}

{body}
"""

    def thing(self, name: str) -> dict[str, Any]:
        """One thing as it is now."""
        loaded: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return loaded

    def change(self, name: str, **fields: Any) -> None:
        """Change a thing behind Terraform's back."""
        (self.folder / f"{name}.json").write_text(json.dumps({**self.thing(name), **fields}))

    def delete(self, name: str) -> None:
        """Delete a thing behind Terraform's back."""
        (self.folder / f"{name}.json").unlink()

    def faults(self, **faults: Any) -> None:
        """Set what goes wrong from now on; without arguments nothing does."""
        (self.folder / "faults.json").write_text(json.dumps(faults))

    def effects(self) -> list[str]:
        """Every change made through the provider, oldest first."""
        log = self.folder / "effects.log"
        return log.read_text().splitlines() if log.exists() else []


def kill(process: subprocess.Popen[str]) -> None:
    """End a process and its group the hard way."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
