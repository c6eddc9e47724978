"""An engine in memory that plans and applies toy things as Terraform does, without Terraform.

It reads the same root modules as the toy provider (`resource "toy_thing"` with `name` and `value` as literals) and the
same folder that plays the cloud; states and locks are kept in memory. Held to the same contract as the real engine by
`tests/contract/engine_contract.py`.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from driftguard.adapters.terraform.here import AppliesHere
from driftguard.errors import EnvironmentFault, TransientFault
from driftguard.model import ErrorKind, Fault, ToolVersion
from driftguard.ports import (
    ApplyProgress,
    ApplyRun,
    Backend,
    PlanRun,
    StateIdentity,
    StreamDrift,
    WorkingDirectory,
)
from tests.support.harness import PROVIDER_ADDRESS, Toy

_FIELDS = ("name", "value", "tags", "rules", "secret", "db_password")
_THING = re.compile(r'resource\s+"toy_thing"\s+"(\w+)"\s*\{(.*?)^\}', re.DOTALL | re.MULTILINE)
_LITERAL = re.compile(r'^\s*(\w+)\s*=\s*"([^"]*)"\s*$', re.MULTILINE)
_FOLDER = re.compile(r'folder\s*=\s*"([^"]+)"')

_ATTRIBUTES = {name: {"type": "string", "optional": True} for name in _FIELDS} | {
    "tags": {"type": ["map", "string"], "optional": True},
    "rules": {"type": ["set", "string"], "optional": True},
}
_SCHEMAS = json.dumps(
    {
        "format_version": "1.0",
        "provider_schemas": {
            PROVIDER_ADDRESS: {"resource_schemas": {"toy_thing": {"block": {"attributes": _ATTRIBUTES}}}}
        },
    }
).encode()

Things = dict[str, dict[str, Any]]


@dataclass(slots=True)
class _State:
    lineage: str | None = None
    serial: int | None = None
    things: Things = field(default_factory=dict)
    lock_id: str | None = None

    @property
    def identity(self) -> StateIdentity:
        return StateIdentity(self.lineage, self.serial, empty=not self.things)


class MemoryStates:
    """The states of all environments, by the folder of their cloud and their workspace; outlives every engine."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str], _State] = {}

    def of(self, folder: Path, workspace: str) -> _State:
        """One environment's state."""
        return self._states.setdefault((str(folder), workspace), _State())


class MemoryEngine(AppliesHere):
    """Plans and applies in this process."""

    def __init__(self, states: MemoryStates) -> None:
        self._states = states
        self._ready: set[tuple[Path, str]] = set()

    def version(self) -> ToolVersion:
        return ToolVersion("terraform", "1.11.4", "memory")

    def cpu_seconds(self) -> float:
        return 0.0

    def process_environment(self, work: WorkingDirectory) -> Mapping[str, str]:
        return work.environment

    def initialised(self, work: WorkingDirectory) -> bool:
        return any(data == work.data_dir for data, _ in self._ready)

    def formatted(self, work: WorkingDirectory, text: bytes) -> bytes:
        return text

    def prepare(self, work: WorkingDirectory, closure_key: str, *, force: bool = False) -> float:
        if not force and (work.data_dir, closure_key) in self._ready:
            return 0.0
        self._ready.add((work.data_dir, closure_key))
        return 0.001

    def forget_secrets(self, work: WorkingDirectory) -> None:
        """Nothing: there are none."""

    def backend(self, work: WorkingDirectory) -> Backend | None:
        return Backend("memory", {"folder": str(_configuration(work)[0].folder)})

    def providers(self, work: WorkingDirectory) -> Mapping[str, str]:
        return {PROVIDER_ADDRESS: "1.0.0"}

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        started = time.monotonic()
        cloud, wanted = _configuration(work)
        state = self._state(work)
        if lock_timeout_seconds is not None and state.lock_id is not None:
            raise TransientFault(ErrorKind.LOCKED, f"The state is locked: {state.lock_id}.")
        identity, things = state.identity, state.things
        _refused(cloud, "fail_read")
        reality = _reality(cloud, things)
        document = _document(things, reality, wanted)
        saved = {"state": [identity.lineage, identity.serial], "before": things, "reality": reality, "plan": document}
        plan_file.write_text(json.dumps(saved))
        changes = any(item["change"]["actions"] != ["no-op"] for item in document["resource_changes"])
        drifted = tuple(
            StreamDrift(item["address"], "toy_thing", PROVIDER_ADDRESS) for item in document["resource_drift"]
        )
        return PlanRun(changes, drifted, identity, time.monotonic() - started)

    def show(self, work: WorkingDirectory, plan_file: Path) -> tuple[bytes, float]:
        return json.dumps(json.loads(plan_file.read_text())["plan"]).encode(), 0.0

    def schemas(self, work: WorkingDirectory) -> bytes:
        return _SCHEMAS

    def state_in_plan(self, work: WorkingDirectory, plan_file: Path, *, refreshed: bool) -> bytes:
        saved = json.loads(plan_file.read_text())
        return _state_text(saved["reality" if refreshed else "before"])

    def state_identity(self, work: WorkingDirectory) -> StateIdentity:
        return self._state(work).identity

    def apply(
        self,
        work: WorkingDirectory,
        plan_file: Path,
        *,
        lock_timeout_seconds: float | None,
        progress: ApplyProgress,
    ) -> ApplyRun:
        started = time.monotonic()
        state, saved = self._state(work), json.loads(plan_file.read_text())
        progress.started(0)
        if saved["state"] != [state.lineage, state.serial]:
            return ApplyRun({}, Fault(ErrorKind.PLAN, "Saved plan is stale."), time.monotonic() - started)
        cloud, _ = _configuration(work)
        outcomes: dict[str, str] = {}
        things = _reality(cloud, state.things)
        for item in saved["plan"]["resource_changes"]:
            address, actions = item["address"], item["change"]["actions"]
            if actions == ["no-op"]:
                continue
            outcomes[address] = "started"
            progress.outcome(address, "started")
            outcomes[address] = self._change(cloud, things, item)
            progress.outcome(address, outcomes[address])
        # Written as a whole at the end, as Terraform does.
        lineage, serial = state.lineage or str(uuid.uuid4()), (state.serial or 0) + 1
        state.lineage, state.serial, state.things = lineage, serial, things
        failed = sorted(address for address, word in outcomes.items() if word == "failed")
        fault = Fault(ErrorKind.PLAN, f"The toy cloud refuses {', '.join(failed)}.") if failed else None
        return ApplyRun(outcomes, fault, time.monotonic() - started)

    def force_unlock(self, work: WorkingDirectory, lock_id: str) -> None:
        state = self._state(work)
        if state.lock_id != lock_id:
            raise EnvironmentFault(ErrorKind.LOCKED, f"The state is not locked with {lock_id}.")
        state.lock_id = None

    def _state(self, work: WorkingDirectory) -> _State:
        cloud, _ = _configuration(work)
        return self._states.of(cloud.folder, work.workspace)

    def _change(self, cloud: Toy, things: Things, item: Mapping[str, Any]) -> str:
        """Do what one entry of a plan says; its outcome."""
        address, change = item["address"], item["change"]
        faults = _faults(cloud)
        refused = {"create": "fail_create", "update": "fail_update"}
        for action in change["actions"]:
            name = (change["after"] or change["before"])["name"]
            if name in faults.get(refused.get(action, ""), ()):
                return "failed"
            file = cloud.folder / f"{name}.json"
            if action == "delete":
                file.unlink(missing_ok=True)
                things.pop(address, None)
            else:
                part = file.with_suffix(".part")  # others read it at any moment
                part.write_text(json.dumps({key: change["after"].get(key) for key in _FIELDS}))
                part.replace(file)
                things[address] = _view(cloud.thing(name))
            with (cloud.folder / "effects.log").open("a") as stream:
                stream.write(f"{action} {name}\n")
        return "done"


def _configuration(work: WorkingDirectory) -> tuple[Toy, Things]:
    """The cloud that a root module uses, and what it wants, by address."""
    text = (work.directory / "main.tf").read_text()
    folder = _FOLDER.search(text)
    if folder is None or text.count("{") != text.count("}"):
        raise EnvironmentFault(ErrorKind.PLAN, "The root module is not valid.")
    wanted = {}
    for label, body in _THING.findall(text):
        literals = dict(_LITERAL.findall(body))
        wanted[f"toy_thing.{label}"] = {**dict.fromkeys(_FIELDS), **literals}
    return Toy(Path(folder[1])), wanted


def _faults(cloud: Toy) -> dict[str, Any]:
    file = cloud.folder / "faults.json"
    return json.loads(file.read_text()) if file.exists() else {}


def _refused(cloud: Toy, fault: str) -> None:
    message = _faults(cloud).get(fault)
    if message:
        raise EnvironmentFault(ErrorKind.PLAN, str(message))


def _view(thing: Mapping[str, Any]) -> dict[str, Any]:
    return {**{key: thing.get(key) for key in _FIELDS}, "id": thing["name"], "echo": f"echo of {thing.get('value')}"}


def _reality(cloud: Toy, state: Things) -> Things:
    """What is there of what the state knows."""
    there = {address: cloud.folder / f"{thing['name']}.json" for address, thing in state.items()}
    return {address: _view(json.loads(file.read_text())) for address, file in there.items() if file.exists()}


def _state_text(things: Things) -> bytes:
    """A state in Terraform's format."""
    resources = [
        {"mode": "managed", "type": kind, "name": name, "instances": [{"attributes": values}]}
        for address, values in sorted(things.items())
        for kind, name in [address.split(".")]
    ]
    return json.dumps({"version": 4, "outputs": {}, "resources": resources}).encode()


def _document(state: Things, reality: Things, wanted: Things) -> dict[str, Any]:
    """A plan in Terraform's JSON format."""
    drift = [
        _item(address, ["update"] if address in reality else ["delete"], before, reality.get(address))
        for address, before in sorted(state.items())
        if before != reality.get(address)
    ]
    return {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "resource_drift": drift,
        "resource_changes": list(_changes(reality, wanted)),
        "configuration": {
            "root_module": {
                "resources": [
                    {"address": address, "expressions": {key: {} for key, value in thing.items() if value is not None}}
                    for address, thing in sorted(wanted.items())
                ]
            }
        },
        "complete": True,
        "errored": False,
    }


def _changes(reality: Things, wanted: Things) -> Iterator[dict[str, Any]]:
    for address in sorted(reality.keys() | wanted.keys()):
        before, want = reality.get(address), wanted.get(address)
        if want is None:
            yield _item(address, ["delete"], before, None)
        elif before is None:
            yield _item(address, ["create"], None, want, {"id": True, "echo": True})
        elif all(before[key] == want[key] for key in _FIELDS):
            yield _item(address, ["no-op"], before, before)
        else:
            replaced = before["name"] != want["name"]
            unknown = (
                {"id": True, "echo": True} if replaced else {"echo": True} if before["value"] != want["value"] else {}
            )
            after = {**{key: value for key, value in before.items() if key not in unknown}, **want}
            yield _item(address, ["delete", "create"] if replaced else ["update"], before, after, unknown)


def _item(
    address: str,
    actions: list[str],
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    unknown: Mapping[str, bool] | None = None,
) -> dict[str, Any]:
    kind, name = address.split(".")
    return {
        "address": address,
        "mode": "managed",
        "type": kind,
        "name": name,
        "provider_name": PROVIDER_ADDRESS,
        "change": {
            "actions": actions,
            "before": before,
            "after": after,
            "after_unknown": dict(unknown or {}),
            "before_sensitive": {},
            "after_sensitive": {},
        },
    }
