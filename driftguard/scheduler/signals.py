"""The signals that end an agent, or have it read everything anew."""

from __future__ import annotations

import signal
from types import FrameType

from driftguard.ports import StopSignal
from driftguard.scheduler.agent import Agent, WakeEvent


def obey_signals(agent: Agent, wake: WakeEvent, stop: StopSignal) -> None:
    """SIGTERM and SIGINT end the agent, a second SIGINT at once; SIGHUP reloads."""

    def end(number: int, frame: FrameType | None) -> None:
        if stop.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        agent.request_stop()
        stop.request()
        wake.set()

    def reload(number: int, frame: FrameType | None) -> None:
        agent.request_reload()
        wake.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, reload)
