"""Every error that DriftGuard raises on purpose, grouped by the next step.

    DriftGuardError
    ├── UsageError            the operator corrects the command line or the configuration (exit 64, nothing was run)
    ├── OperatorError         the operator repairs the machine, the ledger, git or a credential (exit 1)
    ├── EnvironmentFault      the environment's owner acts: its verdict is `unknown`, the run continues
    │   ├── TransientFault    the next run retries
    │   ├── WaitsElsewhere    an operator acts on the platform; the next run looks again
    │   └── InitNeeded        the plan stage runs `terraform init` and repeats the call
    ├── DeliveryFault         the outbox (undelivered alerts in the ledger) retries
    ├── ForgeFault            the next run retries
    └── SafetyRefusal         a safety rule forbids the action; the decision names the rule

A message states what failed, where, the consequence and the next step, in that order. It never holds a secret.
"""

from __future__ import annotations

from driftguard.model import ErrorKind


class DriftGuardError(Exception):
    """Base of all errors whose message is shown to the user."""


class UsageError(DriftGuardError):
    """Wrong usage or invalid configuration: nothing was run (exit code 64)."""


class OperatorError(DriftGuardError):
    """The whole run failed (exit code 1)."""


class EnvironmentFault(DriftGuardError):
    """The plan or apply of one environment failed: its verdict is `unknown`.

    Args:
        kind: the contract's `error.kind`.
        message: one or two sentences, without secrets.
    """

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class TransientFault(EnvironmentFault):
    """A temporary failure (a state lock, a rate limit, a state that changed): the next run retries."""


class WaitsElsewhere(EnvironmentFault):
    """A run on a platform waits for a decision there; it stays as it is."""


class InitNeeded(EnvironmentFault):
    """Terraform asks for another `init` of an initialised directory."""


class DeliveryFault(DriftGuardError):
    """An alert was not delivered; it stays in the outbox.

    Args:
        retry_after_seconds: the delay that the service asked for.
        perhaps_delivered: the response was lost, so the alert may have arrived.
        whole_sink: the sink accepts no other delivery now either.
        gone: the message to update no longer exists.
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
    """The forge (GitHub, GitLab, a git server) refused or failed a request; the next run retries.

    Args:
        missing: the repository, branch or pull request does not exist or is not visible to the credentials.
        denied: the credentials lack the permission.
        retry_after_seconds: the delay that the forge asked for.
        perhaps_done: the response was lost, so the request may have taken effect.
        whole_forge: every other request fails for the same reason: no answer, a rate limit, an invalid credential.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: bool = False,
        denied: bool = False,
        retry_after_seconds: float | None = None,
        perhaps_done: bool = False,
        whole_forge: bool = False,
    ) -> None:
        super().__init__(message)
        self.missing, self.denied, self.perhaps_done = missing, denied, perhaps_done
        self.retry_after_seconds, self.whole_forge = retry_after_seconds, whole_forge


class SafetyRefusal(DriftGuardError):
    """A safety rule forbids the action; nothing was changed."""
