"""Planted secrets of every known shape in every place where one can stand: no byte that is left or sent holds one."""

from __future__ import annotations

import base64
import gzip
import io
import json
import shlex
import subprocess
import uuid
import zipfile
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest

from driftguard.demo.cloud import STATE_BUCKET, Cloud, make_state_bucket
from driftguard.redaction import SHAPES
from tests.support.git_server import GitServer
from tests.support.github_double import GitHubDouble
from tests.support.harness import Ran, Sandbox, Toy
from tests.support.searching import Planted, bytes_of, forms_of, rows_of
from tests.support.sinks import service
from tests.support.slack_double import SlackDouble
from tests.support.toy_estate import Wrapped, private_folders

pytestmark = pytest.mark.terraform
pytest_plugins = ["tests.support.github_double.fixtures"]

_BODY = """\
variable "file" { type = map(string) }
variable "given" { type = map(string) }
variable "passed" { type = map(string) }

resource "toy_thing" "plain" {
  name  = "plain"
  value = jsonencode(var.given)
  tags  = var.file
}

resource "toy_thing" "named" {
  for_each = toset(local.names)
  name     = each.key
  value    = "one"
}

resource "toy_thing" "hidden" {
  name        = "hidden"
  secret      = jsonencode(var.passed)
  db_password = jsonencode(var.passed)
}

output "all" { value = merge(var.file, var.given) }
"""


def test_a_search_finds_a_secret_however_it_is_packed() -> None:
    planted = Planted()
    secret = planted.add("x", "AKIA" + "ABCDEFGH12345678")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("state", secret)
    for shift in range(3):
        packs = [
            secret.encode(),
            gzip.compress(b"a" * shift + secret.encode()),
            b"header" + zlib.compress(secret.encode()),
            archive.getvalue(),
            base64.b64encode(b"?" * shift + secret.encode()),
            base64.urlsafe_b64encode(gzip.compress(secret.encode())),
            quote("".join(f"%{ord(c):02x}" for c in secret)).encode(),
            json.dumps("".join(f"\\u{ord(c):04x}" for c in secret)).encode(),
        ]
        assert [pack for pack in packs if not planted.found_in(pack)] == []
    assert planted.found_in(b"nothing") == set()


class Canaries:
    """A repository full of secrets, the commands run on it, and all that they leave and send.

    Args:
        sandbox: the machine; toy: the cloud of one environment; a second one's provider fails.
    """

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.planted = sandbox, Planted()
        self.toy, self.failing = Toy(folder / "plain"), Toy(folder / "failing")
        self.seen: list[tuple[str, bytes]] = []
        self._path = sandbox.variables["PATH"]
        plant = self.planted.plant
        names = [name for name in plant("address").values() if len(name) < 100 and not set("\n/") & set(name)]
        sandbox.write(".gitignore", ".terraform/\n*.tfstate*\n")
        self.configure("")
        locals_ = f"locals {{ names = {json.dumps(names)} }}\n".replace("${", "$${")
        sandbox.write("environments/plain/main.tf", self.toy.root_module(locals_ + _BODY))
        sandbox.write("environments/plain/terraform.tfvars.json", json.dumps({"file": plant("tfvars")}))
        sandbox.write(
            "environments/failing/main.tf", self.failing.root_module('resource "toy_thing" "a" {\n  name = "a"\n}\n')
        )
        sandbox.variables |= {
            "TF_VAR_given": json.dumps(plant("TF_VAR_*", every_form=True)),
            "TF_VAR_passed": json.dumps({"password": self.planted.add("sensitive", "canary0sensitive0value")}),
        }
        sandbox.commit("The estate")
        for name in ("plain", "failing"):
            sandbox.apply(f"environments/{name}")
        self.failing.faults(fail_read="Refused: " + " ; ".join(plant("provider's error", every_form=True).values()))

    def configure(self, more: str) -> None:
        """Write a driftguard.yaml with secrets in the texts that people give as reasons."""
        reason = json.dumps("; ".join(self.planted.plant("reason of a suspension").values()))
        rule = json.dumps("; ".join(self.planted.plant("reason of a rule").values()))
        self.sandbox.write(
            "driftguard.yaml",
            "environments:\n"
            "  - {path: environments/*, env: [TF_VAR_given, TF_VAR_passed]}\n"
            f"  - {{path: environments/failing, policy: {{suspended: {{reason: {reason}}}}}}}\n"
            f"ignore: [{{address: toy_thing.hidden, path: db_password, reason: {rule}}}]\n{more}",
        )

    def commit_each(self, place: str, file: str) -> None:
        """A commit for each shape, which holds one in its subject and another in its author."""
        authors = self.planted.plant("author")
        for kind, secret in self.planted.plant(place).items():
            self.sandbox.write(file, f"# {kind}\n")
            self._git("add", "--all")
            author = " ".join(authors[kind].replace("<", "").replace(">", "").split())
            subject = f"Rotate {' '.join(secret.split())}"
            self._git("commit", "-q", "-m", subject, f"--author={author} <a@example.org>")

    def _git(self, *arguments: str) -> None:
        """Run git as the commits' authors do, not on the machine whose command lines are kept."""
        variables = {**self.sandbox.variables, "PATH": self._path}
        subprocess.run(["git", *arguments], cwd=self.sandbox.repository, env=variables, check=True)

    def drift(self) -> None:
        """Change things outside Terraform to values with secrets."""
        self.toy.change(
            "plain", tags=self.planted.plant("outside"), value=json.dumps(self.planted.plant("outside, JSON"))
        )
        self.toy.change("hidden", secret=self.planted.add("sensitive outside", "canary0sensitive0outside"))

    def run(self, *arguments: str, **variables: str) -> Ran:
        ran = self.sandbox.run(*arguments, **variables)
        assert "Traceback" not in ran.stderr, ran.stderr
        name = f"{len(self.seen)} {shlex.join(arguments)[:60]}"
        self.seen += [(f"{name}: output", ran.stdout.encode()), (f"{name}: errors", ran.stderr.encode())]
        return ran

    def leaks(self, *more: tuple[str, bytes]) -> dict[str, list[str]]:
        """Where which secrets were found; git's own objects and the user's own files are left out."""
        left = {
            file: content
            for file, content in self.sandbox.bytes_left().items()
            if "/driftguard/repos/" not in str(file) and "/plugins/" not in str(file)
        }
        assert len(left) > 3
        found = {name: self.planted.found_in(content) for name, content in (*self.seen, *bytes_of(left), *more)}
        return {name: sorted(secrets) for name, secrets in found.items() if secrets}


@pytest.fixture
def canaries(sandbox: Sandbox, tmp_path: Path) -> Canaries:
    return Canaries(sandbox, tmp_path / "clouds")


def test_no_secret_of_any_shape_is_printed_or_left(canaries: Canaries) -> None:
    terraform = Wrapped(canaries.sandbox, canaries.sandbox.home.with_name("terraform"))
    assert canaries.run("scan", "--quiet").code == 1
    canaries.drift()
    canaries.sandbox.commit(
        "Rotate " + " ".join(" ".join(s.split()) for s in canaries.planted.plant("subject").values())
    )
    ran = canaries.run("scan", "--format", "json", "-v")
    assert {e["name"]: e["verdict"] for e in ran.report["environments"]} == {"failing": "unknown", "plain": "drifted"}
    assert len(canaries.planted) > 500
    for arguments in (("reconcile", "--noise"), ("explain", "plain"), ("explain", "failing"), ("history",)):
        canaries.run(*arguments)
    assert private_folders(canaries.sandbox) == []
    assert canaries.leaks(("command lines", "\n".join(terraform.calls()).encode())) == {}
    assert len(SHAPES) >= 60


def terraform_of(sandbox: Sandbox) -> tuple[Wrapped, Path]:
    """A Terraform that keeps the arguments and the variables of each call; git's variables are the process's own."""
    folder = sandbox.home.with_name("terraform")
    return Wrapped(sandbox, folder, f'env >> "{folder}/environment.log"'), folder / "environment.log"


def in_bucket(cloud: Cloud, prefix: str, folder: Path) -> dict[str, bytes]:
    """The objects below a prefix, those that hold a database as its rows too."""
    storage, found = cloud.client("s3"), dict[str, bytes]()
    for listed in storage.list_objects_v2(Bucket=STATE_BUCKET, Prefix=prefix).get("Contents", []):
        content = storage.get_object(Bucket=STATE_BUCKET, Key=listed["Key"])["Body"].read()
        found[listed["Key"]] = content
        for form in forms_of(content, 1):
            if form.startswith(b"SQLite format 3"):
                copy = folder / f"{uuid.uuid4().hex}.db"
                copy.write_bytes(form)
                found[f"{listed['Key']} (rows)"] = rows_of(copy)
    return found


@pytest.mark.soak
def test_no_secret_of_any_shape_is_printed_left_or_sent_by_any_command(
    canaries: Canaries, cloud: Cloud, github: GitHubDouble, tmp_path: Path
) -> None:
    sandbox, planted = canaries.sandbox, canaries.planted
    terraform, variables_of_terraform = terraform_of(sandbox)
    git = Wrapped(sandbox, sandbox.home.with_name("git"), program="git")
    make_state_bucket(cloud)
    repository = github.add_repository()
    password = planted.add("password of the git URL", "canary0password0of0git")
    backend = planted.add("password of a backend's URL", "canary0password0of0backend")
    keys = {
        "SLACK_BOT_TOKEN": "", "DRIFTGUARD_HOOK": "", "DRIFTGUARD_TOKEN": github.token,
        "DRIFTGUARD_HOOK_KEY": planted.add("key of the webhook", "canary0key0of0the0webhook"),
        "DRIFTGUARD_LEDGER": "",
    }  # fmt: skip
    planted.add("token of the forge", github.token)
    with (
        SlackDouble(channels=("drift",)) as slack,
        service() as hook,
        GitServer(sandbox.home, "ada", password) as server,
    ):
        planted.add("token of Slack", slack.token)
        url = f"{hook.url}?key={planted.add('key in the URL of the webhook', 'canary0key0in0the0url')}"
        keys |= {"SLACK_BOT_TOKEN": slack.token, "DRIFTGUARD_HOOK": url}
        canaries.configure(
            "policy: {drift: propose, pending: propose}\n"
            f"slack: {{token_env: SLACK_BOT_TOKEN, api_url: '{slack.api_url}', routes: [{{channel: '#drift'}}]}}\n"
            "alerts: {webhook: {url_env: DRIFTGUARD_HOOK, secret_env: DRIFTGUARD_HOOK_KEY}, pending_after: 1s}\n"
            f"forge: {{kind: github, repository: acme/infra, token_env: DRIFTGUARD_TOKEN, url: '{github.url}', "
            f"push_url: '{repository.git.path}'}}\n"
            "ledger: {url_env: DRIFTGUARD_LEDGER}\n"
        )
        address = hook.url.replace("http://", f"http://ada:{backend}@")
        body = f'terraform {{\n  backend "http" {{\n    address = "{address}"\n  }}\n}}\n'
        sandbox.write("environments/backend/main.tf", body)
        sandbox.commit("Alerts, a forge, and a backend that refuses")
        ledgers = [f"sqlite:///{sandbox.home}/ledger.db", f"s3://{STATE_BUCKET}/{uuid.uuid4().hex}/ledger"]
        for ledger in ledgers:
            keys["DRIFTGUARD_LEDGER"] = ledger
            variables = {**cloud.environment(), **keys, "AWS_ENDPOINT_URL": cloud.endpoint}
            variables["TF_VAR_given"] = sandbox.variables["TF_VAR_given"]
            repo = ("--repo", server.url("infra/.git"))
            assert canaries.run("scan", "--quiet", *repo, **variables).code == 1
            canaries.drift()
            canaries.commit_each("subject", "environments/plain/more.tf")
            for command in ("scan", "reconcile"):
                for form in ("json", "markdown", "table", "junit")[: 4 if command == "scan" else 3]:
                    canaries.run(command, "--noise", "--format", form, "-v", *repo, **variables)
            canaries.drift()
            for arguments in (
                ("reconcile", "--output", str(sandbox.home / "report.md"), "--format", "markdown"),
                ("status",), ("status", "--format", "json"), ("history", "--limit", "1000"),
                ("history", "--format", "json", "--limit", "1000"), ("explain", "plain"), ("explain", "failing"),
                ("explain", "backend"), ("explain", "plain", "--format", "json"),
                ("explain", "plain", "--format", "markdown"),
                ("environments",), ("environments", "--format", "json"), ("doctor",), ("doctor", "--trust"),
                ("doctor", "--slack"), ("retry", "plain"), ("forget", "plain"),
            ):  # fmt: skip
                assert canaries.run(*arguments, *repo, **variables).code in (0, 1, 2, 64), arguments
        shown = sandbox.terraform("environments/plain", "plan", "-input=false", "-out=plan", check=False)
        assert shown.returncode == 0, shown.stderr
        document = sandbox.terraform("environments/plain", "show", "-json", "plan").stdout
        (sandbox.repository / "plan.json").write_text(document)
        for form in ("json", "markdown", "table", "junit"):
            canaries.run("classify", "plan.json", "--format", form)
        posts = [{name: value for name, value in call.arguments.items() if name != "token"} for call in slack.calls]
        sent = [(f"Slack {number}", json.dumps(post).encode()) for number, post in enumerate(posts)]
        sent += [(f"webhook {number}", event) for number, event in enumerate(hook.bodies)]
        asked = [(f"forge {each.method} {each.path}", each.body) for each in github.requests]
        sent += [(f"{number} {name}", json.dumps(body).encode()) for number, (name, body) in enumerate(asked)]
    assert len(slack.calls) > 2
    assert len(hook.bodies) > 1
    sent += in_bucket(cloud, ledgers[1].split("/", 3)[3], tmp_path).items()
    arguments_ = "\n".join([*terraform.calls(), *git.calls()]).encode()
    assert canaries.leaks(("command lines", arguments_), *sent) == {}
    tokens = {"token of Slack", "token of the forge", "key of the webhook", "key in the URL of the webhook"}
    seen = planted.found_in(variables_of_terraform.read_bytes())
    assert not seen & (tokens | {"password of the git URL"})
    assert "TF_VAR_*: npm token" in seen  # what it is given is found there
