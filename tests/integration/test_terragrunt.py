"""Terragrunt units, by a stand-in with the real program's recorded answers, and by the real one where it is on PATH."""

from __future__ import annotations

import os
import shutil
import uuid
from itertools import pairwise
from pathlib import Path

import pytest

from driftguard.adapters.terraform.tool import ask
from lab.statestore import StateStore
from tests.support.harness import Sandbox
from tests.support.terragrunt import (
    CONFIGURATION,
    INCLUDE,
    MODULE,
    REAL,
    RECORDED_REPOSITORY,
    UnitMachine,
    dependency,
    unit,
)

pytestmark = pytest.mark.terraform


@pytest.fixture(params=["stand-in", "real"])
def machine(request: pytest.FixtureRequest, sandbox: Sandbox, state_store: StateStore, tmp_path: Path) -> UnitMachine:
    """A machine with Terragrunt and the unit `network`."""
    if request.param == "real" and REAL is None:
        pytest.skip("no terragrunt is on PATH")
    states = f"{state_store.endpoint}/{uuid.uuid4().hex}"
    made = UnitMachine(sandbox, states, tmp_path / "bin", real=request.param == "real")
    made.commit(network=unit())
    return made


def files_of(folder: Path) -> set[str]:
    return {os.path.relpath(path, folder) for path in folder.rglob("*") if ".git" not in path.parts}


def test_a_unit_is_planned_through_terragrunt_and_nothing_is_left_in_the_work_tree(
    machine: UnitMachine, state_store: StateStore
) -> None:
    states = dict(state_store.states)
    before = files_of(machine.sandbox.repository)
    for _ in range(2):  # the second run finds Terragrunt's folder as the first left it
        found = machine.scan()
        environment = found.environment("network")
        assert environment["verdict"] == "pending", found.stderr
        assert [r["address"] for r in environment["resources"]] == ["terraform_data.thing"]
    assert files_of(machine.sandbox.repository) == before
    assert state_store.states == states


def test_the_closure_of_a_unit_is_its_files_and_those_of_its_module(machine: UnitMachine) -> None:
    machine.sandbox.write("modules/other/main.tf", "")
    machine.commit(network=unit('file("${get_terragrunt_dir()}/../text.txt")'), other=unit('"other"'))
    machine.sandbox.commit("a text", {"live/text.txt": "x", "live/other.txt": "x"})
    network = machine.sandbox.run("environments", "--format", "json").environment("network")
    assert set(network["files"]) == {
        "live/network/terragrunt.hcl",
        "live/root.hcl",
        "live/text.txt",
        "modules/thing/main.tf",
    }
    assert network["closure_open"] == []
    assert network["modules"] == ["modules/thing"]


def test_units_whose_code_runs_are_named(machine: UnitMachine) -> None:
    machine.commit(network=unit('run_cmd("--terragrunt-quiet", "echo", "x")'), other=unit())
    listed = machine.sandbox.run("environments", "--format", "json")
    assert listed.environment("network")["runs"] == ["run_cmd"]
    assert listed.environment("other")["runs"] == []
    sentence = "Code of the commit runs while the unit is read or planned: run_cmd."
    assert f"note: {sentence}" in listed.stderr
    assert f"1 of 2 environments: {sentence}" in machine.sandbox.run("doctor").stdout
    (machine.sandbox.repository / "driftguard.yaml").unlink()
    first = machine.sandbox.run("init")
    named = "Code runs while these units are read or planned (`run_cmd`, hooks): live/network."
    assert named in first.stdout + first.stderr


@pytest.mark.parametrize("mocks", ["", '  mock_outputs = { id = "mock" }\n'])
def test_a_unit_without_the_outputs_of_another_is_unknown_and_names_it(machine: UnitMachine, mocks: str) -> None:
    machine.commit(service=unit("dependency.network.outputs.id", dependency("network", mocks)))
    error = machine.scan("service").environment("service")["error"]
    assert error["kind"] == "dependency"
    assert "network" in error["message"]
    assert "terragrunt run -- apply" in error["message"]


def applied(machine: UnitMachine, *names: str) -> None:
    """Apply units by hand, and scan them."""
    machine.apply(*names)
    report = machine.scan(*names).report
    assert {each["name"]: each["verdict"] for each in report["environments"]} == dict.fromkeys(names, "in_sync")


def test_a_changed_output_upstream_is_input_and_names_its_environment(machine: UnitMachine) -> None:
    service = unit("dependency.network.outputs.text", dependency("network"))
    machine.commit(service=service)
    applied(machine, "network", "service")
    machine.commit(network=unit('"changed"'))
    machine.apply("network")
    found = machine.scan("service").environment("service")
    assert found["closure_open"] == []
    assert found["verdict"] == "pending"
    labels = {label for resource in found["resources"] for label in resource["labels"]}
    assert "input" in labels
    assert not labels & {"drift", "absorbed", "conflict", "pending"}
    assert [(each["environment"], each["unit"], each["changed"]) for each in found["upstream"]] == [
        ("network", "live/network", ["text"])
    ]
    assert "upstream_changed: text of network" in found["decision"]["reasons"]
    applied(machine, "service")
    assert machine.scan("service").environment("service")["upstream"][0]["changed"] == []


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (
            '  mock_outputs = { id = "mock", more = "mock" }\n  mock_outputs_merge_strategy_with_state = "shallow"\n',
            "(more), because they are merged",
        ),
        ('  mock_outputs = { id = "mock" }\n  enabled = false\n', "(id), because its outputs are not read"),
    ],
)
def test_mocks_that_stand_in_without_a_word_are_found(machine: UnitMachine, block: str, why: str) -> None:
    machine.apply("network")
    machine.commit(service=unit("dependency.network.outputs.id", dependency("network", block)))
    error = machine.scan("service").environment("service")["error"]
    assert error["kind"] == "dependency"
    assert why in error["message"]
    assert "live/network" in error["message"]


def chain(text: str, **more: str) -> dict[str, str]:
    """A chain of four: each unit's text is that of the one before."""
    names = ("network", "database", "service", "edge")
    blocks = {name: dependency(before) for before, name in pairwise(names)}
    units = {name: unit(f"dependency.{before}.outputs.text", blocks[name]) for before, name in pairwise(names)}
    return {"network": unit(text), **units, **more}


@pytest.mark.further
def test_a_chain_of_units_is_applied_in_its_order_in_one_run(machine: UnitMachine) -> None:
    machine.sandbox.write("driftguard.yaml", f"{CONFIGURATION}policy: {{pending: apply, input: apply}}\n")
    machine.commit(**chain('"first"'))
    for text in ("first", "second"):
        machine.commit(network=unit(f'"{text}"'))
        report = machine.reconcile().report
        faults = [each["error"]["message"] for each in report["environments"] if each["error"] is not None]
        assert faults == []
        assert {each["name"]: each["verdict"] for each in report["environments"]} == dict.fromkeys(
            ("network", "database", "service", "edge"), "in_sync"
        )
        assert machine.output("edge", "text") == text


@pytest.mark.further
def test_a_unit_is_held_while_one_that_it_depends_on_is_not_in_sync(machine: UnitMachine) -> None:
    machine.commit(**{name: text for name, text in chain('"first"').items() if name in ("network", "database")})
    machine.apply("network", "database")
    assert machine.scan().code == 0
    alone = "  - {path: live/network, env: [STATES], policy: {pending: alert}}\n"
    machine.sandbox.write("driftguard.yaml", f"{CONFIGURATION}{alone}policy: {{pending: apply, input: apply}}\n")
    machine.commit(
        network=unit('"second"'), database=unit("upper(dependency.network.outputs.text)", dependency("network"))
    )
    found = {each["name"]: each["decision"] for each in machine.reconcile().report["environments"]}
    assert found["network"]["action"] == "alert"
    assert found["database"]["action"] == "hold"
    assert "dependency_not_settled: network" in found["database"]["reasons"]
    assert machine.output("database", "text") == "first"


STACK = """\
unit "one" {
  source = "${get_repo_root()}//units/thing"
  path   = "one"
  values = { text = "first" }
}
stack "more" {
  source = "../../stacks/more"
  path   = "more"
}
"""


@pytest.mark.further
def test_the_units_of_stacks_are_environments_named_after_stack_and_path(machine: UnitMachine) -> None:
    machine.sandbox.write("driftguard.yaml", CONFIGURATION.replace("live/*", "live/**"))
    files = {
        "live/eu/terragrunt.stack.hcl": STACK,
        "units/thing/terragrunt.hcl": unit("values.text"),
        "stacks/more/terragrunt.stack.hcl": STACK.partition("stack")[0].replace("one", "two"),
    }
    machine.sandbox.commit("a stack", files)
    report = machine.scan().report
    verdicts = {each["name"]: (each["path"], each["verdict"]) for each in report["environments"]}
    assert verdicts == {
        "eu/one": ("live/eu/.terragrunt-stack/one", "pending"),
        "eu/more/two": ("live/eu/.terragrunt-stack/more/.terragrunt-stack/two", "pending"),
        "network": ("live/network", "pending"),
    }, report["environments"]
    one = machine.sandbox.run("environments", "--format", "json").environment("eu/one")
    assert one["closure_open"] == []
    assert set(one["files"]) == {
        "live/eu/terragrunt.stack.hcl",
        "live/root.hcl",
        "modules/thing/main.tf",
        "units/thing/terragrunt.hcl",
    }
    assert not (machine.sandbox.repository / "live/eu/.terragrunt-stack").exists()


ACCOUNTS = ("dev", "prod", "stage")
# As in public repositories: what units of a kind share is an include, whose locals name the source.
COMMON = """\
locals {
  environment = read_terragrunt_config(find_in_parent_folders("env.hcl"))
  source      = "${dirname(find_in_parent_folders("root.hcl"))}/../modules//thing"
}
"""
WITH_COMMON = """\
include "root" { path = find_in_parent_folders("root.hcl") }
include "common" {
  path   = "${dirname(find_in_parent_folders("root.hcl"))}/_envcommon/KIND.hcl"
  expose = true
}
terraform { source = include.common.locals.source }
"""


def accounts() -> dict[str, str]:
    """Twelve units in three accounts, with settings of accounts and includes that units of a kind share."""
    shared = {
        "vpc": "inputs = { text = local.environment.locals.name }\n",
        "db": f"{dependency('vpc')}inputs = {{ text = dependency.vpc.outputs.text }}\n",
        "app": f"{dependency('db')}inputs = {{ text = dependency.db.outputs.text }}\n",
        "logs": 'inputs = { text = file("${get_terragrunt_dir()}/../retention.txt") }\n',
    }
    files = {f"live/_envcommon/{kind}.hcl": COMMON + text for kind, text in shared.items()}
    for account in ACCOUNTS:
        files[f"live/{account}/env.hcl"] = f'locals {{ name = "{account}" }}\n'
        files[f"live/{account}/retention.txt"] = "30"
        files |= {f"live/{account}/{kind}/terragrunt.hcl": WITH_COMMON.replace("KIND", kind) for kind in shared}
    return files


@pytest.mark.further
def test_twelve_units_of_three_accounts_have_closures_of_their_own(machine: UnitMachine) -> None:
    machine.sandbox.write("driftguard.yaml", CONFIGURATION.replace("live/*", "live/*/*"))
    machine.sandbox.commit("accounts", accounts())
    before = machine.sandbox.run("environments", "--format", "json").report["environments"]
    assert [each["name"] for each in before] == [
        f"{a}/{kind}" for a in ACCOUNTS for kind in ("app", "db", "logs", "vpc")
    ]
    assert [each["closure_open"] for each in before] == [[]] * 12
    (logs,) = [each for each in before if each["name"] == "dev/logs"]
    assert set(logs["files"]) == {
        "live/_envcommon/logs.hcl",
        "live/dev/env.hcl",
        "live/dev/logs/terragrunt.hcl",
        "live/dev/retention.txt",
        "live/root.hcl",
        "modules/thing/main.tf",
    }
    machine.sandbox.commit("longer", {"live/dev/retention.txt": "60"})
    after = machine.sandbox.run("environments", "--format", "json").report["environments"]
    changed = [a["name"] for a, b in zip(after, before, strict=True) if a["closure_hash"] != b["closure_hash"]]
    assert changed == ["dev/logs"]
    found = {each["name"]: each for each in machine.scan("dev/*").report["environments"]}
    verdicts = {name: (each["error"] or {}).get("kind", each["verdict"]) for name, each in found.items()}
    assert verdicts == {"dev/app": "dependency", "dev/db": "dependency", "dev/logs": "pending", "dev/vpc": "pending"}


def test_only_a_source_with_a_pinned_version_leaves_a_closure_closed(machine: UnitMachine) -> None:
    sources = {"pinned": "?ref=v1.2.0", "branch": "?ref=main", "floating": ""}
    text = f'{INCLUDE}terraform {{ source = "git::https://example.org/modules.git//thing%s" }}\n'
    files = {f"live/{name}/terragrunt.hcl": text % ref for name, ref in sources.items()}
    machine.sandbox.commit("sources", {**files, **{f"live/{name}/.terraform.lock.hcl": "" for name in sources}})
    listed = machine.sandbox.run("environments", "--format", "json")
    reasons = {name: len(listed.environment(name)["closure_open"]) for name in sources}
    assert reasons == {"pinned": 0, "branch": 1, "floating": 1}
    assert listed.environment("pinned")["remote_sources"] == ["git::https://example.org/modules.git//thing?ref=v1.2.0"]


def test_units_and_root_modules_of_both_products_are_scanned_in_one_run(machine: UnitMachine) -> None:
    backend = f'backend "http" {{ address = "{machine.sandbox.variables["STATES"]}/NAME" }}'
    plain = f"{MODULE}terraform {{\n  {backend}\n}}\n"
    products = {"terraform": ".terraform-version", "tofu": ".opentofu-version"}
    present = [name for name in products if shutil.which(name, path=machine.sandbox.variables["PATH"])]
    files = {".gitignore": ".terraform/\n"}
    for name, file in products.items():  # the same names whatever is installed: the recorded answers belong to them
        program = shutil.which(name)
        version = ask(program, Path("/"), {"PATH": os.environ["PATH"]}).version if program else "1.0.0"
        files |= {f"plain/{name}/main.tf": plain.replace("NAME", name), f"plain/{name}/{file}": version}
    entries = "".join(f"  - path: plain/{name}\n" for name in present)
    machine.sandbox.write("driftguard.yaml", f"{CONFIGURATION}{entries}")
    machine.sandbox.commit("plain", files)
    machine.apply("network")
    for name in present:
        machine.sandbox.apply(f"plain/{name}")
    machine.commit(network=unit('"changed"'), alone=unit())
    report = machine.scan().report
    verdicts = {each["name"]: each["verdict"] for each in report["environments"]}
    assert verdicts == {"network": "pending", "alone": "pending", **dict.fromkeys(present, "in_sync")}


@pytest.mark.further
def test_hooks_var_files_includes_and_stacks_of_the_recorded_repository(machine: UnitMachine, tmp_path: Path) -> None:
    states = tmp_path / "states"
    machine.sandbox.variables |= {"STATES": str(states), "DB_PASSWORD": "hunter2-from-outside"}
    shutil.rmtree(machine.sandbox.repository / "live")
    shutil.copytree(RECORDED_REPOSITORY, machine.sandbox.repository, dirs_exist_ok=True)
    machine.sandbox.write(
        "driftguard.yaml", CONFIGURATION.replace("live/*", "live/**").replace("[STATES]", "[STATES, DB_PASSWORD]")
    )
    machine.sandbox.commit("the recorded repository")
    listed = machine.sandbox.run("environments", "--format", "json")
    names = [each["name"] for each in listed.report["environments"]]
    units = [f"{account}/{unit}" for account in ("dev", "prod") for unit in ("database", "network", "service")]
    assert names == [*units, "stacked/eu/one", "stacked/eu/two"]
    service = listed.environment("dev/service")
    assert service["runs"] == ["before_hook said", "run_cmd"]
    assert {"live/dev/account.yaml", "live/dev/service/service.tfvars", "live/sizes.hcl"} <= set(service["files"])
    machine.apply("dev/network", "dev/database", "dev/service")
    found = {each["name"]: each for each in machine.scan("dev/*", "stacked/*").report["environments"]}
    assert {name: each["verdict"] for name, each in found.items()} == {
        "dev/database": "in_sync",
        "dev/network": "in_sync",
        "dev/service": "in_sync",
        "stacked/eu/one": "pending",
        "stacked/eu/two": "pending",
    }
    assert [each["environment"] for each in found["dev/service"]["upstream"]] == ["dev/database", "dev/network"]
    assert b"hunter2-from-outside" in b"".join(path.read_bytes() for path in states.rglob("*.tfstate"))
    assert not [path for path, content in machine.sandbox.bytes_left().items() if b"hunter2-from-outside" in content]


def test_a_unit_that_is_excluded_from_plan_is_left_out_and_named(machine: UnitMachine) -> None:
    machine.commit(left=unit(more='exclude {\n  if = true\n  actions = ["plan"]\n}\n'))
    report = machine.scan().report
    assert [each["name"] for each in report["environments"]] == ["network"]
    assert report["warnings"] == ["1 unit is left out, because `exclude` covers `plan` there: left."]


def test_without_terragrunt_a_unit_is_unknown_with_the_remedy(sandbox: Sandbox) -> None:
    sandbox.variables["PATH"] = ":".join(
        folder for folder in sandbox.variables["PATH"].split(":") if not Path(folder, "terragrunt").exists()
    )
    sandbox.write("driftguard.yaml", "environments: [{path: live/*}]\n")
    sandbox.commit("a unit", {"live/network/terragrunt.hcl": unit()})
    error = sandbox.scan("--format", "json").environment("network")["error"]
    assert error["kind"] == "config"
    assert "Install Terragrunt" in error["message"]
