"""Alerts that reach the right people once.

Takes an environment's report and what was told before; gives alerts and notices in the outbox, written with the verdict
(`follow`); then deliveries, planned (`plan`) and shown (`deliver`).
"""

from __future__ import annotations

from driftguard.pipeline.notify.delivering import Delivered, Means, deliver
from driftguard.pipeline.notify.lifecycle import Followed, follow, forgotten
from driftguard.pipeline.notify.planning import (
    SLACK,
    SLACK_WEBHOOK,
    STDOUT,
    WEBHOOK,
    Places,
    current_place,
    plan,
    untold_at,
)
from driftguard.pipeline.notify.wording import word

__all__ = [
    "SLACK",
    "SLACK_WEBHOOK",
    "STDOUT",
    "WEBHOOK",
    "Delivered",
    "Followed",
    "Means",
    "Places",
    "current_place",
    "deliver",
    "follow",
    "forgotten",
    "plan",
    "untold_at",
    "word",
]
