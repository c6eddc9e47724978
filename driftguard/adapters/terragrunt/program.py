"""Terragrunt as a program: where it is, the variables that hold for every call, its log, and calls that only read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from driftguard.adapters.process import Stop, run
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.sealed import mask

MAX_ANSWER: Final = 32 << 20
"""Bytes that are read of one answer."""
_MAX_REASON: Final = 600
# For every call: never ask, never colour, one JSON object a line; the cache of providers is ours.
VARIABLES: Final[Mapping[str, str]] = {
    "TG_NON_INTERACTIVE": "true",
    "TG_NO_COLOR": "true",
    "TG_LOG_FORMAT": "json",
    "TG_LOG_LEVEL": "warn",
    "TG_NO_AUTO_PROVIDER_CACHE_DIR": "true",
    "TF_IN_AUTOMATION": "1",
    "CHECKPOINT_DISABLE": "1",
}


class _LogLine(msgspec.Struct):
    msg: str = ""


def terragrunt_program(search_path: str) -> str:
    """Terragrunt's path. EnvironmentFault (`config`) where it is not installed."""
    found = shutil.which("terragrunt", path=search_path)
    if found is None:
        raise EnvironmentFault(
            ErrorKind.CONFIG,
            "This environment is a Terragrunt unit, and no terragrunt is on PATH, so it is not planned. "
            "Install Terragrunt 0.93 or newer.",
        )
    return found


def log_messages(text: str) -> Iterator[str]:
    """The messages of Terragrunt's JSON log; other lines as they are."""
    for line in text.splitlines():
        try:
            yield msgspec.json.decode(line, type=_LogLine).msg
        except msgspec.DecodeError:
            yield line


def ask(
    arguments: list[str], directory: Path, variables: Mapping[str, str], timeout_seconds: float, stop: Stop
) -> bytes:
    """What a call prints that only reads: time and output are bounded.

    Raises:
        EnvironmentFault: `config` where it fails; `timeout`, `interrupted`.
    """
    parts: list[bytes] = []
    size = 0

    def keep(line: bytes) -> None:
        nonlocal size
        size += len(line)
        if size <= MAX_ANSWER:
            parts.append(line)

    called = f"terragrunt {arguments[1]}"
    try:
        done = run(
            arguments,
            directory=directory,
            environment={**variables, **VARIABLES},
            timeout_seconds=timeout_seconds,
            stop=stop,
            on_line=keep,
            die_with_us=True,
            kill=True,
        )
    except OSError as error:
        raise EnvironmentFault(ErrorKind.INTERNAL, f"{arguments[0]} could not be started: {error.strerror}") from None
    if done.interrupted:
        raise EnvironmentFault(ErrorKind.INTERRUPTED, f"`{called}` was stopped.")
    if done.timed_out:
        raise EnvironmentFault(
            ErrorKind.TIMEOUT, f"`{called}` timed out after {timeout_seconds:.0f} seconds, so nothing was planned."
        )
    if done.code != 0 or size > MAX_ANSWER:
        raise EnvironmentFault(ErrorKind.CONFIG, _failed(called, done.stderr, directory, too_long=done.code == 0))
    return b"\n".join(parts)


def _failed(called: str, log: str, directory: Path, *, too_long: bool) -> str:
    if too_long:
        return f"`{called}` printed more than {MAX_ANSWER >> 20} MiB, so nothing was planned."
    lines = [line for line in log_messages(log) if line.strip()]
    reason = " ".join(lines[-1].split()).replace(f"{directory}/", "") if lines else "it printed no reason"
    return f"`{called}` failed: {mask(reason[:_MAX_REASON])}"
