"""The laboratory's provider: a gRPC server of raw bytes that Terraform reattaches to.

It speaks the provider protocol 6 for whatever types its cloud has at the moment; all Terraform processes of one
laboratory process share it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import grpc

from lab import schema, wire
from lab.cloud import Cloud, Refused, plan
from lab.schema import Type, canonical
from lab.wire import UNKNOWN

ADDRESS: Final = "registry.terraform.io/driftguard/lab"
LOOKUP: Final = "lab_lookup"
SECRET: Final = "lab_secret"
NOTIFY: Final = "lab_notify"
_LOOKUP_SCHEMA: Final = schema.plain_schema({"key": ("string", "required"), "value": ("string", "computed")})
_NOTIFY_SCHEMA: Final = schema.plain_schema({"text": ("string", "required")})
_ERROR: Final = 1


class Provider:
    """Serves one cloud after another on a socket; use it in a `with` block."""

    def __init__(self, socket: Path) -> None:
        self.cloud = Cloud()
        self.socket = socket
        self._server = grpc.server(ThreadPoolExecutor(max_workers=8))
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        self._server.add_insecure_port(f"unix:{socket}")

    def __enter__(self) -> Provider:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=0).wait()

    def reattachment(self) -> str:
        """The value of TF_REATTACH_PROVIDERS."""
        there = {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "unix", "String": str(self.socket)},
        }
        return json.dumps({ADDRESS: there})

    # --- the protocol's calls; each takes and gives a message ------------------------------------

    def GetProviderSchema(self, _: dict[int, Any]) -> bytes:
        resources = {name: kind.encoded() for name, kind in self.cloud.types.items()}
        return (
            wire.message(1, schema.plain_schema({}))
            + wire.mapping(2, resources)
            + wire.mapping(3, {LOOKUP: _LOOKUP_SCHEMA})
            + wire.message(6, wire.varint(3, 1))
            + wire.mapping(8, {SECRET: _LOOKUP_SCHEMA})
            + wire.mapping(11, {NOTIFY: wire.message(1, _NOTIFY_SCHEMA)})
        )

    def UpgradeResourceState(self, request: dict[int, Any]) -> bytes:
        raw = json.loads(wire.decode(request[3][-1])[1][-1], parse_float=Decimal)
        kind = self.cloud.types[wire.text_of(request, 1)]
        return wire.dynamic(1, {a.name: _plain(raw.get(a.name, a.empty)) for a in kind.attributes})

    def ReadResource(self, request: dict[int, Any]) -> bytes:
        try:
            found = self.cloud.read(wire.value_of(request, 2)["id"])
        except Refused as refusal:
            return wire.message(2, wire.varint(1, _ERROR) + wire.string(2, str(refusal)))
        return wire.dynamic(1, found)

    def PlanResourceChange(self, request: dict[int, Any]) -> bytes:
        prior, proposed, config = (wire.value_of(request, number) for number in (2, 3, 4))
        if proposed is None:
            return wire.dynamic(1, None)
        kind = self.cloud.types[wire.text_of(request, 1)]
        planned, replaces = plan(kind, _canonical(kind, prior), _canonical(kind, config))
        paths = (wire.message(1, wire.string(1, name)) for name in sorted(replaces))
        replaced = b"".join(wire.message(2, path) for path in paths)
        return wire.dynamic(1, planned) + replaced + wire.varint(5, kind.is_stubborn)

    def ApplyResourceChange(self, request: dict[int, Any]) -> bytes:
        prior, planned = wire.value_of(request, 2), wire.value_of(request, 3)
        try:
            if planned is None:
                self.cloud.delete(prior["id"])
                return wire.dynamic(1, None)
            kind = self.cloud.types[wire.text_of(request, 1)]
            planned = _canonical(kind, planned)
            done = self.cloud.update(prior["id"], planned) if prior else self.cloud.create(kind.name, planned)
        except Refused as refusal:
            return wire.dynamic(1, prior) + wire.message(3, wire.varint(1, _ERROR) + wire.string(2, str(refusal)))
        return wire.dynamic(1, done) + wire.varint(4, kind.is_stubborn)

    def ImportResourceState(self, request: dict[int, Any]) -> bytes:
        type_name, object_id = wire.text_of(request, 1), wire.text_of(request, 2)
        found = self.cloud.read(object_id)
        if found is None:
            return wire.message(2, wire.varint(1, _ERROR) + wire.string(2, f"There is no object {object_id}."))
        return wire.message(1, wire.string(1, type_name) + wire.dynamic(2, found))

    def MoveResourceState(self, request: dict[int, Any]) -> bytes:
        raw = json.loads(wire.decode(request[4][-1])[1][-1], parse_float=Decimal)
        kind = self.cloud.types[wire.text_of(request, 5)]
        return wire.dynamic(1, {a.name: _plain(raw.get(a.name, a.empty)) for a in kind.attributes})

    def ReadDataSource(self, request: dict[int, Any]) -> bytes:
        config = wire.value_of(request, 2)
        known = config["key"] is not UNKNOWN
        return wire.dynamic(1, {**config, "value": self.cloud.data.get(config["key"]) if known else UNKNOWN})

    def OpenEphemeralResource(self, request: dict[int, Any]) -> bytes:
        config = wire.value_of(request, 2)
        return wire.dynamic(3, {**config, "value": "open sesame"})

    def InvokeAction(self, request: dict[int, Any]) -> Iterator[bytes]:
        text = str(wire.value_of(request, 2)["text"])
        try:
            self.cloud.notify(text)
            yield wire.message(2, b"")
        except Refused as refusal:
            problem = wire.message(1, wire.varint(1, _ERROR) + wire.string(2, str(refusal)))
            yield wire.message(2, problem)


_STREAMS: Final = frozenset({"InvokeAction"})


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds the method of a call; what the provider does not implement is answered with an empty message."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def service(self, details: Any) -> Any:
        service, _, name = details.method.strip("/").partition("/")
        if service != "tfplugin6.Provider":
            return None
        call: Callable[[dict[int, Any]], Any] = getattr(self._provider, name, lambda _: b"")
        kind = grpc.unary_stream_rpc_method_handler if name in _STREAMS else grpc.unary_unary_rpc_method_handler
        return kind(lambda request, context: call(wire.decode(request)))


def _canonical(kind: Type, values: dict[str, Any] | None) -> Any:
    return None if values is None else {a.name: canonical(a.kind, values[a.name]) for a in kind.attributes}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value
