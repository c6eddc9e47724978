"""The options of the agent on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """The options of the agent on the command line.

    Attributes:
        every: overrides the configuration's `agent`; None for no override.
        probe: plan only what a probe finds changed.
        poll_seconds: interval between checks for a new commit.
        health_port: port of `/healthz` and `/metrics`; None for none.
        liveness_file: written every few seconds, also during a run, while `/healthz` answers 200; None for none.
    """

    every: timedelta | None = None
    probe: bool = True
    poll_seconds: float = 60.0
    health_port: int | None = None
    health_address: str = "127.0.0.1"
    liveness_file: Path | None = None
