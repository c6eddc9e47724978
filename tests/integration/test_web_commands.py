"""The web view as its users start it: serve, report, the agent, and behind a proxy that signs users in."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.harness import COMMAND, Sandbox
from tests.support.web_estate import made_ledger

_OPERATOR = """\
probe: off
ledger: {{url: "sqlite:///{ledger}"}}
web:
  address: 127.0.0.1:0
  hosts: [drift.example.org]
  trusted_proxy: [127.0.0.1/32]
  user_header: X-Forwarded-User
  groups: {{team-shop: ["shop-*"]}}
"""


@pytest.fixture
def machine(tmp_path: Path) -> Sandbox:
    """A machine with the ledger of the sample estate, and a repository that names it."""
    made_ledger(tmp_path).close()
    machine = Sandbox(tmp_path / "home", {})
    machine.operator_file = tmp_path / "operator.yaml"
    machine.operator_file.write_text(f'probe: off\nledger: {{url: "sqlite:///{tmp_path / "ledger.db"}"}}\n')
    machine.commit("first", {"environments/dev/main.tf": 'resource "terraform_data" "a" {}\n'})
    return machine


@contextmanager
def serving(machine: Sandbox, *arguments: str) -> Iterator[str]:
    """The address that a command prints, until it is ended by SIGTERM."""
    command = [*COMMAND, *arguments, "--config", str(machine.operator_file)]
    process = subprocess.Popen(
        command, cwd=machine.repository, env=machine.variables, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        address = None
        for line in process.stderr:
            if found := re.search(r"served on (http://\S+/)", line):
                address = found[1]
                break
        assert address is not None, "it ended without an address"
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield address
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
        drain.join()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_serve_shows_the_ledger_that_the_configuration_names(machine: Sandbox) -> None:
    with serving(machine, "serve", "--address", "127.0.0.1:0") as address:
        page = httpx.get(address)
        assert page.status_code == 200
        assert "shop-eu" in page.text
        assert httpx.get(address, headers={"Host": "rebound.example.org"}).status_code == 400
        assert httpx.post(address).status_code == 405


@pytest.mark.terraform
def test_the_agent_serves_the_pages_beside_its_runs(machine: Sandbox) -> None:
    assert machine.operator_file is not None
    machine.operator_file.write_text(machine.operator_file.read_text() + "web: {address: 127.0.0.1:0}\n")
    with serving(machine, "agent", "--web", "--every", "6h") as address:
        assert "shop-eu" in httpx.get(address).text


def test_an_address_that_is_not_loopback_is_refused_without_an_identity(machine: Sandbox) -> None:
    ran = machine.run("serve", "--address", "0.0.0.0:0", "--config", str(machine.operator_file))
    assert ran.code == 64
    assert "not loopback" in ran.stderr


def test_report_writes_the_same_site_twice(machine: Sandbox, tmp_path: Path) -> None:
    operator = ("--config", str(machine.operator_file))
    for name in ("one", "two"):
        assert machine.run("report", "--site", str(tmp_path / name), *operator).code == 0
    assert not subprocess.run(["diff", "-r", tmp_path / "one", tmp_path / "two"], capture_output=True).stdout
    assert (tmp_path / "one" / "index.html").is_file()


class _Proxy(BaseHTTPRequestHandler):
    """Stands in for oauth2-proxy: signs `ada` in, removes what the client claims, passes `Host` on."""

    upstream = ""
    signed_in: tuple[str, str] | None = ("ada@example.org", "team-shop")

    def do_GET(self) -> None:
        if self.signed_in is None:
            self.send_response(302)
            self.end_headers()
            return
        own = {"x-forwarded-user", "x-forwarded-groups", "connection"}
        passed = {name: value for name, value in self.headers.items() if name.lower() not in own}
        user, groups = self.signed_in
        headers = {**passed, "X-Forwarded-User": user, "X-Forwarded-Groups": groups}
        answer = httpx.get(self.upstream.rstrip("/") + self.path, headers=headers)
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in ("transfer-encoding", "content-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def test_behind_a_proxy_a_user_sees_the_environments_of_its_groups(machine: Sandbox, tmp_path: Path) -> None:
    assert machine.operator_file is not None
    machine.operator_file.write_text(_OPERATOR.format(ledger=tmp_path / "ledger.db"))
    with serving(machine, "serve") as address:
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), type("Proxy", (_Proxy,), {"upstream": address}))
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        front = f"http://127.0.0.1:{proxy.server_port}"
        claims = {"Host": "drift.example.org", "X-Forwarded-User": "root", "X-Forwarded-Groups": "platform"}
        try:
            page = httpx.get(f"{front}/", headers=claims)
            assert page.status_code == 200
            assert "signed in as ada@example.org" in page.text
            assert "shop-eu" in page.text
            assert "billing" not in page.text
            assert httpx.get(f"{front}/environments/billing", headers=claims).status_code == 404
            assert httpx.get(f"{front}/badge/billing.svg", headers=claims).status_code == 404
            assert httpx.get(f"{front}/", headers={**claims, "Host": "elsewhere.example.org"}).status_code == 400
        finally:
            proxy.shutdown()
            proxy.server_close()
        assert httpx.get(address).status_code == 401  # not through the proxy
