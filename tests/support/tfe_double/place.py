"""A platform with a workspace of a test: the double, or a real server where TFE_URL and TFE_TOKEN are given."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.harness import Sandbox
from tests.support.tfe_double.server import PlatformDouble

MEDIA_TYPE = "application/vnd.api+json"


@dataclass
class PlatformAccess:
    """How a test reaches a platform, beside DriftGuard.

    Attributes:
        double: None where it is a real server.
        version: the Terraform of workspaces.
    """

    host: str
    token: str
    organization: str
    double: PlatformDouble | None
    version: str = "1.11.4"
    made: list[str] = field(default_factory=list)

    def log_in(self, sandbox: Sandbox, certificate: Path | None) -> None:
        """Give a machine the token, in its CLI configuration."""
        known, file = Path(sandbox.variables["TF_CLI_CONFIG_FILE"]), sandbox.home / "cli.tfrc"
        file.write_text(f'{known.read_text()}\ncredentials "{self.host}" {{\n  token = "{self.token}"\n}}\n')
        sandbox.variables["TF_CLI_CONFIG_FILE"] = str(file)
        if certificate is not None:
            sandbox.variables["SSL_CERT_FILE"] = str(certificate)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API as an operator would."""
        with httpx.Client(verify=self.double is None) as client:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": MEDIA_TYPE}
            answer = client.request(method, f"https://{self.host}/api/v2{path}", headers=headers, json=body)
        assert answer.status_code < 400, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content.strip() else None

    def workspace(self, **attributes: Any) -> str:
        """Make a workspace; its name."""
        name = f"driftguard-{secrets.token_hex(5)}"
        given = {"name": name, "execution-mode": "remote", "terraform-version": self.version}
        body = {"data": {"type": "workspaces", "attributes": {**given, **attributes}}}
        self.request("POST", f"/organizations/{self.organization}/workspaces", body)
        self.made.append(name)
        return name

    def read(self, name: str) -> dict[str, Any]:
        """A workspace's object."""
        found: dict[str, Any] = self.request("GET", f"/organizations/{self.organization}/workspaces/{name}")["data"]
        return found

    def runs(self, name: str) -> list[dict[str, Any]]:
        """The runs of a workspace, newest first."""
        found: list[dict[str, Any]] = self.request("GET", f"/workspaces/{self.read(name)['id']}/runs")["data"]
        return found

    def set_variable(self, name: str, key: str, value: str) -> None:
        """Set a Terraform variable of a workspace."""
        attributes = {"key": key, "value": value, "category": "terraform", "hcl": False, "sensitive": False}
        path = f"/workspaces/{self.read(name)['id']}/vars"
        self.request("POST", path, {"data": {"type": "vars", "attributes": attributes}})

    def block(self, name: str) -> str:
        """The `cloud` block that selects a workspace."""
        return f"""
  cloud {{
    hostname     = "{self.host}"
    organization = "{self.organization}"
    workspaces {{ name = "{name}" }}
  }}
"""
