"""The schedule: environments that are due, the loop that runs them, new commits, retries, health."""

from driftguard.scheduler.agent import Agent, AgentClock, AgentObserver, AgentWork, FailureKind, WakeEvent
from driftguard.scheduler.cadence import Cadence, DueSet
from driftguard.scheduler.options import AgentOptions
from driftguard.scheduler.signals import obey_signals
from driftguard.scheduler.state import AgentState, healthy
from driftguard.scheduler.watching import Watch

__all__ = [
    "Agent",
    "AgentClock",
    "AgentObserver",
    "AgentOptions",
    "AgentState",
    "AgentWork",
    "Cadence",
    "DueSet",
    "FailureKind",
    "WakeEvent",
    "Watch",
    "healthy",
    "obey_signals",
]
