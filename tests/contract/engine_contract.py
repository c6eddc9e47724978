"""What every engine must do: plan, show, apply and identify a state. Subclasses give the fixture `bench`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from driftguard.errors import EnvironmentFault
from driftguard.model.plan_document import PlanDocument, decode, read_document
from driftguard.model.provider_schemas import ProviderSchemas
from driftguard.ports import ApplyEngine, PlanRun, WorkingDirectory
from tests.support.harness import PROVIDER_ADDRESS, Toy


@dataclass(slots=True)
class Notes:
    """Keeps what an apply notifies of; a `ports.ApplyProgress`."""

    groups: list[int] = field(default_factory=list)
    words: list[tuple[str, str]] = field(default_factory=list)

    def started(self, process_group: int) -> None:
        self.groups.append(process_group)

    def outcome(self, address: str, word: str) -> None:
        self.words.append((address, word))


class Bench:
    """One environment of toy things, and an engine."""

    def __init__(self, engine: ApplyEngine, work: WorkingDirectory, toy: Toy) -> None:
        self.engine, self.work, self.toy = engine, work, toy

    @property
    def plan_file(self) -> Path:
        return self.work.private / "plan"

    def write(self, **values: str) -> None:
        """Write the configuration: things by name, with their values."""
        things = [
            f'resource "toy_thing" "{name}" {{\n  name  = "{name}"\n  value = "{value}"\n}}\n'
            for name, value in values.items()
        ]
        (self.work.directory / "main.tf").write_text(self.toy.root_module("\n".join(things)))

    def plan(self) -> PlanRun:
        self.engine.prepare(self.work, "key")
        return self.engine.plan(self.work, self.plan_file)

    def shown(self) -> PlanDocument:
        return read_document(self.engine.show(self.work, self.plan_file)[0])

    def actions(self) -> dict[str, tuple[str, ...]]:
        return {item.address: item.change.actions for item in self.shown().resource_changes}

    def apply(self, notes: Notes | None = None) -> Any:
        return self.engine.apply(self.work, self.plan_file, lock_timeout_seconds=5.0, progress=notes or Notes())

    def applied(self, **values: str) -> None:
        """Have things, applied."""
        self.write(**values)
        self.plan()
        assert self.apply().fault is None


def working_directory(folder: Path, environment: dict[str, str]) -> WorkingDirectory:
    """A working directory in an empty folder."""
    for name in ("module", "data", "private"):
        (folder / name).mkdir()
    return WorkingDirectory(folder / "module", folder / "data", folder / "private", environment)


class EngineContract:
    """Behaviour of `ports.ApplyEngine`."""

    def test_a_first_apply_creates_the_state_and_everything_in_it(self, bench: Bench) -> None:
        bench.write(web="one", db="two")
        run = bench.plan()
        assert run.changes
        assert (run.state.lineage, run.state.empty) == (None, True)
        assert bench.actions() == {"toy_thing.db": ("create",), "toy_thing.web": ("create",)}
        notes = Notes()
        applied = bench.apply(notes)
        assert (applied.fault, applied.outcomes) == (None, {"toy_thing.db": "done", "toy_thing.web": "done"})
        assert len(notes.groups) == 1
        assert sorted(notes.words) == [
            (address, word) for address in ("toy_thing.db", "toy_thing.web") for word in ("done", "started")
        ]
        assert (bench.toy.thing("web")["value"], bench.toy.thing("db")["value"]) == ("one", "two")
        identity = bench.engine.state_identity(bench.work)
        assert identity.lineage
        assert (identity.serial is not None, identity.empty) == (True, False)

    def test_a_plan_names_a_state_that_holds_nothing_and_one_whose_objects_are_gone(self, bench: Bench) -> None:
        bench.applied(web="one")
        bench.toy.delete("web")
        assert not bench.plan().state.empty
        bench.applied(db="two")
        bench.applied()
        assert bench.plan().state.empty
        assert bench.engine.state_identity(bench.work).empty

    def test_a_plan_after_an_apply_finds_nothing_and_names_the_state(self, bench: Bench) -> None:
        bench.applied(web="one")
        run = bench.plan()
        assert (run.changes, run.drifted) == (False, ())
        assert run.state == bench.engine.state_identity(bench.work)

    def test_a_plan_changes_neither_the_state_nor_the_cloud(self, bench: Bench) -> None:
        bench.applied(web="one")
        bench.toy.change("web", value="outside")
        before, effects = bench.engine.state_identity(bench.work), bench.toy.effects()
        bench.write(web="two")
        bench.plan()
        assert bench.engine.state_identity(bench.work) == before
        assert bench.toy.effects() == effects

    def test_a_change_outside_terraform_is_drift_with_state_reality_and_desired(self, bench: Bench) -> None:
        bench.applied(web="one", db="two")
        bench.toy.change("web", value="outside")
        run = bench.plan()
        assert run.changes
        assert [drift.address for drift in run.drifted] == ["toy_thing.web"]
        document = bench.shown()
        (drift,) = document.resource_drift
        change = next(item.change for item in document.resource_changes if item.address == "toy_thing.web")
        assert drift.change.actions == change.actions == ("update",)
        assert [decode(raw)["value"] for raw in (drift.change.before, drift.change.after, change.after)] == [
            "one",
            "outside",
            "one",
        ]

    def test_a_thing_deleted_outside_terraform_is_created_again(self, bench: Bench) -> None:
        bench.applied(web="one")
        bench.toy.delete("web")
        bench.plan()
        document = bench.shown()
        assert [item.change.actions for item in document.resource_drift] == [("delete",)]
        assert bench.actions() == {"toy_thing.web": ("create",)}

    def test_an_apply_updates_and_deletes_and_writes_the_state(self, bench: Bench) -> None:
        bench.applied(web="one", db="two")
        before = bench.engine.state_identity(bench.work)
        bench.write(web="three")
        bench.plan()
        assert bench.actions() == {"toy_thing.db": ("delete",), "toy_thing.web": ("update",)}
        assert bench.apply().outcomes == {"toy_thing.db": "done", "toy_thing.web": "done"}
        assert bench.toy.thing("web")["value"] == "three"
        assert not (bench.toy.folder / "db.json").exists()
        after = bench.engine.state_identity(bench.work)
        assert after.lineage == before.lineage
        assert (after.serial or 0) > (before.serial or 0)
        assert not bench.plan().changes

    def test_a_resource_that_fails_is_an_outcome_and_the_others_are_done(self, bench: Bench) -> None:
        bench.toy.faults(fail_create=["web"])
        bench.write(web="one", db="two")
        bench.plan()
        applied = bench.apply()
        assert applied.outcomes == {"toy_thing.db": "done", "toy_thing.web": "failed"}
        assert applied.fault is not None
        bench.toy.faults()
        bench.plan()
        assert bench.actions()["toy_thing.db"] == ("no-op",)

    def test_a_plan_is_applied_once(self, bench: Bench) -> None:
        bench.applied(web="one")
        effects = bench.toy.effects()
        assert bench.apply().fault is not None
        assert bench.toy.effects() == effects

    def test_an_invalid_configuration_and_a_failed_refresh_are_faults(self, bench: Bench) -> None:
        bench.applied(web="one")
        bench.toy.faults(fail_read="the cloud is away")
        with pytest.raises(EnvironmentFault, match="the cloud is away"):
            bench.plan()
        (bench.work.directory / "main.tf").write_text("resource {")
        with pytest.raises(EnvironmentFault):
            bench.plan()

    def test_a_prepared_directory_is_not_prepared_again(self, bench: Bench) -> None:
        bench.write(web="one")
        assert bench.engine.prepare(bench.work, "key") > 0
        assert bench.engine.prepare(bench.work, "key") == 0
        assert bench.engine.prepare(bench.work, "another key") > 0
        assert bench.engine.providers(bench.work) == {PROVIDER_ADDRESS: "1.0.0"}

    def test_the_schemas_state_what_is_a_set(self, bench: Bench) -> None:
        bench.write(web="one")
        bench.plan()
        shape = ProviderSchemas.read(bench.engine.schemas(bench.work)).shape(PROVIDER_ADDRESS, "toy_thing")
        assert shape is not None
        known = {name: found.is_set for name in ("value", "tags", "rules") if (found := shape.at(name)) is not None}
        assert known == {"value": False, "tags": False, "rules": True}
        assert shape.at("nothing") is None

    def test_a_lock_that_is_not_there_cannot_be_released(self, bench: Bench) -> None:
        bench.applied(web="one")
        with pytest.raises(EnvironmentFault):
            bench.engine.force_unlock(bench.work, "6f9c3d7e-0000-4000-8000-000000000000")
