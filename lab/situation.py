"""Everything that the truth of one environment follows from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.cloud import Values
from lab.configuration import Configuration
from lab.desire import Desire, Inputs, desire
from lab.schema import Type
from lab.site import State
from lab.truth import Five


@dataclass(frozen=True, slots=True)
class Then:
    """The last known-good point: its configuration, and every value that was there.

    Attributes:
        reality: `NOT_KNOWN` for what moves by itself and was never applied by DriftGuard.
        outputs: the same of the root outputs.
        stood: by address and attribute, what differed right after DriftGuard's own apply.
        version: of the state: its lineage and serial.
    """

    config: Configuration
    reality: Mapping[str, Values]
    inputs: Inputs
    outputs: Mapping[str, Any] = field(default_factory=dict)
    stood: Mapping[tuple[str, str], Five] = field(default_factory=dict)
    version: tuple[str, int] = ("", 0)


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that the truth follows from."""

    types: Mapping[str, Type]
    config: Configuration
    written: State
    reality: Mapping[str, Values | None]
    inputs: Inputs
    then: Then | None
    imported: Mapping[str, Values]

    @property
    def is_written_since(self) -> bool:
        """Whether the state was written since the baseline."""
        return self.then is not None and self.then.version != self.written.version

    @property
    def state(self) -> Mapping[str, Values]:
        """S by address."""
        return self.written.objects

    def tainted_at(self, config: Configuration) -> set[str]:
        """Addresses in a configuration whose objects are to be made anew."""
        return {moved_to(config, address, self.state) for address in self.written.tainted}

    def wanted(
        self, config: Configuration, reality: Mapping[str, Values | None], inputs: Inputs | None = None
    ) -> Desire:
        """What a configuration wants of a reality, with what the state marks and taints."""
        marks = {moved_to(config, address, self.state): names for address, names in self.written.secret.items()}
        return desire(config, self.types, reality, inputs or self.inputs, self.tainted_at(config), marks)


def type_of(address: str) -> str:
    """The resource type of an address."""
    return type_and_name(address)[0]


def type_and_name(address: str) -> tuple[str, str]:
    """The resource type and the resource's name of an address."""
    kind, name = address.split("[")[0].rsplit(".", 2)[-2:]
    return kind, name


def moved_to(config: Configuration, address: str, taken: Mapping[str, Any]) -> str:
    """Where the moves of a configuration bring an address."""
    for source, target in config.moved:
        rest = address[len(source) :]
        if address.startswith(source) and rest[:1] in ("", ".", "[") and target + rest not in taken:
            return moved_to(config, target + rest, taken)
    return address


def views(situation: Situation, config: Configuration) -> dict[str, Values | None]:
    """Reality by the addresses of a configuration."""
    there = {moved_to(config, a, situation.state): situation.reality[a] for a in situation.state}
    imported = {a: v for a, v in situation.imported.items() if a in config.imports and a not in there}
    return {**there, **imported}
