"""Every error DriftGuard raises on purpose, grouped by who must act next.

    DriftGuardError
    ├── UsageError            operator: the command line or the configuration is wrong (exit 64, nothing was run)
    ├── OperatorError         operator: the machine, the ledger, git or a credential is not in order (exit 1)
    ├── EnvironmentFault      environment owner: one environment cannot be judged; the others go on
    │   ├── TransientFault    nobody: the same call is expected to work later; the next pass retries
    │   └── InitNeeded        nobody: the plan stage initialises again and repeats the call
    ├── DeliveryFault         nobody, mostly: an alert could not be delivered; it stays in the outbox
    ├── ForgeFault            nobody, mostly: the forge did not do what was asked; the next pass tries again
    └── SafetyRefusal         refused by a safety rule: nothing is wrong, but acting would be

A message says what happened, where, what happens next and what to do. It never holds a secret.
"""

from __future__ import annotations

from driftguard.model import ErrorKind


class DriftGuardError(Exception):
    """Base of all errors that carry a sentence for the reader."""


class UsageError(DriftGuardError):
    """Wrong usage or invalid configuration: nothing was run (exit code 64)."""


class OperatorError(DriftGuardError):
    """The run as a whole cannot proceed (exit code 1)."""


class EnvironmentFault(DriftGuardError):
    """One environment cannot be judged: its verdict is `unknown`.

    Args:
        kind: the contract's `error.kind`.
        message: one clear sentence or two, without secrets.
    """

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class TransientFault(EnvironmentFault):
    """Expected to pass by itself (a lock, throttling, a moved state): the next pass tries again."""


class InitNeeded(EnvironmentFault):
    """Terraform asks for another `init` of a directory that was thought to be ready."""


class DeliveryFault(DriftGuardError):
    """An alert could not be delivered now; it stays in the outbox.

    Args:
        retry_after_seconds: how long the service asked to be left alone.
        perhaps_delivered: it may have arrived, because only the answer was lost.
        whole_sink: nothing else can be delivered there now either.
        gone: what should be changed is not there any more.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        perhaps_delivered: bool = False,
        whole_sink: bool = False,
        gone: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.perhaps_delivered, self.whole_sink, self.gone = perhaps_delivered, whole_sink, gone


class ForgeFault(DriftGuardError):
    """The forge (GitHub, GitLab, a git server) did not do what was asked; the next pass tries again.

    Args:
        missing: there is no such repository, branch or pull request, or our credentials may not see it.
        denied: our credentials may not do this.
        retry_after_seconds: how long the forge asked to be left alone.
        perhaps_done: it may have happened, because only the answer was lost.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: bool = False,
        denied: bool = False,
        retry_after_seconds: float | None = None,
        perhaps_done: bool = False,
    ) -> None:
        super().__init__(message)
        self.missing, self.denied, self.perhaps_done = missing, denied, perhaps_done
        self.retry_after_seconds = retry_after_seconds


class SafetyRefusal(DriftGuardError):
    """A safety rule forbids the action; the world was left as it is."""
