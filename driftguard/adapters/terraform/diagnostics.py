"""Terraform's JSON diagnostics, translated once into the contract's error kinds."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from driftguard.adapters.process import Completed
from driftguard.adapters.ratelimits import is_rate_limit
from driftguard.adapters.terraform.hiding import Hiding
from driftguard.errors import EnvironmentFault, InitNeeded, TransientFault
from driftguard.model import ErrorKind

_MAX_MESSAGE = 1500
_MAX_KEPT = 50

# Matched against a diagnostic's summary and detail: providers put the cloud's error code nowhere else.
_LOCKED = re.compile(r"acquiring the state lock|state lock|ConditionalCheckFailedException.*lock|already locked", re.I)
_THROTTLED = re.compile(
    r"Throttl|RequestLimitExceeded|TooManyRequests|Rate exceeded|SlowDown|RequestThrottled|[Ss]tatus ?[Cc]ode: 429"
)
_DENIED = re.compile(
    r"AccessDenied|Access Denied|UnauthorizedOperation|AuthFailure|Unauthorized|Forbidden|not authorized"
    r"|InvalidClientTokenId|ExpiredToken|SignatureDoesNotMatch|UnrecognizedClient|InvalidAccessKeyId"
    r"|[Ss]tatus ?[Cc]ode: 40[13]|no valid credential|No valid credential|NoCredentialProviders|AuthorizationFailed"
    r"|PermissionDenied|AuthorizationError",
)
_NEEDS_INIT = re.compile(
    r"Backend initialization required|Module not installed|Required plugins are not installed"
    r"|Inconsistent dependency lock file|Missing required provider|Initialization required"
    r"|Module source has changed|Module version requirements have changed|Module manifest|Could not load plugin"
    r"|Provider requirements cannot be satisfied|Failed to read module manifest|HCP Terraform initialization required"
)
# Of Terraform itself, where the connection to a provider ends.
_LOST_PROVIDER = re.compile(r"Plugin did not respond|Request cancelled|plugin\.\(\*GRPCProvider\)")


class Diagnostics:
    """Collects the error diagnostics of one command's JSON lines."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.other: list[str] = []

    def feed(self, line: bytes) -> None:
        """Take one line of standard output; what is not JSON is kept for the message of last resort."""
        try:
            message = msgspec.json.decode(line)
        except msgspec.DecodeError:
            if line.strip() and len(self.other) < _MAX_KEPT:
                self.other.append(line.decode(errors="replace"))
            return
        diagnostic = message.get("diagnostic") if isinstance(message, dict) else None
        if isinstance(diagnostic, dict) and diagnostic.get("severity") == "error" and len(self.errors) < _MAX_KEPT:
            self.errors.append(_sentence(diagnostic))

    @property
    def lost_a_provider(self) -> bool:
        """Whether a provider ended in the middle of a call, so that what the call did is not known."""
        return any(_LOST_PROVIDER.search(error) for error in self.errors)

    @property
    def asks_for_init(self) -> bool:
        """Whether an error goes away with `terraform init`."""
        return any(_NEEDS_INIT.search(error) for error in self.errors)


def fault_from(
    kind: ErrorKind,
    command: str,
    done: Completed,
    diagnostics: Diagnostics,
    timeout_seconds: float,
    hide: Callable[[], Callable[[str], str]] = Hiding,
) -> EnvironmentFault:
    """The fault that a failed command amounts to.

    Args:
        hide: gives what replaces secrets in a text; called only where the program's own words become the message.
    """
    if done.interrupted:
        return TransientFault(ErrorKind.INTERRUPTED, f"`{command}` was interrupted; the next run looks again.")
    if done.timed_out:
        return TransientFault(
            ErrorKind.TIMEOUT,
            f"`{command}` did not finish within {timeout_seconds:g} seconds and was stopped. "
            "If it needs longer, raise `timeout` for this environment in driftguard.yaml.",
        )
    printed = " | ".join(diagnostics.errors) or done.stderr.strip() or " ".join(diagnostics.other[-5:])
    text = hide()(printed)
    if len(text) > _MAX_MESSAGE:
        text = text[:_MAX_MESSAGE] + " …"
    message = f"`{command}` failed with exit code {done.code}: {text or 'no output.'}"
    if diagnostics.asks_for_init:
        return InitNeeded(kind, message)
    if _LOCKED.search(printed):
        return TransientFault(ErrorKind.LOCKED, message)
    if _THROTTLED.search(printed) or is_rate_limit(printed):
        return TransientFault(ErrorKind.THROTTLED, message)
    return EnvironmentFault(ErrorKind.DENIED if _DENIED.search(printed) else kind, message)


def _sentence(diagnostic: dict[str, object]) -> str:
    summary = str(diagnostic.get("summary", "")).strip()
    detail = " ".join(str(diagnostic.get("detail", "")).split())
    address = diagnostic.get("address")
    where = f"{address}: " if address else ""
    span = diagnostic.get("range")
    if not address and isinstance(span, dict) and isinstance(span.get("start"), dict):
        where = f"{span.get('filename')}:{span['start'].get('line')}: "
    return f"{where}{summary}{': ' if detail else ''}{detail}"
