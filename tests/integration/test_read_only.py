"""A scan is read-only: it holds nothing that could change a cloud, a state or a forge, and asks for nothing else."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import pytest

from driftguard.adapters.process import Stop
from driftguard.adapters.terraform.commandline import CommandLine
from driftguard.adapters.terraform.engine import TerraformApplier, TerraformPlanner
from driftguard.bootstrap.session import Session
from driftguard.bootstrap.target import Target
from driftguard.errors import SafetyRefusal
from driftguard.model import EnvironmentResult
from driftguard.ports import (
    AlertRecord,
    Alerts,
    Attempts,
    Branches,
    DeliveryQueue,
    Leases,
    NoticeQueue,
    Sink,
    StateLock,
)
from driftguard.ports.engine import Applier
from driftguard.ports.forge import RequestWriter
from tests.contract.engine_contract import working_directory
from tests.integration.conftest import S3Estate
from tests.support.toy_estate import Wrapped

pytestmark = pytest.mark.terraform

# Ports whose methods change a cloud, a state, a forge, a branch, or what is sent or applied later.
CHANGING = (
    Applier,
    StateLock,
    RequestWriter,
    Branches,
    Sink,
    NoticeQueue,
    DeliveryQueue,
    AlertRecord,
    Alerts,
    Leases,
    Attempts,
)
_THING = 'resource "toy_thing" "a" {\n  name  = "a"\n  value = "1"\n}\n'
_FORGE = "forge: {kind: github, repository: acme/infra, token_env: FORGE_TOKEN, url: 'http://127.0.0.1:9'}\n"


@pytest.fixture
def estate(s3_estate: S3Estate) -> S3Estate:
    return s3_estate


def methods_of(port: type) -> set[str]:
    """The methods that a port adds to those that it extends."""
    return {name for name, value in vars(port).items() if callable(value) and not name.startswith("_")}


def changes_with(item: object) -> list[str]:
    """The ports for changes that an object of ours implements.

    Other libraries' clients (git, PyGithub) can do whatever their service lets them: what keeps a scan from it is that
    no method of ours that it can reach does.
    """
    if not type(item).__module__.startswith("driftguard"):
        return []
    return [port.__name__ for port in CHANGING if all(callable(getattr(item, name, None)) for name in methods_of(port))]


def members(item: object) -> Iterator[object]:
    """What an object holds: attributes, slots, items, and what functions and methods are bound to."""
    if isinstance(item, Mapping):
        yield from item.keys()
        yield from item.values()
    elif isinstance(item, list | tuple | set | frozenset):
        yield from item
    elif not type(item).__module__.startswith("driftguard") and not isinstance(
        item, FunctionType | MethodType | partial
    ):
        return  # clients of other libraries hold nothing of ours
    yield from getattr(item, "__dict__", {}).values()
    for kind in type(item).__mro__:
        slots = getattr(kind, "__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if hasattr(item, slot):
                yield getattr(item, slot)
    if isinstance(item, FunctionType):
        yield from (cell.cell_contents for cell in item.__closure__ or ())
    elif isinstance(item, MethodType):
        yield item.__self__
    elif isinstance(item, partial):
        yield from (item.func, item.args, item.keywords)


def graph(*roots: object) -> Iterator[object]:
    """Every object that is reachable from some others; classes, modules and plain values are left out."""
    seen, pending = set(), list(roots)
    while pending:
        item = pending.pop()
        if id(item) in seen or isinstance(item, type | ModuleType | str | bytes | int | float | None):
            continue
        seen.add(id(item))
        yield item
        pending.extend(members(item))


def held_during(session: Session, *, acts: bool) -> tuple[Any, Any]:
    """What a run is made from, read from the run itself while it is under way."""
    found: list[tuple[Any, Any]] = []

    def look(result: EnvironmentResult) -> None:
        frame = sys._getframe()
        while frame.f_code.co_name != "_run_all":
            assert frame.f_back is not None
            frame = frame.f_back
        found.append((frame.f_locals["context"], list(frame.f_locals["tasks"])))

    session.run(session.environments, acts=acts, on_done=look, write=lambda text: None)
    return found[0]


@pytest.fixture
def session(estate: S3Estate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    estate.configure(f"policy: {{pending: alert}}\n{_FORGE}")
    estate.merge("Add a", _THING)
    for name in set(os.environ) - {"PATH"}:
        monkeypatch.delenv(name)
    for name, value in {**estate.sandbox.variables, "FORGE_TOKEN": "ghx" * 9}.items():
        monkeypatch.setenv(name, value)
    with Session(Target(str(estate.sandbox.repository), None, estate.sandbox.operator_file)) as opened:
        yield opened


def test_nothing_that_a_scan_is_made_from_can_change_anything(session: Session) -> None:
    context, tasks = held_during(session, acts=False)
    items = list(graph(context, tasks))
    assert len(items) > 100, "the graph was walked"
    assert {type(item).__name__ for item in items} >= {"TerraformPlanner", "GitRepository", "GitHubReviews"}
    assert {type(item).__name__: changes_with(item) for item in items if changes_with(item)} == {}


def test_the_engine_of_a_scan_refuses_a_command_that_changes_something(tmp_path: Path) -> None:
    work, stop = working_directory(tmp_path, {}), Stop()
    for verb in ("apply", "destroy", "import", "state rm", "state push", "force-unlock", "workspace delete", "taint"):
        with pytest.raises(SafetyRefusal):
            CommandLine("/bin/false", TerraformPlanner.verbs).cmd(verb, work=work, stop=stop, extra={})
    assert TerraformApplier.verbs - TerraformPlanner.verbs == {"apply", "force-unlock"}


def test_the_walk_finds_what_a_reconcile_holds(session: Session) -> None:
    context, tasks = held_during(session, acts=True)
    found = {name for item in graph(context, tasks) for name in changes_with(item)}
    assert found >= {"Applier", "Branches", "RequestWriter", "Leases", "Attempts", "Alerts"}


# The arguments that a reading command may use, by Terraform's command, and the options with a value of ours.
_FREE = re.compile(r"-(?:backend-config|out|var-file|state)=\S+|/\S+")
_OPTIONS: dict[str, set[str]] = {
    "version": set(),
    # `-upgrade` selects anew what no commit pins, in our own data folder.
    "init": {"-input=false", "-no-color", "-reconfigure", "-upgrade", "-json"},
    "plan": {"-input=false", "-no-color", "-json", "-detailed-exitcode", "-lock=false"},
    "show": {"-json", "-no-color"},
    "state": {"pull"},
    "providers": {"schema", "-json"},
}


def unexpected(calls: list[str]) -> list[str]:
    """The calls whose arguments are not all those of reading."""
    return [call for call in calls if not only_reads(call)]


def only_reads(call: str) -> bool:
    verb, *options = call.split()
    allowed = _OPTIONS.get(verb)
    if allowed is None or (verb == "plan" and "-lock=false" not in options):
        return False
    return all(option in allowed or _FREE.fullmatch(option) for option in options)


def test_no_argument_list_of_a_reading_command_can_change_anything(estate: S3Estate, tmp_path: Path) -> None:
    estate.merge("Add a", _THING)
    assert estate.reconcile().code == 2
    estate.sandbox.apply("environments/dev")
    estate.toy.change("a", value="outside")
    estate.sandbox.terraform("environments/dev", "plan", "-out=plan.bin", "-input=false")
    shown = estate.sandbox.terraform("environments/dev", "show", "-json", "plan.bin").stdout
    (tmp_path / "plan.json").write_text(shown)
    terraform = Wrapped(estate.sandbox, tmp_path / "recorded")
    for arguments in (("scan",), ("scan", "--noise"), ("environments",), ("classify", str(tmp_path / "plan.json"))):
        assert estate.sandbox.run(*arguments).code in (0, 2), arguments
    estate.merge("Break a", _THING.replace("value", "no_such_argument"))
    assert estate.sandbox.run("scan").code == 1  # what follows a failure reads, too
    estate.toy.faults(fail_read="away")
    assert estate.sandbox.run("scan").code == 1
    calls = terraform.calls()
    assert {call.split()[0] for call in calls} >= {"version", "init", "plan", "show"}
    assert unexpected(calls) == []
    assert estate.toy.effects() == ["create a"]
    assert not estate.locked()


@pytest.mark.parametrize(
    "call",
    [
        "apply /p",
        "plan -lock=true -out=/p",
        "plan -out=/p",
        "plan -lock=false -destroy",
        "init -migrate-state",
        "state push x",
        "state rm a",
        "import a b",
        "force-unlock 1",
        "workspace new x",
        "workspace delete x",
        "taint a",
        "refresh",
        "destroy",
        "console",
        "test",
    ],
)
def test_an_argument_list_that_could_change_something_is_recognised(call: str) -> None:
    assert unexpected([call]) == [call]


def test_every_port_for_changes_has_methods_that_the_walk_looks_for() -> None:
    empty: list[Any] = [port for port in CHANGING if not methods_of(port)]
    assert empty == []
