"""Modules that move without a commit: what a cache holds never decides a verdict."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.support.git_server import GitServer
from tests.support.harness import Sandbox, Toy
from tests.support.registry_double import RegistryDouble
from tests.support.seeds import one_quick
from tests.support.serving import launched
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


Order = tuple[str, ...]
ORDERS: list[Order] = list(permutations(("warm", "cold", "stale")))
in_every_order = pytest.mark.parametrize("orders", one_quick([ORDERS[:2], ORDERS[2:]], pytest.mark.further))


class Runners:
    """Machines that share a ledger: one keeps its cache, one has a cache of the beginning, one is new each time."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._sandbox, self._folder, self._looks = sandbox, folder, 0

    def begin(self) -> dict[str, Any]:
        """The first look, whose cache the runners start with."""
        found = self._look(self._folder / "warm")
        shutil.copytree(self._folder / "warm", self._folder / "stale", symlinks=True)
        return found

    def look(self, runner: str) -> dict[str, Any]:
        """What one of the runners finds."""
        self._looks += 1
        if runner == "warm":
            return self._look(self._folder / "warm")
        cache = self._folder / f"{runner}-{self._looks}"
        if runner == "stale":
            shutil.copytree(self._folder / "stale", cache, symlinks=True)
        return self._look(cache)

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


def same_in_every_order(runners: Runners, move: Callable[[str], None], orders: Sequence[Order]) -> None:
    """Runners agree, whichever looks first after the code has moved."""
    assert runners.begin() == {"verdict": "in_sync", "attributes": {}, "certain": set()}
    for number, order in enumerate(orders):
        value = f"value-{number}"
        move(value)
        # No commit of this repository moved it, and that is not certain.
        found = {"verdict": "pending", "attributes": {"value": ("input", value)}, "certain": {False}}
        assert [runners.look(runner) for runner in order] == [found] * len(order), order
    move("one")
    assert [runners.look(runner)["verdict"] for runner in orders[0]] == ["in_sync"] * 3


@in_every_order
def test_cold_and_warm_caches_give_one_verdict_about_a_branch(
    sandbox: Sandbox, toy: Toy, module: Module, server: GitServer, tmp_path: Path, orders: Sequence[Order]
) -> None:
    module.move("one")
    calling(sandbox, toy, f"git::{server.url('module/.git')}")
    same_in_every_order(Runners(sandbox, tmp_path), module.move, orders)


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
        same_in_every_order(runners, release, ORDERS)
        registry.away = True  # what cannot be asked is fetched anew, and then fails on both
        for cache in ("warm", "stale", "new"):
            (environment,) = sandbox.scan(XDG_CACHE_HOME=str(tmp_path / cache)).report["environments"]
            assert environment["error"]["kind"] == "init"


@pytest.mark.further
@pytest.mark.provider_process
@in_every_order
def test_cold_and_warm_caches_give_one_verdict_about_a_provider_that_no_lock_file_fixes(
    sandbox: Sandbox, toy: Toy, toy_configuration: Path, tmp_path: Path, orders: Sequence[Order]
) -> None:
    command = launched(toy_configuration.parent / "socket")
    sandbox.variables["TF_CLI_CONFIG_FILE"] = str(Toy.install(tmp_path / "mirror", command))
    sandbox.write(".gitignore", "*.tfstate*\n.terraform/\n.terraform.lock.hcl\n")
    sandbox.write("environments/dev/main.tf", toy.root_module('resource "toy_thing" "web" {\n  name = "web"\n}\n'))
    sandbox.apply("environments/dev")
    sandbox.commit("the estate")
    runners = Runners(sandbox, tmp_path)
    assert runners.begin()["verdict"] == "in_sync"
    for number, order in enumerate(orders, 1):  # each release has another default, which a plan would write
        Toy.install(tmp_path / "mirror", ["env", f"TOY_DEFAULT=of 1.{number}", *command], version=f"1.{number}.0")
        found = [runners.look(runner) for runner in order]
        assert found == [found[0]] * len(order), order
        assert found[0]["attributes"] == {"value": ("input", f"of 1.{number}")}
        assert found[0]["certain"] == {False}


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
