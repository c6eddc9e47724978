"""A module registry on loopback, by the module registry protocol: versions, and where each is fetched from."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class RegistryDouble:
    """Serves modules. Use it in a `with` block.

    Attributes:
        modules: the source of each version, by the module's address and the version.
        away: whether it answers every request with an error.
    """

    def __init__(self) -> None:
        self.modules: dict[str, dict[str, str]] = {}
        self.away = False
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address, _, what = self.path.removeprefix("/v1/modules/").rpartition("/")
                found = registry.modules.get(address)
                version = address.rpartition("/")[2]
                if registry.away:
                    self.answer(503, {})
                elif what == "versions" and found is not None:
                    listed = [{"version": version} for version in found]
                    self.answer(200, {"modules": [{"versions": listed}]})
                elif what == "download" and version in registry.modules.get(address.rpartition("/")[0], {}):
                    source = registry.modules[address.rpartition("/")[0]][version]
                    self.answer(204, None, {"X-Terraform-Get": source})
                else:
                    self.answer(404, {"errors": ["Not Found"]})

            def answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
                content = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                    self.send_header(name, value)
                if body is not None:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def host_block(self, host: str) -> str:
        """The block of Terraform's configuration that finds this registry under a host's name."""
        address = f"http://127.0.0.1:{self._server.server_port}/v1/modules/"
        return f'host "{host}" {{\n  services = {{\n    "modules.v1" = "{address}"\n  }}\n}}\n'

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
