"""Modules that move without a commit: what a cache holds never decides a verdict."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.git_server import GitServer
from tests.support.harness import Sandbox, Toy
from tests.support.registry_double import RegistryDouble
from tests.support.toy_estate import verdicts

LOCAL = 'terraform {\n  backend "local" {}\n'


class Module:
    """A module in a git repository of its own: one thing with a value."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self._home = folder, home
        folder.mkdir(parents=True)
        self._git("init", "--quiet", "--initial-branch=main")

    def move(self, value: str, tag: str | None = None) -> None:
        """Commit a value to the branch, and tag it."""
        head = 'terraform {\n  required_providers {\n    toy = { source = "driftguard/toy" }\n  }\n}\n'
        thing = f'resource "toy_thing" "web" {{\n  name  = "web"\n  value = "{value}"\n}}\n'
        (self.folder / "main.tf").write_text(head + thing)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", value)
        if tag is not None:
            self._git("tag", tag)

    def _git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        environment = {"HOME": str(self._home), "PATH": "/usr/bin:/bin:/usr/local/bin"}
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, env=environment, check=True)


@pytest.fixture
def module(tmp_path: Path) -> Module:
    return Module(tmp_path / "served" / "module", tmp_path)


@pytest.fixture
def server(module: Module) -> Iterator[GitServer]:
    with GitServer(module.folder.parent, "reader", "secret") as running:
        yield running


class Runners:
    """Machines that share a ledger: one keeps its cache, the others are new each time."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._sandbox, self._folder, self._fresh = sandbox, folder, 0

    def warm(self) -> dict[str, Any]:
        return self._look(self._folder / "warm")

    def cold(self) -> dict[str, Any]:
        self._fresh += 1
        return self._look(self._folder / f"cold-{self._fresh}")

    def _look(self, cache: Path) -> dict[str, Any]:
        report = self._sandbox.scan(XDG_CACHE_HOME=str(cache)).report
        (environment,) = report["environments"]
        assert environment["error"] is None, environment["error"]
        attributes = [a for r in environment["resources"] for a in r["attributes"]]
        found = {a["path"]: (a["label"], a["desired"]) for a in attributes if a["path"] != "echo"}
        certain = {r["certain"] for r in environment["resources"] if "noise" not in r["labels"]}
        return {"verdict": environment["verdict"], "attributes": found, "certain": certain}


def calling(sandbox: Sandbox, toy: Toy, source: str, more: str = "") -> None:
    """Commit and apply an environment that calls a module."""
    call = f'module "web" {{\n  source = "{source}"\n{more}}}\n'
    sandbox.write(".gitignore", "*.tfstate*\n.terraform/\n")
    sandbox.write("environments/dev/main.tf", toy.root_module(call))
    sandbox.apply("environments/dev")
    sandbox.commit("the estate")


def same_in_every_order(runners: Runners, move: Any) -> None:
    """Warm and cold runners agree, whichever looks first after the code has moved."""
    assert runners.warm() == {"verdict": "in_sync", "attributes": {}, "certain": set()}
    for value, first, second in (
        ("two", runners.warm, runners.cold),
        ("three", runners.cold, runners.warm),
        ("one", runners.warm, runners.cold),
    ):
        move(value)
        found = first()
        assert second() == found
        if value == "one":
            assert found["verdict"] == "in_sync"
        else:  # no commit of this repository moved it, and that is not certain
            assert found == {"verdict": "pending", "attributes": {"value": ("input", value)}, "certain": {False}}


def test_cold_and_warm_caches_give_one_verdict_about_a_branch(
    sandbox: Sandbox, toy: Toy, module: Module, server: GitServer, tmp_path: Path
) -> None:
    module.move("one")
    calling(sandbox, toy, f"git::{server.url('module/.git')}")
    same_in_every_order(Runners(sandbox, tmp_path), module.move)


@pytest.mark.crash
def test_cold_and_warm_caches_give_one_verdict_about_a_range_of_a_registry(
    sandbox: Sandbox, toy: Toy, module: Module, server: GitServer, tmp_path: Path
) -> None:
    with RegistryDouble() as registry:
        configuration = tmp_path / "cli.tfrc"
        own = Path(sandbox.variables["TF_CLI_CONFIG_FILE"]).read_text()
        configuration.write_text(own + registry.host_block("registry.example.org"))
        sandbox.variables["TF_CLI_CONFIG_FILE"] = str(configuration)
        released = registry.modules.setdefault("acme/web/toy", {})

        def release(value: str) -> None:
            version = f"1.{len(released)}.0"
            module.move(value, tag=f"v{version}")
            released[version] = f"git::{server.url('module/.git')}?ref=v{version}"

        release("one")
        calling(sandbox, toy, "registry.example.org/acme/web/toy", '  version = "~> 1.0"\n')
        runners = Runners(sandbox, tmp_path)
        same_in_every_order(runners, release)
        registry.away = True  # what cannot be asked is fetched anew, and then fails on both
        for cache in ("warm", "cold"):
            (environment,) = sandbox.scan(XDG_CACHE_HOME=str(tmp_path / cache)).report["environments"]
            assert environment["error"]["kind"] == "init"


def test_a_pinned_module_is_fetched_once_and_its_closure_is_closed(
    sandbox: Sandbox, toy: Toy, module: Module, server: GitServer, tmp_path: Path
) -> None:
    module.move("one", tag="v1.0.0")
    calling(sandbox, toy, f"git::{server.url('module/.git')}?ref=v1.0.0")
    assert verdicts(sandbox.scan().report) == {"dev": "in_sync"}
    server.writable = False
    module.move("two")
    report = sandbox.scan().report
    assert verdicts(report) == {"dev": "in_sync"}
    (environment,) = report["environments"]
    assert environment["closure_open"] == []
    assert environment["seconds"]["init"] == 0.0
