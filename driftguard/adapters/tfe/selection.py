"""Which workspace of which platform a root module's `cloud` block or backend `remote` selects.

Source: https://developer.hashicorp.com/terraform/cli/cloud/settings
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from driftguard.adapters.hcl.outline import outline
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.model.outlines import Outline

DEFAULT_HOST: Final = "app.terraform.io"
DEFAULT_WORKSPACE: Final = "default"
_STRING: Final = re.compile(r'"(?:[^"\\$%]|\\.)*"')
# The arguments of the block, and the variables that stand in for them in a `cloud` block.
_VARIABLES: Final = {"hostname": "TF_CLOUD_HOSTNAME", "organization": "TF_CLOUD_ORGANIZATION"}


@dataclass(frozen=True, slots=True)
class Selection:
    """The workspaces that a block selects: one by its name, or all with some tags or of a project.

    Attributes:
        prefix: of the workspaces' names (backend `remote`); the environment's workspace is what follows it.
        tags: names, or names with values.
    """

    host: str
    organization: str
    name: str | None = None
    prefix: str | None = None
    tags: Mapping[str, str | None] | None = None
    project: str | None = None

    def workspace(self, given: str) -> str:
        """The workspace's name on the platform.

        Args:
            given: the environment's workspace.

        Raises:
            EnvironmentFault: `config`: the block selects several, and the environment names none of them.
        """
        if self.name is not None:
            return self.name
        if given == DEFAULT_WORKSPACE:
            raise EnvironmentFault(
                ErrorKind.CONFIG,
                "The `workspaces` block selects several workspaces of the platform, so it is not known which one this "
                "environment is. Name it with `workspace`, or write `each: tfe` for one environment of each.",
            )
        return f"{self.prefix or ''}{given}"


def is_remote(block: Outline | None) -> bool:
    """Whether a root module's state lies on a platform, by its `backend` or `cloud` block."""
    return block is not None and (block.kind == "cloud" or block.labels[:1] == ("remote",))


def selection(
    block: Outline, config: Mapping[str, str], files: Mapping[str, bytes], variables: Mapping[str, str]
) -> Selection:
    """What a block selects.

    Args:
        block: one for which `is_remote` holds.
        config: settings of `backend_config`.
        files: the contents of those that `backend_config` names, by path.
        variables: those of the environment's Terraform.

    Raises:
        EnvironmentFault: `config`: the organization is not known, or a setting is no literal.
    """
    given = [outline(_as_terraform(path), content) for path, content in files.items()]
    blocks = [block, *given]

    def setting(name: str) -> str | None:
        if name in config:
            return config[name]
        found = next((each for each in reversed(blocks) if name in each.attributes), None)
        if found is not None:
            return _literal(found, name)
        return variables.get(_VARIABLES[name]) or None if block.kind == "cloud" else None

    organization = setting("organization")
    if organization is None:
        raise EnvironmentFault(
            ErrorKind.CONFIG,
            "The organization on the platform is not known. Name it in the `cloud` or `backend` block, in "
            "`backend_config`, or as TF_CLOUD_ORGANIZATION in `env`.",
        )
    host = (setting("hostname") or DEFAULT_HOST).lower()
    within = next((w for each in reversed(blocks) for w in _workspaces(each)), Outline())
    project = _literal(within, "project") or (variables.get("TF_CLOUD_PROJECT") if block.kind == "cloud" else None)
    name, prefix = _literal(within, "name"), _literal(within, "prefix")
    return Selection(host, organization, name, prefix, _tags(within), project)


def _as_terraform(path: str) -> str:
    return "backend.tf.json" if path.endswith(".json") else "backend.tf"


def _workspaces(block: Outline) -> list[Outline]:
    """The `workspaces` block, which a file of settings may also write as an attribute."""
    found = list(block.of("workspaces"))
    text = block.attributes.get("workspaces", "")
    if not found and text.startswith("{"):
        found = [outline("workspaces.tf", text.strip()[1:-1].replace(",", "\n").encode())]
    return found


def _literal(block: Outline, name: str) -> str | None:
    if name not in block.attributes or block.attributes[name] == "null":
        return None
    value = block.literal(name)
    if value is None:
        raise EnvironmentFault(
            ErrorKind.CONFIG,
            f"`{name}` of the `cloud` or `backend` block is no literal, so the workspace is not known. Write it out.",
        )
    return value


def _tags(block: Outline) -> Mapping[str, str | None] | None:
    """Tags as a list or a map of literals."""
    text = block.attributes.get("tags")
    if text is None or text == "null":
        return None
    if text.startswith("["):
        if not _STRING.sub("", text).strip("[], \t\r\n"):
            return {json.loads(each): None for each in _STRING.findall(text)}
    elif text.startswith("{"):
        body = outline("tags.tf", text.strip()[1:-1].replace(",", "\n").replace(":", "=").encode())
        if body.attributes and (values := {name: body.literal(name) for name in body.attributes}):
            return values
    raise EnvironmentFault(
        ErrorKind.CONFIG, "`tags` of the `workspaces` block are no literals, so the workspaces are not known."
    )
