"""A Terraform provider whose cloud is a folder: real Terraform, real plans, no start-up cost, faults on demand.

Each `toy_thing` is a JSON file `<name>.json` in the provider's folder. A file `faults.json` beside them steers it:

    {"read_seconds": 1.5, "create_seconds": 2, "hang_on_read": true, "configure_seconds": 4,
     "fail_create": ["name"], "fail_update": ["name"], "fail_read": "message", "echo_secret": true}

    {"renew_after": 1790000000}   planned anew once that moment (POSIX) is past, though nothing changed
    {"cache": true}               reads each thing once in the life of its process
    {"stale": {"web": {...}}}     what it reads when it is served plainly, as by a probe, instead of the truth
    {"fail_configure": "message"}

With `echo_secret`, errors quote the thing's secret: as it is, as JSON, as a part of a URL, and in base64.

Every effect is appended to `effects.log`, one `create|update|delete NAME` a line.

Terraform starts it as its own provider process, or is attached to one that serves all tests of a session:

    python -m tests.support.toy_provider --attached

which writes the value of TF_REATTACH_PROVIDERS as one line. An attached process
keeps one folder per connection, since each provider block of each Terraform run has a connection of its own.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
from tf import runner, types
from tf.provider import Provider
from tf.schema import Attribute, Schema
from tf.types import Unknown

_OF_TOFU = os.environ.get("DRIFTGUARD_TEST_TOOL") == "tofu"
ADDRESS = f"registry.{'opentofu.org' if _OF_TOFU else 'terraform.io'}/driftguard/toy"
_PLAIN_CALLS = 10
_ATTACHED_CALLS = 64  # at the same time, over all tests of a session that run
FIELDS = ("name", "value", "tags", "rules", "secret", "db_password")


class ToyProvider(Provider):  # type: ignore[misc]  # the library has no types
    def get_model_prefix(self) -> str:
        return "toy_"

    def full_name(self) -> str:
        return ADDRESS

    def get_provider_schema(self, diags: Any) -> Schema:
        return Schema(attributes=[Attribute("folder", types.String(), required=True)])

    def validate_config(self, diags: Any, config: dict[str, Any]) -> None:
        pass

    def configure_provider(self, diags: Any, config: dict[str, Any]) -> None:
        _CONNECTIONS.configure(Path(config["folder"]))
        if "fail_configure" in faults():
            diags.add_error("Not configured", faults()["fail_configure"])
        if "configure_seconds" in faults():
            (cloud() / "configuring").touch()
            _CONNECTIONS.wait(faults()["configure_seconds"])

    def get_data_sources(self) -> list[Any]:
        return []

    def get_resources(self) -> list[Any]:
        return [Thing]


class Thing:
    def __init__(self, provider: ToyProvider) -> None:
        pass

    @classmethod
    def get_name(cls) -> str:
        return "thing"

    @classmethod
    def get_schema(cls) -> Schema:
        return Schema(
            attributes=[
                Attribute("id", types.String(), computed=True),
                Attribute("name", types.String(), required=True, requires_replace=True),
                Attribute("value", types.String(), optional=True, computed="TOY_DEFAULT" in os.environ),
                Attribute("tags", types.Map(types.String()), optional=True),
                Attribute("rules", types.Set(types.String()), optional=True),
                Attribute("secret", types.String(), optional=True, sensitive=True),
                Attribute("db_password", types.String(), optional=True),
                Attribute("echo", types.String(), computed=True),
            ]
        )

    def validate(self, diags: Any, type_name: str, config: dict[str, Any]) -> None:
        if os.path.exists(os.environ.get("TOY_WARNS_WHERE_THERE_IS", "")):
            diags.add_warning("Look", "A validation that follows from more than the configuration.")

    def plan(self, ctx: Any, current: dict[str, Any] | None, planned: dict[str, Any]) -> dict[str, Any]:
        if planned.get("value") is None and "TOY_DEFAULT" in os.environ:  # of another release
            planned["value"] = os.environ["TOY_DEFAULT"]
        renewed = time.time() > faults().get("renew_after", float("inf"))
        if renewed or (current is not None and current.get("value") != planned.get("value")):
            planned["echo"] = Unknown
        return planned

    def create(self, ctx: Any, planned: dict[str, Any]) -> dict[str, Any] | None:
        _CONNECTIONS.wait(faults().get("create_seconds", 0))
        if planned["name"] in faults().get("fail_create", []):
            ctx.diagnostics.add_error("Creation refused", f"The toy cloud refuses {planned['name']}.{echoed(planned)}")
            return None
        return write("create", planned)

    def read(self, ctx: Any, current: dict[str, Any]) -> dict[str, Any] | None:
        _CONNECTIONS.wait(3600 if faults().get("hang_on_read") else faults().get("read_seconds", 0))
        if "fail_read" in faults():
            ctx.diagnostics.add_error("Read failed", faults()["fail_read"] + echoed(current))
            return None
        return looked_up(str(current["name"]))

    def update(self, ctx: Any, current: dict[str, Any], planned: dict[str, Any]) -> dict[str, Any] | None:
        _CONNECTIONS.wait(faults().get("create_seconds", 0))
        if planned["name"] in faults().get("fail_update", []):
            ctx.diagnostics.add_error("Update refused", f"The toy cloud refuses {planned['name']}.{echoed(planned)}")
            return current
        return write("update", planned)

    def delete(self, ctx: Any, current: dict[str, Any]) -> None:
        (cloud() / f"{current['name']}.json").unlink(missing_ok=True)
        log("delete", current["name"])

    def import_(self, ctx: Any, id: str) -> dict[str, Any] | None:
        file = cloud() / f"{id}.json"
        return view(json.loads(file.read_text())) if file.exists() else None

    def upgrade(self, ctx: Any, version: int, old: dict[str, Any]) -> dict[str, Any]:
        return old


class Connections(grpc.ServerInterceptor):  # type: ignore[misc]
    """The folder that each connection was configured with; the calls of a connection run in threads."""

    def __init__(self) -> None:
        self._folders: dict[str, Path] = {}
        self._call = threading.local()

    def configure(self, folder: Path) -> None:
        """Set the folder of the call's connection."""
        self._folders[self._peer] = folder

    def folder(self) -> Path:
        """The folder of the call's connection. Raises KeyError before its `configure`."""
        return self._folders[self._peer]

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than the Terraform of the call exists."""
        context, until = getattr(self._call, "context", None), time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and (context is None or context.is_active()):
            time.sleep(min(left, 0.1) if context else left)

    @property
    def _peer(self) -> str:
        peer: str = getattr(self._call, "peer", "")  # a process of its own has one connection
        return peer

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            self._call.peer, self._call.context = context.peer(), context
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(serve, handler.request_deserializer, handler.response_serializer)


_CONNECTIONS = Connections()
_CACHE: dict[str, dict[str, Any] | None] = {}


def cloud() -> Path:
    return _CONNECTIONS.folder()


def faults() -> dict[str, Any]:
    file = cloud() / "faults.json"
    return json.loads(file.read_text()) if file.exists() else {}


def looked_up(name: str) -> dict[str, Any] | None:
    """A thing as a read finds it; None where there is none."""
    wrong, file = faults(), cloud() / f"{name}.json"
    if "PLUGIN_CLIENT_CERT" not in os.environ and name in wrong.get("stale", {}):
        return view(wrong["stale"][name])
    if not wrong.get("cache") or name not in _CACHE:
        _CACHE[name] = view(json.loads(file.read_text())) if file.exists() else None
    return _CACHE[name]


def echoed(thing: dict[str, Any]) -> str:
    """What a careless provider adds to an error: the request that it sent."""
    secret = thing.get("secret")
    if not faults().get("echo_secret") or secret is None:
        return ""
    encoded = base64.b64encode(secret.encode()).decode()
    return f" Sent {secret} as {json.dumps({'secret': secret})} to https://toy/?q={quote(secret, safe='')} ({encoded})."


def write(verb: str, planned: dict[str, Any]) -> dict[str, Any]:
    thing = {field: planned.get(field) for field in FIELDS}
    file = cloud() / f"{thing['name']}.json"
    scratch = file.with_suffix(".part")
    scratch.write_text(json.dumps(thing))
    scratch.rename(file)
    log(verb, str(thing["name"]))
    return view(thing)


def view(thing: dict[str, Any]) -> dict[str, Any]:
    return {**{f: thing.get(f) for f in FIELDS}, "id": thing["name"], "echo": f"echo of {thing.get('value')}"}


def log(verb: str, name: str) -> None:
    with (cloud() / "effects.log").open("a") as stream:
        stream.write(f"{verb} {name}\n")


class Patient(runner._ShutdownInterceptor):  # type: ignore[misc]  # the library has no types
    """Finishes what is being done when Terraform asks to stop, as providers should; the library cuts it off."""

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        if details.method.endswith("/StopProvider"):
            return continuation(details)
        return super().intercept_service(continuation, details)


def serve_attached() -> None:
    """Serve any number of Terraform runs until it is killed."""
    from tf.gen import tfplugin_pb2_grpc as rpc
    from tf.provider import ProviderServicer

    server = grpc.server(ThreadPoolExecutor(max_workers=_ATTACHED_CALLS), interceptors=[_CONNECTIONS])
    rpc.add_ProviderServicer_to_server(ProviderServicer(ToyProvider()), server)
    port = server.add_insecure_port("127.0.0.1:0")  # by TCP each connection has a name of its own, its port
    server.start()
    address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    # A provider under test is left running when Terraform ends.
    reattach = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address}
    print(json.dumps({ADDRESS: reattach}), flush=True)
    server.wait_for_termination()


def serve_plainly() -> None:
    """Serve as providers in Go do when they are asked without a certificate: plain gRPC on a Unix socket."""
    from tf.gen import tfplugin_pb2_grpc as rpc
    from tf.provider import ProviderServicer

    server = grpc.server(ThreadPoolExecutor(max_workers=_PLAIN_CALLS))
    rpc.add_ProviderServicer_to_server(ProviderServicer(ToyProvider()), server)
    with tempfile.TemporaryDirectory() as folder:
        server.add_insecure_port(f"unix://{folder}/s")
        server.start()
        print(f"1|6|unix|{folder}/s|grpc|", flush=True)
        server.wait_for_termination()


def main() -> None:
    """Serve Terraform until it says that it is done."""
    if sys.argv[1:] == ["--attached"]:
        serve_attached()
    if "PLUGIN_CLIENT_CERT" not in os.environ:
        serve_plainly()
    runner._ShutdownInterceptor = Patient
    runner.run_provider(ToyProvider(), sys.argv)


if __name__ == "__main__":
    main()
