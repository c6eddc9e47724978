"""This machine: how many environments it can take at a time, and whether something still runs on it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from driftguard.adapters.process import group_alive
from driftguard.ports import Clock, Machine

# An AWS provider takes 0.2 to 0.7 GiB while it plans.
_BYTES_FOR_ONE = 700 * 2**20


def default_parallelism() -> int:
    """As many as there are processors for, and memory, whichever is less; at least one."""
    return max(1, min(_processors(), _free_memory_bytes() // _BYTES_FOR_ONE))


class SystemClock(Clock):
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return datetime.now(UTC)


class ThisMachine(Machine):
    """The machine that this process runs on."""

    def identity(self) -> dict[str, str]:
        """Facts by which a later run finds out whether it is on the same machine, since the same boot."""
        return {"host": socket.gethostname(), "boot": _boot_id()}

    def still_running(self, facts: Mapping[str, object]) -> bool | None:
        """Whether the process group that was recorded with `identity` has members; None on another machine."""
        if facts.get("host") != socket.gethostname():
            return None
        group = facts.get("process_group")
        return facts.get("boot") == _boot_id() and isinstance(group, int) and group_alive(group)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _free_memory_bytes() -> int:
    free = [_cgroup_free_bytes(), _meminfo_available_bytes()]
    known = [amount for amount in free if amount is not None]
    return min(known) if known else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _meminfo_available_bytes() -> int | None:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _cgroup_free_bytes() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = (folder / "memory.max").read_text().strip(), (folder / "memory.current").read_text().strip()
    except OSError:
        return None
    return None if limit == "max" else max(0, int(limit) - int(used))
