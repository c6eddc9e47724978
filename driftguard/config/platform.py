"""The key `tfe`: workspaces that plan and apply on HCP Terraform, Terraform Enterprise or a server like them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from pydantic import Field, model_validator

from driftguard.config import values as v
from driftguard.config.base import Model


class Tfe(Model):
    """HCP Terraform, Terraform Enterprise and servers like them, for `cloud` blocks and the backend `remote`."""

    queue_timeout: v.Duration = Field(
        default=timedelta(minutes=30),
        description="Time that a run there may wait before its plan begins; it is cancelled after that.",
    )
    host: v.Text | None = Field(default=None, description="Operator's file only: the host that `token_env` is for.")
    token_env: v.VariableName | None = Field(
        default=None,
        description="Operator's file only: the environment variable with the token for `host`. Default: "
        "`TF_TOKEN_…` by the host's name, or the credentials file of `terraform login`.",
    )

    @model_validator(mode="after")
    def _a_token_has_a_host(self) -> Tfe:
        if (self.host is None) != (self.token_env is None):
            v.refused("needs both `host` and `token_env`, or neither: a token is for one host")
        return self


def token_variable(host: str) -> str:
    """The environment variable in which Terraform looks for a host's token: `TF_TOKEN_app_terraform_io`."""
    return "TF_TOKEN_" + host.lower().replace("-", "__").replace(".", "_")


def own_token(settings: Tfe, environ: Mapping[str, str]) -> dict[str, str]:
    """The token that the operator's file names for an environment, as Terraform's variable; empty without one."""
    token = environ.get(settings.token_env or "")
    return {token_variable(settings.host): token} if settings.host and token else {}
