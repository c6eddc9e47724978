"""Applies saved plans of Terragrunt units."""

from __future__ import annotations

from pathlib import Path

from driftguard.adapters.terraform.engine import TerraformApplier
from driftguard.adapters.terragrunt.engine import TerragruntPlanner, download_folder
from driftguard.ports import ERRORED_STATE, ApplyProgress, ApplyRun, WorkingDirectory


class TerragruntApplier(TerragruntPlanner, TerraformApplier):
    """The same program, which may also apply a plan and release a state lock."""

    verbs = TerraformApplier.verbs

    def prepare(self, work: WorkingDirectory, closure_key: str, *, force: bool = False) -> float:
        """Initialise as a planner does; a state that an apply could not store is put beside the unit before."""
        _bring_states_here(work)
        return super().prepare(work, closure_key, force=force)

    def apply(
        self,
        work: WorkingDirectory,
        plan_file: Path,
        *,
        lock_timeout_seconds: float | None,
        progress: ApplyProgress,
    ) -> ApplyRun:
        """Apply a plan file; the outputs of all units are read anew after that."""
        try:
            return super().apply(work, plan_file, lock_timeout_seconds=lock_timeout_seconds, progress=progress)
        finally:
            _bring_states_here(work)
            if self._upstream is not None:
                self._upstream.forget()


def _bring_states_here(work: WorkingDirectory) -> None:
    """Put a state that could not be stored beside the unit: Terraform ran in a folder of Terragrunt."""
    for left in download_folder(work).glob(f"**/{ERRORED_STATE}"):
        left.replace(work.directory / ERRORED_STATE)
