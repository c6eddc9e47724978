"""Terragrunt units as Terragrunt itself describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct

MERGING: Final = frozenset({"shallow", "deep_map_only"})
"""The strategies by which mock outputs are merged with real ones."""


GENERATED: Final = ".terragrunt-stack"
"""The folder below a stack that its units are generated in."""


def without_generated(path: str) -> str:
    """A directory without the folders that stacks are generated in: what its environment is named after."""
    return "/".join(part for part in path.split("/") if part != GENERATED) if GENERATED in path else path


def stack_of(path: str) -> str | None:
    """The directory of the outermost stack that a generated directory lies in; None for one that is not generated."""
    before, found, _ = f"/{path}".partition(f"/{GENERATED}/")
    return (before.removeprefix("/") or ".") if found else None


@dataclass(frozen=True, slots=True)
class FoundUnit:
    """One unit of a commit, as `terragrunt find` lists it.

    Attributes:
        path: its directory, from the repository's root.
        dependencies: the directories of the units that it depends on, sorted.
        reading: the files that were read for it, sorted; without what `file()` reads.
        leaves: paths outside of the repository that were read for it.
        excluded: `exclude` leaves it out of `plan`.
    """

    path: str
    dependencies: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class UnitDependency:
    """One `dependency` block of a unit.

    Attributes:
        path: the other unit's directory, from the repository's root; None for one outside of it.
        mocks: what stands in for its outputs; None without any. They are never kept.
        merge: how mocks are merged with real outputs: one of `MERGING`, or empty.
        unread: its outputs are not read at all (`enabled = false`, `skip_outputs`).
    """

    name: str
    path: str | None
    mocks: Any = field(default=None, repr=False)
    merge: str = ""
    unread: bool = False

    @property
    def mocks_silently(self) -> bool:
        """Whether mocks may stand in for real outputs without a word in Terragrunt's log."""
        return self.mocks is not None and (self.unread or self.merge in MERGING)


@dataclass(frozen=True, slots=True)
class RenderedUnit:
    """What `terragrunt render` reports of a unit; none of its inputs.

    Attributes:
        source: of its module, as it is used; None where the unit's directory is the module itself.
        local_source: the directory of that module, from the repository's root; None for one elsewhere.
        var_files: those of `extra_arguments`, from the repository's root.
        leaves: var files outside of the repository.
        requires: the version constraint on Terraform; empty without one.
        runs: the code that is run with it, such as `before_hook lint`.
    """

    source: str | None = None
    local_source: str | None = None
    var_files: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    dependencies: tuple[UnitDependency, ...] = ()
    requires: str = ""
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What of a unit counts besides its files.

    Attributes:
        excluded: Terragrunt leaves it out of `plan`, so it is not planned here either.
        dependencies: the units whose outputs it gets.
        after: the directories of all units that are applied before it, sorted.
        runs: the code that is run with it, in a few words each, sorted: hooks, `run_cmd`, `sops_decrypt_file`.
        stack: the directory of the stack that generates it; None for one that lies in git.
    """

    excluded: bool = False
    dependencies: tuple[UnitDependency, ...] = ()
    after: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    stack: str | None = None


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """The state of a unit whose outputs another one gets, as it was when that one was planned.

    Attributes:
        path: the unit's directory, from the repository's root.
        lineage, serial: None before the first write.
        outputs: the JSON text of each, by name.
    """

    path: str
    lineage: str | None
    serial: int | None
    outputs: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class UpstreamRow(Struct, frozen=True):
    """What the journal keeps of such a state.

    Attributes:
        unit: its directory, from the repository's root.
        environment: the environment that it is; None where it is none.
        outputs: keyed digests by name.
        settled: the same when the environment that gets them was last in sync; None where that is not known.
    """

    unit: str
    environment: str | None = None
    lineage: str | None = None
    serial: int | None = None
    outputs: dict[str, str] = {}
    settled: dict[str, str] | None = None

    @property
    def changed(self) -> tuple[str, ...]:
        """The outputs that have another value, or none any more, since the environment was last in sync; sorted."""
        before = self.outputs if self.settled is None else self.settled
        names = before.keys() | self.outputs.keys()
        return tuple(sorted(name for name in names if before.get(name) != self.outputs.get(name)))
