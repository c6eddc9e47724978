"""Terragrunt: which units a commit has, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from driftguard.config import EnvironmentSettings
from driftguard.model.units import FoundUnit, RenderedUnit


class BlobContents(Protocol):
    """The contents of files; a `Repository` has them."""

    def read(self, object_ids: Sequence[str]) -> Iterable[tuple[str, bytes]]:
        """The contents of blobs, in the order asked for."""
        ...


class UnitReader(Protocol):
    """Asks Terragrunt about the units of a commit of the tracked branch. Code of the commit runs while it answers.

    Every method raises `EnvironmentFault` where Terragrunt cannot be asked.
    """

    def found(self, commit: str) -> Mapping[str, FoundUnit]:
        """The units of a commit by their directories; asked once for all of them."""
        ...

    def rendered(self, settings: EnvironmentSettings, commit: str) -> RenderedUnit:
        """What an environment's unit is made of at a commit."""
        ...

    def render(self, environments: Sequence[EnvironmentSettings], commit: str) -> None:
        """Ask for several units side by side; what fails is raised when it is asked for."""
        ...

    def generate(self, stack: str, tree: Path, variables: Mapping[str, str], timeout_seconds: float) -> None:
        """Generate the units of a stack in a work tree.

        Args:
            stack: its directory, from the repository's root.
            variables: those of the plan that follows.
        """
        ...
