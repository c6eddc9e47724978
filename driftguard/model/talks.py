"""The talk of a plan with its providers: the questions as they were sent, the answers as keyed digests."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final

#: Answers that follow from the provider's binary alone.
SCHEMA_CALLS: Final = frozenset(
    {
        "GetProviderSchema",
        "GetSchema",
        "GetMetadata",
        "GetFunctions",
        "GetResourceIdentitySchemas",
        "StopProvider",
        "Stop",
    }
)
#: Answers that follow from the provider's binary and the request.
STATIC_CALLS: Final = frozenset(
    {
        "PrepareProviderConfig",
        "ValidateProviderConfig",
        "ValidateResourceTypeConfig",
        "ValidateResourceConfig",
        "ValidateDataSourceConfig",
        "ValidateDataResourceConfig",
    }
)
CONFIGURE_CALLS: Final = frozenset({"Configure", "ConfigureProvider"})
#: Calls whose answers may follow from the cloud or the clock. A provider may look at either when it plans, too.
REPEATED_CALLS: Final = frozenset(
    {
        "UpgradeResourceState",
        "UpgradeResourceIdentity",
        "ReadResource",
        "ReadDataSource",
        "PlanResourceChange",
        "CallFunction",
    }
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call of a provider.

    Attributes:
        method: `/tfplugin5.Provider/ReadResource`.
        request: the message as Terraform sent it; it holds secrets.
        digest: keyed, over status and answer; the answer itself is not kept.
    """

    method: str
    request: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @property
    def call(self) -> str:
        """The last part of the method's name."""
        return self.method.rpartition("/")[2]

    @property
    def type_name(self) -> str:
        """The resource type, data source or function that is asked about: the message's first field; maybe empty."""
        asked = self.request
        plain = self.call in REPEATED_CALLS and len(asked) > 2 and asked[0] == 0x0A and asked[1] < 128
        return asked[2 : 2 + asked[1]].decode("ascii", "replace") if plain else ""


@dataclass(frozen=True, slots=True)
class ProviderSession:
    """One connection of Terraform to one provider, and so one provider configuration (alias) at most.

    Attributes:
        provider: its address, `registry.terraform.io/hashicorp/aws`.
    """

    provider: str
    exchanges: tuple[Exchange, ...]

    @property
    def configure(self) -> Exchange | None:
        """The call that configures the provider; None where it was not configured."""
        return next((e for e in self.exchanges if e.call in CONFIGURE_CALLS), None)

    @property
    def repeated(self) -> tuple[Exchange, ...]:
        """The calls that a probe makes again once the provider is configured, in the order of the plan."""
        return tuple(e for e in self.exchanges if e.call in REPEATED_CALLS)


@dataclass(frozen=True, slots=True)
class Talk:
    """All sessions of one plan.

    Attributes:
        broken: why it cannot be repeated; empty if it can.
        cpu_seconds: of the provider processes.
    """

    sessions: tuple[ProviderSession, ...]
    broken: str = ""
    cpu_seconds: float = 0.0


def answer_digest(key: bytes, status: bytes, answer: bytes) -> bytes:
    """The keyed digest of one answer. `status` is the gRPC status as its digits: `b"0"`."""
    return hmac.digest(key, status + b"\0" + answer, "sha256")
