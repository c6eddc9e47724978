"""The keys of `web`: where the pages are served, and who may read them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from driftguard.config import values as v
from driftguard.config.base import Model
from driftguard.errors import UsageError

#: How an address that is a Unix socket begins.
UNIX: Final = "unix:"
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,80}")


def _address(value: Any) -> str:
    words = "HOST:PORT such as 127.0.0.1:8899, or unix:/path/of/a/socket"
    if not isinstance(value, str) or not value.isprintable():
        v.expected(words)
    if value.startswith(UNIX):
        return value if value.startswith(f"{UNIX}/") else v.expected(words)
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        v.expected(words)
    if host != "localhost" and _ip(host.strip("[]")) is None:
        v.expected(words)
    return value


def _peer(value: Any) -> str:
    words = "a network such as 10.0.0.0/8, or unix:/path/of/a/socket"
    if isinstance(value, str) and value.startswith(f"{UNIX}/"):
        return value
    try:
        return str(ipaddress.ip_network(value)) if isinstance(value, str) else v.expected(words)
    except ValueError:
        v.expected(words)


def _header(value: Any) -> str:
    matches = isinstance(value, str) and _HEADER.fullmatch(value)
    return str(value) if matches else v.expected("the name of a header such as X-Forwarded-User")


def _host(value: Any) -> str:
    plain = isinstance(value, str) and re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", value)
    return str(value) if plain else v.expected("a host name in lower case without a port, such as drift.example.org")


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


_Address = Annotated[str, BeforeValidator(_address), WithJsonSchema({"type": "string", "title": "address"})]
_Peer = Annotated[str, BeforeValidator(_peer), WithJsonSchema({"type": "string", "title": "network or socket"})]
_Header = Annotated[str, BeforeValidator(_header), WithJsonSchema({"type": "string", "title": "header"})]
_Host = Annotated[str, BeforeValidator(_host), WithJsonSchema({"type": "string", "title": "host name"})]


class WebSettings(Model):
    """The web view, read-only. In the repository's file it counts only on loopback, and without an operator's file."""

    address: _Address = Field(
        default="127.0.0.1:8899",
        description="Listen address. Any but loopback needs `trusted_proxy` with `user_header`, or `tokens_file`.",
    )
    hosts: tuple[_Host, ...] = Field(
        default=(), description="Names that requests may give in `Host`, besides those of the listen address."
    )
    trusted_proxy: tuple[_Peer, ...] = Field(
        default=(), description="Peers whose identity headers count: networks, or `unix:` with the listening socket."
    )
    user_header: _Header | None = Field(
        default=None, description="The header in which the proxy names the user, such as `X-Forwarded-User`."
    )
    groups_header: _Header = Field(
        default="X-Forwarded-Groups", description="The header in which the proxy names the user's groups."
    )
    tokens_file: v.Text | None = Field(
        default=None, description="A file of hashed bearer tokens: `sha256:HASH NAME GROUP[,GROUP]` in each line."
    )
    groups: dict[v.Text, tuple[v.Text, ...]] = Field(
        default={}, description="The environments that each group sees, as globs. Without a group nothing is visible."
    )

    @model_validator(mode="after")
    def _complete(self) -> WebSettings:
        if bool(self.trusted_proxy) != (self.user_header is not None):
            v.refused("needs `trusted_proxy` and `user_header` together: a header counts only from a listed peer")
        if self.restricted and not self.groups:
            v.refused('needs `groups`: without a group nothing is visible; `{everyone: ["*"]}` shows all')
        if not self.loopback and not self.restricted:
            v.refused(
                f"serves on {self.address}, which is not loopback: set `trusted_proxy` with `user_header`, or "
                "`tokens_file`"
            )
        return self

    def at(self, address: str) -> WebSettings:
        """The same settings with another listen address.

        Raises:
            UsageError: it is none, or needs an identity that is not configured.
        """
        try:
            return WebSettings.model_validate({**self.model_dump(), "address": address})
        except ValidationError as error:
            reasons = "; ".join(str(fault.get("msg", "")) for fault in error.errors(include_url=False))
            raise UsageError(f"--address {address} {reasons}. Nothing is served.") from None

    @property
    def restricted(self) -> bool:
        """Whether a request needs an identity."""
        return bool(self.trusted_proxy) or self.tokens_file is not None

    @property
    def socket(self) -> str | None:
        """The path of the Unix socket that it listens on; None for TCP."""
        return self.address.removeprefix(UNIX) if self.address.startswith(UNIX) else None

    @property
    def host(self) -> str:
        """The host of the address, without brackets; empty for a Unix socket."""
        return "" if self.socket is not None else self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port of the address; 0 for a Unix socket."""
        return 0 if self.socket is not None else int(self.address.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        """Whether only processes of this machine can connect; a Unix socket has its file's permissions."""
        address = _ip(self.host)
        return self.socket is not None or self.host == "localhost" or (address is not None and address.is_loopback)

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """What `Host` may be, in lower case and without a port."""
        return frozenset({*self.hosts, *_LOCAL_NAMES, *({self.host} if self.host else ())})
