"""Keeps states that Terraform could not store: they are the only record of what an apply made."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from driftguard.adapters.terraform.files import identity_of
from driftguard.errors import EnvironmentFault, OperatorError
from driftguard.ports import ERRORED_STATE, StateIdentity, UnwrittenState, UnwrittenStates


class FolderStates(UnwrittenStates):
    """Keeps each of them as a file (0600), named by the attempt, in a folder (0700) that is no cache."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, attempt: str, directory: Path) -> UnwrittenState | None:
        """Take the state that an attempt left in a directory; the same again where that was done already."""
        left, kept = directory / ERRORED_STATE, self._folder / f"{attempt}.tfstate"
        try:
            if left.exists():
                self._move(left, kept)
            text = kept.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OperatorError(
                f"Terraform could not store the state and left it in {left}, and it cannot be kept in {kept} "
                f"({error.strerror}). Push it with `terraform state push {left}`."
            ) from None
        identity = StateIdentity(None, None)
        with suppress(EnvironmentFault):
            identity = identity_of(text)
        return UnwrittenState(kept, identity)

    def _move(self, left: Path, kept: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = kept.with_suffix(".part")
        with open(os.open(scratch, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(left.read_bytes())
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(kept)
        left.unlink()
