"""What a reader of an alert needs to act: where an environment is, and the commands that are right for it.

Takes resolved settings; gives commands to paste, and links. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from driftguard.config import EnvironmentSettings
from driftguard.model.traces import role_key
from driftguard.sealed import looks_secret

_ARN: Final = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:([a-z0-9-]*):([0-9]{12})?:.+")
_CONSOLES: Final = {
    "aws": "https://console.aws.amazon.com",
    "aws-us-gov": "https://console.amazonaws-us-gov.com",
    "aws-cn": "https://console.amazonaws.cn",
}


@dataclass(frozen=True, slots=True)
class Guide:
    """One environment for a reader: where it is, and how its configuration is applied manually.

    Attributes:
        account, region: of the cloud, as far as they are known.
        apply: the command that applies it, from any directory of a clone; None where it needs more than is known.
    """

    account: str | None = None
    region: str | None = None
    apply: str | None = None


@dataclass(frozen=True, slots=True)
class Guidance:
    """What the configuration knows for readers of alerts.

    Attributes:
        branch: the tracked branch.
        guides: by environment.
        runbook: the URL of runbooks, with placeholders; None without.
    """

    branch: str = "main"
    guides: Mapping[str, Guide] = field(default_factory=dict)
    runbook: str | None = None


def guidance_of(
    environments: Sequence[EnvironmentSettings],
    programs: Mapping[str, str],
    branch: str,
    runbook: str | None,
) -> Guidance:
    """The guidance for a run's alerts.

    Args:
        programs: `terraform`, `tofu` or `terragrunt`, by environment.
        branch: the tracked branch.
    """
    guides = {each.name: guide_of(each, branch, programs.get(each.name, "terraform")) for each in environments}
    return Guidance(branch, guides, runbook)


def own_roles(environments: Sequence[EnvironmentSettings]) -> frozenset[str]:
    """The roles that DriftGuard assumes, as `own_session` takes them."""
    arns = (arn for each in environments for arn in (each.aws.plan_role_arn, each.aws.apply_role_arn) if arn)
    return frozenset(map(role_key, arns))


def guide_of(settings: EnvironmentSettings, branch: str, program: str) -> Guide:
    """The guide of one environment.

    Args:
        branch: the tracked branch.
        program: `terraform`, `tofu` or `terragrunt`.
    """
    role = settings.aws.plan_role_arn or settings.aws.apply_role_arn
    account = role.split(":")[4] if role else None
    return Guide(account, settings.aws.region, _apply(settings, branch, program))


def _apply(settings: EnvironmentSettings, branch: str, program: str) -> str | None:
    there = [] if settings.path == "." else [["cd", settings.path]]
    update = [["git", "switch", branch], ["git", "pull"], *there]
    if program == "terragrunt":
        return " && ".join(map(shlex.join, [*update, [program, "run", "--", "apply"]]))
    backend = settings.backend_config
    if isinstance(backend, Mapping):
        if any(looks_secret(key, value) for key, value in backend.items()):
            return None
        given = [f"{key}={value}" for key, value in backend.items()]
    else:
        given = list(backend)
    parts = [*update, [program, "init", *(f"-backend-config={each}" for each in given)]]
    if settings.workspace != "default":
        parts.append([program, "workspace", "select", settings.workspace])
    parts.append([program, "apply", *(f"-var-file={file}" for file in settings.var_files)])
    return " && ".join(map(shlex.join, parts))


def place_of(guide: Guide | None, arns: list[str]) -> str:
    """Account and region in parentheses, as far as they are known; else nothing."""
    account, region = (guide.account, guide.region) if guide else (None, None)
    for arn in arns:
        match = _ARN.fullmatch(arn)
        if match:
            region, account = match[1] or region, match[2] or account
            break
    known = " ".join(filter(None, (account, region)))
    return f" ({known})" if known else ""


def console_url(arn: str | None) -> str | None:
    """The page of an object in the cloud's console; None for what is no ARN."""
    if not arn or not _ARN.fullmatch(arn):
        return None
    console = _CONSOLES.get(arn.split(":")[1])
    return f"{console}/go/view?arn={quote(arn, safe='')}" if console else None


def runbook_url(template: str | None, values: Mapping[str, str]) -> str | None:
    """The runbook's page, its placeholders filled in; None without one, or where a value is not known."""
    if template is None or not set(re.findall(r"\{(\w+)\}", template)) <= values.keys():
        return None
    return re.sub(r"\{(\w+)\}", lambda match: quote(values[match[1]], safe=""), template)
