"""A module registry on loopback, by the module registry protocol: versions, and where each is fetched from."""

from __future__ import annotations

import json

from tests.support.loopback import Loopback, LoopbackHandler


class RegistryDouble(Loopback):
    """Serves modules. Use it in a `with` block.

    Attributes:
        modules: the source of each version, by the module's address and the version.
        away: whether it answers every request with an error.
    """

    def __init__(self) -> None:
        self.modules: dict[str, dict[str, str]] = {}
        self.away = False
        registry = self

        class Handler(LoopbackHandler):
            def do_GET(self) -> None:
                address, _, what = self.path.removeprefix("/v1/modules/").rpartition("/")
                found = registry.modules.get(address)
                version = address.rpartition("/")[2]
                if registry.away:
                    self.reply(503, {})
                elif what == "versions" and found is not None:
                    listed = [{"version": version} for version in found]
                    self.reply(200, {"modules": [{"versions": listed}]})
                elif what == "download" and version in registry.modules.get(address.rpartition("/")[0], {}):
                    source = registry.modules[address.rpartition("/")[0]][version]
                    self.answer(204, b"", {"X-Terraform-Get": source})
                else:
                    self.reply(404, {"errors": ["Not Found"]})

            def reply(self, status: int, body: object) -> None:
                self.answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

        super().__init__(Handler)

    def host_block(self, host: str) -> str:
        """The block of Terraform's configuration that finds this registry under a host's name."""
        address = f"{self.endpoint}/v1/modules/"
        return f'host "{host}" {{\n  services = {{\n    "modules.v1" = "{address}"\n  }}\n}}\n'
