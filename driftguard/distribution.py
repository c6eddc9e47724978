"""How DriftGuard is installed: its name for installers, which is not its import name."""

from __future__ import annotations

from typing import Final

# `driftguard` and similar names belong to other projects on the public package index.
DISTRIBUTION: Final = "driftguard-gitops"


def install_command(extra: str) -> str:
    """The command that adds an extra to an installation, for messages."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
