"""From settings to adapters: the only package that sees both sides."""

from __future__ import annotations

from driftguard.bootstrap.session import CONFIG_FILE, Session
from driftguard.bootstrap.standalone import classify_text, first_configuration
from driftguard.bootstrap.target import Target

__all__ = [
    "CONFIG_FILE",
    "Session",
    "Target",
    "classify_text",
    "first_configuration",
]
