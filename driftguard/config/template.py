"""The first `driftguard.yaml`, as `driftguard init` writes it for the root modules of a repository."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence


def template(entries: Sequence[Mapping[str, str | Sequence[str]]] = ()) -> str:
    """A commented configuration that behaves like none at all, but for where the environments are.

    Args:
        entries: of `environments`, by their keys; without any the default stays, as a comment.
    """
    written = ["environments:", *(line for entry in entries for line in _lines(entry))]
    default = ["# environments:", "#   - path: environments/*"]
    return _HEAD + "\n".join(written if entries else default) + "\n" + _REST


def _lines(entry: Mapping[str, str | Sequence[str]]) -> list[str]:
    keys = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return [f"{'    ' if number else '  - '}{key}" for number, key in enumerate(keys)]


_HEAD = """\
# Configuration of DriftGuard for this repository. Every key is optional; a commented key shows its default
# or an example. DriftGuard reads this file from the tracked commit, not from the work tree.
version: 1

# The environments: each directory that matches is one Terraform root module.
"""

_REST = """\
# One entry makes many with `workspaces: [a, b]`, `each: "vars/*.tfvars"` or `from: {file: "accounts/*.json"}`.
#     exclude: ["environments/sandbox-*"]
#   - path: environments/prod          # overrides the top level; later entries win
#     workspace: eu
#     var_files: [eu.tfvars]           # relative to the environment's directory
#     backend_config: {key: prod/terraform.tfstate}
#     env: [AWS_PROFILE]               # names of further variables that Terraform may see
#     extra_files: ["policies/*.json"] # from the repository's root
#     timeout: 30m
#     policy: {pending: alert}

# terraform: {binary: auto}            # auto | embedded | a name on PATH | an absolute path
# concurrency: auto                    # or a number

# Differences that count as noise. A delete or a replace is never hidden.
# ignore:
#   - {address: "module.app.aws_ecs_service.*", path: desired_count, reason: autoscaled, until: 2027-01-31}

# The action for each kind of change. Default: alerts only.
# policy:
#   pending: alert                     # alert | apply | propose
#   drift: alert                       # alert | revert | propose
#   input: alert                       # alert | apply | propose
#   prefer: revert                     # revert | adopt: the proposal opened as a pull request
#   approval: {require: merged}        # merged | signed (signers: FILE) | reviewed (approvals: 1)
#   limits: {changes: 50, destroys: 0, replaces: 0, share: 50%}
#   protect: ["aws_db_instance.*"]     # never destroyed or replaced automatically
#   windows: [{allow: "0 9 * * mon-fri", for: 8h, zone: Europe/Berlin}]
#   suspended: {reason: "migration", until: 2026-12-01}

# ledger: {url_env: DRIFTGUARD_LEDGER} # a variable with postgresql://… or s3://bucket/key; default: SQLite

# Recipients of alerts. Without `slack` and `alerts.webhook` alerts go to standard output.
# slack:
#   token_env: SLACK_BOT_TOKEN         # the variable that holds the bot's token
#   routes:                            # the first that matches applies
#     - {environments: "prod*", channel: "#prod-drift", mention: "<!subteam^S123>"}
#     - {channel: "#drift"}
# alerts:
#   unknown_after: 2                   # consecutive runs
#   pending_after: 1d
#   reminders: [{after: 1d}, {after: 3d, channel: "#platform-leads"}]

# The forge: pull requests for `propose`, and reviews of commits for `approval`.
# forge:
#   kind: github                       # github | gitlab | git
#   repository: acme/infra
#   token_env: GITHUB_TOKEN            # the variable that holds the token

# agent: {every: 15m}                  # schedule of `driftguard agent`; or `cron: "*/15 * * * *"`, or `at: ["02:00"]`
"""
