"""The logs of runs: Terraform's text or JSON lines, as a fault's words and as outcomes of resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from driftguard.adapters.process import Completed
from driftguard.adapters.terraform.diagnostics import Diagnostics, fault_from
from driftguard.adapters.terraform.events import outcomes_in
from driftguard.adapters.terraform.hiding import Hiding, sensitive_values
from driftguard.errors import EnvironmentFault, InitNeeded, TransientFault
from driftguard.model import ErrorKind

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x02\x03]")
_FRAME: Final = re.compile(r"^[│╷╵| ]+")
_MAX_ERRORS: Final = 40
# Terraform's own text of an apply: `aws_instance.a[0]: Creation complete after 3s [id=…]`.
_BEGUN: Final = re.compile(r"^(\S.*?): (?:Creating|Modifying|Destroying)\.\.\.")
_DONE: Final = re.compile(r"^(\S.*?): (?:Creation|Modifications|Destruction) complete\b")


def failure(what: str, log: str, state: bytes, page: str) -> EnvironmentFault:
    """The fault that a failed run amounts to, in the words of its log, without values that the state marks as secret.

    Args:
        what: the command that failed there, such as `terraform plan`.
        page: the run's page.
    """
    diagnostics = Diagnostics()
    lines = _COLOUR.sub("", log).splitlines()
    for line in lines:
        if line.startswith("{"):
            diagnostics.feed(line.encode())
    done = Completed(1, _errors(lines), timed_out=False, interrupted=False, killed=False, seconds=0.0)
    fault = fault_from(ErrorKind.PLAN, what, done, diagnostics, 0.0, lambda: Hiding(sensitive_values(state)))
    text = f"{fault.message} The run: {page}"
    if isinstance(fault, InitNeeded) or not isinstance(fault, TransientFault):
        return EnvironmentFault(fault.kind, text)
    return TransientFault(fault.kind, text)


def _errors(lines: list[str]) -> str:
    """The error messages of a log in Terraform's text form; its last lines where there is none."""
    text = [_FRAME.sub("", line).strip() for line in lines if not line.startswith("{")]
    first = next((number for number, line in enumerate(text) if line.startswith("Error:")), None)
    kept = text[first : first + _MAX_ERRORS] if first is not None else text[-5:]
    return " ".join(line for line in kept if line)


def outcomes(log: str) -> Mapping[str, str]:
    """Each resource's last word in the log of an apply: `started`, `done` or `failed`."""
    found: dict[str, str] = {}
    for line in _COLOUR.sub("", log).splitlines():
        if line.startswith("{"):
            found.update(outcomes_in(line.encode()))
        elif (begun := _BEGUN.match(line)) is not None:
            found[begun[1]] = "started"
        elif (done := _DONE.match(line)) is not None:
            found[done[1]] = "done"
    return found
