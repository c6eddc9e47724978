"""Which environments are due, and the loop that runs a pass over them: cadence, new commits, retries, health."""

from driftguard.scheduler.agent import Agent, Bell
from driftguard.scheduler.cadence import Cadence, Due
from driftguard.scheduler.state import AgentState, healthy

__all__ = ["Agent", "AgentState", "Bell", "Cadence", "Due", "healthy"]
