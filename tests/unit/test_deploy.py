"""The files in deploy/ are held to their schemas, to the real command line and configuration, and to exit codes."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cronsim import CronSim
from tree_sitter import Language, Parser
from tree_sitter_groovy import language as groovy

from driftguard import config
from driftguard.adapters.terraform.engine import _APPLY_GRACE_SECONDS
from tests.support.ci_jobs import accepted_by_driftguard, lint_workflow, stub_driftguard

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
NEW_YEAR = datetime(2026, 1, 1)
HOW_TO = ROOT / "docs" / "how-to" / "run-it-on-a-schedule.md"
SHIPPED = [ROOT / "action.yml", *sorted(path for path in DEPLOY.rglob("*") if path.is_file())]
UNITS = sorted((DEPLOY / "systemd").iterdir())
SCRIPTS = (
    "cron/driftguard.crontab",
    "gitlab/driftguard.gitlab-ci.yml",
    "jenkins/Jenkinsfile",
    "travis/.travis.yml",
)
MANIFESTS = sorted((DEPLOY / "kubernetes").iterdir())


def read(path: str) -> str:
    return (DEPLOY / path).read_text()


def parsed(path: str) -> Any:
    return yaml.safe_load(read(path))


def unit(path: str) -> configparser.ConfigParser:
    """A systemd unit without the keys that stand several times, of which the last one is kept."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(read(path))
    return parser


def pod(path: str) -> Any:
    """The pod of a workload."""
    spec = parsed(path)["spec"]
    return spec.get("jobTemplate", {"spec": spec})["spec"]["template"]["spec"]


def program(name: str) -> str:
    """A program of the virtual environment or of the machine; the test is skipped where there is none."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


def accepted(*command: str) -> str:
    """Run a checker, which must be content; what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# --- schemas and checkers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.github-workflows", "github/driftguard.yml"),
        ("vendor.gitlab-ci", "gitlab/driftguard.gitlab-ci.yml"),
        ("vendor.travis", "travis/.travis.yml"),
        ("vendor.github-actions", "../action.yml"),
    ],
)
def test_ci_files_fulfil_the_schema_of_their_service(schema: str, path: str) -> None:
    accepted(program("check-jsonschema"), "--builtin-schema", schema, str(DEPLOY / path))


def test_the_workflow_passes_actionlint(tmp_path: Path) -> None:
    lint_workflow(read("github/driftguard.yml"), tmp_path)


def test_an_action_of_a_runtime_that_github_removed_is_found(tmp_path: Path) -> None:
    old = read("github/driftguard.yml").replace("# v6.0.2", "# v4.2.2")
    with pytest.raises(AssertionError, match="deprecated"):
        lint_workflow(old, tmp_path)


def test_groovy_reads_the_jenkinsfile() -> None:
    parser = Parser(Language(groovy()))
    source = read("jenkins/Jenkinsfile").encode()
    assert not parser.parse(source).root_node.has_error
    assert parser.parse(source.replace(b"        ]) {", b"        ) {")).root_node.has_error


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_fulfil_the_schema_of_kubernetes(path: Path) -> None:
    accepted(program("kubernetes-validate"), "--strict", str(path))


def test_the_dockerfile_passes_hadolint() -> None:
    accepted(program("hadolint"), str(DEPLOY / "Dockerfile"))


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    systemd = program("systemd-analyze")
    for path in UNITS:  # systemd also checks that the program is there
        text = path.read_text().replace("/opt/driftguard/bin/driftguard", program("driftguard"))
        (tmp_path / path.name).write_text(text)
    copies = [str(tmp_path / path.name) for path in UNITS]
    assert accepted(systemd, "verify", "--recursive-errors=no", *copies) == ""


@pytest.mark.parametrize("path", sorted((DEPLOY / "aws").iterdir()), ids=lambda path: path.name)
def test_a_policy_names_whom_it_trusts_and_what_it_allows_without_wildcards(path: Path) -> None:
    policy = json.loads(path.read_text())
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        assert "*" not in json.dumps(statement).replace("arn:aws:s3:::acme-driftguard/infra/*", "")
        if path.name.startswith("trust-"):
            claims = [key.rpartition(":")[2] for key in statement["Condition"]["StringEquals"]]
            assert claims == ["aud", "sub"]


def test_the_roles_of_the_operators_file_are_those_of_the_policies() -> None:
    aws = parsed("operator.yaml")["aws"]
    allowed = json.loads(read("aws/driftguard-policy.json"))["Statement"][0]
    assert allowed["Resource"] == [aws["plan_role_arn"], aws["apply_role_arn"]]
    [trust] = json.loads(read("aws/plan-and-apply-trust.json"))["Statement"]
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": aws["external_id"]}}
    own = [d for d in yaml.safe_load_all(read("kubernetes/common.yaml")) if d["kind"] == "ServiceAccount"]
    assert [a["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] for a in own] == [trust["Principal"]["AWS"]]


# --- command lines and configuration -----------------------------------------------------------------


def command_lines() -> Iterator[tuple[str, str]]:
    """Every `driftguard ...` of the shipped files and their manual: where it stands, and what follows the name."""
    for path in UNITS:
        for line in re.findall(r"^ExecStart=\S+/driftguard (.+)$", path.read_text(), re.MULTILINE):
            yield path.name, line
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] in ("Deployment", "CronJob"):
                yield path.name, shlex.join(pod(f"kubernetes/{path.name}")["containers"][0]["args"])
    for name in SCRIPTS:
        code = re.sub(r"(^| )(#|//) .*", "", read(name), flags=re.MULTILINE)
        code = re.sub(r"\\+\n", " ", code)  # a line goes on after a backslash
        for line in re.findall(r"(?<![\w/.-])driftguard ([a-z][^>|&;\n]*)", code):
            yield name, line
    in_manual = r"`driftguard ([^`]+)`|^    driftguard (.+)$|driftguard:0\.1\.0 \\\n +(.+)$"
    for forms in re.findall(in_manual, HOW_TO.read_text(), re.MULTILINE):
        yield HOW_TO.name, "".join(forms)


@pytest.mark.parametrize(("place", "line"), [*command_lines()])
def test_every_command_line_is_one_that_driftguard_accepts(place: str, line: str) -> None:
    accepted_by_driftguard(shlex.split(line), place)


def test_each_kind_of_file_has_a_command_line() -> None:
    assert {place for place, _ in command_lines()} == {
        "driftguard-agent.service",
        "driftguard-reconcile.service",
        "agent.yaml",
        "cronjob.yaml",
        *SCRIPTS,
        HOW_TO.name,
    }


def configurations() -> Iterator[tuple[str, str]]:
    yield "operator.yaml", read("operator.yaml")
    for document in yaml.safe_load_all(read("kubernetes/common.yaml")):
        if document["kind"] == "ConfigMap":
            yield "kubernetes/common.yaml", document["data"]["operator.yaml"]
    for block in re.findall(r"(?:^    .*\n|^\n)+", HOW_TO.read_text(), re.MULTILINE):
        if re.match(r"\n*    (?:version|environments|ledger|aws|policy|slack|concurrency):", block):
            yield HOW_TO.name, re.sub(r"^    ", "", block, flags=re.MULTILINE)


@pytest.mark.parametrize(("place", "text"), [*configurations()])
def test_every_configuration_loads(place: str, text: str) -> None:
    config.load(None, source="driftguard.yaml", operator_text=text.encode(), operator_source=place)


def test_the_pods_and_the_machines_get_the_same_operators_file() -> None:
    [in_pods] = [text for place, text in configurations() if place == "kubernetes/common.yaml"]
    assert yaml.safe_load(in_pods) == parsed("operator.yaml")


# --- exit codes ------------------------------------------------------------------------------------------


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    return stub_driftguard(tmp_path / "bin")


def environment(stub: Path, **variables: str) -> dict[str, str]:
    return {"PATH": f"{stub}:/usr/local/bin:/usr/bin:/bin", "HOME": str(stub.parent), **variables}


def cron_line() -> str:
    [line] = [line for line in read("cron/driftguard.crontab").splitlines() if line[:1].isdigit() or line[:1] == "*"]
    return line


def test_cron_reads_the_line() -> None:
    *schedule, command = cron_line().split(maxsplit=5)
    assert len(CronSim(" ".join(schedule), NEW_YEAR).minutes) == 4  # four passes an hour
    assert "%" not in command  # cron would make a line break of it
    accepted("sh", "-n", "-c", command)
    assert re.findall(r"^([A-Z]+)=.", read("cron/driftguard.crontab"), re.MULTILINE) == ["SHELL", "PATH", "MAILTO"]


@pytest.mark.parametrize(("code", "mails"), [(0, False), (2, False), (1, True), (64, True)])
def test_cron_mails_only_what_needs_a_person(stub: Path, tmp_path: Path, code: int, mails: bool) -> None:
    command = cron_line().split(maxsplit=5)[5].replace("/etc/driftguard/environment", f"{DEPLOY}/environment.example")
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=environment(stub, CODE=str(code)), capture_output=True, text=True
    )
    assert bool(done.stdout + done.stderr) == mails
    assert (tmp_path / "reconcile.log").read_text() == "a line of the run\n"


def test_systemd_and_kubernetes_take_remaining_divergence_for_success() -> None:
    assert unit("systemd/driftguard-reconcile.service")["Service"]["SuccessExitStatus"] == "2"
    assert unit("systemd/driftguard-agent.service")["Service"]["RestartPreventExitStatus"] == "64"
    command = pod("kubernetes/cronjob.yaml")["containers"][0]["command"]
    assert command == ["/usr/bin/tini", "-e", "2", "--", "driftguard"]


# --- what an apply needs, and what nobody needs ----------------------------------------------------------


def test_an_apply_has_time_to_end() -> None:
    seconds = {"kubernetes": pod("kubernetes/agent.yaml")["terminationGracePeriodSeconds"]}
    for name in ("agent", "reconcile"):
        service = unit(f"systemd/driftguard-{name}.service")["Service"]
        minutes = re.fullmatch(r"(\d+)min", service["TimeoutStopSec"])
        assert minutes is not None
        seconds[name] = int(minutes[1]) * 60
        assert service["KillMode"] == "process"  # Terraform must not be signalled by anybody but driftguard
    assert all(amount >= 2 * _APPLY_GRACE_SECONDS for amount in seconds.values()), seconds


def test_both_services_are_confined_alike() -> None:
    agent, once = (dict(unit(f"systemd/driftguard-{name}.service")["Service"]) for name in ("agent", "reconcile"))
    own = {"Type", "ExecStart", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus", "RuntimeDirectory"}
    own |= {"SuccessExitStatus", "TimeoutStartSec"}
    assert {k: v for k, v in agent.items() if k not in own} == {k: v for k, v in once.items() if k not in own}
    assert (once["NoNewPrivileges"], once["ProtectSystem"]) == ("yes", "strict")


def test_both_pods_are_confined_alike() -> None:
    agent, job = pod("kubernetes/agent.yaml"), pod("kubernetes/cronjob.yaml")
    assert job.pop("restartPolicy") == "Never"
    for workload in (agent, job):
        [container] = workload["containers"]
        for key in ("args", "command", "ports", "startupProbe", "livenessProbe", "readinessProbe"):
            container.pop(key, None)
    assert agent == job
    [container] = agent["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert agent["securityContext"]["runAsNonRoot"] is True
    volumes = {volume["name"]: volume for volume in agent["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    writable = {m["mountPath"] for m in container["volumeMounts"] if "emptyDir" in volumes[m["name"]]}
    assert writable == {"/var/cache/driftguard", "/var/lib/driftguard", "/tmp"}


def test_the_probes_ask_the_port_that_the_agent_opens() -> None:
    [container] = pod("kubernetes/agent.yaml")["containers"]
    [port] = container["ports"]
    number = port["containerPort"]
    assert f"--health-port={number}" in container["args"]
    annotations = parsed("kubernetes/agent.yaml")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(number)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": port["name"]}


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in read("Dockerfile").splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def test_the_image_runs_as_the_user_of_the_pods_with_the_folders_of_the_pods() -> None:
    last = dict(instructions())
    context = pod("kubernetes/agent.yaml")["securityContext"]
    assert last["USER"] == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert f"useradd --uid {context['runAsUser']} " in last["RUN"]
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["/usr/bin/tini", "--", "driftguard"]
    assert "XDG_CACHE_HOME=/var/cache XDG_STATE_HOME=/var/lib" in re.sub(r"\s+", " ", last["ENV"])


def test_the_image_is_built_from_what_is_there_and_let_in() -> None:
    let_in = {line[1:] for line in read("Dockerfile.dockerignore").splitlines() if line.startswith("!")}
    copied = {
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)


def test_nothing_floats_and_nothing_is_fetched_by_a_shell() -> None:
    for path in SHIPPED:
        text = path.read_text()
        assert not re.search(r":latest\b|\bcurl\b|\bwget\b|pip install '?driftguard\b", text), path
        for image in re.findall(r"(?:image: |FROM |--from=|PYTHON_IMAGE=|name: registry)([\w.:/-]+)", text):
            assert ":" in image or image == "build", f"{path}: {image} has no tag"
    pinned = r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|acme/driftguard@v\d+\.\d+\.\d+"
    for action in re.findall(r"uses: (.+)", read("github/driftguard.yml")):
        assert re.fullmatch(pinned, action), action


def test_the_workflow_asks_for_no_more_than_it_needs_and_never_cancels_an_apply() -> None:
    workflow = parsed("github/driftguard.yml")
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "read", "id-token": "write"}
    assert workflow["concurrency"] == {"group": "driftguard", "cancel-in-progress": False}
    assert workflow[True].keys() == {"schedule", "push", "workflow_dispatch"}  # YAML 1.1 reads `on` as true
    assert next(CronSim(workflow[True]["schedule"][0]["cron"], NEW_YEAR))
    job = parsed("gitlab/driftguard.gitlab-ci.yml")["driftguard"]
    assert job["resource_group"] == "driftguard"
    assert job["interruptible"] is False
    assert next(CronSim(parsed("kubernetes/cronjob.yaml")["spec"]["schedule"], NEW_YEAR))


# --- the manual ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_file_is_in_the_manual(path: Path) -> None:
    assert f"](../../{path.relative_to(ROOT)})" in HOW_TO.read_text()
