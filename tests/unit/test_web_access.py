"""Who may read the pages: hosts, peers, identity headers, bearer tokens, groups."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from driftguard import config
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.config import WebSettings
from driftguard.errors import OperatorError, UsageError
from driftguard.web.access import Access, Asking, Viewer
from driftguard.web.server import WebServer
from tests.support.web_client import WebClient
from tests.support.web_estate import made_ledger

PROXY: Mapping[str, Any] = {
    "trusted_proxy": ("10.1.0.0/16",),
    "user_header": "X-Forwarded-User",
    "groups": {"team-shop": ("shop-*",), "platform": ("*",)},
    "hosts": ("drift.example.org",),
}
TOKEN = "t0ken-of-thirty-two-characters-and-more"
ADA = {"X-Forwarded-User": "ada", "X-Forwarded-Groups": "team-shop,unheard-of"}
GRACE = {"X-Forwarded-User": "grace", "X-Forwarded-Groups": "platform"}
OTHERS = ("billing", "network/core", "data-lake", "evil", "sandbox", "auto")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlLedger]:
    made = made_ledger(tmp_path_factory.mktemp("access"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def behind_a_proxy(ledger: SqlLedger, tmp_path_factory: pytest.TempPathFactory) -> WebClient:
    return WebClient(ledger, tmp_path_factory.mktemp("proxy"), WebSettings(**PROXY))


@pytest.mark.parametrize(
    "host", ["evil.example.org", "127.0.0.1.evil.example.org", "", "localhost.evil.org:8899", "[::2]"]
)
def test_a_foreign_host_is_refused(ledger: SqlLedger, tmp_path: Path, host: str) -> None:
    answer = WebClient(ledger, tmp_path).get("/", {"Host": host})
    assert answer.status_code == 400
    assert "shop-eu" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8899", "localhost:8899", "LOCALHOST", "[::1]:8899", "drift.example.org"])
def test_a_listed_host_is_answered(ledger: SqlLedger, tmp_path: Path, host: str) -> None:
    client = WebClient(ledger, tmp_path, WebSettings(hosts=("drift.example.org",)))
    assert client.get("/", {"Host": host}).status_code == 200


@pytest.mark.parametrize("peer", ["192.0.2.1", "10.2.0.1", "127.0.0.1", "::1"])
def test_identity_headers_count_only_from_a_listed_peer(behind_a_proxy: WebClient, peer: str) -> None:
    answer = behind_a_proxy.get("/", GRACE, peer=peer)
    assert answer.status_code == 401
    assert "shop-eu" not in answer.text


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_a_listed_peer_names_the_reader(behind_a_proxy: WebClient, peer: str) -> None:
    answer = behind_a_proxy.get("/", GRACE, peer=peer)
    assert answer.status_code == 200
    assert "signed in as grace" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Forwarded-Groups", "platform")],
        [("X-Forwarded-User", " ")],
        [("X-Forwarded-User", "mallory"), ("X-Forwarded-User", "grace"), ("X-Forwarded-Groups", "platform")],
        [("X-Forwarded-User", "ada"), ("X-Forwarded-Groups", "team-shop"), ("X-Forwarded-Groups", "platform")],
        [("X_Forwarded_User", "grace"), ("X-Forwarded-Groups", "platform")],
        [("X-Real-User", "grace"), ("Forwarded", "for=10.1.2.3"), ("X-Forwarded-For", "10.1.2.3")],
    ],
)
def test_spoofed_or_missing_identity_headers_are_refused(behind_a_proxy: WebClient, headers: Any) -> None:
    assert behind_a_proxy.get("/", headers, peer="10.1.2.3").status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/", "/causes", "/approvals", "/trends", "/alerts", "/runs", "/index.json", "/causes.json", "/approvals.json",
     "/trends.json", "/alerts.json", "/runs.json", "/badge.svg", "/environments/shop-eu", "/?verdict=drifted"],
)  # fmt: skip
def test_a_group_sees_its_own_environments_alone(behind_a_proxy: WebClient, path: str) -> None:
    mine = behind_a_proxy.get(path, ADA, peer="10.1.0.1")
    assert mine.status_code == 200
    shown = mine.text.replace("<wbr>", "").replace('name="auto"', "")
    assert [name for name in OTHERS if f"/{name}" in shown or f'"{name}"' in shown or f">{name}<" in shown] == []
    if path in ("/", "/index.json"):
        assert "shop-eu" in shown
        assert "billing" in behind_a_proxy.get(path, GRACE, peer="10.1.0.1").text


@pytest.mark.parametrize("name", OTHERS)
def test_another_groups_environment_is_not_found(behind_a_proxy: WebClient, name: str) -> None:
    for path in (f"/environments/{name}", f"/environments/{name}.json", f"/badge/{name}.svg"):
        assert behind_a_proxy.get(path, ADA, peer="10.1.0.1").status_code == 404
        assert behind_a_proxy.get(path, GRACE, peer="10.1.0.1").status_code == 200


def test_without_a_group_nothing_is_visible(behind_a_proxy: WebClient) -> None:
    headers = {"X-Forwarded-User": "eve"}
    for path in ("/", "/causes", "/alerts", "/runs", "/badge.svg", "/index.json", "/runs.json", "/trends.json"):
        answer = behind_a_proxy.get(path, headers, peer="10.1.0.1")
        assert answer.status_code == 200
        assert "shop" not in answer.text
        assert "run-1" not in answer.text
    assert behind_a_proxy.get("/environments/shop-eu", headers, peer="10.1.0.1").status_code == 404


def tokens(folder: Path, *lines: str) -> WebSettings:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    (folder / "tokens").write_text("\n".join(lines or ("# ours", f"sha256:{digest} ci team-shop")) + "\n")
    return WebSettings(tokens_file=str(folder / "tokens"), groups=PROXY["groups"])


def test_a_bearer_token_names_its_groups(ledger: SqlLedger, tmp_path: Path) -> None:
    client = WebClient(ledger, tmp_path, tokens(tmp_path))
    answer = client.get("/index.json", {"Authorization": f"Bearer {TOKEN}"})
    assert {each["name"] for each in answer.json()["environments"]} == {"shop-eu", "shop-us", "shop-ap"}


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer short"]
)
def test_another_token_is_refused_and_the_scheme_named(ledger: SqlLedger, tmp_path: Path, value: str) -> None:
    answer = WebClient(ledger, tmp_path, tokens(tmp_path)).get("/", {"Authorization": value})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_hash_is_no_token_and_identity_headers_do_not_count_without_a_proxy(
    ledger: SqlLedger, tmp_path: Path
) -> None:
    client = WebClient(ledger, tmp_path, tokens(tmp_path))
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    assert client.get("/", {"Authorization": f"Bearer {digest}"}).status_code == 401
    assert client.get("/", GRACE).status_code == 401


def test_a_token_is_withdrawn_while_the_pages_are_served(ledger: SqlLedger, tmp_path: Path) -> None:
    client = WebClient(ledger, tmp_path, tokens(tmp_path))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/", headers).status_code == 200
    tokens(tmp_path, "# none any more")
    assert client.get("/", headers).status_code == 401
    (tmp_path / "tokens").unlink()
    assert client.get("/", headers).status_code == 503


@pytest.mark.parametrize("line", ["sha256:abc ci team", "plain-token ci team", f"sha256:{'0' * 64}", "x"])
def test_a_tokens_file_of_another_form_is_an_error_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(OperatorError, match=r"tokens:2 is not"):
        Access(tokens(tmp_path, "", line))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"address": "0.0.0.0:80"}, "not loopback"),
        ({"address": "10.0.0.1:80"}, "not loopback"),
        ({"address": "[::]:80"}, "not loopback"),
        ({"trusted_proxy": ["10.0.0.0/8"]}, "together"),
        ({"user_header": "X-User"}, "together"),
        ({"trusted_proxy": ["10.0.0.0/8"], "user_header": "X-User"}, "needs `groups`"),
        ({"tokens_file": "/x"}, "needs `groups`"),
        ({"address": "example.org:80"}, "HOST:PORT"),
        ({"trusted_proxy": ["10.0.0.1/8"], "user_header": "X-User", "groups": {"a": ["*"]}}, "a network"),
    ],
)
def test_settings_that_would_show_too_much_or_nothing_are_refused(keys: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        WebSettings.model_validate(keys)


def test_another_address_on_the_command_line_follows_the_same_rule() -> None:
    with pytest.raises(UsageError, match=r"--address 0\.0\.0\.0:80 .*not loopback"):
        WebSettings().at("0.0.0.0:80")
    assert WebSettings(**PROXY).at("0.0.0.0:80").port == 80


def test_a_commit_does_not_choose_who_reads_the_pages() -> None:
    text = b"web: {address: '0.0.0.0:80', tokens_file: /x, groups: {a: ['*']}}"
    without = config.load(text, source="driftguard.yaml")
    assert (without.web, len(without.refused)) == (WebSettings(), 1)
    local = b"web: {address: '127.0.0.1:9000'}"
    assert config.load(local, source="driftguard.yaml").web.port == 9000
    with_operator = config.load(local, source="driftguard.yaml", operator_text=b"allow_env: []")
    assert (with_operator.web, len(with_operator.refused)) == (WebSettings(), 1)
    own = config.load(local, source="driftguard.yaml", operator_text=b"web: {address: '127.0.0.1:9001'}")
    assert own.web.port == 9001


def test_a_unix_socket_that_is_listed_is_a_peer(tmp_path: Path) -> None:
    socket_path = str(tmp_path / "web.sock")
    keys = {**PROXY, "address": f"unix:{socket_path}"}
    listed = Access(WebSettings.model_validate({**keys, "trusted_proxy": [f"unix:{socket_path}"]}))
    other = Access(WebSettings.model_validate({**keys, "trusted_proxy": ["unix:/run/other.sock", "10.0.0.0/8"]}))
    asking = Asking(None, [("x-forwarded-user", "ada"), ("x-forwarded-groups", "platform")])
    assert listed.viewer(asking) == Viewer("ada", ("*",))
    assert other.viewer(asking) is None


def test_a_server_on_a_unix_socket_is_for_its_user_and_group_alone(ledger: SqlLedger, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    settings = WebSettings(address=f"unix:{path}")
    for _ in range(2):  # a second server replaces what the first left
        server = served(ledger, tmp_path, settings)
        try:
            assert path.stat().st_mode & 0o777 == 0o660
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
                assert client.get("http://localhost/").status_code == 200
        finally:
            server.close()
    assert not path.exists()


def served(ledger: SqlLedger, folder: Path, settings: WebSettings) -> WebServer:
    from driftguard.adapters.defects import FolderDefects
    from driftguard.web.application import application

    app = application(lambda: ledger, Access(settings), repository="infra", defects=FolderDefects(folder))
    server = WebServer(app, settings)
    server.start()
    return server


def test_a_server_answers_many_readers_at_once_and_ends(ledger: SqlLedger, tmp_path: Path) -> None:
    server = served(ledger, tmp_path, WebSettings(address="127.0.0.1:0"))
    codes: list[int] = []
    try:
        readers = [
            threading.Thread(target=lambda: codes.append(httpx.get(server.address).status_code)) for _ in "12345678"
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    finally:
        server.close()
    assert codes == [200] * 8
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.address)


def test_a_port_in_use_is_an_error_with_the_next_step(ledger: SqlLedger, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError, match="choose another address"):
            served(ledger, tmp_path, WebSettings(address=f"127.0.0.1:{port}"))
